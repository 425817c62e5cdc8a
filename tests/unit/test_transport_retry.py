"""Which errors are tried again in process, how often, and what is raised in the end."""

import asyncio
from datetime import timedelta

import pytest

from marketsync.adapter.errors import (
    AdapterError,
    AuthRefused,
    ItemRefused,
    OutcomeUnknown,
    RateLimited,
    Unavailable,
    UnexpectedReply,
)
from marketsync.testing.clock import TurnedClock
from marketsync.transport.retry import with_retries


def run(*outcomes, idempotent=True, again=lambda: True, takes=0.0):
    """(what came out, how many tries, seconds slept and worked)."""
    clock = TurnedClock(auto=True)
    left = list(outcomes)

    async def call():
        clock.advance(takes)
        outcome = left.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def scenario():
        try:
            return await with_retries(call, clock=clock, idempotent=idempotent, again=again)
        except (AdapterError, ValueError, asyncio.CancelledError) as error:
            return error

    result = asyncio.run(scenario())
    return result, len(outcomes) - len(left), clock.monotonic()


def wait(seconds):
    return timedelta(seconds=seconds)


def test_what_was_certainly_not_processed_is_tried_up_to_three_times():
    assert ("ok", 2) == run(Unavailable("1"), "ok")[:2]
    error, tries, _ = run(Unavailable("1"), Unavailable("2"), Unavailable("3"), "ok")
    assert (3, "3") == (tries, str(error))


def test_the_pauses_grow_and_are_jittered():
    seconds = {run(Unavailable("1"), Unavailable("2"), "ok")[2] for _ in range(20)}
    assert len(seconds) > 10
    assert all(0.75 <= s <= 2.25 for s in seconds)


def test_a_pause_is_never_shorter_than_the_channel_asks_for():
    assert run(RateLimited("slowly", retry_after=wait(12)), "ok")[2] >= 12


@pytest.mark.parametrize("seconds", [21, 3600])
@pytest.mark.parametrize("kind", [RateLimited, Unavailable, OutcomeUnknown])
def test_a_longer_wait_surfaces_at_once_with_its_time(kind, seconds):
    error, tries, slept = run(kind("later", retry_after=wait(seconds)), "ok")
    assert (kind, wait(seconds), 1, 0) == (type(error), error.retry_after, tries, slept)


def test_a_rate_limit_that_does_not_say_how_long_is_not_tried_again():
    assert 1 == run(RateLimited("slowly"), "ok")[1]


def test_all_tries_together_stay_within_twenty_seconds():
    _, tries, seconds = run(Unavailable("1", retry_after=wait(15)), Unavailable("2", retry_after=wait(15)), "ok")
    assert (2, 15) == (tries, round(seconds))
    assert 1 == run(Unavailable("slow"), "ok", takes=20)[1]


def test_an_unknown_outcome_is_tried_again_only_where_twice_is_as_good_as_once():
    assert ("ok", 2) == run(OutcomeUnknown("?"), "ok")[:2]
    error, tries, _ = run(OutcomeUnknown("?"), "ok", idempotent=False)
    assert (OutcomeUnknown, 1) == (type(error), tries)


@pytest.mark.parametrize("error", [ItemRefused("no"), AuthRefused("who?"), UnexpectedReply("what?"), ValueError("bug")])
def test_what_time_does_not_heal_is_not_tried_again(error):
    assert (error, 1) == run(error, "ok")[:2]


def test_cancelling_is_never_an_error_to_try_again():
    error, tries, _ = run(asyncio.CancelledError(), "ok")
    assert (asyncio.CancelledError, 1) == (type(error), tries)


def test_the_caller_may_say_that_another_try_makes_no_sense():
    assert 1 == run(Unavailable("1"), "ok", again=lambda: False)[1]


@pytest.mark.parametrize(
    "last",
    [Unavailable("down", retry_after=wait(30)), RateLimited("slowly", retry_after=wait(30)), AuthRefused("who?")],
)
def test_a_write_that_may_have_been_done_stays_unknown_whatever_a_later_try_says(last):
    error, tries, _ = run(OutcomeUnknown("lost", evidence="…"), last)
    assert (OutcomeUnknown, 2) == (type(error), tries)
    assert f"lost; then: {last.message}" == str(error)
    assert getattr(last, "retry_after", None) == error.retry_after


def test_a_rejection_after_a_lost_answer_is_a_rejection():
    assert ItemRefused is type(run(OutcomeUnknown("lost"), ItemRefused("no"))[0])
