"""The breaker: when it opens, whom it lets in, and that it speaks once."""

from datetime import timedelta

import pytest

from marketsync.adapter.errors import AuthRefused, ItemRefused, OutcomeUnknown, RateLimited, Unavailable
from marketsync.testing.clock import TurnedClock
from marketsync.transport.breaker import Breaker


class Log:
    def __init__(self):
        self.events = []

    def info(self, event, **_):
        self.events.append(event)

    warning = info


def breaker():
    clock, log = TurnedClock(), Log()
    return Breaker("shop", clock, log), clock, log


def fail(made, times, error=None):
    for _ in range(times):
        made.leave(error or Unavailable("down"), probe=made.enter())


def opened():
    made, clock, log = breaker()
    fail(made, 5)
    return made, clock, log


def test_five_failures_in_a_row_open_it():
    made, _, _ = breaker()
    fail(made, 4)
    assert "closed" == made.state
    fail(made, 1, OutcomeUnknown("silence"))
    assert "open" == made.state
    with pytest.raises(Unavailable, match="shop did not answer 5 times in a row") as refused:
        made.enter()
    assert timedelta(seconds=5) == refused.value.retry_after


@pytest.mark.parametrize("error", [None, ItemRefused("no"), AuthRefused("who?")])
def test_any_answer_starts_the_count_anew(error):
    made, _, _ = breaker()
    for _ in range(10):
        fail(made, 4)
        made.leave(error, probe=made.enter())
    assert "closed" == made.state


def test_a_rate_limit_and_a_cancelled_task_count_neither_way():
    made, _, _ = breaker()
    fail(made, 20, RateLimited("slowly"))
    fail(made, 20, KeyboardInterrupt())
    assert "closed" == made.state
    fail(made, 4)
    fail(made, 1, RateLimited("slowly"))
    fail(made, 1)
    assert "open" == made.state


def test_half_open_lets_one_probe_in():
    made, clock, _ = opened()
    clock.advance(5)
    assert "half_open" == made.state
    assert made.enter()
    with pytest.raises(Unavailable) as refused:
        made.enter()
    assert timedelta(seconds=1) == refused.value.retry_after


def test_a_probe_that_is_answered_closes_it():
    made, clock, log = opened()
    clock.advance(5)
    made.leave(ItemRefused("no"), probe=made.enter())
    assert "closed" == made.state
    assert not made.enter()
    assert ["channel_unreachable", "channel_reachable_again"] == log.events


def test_each_failed_probe_doubles_the_pause_up_to_five_minutes_and_is_not_logged():
    made, clock, log = opened()
    pauses = []
    for _ in range(8):
        clock.advance(made.wait())
        fail(made, 1)
        pauses.append(made.wait())
    assert [10, 20, 40, 80, 160, 300, 300, 300] == pauses
    assert ["channel_unreachable"] == log.events


def test_the_next_outage_starts_with_a_short_pause_again():
    made, clock, _ = opened()
    for _ in range(4):
        clock.advance(made.wait())
        fail(made, 1)
    clock.advance(made.wait())
    made.leave(None, probe=made.enter())
    fail(made, 5)
    assert 5 == made.wait()


@pytest.mark.parametrize("outcome", [RateLimited("slowly"), KeyboardInterrupt()])
def test_a_probe_that_tells_nothing_makes_room_for_the_next(outcome):
    made, clock, _ = opened()
    clock.advance(5)
    made.leave(outcome, probe=made.enter())
    assert "half_open" == made.state
    assert made.enter()


def test_a_request_that_left_before_it_opened_neither_prolongs_the_pause_nor_frees_the_probe():
    made, clock, _ = breaker()
    late = made.enter()
    fail(made, 5)
    clock.advance(2)
    made.leave(Unavailable("down"), probe=late)
    assert 3 == made.wait()
    clock.advance(3)
    made.enter()
    made.leave(KeyboardInterrupt(), probe=late)
    with pytest.raises(Unavailable):
        made.enter()
