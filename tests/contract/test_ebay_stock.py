"""EBay's traps of prices and stock: chunks, zero, revisions, quotas; and how fast a backlog drains."""

import pytest

from marketsync.adapter.api import Aspect, Money, Price, PushResult, Result
from marketsync.adapter.errors import ChannelBlocked, QuotaSpent
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Session
from marketsync_adapters.ebay.sandbox import Market, Rules
from marketsync_adapters.ebay.sandbox.shelf import quantity_of
from tests.contract.ebay_trials import Results, push, run, set_of

NO_CONTROL = frozenset({"SELLING_POLICY_MANAGEMENT"})


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


@pytest.fixture
def market(clock: TurnedClock) -> Market:
    return Market(Rules(), clock)


# -------------------------------------------------------------------- prices and stock


def test_a_chunk_that_ebay_refuses_as_a_whole_goes_one_by_one(clock: TurnedClock) -> None:
    """One of eBay's two documents allows one SKU per call: nothing is lost where that one is right."""
    market = Market(Rules(one_sku_per_update=True), clock)
    skus = [f"chunk-{number}" for number in range(5)]

    async def test(session: Session) -> Results:
        await session.put_on_sale(skus)
        return await push(session, "price_stock", [session.op(sku, Aspect.STOCK, quantity=2) for sku in skus])

    assert set_of(run(market, clock, test)) == {Result.APPLIED}
    assert market.requests["price_stock", 400] == 1
    assert market.requests["price_stock", 200] == 5
    assert {market.shelf.shown(sku) for sku in skus} == {2}


def test_the_chunk_size_is_a_setting(market: Market, clock: TurnedClock) -> None:
    """With price_stock_chunk 1 the detour over the refusal is saved."""
    skus = [f"one-{number}" for number in range(5)]

    async def test(session: Session) -> Results:
        await session.put_on_sale(skus)
        return await push(session, "price_stock", [session.op(sku, Aspect.STOCK, quantity=2) for sku in skus])

    assert set_of(run(market, clock, test, price_stock_chunk=1)) == {Result.APPLIED}
    assert market.requests["price_stock", 200] == 5


def test_a_refused_price_does_not_keep_the_stock_from_falling(market: Market, clock: TurnedClock) -> None:
    """In one entry eBay refuses both: the stock goes again, alone."""

    async def test(session: Session) -> Results:
        await session.put_on_sale(["mixed-1", "mixed-2"])
        wrong = Price(amount=Money(999, "USD"))
        ops = [
            session.op("mixed-1", Aspect.PRICE, Aspect.STOCK, price=wrong, quantity=0),
            session.op("mixed-2", Aspect.PRICE, Aspect.STOCK, quantity=1),
        ]
        return await push(session, "price_stock", ops)

    results = run(market, clock, test)
    refused = results["mixed-1", Aspect.PRICE]
    assert (refused.result, refused.code) == (Result.REJECTED, "25003")
    assert "price rule" in refused.hint
    assert results["mixed-1", Aspect.STOCK].result is Result.APPLIED
    assert (market.shelf.shown("mixed-1"), market.shelf.shown("mixed-2")) == (0, 1)


def test_an_offer_shows_no_more_than_its_item_has(market: Market, clock: TurnedClock) -> None:
    """A quantity that another tool gave the offer neither hides a restock nor oversells."""

    async def test(session: Session) -> list[int | None]:
        await session.put_on_sale(["cap-1"], quantity=5)
        offer = market.shelf.offer_of("cap-1")
        assert offer is not None
        offer.document["availableQuantity"] = 2
        shown = [market.shelf.shown("cap-1")]
        for quantity in (4, 3):
            await push(session, "price_stock", [session.op("cap-1", Aspect.STOCK, quantity=quantity)])
            assert offer.document["availableQuantity"] <= quantity_of(market.shelf.items["cap-1"])
            shown.append(market.shelf.shown("cap-1"))
        return shown

    assert run(market, clock, test) == [2, 4, 3]


def test_a_listing_write_lifts_the_cap_that_an_earlier_stock_write_set(market: Market, clock: TurnedClock) -> None:
    """The offer's own quantity goes with the write of the whole offer: what the item has is shown."""

    async def test(session: Session) -> Results:
        await session.put_on_sale(["lift-1"], quantity=5)
        await push(session, "price_stock", [session.op("lift-1", Aspect.STOCK, quantity=2)])
        return await push(session, "listing", [session.op("lift-1", *Aspect, quantity=6)])

    assert set_of(run(market, clock, test)) == {Result.APPLIED}
    assert market.shelf.shown("lift-1") == 6


def test_zero_keeps_the_listing_with_out_of_stock_control(market: Market, clock: TurnedClock) -> None:
    """The listing stays, and is filled again without being published anew."""

    async def test(session: Session) -> list[str]:
        await session.put_on_sale(["zero-1"])
        offer = market.shelf.offer_of("zero-1")
        assert offer is not None
        ids = [offer.listing_id]
        for quantity in (0, 4):
            results = await push(session, "price_stock", [session.op("zero-1", Aspect.STOCK, quantity=quantity)])
            assert set_of(results) == {Result.APPLIED}
            ids.append(offer.listing_id)
        return ids

    assert len(set(run(market, clock, test))) == 1
    assert market.shelf.shown("zero-1") == 4


def test_zero_ends_the_listing_without_out_of_stock_control_and_a_restock_lists_again(clock: TurnedClock) -> None:
    """EBay takes no zero there: the listing is ended first; the next piece makes the same offer live again."""
    market = Market(Rules(programs=NO_CONTROL), clock)

    async def test(session: Session) -> list[tuple[set[Result], int | None, str]]:
        await session.put_on_sale(["end-1"])
        offer = market.shelf.offer_of("end-1")
        assert offer is not None
        steps = []
        for quantity in (0, 0, 4):
            results = await push(session, "price_stock", [session.op("end-1", Aspect.STOCK, quantity=quantity)])
            steps.append((set_of(results), market.shelf.shown("end-1"), offer.offer_id))
        return steps

    steps = run(market, clock, test, out_of_stock_control=False)
    assert [step[:2] for step in steps] == [({Result.APPLIED}, None), ({Result.APPLIED}, None), ({Result.APPLIED}, 4)]
    assert len({step[2] for step in steps}) == 1


def test_check_tells_when_the_setting_and_the_account_disagree_about_zero(clock: TurnedClock) -> None:
    """The setting says that listings stay at zero, the account ends them: a person decides before anything is sold."""
    market = Market(Rules(programs=NO_CONTROL), clock)

    async def test(session: Session) -> str:
        with pytest.raises(ChannelBlocked, match="out_of_stock_control") as raised:
            await session.adapter.check()
        return raised.value.code

    assert run(market, clock, test) == "no_out_of_stock_control"


def test_the_251st_revision_of_a_day_is_refused_with_the_reason(market: Market, clock: TurnedClock) -> None:
    """The engine counts 250 a day from the spec; where other tools have used them up, the refusal says so."""

    async def test(session: Session) -> list[PushResult]:
        assert session.adapter.spec.revisions_per_day == 250
        await session.put_on_sale(["often-1"])
        found = []
        for number in range(251):
            op = session.op("often-1", Aspect.STOCK, quantity=number % 9 + 1)
            found += (await push(session, "price_stock", [op])).values()
        clock.advance(86_400)
        found += (await push(session, "price_stock", [session.op("often-1", Aspect.STOCK, quantity=2)])).values()
        return found

    results = run(market, clock, test)
    assert {one.result for one in results[:250]} == {Result.APPLIED}
    assert (results[250].result, results[250].code) == (Result.REJECTED, "25019")
    assert "250 times today" in results[250].hint
    assert results[251].result is Result.APPLIED


# -------------------------------------------------------------------- the account


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("fulfillment_policy_id", "9", "unknown_policy"),
        ("merchant_location_key", "nowhere", "unknown_location"),
        ("marketplace", "EBAY_GB", "wrong_policy"),
    ],
)
def test_check_names_the_setting_that_listing_would_fail_on(
    market: Market, clock: TurnedClock, setting: str, value: str, code: str
) -> None:
    """Policies and location are looked up before the first listing is."""

    async def test(session: Session) -> str:
        with pytest.raises(ChannelBlocked) as raised:
            await session.adapter.check()
        return raised.value.code

    assert run(market, clock, test, **{setting: value}) == code


def test_check_learns_the_days_quota(clock: TurnedClock) -> None:
    """What getRateLimits tells stands in the line; a spent quota says until when, a smaller one is told."""
    market = Market(Rules(calls_per_day={"inventory": 1_000, "fulfillment": 100_000}), clock)

    async def test(session: Session) -> str:
        line: str = await session.adapter.check()
        market.gate.used["fulfillment", market.gate._day()] = 100_000
        with pytest.raises(QuotaSpent) as raised:
            await session.adapter.check()
        assert raised.value.until > clock.now()
        return line

    assert "of 1000 inventory calls left today" in run(market, clock, test)
