"""The errors, named after what the engine does when it meets one (docs/architecture.md, "Errors")."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


class MarketsyncError(Exception):
    """Everything that marketsync raises on purpose. Its text is written for a person and holds no secret."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration: where it stands, what is wrong and what to do."""

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: "
        path = f"{self.path}: " if self.path else ""
        return f"{where}{path}{self.message}" + (f", {self.hint}" if self.hint else "")


class ConfigError(MarketsyncError):
    """The configuration cannot be used: a start is refused, a reload keeps the old one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class AdapterError(MarketsyncError):
    """Something went wrong at a channel.

    ``message`` is a plain sentence for the marketplace manager, ``code`` the channel's own code, ``evidence`` what
    it said, already redacted.
    """

    def __init__(self, message: str, *, code: str = "", evidence: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.evidence = evidence


class Retryable(AdapterError):
    """Later. Counts as a failure for the breaker."""

    def __init__(
        self, message: str, *, retry_after: timedelta | None = None, code: str = "", evidence: str = ""
    ) -> None:
        super().__init__(message, code=code, evidence=evidence)
        self.retry_after = retry_after


# Codes under which the connection says that the request never left: no connection, our own limits, an open breaker.
NOT_SENT = frozenset({"not_sent", "limit", "breaker_open"})


class RateLimited(Retryable):
    """The bucket waits, for all workers. Not a breaker failure."""

    def __init__(
        self,
        message: str,
        *,
        bucket: str = "",
        retry_after: timedelta | None = None,
        code: str = "",
        evidence: str = "",
    ) -> None:
        super().__init__(message, retry_after=retry_after, code=code, evidence=evidence)
        self.bucket = bucket


class Unavailable(Retryable):
    """The request was certainly not processed."""


class OutcomeUnknown(Retryable):
    """The request was sent and no usable reply came: it may or may not have been processed."""


class ChannelBlocked(AdapterError):
    """Stops this channel until a person or the configuration changes something."""


class AuthRefused(ChannelBlocked):
    """The channel does not accept the credentials."""


class ConsentExpired(ChannelBlocked):
    """The seller's consent ran out or was withdrawn; a person has to log in again."""


class AccountSuspended(ChannelBlocked):
    """The marketplace has suspended the seller's account."""


class QuotaSpent(ChannelBlocked):
    """A quota is used up; the channel waits until it is renewed."""

    def __init__(self, message: str, *, until: datetime, code: str = "", evidence: str = "") -> None:
        super().__init__(message, code=code, evidence=evidence)
        self.until = until


class ItemRefused(AdapterError):
    """The channel refuses this one offer, order or command as it is."""


class UnexpectedReply(AdapterError):
    """The channel answered something its API does not promise: the task pauses and a redacted sample is kept."""


class LedgerError(MarketsyncError):
    """The ledger could not do what was asked."""


class LeaseLost(LedgerError):
    """Another worker has taken over: stop quietly."""


class Busy(LedgerError):
    """The ledger is owned or locked by another process."""


class SchemaTooNew(LedgerError):
    """The ledger was written by a newer marketsync."""


class GuardTripped(MarketsyncError):
    """A guard stopped a change; it becomes a hold."""

    def __init__(self, message: str, *, changes: int, limit: float) -> None:
        super().__init__(message)
        self.changes = changes
        self.limit = limit
