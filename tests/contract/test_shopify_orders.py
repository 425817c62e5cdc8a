"""What is particular about orders and returns in Shopify, each trap by its name."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from marketsync.adapter.api import (
    ChannelOrder,
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
from marketsync_adapters.sandbox.faults import FaultKind
from marketsync_adapters.shopify import orders, settings, webhooks
from marketsync_adapters.shopify.sandbox import Shop, sales
from tests.contract.shopify_acts import again, command, pieces, sold
from tests.contract.shopify_harness import HOOK, RULES, SETTINGS, harness_for


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


@pytest.fixture
def shop(clock: TurnedClock) -> Shop:
    return Shop(RULES, clock)


@pytest.fixture
def harness(shop: Shop, clock: TurnedClock) -> Harness:
    return harness_for(shop, clock)


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


def test_every_topic_is_subscribed_to_once_and_again_when_shopify_drops_it(clock: TurnedClock) -> None:
    """Shopify deletes a subscription that nobody answers; a lost answer is looked up and makes no second one."""
    shop = Shop(replace(RULES, webhook_url=""), clock)
    harness = harness_for(shop, clock)

    async def nobody(_url: str, _headers: object, _body: bytes) -> int:
        return 502

    async def test(session: Session) -> None:
        harness.hands.fault("subscribe", FaultKind.TIMEOUT_AFTER)
        with pytest.raises(OutcomeUnknown):
            await session.adapter.subscribe()
        assert 5 == len(await session.adapter.subscribe())
        assert [] == await session.adapter.subscribe()
        assert sorted((topic, HOOK) for topic in webhooks.TOPICS) == sorted(shop.webhooks.subscriptions)
        await session.put_on_sale(["hook-2"])
        harness.hands.sell([("hook-2", 1)])
        assert {HOOK} == {delivery.to for delivery in shop.webhooks.pending}
        while shop.webhooks.pending:
            await shop.webhooks.deliver(nobody)
            clock.advance(600)
        dropped = sorted(set(webhooks.TOPICS) - {topic for topic, _ in shop.webhooks.subscriptions})
        assert dropped
        assert [f"{topic}: subscribed" for topic in dropped] == sorted(await session.adapter.subscribe())

    harness.run(test)


def test_without_a_secret_nothing_is_subscribed(clock: TurnedClock, shop: Shop) -> None:
    quiet = harness_for(shop, clock, settings=SETTINGS.model_copy(update={"webhook_secret": SecretStr("")}))
    assert [] == quiet.run(lambda session: session.adapter.subscribe())
    assert [] == shop.webhooks.subscriptions


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
