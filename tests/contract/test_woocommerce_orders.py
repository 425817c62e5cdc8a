"""WooCommerce's traps of orders: times, pages, statuses, money, shipments, refunds, webhooks."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

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
)
from marketsync.adapter.errors import AuthRefused, OutcomeUnknown
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness, Session
from marketsync.testing.contract.orders import pull
from marketsync_adapters.sandbox.faults import FaultKind
from marketsync_adapters.woocommerce import feed, orders
from marketsync_adapters.woocommerce.sandbox import Shop
from tests.contract import woocommerce_contract
from tests.contract.woocommerce_harness import HOOK, a_shop, harness_for, settings


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


def stocked(shop: Shop, *skus: str, price: str = "19.99", quantity: int = 900) -> None:
    for sku in skus or ("S-1",):
        sent = {"name": sku, "sku": sku, "regular_price": price, "manage_stock": True, "stock_quantity": quantity}
        shop.catalogue.create(sent)


def pulled(harness: Harness, since: datetime | None = None) -> list[ChannelOrder]:
    return harness.run(lambda session: pull(session, since))


def one(harness: Harness) -> ChannelOrder:
    (order,) = pulled(harness)
    return order


def command(order_id: object, key: str = "k-1", **more) -> Command:
    return Command(**{"key": key, "order_id": str(order_id), "lines": (), **more})


def line(order: ChannelOrder, pieces: int, amount: int | None = None) -> CommandLine:
    first = order.lines[0]
    money = None if amount is None else Money(amount, "EUR")
    return CommandLine(line_id=first.line_id, sku=first.sku, quantity=pieces, amount=money)


# Times and pages.


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Los_Angeles", "Pacific/Auckland", "Asia/Kolkata"])
def test_times_are_utc_wherever_the_shop_s_clock_hangs(clock: TurnedClock, zone: str) -> None:
    """*_gmt without an offset; the site's local times beside it are ignored, in what is read and in what is asked."""
    shop = a_shop(clock, time_zone=zone)
    harness = harness_for(shop, clock)
    stocked(shop)
    shop.buy([("S-1", 1)])
    clock.advance(3_600)
    late = shop.buy([("S-1", 1)])
    at = clock.now().replace(microsecond=0)
    assert at == max(order.placed for order in pulled(harness))
    assert [str(late["id"])] == [order.order_id for order in pulled(harness, since=at)]


@pytest.mark.parametrize("minute", range(0, 60, 7))
def test_an_order_of_the_night_when_the_clocks_jump_is_not_skipped(minute: int) -> None:
    """WordPress reads 02:30 as a local time; on that night there is none, and it would search from 03:30 on."""
    night = datetime(2026, 3, 29, 2, minute, tzinfo=UTC)
    clock = TurnedClock(night, auto=True)
    shop = a_shop(clock, time_zone="Europe/Berlin")
    stocked(shop)
    sold = shop.buy([("S-1", 1)])
    clock.advance(60)
    harness = harness_for(shop, clock)
    assert [str(sold["id"])] == [order.order_id for order in pulled(harness, since=night)]
    counted = harness.run(lambda session: session.adapter.order_ids(night, night + timedelta(minutes=1)))
    assert [str(sold["id"])] == counted


def test_in_that_night_many_pages_still_end() -> None:
    """The search begins at midnight there: pages go on by their number until it is over."""
    clock = TurnedClock(datetime(2026, 3, 29, 0, 30, tzinfo=UTC), auto=True)
    shop = a_shop(clock)
    stocked(shop)
    sold = []
    for _ in range(250):
        clock.advance(40)
        sold.append(str(shop.buy([("S-1", 1)])["id"]))
    harness = harness_for(shop, clock)
    assert sorted(sold) == sorted({order.order_id for order in pulled(harness, clock.now() - timedelta(days=1))})


def test_a_time_is_asked_for_without_an_offset() -> None:
    """With one, WordPress turns it into a local time and compares that with UTC."""
    at = datetime(2026, 3, 3, 12, tzinfo=UTC)
    assert "2026-03-03T11:59:59" == feed.after(at)
    params = feed.Place.of(OrderCursor(since=at), at).params(100)
    assert ("true", "modified", "asc") == (params["dates_are_gmt"], params["orderby"], params["order"])


def test_a_page_continues_by_time_without_what_was_read(harness: Harness, shop: Shop) -> None:
    """250 orders of one second and 150 of later ones: three pages of the first, none twice."""
    stocked(shop)
    sold = [str(shop.buy([("S-1", 1)])["id"]) for _ in range(250)]
    for _ in range(150):
        harness.clock.advance(1)
        sold.append(str(shop.buy([("S-1", 1)])["id"]))
    got = [order.order_id for order in pulled(harness)]
    assert sorted(sold) == sorted(got)
    assert 400 == len(got)


def test_more_orders_of_one_second_than_an_address_can_name(harness: Harness, shop: Shop) -> None:
    """An import stamps thousands at once: pages of that second go by their number."""
    stocked(shop, quantity=2_000)
    sold = {str(shop.buy([("S-1", 1)])["id"]) for _ in range(750)}
    assert sold == {order.order_id for order in pulled(harness)}


def test_a_cart_at_the_checkout_is_no_order(harness: Harness, shop: Shop) -> None:
    """The block checkout keeps carts as orders with a status of their own."""
    stocked(shop)
    shop.buy([("S-1", 1)], status="checkout-draft")
    real = str(shop.buy([("S-1", 1)])["id"])
    assert [real] == [order.order_id for order in pulled(harness)]
    window = harness.clock.now() - timedelta(hours=1), harness.clock.now() + timedelta(hours=1)
    assert [real] == harness.run(lambda session: session.adapter.order_ids(*window))


# Statuses.


@pytest.mark.parametrize(
    ("status", "payment", "fulfilment"),
    [
        ("pending", Payment.PENDING, Fulfilment.OPEN),
        ("on-hold", Payment.PENDING, Fulfilment.OPEN),
        ("processing", Payment.PAID, Fulfilment.OPEN),
        ("completed", Payment.PAID, Fulfilment.SHIPPED),
        ("cancelled", Payment.PENDING, Fulfilment.CANCELLED),
        ("failed", Payment.FAILED, Fulfilment.OPEN),
        ("refunded", Payment.REFUNDED, Fulfilment.CANCELLED),
    ],
)
def test_what_a_status_means(
    harness: Harness, shop: Shop, status: str, payment: Payment, fulfilment: Fulfilment
) -> None:
    """A failed payment can still be made good, so its pieces are not cancelled; the engine releases them."""
    stocked(shop)
    shop.buy([("S-1", 2)], status=status)
    order = one(harness)
    assert (payment, fulfilment) == (order.payment, order.fulfilment)
    open_pieces = order.lines[0].quantity - order.lines[0].cancelled - order.lines[0].shipped
    assert (0 if fulfilment in {Fulfilment.SHIPPED, Fulfilment.CANCELLED} else 2) == open_pieces
    assert (order.buyer is not None) == (payment in {Payment.PAID, Payment.REFUNDED})


def test_a_status_of_a_plugin_means_what_the_setting_says(clock: TurnedClock) -> None:
    """Without a setting it is paid or not by the order's own payment date, and a warning."""
    shop = a_shop(clock, statuses=("packed", "await-cod"))
    stocked(shop)
    shop.buy([("S-1", 1)], status="packed")
    assert Payment.PENDING is one(harness_for(shop, clock)).payment
    told = harness_for(shop, clock, statuses={"packed": "shipped", "on-hold": "paid"})
    assert Fulfilment.SHIPPED is one(told).fulfilment


def test_the_shop_lowers_its_stock_itself_and_gives_it_back_on_a_cancellation(harness: Harness, shop: Shop) -> None:
    """Why our figure is not believed after a payment or a cancellation."""
    stocked(shop, quantity=10)
    number = int(harness.hands.sell([("S-1", 3)], paid=False))
    levels = [harness.hands.shown_stock("S-1")]
    for status in ("processing", "completed", "cancelled"):
        shop.sales.move(number, status)
        levels.append(harness.hands.shown_stock("S-1"))
    assert [10, 7, 7, 10] == levels


# Money.


def test_line_totals_taxes_and_discounts(harness: Harness, shop: Shop) -> None:
    """The amount before the coupon with VAT, the coupon beside it, the VAT that is paid, and its rate."""
    stocked(shop)
    shop.buy([("S-1", 3)], discount=Decimal(10))
    order = one(harness)
    (sold,) = order.lines
    assert (5_997, 600, "19") == (sold.amount.minor, sold.discount.minor, sold.tax_rate)
    assert sold.tax == Money.of(Decimal("53.97") * 19 / 119, "EUR")
    assert order.total.minor == sold.amount.minor - sold.discount.minor + order.shipping.minor
    assert 490 == order.shipping.minor


def test_a_line_of_a_product_that_is_gone_is_known_by_its_id(harness: Harness, shop: Shop) -> None:
    """The shop looks the SKU up when it is asked: of a deleted product it has none."""
    stocked(shop)
    row = shop.catalogue.by_sku("S-1")
    shop.buy([("S-1", 1)])
    shop.catalogue.delete(row["id"])

    async def test(session: Session) -> tuple[str, str]:
        unknown = (await pull(session))[0].lines[0].sku
        session.offers.known["S-1"] = str(row["id"])
        return unknown, (await pull(session))[0].lines[0].sku

    assert (str(row["id"]), "S-1") == harness.run(test)


def test_the_official_example_of_an_order_is_read_whole() -> None:
    """Its variation's SKU, its net prices with their tax, its times without an offset, its address."""
    woocommerce_contract.needed()
    document = woocommerce_contract.examples()["orders / Retrieve an order ## / 0"]
    order = orders.order(document, (), settings(currency="USD"), {})
    assert ("727", datetime(2017, 3, 22, 19, 28, 2, tzinfo=UTC)) == (order.order_id, order.placed)
    assert (Payment.PAID, Fulfilment.OPEN, Money(2_935, "USD")) == (order.payment, order.fulfilment, order.total)
    assert [("93", 645), ("Bar3", 1_290)] == [(sold.sku, sold.amount.minor) for sold in order.lines]
    assert "Ship Your Idea – Color: Black, Size: M Test" == order.lines[1].title
    assert ("John Doe", "San Francisco", "US") == (order.buyer.name, order.buyer.city, order.buyer.country)


# Shipments.


def test_the_last_piece_completes_the_order_and_tells_the_buyer(harness: Harness, shop: Shop) -> None:
    """A part is a note and a meta field of ours: the shop knows an order only as a whole."""
    stocked(shop)
    number = shop.buy([("S-1", 3)])["id"]

    async def test(session: Session) -> list[ChannelOrder]:
        seen = []
        for key, pieces, tracking in (("a", 1, "T1"), ("b", 2, "T2")):
            order = (await pull(session))[0]
            sent = command(number, key, lines=(line(order, pieces),), carrier="DHL", tracking=tracking)
            assert (await session.adapter.ship(sent)).result is Result.APPLIED
            seen.append((await pull(session))[0])
        return seen

    part, whole = harness.run(test)
    assert (Fulfilment.PARTLY_SHIPPED, 1) == (part.fulfilment, part.lines[0].shipped)
    assert (Fulfilment.SHIPPED, 3) == (whole.fulfilment, whole.lines[0].shipped)
    assert "completed" == shop.sales.orders[number]["status"]
    assert [
        ("Shipped with DHL, tracking number T1.", True),
        ("Shipped with DHL, tracking number T2.", True),
    ] == [(note["note"], note["customer_note"]) for note in shop.sales.notes[number]]


@pytest.mark.parametrize(("where", "notes"), [("note", [False]), ("customer_note", [True]), ("meta", [])])
def test_tracking_goes_where_the_setting_says(shop: Shop, clock: TurnedClock, where: str, notes: list[bool]) -> None:
    harness = harness_for(shop, clock, tracking=where)
    stocked(shop)
    number = shop.buy([("S-1", 1)])["id"]
    sent = command(number, carrier="DHL", tracking="T1")
    assert Result.APPLIED is harness.run(lambda session: session.adapter.ship(sent)).result
    assert notes == [note["customer_note"] for note in shop.sales.notes[number]]
    meta = {one["key"]: one["value"] for one in shop.sales.orders[number]["meta_data"]}
    assert ("T1" if where == "meta" else None) == meta.get("_tracking_number")


@pytest.mark.parametrize("lost", ["add_note", "update_order"])
def test_a_shipment_that_is_told_again_after_a_lost_answer_tells_the_buyer_once(
    harness: Harness, shop: Shop, lost: str
) -> None:
    stocked(shop)
    number = shop.buy([("S-1", 1)])["id"]
    sent = command(number, carrier="DHL", tracking="T1")

    async def test(session: Session) -> CommandResult:
        harness.hands.fault(lost, FaultKind.TIMEOUT_AFTER)
        with pytest.raises(OutcomeUnknown):
            await session.adapter.ship(sent)
        found = await session.adapter.command_result("ship", sent)
        assert (found is not None) == (lost == "update_order")
        return await session.adapter.ship(sent)

    assert Result.APPLIED is harness.run(test).result
    assert 1 == len(shop.sales.notes[number])


def test_an_order_is_cancelled_as_a_whole(harness: Harness, shop: Shop) -> None:
    stocked(shop, quantity=5)
    number = shop.buy([("S-1", 2)])["id"]
    asked = command(number, reason="out of stock")

    async def test(session: Session) -> list[Result]:
        return [(await session.adapter.cancel(asked)).result for _ in range(2)]

    assert [Result.APPLIED, Result.APPLIED] == harness.run(test)
    assert ("cancelled", 5) == (shop.sales.orders[number]["status"], harness.hands.shown_stock("S-1"))


# Refunds.


def test_a_refund_says_lines_pieces_net_and_tax_and_leaves_the_shelf_alone(harness: Harness, shop: Shop) -> None:
    """One of three pieces; the shop is not asked to restock: what came back is for the ledger to say."""
    stocked(shop, quantity=5)
    number = shop.buy([("S-1", 3)], status="completed")["id"]

    async def test(session: Session) -> ChannelOrder:
        order = (await pull(session))[0]
        result = await session.adapter.refund(command(number, lines=(line(order, 1),), reason="returned"))
        assert result.result is Result.APPLIED
        return (await pull(session))[0]

    order = harness.run(test)
    (refund,) = shop.sales.refunds[number]
    assert (Decimal("19.99"), True) == (refund["$amount"], refund["refunded_payment"])
    assert refund["reason"].startswith("returned [ms-")
    (_, pieces, sent) = refund["$items"][0]
    assert (1, 19.99) == (pieces, round(float(sent["refund_total"]) + float(sent["refund_tax"][0]["refund_total"]), 2))
    assert (1, 0, 3) == (order.lines[0].refunded, order.lines[0].cancelled, order.lines[0].shipped)
    assert 2 == harness.hands.shown_stock("S-1")


def test_a_refund_of_an_amount_is_split_to_the_cent(harness: Harness, shop: Shop) -> None:
    stocked(shop)
    number = shop.buy([("S-1", 3)])["id"]

    async def test(session: Session) -> Result:
        order = (await pull(session))[0]
        return (await session.adapter.refund(command(number, lines=(line(order, 0, 1_000),)))).result

    assert Result.APPLIED is harness.run(test)
    assert [Decimal("10.00")] == [refund["$amount"] for refund in shop.sales.refunds[number]]


def test_what_is_refunded_before_it_is_sent_is_not_sent_any_more(harness: Harness, shop: Shop) -> None:
    """Refunded pieces of an open order are cancelled, and stay so when the rest is completed."""
    stocked(shop)
    number = shop.buy([("S-1", 3)])["id"]

    async def test(session: Session) -> tuple[ChannelOrder, ChannelOrder]:
        order = (await pull(session))[0]
        await session.adapter.refund(command(number, lines=(line(order, 1),)))
        before = (await pull(session))[0]
        harness.clock.advance(60)
        assert (await session.adapter.ship(command(number, "rest"))).result is Result.APPLIED
        return before, (await pull(session))[0]

    before, after = harness.run(test)
    assert (Fulfilment.OPEN, 1, 0) == (before.fulfilment, before.lines[0].cancelled, before.lines[0].shipped)
    assert (Fulfilment.SHIPPED, 1, 2) == (after.fulfilment, after.lines[0].cancelled, after.lines[0].shipped)


def test_a_refund_of_everything_takes_shipping_along_and_refunds_the_order(harness: Harness, shop: Shop) -> None:
    stocked(shop)
    number = shop.buy([("S-1", 2)], status="completed")["id"]
    assert Result.APPLIED is harness.run(lambda session: session.adapter.refund(command(number))).result
    assert Decimal("44.88") == shop.sales.refunds[number][0]["$amount"]
    order = one(harness)
    assert (Payment.REFUNDED, Fulfilment.SHIPPED, 2) == (order.payment, order.fulfilment, order.lines[0].refunded)
    again = harness.run(lambda session: session.adapter.refund(command(number, "other")))
    assert (Result.REJECTED, "nothing_to_refund") == (again.result, again.code)


def test_a_refund_whose_answer_was_lost_is_found_and_not_made_twice(harness: Harness, shop: Shop) -> None:
    stocked(shop)
    number = shop.buy([("S-1", 2)])["id"]

    async def test(session: Session) -> list[CommandResult | None]:
        order = (await pull(session))[0]
        asked = command(number, lines=(line(order, 1),))
        assert await session.adapter.command_result("refund", asked) is None
        harness.hands.fault("refund", FaultKind.TIMEOUT_AFTER)
        with pytest.raises(OutcomeUnknown):
            await session.adapter.refund(asked)
        return [await session.adapter.command_result("refund", asked), await session.adapter.refund(asked)]

    found, again = harness.run(test)
    assert found == again == CommandResult(result=Result.APPLIED, reference=str(shop.sales.refunds[number][0]["id"]))
    assert 1 == len(shop.sales.refunds[number])


def test_a_payment_provider_that_cannot_refund_is_a_refusal_though_the_shop_answers_500(clock: TurnedClock) -> None:
    """The shop's own code says that nothing was done; with the setting the refund is only booked."""
    shop = a_shop(clock, refundable=False)
    stocked(shop)
    number = shop.buy([("S-1", 1)])["id"]
    harness = harness_for(shop, clock)
    result = harness.run(lambda session: session.adapter.refund(command(number)))
    assert (Result.REJECTED, "woocommerce_rest_cannot_create_order_refund") == (result.result, result.code)
    assert "api_refund" in result.message
    booked = harness_for(shop, clock, api_refund=False)
    assert Result.APPLIED is booked.run(lambda session: session.adapter.refund(command(number))).result


@pytest.mark.parametrize("kind", ["ship", "cancel", "refund"])
def test_an_order_that_is_gone_is_a_result(harness: Harness, kind: str) -> None:
    for order_id in ("999", "no-such-order"):
        result = harness.run(lambda session, id_=order_id: getattr(session.adapter, kind)(command(id_)))
        assert (Result.REJECTED, "woocommerce_rest_shop_order_invalid_id") == (result.result, result.code)


# Webhooks.


def test_two_orders_of_one_second_are_two_notices(harness: Harness, shop: Shop) -> None:
    """The shop makes a delivery's id of the webhook and the second: alone it would call the second one a replay."""
    stocked(shop)
    calls = [harness.hands.webhook(harness.hands.sell([("S-1", 1)])) for _ in range(2)]
    assert 1 == len({call.headers["x-wc-webhook-delivery-id"] for call in calls})

    async def test(session: Session) -> list[str]:
        return [session.adapter.webhook(call)[0].id for call in (*calls, calls[0])]

    first, second, replay = harness.run(test)
    assert first != second
    assert first == replay


def test_the_unsigned_ping_of_a_new_webhook_is_answered_and_means_nothing(harness: Harness, shop: Shop) -> None:
    async def test(session: Session) -> None:
        call = harness.hands.webhook(harness.hands.sell([("S-1", 1)]))
        assert session.adapter.webhook(replace(call, body=b"webhook_id=3", headers={})) == ()
        with pytest.raises(AuthRefused):
            session.adapter.webhook(replace(call, body=b"webhook_id=3&more=1", headers={}))

    stocked(shop)
    harness.run(test)


def test_webhooks_that_the_shop_turned_off_after_five_failures_are_turned_on_again(clock: TurnedClock) -> None:
    """The shop tells nobody; subscribe() sees it, mends it and says so. Those that are missing it makes."""
    shop = Shop(clock=clock)
    harness = harness_for(shop, clock)
    subscribed = lambda: harness.run(lambda session: session.adapter.subscribe())  # noqa: E731
    assert ["order.created: made", "order.updated: made"] == subscribed()
    assert {HOOK} == {hook["delivery_url"] for hook in shop.hooks.hooks.values()}
    stocked(shop)
    for _ in range(6):
        shop.buy([("S-1", 1)])

    async def nobody(_url: str, _headers: object, _body: bytes) -> int:
        return 502

    harness.run(lambda _session: shop.hooks.deliver(nobody))
    assert ["disabled", "active"] == [hook["status"] for hook in shop.hooks.hooks.values()]
    assert ["order.created: on again"] == subscribed()
    assert [] == subscribed()
    assert ["active", "active"] == [hook["status"] for hook in shop.hooks.hooks.values()]


def test_a_lost_answer_to_a_webhook_makes_no_second_one(clock: TurnedClock) -> None:
    shop = Shop(clock=clock)

    async def test(session: Session) -> None:
        session.harness.hands.fault("add_webhook", FaultKind.TIMEOUT_AFTER)
        with pytest.raises(OutcomeUnknown):
            await session.adapter.subscribe()
        assert ["order.updated: made"] == await session.adapter.subscribe()

    harness_for(shop, clock).run(test)
    assert ["order.created", "order.updated"] == [hook["topic"] for hook in shop.hooks.hooks.values()]
