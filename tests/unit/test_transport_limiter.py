"""The limiter: all or nothing over several buckets, and what survives a restart."""

import asyncio
from datetime import UTC, datetime, time, timedelta

import pytest

from marketsync.adapter.spec import CostPoints, MinInterval, Quota, Rate
from marketsync.domain.limits import BucketState
from marketsync.testing.clock import TurnedClock
from marketsync.testing.stores import MemoryBuckets
from marketsync.transport.limiter import Limiter

FAST = Rate(name="fast", per_second=10, burst=5)
SLOW = MinInterval(name="slow", seconds=60)
DAY = Quota(name="day", limit=3, window=timedelta(days=1), resets=time(0, 0))
POINTS = CostPoints(name="points", capacity=1000, restore=100)


class Broken:
    async def update(self, *_):
        raise OSError("the disk is full")


def limiter(*buckets, clock=None, store=None):
    clock = clock or TurnedClock()
    made = Limiter("shop", buckets, clock, MemoryBuckets() if store is None else store)
    clock.advance(3600)  # past the empty start
    return made, clock


def test_a_fast_bucket_starts_empty_so_that_a_restart_is_no_second_burst():
    fresh = Limiter("shop", [FAST], TurnedClock(), MemoryBuckets())
    assert pytest.approx(0.101) == asyncio.run(fresh.reserve(["fast"]))
    assert pytest.approx(0, abs=1e-9) == fresh.snapshot()["fast"]


def test_a_slow_bucket_and_a_quota_survive_a_restart():
    store, clock = MemoryBuckets(), TurnedClock()

    async def scenario():
        first = Limiter("shop", [SLOW, DAY], clock, store)
        assert 0 == await first.reserve(["slow", "day"])
        second = Limiter("shop", [SLOW, DAY], clock, store)
        assert pytest.approx(60.6) == await second.reserve(["slow", "day"])
        clock.advance(61)
        assert 0 == await second.reserve(["slow", "day"])
        return second.quotas()

    assert {"day": (1, 3)} == asyncio.run(scenario())


def test_what_is_fast_is_not_stored():
    store = MemoryBuckets()
    made, _ = limiter(FAST, POINTS, store=store)
    assert 0 == asyncio.run(made.reserve(["fast", "points"], 10))
    assert {} == store.states


def test_a_later_bucket_that_says_wait_gives_the_earlier_ones_back():
    made, clock = limiter(FAST, SLOW, DAY)

    async def scenario():
        assert 0 == await made.reserve(["fast", "day", "slow"])
        for _ in range(10):
            assert await made.reserve(["fast", "day", "slow"]) > 0
        assert {"day": (2, 3)} == made.quotas()
        assert 10 == made.waits["slow"]
        assert [0, 0, 0, 0] == [await made.reserve(["fast"]) for _ in range(4)]

    asyncio.run(scenario())
    assert clock.monotonic() == 3600


def test_a_failing_store_does_not_eat_the_fast_buckets():
    made, _ = limiter(FAST, DAY, store=Broken())

    async def scenario():
        for _ in range(20):
            with pytest.raises(OSError, match="full"):
                await made.reserve(["fast", "day"])
        return [await made.reserve(["fast"]) for _ in range(5)]

    assert [0.0] * 5 == asyncio.run(scenario())


def test_giving_back_makes_the_slot_free_again():
    made, _ = limiter(FAST, SLOW, DAY)

    async def scenario():
        assert 0 == await made.reserve(["slow", "day"])
        await made.give_back(["slow", "day"])
        return await made.reserve(["slow", "day"]), made.quotas()["day"]

    assert (0.0, (2, 3)) == asyncio.run(scenario())


@pytest.mark.parametrize("bucket", [FAST, SLOW, DAY, POINTS], ids=lambda bucket: bucket.name)
def test_a_block_silences_a_bucket_of_any_kind_and_is_shown(bucket):
    made, clock = limiter(bucket)

    async def scenario():
        await made.block(bucket.name, 120)
        assert pytest.approx(120) == await made.reserve([bucket.name])
        assert {bucket.name: clock.now() + timedelta(seconds=120)} == made.blocked()
        assert {bucket.name: 0.0} == made.snapshot()
        clock.advance(120.1)
        assert 0 == await made.reserve([bucket.name])
        assert {} == made.blocked()

    asyncio.run(scenario())


def test_a_stored_bucket_applies_what_it_learned_with_its_next_call():
    store = MemoryBuckets()
    bucket = Rate(name="orders", per_second=0.0056)
    made, _ = limiter(bucket, store=store)

    async def scenario():
        made.learn("orders", restore=0.0167)
        assert 0 == await made.reserve(["orders"])
        return await made.reserve(["orders"])

    assert pytest.approx(1.01 / 0.0167) == asyncio.run(scenario())
    assert 0.0167 == store.states["shop", "orders"].learned


def test_points_follow_what_the_channel_says_is_left():
    made, _ = limiter(POINTS)
    made.learn("points", restore=200, capacity=2000, available=500)
    assert pytest.approx(0.25) == made.snapshot()["points"]
    assert pytest.approx(1.01 * 100 / 200) == asyncio.run(made.reserve(["points"], 600))


def test_a_quota_cannot_be_taught():
    made, _ = limiter(DAY)
    with pytest.raises(TypeError, match="'day' has a fixed limit"):
        made.learn("day", restore=1)


def test_a_wall_clock_that_was_wrong_does_not_silence_a_stored_bucket():
    clock = TurnedClock(datetime(2030, 1, 1, tzinfo=UTC))
    store = MemoryBuckets()

    async def scenario():
        made = Limiter("shop", [SLOW], clock, store)
        assert 0 == await made.reserve(["slow"])
        clock.set(datetime(2026, 1, 1, tzinfo=UTC))
        assert pytest.approx(60.6) == await made.reserve(["slow"])
        clock.advance(61)
        return await made.reserve(["slow"])

    assert 0 == asyncio.run(scenario())


def test_memory_buckets_do_not_look_at_the_wall_clock():
    made, clock = limiter(FAST)

    async def scenario():
        for _ in range(5):
            await made.reserve(["fast"])
        clock.set(clock.now() + timedelta(days=9))
        return await made.reserve(["fast"])

    assert pytest.approx(0.101) == asyncio.run(scenario())


def test_a_bucket_that_the_spec_does_not_name_is_an_error_that_says_so():
    made, _ = limiter(FAST)
    with pytest.raises(KeyError, match="no bucket 'fsat'; it names: fast"):
        asyncio.run(made.reserve(["fsat"]))


def test_states_made_by_the_arithmetic_are_what_is_stored():
    store = MemoryBuckets()
    made, clock = limiter(DAY, store=store)
    asyncio.run(made.reserve(["day"]))
    midnight = clock.now().replace(hour=0, minute=0).timestamp()
    stored = store.states["shop", "day"]
    assert BucketState(tat=stored.tat, used=1.0, window=midnight) == stored
