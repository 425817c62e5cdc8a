"""The arithmetic of the four kinds of buckets."""

import math
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsync.adapter.spec import Bucket, CostPoints, MinInterval, Quota, Rate
from marketsync.domain.limits import (
    BucketState,
    block,
    empty,
    fill,
    give_back,
    learn,
    left,
    longest_block,
    take,
    window_start,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
DAY = Quota(name="day", limit=10, window=timedelta(days=1), resets=time(7, 0), reserved=0.2)

rates = st.builds(Rate, name=st.just("rate"), per_second=st.floats(0.005, 200), burst=st.integers(1, 40))
intervals = st.builds(MinInterval, name=st.just("interval"), seconds=st.floats(0.01, 1000))
points = st.builds(CostPoints, name=st.just("points"), capacity=st.floats(10, 5000), restore=st.floats(0.5, 500))
quotas = st.builds(
    Quota,
    name=st.just("quota"),
    limit=st.integers(1, 50),
    window=st.sampled_from([timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)]),
    resets=st.times().map(lambda t: t.replace(microsecond=0)),
    reserved=st.floats(0, 1),
)
buckets = st.one_of(rates, intervals, points, quotas)
any_float = st.floats() | st.floats(NOW - 1e9, NOW + 1e9)
states = st.none() | st.builds(
    BucketState,
    tat=any_float,
    blocked_until=any_float,
    learned=st.none() | st.floats(),
    used=st.floats(),
    window=any_float,
    capacity=st.none() | st.floats(),
)


def allowance(bucket: Bucket) -> tuple[float, float]:
    match bucket:
        case Rate():
            return bucket.burst, bucket.per_second
        case CostPoints():
            return bucket.capacity, bucket.restore
        case MinInterval():
            return 1, 1 / bucket.seconds
    raise AssertionError


def drain(bucket: Bucket, calls: int, *, cost: float = 1.0, urgent: bool = False) -> list[float]:
    """When each of so many calls was granted, each made as soon as the bucket lets it."""
    state, now, granted = None, NOW, []
    while len(granted) < calls:
        state, wait = take(bucket, state, now, cost, urgent=urgent)
        if wait:
            now += wait
        else:
            granted.append(now)
    return granted


@given(
    bucket=st.one_of(rates, intervals, points),
    steps=st.lists(st.tuples(st.floats(0, 60), st.floats(0.1, 100)), min_size=2, max_size=60),
)
def test_no_window_of_any_length_holds_more_than_size_plus_what_was_restored_in_it(bucket, steps):
    size, per_second = allowance(bucket)
    state, now, granted = None, NOW, []
    for step, cost in steps:
        now += step / max(1.0, per_second)
        state, wait = take(bucket, state, now, cost)
        if wait == 0:
            granted.append((now, min(cost, size) if isinstance(bucket, CostPoints) else 1.0))
    for first, (start, _) in enumerate(granted):
        spent = 0.0
        for at, cost in granted[first:]:
            spent += cost
            assert spent <= size + (at - start) * per_second + 1e-3 * size


@given(bucket=st.one_of(rates, intervals))
def test_a_backlog_uses_at_least_97_percent_of_a_rate(bucket):
    granted = drain(bucket, 300)
    size, per_second = allowance(bucket)
    allowed = size + (granted[-1] - granted[0]) * per_second
    assert len(granted) >= 0.97 * math.floor(allowed)


@given(bucket=points, share=st.floats(0.01, 1))
def test_a_backlog_uses_at_least_97_percent_of_cost_points(bucket, share):
    granted = drain(bucket, 300, cost=share * bucket.capacity)
    allowed = bucket.capacity + (granted[-1] - granted[0]) * bucket.restore
    assert 300 * share * bucket.capacity >= 0.97 * allowed


@given(bucket=quotas, steps=st.lists(st.floats(0, 40_000), max_size=80), urgent=st.booleans())
def test_no_window_of_a_quota_holds_more_than_its_limit(bucket, steps, urgent):
    state, now, granted = None, NOW, {}
    for step in steps:
        now += step / 1000 * bucket.window.total_seconds() / 3600
        state, wait = take(bucket, state, now, urgent=urgent)
        if wait == 0:
            window = window_start(bucket, now)
            granted[window] = granted.get(window, 0) + 1
    assert all(count <= bucket.limit for count in granted.values())


@given(bucket=quotas)
def test_a_backlog_uses_a_quota_whole_in_every_window(bucket):
    granted = drain(bucket, 3 * bucket.limit, urgent=True)
    assert [bucket.limit] * 3 == [
        sum(1 for at in granted if window_start(bucket, at) == window)
        for window in sorted({window_start(bucket, at) for at in granted})
    ]


@given(bucket=buckets, state=states, cost=st.floats(0, 1e6), urgent=st.booleans())
def test_whatever_was_stored_no_bucket_is_silent_for_longer_than_is_possible(bucket, state, cost, urgent):
    longest = longest_block(bucket)
    if not isinstance(bucket, Quota):
        size, per_second = allowance(bucket)
        longest += 1.02 * (10 * size) / (per_second / 10)  # as far as the channel may have taught it
    now = NOW
    for _ in range(3):
        state, wait = take(bucket, state, now, cost, urgent=urgent)
        if wait == 0:
            break
        now += wait + 1e-3
    assert 0 == wait
    assert now - NOW <= longest + 1


@given(bucket=buckets, state=states, cost=st.floats(0.1, 50))
def test_giving_back_restores_what_was_taken(bucket, state, cost):
    before, wait = take(bucket, state, NOW, cost)
    if wait:
        return
    again, wait = take(bucket, give_back(bucket, before, NOW, cost), NOW, cost)
    assert 0 == wait
    if isinstance(bucket, Quota):
        assert before.used == again.used
    else:
        assert pytest.approx(before.tat, abs=1e-3) == again.tat


@given(bucket=buckets, state=states)
def test_the_fill_is_a_share(bucket, state):
    assert 0 <= fill(bucket, state, NOW) <= 1


def test_a_wait_consumes_nothing():
    bucket = Rate(name="r", per_second=1)
    spent, _ = take(bucket, None, NOW)
    after, wait = take(bucket, spent, NOW)
    assert spent == after
    assert pytest.approx(1.01) == wait


def test_a_burst_passes_at_once_and_then_the_sustained_rate():
    granted = drain(Rate(name="r", per_second=2, burst=5), 7)
    assert [NOW] * 5 == granted[:5]
    assert pytest.approx([NOW + 0.505, NOW + 1.01]) == granted[5:]


def test_cost_counts_points_and_a_call_is_one_call_elsewhere():
    spent, _ = take(CostPoints(name="p", capacity=100, restore=10), None, NOW, 40)
    assert pytest.approx(0.6) == fill(CostPoints(name="p", capacity=100, restore=10), spent, NOW)
    assert [0, 0] == [NOW - at for at in drain(Rate(name="r", per_second=1, burst=2), 2, cost=40)]


def test_a_query_dearer_than_the_bucket_takes_the_whole_bucket():
    bucket = CostPoints(name="p", capacity=100, restore=10)
    state, wait = take(bucket, None, NOW, 400)
    assert 0 == wait
    assert pytest.approx(10.1) == take(bucket, state, NOW, 400)[1]


def test_a_daily_quota_is_renewed_at_its_own_hour():
    state = None
    for _ in range(8):
        state, wait = take(DAY, state, NOW)
        assert 0 == wait
    _, wait = take(DAY, state, NOW)
    assert 19 * 3600 == wait  # 12:00 to 07:00
    assert 0 == take(DAY, state, NOW + wait)[1]


def test_only_urgent_work_may_use_the_reserved_share():
    state = None
    for _ in range(8):
        state, _ = take(DAY, state, NOW)
    assert take(DAY, state, NOW)[1] > 0
    for _ in range(2):
        state, wait = take(DAY, state, NOW, urgent=True)
        assert 0 == wait
    assert take(DAY, state, NOW, urgent=True)[1] > 0
    assert 0 == left(DAY, state, NOW)


def test_calls_counted_by_a_clock_that_ran_ahead_still_count():
    ahead = None
    for _ in range(10):
        ahead, _ = take(DAY, ahead, NOW + 400 * 86_400, urgent=True)
    ahead, wait = take(DAY, ahead, NOW, urgent=True)
    assert wait > 0
    assert 0 == take(DAY, ahead, NOW + 86_400, urgent=True)[1]


@pytest.mark.parametrize("bucket", [Rate(name="r", per_second=5, burst=20), MinInterval(name="i", seconds=60), DAY])
def test_a_block_silences_the_bucket_for_that_long_and_no_longer(bucket):
    state = block(bucket, None, NOW, 120)
    assert pytest.approx(120) == take(bucket, state, NOW)[1]
    assert 0.0 == fill(bucket, state, NOW)
    assert 0 == take(bucket, state, NOW + 120)[1]


def test_after_a_block_one_call_passes_and_no_burst():
    bucket = Rate(name="r", per_second=5, burst=20)
    state, wait = take(bucket, block(bucket, None, NOW, 10), NOW + 10)
    assert 0 == wait
    assert take(bucket, state, NOW + 10)[1] > 0


def test_points_are_restored_during_a_block():
    bucket = CostPoints(name="p", capacity=100, restore=10)
    state = block(bucket, None, NOW, 5)
    assert pytest.approx(5) == take(bucket, state, NOW, 20)[1]
    assert pytest.approx(8.08) == take(bucket, state, NOW, 80)[1]


def test_an_absurd_block_is_pulled_back():
    bucket = Rate(name="r", per_second=5)
    assert 3600 == take(bucket, block(bucket, None, NOW, 1e9), NOW)[1]


def test_a_shorter_block_does_not_shorten_a_longer_one():
    bucket = Rate(name="r", per_second=5)
    assert 600 == take(bucket, block(bucket, block(bucket, None, NOW, 600), NOW, 1), NOW)[1]


def test_a_channel_teaches_a_rate():
    bucket = Rate(name="r", per_second=5)
    spent, _ = take(bucket, None, NOW)
    assert pytest.approx(0.505) == take(bucket, learn(bucket, spent, NOW, restore=2), NOW)[1]


@pytest.mark.parametrize(("told", "wait"), [(0, 2.02), (-1, 2.02), (1e9, 0.0202), (math.nan, 0.202), (math.inf, 0.202)])
def test_a_rate_that_cannot_be_meant_is_bent(told, wait):
    bucket = Rate(name="r", per_second=5)
    learned = learn(bucket, take(bucket, None, NOW)[0], NOW, restore=told)
    assert pytest.approx(wait, rel=1e-3) == take(bucket, learned, NOW)[1]


def test_a_reply_tells_what_is_left_of_the_points():
    bucket = CostPoints(name="p", capacity=1000, restore=50)
    taught = learn(bucket, None, NOW, restore=100, capacity=2000, available=300)
    assert pytest.approx(0.15) == fill(bucket, taught, NOW)
    assert pytest.approx(1.01, rel=1e-3) == take(bucket, taught, NOW, 400)[1]


@pytest.mark.parametrize("bucket", [DAY, MinInterval(name="i", seconds=60)])
def test_a_fixed_limit_has_nothing_to_learn(bucket):
    with pytest.raises(TypeError, match="only Rate and CostPoints can learn"):
        learn(bucket, None, NOW, restore=1)


def test_a_bucket_that_starts_empty_allows_no_burst():
    bucket = Rate(name="r", per_second=10, burst=10)
    state = empty(bucket, NOW)
    assert pytest.approx(0.0, abs=1e-6) == fill(bucket, state, NOW)
    assert pytest.approx(0.101) == take(bucket, state, NOW)[1]
