"""EBay's traps of listings, prices and stock, each with the calls that meet it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from marketsync.adapter.api import Aspect, Money, OfferOp, Price, PushResult, Result, Stock
from marketsync.adapter.errors import ChannelBlocked, QuotaSpent
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness, Session
from marketsync_adapters.ebay.sandbox import Market, Rules
from marketsync_adapters.ebay.sandbox.shelf import quantity_of
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from tests.contract.drain import drain
from tests.contract.ebay_harness import harness_for, listing, refereed

NO_CONTROL = frozenset({"SELLING_POLICY_MANAGEMENT"})
Results = dict[tuple[str, Aspect], PushResult]


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


@pytest.fixture
def market(clock: TurnedClock) -> Market:
    return Market(Rules(), clock)


class Recorder(httpx.AsyncBaseTransport):
    """Every request of a test, on its way to the referees."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self.seen: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.seen.append(request)
        return await self._transport.handle_async_request(request)

    def bodies(self, path: str) -> list[Any]:
        return [orjson.loads(one.content) for one in self.seen if one.url.path.endswith(path)]


def run(
    market: Market,
    clock: TurnedClock,
    test: Callable[[Session], Awaitable[Any]],
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    **settings: Any,
) -> Any:
    return harness_for(market, clock, transport, **settings).run(test)  # type: ignore[arg-type]


async def push(session: Session, door: str, ops: Sequence[OfferOp]) -> Results:
    return await session.push(session.adapter.spec.operation(door), ops)


def set_of(results: Results) -> set[Result]:
    return {one.result for one in results.values()}


def variant(session: Session, sku: str, size: str, *changed: Aspect, **content: Any) -> OfferOp:
    changed = changed or tuple(Aspect)
    text = replace(listing(sku), title="Garden chair", options={"Size": size})
    return replace(session.op(sku, *changed, listing=text, **content), family="chair")


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


# -------------------------------------------------------------------- variants


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


# -------------------------------------------------------------------- speed


def test_ten_thousand_stock_changes_use_the_rate_and_no_call_too_many(market: Market, clock: TurnedClock) -> None:
    """400 full calls, at the pace that the setting allows, none refused."""
    harness = _stocked(market, clock, 10_000)
    offers = {offer.sku: offer.offer_id for offer in market.shelf.offers.values()}
    drained = drain(
        harness, offers, per_second=10, door="price_stock", counted=lambda one: "bulk_update" in one.url.path
    )
    assert (drained.requests, drained.minimum, drained.refused) == (400, 400, 0)
    assert drained.share >= 0.97


def _stocked(market: Market, clock: TurnedClock, size: int) -> Harness:
    """A market with that many live offers, made without a call."""
    for number in range(size):
        sku = f"drain-{number:05d}"
        market.shelf.items[sku] = {
            "locale": "de_DE",
            "condition": "NEW",
            "product": {"title": sku, "imageUrls": ["https://example.com/1.jpg"]},
            "availability": {"shipToLocationAvailability": {"quantity": 5}},
        }
        offer = {
            "sku": sku,
            "marketplaceId": "EBAY_DE",
            "format": "FIXED_PRICE",
            "categoryId": "1",
            "listingDescription": sku,
            "merchantLocationKey": "berlin",
            "listingPolicies": {f"{kind}PolicyId": id_ for kind, id_ in market.rules.policies.items()},
            "pricingSummary": {"price": {"value": "1.00", "currency": "EUR"}},
        }
        made = market.shelf.create_offer(offer, apply=True)
        market.shelf.offers[made["offerId"]].listing_id = str(number)
    return harness_for(market, clock)
