"""A clock that tests turn by hand: nothing waits, everything that slept wakes in the order of its time."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count


class TurnedClock:
    """Implements ``marketsync.adapter.clock.Clock``. Time stands still until ``turn`` or, with ``auto``, until a sleep.

    ``auto=True``: a sleep advances the clock by itself and gives way once, for code that only waits for itself.
    """

    def __init__(self, start: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC), *, auto: bool = False) -> None:
        self._now = start
        self._elapsed = 0.0
        self._auto = auto
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    def set(self, now: datetime) -> None:
        """Jump the wall clock only, as NTP or a person would."""
        self._now = now

    def advance(self, seconds: float) -> None:
        """Move both clocks on without waking anybody."""
        self._elapsed += seconds
        self._now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        if self._auto or seconds <= 0:
            self.advance(max(0.0, seconds))
            await asyncio.sleep(0)
            return
        wakes: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), wakes))
        await wakes

    async def turn(self, seconds: float) -> None:
        """Move on, waking each sleeper at its own time."""
        until = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= until:
            at, _, wakes = heapq.heappop(self._sleepers)
            self.advance(at - self._elapsed)
            if not wakes.done():
                wakes.set_result(None)
            for _ in range(10):
                await asyncio.sleep(0)
        self.advance(until - self._elapsed)
        for _ in range(10):
            await asyncio.sleep(0)
