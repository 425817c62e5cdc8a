"""What a status means: the one table from HTTP status to error, and how long a reply asks to wait."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from marketsync.adapter.errors import (
    AccountSuspended,
    AdapterError,
    AuthRefused,
    ItemRefused,
    OutcomeUnknown,
    RateLimited,
    Retryable,
    Unavailable,
    UnexpectedReply,
)

LONGEST_WAIT: Final = timedelta(days=1)

_NEW_API = "it no longer knows this request, the adapter has to be renewed"
_EARLY = "it did not look at the request"

# Whoever answers 5xx may have processed a write; these are certain not to have: a proxy without a back end, a server
# that had no time. What is not here follows its hundred.
_TABLE: Final[Mapping[int, tuple[type[AdapterError], str]]] = {
    401: (AuthRefused, "it does not accept the credentials, renew them"),
    402: (AccountSuspended, "the account is frozen until its bill is paid"),
    403: (AuthRefused, "the credentials lack a permission or the account is suspended, look at its own pages"),
    405: (UnexpectedReply, _NEW_API),
    406: (UnexpectedReply, _NEW_API),
    407: (Unavailable, "the proxy asks for credentials"),
    408: (Unavailable, _EARLY),
    415: (UnexpectedReply, _NEW_API),
    421: (Unavailable, _EARLY),
    423: (Unavailable, "it is busy with an earlier request"),
    425: (Unavailable, _EARLY),
    426: (UnexpectedReply, _NEW_API),
    429: (RateLimited, "too many requests"),
    501: (UnexpectedReply, _NEW_API),
    505: (UnexpectedReply, _NEW_API),
    521: (Unavailable, "its server is down"),
    523: (Unavailable, "its server cannot be reached"),
    525: (Unavailable, "its server cannot be reached"),
    526: (Unavailable, "its server cannot be reached"),
}


def error_of(
    status: int, headers: Mapping[str, str], *, now: datetime, operation: str, account: str, write: bool, evidence: str
) -> AdapterError:
    """The error that a status other than 2xx means for a read or a write of an operation."""
    wait = retry_after(headers, now)
    kind, meaning = _TABLE.get(status) or _by_hundred(status, headers, write=write, told=wait is not None)
    message = f"{account} answered {status}{_phrase(status)} to {operation!r}: {meaning}"
    if issubclass(kind, Retryable):
        return kind(message, retry_after=wait, code=str(status), evidence=evidence)
    return kind(message, code=str(status), evidence=evidence)


def _by_hundred(status: int, headers: Mapping[str, str], *, write: bool, told: bool) -> tuple[type[AdapterError], str]:
    if status >= 500:
        if write and not (status == 503 and told):
            return OutcomeUnknown, "nobody knows whether it was done"
        return Unavailable, "it is tried again later"
    if status >= 400:
        return ItemRefused, "it refuses what was sent"
    if status >= 300:
        where = headers.get("location", "").split("?", maxsplit=1)[0]
        return UnexpectedReply, f"it redirects to {where!r}; if it has moved, correct its address in the configuration"
    return UnexpectedReply, "this is no answer"


def error_of_foreign(status: int, *, operation: str, host: str, evidence: str) -> Unavailable:
    """The same for a link that the channel handed out (a file store): its refusal only says that the link is used up."""
    message = f"{host} answered {status}{_phrase(status)} to {operation!r}: the link may have expired"
    return Unavailable(message, code=str(status), evidence=evidence)


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """How long a reply asks to wait, in seconds or until an HTTP date; None where it does not say. A day at most."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        seconds = _until(value, now)
    if not math.isfinite(seconds):
        return None
    return timedelta(seconds=min(max(0.0, seconds), LONGEST_WAIT.total_seconds()))


def _until(value: str, now: datetime) -> float:
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return math.nan
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now.timestamp()


def _phrase(status: int) -> str:
    try:
        return f" ({HTTPStatus(status).phrase})"
    except ValueError:
        return ""
