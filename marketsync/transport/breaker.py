"""The breaker of one account: a channel that does not answer is left alone for a while, then asked by one request."""

from datetime import timedelta
from typing import Final, Literal

from marketsync.adapter.api import Log
from marketsync.adapter.clock import Clock
from marketsync.adapter.errors import AdapterError, RateLimited, Retryable, Unavailable

FAILURES: Final = 5
FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 300.0

State = Literal["closed", "half_open", "open"]


class Breaker:
    """``enter`` before a request, ``leave`` with its answer and what became of it.

    Opens after 5 failures in a row (``Retryable``, but not ``RateLimited``: a channel that refuses is alive). Closes
    when the channel answers anything, be it a rejection.
    """

    def __init__(self, account: str, clock: Clock, log: Log) -> None:
        self._account = account
        self._clock = clock
        self._log = log
        self._failures = 0
        self._opened: float | None = None  # monotonic, when it left "closed"
        self._until = 0.0
        self._pause = FIRST_PAUSE
        self._probing = False

    @property
    def state(self) -> State:
        if self._opened is None:
            return "closed"
        return "open" if self._clock.monotonic() < self._until else "half_open"

    def wait(self) -> float:
        """Seconds until a request may be let in; 0.0: now."""
        if self._opened is None:
            return 0.0
        left = self._until - self._clock.monotonic()
        return max(1.0, left) if left > 0 or self._probing else 0.0

    def enter(self) -> bool:
        """Let a request in; True: it is the probe.

        Raises ``Unavailable`` with the time to wait while the breaker is open, or its one probe is under way.
        """
        if self._opened is None:
            return False
        wait = self.wait()
        if wait > 0:
            raise Unavailable(
                f"{self._account} did not answer {self._failures} times in a row and is left alone for a while",
                retry_after=timedelta(seconds=wait),
                code="breaker_open",
            )
        self._probing = True
        return True

    def leave(self, error: BaseException | None, *, probe: bool) -> None:
        """What became of a request that was let in; None: it succeeded."""
        if probe:
            self._probing = False
        if isinstance(error, Retryable):
            if not isinstance(error, RateLimited):
                self._failed(error)
        elif error is None or isinstance(error, AdapterError):
            self._answered()
        # Anything else (a cancelled task) says nothing of the channel.

    def _failed(self, error: Retryable) -> None:
        self._failures += 1
        now = self._clock.monotonic()
        if self._opened is None:
            if self._failures < FAILURES:
                return
            self._opened = now
            self._pause = FIRST_PAUSE
            self._log.warning(
                "channel_unreachable", account=self._account, failures=self._failures, reason=error.message
            )
        elif now < self._until:
            return  # it had left before the breaker opened
        else:
            self._pause = min(LONGEST_PAUSE, 2 * self._pause)
        self._until = now + self._pause

    def _answered(self) -> None:
        self._failures = 0
        if self._opened is not None:
            seconds = round(self._clock.monotonic() - self._opened)
            self._opened = None
            self._log.info("channel_reachable_again", account=self._account, seconds=seconds)
