"""What is particular about offers in Shopify, each trap by its name."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from marketsync.adapter.api import Aspect, Money, PushResult, Result, Stock
from marketsync.adapter.errors import AuthRefused, ChannelBlocked, RateLimited
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness, Session
from marketsync.testing.sandbox import InProcess
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.shopify import Settings, reading
from marketsync_adapters.shopify.errors import TABLE
from marketsync_adapters.shopify.ids import OfferId
from marketsync_adapters.shopify.mapping import handle
from marketsync_adapters.shopify.sandbox import Shop, build_app, queries
from marketsync_adapters.shopify.sandbox.graphql import connection
from marketsync_adapters.shopify.sandbox.setting import write
from tests.contract.drain import drain
from tests.contract.shopify_harness import RULES, SETTINGS, harness_for, listing

ALWAYS = 1_000
LISTING = frozenset({Aspect.LISTING})


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


@pytest.fixture
def shop(clock: TurnedClock) -> Shop:
    return Shop(RULES, clock)


@pytest.fixture
def harness(shop: Shop, clock: TurnedClock) -> Harness:
    return harness_for(shop, clock)


def results(found: dict[tuple[str, Aspect], PushResult]) -> dict[str, Result]:
    return {sku: one.result for (sku, _), one in found.items()}


async def set_stock(session: Session, *ops: Any) -> dict[tuple[str, Aspect], PushResult]:
    return await session.push(session.door(Aspect.STOCK), ops)


async def list_family(session: Session, sizes: Sequence[str], **more: Any) -> dict[tuple[str, Aspect], PushResult]:
    ops = [
        session.op(
            f"chair-{size}", *LISTING, family="CHAIR", listing=replace(listing(size), options={"Size": size}, **more)
        )
        for size in sizes
    ]
    return await session.push(session.door(Aspect.LISTING), ops)


class TestStock:
    def test_change_from_quantity_stops_what_was_sold_meanwhile(self, harness: Harness, shop: Shop) -> None:
        """5 were there, 2 were sold, nobody knows yet: 4 is not written over the 3, and the engine reads anew."""

        async def test(session: Session) -> PushResult:
            await session.put_on_sale(["cas-1", "cas-2"], quantity=5)
            shop.sales.buy([("cas-1", 2)])
            ops = [replace(session.op(sku, Aspect.STOCK, quantity=4), seen_stock=5) for sku in ("cas-1", "cas-2")]
            return (await set_stock(session, *ops))["cas-1", Aspect.STOCK]

        told = harness.run(test)
        assert (Result.UNKNOWN, "CHANGE_FROM_QUANTITY_STALE") == (told.result, told.code)
        assert told.hint
        assert harness.hands.shown_stock("cas-1") == 3
        assert harness.hands.shown_stock("cas-2") == 4, "one stale item holds up no other"

    @pytest.mark.parametrize(("seen", "quantity", "shown"), [(5, 3, 3), (None, 4, 4), (99, 0, 0)])
    def test_nothing_is_compared_where_nobody_knows_or_nothing_is_left(
        self, harness: Harness, seen: int | None, quantity: int, shown: int
    ) -> None:
        """A known quantity that is right passes; an unknown one is not compared; stock zero is always written."""

        async def test(session: Session) -> Result:
            await session.put_on_sale(["cas-3"], quantity=5)
            op = replace(session.op("cas-3", Aspect.STOCK, quantity=quantity), seen_stock=seen)
            return (await set_stock(session, op))["cas-3", Aspect.STOCK].result

        assert Result.APPLIED is harness.run(test)
        assert shown == harness.hands.shown_stock("cas-3")

    def test_one_refused_item_does_not_hold_up_the_other_249(self, harness: Harness, shop: Shop) -> None:
        """All or nothing: what was not refused is sent again at once."""
        skus = [f"held-{number:03d}" for number in range(250)]

        async def test(session: Session) -> dict[str, Result]:
            await session.put_on_sale(skus)
            session.offers.known["held-100"] = "1.2.3"
            return results(await set_stock(session, *[session.op(sku, Aspect.STOCK, quantity=2) for sku in skus]))

        found = harness.run(test)
        assert Result.REJECTED is found.pop("held-100")
        assert {Result.APPLIED} == set(found.values())
        assert shop.requests["stock", 200] == 1 + 1 + 1, "on sale, refused, without the guilty"

    def test_the_same_revision_has_the_same_key_and_the_next_another(self, harness: Harness, shop: Shop) -> None:
        """A lost answer is sent again under its key and changes nothing; new content has a key of its own."""

        async def test(session: Session) -> None:
            await session.put_on_sale(["key-1"], quantity=5)
            door = session.door(Aspect.STOCK)
            shop.faults.add(Fault(FaultKind.TIMEOUT_AFTER, "stock", 1))
            op = session.op("key-1", Aspect.STOCK, quantity=3)
            await session.push(door, [op])
            await session.push(door, [op])
            assert len(shop.keys) == 1 + 1
            shop.sales.buy([("key-1", 1)])
            await session.push(door, [replace(op, revision=op.revision + 1)])

        harness.run(test)
        assert [write.after for write in shop.log if write.cause == "push"] == [5, 3, 3]

    def test_every_location_has_its_own_quantity(self, clock: TurnedClock) -> None:
        """Our names become Shopify's locations; 250 items at two locations are two requests of 250 entries."""
        shop = Shop(replace(RULES, locations={"11": "Berlin", "12": "Wien"}), clock)
        settings = SETTINGS.model_copy(update={"locations": {"berlin": "11", "wien": "gid://shopify/Location/12"}})
        skus = [f"place-{number:03d}" for number in range(250)]

        async def test(session: Session) -> tuple[Any, Any, dict[str, Result]]:
            await session.put_on_sale(skus)
            before = shop.requests["stock", 200]
            split = Stock(quantity=5, locations={"berlin": 2, "wien": 3, "empty": 0})
            found = await set_stock(session, *[session.op(sku, Aspect.STOCK, stock=split) for sku in skus])
            assert shop.requests["stock", 200] - before == 2
            lost = Stock(quantity=1, locations={"paris": 1})
            told = await set_stock(session, session.op(skus[0], Aspect.STOCK, stock=lost))
            return found, told, {sku: one.stock.quantity for sku, one in (await session.read(skus[:2])).items()}

        found, told, seen = harness_for(shop, clock, settings=settings).run(test)
        assert {Result.APPLIED} == set(results(found).values())
        assert ("unknown_location", Result.REJECTED) == (told[skus[0], Aspect.STOCK].code, results(told)[skus[0]])
        assert [2, 3] == list(shop.by_sku(skus[0])[0].levels.values())
        assert dict.fromkeys(skus[:2], 5) == seen

    def test_ten_thousand_changes_use_what_shopify_allows(self, clock: TurnedClock) -> None:
        """Full batches only, at 97 % of the rate or more, and nothing is throttled."""
        shop = Shop(replace(RULES, restore=100, capacity=1_000, points=0), clock)
        offers = {}
        for number in range(10_000):
            product = _made(shop, f"drain-{number}")
            variant = product.variants[0]
            offers[variant.sku] = str(OfferId(product.id, variant.id, variant.item))
        settings = SETTINGS.model_copy(update={"plan": "standard"})
        drained = drain(
            harness_for(shop, clock, settings=settings),
            offers,
            per_second=100 / 11,
            refuses=lambda response: b"THROTTLED" in response.content,
        )
        assert (drained.requests, drained.refused) == (drained.minimum, 0)
        assert 0.97 <= drained.share <= 1.001, drained.row("shopify")


def _made(shop: Shop, sku: str) -> Any:
    """A product as the merchant would make it, without a request."""
    variant = {
        "sku": sku,
        "price": "1.00",
        "inventoryItem": {"tracked": True},
        "optionValues": [{"optionName": "Title", "name": "Default Title"}],
        "inventoryQuantities": [{"locationId": shop.locations[0], "name": "available", "quantity": 1}],
    }
    made = write(shop, {"input": {"title": sku, "variants": [variant]}})
    return shop.products[made["product"]["id"]]


class TestProducts:
    def test_a_family_is_one_product_and_its_members_stay_who_they_are(self, harness: Harness, shop: Shop) -> None:
        """A variant that joins later changes no id; productSet is never sent a part of the family."""

        async def test(session: Session) -> tuple[dict[str, str], dict[str, str]]:
            await list_family(session, "SM")
            before = dict(session.offers.known)
            await list_family(session, "SML")
            return before, dict(session.offers.known)

        before, after = harness.run(test)
        assert len(shop.products) == 1
        assert before == {sku: id_ for sku, id_ in after.items() if sku in before}
        assert {"chair-S", "chair-M", "chair-L"} == set(after)
        assert [] == shop.deleted

    def test_a_variant_that_the_merchant_added_is_never_deleted(self, harness: Harness, shop: Shop) -> None:
        """productSet deletes variants left out: a product with one that no source names is not written at all."""

        async def test(session: Session) -> PushResult:
            await list_family(session, "SM")
            added = shop.add_variant(next(iter(shop.products.values())))
            added.sku, added.options = "handmade", {"Size": "XXL"}
            return (await list_family(session, "SM", title="Changed"))["chair-S", Aspect.LISTING]

        told = harness.run(test)
        assert (Result.REJECTED, "foreign_variants") == (told.result, told.code)
        assert "handmade" in told.message
        assert told.hint
        assert [] == shop.deleted
        assert "Changed" != next(iter(shop.products.values())).title

    def test_a_sku_of_several_variants_is_never_guessed(self, harness: Harness, shop: Shop) -> None:
        """It is refused with a sentence, and left out of what is read, with a warning."""
        for _ in range(2):
            _made(shop, "twice")
        _made(shop, "TWICE")

        async def test(session: Session) -> tuple[PushResult, list[str], list[Any]]:
            told = await session.push(session.door(Aspect.LISTING), [session.op("twice", Aspect.LISTING)])
            seen = [one.sku for one in [*(await session.read()).values(), *(await session.read(["twice"])).values()]]
            return told["twice", Aspect.LISTING], seen, session.adapter._context.log.events

        told, seen, events = harness.run(test)
        assert (Result.REJECTED, "duplicate_sku") == (told.result, told.code)
        assert "its own SKU" in told.hint
        assert ["TWICE"] == seen
        assert ("twice", 2) in {(fields.get("sku"), fields.get("variants")) for _, fields in events}

    def test_a_create_whose_answer_was_lost_is_not_made_twice(
        self, harness: Harness, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Even while Shopify's search knows nothing of it yet: the handle is the same."""
        blind = lambda _shop, arguments: connection([], arguments, str, str)  # noqa: E731 - three words

        async def test(session: Session) -> None:
            monkeypatch.setitem(queries.QUERIES, "productVariants", blind)
            for _ in range(2):
                await session.put_on_sale(["lost-1"])
                session.offers.known.clear()

        harness.run(test)
        assert [handle("sku:lost-1")] == [one.handle for one in shop.products.values()]
        assert len(shop.variants) == 1

    def test_handles_are_different_for_skus_that_look_alike(self) -> None:
        """85123A and 85123a are two products; a SKU without a letter of ASCII has a handle, too."""
        made = [handle(f"sku:{sku}") for sku in ("85123A", "85123a", "中文", "", "x" * 200)]
        assert len(set(made)) == len(made)
        assert all(one.replace("-", "").isalnum() and len(one) <= 255 for one in made)

    def test_a_large_product_is_written_in_shopify_s_own_time(self, harness: Harness, shop: Shop) -> None:
        """120 variants are SUBMITTED, then confirmed with their ids; its pictures and shared attributes follow."""
        sizes = [f"{number:03d}" for number in range(120)]

        async def test(session: Session) -> dict[str, Result]:
            return results(await list_family(session, sizes))

        assert {Result.APPLIED} == set(harness.run(test).values())
        product = next(iter(shop.products.values()))
        assert len(product.variants) == 120
        assert product.metafields[product.id, "custom", "material"] == "Oak"

    def test_a_large_product_that_is_refused_names_the_guilty(self, harness: Harness, shop: Shop) -> None:
        """The error of an asynchronous product finds its variant by its index."""
        sizes = [f"{number:03d}" for number in range(120)]

        async def test(session: Session) -> dict[str, Result]:
            ops = [
                session.op(
                    f"chair-{size}", *LISTING, family="CHAIR",
                    listing=replace(listing(size), options={"Size": size}, gtin="9" * (300 if size == "007" else 13)),
                )
                for size in sizes
            ]  # fmt: skip
            return results(await session.push(session.door(Aspect.LISTING), ops))

        found = harness.run(test)
        assert Result.REJECTED is found.pop("chair-007")
        assert {Result.RETRY} == set(found.values())
        assert not shop.products

    def test_pictures_are_fetched_again_only_when_they_change(self, harness: Harness, shop: Shop) -> None:
        """A new title writes no files; a new picture does. Metafields of others stay."""

        async def test(session: Session) -> list[int]:
            written = []
            for change in ({}, {"title": "Other"}, {"images": ("https://example.com/3.jpg",)}):
                await list_family(session, "SM", **change)
                product = next(iter(shop.products.values()))
                product.metafields[product.id, "reviews", "rating"] = "5"
                written.append(product.files_written)
            return written

        assert [1, 1, 2] == harness.run(test)
        product = next(iter(shop.products.values()))
        assert product.metafields[product.id, "reviews", "rating"] == "5"

    def test_attributes_are_kept_with_the_product_or_the_variant(self, harness: Harness, shop: Shop) -> None:
        """What all share stands on the product, what differs on the variant; a name may carry namespace and type."""

        async def test(session: Session) -> None:
            ops = [
                session.op(
                    f"chair-{size}", *LISTING, family="CHAIR",
                    listing=replace(
                        listing(size), options={"Size": size},
                        attributes={"Material": "Oak", "specs.height:number_integer": height, "custom.empty": " "},
                    ),
                )
                for size, height in (("S", "45"), ("L", "60"))
            ]  # fmt: skip
            await session.push(session.door(Aspect.LISTING), ops)

        harness.run(test)
        product = next(iter(shop.products.values()))
        own = {key: value for key, value in product.metafields.items() if key[2] != "images"}
        large, small = product.variants
        assert {
            (product.id, "custom", "material"): "Oak",
            (small.id, "specs", "height"): "45",
            (large.id, "specs", "height"): "60",
        } == own

    def test_an_attribute_that_shopify_refuses_is_told_of_its_own_item(self, harness: Harness) -> None:
        """metafieldsSet is atomic: the guilty listing is refused, its neighbour is sent again."""
        bad = replace(listing("x"), attributes={"custom.x": "too short a key"})

        async def test(session: Session) -> dict[str, Result]:
            ops = [session.op("attr-1", Aspect.LISTING), session.op("attr-2", Aspect.LISTING, listing=bad)]
            return results(await session.push(session.door(Aspect.LISTING), ops))

        assert {"attr-1": Result.UNKNOWN, "attr-2": Result.REJECTED} == harness.run(test)

    @pytest.mark.parametrize(
        "options", [[{"Size": "S"}, {"Size": "S"}], [{"Size": "S"}, {}], [{"Size": "S"}, {"Colour": "red"}]]
    )
    def test_variants_that_cannot_be_told_apart_are_refused(
        self, harness: Harness, shop: Shop, options: list[dict[str, str]]
    ) -> None:
        """Before anything is sent."""

        async def test(session: Session) -> set[str]:
            ops = [
                session.op(f"same-{n}", *LISTING, family="SAME", listing=replace(listing("x"), options=own))
                for n, own in enumerate(options)
            ]
            return {one.code for one in (await session.push(session.door(Aspect.LISTING), ops)).values()}

        assert {"options_missing"} == harness.run(test)
        assert not shop.products

    def test_what_was_written_before_an_outage_counts(self, harness: Harness, shop: Shop) -> None:
        """Many pictures make several requests; the second one fails: its products are tried again, the first stay."""
        many = tuple(f"https://example.com/{number}.jpg" for number in range(60))

        async def test(session: Session) -> list[Result]:
            ops = [
                session.op(f"many-{n:02d}", Aspect.LISTING, listing=replace(listing("x"), images=many))
                for n in range(8)
            ]
            shop.faults.add(Fault(FaultKind.SLOW, "product", 1, seconds=1))
            shop.faults.add(Fault(FaultKind.UNAVAILABLE, "product", ALWAYS))
            outcome = await session.adapter.push("product", ops)
            return list(outcome.results)

        found = harness.run(test)
        written = {variant.sku for variant in shop.variants.values()}
        assert 0 < len(written) < 8
        assert written == {one.sku for one in found if one.result is not Result.RETRY}
        assert written == {one.sku for one in found if one.channel_id is not None}


class TestWithdrawals:
    def test_a_variant_leaves_and_its_siblings_stay(self, harness: Harness, shop: Shop) -> None:
        """The product is hidden only when its last variant goes."""

        async def test(session: Session) -> None:
            await list_family(session, "SML")
            door = session.door(Aspect.LISTING, withdraws=True)
            await session.push(door, [session.withdrawal("chair-S", LISTING)])
            product = next(iter(shop.products.values()))
            assert (["chair-L", "chair-M"], "ACTIVE") == (sorted(one.sku for one in product.variants), product.status)
            await session.push(door, [session.withdrawal(f"chair-{size}", LISTING) for size in "ML"])
            assert [] == list(await session.read())

        harness.run(test)
        product = next(iter(shop.products.values()))
        assert (2, "DRAFT") == (len(product.variants), product.status)

    def test_what_was_withdrawn_comes_back_as_the_same_product(self, harness: Harness, shop: Shop) -> None:
        """Listing it again finds the hidden product by its SKU."""

        async def test(session: Session) -> str:
            await session.put_on_sale(["back-1"])
            door = session.door(Aspect.LISTING, withdraws=True)
            await session.push(door, [session.withdrawal("back-1", LISTING)])
            known = session.offers.known.pop("back-1")
            await session.put_on_sale(["back-1"])
            assert known == session.offers.known["back-1"]
            return next(iter(shop.products.values())).status

        assert harness.run(test) == "ACTIVE"

    @pytest.mark.parametrize(
        ("mode", "status", "published"), [("archive", "ARCHIVED", True), ("unpublish", "ACTIVE", False)]
    )
    def test_products_can_be_archived_or_unpublished_instead(
        self, shop: Shop, clock: TurnedClock, mode: str, status: str, published: bool
    ) -> None:
        """By setting; a product that is published nowhere is not read as an offer."""
        settings = SETTINGS.model_copy(update={"withdraw": mode, "publications": ("71",)})

        async def test(session: Session) -> list[str]:
            await session.put_on_sale(["hide-1"])
            assert ["hide-1"] == list(await session.read())
            door = session.door(Aspect.LISTING, withdraws=True)
            await session.push(door, [session.withdrawal("hide-1", LISTING)])
            return list(await session.read())

        assert [] == harness_for(shop, clock, settings=settings).run(test)
        product = next(iter(shop.products.values()))
        assert (status, published) == (product.status, bool(product.publications))

    def test_unpublishing_needs_to_know_from_where(self) -> None:
        """A configuration that could do nothing is refused."""
        with pytest.raises(ValidationError, match="publications"):
            Settings(shop="a.myshopify.com", currency="EUR", locations={"*": "1"}, withdraw="unpublish")


class TestPrices:
    def test_a_sale_is_the_price_with_the_regular_one_struck_through(
        self, harness: Harness, clock: TurnedClock
    ) -> None:
        """Shopify knows no scheduled sale: what is pushed before it, in it and after it differs."""
        starts, ends = clock.now() + timedelta(days=1), clock.now() + timedelta(days=3)

        async def test(session: Session) -> list[tuple[int, int | None]]:
            await session.put_on_sale(["sale-1"])
            shown = []
            for _ in range(3):
                price = session.price(2_000, sale=Money(1_500, "EUR"), sale_starts=starts, sale_ends=ends)
                await session.push(session.door(Aspect.PRICE), [session.op("sale-1", Aspect.PRICE, price=price)])
                seen = (await session.read(["sale-1"]))["sale-1"].price
                shown.append((seen.amount.minor, seen.reference.minor if seen.reference else None))
                clock.advance(timedelta(days=1, hours=13).total_seconds())
            return shown

        assert [(2_000, None), (1_500, 2_000), (2_000, None)] == harness.run(test)

    def test_a_refused_price_is_found_by_its_index(self, harness: Harness, shop: Shop) -> None:
        """Of several products in one request, and of several variants of one; the others are applied."""

        async def test(session: Session) -> dict[str, Result]:
            await list_family(session, "SML")
            await session.put_on_sale(["alone-1", "alone-2"])
            product, _, item = session.offers.known["chair-M"].split(".")
            session.offers.known["chair-M"] = f"{product}.1.{item}"
            session.offers.known["alone-2"] = "1.2.3"
            before = shop.requests["price", 200]
            skus = ["alone-1", "chair-L", "chair-M", "chair-S", "alone-2"]
            ops = [session.op(sku, Aspect.PRICE, price=session.price(777)) for sku in skus]
            found = results(await session.push(session.door(Aspect.PRICE), ops))
            assert shop.requests["price", 200] - before == 1
            return found

        found = harness.run(test)
        assert {"chair-M", "alone-2"} == {sku for sku, result in found.items() if result is Result.REJECTED}
        assert {"7.77"} == {shop.by_sku(sku)[0].price for sku in ("alone-1", "chair-S", "chair-L")}

    def test_a_price_in_another_currency_is_never_written(self, harness: Harness, shop: Shop) -> None:
        """Shopify's price has no currency: 19.99 zloty would become 19.99 euros."""

        async def test(session: Session) -> list[PushResult]:
            await session.put_on_sale(["pln-1"], minor=1_000)
            price = replace(session.price(1), amount=Money(1_999, "PLN"))
            found = []
            for door, aspects in ((Aspect.PRICE, [Aspect.PRICE]), (Aspect.LISTING, [Aspect.LISTING, Aspect.PRICE])):
                op = session.op("pln-1", *aspects, price=price)
                found += (await session.push(session.door(door), [op])).values()
            return found

        assert {("wrong_currency", Result.REJECTED)} == {(one.code, one.result) for one in harness.run(test)}
        assert shop.by_sku("pln-1")[0].price == "10.00"


class TestLimits:
    def test_throttled_comes_with_http_200_and_says_how_long(self, clock: TurnedClock) -> None:
        """THROTTLED is no answer but a RateLimited: the bucket waits as long as its points take."""
        shop = Shop(replace(RULES, points=0, restore=200, capacity=4_000), clock)
        shop.points.take = lambda cost: not setattr(shop.points, "throttled", 1) and False  # type: ignore[method-assign]

        async def test(session: Session) -> RateLimited:
            with pytest.raises(RateLimited) as raised:
                await session.adapter.check()
            return raised.value

        error = harness_for(shop, clock).run(test)
        assert ("THROTTLED", "points") == (error.code, error.bucket)
        assert error.retry_after is not None
        assert 0 < error.retry_after.total_seconds() < 60

    def test_the_bucket_learns_what_shopify_says_of_itself(self, clock: TurnedClock) -> None:
        """A shop with a tenth of the plan's points is not overrun."""
        shop = Shop(replace(RULES, restore=250, capacity=2_500, points=0), clock)

        async def test(session: Session) -> None:
            for number in range(40):
                while True:
                    try:
                        await session.put_on_sale([f"learn-{number}-{n}" for n in range(5)])
                    except RateLimited as limited:
                        codes.add(limited.code)
                        await clock.sleep(limited.retry_after.total_seconds() if limited.retry_after else 1)
                    else:
                        break

        codes: set[str] = set()
        harness_for(shop, clock).run(test)
        assert codes <= {"limit"}, "our own bucket waits, before Shopify says it"
        assert shop.points.throttled <= 1, "until the first answer nobody could know"

    def test_a_walk_goes_on_where_shopify_s_pages_end(self, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
        """Shopify shows 25,000 objects of a walk: then a new one begins behind the last id."""
        monkeypatch.setattr(reading, "DEEPEST", 150)

        async def test(session: Session) -> list[str]:
            await session.put_on_sale([f"deep-{number:03d}" for number in range(700)])
            return sorted(await session.read())

        assert [f"deep-{number:03d}" for number in range(700)] == harness.run(test)


class TestCheck:
    def check(self, shop: Shop, clock: TurnedClock, **settings: Any) -> str:
        async def test(session: Session) -> str:
            return await session.adapter.check()

        return harness_for(shop, clock, settings=SETTINGS.model_copy(update=settings)).run(test)

    def test_a_missing_scope_is_named(self, clock: TurnedClock) -> None:
        """Before the first push fails."""
        with pytest.raises(AuthRefused, match=r"the scopes write_orders, read_returns"):
            self.check(Shop(replace(RULES, scopes=RULES.scopes[:3] + RULES.scopes[5:6]), clock), clock)

    def test_a_retired_version_blocks_with_what_to_do(self, clock: TurnedClock) -> None:
        """Shopify would answer with another version, which may mean something else."""
        shop = Shop(RULES, clock)

        async def test(session: Session) -> None:
            shop.rules = replace(RULES, versions=("2027-07",))  # still served, no longer supported
            await session.adapter.check()

        with pytest.raises(ChannelBlocked, match=r"no such shop|update marketsync"):
            harness_for(shop, clock).run(test)

    def test_another_currency_or_location_is_told(self, shop: Shop, clock: TurnedClock) -> None:
        """What the settings say of the shop is compared with the shop."""
        with pytest.raises(ChannelBlocked, match=r"sells in EUR, settings\.currency says PLN"):
            self.check(shop, clock, currency="PLN")
        with pytest.raises(ChannelBlocked, match=r"no active location gid://shopify/Location/99"):
            self.check(shop, clock, locations={"*": "99"})

    def test_without_all_orders_the_line_says_so(self, clock: TurnedClock) -> None:
        """Orders older than 60 days need a scope that Shopify grants on request."""
        scopes = tuple(scope for scope in RULES.scopes if scope != "read_all_orders")
        assert "60 days" in self.check(Shop(replace(RULES, scopes=scopes), clock), clock)


def test_twenty_codes_have_a_sentence_for_the_manager() -> None:
    """The commonest refusals say what to do."""
    assert len(TABLE) >= 20
    assert all(hint.endswith(".") and len(hint) < 160 for _, hint in TABLE.values())


def test_requests_name_no_person_and_no_secret(harness: Harness, shop: Shop) -> None:
    """What goes out holds content alone: the token stands in a header."""
    sent: list[bytes] = []
    inner = harness.transport.handle_async_request

    async def record(request: Any) -> Any:
        sent.append(await request.aread())
        return await inner(request)

    harness.transport.handle_async_request = record  # type: ignore[method-assign]

    async def test(session: Session) -> None:
        await session.put_on_sale(["plain-1"])

    harness.run(test)
    assert sent
    assert not [secret for secret in harness.secrets for body in sent if secret.encode() in body]
    assert all({"query", "variables"} == set(json.loads(body)) for body in sent)


def test_the_sandbox_is_an_asgi_app_of_its_own(clock: TurnedClock) -> None:
    """Users rehearse against it: its admin endpoint sells, breaks and tells."""
    shop = Shop(RULES, clock)
    _made(shop, "app-1")

    async def talk() -> list[Any]:
        async with httpx.AsyncClient(transport=InProcess(build_app(shop)), base_url="http://shop") as client:
            sold = await client.post("/admin/sales", json={"sku": "app-1", "quantity": 1})
            again = await client.post("/admin/sales", json={"sku": "app-1", "quantity": 9})
            fault = await client.post("/admin/faults", json={"kind": "503", "operation": "orders"})
            wrong = await client.post("/admin/faults", json={"kind": "418"})
            told = await client.get("/admin/state")
            return [
                sold.json()["lines"],
                again.status_code,
                fault.status_code,
                wrong.status_code,
                told.json()["offers"],
            ]

    assert asyncio.run(talk()) == [
        [{"sku": "app-1", "quantity": 1, "current": 1}],
        422,
        200,
        422,
        [{"sku": "app-1", "price": "1.00", "quantity": 0, "status": "ACTIVE"}],
    ]
