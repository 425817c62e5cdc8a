"""WooCommerce's traps of products: batches, variations, images, SKUs, categories, prices."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from marketsync.adapter.api import Aspect, Listing, Money, OfferOp, Price, PushResult, Result, Stock
from marketsync.adapter.errors import OutcomeUnknown
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness, Session
from marketsync_adapters.sandbox.faults import FaultKind
from marketsync_adapters.woocommerce import mapping
from marketsync_adapters.woocommerce.sandbox import Shop
from tests.contract.woocommerce_harness import a_shop, harness_for, listing

ALL = frozenset(Aspect)
LISTING = frozenset({Aspect.LISTING})


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


@pytest.fixture
def shop(clock: TurnedClock) -> Shop:
    return a_shop(clock)


@pytest.fixture
def harness(shop: Shop, clock: TurnedClock) -> Iterator[Harness]:
    yield harness_for(shop, clock)
    assert shop.limiter.refused == 0


def op(sku: str, changed: frozenset[Aspect] = ALL, **more) -> OfferOp:
    given = {
        "listing": listing(sku),
        "price": Price(amount=Money(1_999, "EUR")),
        "stock": Stock(quantity=5),
        "revision": 1,
        **more,
    }
    return OfferOp(sku=sku, changed=changed, **given)


def member(sku: str, size: str, image: str = "https://example.com/1.jpg", **more) -> OfferOp:
    content = replace(listing(sku), title="Chair", options={"Size": size}, images=(image,))
    return op(sku, family="CHAIR", listing=more.pop("listing", content), **more)


def push(harness: Harness, ops: Sequence[OfferOp], door: str = "listings") -> dict[tuple[str, Aspect], PushResult]:
    async def test(session: Session):
        return await session.push(harness.adapter.spec.operation(door), ops)

    return harness.run(test)


def read(harness: Harness, skus: Sequence[str] | None = None):
    return harness.run(lambda session: session.read(skus))


def codes(results) -> set[str]:
    return {result.code for result in results.values()}


# Variable products.


def test_a_family_becomes_one_variable_product_whose_variations_have_their_own_stock_price_and_image(
    harness: Harness, shop: Shop
) -> None:
    """The parent shows what the members share; each variation is bought, counted and pictured on its own."""
    small = member("C-S", "S", price=Price(amount=Money(1_000, "EUR")), stock=Stock(quantity=3))
    large = member(
        "C-L", "L", "https://example.com/2.jpg", price=Price(amount=Money(2_000, "EUR")), stock=Stock(quantity=4)
    )
    results = push(harness, [small, large])
    assert {Result.APPLIED} == {result.result for result in results.values()}
    (parent,) = shop.catalogue.products.values()
    shown = shop.catalogue.shown(parent)
    assert ("variable", "CHAIR", "Chair") == (shown["type"], shown["sku"], shown["name"])
    assert {"Size": ["S", "L"]} == {one["name"]: one["options"] for one in shown["attributes"] if one["variation"]}
    assert {"Material": ["Oak"], "Brand": ["Acme"]} == {
        one["name"]: one["options"] for one in shown["attributes"] if not one["variation"]
    }
    seen = read(harness)
    assert {"C-S": (1_000, 3, {"Size": "S"}), "C-L": (2_000, 4, {"Size": "L"})} == {
        sku: (one.price.amount.minor, one.stock.quantity, one.listing.options) for sku, one in seen.items()
    }
    assert ("https://example.com/1.jpg",) == seen["C-S"].listing.images
    assert ("https://example.com/2.jpg",) == seen["C-L"].listing.images
    assert seen["C-S"].channel_id == f"{parent['id']}:{shop.catalogue.by_sku('C-S')['id']}"
    assert results["C-S", Aspect.STOCK].channel_id == seen["C-S"].channel_id


def test_manage_stock_goes_with_every_quantity(harness: Harness, shop: Shop) -> None:
    """A quantity without it is ignored by the shop, for products and for variations."""
    push(harness, [op("S-1"), member("V-1", "S")])
    for sku in ("S-1", "V-1"):
        shop.catalogue.by_sku(sku)["manage_stock"] = False
    seen = read(harness, ["S-1", "V-1"])
    assert [None, None] == [seen[sku].stock for sku in ("S-1", "V-1")]
    ops = [
        op(sku, frozenset({Aspect.STOCK}), channel_id=seen[sku].channel_id, stock=Stock(quantity=8))
        for sku in ("S-1", "V-1")
    ]
    push(harness, ops, "offers")
    assert [8, 8] == [harness.hands.shown_stock(sku) for sku in ("S-1", "V-1")]


def test_a_shop_that_counts_no_stock_is_told_of_as_a_refusal(clock: TurnedClock) -> None:
    """It takes the quantity without a word and forgets it: that is no success."""
    harness = harness_for(a_shop(clock, manages_stock=False), clock)
    results = push(harness, [op("S-1")])
    assert Result.APPLIED is results["S-1", Aspect.PRICE].result
    refused = results["S-1", Aspect.STOCK]
    assert (Result.REJECTED, "stock_not_managed") == (refused.result, refused.code)
    assert "Inventory" in refused.hint


def test_a_new_member_joins_its_family_and_the_options_of_others_stay(harness: Harness, shop: Shop) -> None:
    """A variant that comes later is added to the variable product that is there, whoever made it."""
    first = push(harness, [member("C-S", "S")])
    known = first["C-S", Aspect.LISTING].channel_id
    push(harness, [member("C-S", "S", changed=frozenset(), channel_id=known), member("C-XL", "XL")])
    (parent,) = shop.catalogue.products.values()
    assert ["S", "XL"] == shop.catalogue.shown(parent)["attributes"][0]["options"]
    assert 2 == len(shop.catalogue.children(parent["id"]))


def test_an_option_that_is_shared_by_the_shop_is_used_by_its_id(harness: Harness, shop: Shop) -> None:
    """The shop has an attribute Size of its own (for filters): it is not copied under the same name."""
    push(harness, [member("C-S", "S")])
    (parent,) = shop.catalogue.products.values()
    assert 6 == parent["attributes"][0]["id"]
    assert [{"id": 6, "name": "Size", "option": "S"}] == shop.catalogue.shown(
        shop.catalogue.by_sku("C-S"), as_variation=True
    )["attributes"]


def test_what_the_shop_has_as_simple_products_stays_so(harness: Harness, shop: Shop) -> None:
    """Items that became a family in the catalogue keep their products: nothing is listed twice."""
    shop.catalogue.create({"name": "Old", "sku": "C-S"})
    results = push(harness, [member("C-S", "S")])
    assert Result.APPLIED is results["C-S", Aspect.LISTING].result
    assert ["simple"] == [row["type"] for row in shop.catalogue.products.values()]


def test_a_family_whose_sku_is_taken_is_refused_with_the_way_out(harness: Harness, shop: Shop) -> None:
    """By a product of another kind, or by one of its own members."""
    assert {"parent_sku_taken"} == codes(push(harness, [member("CHAIR", "S"), member("C-S", "M")]))
    shop.catalogue.create({"name": "Other", "sku": "CHAIR"})
    assert {"family_not_variable"} == codes(push(harness, [member("C-S", "S")]))
    other = harness_for(shop, harness.clock, parent_sku="{family}-P")
    assert Result.APPLIED is push(other, [member("C-S", "S")])["C-S", Aspect.LISTING].result
    assert shop.catalogue.by_sku("CHAIR-P")["type"] == "variable"


def test_the_last_withdrawn_variation_takes_the_product_along_and_a_listing_brings_both_back(
    harness: Harness, shop: Shop
) -> None:
    """An empty variable product would stand in the shop as sold out for ever."""
    results = push(harness, [member("C-S", "S"), member("C-L", "L")])
    ids = {sku: results[sku, Aspect.LISTING].channel_id for sku in ("C-S", "C-L")}

    def leave(*skus: str) -> None:
        gone = [
            OfferOp(sku=s, changed=LISTING, revision=2, channel_id=ids[s], family="CHAIR", withdraw=True) for s in skus
        ]
        rest = [member(s, s[-1], changed=frozenset(), channel_id=ids[s]) for s in ids if s not in skus]
        push(harness, gone + rest, "withdraw")

    leave("C-S")
    assert [None, 5] == [harness.hands.shown_stock(sku) for sku in ("C-S", "C-L")]
    assert {"C-L"} == set(read(harness))
    leave("C-S", "C-L")
    assert ["private"] == [row["status"] for row in shop.catalogue.products.values()]
    push(harness, [member("C-S", "S"), member("C-L", "L")])
    assert {"C-S", "C-L"} == set(read(harness))
    assert 1 == len(shop.catalogue.products)


def test_withdrawn_for_good_where_the_setting_says_so(shop: Shop, clock: TurnedClock) -> None:
    harness = harness_for(shop, clock, withdraw="delete")
    results = push(harness, [op("S-1")])
    gone = OfferOp(
        sku="S-1", changed=LISTING, revision=2, withdraw=True, channel_id=results["S-1", Aspect.LISTING].channel_id
    )
    assert [Result.APPLIED] * 2 == [push(harness, [gone], "withdraw")["S-1", Aspect.LISTING].result for _ in range(2)]
    assert {} == shop.catalogue.products


# Creating, and finding what was created.


def test_a_create_whose_answer_was_lost_is_found_by_its_sku_and_not_made_again(harness: Harness, shop: Shop) -> None:
    """POST has no idempotency: the shop did it, nobody heard. The next push adopts what is there."""

    async def test(session: Session):
        harness.hands.fault("listings", FaultKind.TIMEOUT_AFTER, times=1)
        with pytest.raises(OutcomeUnknown):
            await session.adapter.push("listings", [op("LOST-1")])
        assert shop.requests["batch_products", 200] == 0, "a create is not repeated in process"
        found = [seen async for seen in session.adapter.offers(["LOST-1"])]
        harness.hands.end_faults()
        return found, await session.push(session.adapter.spec.operation("listings"), [op("LOST-1")])

    found, results = harness.run(test)
    assert ["LOST-1"] == [seen.sku for seen in found]
    assert found[0].channel_id == results["LOST-1", Aspect.LISTING].channel_id
    assert 1 == len(shop.catalogue.products)


def test_a_duplicate_sku_error_adopts_the_product_that_has_it(harness: Harness, shop: Shop, monkeypatch) -> None:
    """Somebody made the product between our search and our create."""
    search, calls = shop.catalogue.search, []

    def late(skus):
        calls.append(1)
        return [] if len(calls) == 1 else search(skus)

    row = shop.catalogue.create({"name": "There already", "sku": "DUP-1"})
    monkeypatch.setattr(shop.catalogue, "search", late)
    results = push(harness, [op("DUP-1"), op("NEW-1")])
    assert {Result.APPLIED} == {result.result for result in results.values()}
    assert str(row["id"]) == results["DUP-1", Aspect.LISTING].channel_id
    assert "Garden chair DUP-1" == shop.catalogue.by_sku("DUP-1")["name"]


def test_a_sku_that_differs_only_in_case_is_refused_and_never_adopted(harness: Harness, shop: Shop) -> None:
    """The database takes both for the same; the twin is another product."""
    push(harness, [op("85123A")])
    results = push(harness, [op("85123a")])
    assert {"product_invalid_sku"} == codes(results)
    assert "case" in results["85123a", Aspect.LISTING].hint
    assert "Garden chair 85123A" == shop.catalogue.by_sku("85123A")["name"]


@pytest.mark.parametrize("sku", ["<b>1", "100%20", "two  spaces", " ends ", "tab\there", "x" * 101])
def test_a_sku_that_the_shop_would_change_is_never_sent(harness: Harness, shop: Shop, sku: str) -> None:
    """Stored differently it could never be found, and would be created again with every push."""
    assert {"sku_not_storable"} == codes(push(harness, [op(sku), op("plain")])) - {""}
    assert ["plain"] == [row["sku"] for row in shop.catalogue.products.values()]


def test_one_hundred_objects_a_request_and_per_item_errors_inside_http_200(harness: Harness, shop: Shop) -> None:
    """A full batch is one request; what is wrong with one of it leaves the other 99 alone."""
    bad = replace(listing("x"), images=("ftp://example.com/x.jpg",))
    plain = replace(listing("x"), images=())
    ops = [op(f"B-{n:03}", listing=bad if n == 50 else plain) for n in range(100)]
    results = push(harness, ops)
    refused = {sku for (sku, _), result in results.items() if result.result is Result.REJECTED}
    assert {"B-050"} == refused
    assert "public" in results["B-050", Aspect.LISTING].hint
    assert 1 == shop.requests["batch_products", 200]


def test_a_smaller_host_gets_smaller_requests(shop: Shop, clock: TurnedClock) -> None:
    """Objects per request are a setting, for a host with a lower limit than the usual hundred."""
    harness = harness_for(shop, clock, objects_per_request=20)
    results = push(harness, [op(f"B-{n:03}", listing=replace(listing("x"), images=())) for n in range(100)])
    assert {Result.APPLIED} == {result.result for result in results.values()}
    assert 5 == shop.requests["batch_products", 200]


def test_a_later_request_of_a_push_that_fails_leaves_the_earlier_ones_applied(shop: Shop, clock: TurnedClock) -> None:
    """What was sent counts, what was lost is unknown; after two failures in a row the rest waits."""
    harness = harness_for(shop, clock, objects_per_request=1)
    shop.catalogue.create({"name": "x", "sku": "A", "manage_stock": True})
    results = push(harness, [member("V-1", "S")])
    ids = {"A": str(shop.catalogue.by_sku("A")["id"]), "V-1": results["V-1", Aspect.LISTING].channel_id}
    parent = int(ids["V-1"].split(":")[0])
    for sku in ("V-2", "V-3"):
        ids[sku] = f"{parent}:{shop.catalogue.create({'sku': sku}, parent)['id']}"

    async def test(session: Session):
        shop.faults.add(_lost("batch_variations"))
        ops = [op(sku, frozenset({Aspect.STOCK}), channel_id=ids[sku]) for sku in ids]
        return {result.sku: result.result for result in (await session.adapter.push("offers", ops)).results}

    expected = {"A": Result.APPLIED, "V-1": Result.UNKNOWN, "V-2": Result.UNKNOWN, "V-3": Result.RETRY}
    assert expected == harness.run(test)


def _lost(call: str):
    from marketsync_adapters.sandbox.faults import Fault

    return Fault(FaultKind.TIMEOUT_AFTER, call, 6)


# Images.


def test_an_image_is_downloaded_once_however_often_the_listing_is_sent(harness: Harness, shop: Shop) -> None:
    """The shop uploads every address anew: those it has go by their ids."""
    push(harness, [op("I-1")])
    assert ["https://example.com/1.jpg", "https://example.com/2.jpg"] == shop.catalogue.downloads
    push(harness, [op("I-1", listing=replace(listing("I-1"), title="Other"))])
    more = ("https://example.com/3.jpg", "https://example.com/1.jpg")
    push(harness, [op("I-1", listing=replace(listing("I-1"), images=more))])
    assert "https://example.com/3.jpg" == shop.catalogue.downloads[-1]
    assert 3 == len(shop.catalogue.downloads)
    assert more == read(harness)["I-1"].listing.images


def test_variations_share_the_pictures_of_their_product(harness: Harness, shop: Shop) -> None:
    """A family of ten in two colours has two pictures, not twelve."""
    push(harness, [member(f"C-{n}", f"{n}", f"https://example.com/{n % 2}.jpg") for n in range(10)])
    assert 2 == len(shop.catalogue.downloads)


def test_pictures_that_were_made_in_the_shop_stay_where_the_catalogue_has_none(harness: Harness, shop: Shop) -> None:
    """Only what we uploaded is ours to take away."""
    row = shop.catalogue.create({"name": "x", "sku": "P-1", "images": [{"src": "https://example.com/own.jpg"}]})
    push(harness, [op("P-1", listing=replace(listing("P-1"), images=()))])
    assert 1 == len(shop.catalogue.shown(shop.catalogue.product(row["id"]))["images"])


def test_new_images_are_spread_over_requests(shop: Shop, clock: TurnedClock) -> None:
    """The host downloads each while we wait: twenty at once, not two hundred."""
    harness = harness_for(shop, clock)
    results = push(harness, [op(f"I-{n}") for n in range(20)])
    assert {Result.APPLIED} == {result.result for result in results.values()}
    assert 2 == shop.requests["batch_products", 200]


def test_an_image_server_that_is_down_is_tried_again() -> None:
    """A refusal would park the listing until somebody changes it."""
    from marketsync_adapters.woocommerce.errors import refusal

    said = {"code": "woocommerce_product_image_upload_error", "data": {"status": 400}}
    assert Result.RETRY is refusal({**said, "message": "Error: cURL error 28: Operation timed out"}).result
    assert Result.REJECTED is refusal({**said, "message": "Invalid image: Not an image."}).result


# Categories.


@pytest.mark.parametrize("category", ["16", "Garden", "garden"])
def test_a_category_is_found_by_its_id_or_its_name(harness: Harness, shop: Shop, category: str) -> None:
    push(harness, [op("K-1", listing=replace(listing("K-1"), category=category))])
    assert [16] == shop.catalogue.by_sku("K-1")["$categories"]


def test_an_unknown_category_is_refused_for_its_offer_alone(harness: Harness) -> None:
    results = push(harness, [op("K-1", listing=replace(listing("K-1"), category="Nowhere")), op("K-2")])
    assert ("category_unknown", Result.APPLIED) == (
        results["K-1", Aspect.LISTING].code,
        results["K-2", Aspect.LISTING].result,
    )


def test_categories_are_made_where_the_setting_says_so(shop: Shop, clock: TurnedClock) -> None:
    """A path from the top down, each level once; an ampersand is no other name."""
    harness = harness_for(shop, clock, create_categories=True)
    path = replace(listing("K-1"), category="Garden > Chairs & Benches")
    push(harness, [op("K-1", listing=path)])
    push(harness, [op("K-2", listing=path)])
    made = [one for one in shop.catalogue.categories if one["name"] == "Chairs & Benches"]
    assert [16] == [one["parent"] for one in made]
    assert [made[0]["id"]] == shop.catalogue.by_sku("K-2")["$categories"]


def test_a_name_that_two_categories_have_needs_its_path() -> None:
    documents = [
        {"id": 1, "name": "A", "parent": 0},
        {"id": 2, "name": "X", "parent": 1},
        {"id": 3, "name": "X", "parent": 0},
        {"id": 4, "name": "B", "parent": 0},
        {"id": 5, "name": "X", "parent": 4},
    ]
    keys = mapping.category_keys(documents)
    assert {"a": 1, "b": 4, "a>x": 2, "b>x": 5} == keys


# Prices.


def test_a_sale_has_its_days_in_utc_whatever_the_site_s_clock(harness: Harness, shop: Shop) -> None:
    """Times travel as *_gmt without an offset; the shop shows its own local time beside them."""
    starts = datetime(2026, 7, 1, 22, tzinfo=UTC)
    price = Price(amount=Money(1_999, "EUR"), sale=Money(999, "EUR"), sale_starts=starts)
    push(harness, [op("D-1", price=price)])
    shown = shop.catalogue.shown(shop.catalogue.by_sku("D-1"))
    assert ("2026-07-01T22:00:00", "2026-07-02T00:00:00") == (
        shown["date_on_sale_from_gmt"],
        shown["date_on_sale_from"],
    )
    assert price == read(harness)["D-1"].price


def test_the_end_of_a_sale_takes_its_price_and_its_days_away(harness: Harness) -> None:
    """An empty text clears a field; null would be taken for "unchanged"."""
    starts = datetime(2026, 7, 1, tzinfo=UTC)
    sale = Price(amount=Money(1_999, "EUR"), sale=Money(999, "EUR"), sale_starts=starts, sale_ends=starts)
    results = push(harness, [op("D-1", price=sale)])
    plain = Price(amount=Money(1_999, "EUR"))
    remote = results["D-1", Aspect.PRICE].channel_id
    push(harness, [op("D-1", frozenset({Aspect.PRICE}), price=plain, channel_id=remote)], "offers")
    assert plain == read(harness)["D-1"].price


@pytest.mark.parametrize(
    ("price", "code"),
    [
        (Price(amount=Money(1_999, "USD")), "wrong_currency"),
        (Price(amount=Money(1_999, "EUR"), gross=False), "gross_net"),
    ],
)
def test_a_price_that_means_something_else_in_the_shop_is_not_sent(harness: Harness, price: Price, code: str) -> None:
    """Products have no currency of their own, and the shop decides whether a price holds VAT."""
    assert {code} == codes(push(harness, [op("N-1", price=price)]))


def test_two_products_with_one_gtin_are_told_apart_by_the_shop_or_by_the_setting(
    harness: Harness, shop: Shop, clock: TurnedClock
) -> None:
    same = replace(listing("x"), gtin="4006381333931")
    results = push(harness, [op("G-1", listing=same), op("G-2", listing=same)])
    assert (Result.APPLIED, "product_invalid_global_unique_id") == (
        results["G-1", Aspect.LISTING].result,
        results["G-2", Aspect.LISTING].code,
    )
    assert "4006381333931" == read(harness)["G-1"].listing.gtin
    without = harness_for(shop, clock, gtin=False)
    assert Result.APPLIED is push(without, [op("G-2", listing=same)])["G-2", Aspect.LISTING].result


def test_lists_of_skus_and_skus_with_commas_are_found(harness: Harness) -> None:
    """The shop's search takes a list by commas: a SKU that has one goes alone."""
    skus = ["one", "two", "with,comma", "three"]
    push(harness, [op(sku, listing=replace(listing(sku), images=())) for sku in skus])
    assert set(skus) == set(read(harness, [*skus, "none"]))


def test_a_shop_without_lists_of_skus_is_searched_one_by_one(shop: Shop, clock: TurnedClock) -> None:
    harness = harness_for(shop, clock, skus_per_lookup=1)
    push(harness, [op(f"L-{n}", listing=replace(listing("x"), images=())) for n in range(3)])
    before = shop.requests["list_products", 200]
    assert 3 == len(read(harness, ["L-0", "L-1", "L-2"]))
    assert 3 == shop.requests["list_products", 200] - before


def test_the_weight_is_told_in_the_shop_s_unit(shop: Shop, clock: TurnedClock) -> None:
    for unit in ("kg", "g", "lbs", "oz"):
        harness = harness_for(shop, clock, weight_unit=unit)
        content = Listing(title="x", weight_grams=1_234)
        push(harness, [op(f"W-{unit}", listing=content)])
        assert 1_234 == read(harness, [f"W-{unit}"])[f"W-{unit}"].listing.weight_grams


def test_a_draft_that_waits_for_a_person_counts_as_there(shop: Shop, clock: TurnedClock) -> None:
    """Else it would be listed again and again."""
    harness = harness_for(shop, clock, new_products="draft")
    push(harness, [op("D-1")])
    assert "draft" == shop.catalogue.by_sku("D-1")["status"]
    assert {"D-1"} == set(read(harness))
