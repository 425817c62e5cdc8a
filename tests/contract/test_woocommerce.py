"""The WooCommerce adapter keeps the contract, behind the referee, with the host's limit on."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from marketsync.adapter.api import (
    CancelsOrders,
    ChannelOrder,
    CommandLine,
    Fulfilment,
    Payment,
    PullsOrders,
    Result,
)
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import AdapterContract, Harness, Session
from marketsync.testing.contract.orders import _command, pull
from marketsync.testing.referee import Violation
from marketsync.testing.referee.schema import Schemas
from marketsync.testing.sandbox import InProcess
from marketsync_adapters.woocommerce.sandbox import Shop, build_app
from marketsync_adapters.woocommerce.sandbox.app import ROUTES
from tests.contract import woocommerce_contract
from tests.contract.drain import drain
from tests.contract.woocommerce_harness import a_shop, harness_for


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


@pytest.fixture
def shop(clock: TurnedClock) -> Shop:
    return a_shop(clock)


@pytest.fixture
def harness(shop: Shop, clock: TurnedClock) -> Iterator[Harness]:
    """With the host's limit, which the adapter must keep: whatever a test does, no 429 is caused."""
    yield harness_for(shop, clock)
    assert shop.limiter.refused == 0


class TestWooCommerce(AdapterContract):
    def test_an_order_is_whole(self, harness: Harness) -> None:
        """As the suite has it, but for SKUs that differ by more than case: the shop takes those for one."""
        harness.needs(PullsOrders)

        async def test(session: Session) -> ChannelOrder:
            await session.put_on_sale(["Whole-1", "whole-2"], minor=1_999)
            harness.hands.sell([("Whole-1", 2), ("whole-2", 1)])
            return (await pull(session))[0]

        order = harness.run(test)
        assert {"Whole-1": (2, 3_998), "whole-2": (1, 1_999)} == {
            line.sku: (line.quantity, line.amount.minor) for line in order.lines if line.amount
        }
        assert len({line.line_id for line in order.lines}) == 2
        assert (Payment.PAID, Fulfilment.OPEN) == (order.payment, order.fulfilment)
        assert {"EUR"} == {order.currency} | {line.amount.currency for line in order.lines if line.amount}
        assert order.buyer is not None
        assert order.buyer.city == "Leipzig"

    def test_a_cancelled_line_is_cancelled_at_the_channel(self, harness: Harness) -> None:
        """WooCommerce cancels orders as a whole: a part is refused with the way out, and the order stays open."""
        harness.needs(CancelsOrders, PullsOrders)

        async def test(session: Session) -> tuple[str, ChannelOrder]:
            await session.put_on_sale(["cancel-1"])
            order_id = harness.hands.sell([("cancel-1", 3)])
            line = (await pull(session))[0].lines[0]
            part = CommandLine(line_id=line.line_id, sku=line.sku, quantity=1)
            command = _command("cancel", order_id)
            result = await session.adapter.cancel(replace(command, lines=(part,)))
            assert result.result is Result.REJECTED
            return result.message, (await pull(session))[0]

        message, order = harness.run(test)
        assert "refund the line instead" in message
        assert (Fulfilment.OPEN, 0) == (order.fulfilment, order.lines[0].cancelled)


def test_the_provider_s_own_examples_fit_the_contract_that_the_referee_holds() -> None:
    """What was corrected in the generated contract is what the 33 official example bodies show, and no more."""
    woocommerce_contract.needed()
    document = woocommerce_contract.document()
    schemas = Schemas(document)
    kinds = {
        "products": "product",
        "product-variations": "product_variation",
        "orders": "shop_order",
        "order-refunds": "shop_order_refund",
        "order-notes": "order_note",
        "webhooks": "webhook",
        "introduction": "error",
    }
    judged = 0
    for name, example in woocommerce_contract.examples().items():
        reference = {"$ref": f"#/components/schemas/{kinds[name.split(' / ')[0]]}"}
        for item in _items(example):
            assert [] == schemas.faults(item, reference, name)
            judged += 1
    assert judged >= 35


def _items(example):
    if isinstance(example, list):
        return example
    if example.keys() <= {"create", "update", "delete"}:
        return [item for items in example.values() for item in items]
    return [example]


def test_every_route_that_is_used_stands_in_the_official_index() -> None:
    """Nothing but documented REST: no route of a plugin, none of a later version only."""
    woocommerce_contract.needed()
    documented = {
        (re.sub(r"\(\?P<\w+>[^)]*\)", "*", route), method)
        for route, entry in woocommerce_contract.index().items()
        for endpoint in entry["endpoints"]
        for method in endpoint["methods"]
    }
    used = {("/wc/v3" + re.sub(r"\{[^}]*\}", "*", path), method) for method, path, _, _ in ROUTES}
    assert used <= documented


def test_a_family_s_10_000_variations_go_by_their_product(clock: TurnedClock) -> None:
    """A variation is only reachable through its product: families of 50 take 200 requests, as many as they need."""
    shop = a_shop(clock, per_second=2.0)
    offers = {}
    for family in range(200):
        attribute = {"name": "Size", "variation": True, "options": [str(size) for size in range(50)]}
        parent = shop.catalogue.create(
            {"name": "x", "sku": f"P{family}", "type": "variable", "attributes": [attribute]}
        )
        for size in range(50):
            sent = {"sku": f"V{family}-{size}", "manage_stock": True, "stock_quantity": 1}
            row = shop.catalogue.create(sent, parent["id"])
            offers[row["sku"]] = f"{parent['id']}:{row['id']}"
    harness = harness_for(shop, clock, transport=InProcess(build_app(shop, in_process=True)))
    drained = drain(harness, offers, per_second=2.0, requests_per_batch=2)
    assert drained.holds, drained
    assert (200, 0) == (drained.requests, shop.limiter.refused)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"update": [{"id": 1, "stock": 5}]}, "stock"),
        ({"update": [{"stock_quantity": 5}]}, "'id' is a required property"),
        ({"update": [{"id": 1, "stock_quantity": "5"}]}, "not of type 'integer'"),
        ({"create": [{"name": str(number)} for number in range(101)]}, "101 entries are more than 100"),
        ({"updates": []}, "updates"),
    ],
)
def test_the_referee_stops_what_the_contract_does_not_allow(body: dict[str, object], fault: str) -> None:
    """A misspelt field, a missing id, a text for a number, a batch too large: no test could pass with it."""
    referee = woocommerce_contract.referee()
    headers = {"content-type": "application/json", "authorization": "Basic x"}
    path = f"{woocommerce_contract.BASE}/products/batch"
    referee.check_request("POST", path, (), headers, json.dumps({"update": [{"id": 1, "stock_quantity": 5}]}).encode())
    with pytest.raises(Violation, match=fault):
        referee.check_request("POST", path, (), headers, json.dumps(body).encode())
