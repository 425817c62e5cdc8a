"""Amazon's limits are used up and never overrun: 10,000 stock changes through PATCH and through a feed."""

from dataclasses import replace

import httpx
import pytest

from marketsync.adapter.api import Aspect, Money, OfferOp, Price, Stock
from marketsync.testing.clock import TurnedClock
from marketsync.testing.sandbox import InProcess
from marketsync_adapters.amazon.sandbox import Account, build_app
from tests.contract.amazon_harness import RULES, harness_for, offer, shelve
from tests.contract.drain import drain

CHANGES = 10_000


def is_patch(request: httpx.Request) -> bool:
    return request.method == "PATCH"


def is_feed(request: httpx.Request) -> bool:
    return (request.method, request.url.path) == ("POST", "/feeds/2021-06-30/feeds")


@pytest.mark.parametrize(
    ("door", "per_second", "burst", "counted"), [("patch", 5, 5, is_patch), ("feed", 0.0083, 15, is_feed)]
)
def test_ten_thousand_stock_changes(door: str, per_second: float, burst: int, counted: object) -> None:
    """As few requests as possible, as fast as allowed, and no 429."""
    clock = TurnedClock(auto=True)
    account = Account(RULES, clock)
    skus = [f"drain-{number:05d}" for number in range(CHANGES)]
    for sku in skus:
        op = OfferOp(
            sku=sku,
            changed=frozenset(Aspect),
            revision=1,
            listing=offer(sku),
            price=Price(amount=Money(1_999, "EUR")),
            stock=Stock(quantity=1),
        )
        shelve(account, op)
    # Without the referee: what is sent is checked elsewhere, and ten thousand times would take half a minute.
    harness = replace(harness_for(account, clock), transport=InProcess(build_app(account, in_process=True)))
    drained = drain(harness, {sku: sku for sku in skus}, per_second=per_second, burst=burst, door=door, counted=counted)
    assert drained.requests == drained.minimum
    assert drained.refused == 0
    if drained.requests > burst:
        assert drained.share >= 0.97
    clock.advance(600)
    assert {harness.hands.shown_stock(sku) for sku in skus} == {7}
