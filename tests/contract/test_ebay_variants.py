"""EBay's traps of variants: one listing, one group, replaced whole."""

from dataclasses import replace

import pytest

from marketsync.adapter.api import Aspect, Result
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Session
from marketsync_adapters.ebay.sandbox import Market, Rules
from tests.contract.ebay_trials import Results, push, run, set_of, variant


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


@pytest.fixture
def market(clock: TurnedClock) -> Market:
    return Market(Rules(), clock)


def test_a_family_is_one_listing_and_each_variant_has_its_own_stock(market: Market, clock: TurnedClock) -> None:
    """Items, offers, a group, one publication; what the variants share is the group's, their options tell them apart."""

    async def test(session: Session) -> Results:
        ops = [variant(session, f"v-{size}", size, quantity=number) for number, size in enumerate("SML", 1)]
        return await push(session, "listing", ops)

    assert set_of(run(market, clock, test)) == {Result.APPLIED}
    group = market.shelf.groups["chair"]
    assert group.document["variesBy"]["specifications"] == [{"name": "Size", "values": ["S", "M", "L"]}]
    assert group.document["aspects"] == {"Material": ["Oak"]}
    assert [market.shelf.shown(f"v-{size}") for size in "SML"] == [1, 2, 3]
    assert {offer.listing_id for offer in market.shelf.offers.values()} == {group.listing_id}


def test_members_that_are_not_written_stay_in_their_group(market: Market, clock: TurnedClock) -> None:
    """Replacing a group drops who is left out: context members, refused ones and foreign ones are all named."""

    async def test(session: Session) -> Results:
        await push(session, "listing", [variant(session, f"v-{size}", size) for size in "SML"])
        market.shelf.put_item(
            {
                "sku": "foreign",
                "locale": "de_DE",
                "condition": "NEW",
                "product": {"title": "x", "aspects": {"Size": ["XL"], "Material": ["Oak"]}},
            },
            apply=True,
        )
        market.shelf.groups["chair"].document["variantSKUs"].append("foreign")
        bad = variant(session, "v-M", "M", Aspect.LISTING)
        assert bad.listing is not None
        ops = [
            variant(session, "v-S", "Small", Aspect.LISTING),
            replace(bad, listing=replace(bad.listing, title="y" * 81)),
            replace(variant(session, "v-L", "L", Aspect.LISTING), changed=frozenset(), stock=None),
        ]
        return await push(session, "listing", ops)

    results = run(market, clock, test)
    assert results["v-S", Aspect.LISTING].result is Result.APPLIED
    assert (results["v-M", Aspect.LISTING].result, results["v-M", Aspect.LISTING].code) == (Result.REJECTED, "25016")
    group = market.shelf.groups["chair"].document
    assert set(group["variantSKUs"]) == {"v-S", "v-M", "v-L", "foreign"}
    assert set(group["variesBy"]["specifications"][0]["values"]) == {"Small", "M", "L", "XL"}
    assert {market.shelf.shown(f"v-{size}") for size in "SML"} == {5}


def test_a_new_variant_joins_a_listing_that_is_live(market: Market, clock: TurnedClock) -> None:
    """The group is published again: the new offer takes the family's listing."""

    async def test(session: Session) -> Results:
        await push(session, "listing", [variant(session, f"v-{size}", size) for size in "SM"])
        ops = [replace(variant(session, f"v-{size}", size), changed=frozenset()) for size in "SM"]
        return await push(session, "listing", [*ops, variant(session, "v-L", "L")])

    assert set_of(run(market, clock, test)) == {Result.APPLIED}
    assert len({offer.listing_id for offer in market.shelf.offers.values()}) == 1
    assert market.shelf.shown("v-L") == 5


def test_one_variant_leaves_and_the_others_stay(market: Market, clock: TurnedClock) -> None:
    """Its offer is deleted; one that has sold stays on the listing with stock zero, as eBay wants it."""

    async def test(session: Session) -> list[Results]:
        await push(session, "listing", [variant(session, f"v-{size}", size) for size in "SML"])
        market.sales.buy([("v-M", 1)])
        found = []
        for size in "SM":
            gone = replace(session.withdrawal(f"v-{size}", frozenset({Aspect.LISTING})), family="chair")
            stays = replace(variant(session, "v-L", "L"), changed=frozenset(), stock=None)
            found.append(await push(session, "withdraw", [gone, stays]))
        return found

    assert [set_of(results) for results in run(market, clock, test)] == [{Result.APPLIED}] * 2
    assert [market.shelf.shown(f"v-{size}") for size in "SML"] == [None, 0, 5]
    assert market.shelf.groups["chair"].document["variantSKUs"] == ["v-M", "v-L"]


@pytest.mark.parametrize(("setting", "left"), [("end", 2), ("delete", 0)])
def test_a_whole_family_leaves_at_once(market: Market, clock: TurnedClock, setting: str, left: int) -> None:
    """One call ends the listing; the drafts stay or are deleted, as the setting says."""

    async def test(session: Session) -> Results:
        await push(session, "listing", [variant(session, f"v-{size}", size) for size in "SM"])
        gone = [replace(session.withdrawal(f"v-{size}", frozenset({Aspect.LISTING})), family="chair") for size in "SM"]
        return await push(session, "withdraw", gone)

    assert set_of(run(market, clock, test, on_withdraw=setting)) == {Result.APPLIED}
    assert [market.shelf.shown(f"v-{size}") for size in "SM"] == [None, None]
    assert len(market.shelf.offers) == left


def test_a_member_whose_price_alone_changed_goes_the_short_way(market: Market, clock: TurnedClock) -> None:
    """A family's batch may hold such members: no item and no offer is written for them."""

    async def test(session: Session) -> Results:
        await push(session, "listing", [variant(session, f"v-{size}", size) for size in "SM"])
        ops = [
            variant(session, "v-S", "S", Aspect.LISTING),
            replace(variant(session, "v-M", "M", Aspect.PRICE, price=session.price(888)), listing=None, stock=None),
        ]
        return await push(session, "listing", ops)

    assert set_of(run(market, clock, test)) == {Result.APPLIED}
    offer = market.shelf.offer_of("v-M")
    assert offer is not None
    assert offer.document["pricingSummary"]["price"]["value"] == "8.88"
    assert set(market.shelf.groups["chair"].document["variantSKUs"]) == {"v-S", "v-M"}


def test_a_family_that_waited_for_stock_goes_live_with_its_first_piece(market: Market, clock: TurnedClock) -> None:
    """Its drafts can only be published together."""

    async def test(session: Session) -> tuple[Results, Results]:
        ops = [variant(session, f"v-{size}", size, quantity=0) for size in "SM"]
        waits = await push(session, "listing", ops)
        op = replace(variant(session, "v-S", "S", Aspect.STOCK, quantity=3), listing=None, price=None)
        return waits, await push(session, "price_stock", [op])

    waits, live = run(market, clock, test)
    assert set_of(waits) == set_of(live) == {Result.APPLIED}
    assert [market.shelf.shown(f"v-{size}") for size in "SM"] == [3, 0]
