"""The client of an account: every way a request can go, and the error that the engine must see."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType

import httpx
import pytest
from pydantic import BaseModel, SecretStr

from marketsync.adapter.errors import (
    AccountSuspended,
    AuthRefused,
    ConfigError,
    ItemRefused,
    OutcomeUnknown,
    RateLimited,
    Unavailable,
    UnexpectedReply,
)
from marketsync.adapter.spec import (
    AdapterSpec,
    CostPoints,
    HeaderAuth,
    NoAuth,
    OAuth2,
    Operation,
    Quota,
    Rate,
    SignedAuth,
)
from marketsync.testing.clock import TurnedClock
from marketsync.testing.stores import MemoryBuckets, MemoryTokens
from marketsync.transport.connect import connect

OAUTH = OAuth2(token_url="https://login.example/token", client_id="me", client_secret="s3cret")
DAY = Quota(name="day", limit=100, window=timedelta(days=1))
OPERATIONS = (
    Operation(name="push", buckets=("day",)),
    Operation(name="refund", buckets=("day",), idempotent=False),
    Operation(name="read", buckets=("day",), writes=False),
    Operation(name="orders", buckets=("orders", "day"), writes=False),
    Operation(name="query", buckets=("points",), writes=False, cost=100),
    Operation(name="free"),
)
BUCKETS = (
    DAY,
    Rate(name="orders", per_second=0.5, burst=2, learn="X-Rate-Limit"),
    Rate(name="calls", per_second=10, burst=10),
    CostPoints(name="points", capacity=1000, restore=100),
)


class Keys(BaseModel):
    key: SecretStr = SecretStr("hush-hush")


class Settings(BaseModel):
    url: str = "https://shop.example/api/"


class Watcher:
    def __init__(self):
        self.calls, self.waits, self.events = [], [], []

    def call(self, account, operation, status, seconds, /):
        self.calls.append((account, operation, status))

    def bucket_waited(self, account, bucket, seconds, /):
        self.waits.append((account, bucket, round(seconds, 2)))

    def info(self, event, **fields):
        self.events.append(event)

    warning = info


class Shop:
    """A channel that plays back replies (the last one for ever) and remembers the requests."""

    def __init__(self, *replies, auth=None, errors=None, settings=None, operations=OPERATIONS):
        self.replies = list(replies) or [httpx.Response(200, json={})]
        self.requests = []
        self.watcher, self.clock, self.store = Watcher(), TurnedClock(auto=True), MemoryBuckets()
        spec = AdapterSpec(
            name="shop",
            title="Shop",
            docs="",
            credentials=Keys,
            settings=Settings,
            base_url=lambda _, settings: settings.url,
            auth=lambda credentials, _: auth or HeaderAuth(headers={"X-Key": credentials.key.get_secret_value()}),
            operations=operations,
            buckets=lambda _: BUCKETS,
            mapping_version={},
            observable={},
            errors=errors or (lambda _operation, _reply: None),
        )
        self.client = connect(
            spec,
            settings or Settings(),
            Keys(),
            "shop",
            clock=self.clock,
            buckets=self.store,
            tokens=MemoryTokens(),
            observer=self.watcher,
            log=self.watcher,
            transport=httpx.MockTransport(self.answer),
        )
        self.clock.advance(3600)  # past the empty start of the fast buckets

    async def answer(self, request):
        if request.url.host == "login.example":
            return httpx.Response(200, json={"access_token": f"token-{len(self.requests)}", "expires_in": 3600})
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if callable(reply):
            reply = await reply(request)
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    def request(self, operation="push", method="POST", path="/stock", **more):
        return asyncio.run(self.client.request(operation, method, path, **more))

    def failure(self, operation="push", **more):
        with pytest.raises(Exception) as raised:
            self.request(operation, **more)
        return raised.value

    @property
    def statuses(self):
        return [status for _, _, status in self.watcher.calls]


def broken_body(status=200, error=None, **headers):
    class Body(httpx.AsyncByteStream):
        async def __aiter__(self):
            yield b'{"half": '
            raise error or httpx.RemoteProtocolError("peer closed connection")

    async def reply(_):
        return Streamed(status, headers, Body())

    return reply


class Streamed:
    def __init__(self, status_code, headers, content):
        self.status_code, self.headers, self.content = status_code, headers, content


# What is sent


def test_a_request_is_built_from_base_url_path_parameters_and_credentials():
    shop = Shop()
    shop.request(path="offers/1", params={"q": "ä b", "n": 3, "id": ["1", "2"]}, headers={"Accept": "text/csv"})
    sent = shop.requests[0]
    assert "https://shop.example/api/offers/1?q=%C3%A4+b&n=3&id=1&id=2" == str(sent.url)
    assert ("hush-hush", "text/csv") == (sent.headers["x-key"], sent.headers["accept"])
    assert sent.headers["user-agent"].startswith("marketsync/")


def test_decimals_are_written_as_the_numbers_they_are():
    shop = Shop()
    shop.request(json={"price": Decimal("9.90"), "big": Decimal("1E+2"), "map": MappingProxyType({"a": None})})
    assert b'{"price":9.90,"big":100,"map":{"a":null}}' == shop.requests[0].content
    assert "application/json" == shop.requests[0].headers["content-type"]


def test_fractions_are_read_as_decimals():
    reply = Shop(httpx.Response(200, text='{"price": 9.90, "n": 3}')).request()
    assert {"price": Decimal("9.90"), "n": 3} == reply.json()
    assert "9.90" == str(reply.json()["price"])


def test_an_adapter_may_name_its_own_media_type():
    shop = Shop()
    shop.request(json={}, headers={"Content-Type": "application/vnd.retailer.v10+json"})
    assert ["application/vnd.retailer.v10+json"] == shop.requests[0].headers.get_list("content-type")


def test_a_signature_covers_exactly_what_is_sent():
    signed = []

    def sign(method, url, body, now):
        signed.append((method, url, body))
        return {"Signature": "x"}

    shop = Shop(auth=SignedAuth(sign=sign))
    shop.request(params={"a": "ö"}, json={"b": 1})
    sent = shop.requests[0]
    assert [("POST", str(sent.url), sent.content)] == signed


@pytest.mark.parametrize(
    ("path", "home"),
    [
        ("https://shop.example/api/next?page=2", True),
        ("https://shop.example:443/elsewhere", True),
        ("http://shop.example/api/next", False),
        ("https://shop.example:8443/", False),
        ("https://files.example/upload?sig=1", False),
        ("@evil.example/", True),
        ("//evil.example/", True),
    ],
)
def test_credentials_go_to_the_channels_own_host_and_nowhere_else(path, home):
    shop = Shop()
    shop.request(path=path)
    sent = shop.requests[0]
    assert home == ("x-key" in sent.headers)
    assert not home or sent.url.host == "shop.example"


def test_the_query_of_a_whole_link_is_kept():
    shop = Shop()
    shop.request(path="https://shop.example/api/next?page=2&sig=a%2Fb")
    assert "https://shop.example/api/next?page=2&sig=a%2Fb" == str(shop.requests[0].url)


def test_cookies_are_not_kept():
    shop = Shop(httpx.Response(200, headers={"Set-Cookie": "session=1; Path=/"}))
    shop.request()
    shop.request()
    assert "cookie" not in shop.requests[1].headers


@pytest.mark.parametrize("url", ["", "shop.example", "ftp://shop.example", "https://", "https://shop.example:port"])
def test_a_base_url_that_is_none_is_a_configuration_error(url):
    with pytest.raises(ConfigError, match=r"account shop: .* is no address of a channel, write it as https"):
        Shop(settings=Settings(url=url))


@pytest.mark.parametrize(
    "more",
    [
        {"json": {"price": Decimal("NaN")}},
        {"json": {"title": "\ud800"}},
        {"json": {"x": object()}},
        {"headers": {"X-Sku": "größe"}},
        {"path": "https://shop.example:port/"},
    ],
)
def test_what_cannot_be_written_as_a_request_is_refused_and_costs_nothing(more):
    shop = Shop()
    error = shop.failure(**more)
    assert (ItemRefused, "unsendable") == (type(error), error.code)
    assert [] == shop.requests
    assert (100, 100) == shop.client.limiter.quotas()["day"]


def test_an_operation_that_the_spec_does_not_name_is_an_error_that_says_so():
    error = Shop().failure("psuh")
    assert "the spec of 'shop' has no operation 'psuh'; it names: free, orders" in str(error)


# What comes back


@pytest.mark.parametrize(
    ("status", "write", "read"),
    [
        (400, ItemRefused, ItemRefused),
        (401, AuthRefused, AuthRefused),
        (402, AccountSuspended, AccountSuspended),
        (403, AuthRefused, AuthRefused),
        (404, ItemRefused, ItemRefused),
        (405, UnexpectedReply, UnexpectedReply),
        (408, Unavailable, Unavailable),
        (409, ItemRefused, ItemRefused),
        (413, ItemRefused, ItemRefused),
        (422, ItemRefused, ItemRefused),
        (423, Unavailable, Unavailable),
        (429, RateLimited, RateLimited),
        (500, OutcomeUnknown, Unavailable),
        (501, UnexpectedReply, UnexpectedReply),
        (502, OutcomeUnknown, Unavailable),
        (503, OutcomeUnknown, Unavailable),
        (504, OutcomeUnknown, Unavailable),
        (521, Unavailable, Unavailable),
        (524, OutcomeUnknown, Unavailable),
        (599, OutcomeUnknown, Unavailable),
        (302, UnexpectedReply, UnexpectedReply),
        (304, UnexpectedReply, UnexpectedReply),
    ],
)
def test_the_status_table(status, write, read):
    assert write is type(Shop(httpx.Response(status)).failure("refund"))
    assert read is type(Shop(httpx.Response(status)).failure("read"))
    assert read is type(Shop(httpx.Response(status)).failure("refund", method="GET"))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 207])
def test_every_2xx_comes_back(status):
    assert status == Shop(httpx.Response(status, content=b"x")).request().status


def test_statuses_that_the_adapter_accepts_come_back():
    reply = Shop(httpx.Response(404, text="gone", headers={"X-Id": "7"})).request(accept=frozenset({404}))
    assert (404, "gone", "7") == (reply.status, reply.text, reply.headers["x-id"])


def test_a_503_that_says_when_to_come_back_was_not_processed():
    error = Shop(httpx.Response(503, headers={"Retry-After": "60"})).failure("refund")
    assert (Unavailable, timedelta(seconds=60)) == (type(error), error.retry_after)


@pytest.mark.parametrize(
    ("error", "write", "read", "status"),
    [
        (httpx.ConnectError("refused"), Unavailable, Unavailable, "not_sent"),
        (httpx.ConnectTimeout("slow"), Unavailable, Unavailable, "not_sent"),
        (httpx.PoolTimeout("busy"), Unavailable, Unavailable, "not_sent"),
        (httpx.ProxyError("no"), Unavailable, Unavailable, "not_sent"),
        (httpx.WriteTimeout("slow"), OutcomeUnknown, Unavailable, "timeout"),
        (httpx.ReadTimeout("slow"), OutcomeUnknown, Unavailable, "timeout"),
        (httpx.WriteError("reset"), OutcomeUnknown, Unavailable, "broken"),
        (httpx.ReadError("reset"), OutcomeUnknown, Unavailable, "broken"),
        (httpx.RemoteProtocolError("no reply"), OutcomeUnknown, Unavailable, "broken"),
    ],
)
def test_a_lost_connection_is_unknown_for_a_write_that_may_have_left(error, write, read, status):
    shop = Shop(error)
    assert write is type(shop.failure("refund"))
    assert status == shop.statuses[0]
    assert read is type(Shop(error).failure("read"))


def test_a_body_that_breaks_off_is_unknown_for_a_write():
    assert OutcomeUnknown is type(Shop(broken_body()).failure("refund"))
    assert Unavailable is type(Shop(broken_body()).failure("read"))
    bad_gzip = httpx.DecodingError("not gzip")
    assert OutcomeUnknown is type(Shop(broken_body(error=bad_gzip)).failure("refund"))


def test_the_status_of_an_error_whose_body_breaks_off_still_counts():
    error = Shop(broken_body(422)).failure("refund")
    assert (ItemRefused, '{"half": ') == (type(error), error.evidence)
    limited = Shop(broken_body(429, **{"Retry-After": "90"})).failure("refund")
    assert (RateLimited, timedelta(seconds=90)) == (type(limited), limited.retry_after)


@pytest.mark.parametrize(
    "body", ["<html>Wartung</html>", "", '{"a": NaN}', '{"a": 1e9999999999999999999}', "[" * 10**5]
)
def test_what_is_no_json_is_an_unexpected_reply_with_evidence(body):
    reply = Shop(httpx.Response(200, text=body)).request()
    with pytest.raises(UnexpectedReply, match="shop answered something that is no JSON") as raised:
        reply.json()
    assert body[:100] == raised.value.evidence[:100]


def test_a_reply_that_does_not_fit_is_not_read_whole():
    sent = []

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self):
            while True:
                sent.append(1)
                yield b"x" * 2**20

    async def endless(_):
        return Streamed(200, {}, Endless())

    error = Shop(endless).failure()
    assert (UnexpectedReply, "too_long") == (type(error), error.code)
    assert len(sent) < 70

    async def endless_error(_):
        return Streamed(400, {}, Endless())

    del sent[:]
    assert ItemRefused is type(Shop(endless_error).failure())
    assert 1 == len(sent)


def test_redirects_are_not_followed_and_say_what_to_do():
    shop = Shop(httpx.Response(301, headers={"Location": "https://evil.example/?token=1"}))
    error = shop.failure()
    assert "redirects to 'https://evil.example/'; if it has moved, correct its address" in str(error)
    assert 1 == len(shop.requests)


def test_evidence_is_redacted_and_messages_name_account_operation_and_status():
    error = Shop(httpx.Response(422, text='{"you_sent": "hush-hush", "mail": "a@b.example"}')).failure()
    assert '{"you_sent": "[redacted]", "mail": "[redacted]"}' == error.evidence
    assert "shop answered 422 (Unprocessable Entity) to 'push': it refuses what was sent" == str(error).replace(
        "Content", "Entity"
    )


def test_a_link_of_the_channel_to_another_host_that_expired_does_not_block_the_channel():
    error = Shop(httpx.Response(403, text="<Error>expired</Error>")).failure(path="https://files.example/x")
    assert (Unavailable, "403") == (type(error), error.code)
    assert "files.example answered 403 (Forbidden) to 'push': the link may have expired" == str(error)


# The adapter's own view


def test_the_adapter_overrides_the_table_by_data():
    def errors(operation, reply):
        return AccountSuspended("suspended", code="E7") if b"suspended" in reply.content else None

    error = Shop(httpx.Response(403, text="suspended hush-hush"), errors=errors).failure()
    assert (AccountSuspended, "E7", "suspended [redacted]") == (type(error), error.code, error.evidence)
    assert ItemRefused is type(Shop(httpx.Response(400, text="other"), errors=errors).failure())


def test_an_error_inside_a_200_is_an_error():
    def throttled(operation, reply):
        return RateLimited("throttled", bucket="points", retry_after=timedelta(seconds=30))

    shop = Shop(errors=throttled)
    error = shop.failure("query")
    assert (RateLimited, timedelta(seconds=30), "points") == (type(error), error.retry_after, error.bucket)
    assert pytest.approx(30) == asyncio.run(shop.client.reserve("query"))


def test_an_adapter_that_cannot_read_an_error_page_leaves_it_to_the_table():
    def errors(operation, reply):
        return reply.json()["errors"][0]

    assert OutcomeUnknown is type(Shop(httpx.Response(502, text="<html>"), errors=errors).failure("refund"))
    assert ItemRefused is type(Shop(httpx.Response(400, json={}), errors=errors).failure())
    assert UnexpectedReply is type(Shop(httpx.Response(200, json={}), errors=errors).failure())
    assert "(KeyError)" in str(Shop(httpx.Response(200, json={}), errors=errors).failure())


# Credentials


def test_a_refused_token_is_renewed_once():
    shop = Shop(httpx.Response(401), httpx.Response(200, json={}), auth=OAUTH)
    assert 200 == shop.request().status
    assert ["Bearer token-0", "Bearer token-1"] == [r.headers["authorization"] for r in shop.requests]


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_are_refused_twice_block_the_channel(status):
    shop = Shop(httpx.Response(status), auth=OAUTH)
    assert AuthRefused is type(shop.failure())
    assert 2 == len(shop.requests)


def test_fixed_credentials_are_not_tried_twice():
    shop = Shop(httpx.Response(401))
    assert AuthRefused is type(shop.failure())
    assert 1 == len(shop.requests)


# Limits


def test_a_429_blocks_the_buckets_of_the_operation_for_all():
    shop = Shop(httpx.Response(429, headers={"Retry-After": "600"}), httpx.Response(200, json={}))
    error = shop.failure("orders")
    assert (RateLimited, timedelta(seconds=600), "orders") == (type(error), error.retry_after, error.bucket)
    again = shop.failure("push")
    assert (RateLimited, "limit", 600) == (type(again), again.code, round(again.retry_after.total_seconds()))
    assert 1 == len(shop.requests)


def test_a_retry_after_may_be_a_date_read_against_the_clock():
    shop = Shop(httpx.Response(429, headers={"Retry-After": "Sun, 01 Mar 2026 13:10:00 GMT"}))
    assert timedelta(minutes=10) == shop.failure().retry_after


@pytest.mark.parametrize("value", ["", "0", "soon", "nan", "1e999", "Sun, 99 Mar"])
def test_a_429_that_does_not_say_how_long_waits_longer_each_time(value):
    shop = Shop(httpx.Response(429, headers={"Retry-After": value}))
    assert timedelta(seconds=4) == shop.failure().retry_after  # the third of three tries: 1, 2, 4
    assert 3 == len(shop.requests)


def test_429s_of_requests_that_left_together_count_as_one():
    shop = Shop(httpx.Response(429), auth=NoAuth())

    async def scenario():
        async def one():
            with pytest.raises(RateLimited) as limited:
                await shop.client.request("push", "POST", "/")
            return limited.value.retry_after

        return await asyncio.gather(*(one() for _ in range(4)))

    assert max(asyncio.run(scenario())) <= timedelta(seconds=16)


def test_a_short_429_is_waited_for_in_process():
    shop = Shop(httpx.Response(429, headers={"Retry-After": "5"}), httpx.Response(200, json={}))
    before = shop.clock.monotonic()
    assert 200 == shop.request().status
    assert shop.clock.monotonic() - before >= 5


def test_a_short_wait_for_a_slot_happens_in_process_and_a_long_one_is_the_ledgers():
    operations = (Operation(name="quick", buckets=("orders",)),)
    shop = Shop(operations=operations)

    async def scenario():
        for _ in range(2):
            await shop.client.request("quick", "GET", "/")
        with pytest.raises(RateLimited) as limited:
            await shop.client.request("quick", "GET", "/")
        assert timedelta(seconds=2.02) == limited.value.retry_after
        shop.clock.advance(1.5)
        await shop.client.request("quick", "GET", "/")

    asyncio.run(scenario())
    assert 3 == len(shop.requests)
    assert [("shop", "orders", 2.02), ("shop", "orders", 0.52)] == shop.watcher.waits


@pytest.mark.parametrize(("writes", "sent"), [(True, 1), (False, 0)])
def test_a_request_of_a_write_waits_many_short_turns_while_others_go_first(writes, sent):
    """A batch of several requests, cut off between two of them, would have an outcome that nobody knows."""
    shop = Shop(operations=(Operation(name="many", buckets=("calls",), writes=writes),))
    turns = iter([(0.4, "calls")] * 6)

    async def attempt(*_args, **_kwargs):
        return next(turns, (0.0, ""))

    shop.client.limiter.attempt = attempt
    if writes:
        asyncio.run(shop.client.request("many", "GET", "/"))
    else:
        with pytest.raises(RateLimited):
            asyncio.run(shop.client.request("many", "GET", "/"))
    assert sent == len(shop.requests)


def test_a_backlog_uses_97_percent_of_what_the_channel_allows_and_is_never_refused():
    shop = Shop()
    arrives = 0.0

    async def strict(_):  # the channel's own count, with no tolerance
        nonlocal arrives
        now = shop.clock.monotonic()
        if max(arrives, now) - now > 1 / 0.5 + 1e-6:
            return httpx.Response(429)
        arrives = max(arrives, now) + 1 / 0.5
        return httpx.Response(200, json={})

    shop.replies = [strict]
    began = shop.clock.monotonic()

    async def scenario():
        while shop.clock.monotonic() - began < 180:
            wait = await shop.client.reserve("orders")
            if wait:
                await shop.clock.sleep(wait)
            else:
                await shop.client.request("orders", "GET", "/orders")

    asyncio.run(scenario())
    allowed = 2 + 0.5 * (shop.clock.monotonic() - began)
    assert {"200"} == set(shop.statuses)
    assert len(shop.requests) >= 0.97 * allowed


def test_a_slot_reserved_beforehand_is_used_by_the_next_request():
    shop = Shop()

    async def scenario():
        assert [0, 0] == [await shop.client.reserve("orders") for _ in range(2)]
        assert await shop.client.reserve("orders") > 1
        for _ in range(2):
            await shop.client.request("orders", "GET", "/orders")
        with pytest.raises(RateLimited):
            await shop.client.request("orders", "GET", "/orders")

    asyncio.run(scenario())
    assert (98, 100) == shop.client.limiter.quotas()["day"]


def test_a_released_slot_is_free_again():
    shop = Shop()

    async def scenario():
        await shop.client.reserve("orders")
        await shop.client.release("orders")
        await shop.client.release("orders")  # nothing more to give back

    asyncio.run(scenario())
    assert (100, 100) == shop.client.limiter.quotas()["day"]
    assert 1.0 == shop.client.limiter.snapshot()["orders"]


def test_of_two_who_reserved_only_the_slot_of_the_one_who_sent_nothing_is_free_again():
    shop = Shop()

    async def scenario():
        for _ in range(2):
            await shop.client.reserve("orders")
        await shop.client.release("orders")  # it sent nothing
        await shop.client.request("orders", "GET", "/orders")
        await shop.client.release("orders")

    asyncio.run(scenario())
    assert (99, 100) == shop.client.limiter.quotas()["day"]


def test_a_slot_that_somebody_else_holds_is_not_given_back_by_one_who_used_its_own():
    shop = Shop()

    async def scenario():
        for _ in range(2):
            await shop.client.reserve("orders")
        await shop.client.request("orders", "GET", "/orders")
        await shop.client.release("orders")
        assert (98, 100) == shop.client.limiter.quotas()["day"]
        await shop.client.request("orders", "GET", "/orders")
        await shop.client.release("orders")

    asyncio.run(scenario())
    assert (98, 100) == shop.client.limiter.quotas()["day"]


def test_a_reserved_slot_whose_request_never_left_is_free_again():
    shop = Shop()

    async def scenario():
        await shop.client.reserve("push")
        with pytest.raises(ItemRefused):
            await shop.client.request("push", "POST", "/", json={"x": object()})
        assert (100, 100) == shop.client.limiter.quotas()["day"]

    asyncio.run(scenario())


def test_a_request_of_another_cost_than_was_reserved_pays_its_own():
    shop = Shop()

    async def scenario():
        await shop.client.reserve("query")
        await shop.client.request("query", "POST", "/", cost=600)

    asyncio.run(scenario())
    assert pytest.approx(0.4) == shop.client.limiter.snapshot()["points"]


def test_what_could_not_be_sent_costs_no_quota():
    shop = Shop(httpx.ConnectError("refused"))
    assert Unavailable is type(shop.failure())
    assert (100, 100) == shop.client.limiter.quotas()["day"]


def test_every_try_costs_a_slot():
    shop = Shop(httpx.Response(500))
    assert OutcomeUnknown is type(shop.failure())
    assert 3 == len(shop.requests)
    assert (97, 100) == shop.client.limiter.quotas()["day"]


def test_points_of_requests_under_way_count_as_spent_when_the_channel_teaches():
    shop = Shop()

    async def scenario():
        await shop.client.reserve("query")
        shop.client.learn("points", available=1000, capacity=1000, restore=100)
        assert pytest.approx(0.9) == shop.client.limiter.snapshot()["points"]
        await shop.client.request("query", "POST", "/")
        shop.client.learn("points", available=1000, capacity=1000, restore=100)
        assert pytest.approx(1.0) == shop.client.limiter.snapshot()["points"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("told", "wait"), [("1.5", 1.01 / 1.5), ("0.4, 0.4", 2.525), ("?", 2.02), ("-1", 2.02), ("nan", 2.02)]
)
def test_a_rate_is_learned_from_the_replies(told, wait):
    shop = Shop(httpx.Response(200, headers={"X-Rate-Limit": told}))

    async def scenario():
        for _ in range(2):
            await shop.client.reserve("orders")
            await shop.client.request("orders", "GET", "/orders")
        return await shop.client.reserve("orders")

    assert pytest.approx(wait) == asyncio.run(scenario())


# Retries and the breaker


def test_what_was_not_processed_is_tried_again():
    shop = Shop(httpx.ConnectError("refused"), httpx.Response(408), httpx.Response(200, json={}))
    assert 200 == shop.request("refund").status
    assert ["not_sent", "408", "200"] == shop.statuses


def test_a_write_that_must_not_be_done_twice_is_not_tried_again_after_silence():
    shop = Shop(httpx.ReadTimeout("slow"))
    assert OutcomeUnknown is type(shop.failure("refund"))
    assert 1 == len(shop.requests)


def test_a_write_that_may_have_been_done_stays_unknown_when_the_channel_then_goes_away():
    shop = Shop(httpx.ReadTimeout("slow"), httpx.ConnectError("refused"))
    assert OutcomeUnknown is type(shop.failure("push"))


def test_a_channel_that_is_away_is_left_alone_and_then_asked_by_one_probe():
    shop = Shop(*[httpx.ConnectError("refused")] * 6, httpx.Response(200, json={}))

    async def scenario():
        for _ in range(2):
            with pytest.raises(Unavailable):
                await shop.client.request("read", "GET", "/")
        assert 5 == len(shop.requests)
        with pytest.raises(Unavailable) as refused:
            await shop.client.request("read", "GET", "/")
        assert (5, timedelta(seconds=5)) == (len(shop.requests), refused.value.retry_after)
        assert 5 == await shop.client.reserve("read")
        shop.clock.advance(5)
        with pytest.raises(Unavailable):
            await shop.client.request("read", "GET", "/")
        assert 6 == len(shop.requests)
        shop.clock.advance(10)
        await shop.client.request("read", "GET", "/")

    asyncio.run(scenario())
    assert ["channel_unreachable", "channel_reachable_again"] == shop.watcher.events
    assert "closed" == shop.client.breaker.state


def test_a_slot_reserved_before_the_breaker_opened_is_free_again():
    shop = Shop(httpx.ConnectError("refused"))

    async def scenario():
        assert 0 == await shop.client.reserve("push")
        for _ in range(2):
            with pytest.raises(Unavailable):
                await shop.client.request("read", "GET", "/")
        with pytest.raises(Unavailable):
            await shop.client.request("push", "POST", "/")
        assert (100, 100) == shop.client.limiter.quotas()["day"]

    asyncio.run(scenario())


def test_a_cancelled_request_is_counted_and_leaves_nothing_behind():
    async def hang(_):
        await asyncio.Event().wait()

    shop = Shop(hang)

    async def scenario():
        task = asyncio.create_task(shop.client.request("query", "POST", "/"))
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        shop.client.learn("points", available=1000, capacity=1000, restore=100)
        await shop.client.aclose()

    asyncio.run(scenario())
    assert ["cancelled"] == shop.statuses
    assert 1.0 == shop.client.limiter.snapshot()["points"]
    assert "closed" == shop.client.breaker.state


def test_an_operation_without_buckets_is_not_limited():
    shop = Shop(auth=NoAuth())
    for _ in range(20):
        shop.request("free")
    assert 20 == len(shop.requests)
