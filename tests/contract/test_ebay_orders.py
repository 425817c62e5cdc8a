"""EBay's traps of orders, shipments, refunds, cancellations and notifications."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from marketsync.adapter.api import (
    ChannelOrder,
    Command,
    CommandLine,
    CommandResult,
    Money,
    OrderCursor,
    Payment,
    Result,
)
from marketsync.adapter.errors import AuthRefused, ConsentExpired, UnexpectedReply
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Session
from marketsync.testing.contract.orders import _command, pull, pull_returns
from marketsync_adapters.ebay import EbayAdapter
from marketsync_adapters.ebay.orders import order_in, refund_out
from marketsync_adapters.ebay.sandbox import Market, Rules
from marketsync_adapters.ebay.signature import signed
from tests.contract.ebay_harness import credentials, harness_for, refereed, settings
from tests.contract.ebay_trials import Recorder

# The sample keys of the HTTP message signature drafts, with the signature that eBay's own sample shows for them.
SAMPLE_KEY = "MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF"
SAMPLE_JWE = (
    "eyJ6aXAiOiJERUYiLCJlbmMiOiJBMjU2R0NNIiwidGFnIjoiSGdLcjNSSWFlZll0Mkd4blBUUTEwUSIsImFsZyI6IkEyNTZHQ01LVyIsIml2Ijoi"
    "QTVOQXFYUXlITkNIT01GVSJ9.z3JcS0vvxrYboqpySAq_Znww-3V6AllxmJP5JEMkuLY.K1f4MVMEc8ylbfSS.fASwJyMCk2tXZsNWk13IcuVgSW"
    "TOcynSdAoJrK4WApZANlxAP9J0qr0Jz_4aFldFDSZ5tfuxLGqzJmWU7CiZWwNjk2XoVy8q5ogMrFNFwFXP4SrX1XORhNLZPTyS5DEqLDPYn2NX94"
    "4xendEwfcxxXsTSeNCUnmSyfitiscUC04GYOfn0UWQ2buSWx7Yod0IR2GtTGUsM9o3J-riuNDKhw.rRsWM1Sl_2stTnZLJkWVmQ"
)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


@pytest.fixture
def market(clock: TurnedClock) -> Market:
    return Market(Rules(), clock)


def run(
    market: Market,
    clock: TurnedClock,
    test: Callable[[Session], Awaitable[Any]],
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    **more: Any,
) -> Any:
    return harness_for(market, clock, transport, **more).run(test)  # type: ignore[arg-type]


# -------------------------------------------------------------------- pulling


def test_orders_that_change_between_two_pages_hide_no_other(market: Market, clock: TurnedClock) -> None:
    """EBay pages by offset: an order that changes leaves the window and the rest moves up; the total tells how far."""

    async def test(session: Session) -> tuple[set[str], set[str]]:
        await session.put_on_sale(["move-1"], quantity=900)
        sold = []
        for _ in range(650):
            sold.append(session.harness.hands.sell([("move-1", 1)], paid=False))
            clock.advance(1)
        cursor = OrderCursor(since=clock.now() - timedelta(hours=1))
        pulled: set[str] = set()
        changed: set[str] = set()
        while True:
            page = await session.adapter.orders(cursor)
            pulled |= {order.order_id for order in page.orders}
            if page.next_page is None:
                return set(sold) - changed, pulled
            clock.advance(1)
            for order_id in sold[len(changed) : len(changed) + 30]:  # of the pages that were read already
                market.sales.pay(order_id)
                changed.add(order_id)
            cursor = replace(cursor, page=page.next_page)

    sold, pulled = run(market, clock, test)
    assert len(sold) == 560
    assert sold <= pulled


def test_what_changed_during_a_pull_comes_with_the_next(market: Market, clock: TurnedClock) -> None:
    """The window of a pull ends where it began; what is later is later than every order that was seen."""

    async def test(session: Session) -> tuple[list[ChannelOrder], list[ChannelOrder]]:
        await session.put_on_sale(["later-1"], quantity=900)
        order_id = session.harness.hands.sell([("later-1", 1)], paid=False)
        clock.advance(60)
        first = await pull(session)
        session.harness.hands.pay(order_id)
        return first, await pull(session, since=max(order.updated for order in first))

    first, second = run(market, clock, test)
    assert [order.payment for order in (*first, *second)] == [Payment.PENDING, Payment.PAID]


def test_without_a_cursor_the_channels_own_window_is_asked_for(market: Market, clock: TurnedClock) -> None:
    """No filter: eBay's last 90 days; and 200 a page, more is an error."""
    recorder = Recorder(refereed(market))

    async def test(session: Session) -> int:
        await session.put_on_sale(["window-1"], quantity=9)
        session.harness.hands.sell([("window-1", 1)])
        return len((await session.adapter.orders(OrderCursor(since=None))).orders)

    assert run(market, clock, test, transport=recorder) == 1
    (asked,) = [one.url.params for one in recorder.seen if one.url.path.endswith("/order")]
    assert dict(asked) == {"limit": "200", "offset": "0"}


def test_a_cancellation_that_a_buyer_asks_for_shows_in_the_list(market: Market, clock: TurnedClock) -> None:
    """The list's cancelRequests are always empty: the state says it, and cancelling approves the request."""

    async def test(session: Session) -> tuple[list[bool], CommandResult, CommandResult | None]:
        await session.put_on_sale(["ask-1"])
        order_id = session.harness.hands.sell([("ask-1", 1)])
        before = (await pull(session))[0].cancel_requested
        market.sales.request_cancel(order_id)
        after = (await pull(session))[0].cancel_requested
        result = await session.adapter.cancel(_command("ask", order_id))
        return [before, after], result, await session.adapter.command_result("cancel", _command("ask", order_id))

    asked, result, found = run(market, clock, test)
    assert asked == [False, True]
    assert result.result is Result.APPLIED
    assert found is not None
    assert {order.cancel_state for order in market.sales.orders.values()} == {"CANCELED"}
    assert {one["cancelRequestState"] for order in market.sales.orders.values() for one in order.cancel_requests} == {
        "COMPLETED"
    }


def test_what_ebay_collects_and_remits_is_told_apart() -> None:
    """Such a line's cost is without that tax; the seller never gets it."""
    line = {
        "lineItemId": "1",
        "sku": "A-1",
        "quantity": 2,
        "lineItemCost": {"value": "20.00", "currency": "EUR"},
        "discountedLineItemCost": {"value": "18.50", "currency": "EUR"},
        "listingMarketplaceId": "EBAY_DE",
        "lineItemFulfillmentStatus": "NOT_STARTED",
        "ebayCollectAndRemitTaxes": [{"amount": {"value": "3.80", "currency": "EUR"}, "taxType": "VAT"}],
        "refunds": [{"amount": {"value": "9.25", "currency": "EUR"}}],
    }
    document = {
        "orderId": "1",
        "creationDate": "2026-03-01T10:00:00.000Z",
        "lastModifiedDate": "2026-03-01T11:00:00.000Z",
        "orderPaymentStatus": "PARTIALLY_REFUNDED",
        "orderFulfillmentStatus": "NOT_STARTED",
        "pricingSummary": {"total": {"value": "23.40", "currency": "EUR"}},
        "lineItems": [line],
    }
    order = order_in(document, {})
    (read,) = order.lines
    assert (read.gross, read.tax, read.discount) == (False, Money(380, "EUR"), Money(150, "EUR"))
    assert (read.refunded, order.payment) == (1, Payment.PAID)
    assert order.updated == datetime(2026, 3, 1, 11, tzinfo=UTC)


# -------------------------------------------------------------------- commands


def test_the_id_of_a_shipment_stands_only_in_the_location_header(market: Market, clock: TurnedClock) -> None:
    """And it is the tracking number, letters and digits only."""

    async def test(session: Session) -> CommandResult:
        await session.put_on_sale(["ship-1"])
        order_id = session.harness.hands.sell([("ship-1", 2)])
        command = replace(_command("ship", order_id), tracking="0034 0434-1610")
        result: CommandResult = await session.adapter.ship(command)
        return result

    result = run(market, clock, test)
    assert (result.result, result.reference) == (Result.APPLIED, "003404341610")


def test_a_shipment_that_is_there_already_is_found_not_refused(market: Market, clock: TurnedClock) -> None:
    """409 to the same parcel: the earlier attempt took effect."""

    async def test(session: Session) -> list[CommandResult]:
        await session.put_on_sale(["again-1"])
        order_id = session.harness.hands.sell([("again-1", 3)])
        line = (await pull(session))[0].lines[0]
        part = (CommandLine(line_id=line.line_id, sku=line.sku, quantity=1),)
        command = replace(_command("again", order_id), lines=part)
        return [await session.adapter.ship(command) for _ in range(2)]

    first, again = run(market, clock, test)
    assert first == again
    assert first.result is Result.APPLIED
    assert [len(order.shipments) for order in market.sales.orders.values()] == [1]


def test_a_shipment_without_a_parcel_number_is_found_by_its_pieces(market: Market, clock: TurnedClock) -> None:
    """Carrier and number go together or not at all."""

    async def test(session: Session) -> tuple[CommandResult, CommandResult | None, CommandResult | None]:
        await session.put_on_sale(["plain-1"])
        order_id = session.harness.hands.sell([("plain-1", 3)])
        line = (await pull(session))[0].lines[0]
        lines = [(CommandLine(line_id=line.line_id, sku=line.sku, quantity=pieces),) for pieces in (1, 2)]
        command = replace(_command("plain", order_id), carrier="", tracking="7", lines=lines[0])
        result = await session.adapter.ship(command)
        other = replace(command, lines=lines[1])
        return (
            result,
            await session.adapter.command_result("ship", command),
            await session.adapter.command_result("ship", other),
        )

    result, found, other = run(market, clock, test)
    assert result == found
    assert other is None


def test_a_refund_of_pieces_is_their_share_of_the_line() -> None:
    """Half cents go up; an amount that is given is taken; without lines it is all that the order cost."""
    order = {
        "pricingSummary": {"total": {"value": "24.90", "currency": "EUR"}},
        "lineItems": [{"lineItemId": "1", "quantity": 3, "lineItemCost": {"value": "20.00", "currency": "EUR"}}],
    }

    def body(*lines: CommandLine, reason: str = "") -> dict[str, Any]:
        return refund_out(Command(key="k", order_id="o", lines=lines, reason=reason), order)

    one = CommandLine(line_id="1", sku="A-1", quantity=1)
    assert body(one)["refundItems"] == [{"lineItemId": "1", "refundAmount": {"value": "6.67", "currency": "EUR"}}]
    given = replace(one, amount=Money(100, "EUR"))
    assert body(given)["refundItems"][0]["refundAmount"] == {"value": "1.00", "currency": "EUR"}
    assert body(reason="return")["orderLevelRefundAmount"] == {"value": "24.90", "currency": "EUR"}
    assert (body(reason="return")["reasonForRefund"], body(reason="DEFECTIVE_ITEM")["reasonForRefund"]) == (
        "BUYER_RETURN",
        "DEFECTIVE_ITEM",
    )


def test_what_the_settings_leave_off_is_refused_with_the_way_round(market: Market, clock: TurnedClock) -> None:
    """Refunds and the Post-Order API are off by default: nothing is sent, a person reads where to click."""

    async def test(session: Session) -> list[CommandResult]:
        command = Command(key="k", order_id="1", lines=())
        assert not await pull_returns(session)
        return [await session.adapter.refund(command), await session.adapter.cancel(command)]

    for result in run(market, clock, test, refunds=False, post_order=False):
        assert result.result is Result.REJECTED
        assert "Seller Hub" in result.message
    assert {operation for operation, _ in market.requests} == set()


def test_a_post_order_api_that_refuses_the_token_stops_nothing_else(clock: TurnedClock) -> None:
    """401 there would block the whole channel: it is a refusal of the command, and of the pull of returns alone."""
    market = Market(Rules(post_order=False), clock)

    async def test(session: Session) -> CommandResult:
        await session.put_on_sale(["iaf-1"])
        order_id = session.harness.hands.sell([("iaf-1", 1)])
        with pytest.raises(UnexpectedReply, match="post_order off"):
            await pull_returns(session)
        result: CommandResult = await session.adapter.cancel(_command("iaf", order_id))
        return result

    result = run(market, clock, test)
    assert result.result is Result.REJECTED
    assert "cancel in Seller Hub" in result.message


def test_a_token_that_ends_is_renewed_for_the_post_order_api_too(clock: TurnedClock, market: Market) -> None:
    async def test(session: Session) -> int:
        await pull_returns(session)
        market.gate.expire_tokens()
        await pull_returns(session)
        return market.requests["token", 200]

    assert 2 == run(market, clock, test)


# -------------------------------------------------------------------- signatures


def test_a_signature_is_the_one_of_ebays_own_sample() -> None:
    """Key, headers and signature as eBay publishes them for testing; Ed25519 always signs the same."""
    headers = signed(
        SAMPLE_KEY,
        SAMPLE_JWE,
        "POST",
        "localhost:8080",
        "/verifysignature",
        b'{"hello": "world"}',
        datetime.fromtimestamp(1_659_651_955, UTC),
    )
    assert headers["content-digest"] == "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
    assert headers["signature-input"] == (
        'sig1=("content-digest" "x-ebay-signature-key" "@method" "@path" "@authority");created=1659651955'
    )
    assert headers["signature"] == (
        "sig1=:uunxYrXKC8KaoupD5D1DKdmQmrOhz6b4Xbhb3o9d4x4xFIpg++XzEZztOyeOI59rMMjM3NIcFgxBH0c1ckpfBw==:"
    )


@pytest.mark.parametrize(("key", "result"), [(SAMPLE_KEY, Result.APPLIED), (None, Result.REJECTED)])
def test_a_seller_in_the_eu_needs_the_signing_key_to_refund(
    clock: TurnedClock, key: str | None, result: Result
) -> None:
    """With the key the call is signed over the bytes that are sent; without it eBay refuses, and that is told."""
    market = Market(Rules(signatures=True), clock)
    secrets = {} if key is None else {"signing_key": SecretStr(key), "signing_jwe": SecretStr(SAMPLE_JWE)}

    async def test(session: Session) -> CommandResult:
        await session.put_on_sale(["sign-1"])
        order_id = session.harness.hands.sell([("sign-1", 1)])
        found: CommandResult = await session.adapter.refund(_command("sign", order_id))
        return found

    assert run(market, clock, test, **secrets).result is result


def test_a_signing_key_that_is_none_is_a_mistake_of_the_configuration() -> None:
    """Not something that shows when the first refund is due."""
    for more in (
        {"signing_key": SecretStr(SAMPLE_KEY)},
        {"signing_key": SecretStr("x"), "signing_jwe": SecretStr("y")},
    ):
        with pytest.raises(ValidationError):
            settings(**more)


# -------------------------------------------------------------------- notifications and consent


def test_a_notification_is_refused_without_its_key(market: Market, clock: TurnedClock) -> None:
    """Who has not fetched the key believes nothing; the message says what to do."""

    async def test(session: Session) -> None:
        await session.put_on_sale(["hook-1"])
        call = session.harness.hands.webhook(session.harness.hands.sell([("hook-1", 1)]))
        with pytest.raises(AuthRefused, match="notification_keys"):
            session.adapter.webhook(call)

    run(market, clock, test, notification_keys={})


@pytest.mark.parametrize(
    ("topic", "tasks"),
    [("ORDER_CONFIRMATION", ["orders"]), ("RETURN_CREATED", ["returns"]), ("MARKETPLACE_ACCOUNT_DELETION", [])],
)
def test_topics_say_what_to_look_at(market: Market, clock: TurnedClock, topic: str, tasks: list[str]) -> None:
    """A buyer's deletion is taken, and starts nothing: buyers are purged by their time."""

    async def test(session: Session) -> list[str]:
        await session.put_on_sale(["topic-1"])
        headers, body = market.notification(session.harness.hands.sell([("topic-1", 1)]), topic)
        call = replace(
            session.harness.hands.webhook("x"), headers={k.lower(): v for k, v in headers.items()}, body=body
        )
        return [notice.task for notice in session.adapter.webhook(call)]

    assert run(market, clock, test) == tasks


def test_a_consent_that_was_withdrawn_blocks_with_what_to_do(market: Market, clock: TurnedClock) -> None:
    """The refresh token is refused: a person has to allow marketsync again."""

    async def test(session: Session) -> None:
        await session.adapter.check()
        market.gate.consent = False
        market.gate.expire_tokens()
        with pytest.raises(ConsentExpired, match="marketsync channels login contract"):
            await session.adapter.check()

    run(market, clock, test)


def test_the_end_of_the_refresh_token_is_counted_down() -> None:
    """It is in the spec's auth for the metric; without an offset it is refused."""
    ends = datetime(2028, 5, 1, tzinfo=UTC)
    auth = EbayAdapter.spec.auth(credentials().model_copy(update={"refresh_expires": ends}), settings())
    assert auth.refresh_expires == ends  # type: ignore[union-attr]
