"""Orders: each comes home once and whole, and what is told about it happens once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from marketsync.adapter.api import (
    AcknowledgesOrders,
    CancelsOrders,
    ChannelOrder,
    ChannelReturn,
    Command,
    CommandLine,
    CommandResult,
    CountsOrders,
    Fulfilment,
    LooksUpCommands,
    OrderCursor,
    Payment,
    PullsOrders,
    PullsReturns,
    ReceivesWebhooks,
    RefundsOrders,
    Result,
    ReturnState,
    SaleLowers,
    ShipsOrders,
)
from marketsync.adapter.errors import AuthRefused, OutcomeUnknown
from marketsync.testing.contract.harness import Harness, Session
from marketsync_adapters.sandbox.faults import FaultKind

LONG_AGO = timedelta(days=1)


class OrderContract:
    def test_all_pages_bring_every_order(self, harness: Harness) -> None:
        """More orders than fit on a page, all of the same moment: each is brought, none twice."""
        harness.needs(PullsOrders)

        async def test(session: Session) -> tuple[list[str], list[ChannelOrder]]:
            await session.put_on_sale(["sold-1"], quantity=900)
            sold = [harness.hands.sell([("sold-1", 1)]) for _ in range(130)]
            return sold, await pull(session)

        sold, orders = harness.run(test)
        assert sorted(sold) == sorted(order.order_id for order in orders)

    def test_an_order_is_whole(self, harness: Harness) -> None:
        """SKUs as the channel spells them, quantities, money in the order's currency, times in UTC, an address."""
        harness.needs(PullsOrders)

        async def test(session: Session) -> ChannelOrder:
            await session.put_on_sale(["Whole-1", "whole-1"], minor=1_999)
            harness.hands.sell([("Whole-1", 2), ("whole-1", 1)])
            return (await pull(session))[0]

        order = harness.run(test)
        assert {line.sku: line.quantity for line in order.lines} == {"Whole-1": 2, "whole-1": 1}
        assert len({line.line_id for line in order.lines}) == 2
        assert (order.payment, order.fulfilment) == (Payment.PAID, Fulfilment.OPEN)
        assert {line.sku: line.amount.minor for line in order.lines if line.amount} == {
            "Whole-1": 3_998,
            "whole-1": 1_999,
        }
        assert {harness.currency} == {order.currency} | {line.amount.currency for line in order.lines if line.amount}
        assert order.buyer is not None
        assert order.buyer.city
        assert {UTC} == {time.tzinfo for time in (order.placed, order.updated)}

    def test_an_unpaid_order_has_no_address_yet(self, harness: Harness) -> None:
        """A pending order shows what is bought, not by whom; payment brings the address and a later update."""
        harness.needs(PullsOrders)

        async def test(session: Session) -> tuple[ChannelOrder, ChannelOrder]:
            await session.put_on_sale(["unpaid-1"])
            order_id = harness.hands.sell([("unpaid-1", 1)], paid=False)
            before = (await pull(session))[0]
            harness.clock.advance(60)
            harness.hands.pay(order_id)
            return before, (await pull(session))[0]

        before, after = harness.run(test)
        assert (before.payment, before.buyer) == (Payment.PENDING, None)
        assert Payment.PAID is after.payment
        assert after.buyer is not None
        assert after.updated > before.updated

    def test_the_sale_lowers_stock_when_the_spec_says(self, harness: Harness) -> None:
        """When the channel lowers its own number decides when we must not trust ours."""
        harness.needs(PullsOrders)

        async def test(session: Session) -> tuple[int | None, int | None]:
            await session.put_on_sale(["lower-1"], quantity=5)
            order_id = harness.hands.sell([("lower-1", 2)], paid=False)
            placed = harness.hands.shown_stock("lower-1")
            harness.hands.pay(order_id)
            return placed, harness.hands.shown_stock("lower-1")

        expected = {
            SaleLowers.NEVER: {(5, 5)},
            SaleLowers.AT_PLACING: {(3, 3)},
            SaleLowers.AT_PAYMENT: {(5, 3)},
            SaleLowers.AT_EITHER: {(3, 3), (5, 3)},
        }
        assert harness.run(test) in expected[harness.adapter.spec.sale_lowers_stock]

    def test_a_cursor_leaves_older_orders_out_and_overlaps_harmlessly(self, harness: Harness) -> None:
        """Everything updated at or after the cursor comes, the order at the cursor's own moment included."""
        harness.needs(PullsOrders)

        async def test(session: Session) -> tuple[str, list[ChannelOrder], list[ChannelOrder]]:
            await session.put_on_sale(["cursor-1"], quantity=9)
            harness.hands.sell([("cursor-1", 1)])
            harness.clock.advance(3_600)
            late = harness.hands.sell([("cursor-1", 1)])
            everything = await pull(session)
            newest = max(order.updated for order in everything)
            return late, everything, await pull(session, since=newest)

        late, everything, newest = harness.run(test)
        assert len(everything) == 2
        assert [late] == [order.order_id for order in newest]

    def test_nothing_is_missed_while_orders_change(self, harness: Harness) -> None:
        """Orders that change between two pages move in the feed; all of them still come, the new ones too."""
        harness.needs(PullsOrders)

        async def test(session: Session) -> tuple[set[str], set[str]]:
            await session.put_on_sale(["move-1"], quantity=900)
            sold = [harness.hands.sell([("move-1", 1)], paid=False) for _ in range(120)]
            pulled: set[str] = set()
            cursor = OrderCursor(since=harness.clock.now() - LONG_AGO)
            while True:
                page = await session.adapter.orders(cursor)
                pulled |= {order.order_id for order in page.orders}
                if page.next_page is None:
                    return set(sold), pulled
                harness.clock.advance(1)
                for order_id in sold[:60:7]:
                    harness.hands.pay(order_id) if len(pulled) < 60 else None
                cursor = replace(cursor, page=page.next_page)

        sold, pulled = harness.run(test)
        assert sold <= pulled

    @pytest.mark.parametrize("kind", [FaultKind.DUPLICATED_PAGE, FaultKind.REORDERED_PAGE])
    def test_strange_pages_lose_nothing(self, harness: Harness, kind: FaultKind) -> None:
        """A page that repeats orders or turns them around still holds them all."""
        harness.needs(PullsOrders)

        async def test(session: Session) -> tuple[list[str], list[ChannelOrder]]:
            await session.put_on_sale(["page-1"], quantity=900)
            sold = [harness.hands.sell([("page-1", 1)]) for _ in range(70)]
            harness.hands.fault("orders", kind, times=10)
            return sold, await pull(session)

        sold, orders = harness.run(test)
        assert set(sold) == {order.order_id for order in orders}

    def test_a_cancelled_order_says_so(self, harness: Harness) -> None:
        """What the channel cancels shows as cancelled pieces, line by line."""
        harness.needs(PullsOrders)

        async def test(session: Session) -> ChannelOrder:
            await session.put_on_sale(["cancelled-1"])
            harness.hands.cancel(harness.hands.sell([("cancelled-1", 2)]))
            return (await pull(session))[0]

        order = harness.run(test)
        assert order.fulfilment is Fulfilment.CANCELLED
        assert [(line.quantity, line.cancelled) for line in order.lines] == [(2, 2)]

    def test_counting_proves_that_none_is_missing(self, harness: Harness) -> None:
        """Every id of a window of placing times: its start belongs to it, its end does not."""
        harness.needs(CountsOrders)

        async def test(session: Session) -> tuple[list[str], Sequence[str]]:
            await session.put_on_sale(["count-1"], quantity=900)
            harness.hands.sell([("count-1", 1)])
            harness.clock.advance(60)
            start = harness.clock.now()
            inside = [harness.hands.sell([("count-1", 1)]) for _ in range(120)]
            harness.clock.advance(60)
            end = harness.clock.now()
            harness.hands.sell([("count-1", 1)])
            return inside, await session.adapter.order_ids(start, end)

        inside, counted = harness.run(test)
        assert sorted(inside) == sorted(counted)

    def test_acknowledging_twice_is_harmless(self, harness: Harness) -> None:
        """One result per command in their order; an order that does not exist is refused beside one that does."""
        harness.needs(AcknowledgesOrders, PullsOrders)

        async def test(session: Session) -> tuple[list[Result], list[ChannelOrder]]:
            await session.put_on_sale(["ack-1"])
            commands = [_command("ack", harness.hands.sell([("ack-1", 1)])), _command("none", "no-such-order")]
            results: list[Result] = []
            for _ in range(2):
                results += [result.result for result in await session.adapter.acknowledge(commands)]
            return results, await pull(session)

        results, orders = harness.run(test)
        assert results == [Result.APPLIED, Result.REJECTED] * 2
        assert [order.acknowledged for order in orders] == [True]

    def test_an_order_ships_in_parts(self, harness: Harness) -> None:
        """A part, then the rest; more than is open is refused and changes nothing."""
        harness.needs(ShipsOrders, PullsOrders)

        async def test(session: Session) -> tuple[list[Result], list[tuple[Fulfilment, int]]]:
            await session.put_on_sale(["ship-1"])
            harness.hands.sell([("ship-1", 3)])
            order = (await pull(session))[0]
            results, states = [], []
            for key, pieces in (("part", 1), ("too-much", 3), ("rest", 2)):
                results.append((await session.adapter.ship(_for_line(key, order, pieces))).result)
                order = (await pull(session))[0]
                states.append((order.fulfilment, order.lines[0].shipped))
            return results, states

        results, states = harness.run(test)
        assert results == [Result.APPLIED, Result.REJECTED, Result.APPLIED]
        assert states == [
            (Fulfilment.PARTLY_SHIPPED, 1),
            (Fulfilment.PARTLY_SHIPPED, 1),
            (Fulfilment.SHIPPED, 3),
        ]

    def test_an_unpaid_order_is_not_shipped(self, harness: Harness) -> None:
        """The channel's refusal of a command is its result, with the reason."""
        harness.needs(ShipsOrders)

        async def test(session: Session) -> CommandResult:
            await session.put_on_sale(["early-1"])
            order_id = harness.hands.sell([("early-1", 1)], paid=False)
            result: CommandResult = await session.adapter.ship(_command("early", order_id))
            return result

        result = harness.run(test)
        assert result.result is Result.REJECTED
        assert result.message

    def test_a_cancelled_line_is_cancelled_at_the_channel(self, harness: Harness) -> None:
        """Cancelling a part leaves the rest open."""
        harness.needs(CancelsOrders, PullsOrders)

        async def test(session: Session) -> tuple[Result, ChannelOrder]:
            await session.put_on_sale(["cancel-1"])
            harness.hands.sell([("cancel-1", 3)])
            order = (await pull(session))[0]
            result = await session.adapter.cancel(replace(_for_line("cancel", order, 1), reason="out of stock"))
            return result.result, (await pull(session))[0]

        result, order = harness.run(test)
        assert (result, order.lines[0].cancelled, order.fulfilment) == (Result.APPLIED, 1, Fulfilment.OPEN)

    def test_a_refund_happens_once(self, harness: Harness) -> None:
        """The same key again gives the same reference and no second refund."""
        harness.needs(RefundsOrders, PullsOrders)

        async def test(session: Session) -> tuple[list[CommandResult], ChannelOrder]:
            await session.put_on_sale(["refund-1"])
            harness.hands.sell([("refund-1", 3)])
            command = _for_line("refund", (await pull(session))[0], 1)
            results = [await session.adapter.refund(command) for _ in range(2)]
            return results, (await pull(session))[0]

        (first, second), order = harness.run(test)
        assert Result.APPLIED is first.result
        assert first == second
        assert order.lines[0].refunded == 1

    @pytest.mark.parametrize(("kind", "traced"), [(FaultKind.TIMEOUT_AFTER, True), (FaultKind.TIMEOUT_BEFORE, False)])
    def test_a_command_without_an_answer_can_be_looked_up(
        self, harness: Harness, kind: FaultKind, traced: bool
    ) -> None:
        """A lost answer is OutcomeUnknown, never a result; the look-up tells whether it took effect."""
        harness.needs(LooksUpCommands, ShipsOrders)

        async def test(session: Session) -> CommandResult | None:
            await session.put_on_sale(["lookup-1"])
            command = _command("lookup", harness.hands.sell([("lookup-1", 1)]))
            harness.hands.fault("ship", kind, times=1)
            with pytest.raises(OutcomeUnknown):
                await session.adapter.ship(command)
            found: CommandResult | None = await session.adapter.command_result("ship", command)
            return found

        found = harness.run(test)
        assert traced == (found is not None and found.result is Result.APPLIED)

    def test_returns_come_home(self, harness: Harness) -> None:
        """A return is seen when it is asked for and again when it arrives, with its condition."""
        harness.needs(PullsReturns, PullsOrders, ShipsOrders)

        async def test(session: Session) -> tuple[list[ChannelReturn], list[ChannelReturn]]:
            await session.put_on_sale(["return-1"])
            order_id = harness.hands.sell([("return-1", 2)])
            await session.adapter.ship(_command("sent", order_id))
            line = (await pull(session))[0].lines[0]
            return_id = harness.hands.request_return(order_id, line.line_id, 1)
            asked = await pull_returns(session)
            harness.clock.advance(60)
            harness.hands.receive_return(return_id, sellable=True)
            return asked, await pull_returns(session)

        (asked,), (received,) = harness.run(test)
        assert (asked.state, asked.sku, asked.quantity) == (ReturnState.REQUESTED, "return-1", 1)
        assert (received.state, received.sellable) == (ReturnState.RECEIVED, True)
        assert asked.return_id == received.return_id
        assert received.updated > asked.updated

    def test_a_signed_notification_says_what_to_look_at(self, harness: Harness) -> None:
        """The notice names the task and the delivery's id, the same for the same delivery."""
        harness.needs(ReceivesWebhooks)

        async def test(session: Session) -> None:
            await session.put_on_sale(["hook-1"])
            call = harness.hands.webhook(harness.hands.sell([("hook-1", 1)]))
            first, again = session.adapter.webhook(call), session.adapter.webhook(call)
            assert [notice.task for notice in first] == ["orders"]
            assert [notice.id for notice in first] == [notice.id for notice in again]

        harness.run(test)

    def test_a_forged_or_old_notification_is_refused(self, harness: Harness) -> None:
        """A changed body, a missing signature and a replay after hours are refused."""
        harness.needs(ReceivesWebhooks)

        async def test(session: Session) -> None:
            await session.put_on_sale(["forged-1"])
            call = harness.hands.webhook(harness.hands.sell([("forged-1", 1)]))
            forged = [replace(call, body=call.body + b" "), replace(call, headers={})]
            if all(notice.sent is not None for notice in session.adapter.webhook(call)):
                forged.append(replace(call, received=call.received + timedelta(hours=5)))
            for one in forged:
                with pytest.raises(AuthRefused):
                    session.adapter.webhook(one)

        harness.run(test)


async def pull(session: Session, since: datetime | None = None) -> list[ChannelOrder]:
    """All pages of the order feed, as the engine walks them."""
    cursor = OrderCursor(since=since or session.harness.clock.now() - LONG_AGO)
    orders: list[ChannelOrder] = []
    while True:
        page = await session.adapter.orders(cursor)
        orders += page.orders
        if page.next_page is None:
            return orders
        assert page.next_page != cursor.page, "the feed moves on"
        cursor = replace(cursor, page=page.next_page)


async def pull_returns(session: Session) -> list[ChannelReturn]:
    cursor = OrderCursor(since=session.harness.clock.now() - LONG_AGO)
    returns: list[ChannelReturn] = []
    while True:
        page = await session.adapter.returns(cursor)
        returns += page.returns
        if page.next_page is None:
            return returns
        cursor = replace(cursor, page=page.next_page)


def _command(key: str, order_id: str) -> Command:
    """A command for the whole order."""
    return Command(key=f"contract-{key}", order_id=order_id, lines=(), carrier="DHL", tracking="00340434161094000000")


def _for_line(key: str, order: ChannelOrder, pieces: int) -> Command:
    line = order.lines[0]
    lines = (CommandLine(line_id=line.line_id, sku=line.sku, quantity=pieces, unit_ids=line.unit_ids[:pieces]),)
    return replace(_command(key, order.order_id), lines=lines, extra=order.extra)
