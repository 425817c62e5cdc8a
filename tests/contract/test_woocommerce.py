"""The WooCommerce adapter keeps the contract, behind the referee."""

from collections.abc import Iterator

import pytest

from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import AdapterContract, Harness
from marketsync_adapters.sandbox.faults import FaultKind
from marketsync_adapters.woocommerce.sandbox import Shop
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
    pass
