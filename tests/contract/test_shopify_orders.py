"""What is particular about orders, commands and returns in Shopify, each trap by its name."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from marketsync.adapter.api import (
    ChannelOrder,
    Command,
    CommandLine,
    CommandResult,
    Fulfilment,
    Money,
    OrderCursor,
    Payment,
    Result,
    ReturnState,
)
from marketsync.adapter.errors import ItemRefused, OutcomeUnknown
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness, Session
from marketsync.testing.contract.orders import pull, pull_returns
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.shopify import orders, settings
from marketsync_adapters.shopify.commands import MOST_LINES, _parcels
from marketsync_adapters.shopify.sandbox import Shop, sales
from tests.contract.shopify_harness import RULES, SETTINGS, harness_for


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


@pytest.fixture
def shop(clock: TurnedClock) -> Shop:
    return Shop(RULES, clock)


@pytest.fixture
def harness(shop: Shop, clock: TurnedClock) -> Harness:
    return harness_for(shop, clock)


def command(order_id: str, *lines: tuple[str, int], key: str = "key-1", **more: Any) -> Command:
    named = tuple(CommandLine(line_id=line, sku="", quantity=pieces) for line, pieces in lines)
    return Command(key=key, order_id=order_id, lines=named, **more)


async def sold(session: Session, lines: Sequence[tuple[str, int]], **how: Any) -> ChannelOrder:
    """The newest order, read back."""
    await session.put_on_sale([sku for sku, _ in lines], quantity=50)
    order_id = session.harness.hands.sell(lines, **how)
    return next(order for order in await pull(session) if order.order_id == order_id)


async def again(session: Session, order: ChannelOrder) -> ChannelOrder:
    return next(one for one in await pull(session) if one.order_id == order.order_id)


def pieces(order: ChannelOrder) -> tuple[int, int, int]:
    line = order.lines[0]
    return line.shipped, line.cancelled, line.refunded


class TestReading:
    def test_refunded_pieces_are_shipped_or_cancelled_as_it_was(self, harness: Harness) -> None:
        """Of 4: 2 shipped and one of them refunded is still shipped; one refunded before shipping is cancelled."""

        async def test(session: Session) -> list[tuple[int, int, int]]:
            order = await sold(session, [("mixed-1", 4)])
            line = order.lines[0].line_id
            states = [pieces(order)]
            await session.adapter.ship(command(order.order_id, (line, 2), tracking="T1"))
            states.append(pieces(await again(session, order)))
            await session.adapter.refund(command(order.order_id, (line, 3)))
            states.append(pieces(await again(session, order)))
            return states

        assert [(0, 0, 0), (2, 0, 0), (2, 2, 3)] == harness.run(test)

    def test_lines_refunds_and_shipments_beyond_their_first_page_count(self, harness: Harness) -> None:
        """25 lines: more than a page of lines, of a shipment's and of a refund's entries."""
        lines = [(f"page-{number:02d}", 2) for number in range(25)]

        async def test(session: Session) -> ChannelOrder:
            order = await sold(session, lines)
            await session.adapter.ship(command(order.order_id, tracking="T1"))
            await session.adapter.refund(command(order.order_id, *[(line.line_id, 1) for line in order.lines]))
            return await again(session, order)

        order = harness.run(test)
        assert {sku for sku, _ in lines} == {line.sku for line in order.lines}
        assert {(2, 0, 1)} == {(line.shipped, line.cancelled, line.refunded) for line in order.lines}
        assert Fulfilment.SHIPPED is order.fulfilment

    @pytest.mark.parametrize(
        ("status", "payment"),
        [
            ("PAID", Payment.PAID),
            ("PARTIALLY_REFUNDED", Payment.PAID),
            ("REFUNDED", Payment.REFUNDED),
            ("VOIDED", Payment.FAILED),
            ("PENDING", Payment.PENDING),
            ("PARTIALLY_PAID", Payment.PENDING),
            ("EXPIRED", Payment.PENDING),
            ("AUTHORIZED", Payment.PENDING),
            (None, Payment.PENDING),
        ],
    )
    def test_every_financial_status_has_its_meaning(
        self, harness: Harness, monkeypatch: pytest.MonkeyPatch, status: str | None, payment: Payment
    ) -> None:
        """Only what is paid is delivered."""

        async def test(session: Session) -> ChannelOrder:
            order = await sold(session, [("status-1", 1)])
            monkeypatch.setattr(sales.Order, "financial", property(lambda _order: status))
            return await again(session, order)

        order = harness.run(test)
        assert payment is order.payment
        assert (payment is Payment.PENDING) == (order.buyer is None)

    def test_an_authorised_payment_may_count_as_paid(self, shop: Shop, clock: TurnedClock, monkeypatch: Any) -> None:
        """For shops that capture when they ship: such an order is read as paid, and can be shipped."""
        monkeypatch.setattr(sales.Order, "financial", property(lambda _order: "AUTHORIZED"))

        async def test(session: Session) -> tuple[Payment, Result]:
            order = await sold(session, [("auth-1", 1)])
            return order.payment, (await session.adapter.ship(command(order.order_id, tracking="T"))).result

        lenient = SETTINGS.model_copy(update={"authorized_is_paid": True})
        assert (Payment.PAID, Result.APPLIED) == harness_for(shop, clock, settings=lenient).run(test)
        assert (Payment.PENDING, Result.REJECTED) == harness_for(Shop(RULES, clock), clock).run(test)

    def test_test_orders_stay_in_the_shop(self, shop: Shop, clock: TurnedClock) -> None:
        """They are neither read nor counted, unless the settings ask for them."""

        async def test(session: Session) -> tuple[int, int]:
            await session.put_on_sale(["test-1"])
            clock.advance(60)
            began = clock.now()
            shop.sales.buy([("test-1", 1)], test=True)
            counted = await session.adapter.order_ids(began, began + timedelta(hours=1))
            return len(await pull(session)), len(counted)

        assert (0, 0) == harness_for(shop, clock).run(test)
        asked = SETTINGS.model_copy(update={"test_orders": True})
        assert (2, 1) == harness_for(shop, clock, settings=asked).run(test)

    def test_a_pull_goes_on_where_shopify_s_pages_end(self, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
        """Shopify shows 25,000 objects of a walk: then a new one begins at the last time seen."""
        monkeypatch.setattr(orders, "DEEPEST", 30)

        async def test(session: Session) -> tuple[set[str], set[str]]:
            await session.put_on_sale(["deep-1"], quantity=900)
            made = set()
            for _ in range(100):
                session.harness.clock.advance(2)
                made.add(session.harness.hands.sell([("deep-1", 1)]))
            return made, {order.order_id for order in await pull(session)}

        made, found = harness.run(test)
        assert made == found

    def test_a_page_of_somebody_else_is_refused(self, harness: Harness) -> None:
        """The engine begins the pull anew."""

        async def test(session: Session) -> None:
            with pytest.raises(ItemRefused):
                await session.adapter.orders(OrderCursor(since=None, page="no page of ours"))

        harness.run(test)


class TestShipping:
    def test_pieces_of_two_locations_are_two_parcels(self, clock: TurnedClock) -> None:
        """Shopify takes a parcel from one location only."""
        shop = Shop(replace(RULES, locations={"11": "Berlin", "12": "Wien"}), clock)
        both = SETTINGS.model_copy(update={"locations": {"berlin": "11", "wien": "12"}})

        async def test(session: Session) -> tuple[Result, ChannelOrder]:
            await session.put_on_sale(["two-1"])
            for location in shop.locations:
                shop.set_level(shop.by_sku("two-1")[0], location, 2, "test")
            order_id = session.harness.hands.sell([("two-1", 3)])
            result = await session.adapter.ship(command(order_id, tracking="T1", carrier="DHL"))
            return result.result, (await pull(session))[0]

        result, order = harness_for(shop, clock, settings=both).run(test)
        assert (Result.APPLIED, Fulfilment.SHIPPED, 3) == (result, order.fulfilment, order.lines[0].shipped)
        assert len(next(iter(shop.sales.orders.values())).fulfillments) == 2

    def test_what_is_on_hold_is_not_shipped(self, harness: Harness, shop: Shop) -> None:
        """The refusal says that it is held, not that nothing is open."""

        async def test(session: Session) -> CommandResult:
            order = await sold(session, [("hold-1", 1)])
            for place in next(iter(shop.sales.orders.values())).to_ship:
                place.status = "ON_HOLD"
            return await session.adapter.ship(command(order.order_id, tracking="T"))

        assert ("on_hold", Result.REJECTED) == ((told := harness.run(test)).code, told.result)

    def test_a_parcel_has_at_most_512_lines(self) -> None:
        """More are split over parcels, and every piece is in one of them."""
        open_ = [{"order": "o", "location": "l", "id": str(n), "line": str(n), "pieces": 2} for n in range(1_100)]
        made = _parcels((), open_)
        assert not isinstance(made, str)
        assert [512, 512, 76] == [len(parcel) for parcel in made]
        assert MOST_LINES == 512
        assert 2_200 == sum(count for parcel in made for _, count in parcel)

    @pytest.mark.parametrize(("whole", "code"), [(True, ""), (False, "cannot_tell")])
    def test_a_shipment_without_tracking_is_found_only_where_it_is_certain(
        self, harness: Harness, shop: Shop, whole: bool, code: str
    ) -> None:
        """The whole order shipped is a trace; a part without a number could be any part: a person looks."""

        async def test(session: Session) -> CommandResult | None:
            order = await sold(session, [("trace-1", 2)])
            lines = [] if whole else [(order.lines[0].line_id, 1)]
            told = command(order.order_id, *lines)
            assert await session.adapter.command_result("ship", told) is None
            shop.faults.add(Fault(FaultKind.TIMEOUT_AFTER, "ship"))
            with pytest.raises(OutcomeUnknown):
                await session.adapter.ship(told)
            found: CommandResult | None = await session.adapter.command_result("ship", told)
            return found

        found = harness.run(test)
        assert found is not None
        assert (Result.APPLIED if whole else Result.REJECTED, code) == (found.result, found.code)


class TestCancelling:
    def test_a_cancellation_that_takes_its_time_is_looked_up(self, clock: TurnedClock) -> None:
        """Shopify cancels by a job: until it is done nobody says that it is."""
        shop = Shop(replace(RULES, cancel_time=timedelta(seconds=30)), clock)

        async def test(session: Session) -> tuple[Result, Any, Any, ChannelOrder]:
            order = await sold(session, [("cancel-1", 2)])
            told = command(order.order_id, reason="out of stock")
            first = await session.adapter.cancel(told)
            early = await session.adapter.command_result("cancel", told)
            clock.advance(31)
            later = await session.adapter.command_result("cancel", told)
            return first.result, early, later.result, await again(session, order)

        first, early, later, order = harness_for(shop, clock).run(test)
        assert (Result.UNKNOWN, None, Result.APPLIED) == (first, early, later)
        assert (Fulfilment.CANCELLED, Payment.REFUNDED, 2) == (
            order.fulfilment,
            order.payment,
            order.lines[0].cancelled,
        )

    def test_all_pieces_named_are_the_whole_order(self, harness: Harness, shop: Shop) -> None:
        """Then the order itself is cancelled, with its shipping; and cancelling again is refused."""

        async def test(session: Session) -> list[Result]:
            order = await sold(session, [("cancel-2", 2), ("cancel-3", 1)])
            lines = [(line.line_id, line.quantity) for line in order.lines]
            return [(await session.adapter.cancel(command(order.order_id, *lines))).result for _ in range(2)]

        assert Result.APPLIED is harness.run(test)[0]
        order = next(iter(shop.sales.orders.values()))
        assert order.cancelled is not None
        assert order.refunded == order.total

    def test_shopify_does_not_put_cancelled_pieces_back(self, harness: Harness, shop: Shop) -> None:
        """Our ledger knows what there is; Shopify raising its own stock would sell pieces twice."""

        async def test(session: Session) -> int | None:
            order = await sold(session, [("back-1", 2)])
            before = session.harness.hands.shown_stock("back-1")
            await session.adapter.cancel(command(order.order_id, (order.lines[0].line_id, 1)))
            assert before == session.harness.hands.shown_stock("back-1")
            return before

        assert harness.run(test) == 48


class TestRefunds:
    def test_a_refund_whose_answer_was_lost_is_found_by_its_note(self, harness: Harness, shop: Shop) -> None:
        """Also where the parameters would be others by now: it is looked for before anything is sent."""

        async def test(session: Session) -> tuple[Any, CommandResult, CommandResult]:
            order = await sold(session, [("lost-1", 3)])
            told = command(order.order_id, reason="damaged", key="refund-77")
            assert await session.adapter.command_result("refund", told) is None
            shop.faults.add(Fault(FaultKind.TIMEOUT_AFTER, "refund"))
            with pytest.raises(OutcomeUnknown):
                await session.adapter.refund(told)
            return await session.adapter.command_result("refund", told), await session.adapter.refund(told), told

        found, second, _ = harness.run(test)
        assert Result.APPLIED is found.result
        assert found == second
        order = next(iter(shop.sales.orders.values()))
        assert ["damaged [refund-77]"] == [refund.note for refund in order.refunds]
        assert order.refunded == order.total, "a whole order is refunded with its shipping"

    def test_a_chosen_amount_is_what_goes_back(self, harness: Harness, shop: Shop) -> None:
        """Not what the pieces cost; more than is left is refused, another currency too."""

        async def test(session: Session) -> list[CommandResult]:
            order = await sold(session, [("amount-1", 2)])
            line = order.lines[0]
            found = []
            for key, amount in (("a", Money(500, "EUR")), ("b", Money(99_900, "EUR")), ("c", Money(100, "PLN"))):
                lines = (CommandLine(line_id=line.line_id, sku=line.sku, quantity=0, amount=amount),)
                found.append(await session.adapter.refund(Command(key=key, order_id=order.order_id, lines=lines)))
            return found

        told = harness.run(test)
        assert [Result.APPLIED, Result.REJECTED, Result.REJECTED] == [one.result for one in told]
        assert "more were named than can be refunded" in told[1].message
        assert [500] == [int(one.amount * 100) for one in next(iter(shop.sales.orders.values())).refunds]

    def test_an_order_that_does_not_exist_is_refused(self, harness: Harness) -> None:
        """Each command says so; none raises."""

        async def test(session: Session) -> set[tuple[Result, str]]:
            told = command("999999", ("1", 1), tracking="T")
            found = [
                await session.adapter.ship(told),
                await session.adapter.refund(told),
                await session.adapter.cancel(command("999999")),
                await session.adapter.command_result("refund", told),
                await session.adapter.command_result("ship", told),
            ]
            return {(one.result, one.code.lower()) for one in found}

        assert {(Result.REJECTED, "not_found")} == harness.run(test)


class TestReturns:
    @pytest.mark.parametrize("sellable", [True, False])
    def test_a_return_is_followed_until_it_is_refunded(self, harness: Harness, sellable: bool) -> None:
        """Asked for, arrived with its condition, refunded; each as its own line."""

        async def test(session: Session) -> list[tuple[ReturnState, bool | None]]:
            order = await sold(session, [("return-1", 2)])
            await session.adapter.ship(command(order.order_id, tracking="T1"))
            line = order.lines[0].line_id
            return_id = session.harness.hands.request_return(order.order_id, line, 1)
            states = [(await pull_returns(session))[0]]
            session.harness.hands.receive_return(return_id, sellable=sellable)
            states += await pull_returns(session)
            await session.adapter.refund(command(order.order_id, (line, 1)))
            states += await pull_returns(session)
            assert {return_id} == {one.return_id for one in states}
            return [(one.state, one.sellable) for one in states]

        assert [
            (ReturnState.REQUESTED, None),
            (ReturnState.RECEIVED, sellable),
            (ReturnState.REFUNDED, sellable),
        ] == harness.run(test)

    def test_orders_without_returns_are_not_walked(self, harness: Harness, shop: Shop) -> None:
        """One question, however many orders there are."""

        async def test(session: Session) -> int:
            await session.put_on_sale(["none-1"], quantity=100)
            for _ in range(60):
                session.harness.hands.sell([("none-1", 1)])
            before = shop.requests["orders", 200]
            assert [] == await pull_returns(session)
            return shop.requests["orders", 200] - before

        assert harness.run(test) == 1


@pytest.mark.parametrize(
    ("topic", "tasks"),
    [
        ("orders/create", ["orders"]),
        ("orders/cancelled", ["orders"]),
        ("refunds/create", ["orders"]),
        ("fulfillments/update", ["orders"]),
        ("returns/request", ["returns"]),
        ("products/update", []),
        ("app/uninstalled", []),
    ],
)
def test_every_topic_says_what_to_look_at(harness: Harness, topic: str, tasks: list[str]) -> None:
    """Nothing of a body is believed; topics that mean nothing to us are taken quietly."""

    async def test(session: Session) -> list[str]:
        await session.put_on_sale(["hook-1"])
        call = harness.hands.webhook(harness.hands.sell([("hook-1", 1)]))
        return [
            one.task
            for one in session.adapter.webhook(replace(call, headers={**call.headers, "x-shopify-topic": topic}))
        ]

    assert tasks == harness.run(test)


def test_money_is_the_shop_s_own() -> None:
    """What a buyer paid in another currency is not what the seller books."""
    assert Money(1_999, "EUR") == orders._money(
        {
            "shopMoney": {"amount": "19.99", "currencyCode": "EUR"},
            "presentmentMoney": {"amount": "90", "currencyCode": "PLN"},
        }
    )


def test_locations_without_a_place_are_told_by_name() -> None:
    """Pieces that lie nowhere in Shopify are never quietly lost."""
    own = settings.Settings(shop="a.myshopify.com", currency="EUR", locations={"berlin": 1})
    with pytest.raises(settings.UnknownLocation, match="wien"):
        own.quantities(settings.Stock(quantity=3, locations={"berlin": 1, "wien": 2}))
    assert {"gid://shopify/Location/1": 3} == own.quantities(
        settings.Stock(quantity=3, locations={"berlin": 3, "wien": 0})
    )
    assert {"gid://shopify/Location/1": 3} == own.quantities(settings.Stock(quantity=3))
