"""The Shopify adapter keeps the contract, with an access token and with client credentials, and Shopify's own traps."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import AdapterContract, Harness, Session
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.shopify import Credentials
from marketsync_adapters.shopify.sandbox import Shop
from tests.contract.shopify_harness import RULES, harness_for


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


@pytest.fixture
def shop(clock: TurnedClock) -> Shop:
    return Shop(RULES, clock)


class TestShopifyWithToken(AdapterContract):
    @pytest.fixture
    def harness(self, clock: TurnedClock, shop: Shop) -> Iterator[Harness]:
        """With points that the spec must keep to: whatever a test does, nothing is throttled."""
        yield harness_for(shop, clock)
        assert shop.points.throttled == 0


class TestShopifyWithClientCredentials(AdapterContract):
    @pytest.fixture
    def harness(self, clock: TurnedClock, shop: Shop) -> Harness:
        right, wrong = (
            Credentials(client_id=RULES.client_id, client_secret=SecretStr(secret))
            for secret in (RULES.client_secret, "wrong-secret")
        )
        return harness_for(shop, clock, right, wrong)

    def test_a_token_that_ends_is_renewed_once(self, harness: Harness, shop: Shop) -> None:
        """The shop ends all tokens; the next call asks for a new one and goes through."""

        async def test(session: Session) -> str:
            await session.adapter.check()
            shop.faults.add(Fault(FaultKind.EXPIRED_TOKEN, "account"))
            return await session.adapter.check()

        assert harness.run(test) == "Demo Shop (demo-shop.myshopify.com), EUR with VAT, Berlin"
        assert shop.requests["token", 200] == 2
        assert shop.requests["account", 401] == 1
