"""How much a bucket still allows: the arithmetic of rates, cost points, quotas and minimum intervals. No I/O.

Rates, cost points and minimum intervals are one thing (GCRA): a theoretical arrival time (``tat``) that every call moves
on by its share. A ``tat`` in the past is a full bucket. Calls count one in every bucket but ``CostPoints``, which
counts points. A channel that counts over a rolling window is a ``Rate``; a ``Quota`` counts over fixed windows.

Times are seconds of one time line, chosen by the caller; quotas need the Unix epoch, as they start with the UTC day.
"""

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from marketsync.adapter.spec import Bucket, CostPoints, MinInterval, Quota, Rate

DAY: Final = timedelta(days=1).total_seconds()
LONGEST_BLOCK: Final = 3600.0  # a channel that asks for more is asked again every hour
PACE: Final = 1.01  # a network lies between our calls and the channel's own count of them: go 1 % slower than allowed
LEARNED_WITHIN: Final = 10.0  # a learned rate further than this factor from the spec's is not believed
GRAIN: Final = 1e-6  # floats of today's epoch seconds are exact to 0.2 microseconds


@dataclass(frozen=True, slots=True)
class BucketState:
    """What is remembered of a bucket. ``capacity`` is what a ``CostPoints`` bucket learned of its own size."""

    tat: float = 0.0  # theoretical arrival time, in seconds
    blocked_until: float = 0.0
    learned: float | None = None  # calls or points per second that the channel told of
    used: float = 0.0  # Quota: calls of the window
    window: float = 0.0  # Quota: when the window began
    capacity: float | None = None


def take(
    bucket: Bucket, state: BucketState | None, now: float, cost: float = 1.0, *, urgent: bool = False
) -> tuple[BucketState, float]:
    """One call of that many points. Seconds to wait; 0.0: granted and consumed, else nothing is consumed.

    ``state`` None: never used, hence full. A cost above a bucket's capacity takes the whole bucket. Only urgent calls
    may use a quota's reserved share.
    """
    state = _sane(bucket, state, now)
    blocked = max(0.0, state.blocked_until - now)
    if isinstance(bucket, Quota):
        spent = state.used + 1 > _usable(bucket, urgent=urgent)
        wait = max(blocked, state.window + bucket.window.total_seconds() - now if spent else 0.0)
        return (state, wait) if wait > 0 else (replace(state, used=state.used + 1), 0.0)
    size, each = _shape(bucket, state)
    arrives = max(state.tat, now)
    weight = _weight(bucket, size, cost)
    wait = max(blocked, arrives + (weight - size) * each - now)
    if wait > GRAIN:
        return state, wait
    return replace(state, tat=arrives + weight * each), 0.0


def give_back(bucket: Bucket, state: BucketState | None, now: float, cost: float = 1.0) -> BucketState:
    """Undo a granted ``take`` of the same cost whose call was never sent."""
    state = _sane(bucket, state, now)
    if isinstance(bucket, Quota):
        return replace(state, used=max(0.0, state.used - 1))
    size, each = _shape(bucket, state)
    return replace(state, tat=state.tat - _weight(bucket, size, cost) * each)


def block(bucket: Bucket, state: BucketState | None, now: float, seconds: float) -> BucketState:
    """The channel said "not before": nothing passes for that long, then no burst follows.

    Points are restored while they wait: of them only what the bucket held is gone.
    """
    state = _sane(bucket, state, now)
    until = max(state.blocked_until, now + min(max(0.0, seconds), longest_block(bucket)))
    if isinstance(bucket, Quota):
        return replace(state, blocked_until=until)
    size, each = _shape(bucket, state)
    spent = now + size * each if isinstance(bucket, CostPoints) else until + (size - 1) * each
    return replace(state, blocked_until=until, tat=max(state.tat, spent))


def learn(
    bucket: Bucket,
    state: BucketState | None,
    now: float,
    *,
    restore: float,
    capacity: float | None = None,
    available: float | None = None,
) -> BucketState:
    """What the channel told of a bucket: calls or points per second, and of ``CostPoints`` the size and what is left.

    Figures that cannot be meant (none, negative, ten times off the spec) are bent to what is believable. Raises
    TypeError for a quota and a minimum interval: there is nothing to learn.
    """
    state = _sane(bucket, state, now)
    if isinstance(bucket, Quota | MinInterval):
        raise TypeError(f"the bucket {bucket.name!r} has a fixed limit: only Rate and CostPoints can learn")
    _, each = _shape(bucket, state)
    waiting = max(0.0, state.tat - now) / each
    known = replace(state, learned=_told(restore, bucket.per_second if isinstance(bucket, Rate) else bucket.restore))
    if isinstance(bucket, CostPoints) and capacity is not None:
        known = replace(known, capacity=_told(capacity, bucket.capacity))
    size, each = _shape(bucket, known)
    if isinstance(bucket, CostPoints) and available is not None and math.isfinite(available):
        waiting = size - min(size, max(0.0, available))
    return replace(known, tat=now + min(waiting, size) * each)


def empty(bucket: Bucket, now: float) -> BucketState:
    """A rate, cost or interval bucket that was just used up: no burst may follow."""
    if isinstance(bucket, Quota):
        return BucketState()
    size, each = _shape(bucket, BucketState())
    return BucketState(tat=now + size * each)


def fill(bucket: Bucket, state: BucketState | None, now: float) -> float:
    """The share that is free: 1.0 is idle, 0.0 is spent or blocked."""
    state = _sane(bucket, state, now)
    if state.blocked_until > now:
        return 0.0
    if isinstance(bucket, Quota):
        return 1.0 - state.used / bucket.limit if bucket.limit else 0.0
    size, each = _shape(bucket, state)
    return 1.0 - min(1.0, max(0.0, state.tat - now) / (size * each))


def left(bucket: Quota, state: BucketState | None, now: float) -> int:
    """Calls left in the quota's window, the reserved share included."""
    return bucket.limit - int(_sane(bucket, state, now).used)


def interval(bucket: Bucket) -> float:
    """Seconds per call (per point for ``CostPoints``) in the long run, as the spec says."""
    match bucket:
        case Rate():
            return 1 / bucket.per_second
        case CostPoints():
            return 1 / bucket.restore
        case MinInterval():
            return bucket.seconds
        case Quota():
            return bucket.window.total_seconds() / max(1, bucket.limit)


def longest_block(bucket: Bucket) -> float:
    """The most seconds that a channel may silence this bucket by one answer."""
    own = bucket.window.total_seconds() if isinstance(bucket, Quota) else 2 * interval(bucket)
    return max(LONGEST_BLOCK, own)


def _sane(bucket: Bucket, state: BucketState | None, now: float) -> BucketState:
    """The state as far as it is possible: a clock that was once wrong must never silence a bucket."""
    if state is None:
        state = BucketState(tat=now)
    blocked = min(_number(state.blocked_until), now + longest_block(bucket))
    if isinstance(bucket, Quota):
        # A window that has not begun yet was counted by a clock that ran ahead: its calls were made just now.
        window = window_start(bucket, now)
        used = min(max(0.0, _number(state.used)), bucket.limit) if _number(state.window) >= window else 0.0
        if (blocked, window, used) == (state.blocked_until, state.window, state.used):
            return state
        return replace(state, blocked_until=blocked, window=window, used=used)
    size, each = _shape(bucket, state)
    tat = min(_number(state.tat), max(now, blocked) + size * each)
    if (blocked, tat) == (state.blocked_until, state.tat):
        return state
    return replace(state, blocked_until=blocked, tat=tat)


def window_start(bucket: Quota, now: float) -> float:
    """When the window that holds ``now`` began: windows follow each other without a gap from ``resets`` on."""
    length = bucket.window.total_seconds()
    resets = bucket.resets
    anchor = resets.hour * 3600 + resets.minute * 60 + resets.second
    return anchor + (now - anchor) // length * length


def _usable(bucket: Quota, *, urgent: bool) -> float:
    if urgent or not bucket.limit:
        return bucket.limit
    return max(1.0, math.floor(bucket.limit * (1 - bucket.reserved)))


def _shape(bucket: Rate | CostPoints | MinInterval, state: BucketState) -> tuple[float, float]:
    """(what the full bucket holds, seconds per call or point)."""
    match bucket:
        case Rate():
            return float(bucket.burst), PACE / _told(state.learned, bucket.per_second)
        case CostPoints():
            return _told(state.capacity, bucket.capacity), PACE / _told(state.learned, bucket.restore)
        case MinInterval():
            return 1.0, bucket.seconds * PACE


def _weight(bucket: Bucket, size: float, cost: float) -> float:
    return min(size, max(0.0, cost)) if isinstance(bucket, CostPoints) else 1.0


def _told(told: float | None, spec: float) -> float:
    """What the channel told, as far as it is believable, else what the spec says."""
    if told is None or not math.isfinite(told):
        return spec
    return min(max(told, spec / LEARNED_WITHIN), spec * LEARNED_WITHIN)


def _number(value: float) -> float:
    return value if math.isfinite(value) else 0.0
