"""What is particular about shipments, cancellations and refunds in Shopify, each trap by its name."""

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
    Payment,
    Result,
)
from marketsync.adapter.errors import OutcomeUnknown
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness, Session
from marketsync.testing.contract.orders import pull
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.shopify.commands import MOST_LINES, _parcels
from marketsync_adapters.shopify.sandbox import Shop
from tests.contract.shopify_acts import again, command, sold
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
