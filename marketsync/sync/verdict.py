"""The one function that turns an error into what the engine does: how the run ends, and when it is tried again."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from marketsync.adapter.errors import (
    AccountSuspended,
    AuthRefused,
    Busy,
    ChannelBlocked,
    ConsentExpired,
    LeaseLost,
    MarketsyncError,
    QuotaSpent,
    RateLimited,
    Retryable,
    UnexpectedReply,
)

PAUSE = timedelta(minutes=15)  # after a reply that nobody understands
BACKOFF = tuple(timedelta(seconds=s) for s in (5, 15, 30, 60, 120, 300, 600, 900))


@dataclass(frozen=True, slots=True)
class Verdict:
    """``outcome`` of the run; ``again`` how long to wait; ``blocks`` the channel until a person acts."""

    outcome: str  # waiting, failed, blocked, interrupted
    again: timedelta | None
    blocks: bool = False
    code: str = ""
    hint: str = ""


_BLOCKED: tuple[tuple[type[ChannelBlocked], str, str], ...] = (
    (ConsentExpired, "consent_expired", "`marketsync channels login NAME` asks for a new one and resumes the channel"),
    (AuthRefused, "auth_refused", "check the credentials of the account, then `marketsync resume`"),
    (AccountSuspended, "account_suspended", "settle it with the marketplace, then `marketsync resume`"),
)


def verdict(error: BaseException, failures: int, now: datetime) -> Verdict:
    """What becomes of a task that met this error after so many failures in a row."""
    if isinstance(error, LeaseLost):
        return Verdict("interrupted", None)
    if isinstance(error, RateLimited):
        return Verdict("waiting", error.retry_after or BACKOFF[0])
    if isinstance(error, QuotaSpent):
        return Verdict("waiting", max(timedelta(seconds=1), error.until - now), code="quota_spent")
    if isinstance(error, ChannelBlocked):
        code, hint = next(
            ((code, hint) for kind, code, hint in _BLOCKED if isinstance(error, kind)),
            ("blocked", "see the message, then `marketsync resume`"),
        )
        return Verdict("blocked", None, blocks=True, code=code, hint=hint)
    if isinstance(error, UnexpectedReply):
        hint = "the task waits a quarter of an hour; has the API of the marketplace changed?"
        return Verdict("failed", PAUSE, code="unexpected_reply", hint=hint)
    pause = BACKOFF[min(failures, len(BACKOFF) - 1)]
    if isinstance(error, Retryable):
        return Verdict("failed", max(pause, error.retry_after or pause))
    if isinstance(error, Busy):
        return Verdict("failed", pause)
    if isinstance(error, MarketsyncError):
        return Verdict("failed", pause, code="task_failed")
    return Verdict("failed", PAUSE, code="task_failed", hint="this is a mistake in marketsync: please report it")
