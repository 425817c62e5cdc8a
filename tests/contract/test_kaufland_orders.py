"""Kaufland's orders: one piece, one order unit; what is told of pieces, and in whose words."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from marketsync.adapter.api import (
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
from marketsync.adapter.errors import AuthRefused, OutcomeUnknown
from marketsync.testing.contract import Session
from marketsync.testing.contract.orders import pull, pull_returns
from marketsync_adapters.kaufland import reasons
from marketsync_adapters.kaufland.sandbox.sales import Piece
from marketsync_adapters.sandbox.faults import FaultKind
from tests.contract.kaufland_harness import CALLBACK, Bench

WHOLE = Command(key="k", order_id="M0000001", lines=(), carrier="DHL", tracking="0034123456789")


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    made.seed(3)
    for unit in made.market.shelf:
        unit.values["amount"] = 10_000
    yield made
    assert not made.referee.violations


def pieces(bench: Bench) -> list[Piece]:
    return list(bench.market.sales.pieces.values())


def line(sku: str, quantity: int, *units: Piece, minor: int | None = None) -> CommandLine:
    amount = None if minor is None else Money(minor, "EUR")
    ids = tuple(str(unit.id_order_unit) for unit in units)
    return CommandLine(line_id=sku, sku=sku, quantity=quantity, unit_ids=ids, amount=amount)


class TestPulling:
    def test_pieces_become_lines(self, bench: Bench) -> None:
        """Three pieces of one SKU and one of another: two lines, their units, and the sum of their prices."""
        bench.market.sales.buy([("seed-00000", 3), ("seed-00001", 1)])
        (order,) = bench.harness().run(pull)
        assert [("seed-00000", 3, ("1", "2", "3")), ("seed-00001", 1, ("4",))] == [
            (line.sku, line.quantity, line.unit_ids) for line in order.lines
        ]
        assert [3_000, 1_000] == [line.amount.minor for line in order.lines if line.amount]
        assert (Money(4 * 490, "EUR"), Money(4_000 + 4 * 490, "EUR")) == (order.shipping, order.total)
        assert ["19", "19"] == [line.tax_rate for line in order.lines]
        assert order.extra["deliver_by"] == "2026-03-06T12:00:00Z"

    @pytest.mark.parametrize(
        ("states", "payment", "fulfilment", "counts"),
        [
            (["open", "open"], Payment.PAID, Fulfilment.OPEN, (0, 0, 0, 0)),
            (["need_to_be_sent", "open"], Payment.PAID, Fulfilment.OPEN, (0, 0, 0, 0)),
            (["sent", "need_to_be_sent"], Payment.PAID, Fulfilment.PARTLY_SHIPPED, (0, 1, 0, 0)),
            (["sent_and_autopaid", "received"], Payment.PAID, Fulfilment.SHIPPED, (0, 2, 0, 0)),
            (["sent", "cancelled"], Payment.PAID, Fulfilment.SHIPPED, (1, 1, 0, 0)),
            (["received", "returned"], Payment.PAID, Fulfilment.SHIPPED, (0, 2, 1, 0)),
            (["returned_paid", "returned_paid"], Payment.REFUNDED, Fulfilment.SHIPPED, (0, 2, 2, 2)),
            (["cancelled", "cancelled"], Payment.REFUNDED, Fulfilment.CANCELLED, (2, 0, 0, 0)),
        ],
    )
    def test_every_state_of_a_piece_has_its_meaning(
        self, bench: Bench, states: list[str], payment: Payment, fulfilment: Fulfilment, counts: tuple[int, ...]
    ) -> None:
        """Payment and fulfilment are told apart; pieces are counted as cancelled, shipped, returned, refunded."""
        bench.market.sales.buy([("seed-00000", 2)])
        for piece, state in zip(pieces(bench), states, strict=True):
            piece.status = state
        (order,) = bench.harness().run(pull)
        (told,) = order.lines
        assert (payment, fulfilment) == (order.payment, order.fulfilment)
        assert counts == (told.cancelled, told.shipped, told.returned, told.refunded)
        assert order.acknowledged == ("open" not in states)

    def test_an_order_that_goes_on_over_pages_comes_once(self, bench: Bench) -> None:
        """250 pieces are three pages of order units and one order."""
        bench.market.sales.buy([("seed-00000", 250)])
        (order,) = bench.harness().run(pull)
        assert order.lines[0].quantity == 250
        assert bench.market.requests["order", 200] == 1

    def test_what_changes_behind_the_walk_still_comes(self, bench: Bench) -> None:
        """An old order that is updated between two pages jumps to the front, where the walk has been."""
        orders = [bench.market.sales.buy([("seed-00000", 1)], paid=False) for _ in range(150)]
        bench.clock.advance(60)

        async def test(session: Session) -> list[str]:
            pulled: list[str] = []
            cursor = OrderCursor(since=None)
            while True:
                page = await session.adapter.orders(cursor)
                pulled += [order.order_id for order in page.orders]
                if page.next_page is None:
                    return pulled
                if cursor.page is None:
                    bench.market.sales.pay(orders[0].id_order)
                cursor = replace(cursor, page=page.next_page)

        pulled = bench.harness().run(test)
        assert sorted({order.id_order for order in orders}) == sorted(pulled)

    def test_every_storefront_of_the_account_is_pulled(self, bench: Bench) -> None:
        """Each is asked for by name: without one Kaufland's answer is not documented."""
        bench.seed(1, "at")
        for unit in bench.market.shelf:
            unit.values["amount"] = 10
        bench.market.sales.buy([("seed-00000", 1)])
        bench.market.sales.buy([("seed-00000", 1)], storefront="at")

        async def test(session: Session) -> list[str]:
            session.adapter._context = replace(session.adapter._context, storefronts=["de", "at"])
            return [order.storefront for order in await pull(session)]

        assert ["de", "at"] == bench.harness().run(test)


class TestCommands:
    def run(self, bench: Bench, kind: str, command: Command) -> CommandResult:
        async def test(session: Session) -> CommandResult:
            result: CommandResult = await getattr(session.adapter, kind)(command)
            return result

        return bench.harness(carriers={"House van": "Other Hauler"}).run(test)

    def test_acknowledging_moves_open_pieces_on(self, bench: Bench) -> None:
        """fulfil: open becomes need_to_be_sent, piece by piece."""
        bench.market.sales.buy([("seed-00000", 2)])

        async def test(session: Session) -> list[CommandResult]:
            return list(await session.adapter.acknowledge([WHOLE]))

        assert [Result.APPLIED] == [one.result for one in bench.harness().run(test)]
        assert ["need_to_be_sent"] * 2 == [piece.status for piece in pieces(bench)]

    @pytest.mark.parametrize("kind", ["acknowledge", "ship"])
    def test_a_piece_whose_acknowledgement_was_lost_is_acknowledged(self, bench: Bench, kind: str) -> None:
        """The second try is refused, as the piece is further by then; the others follow."""
        bench.market.sales.buy([("seed-00000", 3)])

        async def test(session: Session) -> CommandResult:
            session.harness.hands.fault("acknowledge", FaultKind.ERROR_AFTER)
            if kind == "ship":
                return await session.adapter.ship(WHOLE)
            return next(iter(await session.adapter.acknowledge([WHOLE])))

        assert bench.harness().run(test).result is Result.APPLIED
        expected = {"ship": "sent", "acknowledge": "need_to_be_sent"}[kind]
        assert [expected] * 3 == [piece.status for piece in pieces(bench)]

    def test_pieces_are_sent_by_their_ids(self, bench: Bench) -> None:
        """A partial shipment names its pieces; those that are open are acknowledged on the way."""
        bench.market.sales.buy([("seed-00000", 3)])
        second = pieces(bench)[1]
        command = replace(WHOLE, lines=(line("seed-00000", 1, second),))
        assert self.run(bench, "ship", command).reference == "2"
        assert ["open", "sent", "open"] == [piece.status for piece in pieces(bench)]
        assert [("DHL", "0034123456789")] == second.parcels

    @pytest.mark.parametrize(
        ("carrier", "tracking", "code"),
        [
            ("dhl-de", "1", "DHL"),
            ("Hermes", "1", "Hermes"),
            ("house van", "1", "Other Hauler"),
            ("ÖSTERREICHISCHE POST", "1", "Österreichische Post"),
            ("Pigeon Post", "1", "Other"),
            ("DHL", "", "Other"),
            ("", "", "Other"),
        ],
    )
    def test_carriers_are_told_in_kauflands_words(self, bench: Bench, carrier: str, tracking: str, code: str) -> None:
        """Our own names first, then the usual ones, then Kaufland's list; without tracking it is Other."""
        bench.market.sales.buy([("seed-00000", 1)])
        command = replace(WHOLE, carrier=carrier, tracking=tracking)
        assert self.run(bench, "ship", command).result is Result.APPLIED
        assert [(code, tracking)] == pieces(bench)[0].parcels

    def test_several_parcels_and_a_further_one(self, bench: Bench) -> None:
        """Numbers with commas go with send; quantity 0 names a further parcel of what was sent."""
        bench.market.sales.buy([("seed-00000", 1)])
        assert self.run(bench, "ship", replace(WHOLE, tracking="11,22")).result is Result.APPLIED
        further = replace(WHOLE, lines=(line("seed-00000", 0),), tracking="33", carrier="GLS")
        assert self.run(bench, "ship", further).result is Result.APPLIED
        assert [("DHL", "11"), ("DHL", "22"), ("GLS", "33")] == pieces(bench)[0].parcels

    def test_a_further_parcel_of_nothing_is_refused(self, bench: Bench) -> None:
        """What was not sent has no further parcel."""
        bench.market.sales.buy([("seed-00000", 1)])
        told = self.run(bench, "ship", replace(WHOLE, lines=(line("seed-00000", 0),)))
        assert (Result.REJECTED, "no_parcel") == (told.result, told.code)

    def test_a_shipment_that_breaks_off_says_how_far_it_got(self, bench: Bench) -> None:
        """Two of three pieces sent, then Kaufland is gone: unknown, and the look-up tells how many are done."""
        bench.market.sales.buy([("seed-00000", 3)])
        harness = bench.harness()
        command = replace(WHOLE, lines=(line("seed-00000", 3, *pieces(bench)),))

        async def test(session: Session) -> CommandResult | None:
            await session.adapter.acknowledge([WHOLE])
            sent = bench.market.sales.act

            def third_fails(number: int, action: str, body: dict[str, Any], *, apply: bool = True) -> None:
                sent(number, action, body, apply=apply)
                if number == 2:
                    harness.hands.fault("ship", FaultKind.UNAVAILABLE, times=10)

            bench.market.sales.act = third_fails  # type: ignore[method-assign]
            with pytest.raises(OutcomeUnknown, match="2 of 3"):
                await session.adapter.ship(command)
            bench.clock.advance(10)
            found: CommandResult | None = await session.adapter.command_result("ship", command)
            return found

        found = harness.run(test)
        assert found is not None
        assert (Result.UNKNOWN, "partly") == (found.result, found.code)
        assert "2 of 3" in found.message

    @pytest.mark.parametrize(("kind", "traced"), [(FaultKind.TIMEOUT_AFTER, True), (FaultKind.TIMEOUT_BEFORE, False)])
    def test_a_lost_cancellation_is_looked_up_by_its_pieces(self, bench: Bench, kind: FaultKind, traced: bool) -> None:
        """The pieces that a command names tell whether it took effect."""
        bench.market.sales.buy([("seed-00000", 2)])
        harness = bench.harness()
        command = replace(WHOLE, lines=(line("seed-00000", 1, pieces(bench)[0]),))

        async def test(session: Session) -> CommandResult | None:
            harness.hands.fault("cancel", kind)
            with pytest.raises(OutcomeUnknown):
                await session.adapter.cancel(command)
            found: CommandResult | None = await session.adapter.command_result("cancel", command)
            return found

        found = harness.run(test)
        assert traced == (found is not None and found.result is Result.APPLIED)

    def test_what_names_no_pieces_is_not_guessed_at(self, bench: Bench) -> None:
        """One of two pieces, not said which: nobody can know whether it was this command."""
        bench.market.sales.buy([("seed-00000", 2)])

        async def test(session: Session) -> CommandResult | None:
            command = replace(WHOLE, lines=(line("seed-00000", 1),))
            found: CommandResult | None = await session.adapter.command_result("ship", command)
            return found

        found = bench.harness().run(test)
        assert found is not None
        assert found.result is Result.UNKNOWN

    def test_a_refund_is_shared_out_to_the_cent(self, bench: Bench) -> None:
        """10.00 for three pieces is 3.34, 3.33 and 3.33; in cents, with a reason of Kaufland's."""
        bench.market.sales.buy([("seed-00000", 3)])
        for piece in pieces(bench):
            piece.status = "sent"
        command = replace(WHOLE, lines=(line("seed-00000", 3, minor=1_000),), reason="arrived late")
        assert self.run(bench, "refund", command).result is Result.APPLIED
        assert [[334], [333], [333]] == [piece.refunds for piece in pieces(bench)]

    @pytest.mark.parametrize(
        ("amount", "code"), [(Money(100, "PLN"), "wrong_currency"), (Money(1, "EUR"), "amount_too_small")]
    )
    def test_a_refund_that_cannot_be_is_refused(self, bench: Bench, amount: Money, code: str) -> None:
        """Another currency, and less than a cent for each piece."""
        bench.market.sales.buy([("seed-00000", 2)])
        command = replace(WHOLE, lines=(replace(line("seed-00000", 2), amount=amount),))
        assert code == self.run(bench, "refund", command).code
        assert [[], []] == [piece.refunds for piece in pieces(bench)]

    @pytest.mark.parametrize(
        ("reason", "expected"),
        [
            ("out of stock", "NoInventory"),
            ("BuyerCancelled", "BuyerCancelled"),
            ("customer request", "BuyerCancelled"),
            ("undeliverable address", "ShippingAddressUndeliverable"),
            ("wrong price", "WrongPrice"),
            ("", "GeneralAdjustment"),
        ],
    )
    def test_a_cancellation_has_one_of_kauflands_reasons(self, bench: Bench, reason: str, expected: str) -> None:
        """Free words are understood, Kaufland's own are kept, all else is the reason of the settings."""
        bench.market.sales.buy([("seed-00000", 1)])
        assert self.run(bench, "cancel", replace(WHOLE, reason=reason)).result is Result.APPLIED
        assert expected == pieces(bench)[0].cancel_reason

    def test_refund_reasons_are_understood(self) -> None:
        """The same for refunds."""
        words = ("arrived damaged", "too late", "parts missing", "wrong article", "Defect", "return shipping", "?")
        expected = [
            "delivery_damage", "delivery_delay", "incomplete_delivery", "incorrect_delivery", "defect",
            "refund_return_postage_fee", "other_refund",
        ]  # fmt: skip
        assert expected == [reasons.refund_reason(word, "other_refund") for word in words]

    def test_kauflands_refusal_is_the_result_with_a_plain_sentence(self, bench: Bench) -> None:
        """What was sent cannot be cancelled; what is not paid cannot be sent."""
        bench.market.sales.buy([("seed-00000", 1)], paid=False)
        told = self.run(bench, "ship", WHOLE)
        assert (Result.REJECTED, "order-units/missing-payment") == (told.result, told.code)
        assert "has not paid yet" in told.message


class TestReturns:
    @pytest.mark.parametrize(
        ("status", "reason", "state", "sellable"),
        [
            ("need_to_be_returned", "dislike", ReturnState.REQUESTED, None),
            ("return_arrived", "dislike", ReturnState.RECEIVED, None),
            ("return_accepted", "dislike", ReturnState.RECEIVED, True),
            ("return_accepted", "defect", ReturnState.RECEIVED, False),
            ("return_in_clarification", "wrong_size", ReturnState.RECEIVED, None),
            ("return_in_repair", "defect", ReturnState.RECEIVED, False),
            ("return_closed", "too_late", ReturnState.REFUNDED, True),
            ("return_rejected", "defect", ReturnState.REJECTED, None),
        ],
    )
    def test_every_state_of_a_return_has_its_meaning(
        self, bench: Bench, status: str, reason: str, state: ReturnState, sellable: bool | None
    ) -> None:
        """Received is not resellable by itself: a fault never is, acceptance only where the settings say so."""
        bench.market.sales.buy([("seed-00000", 1)])
        pieces(bench)[0].status = "sent"
        bench.market.sales.request_return(1, reason).status = status
        (told,) = bench.harness().run(pull_returns)
        assert (state, sellable) == (told.state, told.sellable)
        assert ("M0000001", "seed-00000", "seed-00000", 1) == (told.order_id, told.line_id, told.sku, told.quantity)
        (careful,) = bench.harness(accepted_returns_sellable=False).run(pull_returns)
        assert careful.sellable is not True


class TestNotifications:
    def test_subscribing_asks_for_what_is_missing_only(self, bench: Bench) -> None:
        """All events once, nothing the second time, and again what Kaufland has switched off."""

        async def test(session: Session) -> list[Any]:
            first = await session.adapter.subscribe()
            second = await session.adapter.subscribe()
            bench.market.subscriptions[2]["is_active"] = False
            return [len(first), list(second), list(await session.adapter.subscribe())]

        assert [6, [], ["order_unit_new: active again"]] == bench.harness().run(test)
        assert {CALLBACK} == {one["callback_url"] for one in bench.market.subscriptions.values()}

    def test_a_lost_answer_to_a_subscription_makes_no_second_one(self, bench: Bench) -> None:
        """The next call reads what there is before it asks again."""

        async def test(session: Session) -> None:
            session.harness.hands.fault("subscriptions", FaultKind.TIMEOUT_AFTER)
            with pytest.raises(OutcomeUnknown):
                await session.adapter.subscribe()
            assert 1 == len(bench.market.subscriptions)
            assert 5 == len(await session.adapter.subscribe())

        bench.harness().run(test)
        events = [one["event_name"] for one in bench.market.subscriptions.values()]
        assert 6 == len(set(events)) == len(events)

    def test_without_an_address_or_a_mail_nothing_is_subscribed(self, bench: Bench) -> None:
        async def test(session: Session) -> Any:
            return await session.adapter.subscribe()

        assert [] == bench.harness(webhook_secret="", fallback_email="").run(test)
        unreachable = replace(bench.harness(), webhook_url="")
        assert [] == unreachable.run(test)
        assert {} == bench.market.subscriptions

    def test_events_that_concern_nobody_make_nobody_look(self, bench: Bench) -> None:
        """item_changed is signed and understood, and leads to nothing; unit events to a look at the offers."""
        bench.market.sales.buy([("seed-00000", 1)])

        async def test(session: Session) -> list[list[str]]:
            tasks = []
            for event in ("order_new", "item_changed", "item_unit_changed", "return_new"):
                bench.market._notify(event, f"/v2/x/{event}/", "de")
                call = session.harness.hands.webhook(f"/{event}/")
                tasks.append([notice.task for notice in session.adapter.webhook(call)])
            return tasks

        assert [["orders"], [], ["reconcile"], ["returns"]] == bench.harness().run(test)

    def test_no_secret_no_notification(self, bench: Bench) -> None:
        """Without a secret nothing can be checked, so nothing is believed."""
        bench.market.sales.buy([("seed-00000", 1)])

        async def test(session: Session) -> None:
            with pytest.raises(AuthRefused):
                session.adapter.webhook(session.harness.hands.webhook("M0000001"))

        bench.harness(webhook_secret="", fallback_email="").run(test)
