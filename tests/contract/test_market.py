"""The sandbox marketplace behaves like one: limits, tokens, stock that its sales lower, webhooks, faults, real sockets."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsync.testing.clock import TurnedClock
from marketsync.testing.sandbox import in_process, running
from marketsync_adapters.sandbox.faults import Fault, FaultKind, Faults
from marketsync_adapters.sandbox.feed import ChangeFeed
from marketsync_adapters.sandbox.market import Market
from marketsync_adapters.sandbox.rules import Limit, Refused, Rules
from marketsync_adapters.sandbox.shelf import StockWrite

KEY = {"X-Api-Key": "sandbox-key"}


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


def on_sale(market: Market, *skus: str, quantity: int = 5) -> None:
    for sku in skus:
        item = {
            "sku": sku,
            "listing": {"title": f" Chair   {sku} "},
            "price": {"amount": "19.99", "currency": "EUR"},
            "stock": {"quantity": quantity},
        }
        market.shelf.put("main", item, "test")


def ask(market: Market, *requests: tuple[str, str, object], headers: dict[str, str] = KEY) -> list[httpx.Response]:
    """Send requests in process, in order."""

    async def send() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            transport=in_process(market), base_url="http://sandbox", headers=headers
        ) as client:
            return [await client.request(method, path, json=body) for method, path, body in requests]

    return asyncio.run(send())


def test_a_rate_limit_tells_when_to_come_back(clock: TurnedClock) -> None:
    """The burst passes, the next call is 429 with Retry-After; after that time it passes again."""
    market = Market(Rules(limits={"account": Limit(0.5, 3)}), clock)
    replies = ask(market, *[("GET", "/v1/account", None)] * 4)
    assert [200, 200, 200, 429] == [reply.status_code for reply in replies]
    assert replies[3].headers["retry-after"] == "2"
    assert replies[3].headers["x-ratelimit-limit"] == "0.5"
    clock.advance(2)
    assert [200, 429] == [reply.status_code for reply in ask(market, *[("GET", "/v1/account", None)] * 2)]


def test_a_daily_quota_is_renewed_at_midnight(clock: TurnedClock) -> None:
    """The quota counts the calls of a UTC day and says when the next one begins."""
    market = Market(Rules(limits={}, daily_quota=2), clock)
    last = ask(market, *[("GET", "/v1/account", None)] * 3)[-1]
    assert (429, "quota_exhausted") == (last.status_code, last.json()["error"]["code"])
    assert last.headers["x-quota-resets"] == "2026-03-02T00:00:00+00:00"
    clock.advance(12 * 3_600)
    assert [200] == [reply.status_code for reply in ask(market, ("GET", "/v1/account", None))]


def test_tokens_expire(clock: TurnedClock) -> None:
    """A token opens the door for ten minutes; then it is refused by a name of its own."""
    market = Market(clock=clock)
    token = market.gate.token("sandbox-client", "sandbox-secret")
    headers = {"Authorization": f"Bearer {token}"}
    assert ask(market, ("GET", "/v1/account", None), headers=headers)[0].status_code == 200
    clock.advance(600)
    reply = ask(market, ("GET", "/v1/account", None), headers=headers)[0]
    assert (401, "token_expired") == (reply.status_code, reply.json()["error"]["code"])


def test_only_what_is_shown_can_be_bought(clock: TurnedClock) -> None:
    """No offer, no price, not enough pieces: no order, and nothing of a mixed basket is taken."""
    market = Market(clock=clock)
    on_sale(market, "a", quantity=2)
    market.shelf.put("main", {"sku": "unpriced", "listing": {"title": "x"}}, "test")
    for lines in ([("missing", 1)], [("unpriced", 1)], [("a", 3)], [("a", 1), ("missing", 1)], [("a", 1), ("a", 2)]):
        with pytest.raises(Refused):
            market.buy(lines)
    assert not market.sales.orders
    assert [write.cause for write in market.shelf.log(0, 10)] == ["write"]


def test_a_sale_lowers_locations_and_total_alike(clock: TurnedClock) -> None:
    """Pieces leave the locations in the order of their names."""
    market = Market(clock=clock)
    on_sale(market, "a")
    market.set_stock("main", [{"sku": "a", "quantity": 5, "locations": {"wien": 3, "berlin": 2}}], "r")
    market.buy([("a", 3)])
    offer = market.shelf.get("main", "a")
    assert offer is not None
    assert (2, {"berlin": 0, "wien": 2}) == (offer.quantity, offer.locations)


def test_a_market_that_lowers_at_payment_may_fail_it(clock: TurnedClock) -> None:
    """Two unpaid orders for the last piece: the first payment takes it, the second fails and cancels."""
    market = Market(Rules(sale_lowers="payment"), clock)
    on_sale(market, "a", quantity=1)
    orders = [market.buy([("a", 1)], paid=False).order_id for _ in range(2)]
    assert ["paid", "failed"] == [market.sales.pay(order_id).payment for order_id in orders]
    assert market.sales.order(orders[1]).state == "cancelled"


def test_the_sale_price_counts_while_the_sale_runs(clock: TurnedClock) -> None:
    """From its start until its end, not a moment longer."""
    market = Market(clock=clock)
    on_sale(market, "a")
    starts, ends = clock.now() + timedelta(hours=1), clock.now() + timedelta(hours=2)
    price = {"amount": "20.00", "sale": "15.00", "currency": "EUR"}
    dates = {"sale_starts": starts.isoformat(), "sale_ends": ends.isoformat()}
    assert market.set_prices("main", [{"sku": "a", "price": price | dates}])[0]["status"] == 200
    paid = []
    for now in (starts - timedelta(seconds=1), starts, ends - timedelta(seconds=1), ends):
        clock.set(now)
        paid.append(market.buy([("a", 1)]).lines[0].unit_price.minor)
    assert [2_000, 1_500, 1_500, 2_000] == paid


def test_every_stock_write_is_in_the_log_and_told_at_once(clock: TurnedClock) -> None:
    """Number, before, after, cause and request: what an oracle needs. The admin's log reads on from a number."""
    market = Market(clock=clock)
    told: list[StockWrite] = []
    market.shelf.on_stock_write.append(told.append)
    on_sale(market, "a")
    ask(
        market,
        ("POST", "/v1/offers/stock", {"items": [{"sku": "a", "quantity": 9}]}),
        ("POST", "/admin/sales", {"sku": "a", "quantity": 2, "paid": False}),
        ("POST", "/v1/offers/withdrawals", {"skus": ["a"]}),
    )
    rows = [(write.before, write.quantity, write.cause, write.request_id) for write in told]
    assert [
        (None, 5, "write", "test"),
        (5, 9, "write", "req-1"),
        (9, 7, "sale", "admin"),
        (7, 0, "withdraw", "req-2"),
    ] == rows
    writes = ask(market, ("GET", "/admin/log?after=2", None))[0].json()["writes"]
    assert [3, 4] == [write["number"] for write in writes]


def test_an_item_is_refused_alone_a_request_as_a_whole(clock: TurnedClock) -> None:
    """A bad quantity is the item's; too many items, the same twice and no JSON are the request's."""
    market = Market(Rules(limits={}), clock)
    on_sale(market, "a")
    bad_item = {"items": [{"sku": "a", "quantity": -1}, {"sku": "b", "quantity": 1}]}
    too_many = {"items": [{"sku": f"s{number}", "quantity": 1} for number in range(501)]}
    twice = {"items": [{"sku": "a", "quantity": 1}] * 2}
    replies = ask(market, *[("POST", "/v1/offers/stock", body) for body in (bad_item, too_many, twice, [1])])
    assert [207, 413, 400, 400] == [reply.status_code for reply in replies]
    codes = [item["errors"][0]["code"] for item in replies[0].json()["items"]]
    assert ["quantity_out_of_range", "offer_not_found"] == codes


def test_what_the_market_changes_is_what_it_says(clock: TurnedClock) -> None:
    """White space of titles, images named twice, empty attributes: nothing else."""
    market = Market(clock=clock)
    listing = {
        "title": "  A\tnice \n chair ",
        "description": " <b>x</b>  y ",
        "images": ["https://e.com/2", "https://e.com/1", "https://e.com/2"],
        "attributes": {"Color": "", "Size": " L "},
    }
    market.shelf.put("main", {"sku": "a", "listing": listing}, "test")
    shown = market.find("main", ["a"])[0]["listing"]
    assert {
        "title": "A nice chair",
        "description": "<b>x</b>  y",
        "images": ["https://e.com/2", "https://e.com/1"],
        "attributes": {"Size": " L "},
    } == {name: shown[name] for name in listing}


def test_a_command_key_works_once(clock: TurnedClock) -> None:
    """The same again is the same answer; the key for something else is refused; a refusal is not remembered."""
    market = Market(clock=clock)
    on_sale(market, "a")
    order = market.buy([("a", 2)], paid=False)
    line = [{"line_id": order.lines[0].line_id, "quantity": 1}]
    with pytest.raises(Refused, match="not paid"):
        market.sales.ship(order.order_id, "k1", {"lines": line})
    market.sales.pay(order.order_id)
    first = market.sales.ship(order.order_id, "k1", {"lines": line})
    assert first == market.sales.ship(order.order_id, "k1", {"lines": line})
    assert order.lines[0].shipped == 1
    with pytest.raises(Refused, match="another command"):
        market.sales.ship(order.order_id, "k1", {"lines": []})


def test_webhooks_are_tried_again_and_given_up(clock: TurnedClock) -> None:
    """Nobody answers: five tries at growing distance. Somebody does: once."""
    market = Market(Rules(webhook_url="http://127.0.0.1:9/"), clock)
    on_sale(market, "a")
    market.buy([("a", 1)])
    statuses = [500, 0, 500]
    calls: list[tuple[str, bytes]] = []

    async def post(url: str, headers: dict[str, str], body: bytes) -> int:
        calls.append((headers["X-Sandbox-Delivery"], body))
        return statuses[len(calls) - 1] if len(calls) <= len(statuses) else 200

    async def deliver() -> list[int]:
        taken = []
        for _ in range(20):
            taken.append(await market.webhooks.deliver(post))
            clock.advance(1)
        return taken

    assert sum(asyncio.run(deliver())) == 1
    assert len(calls) == 4
    assert len(set(calls)) == 1
    assert not market.webhooks.pending
    statuses[:] = [500] * 100
    market.buy([("a", 1)])
    clock.advance(1)
    for _ in range(10):
        asyncio.run(market.webhooks.deliver(post))
        clock.advance(60)
    assert market.webhooks.given_up == 1


def test_faults_come_as_often_as_asked() -> None:
    """The next N calls of one operation, or a share of all by a seed that repeats."""
    faults = Faults()
    faults.add(Fault(FaultKind.ERROR, "stock", times=2))
    happened = [faults.next(operation) is not None for operation in ("prices", "stock", "stock", "stock")]
    assert [False, True, True, False] == happened

    def drawn() -> list[bool]:
        chance = Faults()
        chance.add(Fault(FaultKind.ERROR, times=1_000, probability=0.3), seed=7)
        return [chance.next("orders") is not None for _ in range(200)]

    assert drawn() == drawn()
    assert 30 < sum(drawn()) < 90


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), max_size=60), st.integers(1, 4), st.randoms())
def test_a_feed_that_changes_while_it_is_read_misses_nothing(changes, size, random) -> None:
    """Whatever changes between two pages, every id that ever changed is read, its last change included."""
    feed, now, half = ChangeFeed(), datetime(2026, 3, 1, tzinfo=UTC), len(changes) // 2
    for id_, seconds in changes[:half]:
        now += timedelta(seconds=seconds)
        feed.touch(str(id_), now)
    later, read, token = list(changes[half:]), [], None
    while True:
        ids, token = feed.page(datetime(2026, 3, 1, tzinfo=UTC), token, size)
        read += ids
        assert len(ids) <= size
        if token is None:
            break
        for id_, seconds in later[: random.randint(0, 2)]:
            now += timedelta(seconds=seconds)
            feed.touch(str(id_), now)
            later.pop(0)
    assert {str(id_) for id_, _ in changes[: len(changes) - len(later)]} == set(read)


def test_a_feed_never_goes_back_in_time() -> None:
    """A clock that is set back does not hide changes behind the cursor."""
    feed, noon = ChangeFeed(), datetime(2026, 3, 1, 12, tzinfo=UTC)
    feed.touch("a", noon)
    assert noon == feed.touch("b", noon - timedelta(hours=1))
    assert (["a", "b"], None) == feed.page(noon, None, 10)


def test_the_market_stands_behind_a_real_socket() -> None:
    """Broken connections, broken-off replies and hanging ones look to a client as they do in life."""
    with running(Market(Rules(limits={}))) as sandbox:
        sandbox.call(lambda market: on_sale(market, "a"))
        with httpx.Client(base_url=sandbox.url, headers=KEY, timeout=5) as client:
            assert client.get("/v1/offers").json()["offers"][0]["sku"] == "a"
            for kind, seconds, error in (
                (FaultKind.TRUNCATED, 0, httpx.RemoteProtocolError),
                (FaultKind.TIMEOUT_AFTER, 0.05, httpx.RemoteProtocolError),
                (FaultKind.TIMEOUT_BEFORE, 60, httpx.ReadTimeout),
            ):
                fault = {"kind": kind, "operation": "stock", "seconds": seconds}
                assert client.post("/admin/faults", json=fault).status_code == 200
                stock = {"items": [{"sku": "a", "quantity": 7 if kind is FaultKind.TIMEOUT_AFTER else 1}]}
                with pytest.raises(error):
                    client.post("/v1/offers/stock", json=stock, timeout=0.3)
        offer = sandbox.call(lambda market: market.shelf.get("main", "a"))
    assert offer is not None
    assert offer.quantity == 7


def test_admin_explains_what_it_cannot_do(clock: TurnedClock) -> None:
    """A sale of what is not there, an unknown fault, an unknown action: a code and a sentence, never a traceback."""
    replies = ask(
        Market(clock=clock),
        ("POST", "/admin/sales", {"sku": "a"}),
        ("POST", "/admin/sales", {"lines": [{}]}),
        ("POST", "/admin/faults", {"kind": "earthquake"}),
        ("POST", "/admin/orders/1/explode", None),
    )
    assert [404, 400, 422, 404] == [reply.status_code for reply in replies]
    assert all(reply.json()["error"]["message"] for reply in replies)


def test_storefronts_have_their_own_offers_and_currency(clock: TurnedClock) -> None:
    """The same SKU twice, each with its own stock; a foreign currency and an unknown storefront are refused."""
    market = Market(Rules(limits={}, storefronts={"de": "EUR", "ch": "CHF"}), clock)
    for storefront in ("de", "ch"):
        market.shelf.put(storefront, {"sku": "a", "listing": {"title": "Chair"}, "stock": {"quantity": 5}}, "test")
    francs = {"items": [{"sku": "a", "price": {"amount": "25.00", "currency": "CHF"}}]}
    accepted, refused, unknown = ask(
        market,
        ("POST", "/v1/offers/prices?storefront=ch", francs),
        ("POST", "/v1/offers/prices?storefront=de", francs),
        ("POST", "/v1/offers/prices?storefront=fr", francs),
    )
    assert [200, 422] == [reply.json()["items"][0]["status"] for reply in (accepted, refused)]
    assert (404, "unknown_storefront") == (unknown.status_code, unknown.json()["error"]["code"])
    order = market.buy([("a", 1)], storefront="ch")
    assert ("ch", "CHF") == (order.storefront, order.currency)
    assert [5, 4] == [offer.quantity for offer in market.shelf]
