"""Every host a little different: addresses, pages instead of answers, slowness, keys, and the shop's own settings."""

import json
from collections.abc import Callable

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from marketsync.adapter.api import Aspect, Command, Money, OfferOp, OrderCursor, Price, Result, Stock
from marketsync.adapter.errors import (
    AdapterError,
    AuthRefused,
    ChannelBlocked,
    OutcomeUnknown,
    RateLimited,
    Unavailable,
)
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness, Session
from marketsync.testing.contract.orders import pull
from marketsync.testing.sandbox import InProcess
from marketsync_adapters.woocommerce import SPEC, Credentials, Settings
from marketsync_adapters.woocommerce.sandbox import Shop, build_app
from tests.contract.woocommerce_harness import RULES, a_shop, harness_for, listing, settings

HTML = "<!doctype html><html><body>Please log in</body></html>"


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


class Host(httpx.AsyncBaseTransport):
    """What stands in front of the shop: it may answer in its place, before or after asking it."""

    def __init__(self, shop: Shop, change: Callable[[httpx.Request, httpx.Response], httpx.Response]) -> None:
        self.shop = InProcess(build_app(shop, in_process=True))
        self.change = change

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self.shop.handle_async_request(request)
        await response.aread()
        return self.change(request, response)


def behind(shop: Shop, clock: TurnedClock, answer: Callable[[httpx.Request], httpx.Response | None], **more) -> Harness:
    host = Host(shop, lambda request, response: answer(request) or response)
    return harness_for(shop, clock, transport=host, **more)


def check(harness: Harness, **how) -> str:
    return harness.run(lambda session: session.adapter.check(), **how)


def a_push(sku: str = "S-1") -> OfferOp:
    return OfferOp(
        sku=sku,
        changed=frozenset(Aspect),
        revision=1,
        listing=listing(sku),
        price=Price(amount=Money(1_999, "EUR")),
        stock=Stock(quantity=5),
    )


# Addresses.


@pytest.mark.parametrize(
    "url", ["https://shop.example", "http://localhost:8080", "http://127.0.0.1", "http://[::1]:80"]
)
def test_https_or_this_machine(url: str) -> None:
    assert f"{url}/wp-json/wc/v3" == SPEC.base_url(None, settings(base_url=url + "/"))


@pytest.mark.parametrize("url", ["http://shop.example", "http://10.0.0.5", "http://localhost.evil.example"])
def test_a_key_never_travels_over_plain_http(url: str) -> None:
    """Refused with the reason, when the configuration is read."""
    with pytest.raises(ValidationError, match="reached over https"):
        Settings(base_url=url)


@pytest.mark.parametrize(
    "url", ["shop.example", "https://key:secret@shop.example", "https://shop.example?x=1", "https://"]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValidationError, match=r"https://shop\.example"):
        Settings(base_url=url)


def test_a_shop_in_a_folder_with_an_api_of_another_name() -> None:
    given = settings(base_url="https://example.com/shop", api_path="index.php/wp-json")
    assert "https://example.com/shop/index.php/wp-json/wc/v3" == SPEC.base_url(None, given)


def test_without_a_secret_no_webhooks_are_made(clock: TurnedClock) -> None:
    shop = Shop(clock=clock)
    harness = harness_for(shop, clock, webhook_secret=SecretStr(""))
    assert [] == harness.run(lambda session: session.adapter.subscribe())
    assert {} == shop.hooks.hooks


@pytest.mark.parametrize("text", ["{order}", "{0}", "{"])
def test_a_tracking_note_with_unknown_fields_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValidationError, match="carrier"):
        settings(tracking_note=text)


# Pages instead of answers.


def test_plain_permalinks_are_explained(clock: TurnedClock) -> None:
    """There is no REST API behind them: the theme answers with its page for what is not found."""
    harness = harness_for(a_shop(clock, plain_permalinks=True), clock, transport=None)
    harness.transport = InProcess(build_app(harness.hands.shop, in_process=True))
    with pytest.raises(ChannelBlocked, match="permalinks"):
        check(harness)
    with pytest.raises(Unavailable, match="permalinks"):
        harness.run(pull)


def test_a_page_with_status_200_leaves_a_write_unknown_and_a_read_to_be_tried_again(clock: TurnedClock) -> None:
    """A login form, a challenge, a cached page: the shop may have done it before or not at all."""
    shop = a_shop(clock)
    harness = behind(shop, clock, lambda request: httpx.Response(200, html=HTML))

    async def test(session: Session) -> None:
        with pytest.raises(Unavailable):
            await pull(session)
        stock = OfferOp(
            sku="S-1", changed=frozenset({Aspect.STOCK}), revision=1, channel_id="101", stock=Stock(quantity=1)
        )
        with pytest.raises(OutcomeUnknown):
            await session.adapter.push("offers", [stock])

    harness.run(test)


def test_a_page_after_the_create_does_not_create_twice(clock: TurnedClock) -> None:
    """The shop did it and a plugin printed a page in front of the answer."""
    shop = a_shop(clock)
    broken = [True]

    def answer(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(200, html=HTML) if broken[0] and request.method == "POST" else None

    harness = behind(shop, clock, answer)

    async def test(session: Session) -> Result:
        with pytest.raises(OutcomeUnknown):
            await session.adapter.push("listings", [a_push()])
        broken[0] = False
        outcome = await session.adapter.push("listings", [a_push()])
        return outcome.results[0].result

    assert Result.APPLIED is harness.run(test)
    assert 1 == len(shop.catalogue.products)


@pytest.mark.parametrize(
    ("prefix", "harmless"),
    [(b"\xef\xbb\xbf", True), (b"\n\n", True), (b"<br />\n<b>Warning</b>: in plugin.php on line 3", False)],
)
def test_what_themes_and_plugins_print_in_front_of_an_answer(clock: TurnedClock, prefix: bytes, harmless: bool) -> None:
    """A byte order mark and empty lines do no harm; a warning makes the answer useless."""
    host = Host(
        a_shop(clock),
        lambda _request, response: httpx.Response(
            response.status_code, headers={"x-wp-total": "3"}, content=prefix + response.content
        ),
    )
    harness = harness_for(a_shop(clock), clock, transport=host)
    if harmless:
        assert "3 products" in check(harness)
    else:
        with pytest.raises((Unavailable, OutcomeUnknown), match="page"):
            check(harness)


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (403, {}, Unavailable),
        (429, {}, RateLimited),
        (500, {}, OutcomeUnknown),
        (502, {}, OutcomeUnknown),
        (503, {"Retry-After": "600"}, Unavailable),
        (521, {}, Unavailable),
        (524, {}, OutcomeUnknown),
    ],
)
def test_an_error_page_of_the_host_is_never_taken_for_a_refusal(
    clock: TurnedClock, status: int, headers: dict[str, str], error: type[AdapterError]
) -> None:
    """A firewall, a host's limit, a crash, a proxy, maintenance: none of it is about the offer."""
    shop = a_shop(clock)
    harness = behind(shop, clock, lambda request: httpx.Response(status, html=HTML, headers=headers))
    op = OfferOp(sku="S-1", changed=frozenset({Aspect.STOCK}), revision=1, channel_id="9", stock=Stock(quantity=1))

    async def test(session: Session) -> AdapterError:
        with pytest.raises(AdapterError) as raised:
            await session.adapter.push("offers", [op])
        return raised.value

    assert error is type(harness.run(test))


def test_a_host_that_says_too_many_without_saying_how_long_is_left_alone_longer_each_time(clock: TurnedClock) -> None:
    """Nothing is published and no header tells: the rate backs off by itself."""
    harness = behind(a_shop(clock), clock, lambda request: httpx.Response(429, html=HTML))

    async def test(session: Session) -> list[float]:
        waits = []
        for _ in range(5):
            with pytest.raises(RateLimited) as raised:
                await session.adapter.orders(OrderCursor(since=None))
            assert raised.value.retry_after is not None
            waits.append(raised.value.retry_after.total_seconds())
            clock.advance(waits[-1])
        return waits

    waits = harness.run(test)
    assert sorted(waits) == waits
    assert waits[-1] >= 4 * waits[0]


def test_a_host_may_answer_in_two_minutes() -> None:
    """A full batch with pictures takes that long on a small host."""
    assert SPEC.operation("listings").timeout.total_seconds() >= 120
    assert not SPEC.operation("listings").idempotent


# Keys.


def test_a_key_that_may_only_read_says_so(clock: TurnedClock) -> None:
    """Found by the one write that changes nothing: a batch of none."""
    harness = harness_for(a_shop(clock, read_only=True), clock)
    with pytest.raises(AuthRefused, match="Read/Write"):
        check(harness)


def test_a_web_server_that_drops_the_header_is_named(clock: TurnedClock) -> None:
    """The shop sees no key at all; key and secret are right."""
    wrong = Credentials(consumer_key=SecretStr("ck_unknown"), consumer_secret=SecretStr(RULES.consumer_secret))
    with pytest.raises(AuthRefused, match="Authorization header"):
        check(harness_for(a_shop(clock), clock), credentials=wrong)


def test_check_needs_no_more_than_a_key_that_reads_and_writes(clock: TurnedClock) -> None:
    """What only an administrator's key may see is left out, and said."""
    harness = harness_for(a_shop(clock, shop_manager=False), clock)
    said = check(harness)
    assert "may not read the shop's settings" in said
    with pytest.raises(AuthRefused):
        harness.run(lambda session: session.adapter.subscribe())


def test_check_compares_the_shop_s_settings_with_ours(clock: TurnedClock) -> None:
    shop = a_shop(clock)
    assert "https://shop.example: 0 products, EUR, gross prices" == check(harness_for(shop, clock))
    for theirs, code in (
        ({"currency": "CHF"}, "other_currency"),
        ({"prices_include_tax": False}, "other_prices"),
        ({"weight_unit": "g"}, "other_weight_unit"),
        ({"manages_stock": False}, "stock_not_managed"),
    ):
        with pytest.raises(ChannelBlocked) as raised:
            check(harness_for(a_shop(clock, **theirs), clock))
        assert code == raised.value.code


def test_an_address_without_woocommerce_is_named(clock: TurnedClock) -> None:
    body = {"code": "rest_no_route", "message": "No route was found.", "data": {"status": 404}}
    harness = behind(a_shop(clock), clock, lambda request: httpx.Response(404, content=json.dumps(body)))
    with pytest.raises(ChannelBlocked, match="is the plugin active"):
        check(harness)


def test_reading_for_a_write_leaves_nothing_unknown(clock: TurnedClock) -> None:
    """A page in the place of the order that a refund looks at first: nobody has refunded anything."""
    harness = behind(a_shop(clock), clock, lambda request: httpx.Response(200, html=HTML))

    async def test(session: Session) -> None:
        command = Command(key="k", order_id="1", lines=())
        for write in (session.adapter.ship, session.adapter.cancel, session.adapter.refund):
            with pytest.raises(Unavailable):
                await write(command)
        with pytest.raises(Unavailable):
            await session.adapter.push("listings", [a_push()])

    harness.run(test)


@pytest.mark.parametrize("door", ["listings", "offers", "withdraw"])
def test_the_first_request_of_a_push_takes_the_slot_that_was_reserved_for_it(clock: TurnedClock, door: str) -> None:
    """Used later, after other requests, it would be one request too many at that moment."""
    shop = a_shop(clock)
    harness = harness_for(shop, clock)
    op = a_push()
    if door == "offers":
        row = shop.catalogue.create({"name": "x", "sku": "S-1"})
        op = OfferOp(
            sku="S-1", changed=frozenset({Aspect.STOCK}), revision=1, channel_id=str(row["id"]), stock=Stock(quantity=1)
        )
    if door == "withdraw":
        op = OfferOp(sku="S-1", changed=frozenset({Aspect.LISTING}), revision=1, withdraw=True)

    async def test(session: Session) -> list[Result]:
        results = []
        for _ in range(3):
            while wait := await session.adapter._context.http.reserve(door):
                clock.advance(wait)
            results += [result.result for result in (await session.adapter.push(door, [op])).results]
            clock.advance(0.5)
        return results

    assert {Result.APPLIED} == set(harness.run(test))
    assert 0 == shop.limiter.refused
