"""Keeps the metrics that come from the ledger fresh, in the background: a scrape never waits for the ledger."""

from collections.abc import Awaitable, Callable, Iterable

from marketsync.adapter.clock import Clock
from marketsync.adapter.errors import MarketsyncError
from marketsync.telemetry.metrics import Metrics, Reading
from marketsync.telemetry.trouble import Trouble

EVERY = 15.0


class LedgerState:
    """Reads the ledger's figures every ``every`` seconds into ``metrics``.

    While reading fails the last figures stay, ages among them go on growing, and ``state_age_seconds`` tells.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Iterable[Reading]]],
        metrics: Metrics,
        clock: Clock,
        trouble: Trouble,
        *,
        every: float = EVERY,
    ) -> None:
        self._read = read
        self._metrics = metrics
        self._clock = clock
        self._trouble = trouble
        self._every = every

    async def refresh(self) -> None:
        """Read once. A ``MarketsyncError`` of the ledger is logged when it begins and when it is over."""
        try:
            readings = await self._read()
        except MarketsyncError as error:
            self._trouble.broke("ledger figures", "the ledger's figures cannot be read", problem=str(error))
        else:
            self._metrics.replace(readings)
            self._trouble.recovered("ledger figures", "the ledger's figures can be read again")

    async def keep_fresh(self) -> None:
        """Refresh for ever; the daemon runs this as a task of its own and cancels it at the end."""
        while True:
            await self.refresh()
            await self._clock.sleep(self._every)
