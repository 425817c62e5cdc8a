"""Measures how late the event loop wakes: what blocks it delays an order and the watchdog alike."""

from typing import Final

from marketsync.adapter.clock import Clock
from marketsync.telemetry.metrics import Metrics

EVERY: Final = 1.0


async def measure_lag(metrics: Metrics, clock: Clock) -> None:
    """Sleep a second at a time, for ever, and note by how much each was longer."""
    while True:
        before = clock.monotonic()
        await clock.sleep(EVERY)
        metrics.loop_lagged(max(0.0, clock.monotonic() - before - EVERY))
