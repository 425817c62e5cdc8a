"""Who runs what when: ticks, sales and people only request work; a task of one owner never runs twice at once.

A request means "look at (owner, task)", never "do this change": a duplicate is harmless, a lost one is made up for by
the next tick.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from marketsync.adapter.clock import Clock

Key = tuple[str, str]  # owner ("channel:NAME", "account:NAME", "source:NAME", "sink:NAME", "ledger"), task


class Dispatcher(Protocol):
    """Takes requests for work, from any task of the event loop."""

    def request(self, owner: str, task: str, reason: str) -> None:
        """Look at this task of this owner as soon as possible."""
        ...

    def later(self, owner: str, task: str, seconds: float, reason: str) -> None:
        """The same, in so many seconds; the earliest such wish counts."""
        ...


class LocalDispatcher:
    """Runs requests in this process, each (owner, task) one at a time."""

    def __init__(self, run: Callable[[str, str, str], Awaitable[None]], clock: Clock) -> None:
        """``run(owner, task, reason)`` does the work and deals with its errors itself."""
        self._run = run
        self._clock = clock
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._again: dict[Key, str] = {}
        self._timers: dict[Key, tuple[float, asyncio.Task[None]]] = {}
        self._closed = False
        self._held: dict[Key, str] = {}  # asked for while their owner was being replaced
        self._quiet: frozenset[str] = frozenset()

    def request(self, owner: str, task: str, reason: str) -> None:
        if self._closed:
            return
        key = (owner, task)
        self._drop_timer(key)
        if owner in self._quiet:
            self._held[key] = reason
            return
        if key in self._running:
            self._again[key] = reason
            return
        work = asyncio.get_running_loop().create_task(self._work(key, reason), name=f"{owner} {task}")
        self._running[key] = work

    def later(self, owner: str, task: str, seconds: float, reason: str) -> None:
        if self._closed:
            return
        key, at = (owner, task), self._clock.monotonic() + seconds
        if key in self._timers:
            if self._timers[key][0] <= at:
                return
            self._drop_timer(key)
        waits = asyncio.get_running_loop().create_task(self._wait(key, seconds, reason))
        self._timers[key] = (at, waits)

    async def _wait(self, key: Key, seconds: float, reason: str) -> None:
        await self._clock.sleep(seconds)
        self._timers.pop(key, None)
        self.request(*key, reason)

    def _drop_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None and timer[1] is not asyncio.current_task():
            timer[1].cancel()

    async def _work(self, key: Key, reason: str) -> None:
        try:
            await self._run(*key, reason)
        finally:
            del self._running[key]
            again = self._again.pop(key, None)
            if again is not None:
                self.request(*key, again)

    @property
    def busy(self) -> frozenset[Key]:
        """What runs at this moment."""
        return frozenset(self._running)

    async def idle(self) -> None:
        """Wait until nothing runs; timers may still be set."""
        while self._running:
            await asyncio.wait(list(self._running.values()))

    async def quiesce(self, owners: frozenset[str]) -> None:
        """Start nothing more of these owners, and wait until what runs of them is done."""
        self._quiet |= owners
        while running := [work for key, work in self._running.items() if key[0] in owners]:
            await asyncio.wait(running)

    def resume(self, owners: frozenset[str]) -> None:
        """Go on with these owners, and with what was asked for meanwhile."""
        self._quiet -= owners
        for key in [key for key in self._held if key[0] in owners]:
            self.request(*key, self._held.pop(key))

    def forget(self, owner: str) -> None:
        """Cancel the timers of an owner that is gone."""
        for key in [key for key in self._timers if key[0] == owner]:
            self._drop_timer(key)

    async def close(self, deadline: float) -> int:
        """Take no more work, let what runs finish for ``deadline`` seconds, then cancel it. Returns how many were."""
        self._closed = True
        self._again.clear()
        for key in list(self._timers):
            self._drop_timer(key)
        left = list(self._running.values())
        if left:
            _, late = await asyncio.wait(left, timeout=deadline)
            for work in late:
                work.cancel()
            if late:
                await asyncio.wait(late)
            return len(late)
        return 0
