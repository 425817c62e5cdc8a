"""Kaufland's offers: bulk of 150 on one storefront, units that need an id, products that take their time."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from marketsync.adapter.api import Aspect, Money, OfferOp, PushResult, Receipt, Result, Stock
from marketsync.adapter.errors import ItemRefused, OutcomeUnknown, RateLimited
from marketsync.testing.contract import Session
from marketsync_adapters.kaufland.sandbox.rules import Refused
from marketsync_adapters.sandbox.faults import FaultKind
from tests.contract.drain import drain
from tests.contract.kaufland_harness import RULES, Bench, ean_of, listing

PRICE_AND_STOCK = frozenset({Aspect.PRICE, Aspect.STOCK})


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    assert not made.referee.violations


def results_of(results: Any) -> dict[tuple[str, Aspect], PushResult]:
    return {(result.sku, result.aspect): result for result in results}


class TestBulk:
    def test_a_rate_that_is_too_high_backs_off_by_itself(self, bench: Bench) -> None:
        """Where Kaufland takes one request a second and the settings say 50, refusals stay few and all is written."""
        bench = Bench(per_second=1, burst=1)
        drained = drain(bench.plain(rate=50.0), bench.seed(3_000), per_second=1)
        assert {7} == {unit.amount for unit in bench.market.shelf}
        assert 0 < drained.refused <= 20
        assert drained.seconds < 120

    def test_151_units_fail_as_a_whole(self, bench: Bench) -> None:
        """Kaufland refuses the request, applies nothing, and the engine's bisection is what is asked for."""
        bench = Bench()
        ids = bench.seed(151)

        async def test(session: Session) -> None:
            session.offers.known |= ids
            ops = [session.op(sku, Aspect.STOCK, quantity=9) for sku in ids]
            with pytest.raises(ItemRefused) as raised:
                await session.adapter.push("bulk", ops)
            assert raised.value.code == "units/bulk-too-many-units"

        bench.plain().run(test)  # the referee would stop it before Kaufland does
        assert {1} == {unit.amount for unit in bench.market.shelf}

    def test_two_skus_of_one_unit_never_leave_in_one_request(self, bench: Bench) -> None:
        """A duplicate would fail all 150: the second is refused here, and told what to do; the others are written."""
        ids = bench.seed(3)
        ids["twin"] = ids["seed-00000"]

        async def test(session: Session) -> dict[tuple[str, Aspect], PushResult]:
            session.offers.known |= ids
            ops = [session.op(sku, Aspect.STOCK, quantity=9) for sku in ids]
            return await session.push(session.door(Aspect.STOCK), ops)

        results = bench.harness().run(test)
        twin = results.pop(("twin", Aspect.STOCK))
        assert (Result.REJECTED, "duplicate_unit") == (twin.result, twin.code)
        assert {Result.APPLIED} == {result.result for result in results.values()}

    def test_one_request_carries_price_and_stock_of_one_storefront(self, bench: Bench) -> None:
        """Both aspects travel together, to the channel's storefront only; its currency counts."""
        ids = bench.seed(2, "cz")

        async def test(session: Session) -> dict[tuple[str, Aspect], PushResult]:
            session.offers.known |= ids
            price = replace(session.price(1), amount=Money(49_900, "CZK"))
            ops = [session.op(sku, *PRICE_AND_STOCK, price=price, quantity=4) for sku in ids]
            return await session.push(session.door(Aspect.STOCK), ops)

        results = replace(bench.harness(storefront="cz"), currency="CZK").run(test)
        assert {Result.APPLIED} == {result.result for result in results.values()}
        assert [(4, 49_900)] * 2 == [(unit.amount, unit.values["listing_price"]) for unit in bench.market.shelf]
        assert bench.market.requests["bulk", 207] == 1

    def test_a_refused_price_does_not_park_the_stock(self, bench: Bench) -> None:
        """Kaufland refuses the unit for its price: the price is refused, the stock is tried again without it."""
        ids = bench.seed(2)
        bench.market.shelf.unit("de", 1).values["minimum_price"] = 1_000

        def too_low(storefront: str, values: dict[str, Any]) -> None:
            if values.get("listing_price", 1_000) < 1_000:
                raise Refused(400, "validation-error", "Validation failed", listing_price="is too low")

        bench.market.shelf._check = too_low  # type: ignore[method-assign]

        async def test(session: Session) -> dict[tuple[str, Aspect], PushResult]:
            session.offers.known |= ids
            low, fine = (session.price(minor) for minor in (500, 2_000))
            ops = [
                session.op("seed-00000", *PRICE_AND_STOCK, price=low, quantity=3),
                session.op("seed-00001", *PRICE_AND_STOCK, price=fine, quantity=3),
            ]
            return results_of((await session.adapter.push("bulk", ops)).results)

        results = bench.harness().run(test)
        assert results["seed-00000", Aspect.PRICE].result is Result.REJECTED
        assert "listing_price: is too low" in results["seed-00000", Aspect.PRICE].message
        assert results["seed-00000", Aspect.PRICE].hint
        assert results["seed-00000", Aspect.STOCK].result is Result.RETRY
        assert results["seed-00001", Aspect.STOCK].result is Result.APPLIED

    @pytest.mark.parametrize(
        ("price", "code"),
        [
            ({"amount": Money(100_000_001, "EUR")}, "price_out_of_range"),
            ({"amount": Money(1_999, "PLN")}, "wrong_currency"),
            ({"amount": Money(1_999, "EUR"), "gross": False}, "price_net"),
        ],
    )
    def test_a_price_that_kaufland_cannot_take_is_refused_before_it_leaves(
        self, bench: Bench, price: dict[str, Any], code: str
    ) -> None:
        """The storefront's maximum, its currency, VAT included; the other offers of the batch are written."""
        ids = bench.seed(2)

        async def test(session: Session) -> dict[tuple[str, Aspect], PushResult]:
            session.offers.known |= ids
            bad = replace(session.price(1), **price)
            ops = [session.op("seed-00000", Aspect.PRICE, price=bad), session.op("seed-00001", Aspect.PRICE)]
            return await session.push(session.door(Aspect.PRICE), ops)

        results = bench.harness().run(test)
        assert code == results["seed-00000", Aspect.PRICE].code
        assert results["seed-00001", Aspect.PRICE].result is Result.APPLIED

    def test_an_offer_without_a_unit_waits_for_its_id(self, bench: Bench) -> None:
        """Bulk needs id_unit: an op without one is told apart, not sent."""

        async def test(session: Session) -> PushResult:
            op = session.op("nobody", Aspect.STOCK)
            return (await session.adapter.push("bulk", [op])).results[0]

        assert (Result.REJECTED, "unit_unknown") == ((told := bench.harness().run(test)).result, told.code)
        assert not bench.market.requests


class TestUnits:
    def test_a_fresh_unit_is_not_listed_for_minutes(self, bench: Bench) -> None:
        """Reading at once shows nothing, within visible_after it shows: only after that may anybody miss it."""

        async def test(session: Session) -> tuple[list[str], list[str]]:
            await session.put_on_sale(["fresh-1"])
            at_once = [one.sku async for one in session.adapter.offers(["fresh-1"])]
            return at_once, list(await session.read(["fresh-1"]))

        harness = bench.harness()
        assert ([], ["fresh-1"]) == harness.run(test)
        assert harness.adapter.spec.visible_after > RULES.listed_after

    def test_a_unit_whose_creation_was_never_answered_is_not_made_twice(self, bench: Bench) -> None:
        """The answer is lost; while the unit is not listed it is waited for, then it is found and changed."""
        harness = bench.harness()

        async def test(session: Session) -> tuple[set[Result], set[Result], str | None]:
            door = session.door(Aspect.LISTING)
            harness.hands.fault("create", FaultKind.TIMEOUT_AFTER)
            with pytest.raises(OutcomeUnknown):
                await session.adapter.push(door.name, [session.op("lost-1", *door.aspects)])
            soon = (await session.adapter.push(door.name, [session.op("lost-1", *door.aspects)])).results
            harness.clock.advance(harness.adapter.spec.visible_after.total_seconds())
            later = await session.push(door, [session.op("lost-1", *door.aspects, quantity=8)])
            return {one.result for one in soon}, {one.result for one in later.values()}, session.offers.known["lost-1"]

        assert ({Result.RETRY}, {Result.APPLIED}, "1") == harness.run(test)
        assert [8] == [unit.amount for unit in bench.market.shelf]

    def test_the_quantity_is_one_on_all_storefronts_and_the_spec_says_so(self, bench: Bench) -> None:
        """Units of one id_offer share it: what is written on one storefront shows on the other."""
        germany, austria = bench.seed(1), bench.seed(1, "at")

        async def test(session: Session) -> None:
            session.offers.known |= germany
            await session.push(session.door(Aspect.STOCK), [session.op("seed-00000", Aspect.STOCK, quantity=6)])

        harness = bench.harness()
        harness.run(test)
        assert bench.market.shelf.unit("at", int(austria["seed-00000"])).amount == 6
        assert harness.adapter.spec.stock_shared

    def test_a_new_unit_without_stock_sells_nothing(self, bench: Bench) -> None:
        """Left out, Kaufland would sell one piece: an unmanaged quantity is created as nothing."""

        async def test(session: Session) -> None:
            door = session.door(Aspect.LISTING)
            op = session.op("zero-1", Aspect.LISTING, Aspect.PRICE)
            await session.push(door, [replace(op, stock=None)])

        bench.harness().run(test)
        assert [0] == [unit.amount for unit in bench.market.shelf]

    def test_settings_travel_with_every_new_unit(self, bench: Bench) -> None:
        """Handling time, shipping group, warehouse and VAT class."""

        async def test(session: Session) -> None:
            await session.put_on_sale(["terms-1"])

        bench.harness(handling_time=3, shipping_group=11, warehouse=22, vat_indicator="reduced_rate_1").run(test)
        (unit,) = bench.market.shelf
        names = ("handling_time", "id_shipping_group", "id_warehouse", "vat_indicator")
        assert [3, 11, 22, "reduced_rate_1"] == [unit.values[name] for name in names]

    def test_an_item_without_an_ean_sells_on_the_product_that_it_names(self, bench: Bench) -> None:
        """The attribute id_product stands in for the EAN; no product data goes with it."""

        async def test(session: Session) -> dict[tuple[str, Aspect], PushResult]:
            door = session.door(Aspect.LISTING)
            plain = replace(listing("own-1"), gtin="", attributes={"id_product": "20574181"})
            return await session.push(door, [session.op("own-1", *door.aspects, listing=plain)])

        results = bench.harness().run(test)
        assert {Result.APPLIED} == {result.result for result in results.values()}
        assert [20_574_181] == [unit.id_product for unit in bench.market.shelf]
        assert not bench.market.shelf.products

    def test_a_list_that_moves_while_it_is_read_is_read_again(self, bench: Bench) -> None:
        """Pages overlap: units that are deleted in between shift the list, and none is skipped unseen."""
        ids = bench.seed(250)
        bench.clock.advance(3_600)

        async def test(session: Session) -> list[str]:
            seen = []
            async for one in session.adapter.offers():
                seen.append(one.sku)
                if len(seen) == 50:
                    for number in (1, 2, 3):
                        bench.market.shelf.delete("de", number)
            return seen

        seen = bench.harness(read_product_data=False).run(test)
        assert sorted(ids) == sorted(seen)


class TestProductData:
    def test_a_listing_is_open_until_kaufland_has_processed_it(self, bench: Bench) -> None:
        """PUT is only a promise: the status decides, and price and stock do not wait for it."""

        async def test(session: Session) -> tuple[dict[tuple[str, Aspect], PushResult], Any]:
            outcome = await session.adapter.push("create", [session.op("slow-1", *Aspect)])
            early = await session.adapter.confirm(_receipt(session, "slow-1", outcome.receipt))
            return results_of(outcome.results), early

        results, early = bench.harness().run(test)
        assert results["slow-1", Aspect.LISTING].result is Result.SUBMITTED
        assert {Result.APPLIED} == {results["slow-1", aspect].result for aspect in PRICE_AND_STOCK}
        assert (0, True) == (len(early.results), early.receipt is not None)

    def test_what_is_processed_for_too_long_lets_price_and_stock_go_on(self, bench: Bench) -> None:
        """An open listing holds back everything but stock zero: after product_data_wait it counts as taken."""
        bench = Bench(product_time=timedelta(days=1))

        async def test(session: Session) -> PushResult:
            outcome = await session.adapter.push("create", [session.op("days-1", *Aspect)])
            receipt = _receipt(session, "days-1", outcome.receipt)
            bench.clock.advance(30 * 60)
            return (await session.adapter.confirm(receipt)).results[0]

        told = bench.harness(product_data_wait=30).run(test)
        assert (Result.APPLIED, "IN_PROGRESS") == (told.result, told.code)

    def test_missing_attributes_are_told(self, bench: Bench) -> None:
        """Kaufland makes no product: the listing is refused with what is missing and what to do."""
        bench = Bench(required=("title", "colour"))

        async def test(session: Session) -> PushResult:
            door = session.door(Aspect.LISTING)
            return (await session.push(door, [session.op("bare-1", *Aspect)]))["bare-1", Aspect.LISTING]

        told = bench.harness().run(test)
        assert (Result.REJECTED, "NOT_ENOUGH_DATA") == (told.result, told.code)
        assert "colour" in told.message
        assert told.hint

    def test_a_product_that_kaufland_does_not_know_is_made_first(self, bench: Bench) -> None:
        """No unit without a product: our data goes first and once, the unit follows when the product is there."""
        bench = Bench(known_eans=frozenset())

        async def test(session: Session) -> list[set[Result]]:
            door = session.door(Aspect.LISTING)
            rounds = []
            for _ in range(3):
                outcome = await session.push(door, [session.op("new-1", *Aspect)])
                rounds.append({result.result for result in outcome.values()})
                if len(rounds) == 2:
                    bench.clock.advance(600)
            return rounds

        assert [{Result.RETRY}, {Result.RETRY}, {Result.APPLIED}] == bench.harness().run(test)
        assert bench.market.requests["listing", 200] == 2, "once before the unit, once with it"

    def test_without_product_data_an_unknown_ean_is_refused(self, bench: Bench) -> None:
        """A seller who sends none is told so: the offer waits for a person."""
        bench = Bench(known_eans=frozenset())

        async def test(session: Session) -> dict[tuple[str, Aspect], PushResult]:
            return results_of((await session.adapter.push("create", [session.op("no-1", *Aspect)])).results)

        results = bench.harness(product_data=False).run(test)
        assert results["no-1", Aspect.LISTING].result is Result.REJECTED
        assert "product_data" in results["no-1", Aspect.LISTING].hint

    def test_a_limit_after_the_unit_was_made_does_not_lose_its_id(self, bench: Bench) -> None:
        """The unit is there, its product data has to wait: the id is kept, only the listing comes again."""
        harness = bench.harness()

        async def test(session: Session) -> dict[tuple[str, Aspect], PushResult]:
            harness.hands.fault("listing", FaultKind.RATE_LIMITED, times=5)
            return results_of((await session.adapter.push("create", [session.op("cut-1", *Aspect)])).results)

        results = harness.run(test)
        assert results["cut-1", Aspect.LISTING].result is Result.RETRY
        assert {"1"} == {result.channel_id for result in results.values()}

    def test_the_contact_for_product_safety_goes_with_the_data(self, bench: Bench) -> None:
        """GPSR: one contact for the channel, as the contract wants it."""
        contact = {"name": "Acme GmbH", "address": "Straße 1, 04109 Leipzig, DE", "email_address": "a@example.com"}

        async def test(session: Session) -> None:
            await session.put_on_sale(["safe-1"])

        bench.harness(product_safety_contact=contact).run(test)
        body, _ = bench.market.shelf.products[ean_of("safe-1"), "de-DE"]
        assert contact == body["attributes"]["product_safety_contact"]


def _receipt(session: Session, sku: str, token: str | None) -> Receipt:
    assert token is not None
    ops = [(sku, frozenset({Aspect.LISTING}))]
    return Receipt(token=token, operation="create", submitted=session.harness.clock.now(), ops=ops)


def test_a_limit_of_our_own_is_no_failure(bench: Bench) -> None:
    """Where the bucket is empty for longer than a second, the call says how long, and nothing is sent."""

    async def test(session: Session) -> RateLimited:
        op = OfferOp(sku="x", changed=frozenset({Aspect.STOCK}), revision=1, channel_id="1", stock=Stock(quantity=1))
        await session.adapter.push("bulk", [op])
        with pytest.raises(RateLimited) as raised:
            await session.adapter.push("bulk", [op])
        return raised.value

    bench.seed(1)
    error = bench.harness(rate=0.2).run(test)
    assert error.retry_after is not None
    assert error.retry_after > timedelta(seconds=3)
    assert bench.market.requests["bulk", 207] == 1
