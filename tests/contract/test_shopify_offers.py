"""What is particular about products in Shopify, each trap by its name."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from marketsync.adapter.api import Aspect, PushResult, Result
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness, Session
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.shopify import Settings
from marketsync_adapters.shopify.mapping import handle
from marketsync_adapters.shopify.sandbox import Shop, queries
from marketsync_adapters.shopify.sandbox.graphql import connection
from tests.contract.shopify_acts import list_family, made, results
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
            made(shop, "twice")
        made(shop, "TWICE")

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
