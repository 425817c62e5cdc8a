"""Faults: every way in which a channel fails becomes the error that the engine knows what to do with."""

import pytest

from marketsync.adapter.api import Aspect, PullsOrders, PushesOffers, ReadsOffers, Result
from marketsync.adapter.errors import (
    AdapterError,
    AuthRefused,
    OutcomeUnknown,
    RateLimited,
    Retryable,
    Unavailable,
    UnexpectedReply,
)
from marketsync.testing.contract.harness import Harness, Session
from marketsync.testing.contract.orders import pull
from marketsync_adapters.sandbox.faults import FaultKind

ALWAYS = 1_000  # more often than anything is tried

# What a write may raise. A 5xx says nothing about whether it was processed, unless it is a 503.
WRITE_ERRORS: dict[FaultKind, tuple[type[AdapterError], ...]] = {
    FaultKind.RATE_LIMITED: (RateLimited,),
    FaultKind.ERROR: (OutcomeUnknown, Unavailable),
    FaultKind.ERROR_AFTER: (OutcomeUnknown,),
    FaultKind.UNAVAILABLE: (Unavailable,),
    FaultKind.HTML: (OutcomeUnknown, Unavailable),
    FaultKind.HUGE: (OutcomeUnknown, Unavailable),
    FaultKind.TIMEOUT_BEFORE: (OutcomeUnknown,),
    FaultKind.TIMEOUT_AFTER: (OutcomeUnknown,),
    FaultKind.TRUNCATED: (OutcomeUnknown,),
}


class FaultContract:
    @pytest.mark.parametrize("kind", list(WRITE_ERRORS))
    def test_a_write_that_fails_says_how(self, harness: Harness, kind: FaultKind) -> None:
        """The error tells whether the write may have been applied; it is never taken for a success or a refusal."""
        harness.needs(PushesOffers)

        async def test(session: Session) -> None:
            await session.put_on_sale(["fault-1"])
            door = session.door(Aspect.STOCK)
            harness.hands.fault(door.name, kind, times=ALWAYS)
            with pytest.raises(WRITE_ERRORS[kind]) as raised:
                await session.adapter.push(door.name, [session.op("fault-1", Aspect.STOCK, quantity=1)])
            _assert_fit_for_people(harness, raised.value)

        harness.run(test)

    @pytest.mark.parametrize("kind", list(WRITE_ERRORS))
    def test_a_read_that_fails_can_be_tried_again(self, harness: Harness, kind: FaultKind) -> None:
        """Reading changes nothing: whatever happens to it is retryable."""
        harness.needs(PullsOrders)

        async def test(session: Session) -> None:
            harness.hands.fault("orders", kind, times=ALWAYS)
            with pytest.raises((Retryable, UnexpectedReply)) as raised:
                await pull(session)
            _assert_fit_for_people(harness, raised.value)

        harness.run(test)

    @pytest.mark.parametrize("kind", [FaultKind.TIMEOUT_AFTER, FaultKind.ERROR_AFTER, FaultKind.TRUNCATED])
    def test_the_same_value_again_heals_a_lost_answer(self, harness: Harness, kind: FaultKind) -> None:
        """A write whose answer was lost may be sent again: the channel ends with the value, once."""
        harness.needs(PushesOffers)

        async def test(session: Session) -> None:
            await session.put_on_sale(["heal-1"])
            door = session.door(Aspect.STOCK)
            harness.hands.fault(door.name, kind, times=ALWAYS)
            op = session.op("heal-1", Aspect.STOCK, quantity=3)
            with pytest.raises(OutcomeUnknown):
                await session.adapter.push(door.name, [op])
            harness.hands.end_faults()
            assert (await session.push(door, [op]))["heal-1", Aspect.STOCK].result is Result.APPLIED

        harness.run(test)
        assert harness.hands.shown_stock("heal-1") == 3

    def test_reading_back_uncovers_what_was_never_applied(self, harness: Harness) -> None:
        """A channel that says yes and does nothing is found out by reading."""
        harness.needs(PushesOffers, ReadsOffers)

        async def test(session: Session) -> int | None:
            await session.put_on_sale(["never-1"], quantity=5)
            door = session.door(Aspect.STOCK)
            harness.hands.fault(door.name, FaultKind.NOT_APPLIED, times=ALWAYS)
            await session.push(door, [session.op("never-1", Aspect.STOCK, quantity=1)])
            seen = (await session.read(["never-1"]))["never-1"]
            return seen.stock.quantity if seen.stock else None

        assert harness.run(test) == 5

    def test_a_slow_answer_is_an_answer(self, harness: Harness) -> None:
        """Slow is not broken."""
        harness.needs(PushesOffers)

        async def test(session: Session) -> Result:
            await session.put_on_sale(["slow-1"])
            door = session.door(Aspect.STOCK)
            harness.hands.fault(door.name, FaultKind.SLOW)
            results = await session.push(door, [session.op("slow-1", Aspect.STOCK, quantity=4)])
            return results["slow-1", Aspect.STOCK].result

        assert harness.run(test) is Result.APPLIED

    def test_wrong_credentials_are_refused_at_once(self, harness: Harness) -> None:
        """A wrong key blocks the channel with a sentence for a person, and is not repeated in it."""

        async def test(session: Session) -> AuthRefused:
            with pytest.raises(AuthRefused) as raised:
                await session.adapter.check()
            return raised.value

        error = harness.run(test, credentials=harness.wrong_credentials)
        _assert_fit_for_people(harness, error)


def _assert_fit_for_people(harness: Harness, error: AdapterError) -> None:
    """An error's texts are short, say something, and hold no secret."""
    assert error.message
    assert "\n" not in error.message
    text = f"{error!r} {error.message} {error.code} {error.evidence}"
    assert len(text) < 10_000
    assert not [secret for secret in harness.secrets if secret in text]
