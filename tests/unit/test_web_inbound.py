"""The inbound listener: webhooks of the channels, documents of the seller's systems."""

import asyncio
import json

import httpx
import pytest
from prometheus_client import generate_latest

from marketsync.adapter.errors import AuthRefused, Busy
from marketsync.telemetry.metrics import Metrics
from marketsync.testing.clock import TurnedClock
from marketsync.web import attempts, inbound
from marketsync.web.documents import Shipment
from marketsync.web.inbound import BODY_LIMIT, DocumentResult, UnknownChannel, inbound_app

TOKEN = "erp-token-of-some-length"
AUTH = {"authorization": f"Bearer {TOKEN}"}
SHIPMENT = {"key": "k1", "channel": "shop", "order": "M1"}


class House:
    """The app with handlers that remember what they were given."""

    def __init__(self, tokens=None):
        self.clock = TurnedClock()
        self.metrics = Metrics(self.clock)
        self.calls = []
        self.documents = []
        self.fails = None
        tokens = {"shop-floor": "another-long-token", "erp": TOKEN} if tokens is None else tokens
        self.app = inbound_app(
            webhook=self.webhook, document=self.document, tokens=tokens, clock=self.clock, metrics=self.metrics
        )

    async def webhook(self, channel, call):
        if channel not in ("shop", "other"):
            raise UnknownChannel(f"there is no channel {channel!r} that takes webhooks")
        if call.headers.get("x-signature") != "right":
            raise AuthRefused("wrong")
        self.calls.append((channel, call))

    async def document(self, kind, document):
        if self.fails:
            raise self.fails
        taken_before = any(document.key == known.key for _, known in self.documents)
        self.documents.append((kind, document))
        if document.order == "closed":
            return DocumentResult("refused", "the order is shipped already")
        return DocumentResult("duplicate" if taken_before else "accepted")

    def post(self, path, content=b"", headers=None, client="192.0.2.1", method="POST") -> httpx.Response:
        async def run():
            transport = httpx.ASGITransport(app=self.app, client=(client, 1234))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as sender:
                return await sender.request(method, path, content=content, headers=headers)

        return asyncio.run(run())

    def send(self, kind, document, **options) -> httpx.Response:
        return self.post(f"/{kind}", json.dumps(document).encode(), AUTH, **options)

    def counted(self) -> list[str]:
        text = generate_latest(self.metrics.registry).decode()
        start = "marketsync_inbound_requests_total{"
        return [line.removeprefix(start) for line in text.splitlines() if line.startswith(start)]


def test_a_webhook_is_handed_over_with_lower_case_headers_raw_body_and_time():
    house = House()
    headers = [("X-Signature", "right"), ("X-Topic", "orders"), ("X-Topic", "stock")]
    reply = house.post("/webhooks/shop", b'\x00raw {"a":1}', headers)
    assert (202, b"") == (reply.status_code, reply.content)
    ((channel, call),) = house.calls
    assert ("shop", b'\x00raw {"a":1}', house.clock.now()) == (channel, call.body, call.received)
    assert ("right", "orders, stock") == (call.headers["x-signature"], call.headers["x-topic"])


def test_a_webhook_with_a_wrong_signature_or_for_no_channel_is_refused():
    house = House()
    assert 401 == house.post("/webhooks/shop", b"x").status_code
    reply = house.post("/webhooks/nobody", b"x")
    assert 404 == reply.status_code
    assert {"problem": "there is no channel 'nobody' that takes webhooks"} == reply.json()
    assert [] == house.calls
    assert 405 == house.post("/webhooks/shop", method="GET").status_code


def test_a_channel_is_a_label_only_when_it_exists():
    house = House()
    house.post("/webhooks/shop", b"x", {"x-signature": "right"})
    house.post("/webhooks/shop", b"x")
    for number in range(3):
        house.post(f"/webhooks/invented-{number}", b"x")
    assert [
        'channel="",endpoint="webhooks",status="404"} 3.0',
        'channel="shop",endpoint="webhooks",status="202"} 1.0',
        'channel="shop",endpoint="webhooks",status="401"} 1.0',
    ] == house.counted()


@pytest.mark.parametrize("path", ["/webhooks/shop", "/shipments"])
def test_a_body_of_the_limit_is_taken_and_one_byte_more_is_not(path):
    house = House()
    headers = {"x-signature": "right", **AUTH}
    assert 413 != house.post(path, b" " * BODY_LIMIT, headers).status_code
    assert 413 == house.post(path, b" " * (BODY_LIMIT + 1), headers).status_code


def test_a_body_without_a_length_is_limited_while_it_comes():
    house = House()
    sent = []

    async def drip():
        for number in range(100):
            sent.append(number)
            yield b" " * (BODY_LIMIT // 10)

    assert 413 == house.post("/webhooks/shop", drip(), {"x-signature": "right"}).status_code
    assert [] == house.calls


def test_a_body_that_does_not_come_in_time_is_given_up(monkeypatch):
    monkeypatch.setattr(inbound, "BODY_PATIENCE", 0.02)
    house = House()
    answers = []

    async def run():
        async def never():
            await asyncio.sleep(3600)

        async def send(message):
            answers.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/webhooks/shop", "raw_path": b"/webhooks/shop", "root_path": "",
            "query_string": b"", "headers": [], "client": ("192.0.2.1", 1), "scheme": "http", "http_version": "1.1",
        }  # fmt: skip
        await house.app(scope, never, send)

    asyncio.run(run())
    assert 408 == answers[0]["status"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer None"},
        {"authorization": "Bearer \xe4\xff".encode("latin-1")},
    ],
)
@pytest.mark.parametrize("kind", ["shipments", "cancellations", "returns"])
def test_documents_need_a_token(kind, headers):
    house = House()
    reply = house.post(f"/{kind}", json.dumps(SHIPMENT).encode(), headers)
    assert 401 == reply.status_code
    assert "Bearer" == reply.headers["www-authenticate"]
    assert [] == house.documents


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer  {TOKEN}", "Bearer another-long-token"])
def test_each_sender_has_a_token_of_its_own(given):
    reply = House().post("/shipments", json.dumps(SHIPMENT).encode(), {"authorization": given})
    assert 200 == reply.status_code


def test_without_any_token_only_webhooks_are_taken():
    house = House(tokens={})
    assert 404 == house.send("shipments", SHIPMENT).status_code
    assert 202 == house.post("/webhooks/shop", b"x", {"x-signature": "right"}).status_code


def test_each_entry_of_a_list_has_its_own_result_in_order():
    house = House()
    entries = [SHIPMENT, SHIPMENT | {"key": "k2", "order": "closed"}, SHIPMENT]
    reply = house.send("shipments", entries)
    assert 200 == reply.status_code
    assert {
        "results": [
            {"key": "k1", "result": "accepted"},
            {"key": "k2", "result": "refused", "problem": "the order is shipped already"},
            {"key": "k1", "result": "duplicate"},
        ]
    } == reply.json()
    assert ("shipments", Shipment(**SHIPMENT)) == house.documents[0]


@pytest.mark.parametrize("kind", ["shipments", "cancellations", "returns"])
def test_each_kind_has_its_own_path_and_model(kind):
    house = House()
    lines = {"lines": [{"sku": "A", "quantity": 1}]}
    assert 200 == house.send(kind, SHIPMENT | lines).status_code
    assert [kind] == [told for told, _ in house.documents]


def test_of_a_list_with_a_mistake_nothing_is_taken_and_the_mistake_is_named():
    house = House()
    reply = house.send("shipments", [SHIPMENT, {"key": "k2", "order": "M2"}])
    assert 400 == reply.status_code
    assert {
        "problem": "nothing was taken",
        "problems": [{"entry": 2, "field": "channel", "problem": "is missing"}],
    } == reply.json()
    assert [] == house.documents


def test_a_busy_ledger_asks_the_sender_to_come_back():
    house = House()
    house.fails = Busy("locked by process 7")
    reply = house.send("shipments", SHIPMENT)
    assert 503 == reply.status_code
    assert "5" == reply.headers["retry-after"]
    assert "locked" not in reply.text


def test_a_fault_shows_the_sender_no_inside():
    house = House()
    house.fails = RuntimeError("s3cr3t detail")
    reply = house.send("shipments", SHIPMENT)
    assert 500 == reply.status_code
    assert {"problem": "a fault in marketsync, see its log"} == reply.json()
    assert ['channel="",endpoint="shipments",status="500"} 1.0'] == house.counted()


def test_after_ten_failed_attempts_an_address_waits_even_with_the_right_token():
    house = House()
    for _ in range(10):
        assert 401 == house.post("/shipments", b"{}").status_code
    reply = house.send("shipments", SHIPMENT)
    assert 429 == reply.status_code
    assert 6 <= int(reply.headers["retry-after"]) <= 7
    assert [] == house.documents
    assert 200 == house.send("shipments", SHIPMENT, client="192.0.2.2").status_code
    house.clock.advance(7)
    assert 200 == house.send("shipments", SHIPMENT).status_code


def test_a_marketplace_with_one_wrong_secret_does_not_silence_its_other_channels():
    house = House()
    for _ in range(10):
        assert 401 == house.post("/webhooks/shop", b"x").status_code
    assert 429 == house.post("/webhooks/shop", b"x", {"x-signature": "right"}).status_code
    assert 202 == house.post("/webhooks/other", b"x", {"x-signature": "right"}).status_code


def test_good_attempts_cost_nothing():
    house = House()
    assert {200} == {house.send("shipments", SHIPMENT).status_code for _ in range(30)}


def test_only_so_many_senders_are_remembered(monkeypatch):
    monkeypatch.setattr(attempts, "MOST_SENDERS", 3)
    limits = attempts.Attempts(TurnedClock())
    for _ in range(10):
        limits.failed("first")
    assert limits.wait("first") > 0
    for sender in ("a", "b", "c"):
        limits.failed(sender)
    assert 0 == limits.wait("first")
    assert 3 == len(limits._spent)
