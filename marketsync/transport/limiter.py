"""The limits of one account: what may leave now, and how long the rest waits.

What is slower than one call a second, and every quota, is stored before the call: a restart forgets none of it. What
is faster lives in memory and starts empty, so that a restart is no second burst.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from marketsync.adapter.clock import Clock
from marketsync.adapter.spec import Bucket, CostPoints, Quota
from marketsync.domain import limits
from marketsync.domain.limits import BucketState

Change = Callable[[BucketState | None], tuple[BucketState, float]]


class BucketStore(Protocol):
    """Where the state of slow buckets outlives the process."""

    async def update(self, account: str, bucket: str, change: Change) -> float:
        """Read the state (None: none yet), store what ``change`` makes of it and return its seconds, all at once.

        ``change`` may be called from another thread, and again where the transaction has to be repeated.
        """
        ...


class Limiter:
    """Grants calls over several buckets at once: all of them or none."""

    def __init__(self, account: str, buckets: Sequence[Bucket], clock: Clock, store: BucketStore) -> None:
        self._account = account
        self._clock = clock
        self._store = store
        self._buckets: Mapping[str, Bucket] = {bucket.name: bucket for bucket in buckets}
        self._stored = {b.name for b in buckets if isinstance(b, Quota) or limits.interval(b) > 1}
        started = clock.monotonic()
        # What is in memory is the truth; of what is stored, this is what was last read or written here.
        self._states = {b.name: limits.empty(b, started) for b in buckets if b.name not in self._stored}
        self._lessons: dict[str, Callable[[BucketState | None, float], BucketState]] = {}
        self.waits: Counter[str] = Counter()  # how often a bucket said "wait"

    async def reserve(self, names: Sequence[str], cost: float = 1.0, *, urgent: bool = False) -> float:
        """Take one call of ``cost`` points from every bucket. 0.0: granted; else seconds to wait, nothing is taken."""
        return (await self.attempt(names, cost, urgent=urgent))[0]

    async def attempt(self, names: Sequence[str], cost: float = 1.0, *, urgent: bool = False) -> tuple[float, str]:
        """As ``reserve``, and the name of the bucket that says "wait" ("" where none does)."""
        taken: list[str] = []
        # Memory first: a call that has to wait anyway costs no transaction.
        for name in sorted(names, key=self._stored.__contains__):
            try:
                wait = await self._take(name, cost, urgent=urgent)
            except (
                BaseException
            ):  # the store failed, or the caller was cancelled: what it took may be lost, not the rest
                self._give_back_memory(taken, cost)
                raise
            if wait > 0:
                self.waits[name] += 1
                await self.give_back(taken, cost)
                return wait, name
            taken.append(name)
        return 0.0, ""

    async def give_back(self, names: Sequence[str], cost: float = 1.0) -> None:
        """Return what a granted reservation of the same cost took and nobody sent."""
        self._give_back_memory(names, cost)
        for name in names:
            if name in self._stored:
                await self._update(name, lambda bucket, state, now: (limits.give_back(bucket, state, now, cost), 0.0))

    async def block(self, name: str, seconds: float) -> None:
        """The channel said "not before": the bucket waits that long for every worker, an hour or a window at most."""
        if name in self._stored:
            await self._update(name, lambda bucket, state, now: (limits.block(bucket, state, now, seconds), 0.0))
        else:
            now = self._clock.monotonic()
            self._states[name] = limits.block(self._bucket(name), self._states[name], now, seconds)

    def learn(
        self, name: str, *, restore: float, capacity: float | None = None, available: float | None = None
    ) -> None:
        """What the channel told of a bucket: calls or points per second, and the points it holds and has left.

        A stored bucket applies it with its next call. Raises TypeError for a bucket that cannot learn.
        """
        bucket = self._bucket(name)

        def lesson(state: BucketState | None, now: float) -> BucketState:
            return limits.learn(bucket, state, now, restore=restore, capacity=capacity, available=available)

        if name not in self._stored:
            self._states[name] = lesson(self._states[name], self._clock.monotonic())
            return
        known = self._states.get(name)
        if known is None or known.learned != restore or available is not None:
            lesson(known, self._now())  # a bucket that cannot learn is refused here, not at its next call
            self._lessons[name] = lesson

    def counts_points(self, name: str) -> bool:
        """Whether the bucket counts points rather than calls."""
        return isinstance(self._bucket(name), CostPoints)

    def pause(self, name: str) -> float:
        """Seconds between two calls in the long run: the shortest wait that makes sense after a refusal."""
        bucket = self._bucket(name)
        return 0.0 if isinstance(bucket, Quota) else limits.interval(bucket)

    def snapshot(self) -> dict[str, float]:
        """The share of every bucket that is free: 1.0 idle, 0.0 spent; stored ones as this process last saw them."""
        return {name: limits.fill(b, self._states.get(name), self._time(name)) for name, b in self._buckets.items()}

    def blocked(self) -> dict[str, datetime]:
        """Until when the channel told buckets to wait; only those that still do."""
        left = {name: state.blocked_until - self._time(name) for name, state in self._states.items()}
        now = self._now()
        return {name: datetime.fromtimestamp(now + wait, UTC) for name, wait in left.items() if wait > 0}

    def quotas(self) -> dict[str, tuple[int, int]]:
        """(calls left, limit) of every quota's present window."""
        return {
            name: (limits.left(bucket, self._states.get(name), self._now()), bucket.limit)
            for name, bucket in self._buckets.items()
            if isinstance(bucket, Quota)
        }

    async def _take(self, name: str, cost: float, *, urgent: bool) -> float:
        if name in self._stored:
            return await self._update(
                name, lambda bucket, state, now: limits.take(bucket, state, now, cost, urgent=urgent)
            )
        state = self._states.get(name)
        self._states[name], wait = limits.take(self._bucket(name), state, self._clock.monotonic(), cost, urgent=urgent)
        return wait

    def _give_back_memory(self, names: Sequence[str], cost: float) -> None:
        now = self._clock.monotonic()
        for name in names:
            if name not in self._stored:
                self._states[name] = limits.give_back(self._bucket(name), self._states[name], now, cost)

    async def _update(
        self, name: str, act: Callable[[Bucket, BucketState | None, float], tuple[BucketState, float]]
    ) -> float:
        bucket = self._bucket(name)
        lesson = self._lessons.pop(name, None)

        def change(state: BucketState | None) -> tuple[BucketState, float]:
            now = self._now()
            if lesson is not None:
                state = lesson(state, now)
            after, wait = act(bucket, state, now)
            self._states[name] = after
            return after, wait

        return await self._store.update(self._account, name, change)

    def _bucket(self, name: str) -> Bucket:
        try:
            return self._buckets[name]
        except KeyError:
            known = ", ".join(sorted(self._buckets)) or "none"
            raise KeyError(f"the spec has no bucket {name!r}; it names: {known}") from None

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _time(self, name: str) -> float:
        return self._now() if name in self._stored else self._clock.monotonic()
