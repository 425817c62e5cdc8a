"""What is particular about stock and prices in Shopify, each trap by its name."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from marketsync.adapter.api import Aspect, Money, PushResult, Result, Stock
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness, Session
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.shopify.sandbox import Shop
from tests.contract.shopify_acts import list_family, results, set_stock
from tests.contract.shopify_harness import RULES, SETTINGS, harness_for

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
        assert [write.quantity for write in shop.log if write.cause == "write"] == [0, 5, 3, 3], "made, then written"

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
