"""EBay's traps of listings: whole replacement, drafts, what exists already, reading back."""

from dataclasses import replace

import pytest

from marketsync.adapter.api import Aspect, Result, Stock
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Session
from marketsync_adapters.ebay.sandbox import Market, Rules
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from tests.contract.ebay_harness import listing, refereed
from tests.contract.ebay_trials import Recorder, Results, push, run, set_of, variant


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


@pytest.fixture
def market(clock: TurnedClock) -> Market:
    return Market(Rules(), clock)


# -------------------------------------------------------------------- whole replacement


def test_what_marketsync_does_not_know_of_an_item_survives_a_put(market: Market, clock: TurnedClock) -> None:
    """EBay replaces items and offers whole: what other hands have set there is sent back."""

    async def test(session: Session) -> None:
        await session.put_on_sale(["put-1"])
        item, offer = market.shelf.items["put-1"], market.shelf.offer_of("put-1")
        assert offer is not None
        item["packageWeightAndSize"]["dimensions"] = {"height": 1, "length": 2, "width": 3, "unit": "CENTIMETER"}
        item["conditionDescription"] = "scratched"
        item["product"]["epid"] = "99"
        offer.document["storeCategoryNames"] = ["/Chairs"]
        offer.document["listingPolicies"]["bestOfferTerms"] = {"bestOfferEnabled": True}
        text = replace(listing("put-1"), title="Another title")
        assert set_of(await push(session, "listing", [session.op("put-1", Aspect.LISTING, listing=text)])) == {
            Result.APPLIED
        }

    run(market, clock, test)
    item, offer = market.shelf.items["put-1"], market.shelf.offer_of("put-1")
    assert offer is not None
    assert item["product"]["title"] == "Another title"
    assert item["packageWeightAndSize"]["dimensions"]["length"] == 2
    assert (item["conditionDescription"], item["product"]["epid"]) == ("scratched", "99")
    assert offer.document["storeCategoryNames"] == ["/Chairs"]
    assert offer.document["listingPolicies"]["bestOfferTerms"] == {"bestOfferEnabled": True}
    assert offer.document["listingPolicies"]["returnPolicyId"] == "1003"


@pytest.mark.parametrize("stock", [None, Stock(quantity=9)])
def test_a_listing_write_never_raises_stock(market: Market, clock: TurnedClock, stock: Stock | None) -> None:
    """The item's PUT carries a quantity: where stock is not what changed, it is the one that eBay has, sales and all."""

    async def test(session: Session) -> Results:
        await session.put_on_sale(["text-1"], quantity=5)
        market.sales.buy([("text-1", 2)])
        text = replace(listing("text-1"), title="Another title")
        op = replace(session.op("text-1", Aspect.LISTING, listing=text), stock=stock)
        return await push(session, "listing", [op])

    assert set_of(run(market, clock, test)) == {Result.APPLIED}
    assert market.shelf.shown("text-1") == 3


def test_a_price_that_is_held_does_not_leave_with_a_listing(market: Market, clock: TurnedClock) -> None:
    """An op brings its price along; only where the price is what changed is it written."""

    async def test(session: Session) -> Results:
        await session.put_on_sale(["held-1"], minor=1_999)
        text = replace(listing("held-1"), title="Another title")
        op = session.op("held-1", Aspect.LISTING, listing=text, price=session.price(1))
        return await push(session, "listing", [op])

    assert set_of(run(market, clock, test)) == {Result.APPLIED}
    offer = market.shelf.offer_of("held-1")
    assert offer is not None
    assert offer.document["pricingSummary"]["price"] == {"value": "19.99", "currency": "EUR"}


def test_a_listing_without_a_category_costs_no_call(market: Market, clock: TurnedClock) -> None:
    """A category is the number of one of eBay's: without it nothing is sent, and the manager reads why."""

    async def test(session: Session) -> Results:
        return await push(
            session, "listing", [session.op("x-1", Aspect.LISTING, listing=replace(listing("x-1"), category=""))]
        )

    result = run(market, clock, test)["x-1", Aspect.LISTING]
    assert (result.result, result.code) == (Result.REJECTED, "no_category")
    assert not [operation for operation, _ in market.requests if operation == "listing"]


def test_content_language_is_sent_with_every_write_of_items_offers_and_groups(
    market: Market, clock: TurnedClock
) -> None:
    """The header is the marketplace's language; prices and stock go without it."""
    recorder = Recorder(refereed(market))

    async def test(session: Session) -> None:
        await push(session, "listing", [variant(session, "lang-1", "S"), variant(session, "lang-2", "L")])
        await push(session, "listing", [session.op("lang-3", *Aspect)])
        text = replace(listing("lang-3"), description="Another text.")
        await push(session, "listing", [session.op("lang-3", Aspect.LISTING, listing=text)])
        await push(session, "price_stock", [session.op("lang-3", Aspect.STOCK, quantity=2)])

    run(market, clock, test, transport=recorder)
    told = {
        (one.method, one.url.path.split("/v1/")[1].split("/")[0]): one.headers.get("content-language")
        for one in recorder.seen
        if "/sell/inventory/v1/" in one.url.path and one.method in {"POST", "PUT"}
    }
    for call in ("bulk_create_or_replace_inventory_item", "bulk_create_offer"):
        assert told["POST", call] == "de-DE"
    for call in ("inventory_item_group", "offer"):
        assert told["PUT", call] == "de-DE"
    assert told["POST", "bulk_update_price_quantity"] is None


def test_money_travels_as_decimal_strings(market: Market, clock: TurnedClock) -> None:
    """Never a number: eBay's amounts are texts with a currency."""
    recorder = Recorder(refereed(market))

    async def test(session: Session) -> None:
        await session.put_on_sale(["money-1"])
        await push(session, "price_stock", [session.op("money-1", Aspect.PRICE, price=session.price(100_000))])

    run(market, clock, test, transport=recorder)
    (sent,) = recorder.bodies("bulk_update_price_quantity")
    assert sent["requests"][0]["offers"][0]["price"] == {"value": "1000.00", "currency": "EUR"}


# -------------------------------------------------------------------- creating


def test_an_offer_that_exists_is_updated_not_made_twice(market: Market, clock: TurnedClock) -> None:
    """25002 "already exists": the offer is looked up, written and made live; a lost answer heals itself."""

    async def test(session: Session) -> Results:
        await session.put_on_sale(["lost-1"])
        session.offers.known.clear()
        return await push(session, "listing", [session.op("lost-1", *Aspect, price=session.price(777), quantity=3)])

    results = run(market, clock, test)
    assert set_of(results) == {Result.APPLIED}
    offer = market.shelf.offer_of("lost-1")
    assert offer is not None
    assert {offer.offer_id} == {one.channel_id for one in results.values()}
    assert len(market.shelf.offers) == 1
    assert (market.shelf.shown("lost-1"), offer.document["pricingSummary"]["price"]["value"]) == (3, "7.77")


def test_a_draft_that_was_never_published_goes_live(market: Market, clock: TurnedClock) -> None:
    """The answer to the publication was lost, or a person ended the listing: the next write publishes."""

    async def test(session: Session) -> Results:
        await session.put_on_sale(["ended-1"])
        market.shelf.withdraw(session.offers.known["ended-1"], apply=True)
        assert not [one async for one in session.adapter.offers()], "what has ended is not on eBay"
        return await push(session, "listing", [session.op("ended-1", Aspect.LISTING)])

    assert set_of(run(market, clock, test)) == {Result.APPLIED}
    assert market.shelf.shown("ended-1") == 5


def test_without_stock_an_offer_waits_as_a_draft_and_the_first_piece_makes_it_live(
    market: Market, clock: TurnedClock
) -> None:
    """EBay publishes nothing without a piece: the offer gets its id, shows stock 0, and goes live with a restock."""

    async def test(session: Session) -> tuple[Results, int, Results]:
        first = await push(session, "listing", [session.op("wait-1", *Aspect, quantity=0)])
        (seen,) = [one async for one in session.adapter.offers()]
        assert seen.stock is not None
        op = session.op("wait-1", Aspect.STOCK, Aspect.PRICE, quantity=2, price=session.price(555))
        return first, seen.stock.quantity, await push(session, "price_stock", [op])

    first, waiting, then = run(market, clock, test)
    assert set_of(first) == set_of(then) == {Result.APPLIED}
    assert waiting == 0
    assert market.shelf.shown("wait-1") == 2
    offer = market.shelf.offer_of("wait-1")
    assert offer is not None
    assert offer.document["pricingSummary"]["price"]["value"] == "5.55"


def test_a_write_that_breaks_off_in_the_middle_is_unknown_not_forgotten(market: Market, clock: TurnedClock) -> None:
    """The item is written, the offer cannot be read: raising would tell the engine that nothing was done."""

    async def test(session: Session) -> tuple[Results, Results]:
        await session.put_on_sale(["cut-1"])
        market.faults.add(Fault(FaultKind.UNAVAILABLE, "read_offers", times=1_000))
        text = replace(listing("cut-1"), title="Another title")
        op = session.op("cut-1", Aspect.LISTING, listing=text)
        cut = await push(session, "listing", [op])
        market.faults.clear()
        clock.advance(60)
        return cut, await push(session, "listing", [op])

    cut, healed = run(market, clock, test)
    assert (set_of(cut), set_of(healed)) == ({Result.UNKNOWN}, {Result.APPLIED})


# -------------------------------------------------------------------- reading back


def test_an_offset_of_items_is_a_page_number(market: Market, clock: TurnedClock) -> None:
    """450 items are three pages: 0, 1 and 2, not 0, 200 and 400."""
    recorder = Recorder(refereed(market))
    skus = [f"page-{number:03d}" for number in range(450)]

    async def test(session: Session) -> set[str]:
        await session.put_on_sale(skus)
        return {one.sku async for one in session.adapter.offers()}

    assert run(market, clock, test, transport=recorder, read_prices=False) == set(skus)
    pages = [one.url.params["offset"] for one in recorder.seen if one.url.path.endswith("/inventory_item")]
    assert pages == ["0", "1", "2"]


def test_without_prices_known_offers_cost_no_call_of_their_own(market: Market, clock: TurnedClock) -> None:
    """read_prices off: one call for 200 items; an offer whose id nobody knows is looked up all the same."""

    async def test(session: Session) -> dict[str, tuple[str | None, bool]]:
        await session.put_on_sale(["known-1", "strange-1"])
        del session.offers.known["strange-1"]
        return {one.sku: (one.channel_id, one.price is None) async for one in session.adapter.offers()}

    offers = run(market, clock, test, read_prices=False)
    ids = {sku: offer.offer_id for sku in offers if (offer := market.shelf.offer_of(sku)) is not None}
    assert offers == {"known-1": (ids["known-1"], True), "strange-1": (ids["strange-1"], False)}
    assert market.requests["read_offers", 200] == 1
