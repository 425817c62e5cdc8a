"""Logs once when a thing breaks and once when it recovers, however often it fails in between."""

from collections.abc import Hashable
from typing import Any

from marketsync.adapter.api import Log
from marketsync.adapter.clock import Clock


class Trouble:
    """What is broken right now, by key (such as ``("push", "kaufland-de")``)."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._since: dict[Hashable, tuple[float, int]] = {}

    def broke(self, key: Hashable, event: str, **fields: Any) -> bool:
        """Note a failure and say whether it is the first since ``key`` last worked: only that one is logged."""
        since, times = self._since.get(key, (self._clock.monotonic(), 0))
        self._since[key] = (since, times + 1)
        if times == 0:
            self._log.warning(event, **fields)
        return times == 0

    def recovered(self, key: Hashable, event: str, **fields: Any) -> bool:
        """Note a success; where ``key`` was broken, log how long (``seconds``) and how often (``failures``)."""
        if key not in self._since:
            return False
        since, times = self._since.pop(key)
        self._log.info(event, seconds=round(self._clock.monotonic() - since, 3), failures=times, **fields)
        return True

    def forget(self, key: Hashable) -> None:
        """The thing is gone (a channel was removed): it neither fails nor recovers any more."""
        self._since.pop(key, None)
