"""The sandbox adapter keeps the contract, with an API key and with OAuth."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydantic import SecretStr

from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import AdapterContract, Harness, Session
from marketsync_adapters.sandbox import Credentials
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.sandbox.market import Market
from tests.contract.sandbox_harness import RULES, harness_for


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


class TestSandboxWithKey(AdapterContract):
    @pytest.fixture
    def harness(self, clock: TurnedClock) -> Iterator[Harness]:
        """With the market's real limits, which the spec must keep: whatever a test does, no 429 is caused."""
        market = Market(RULES, clock)
        right, wrong = (Credentials(api_key=SecretStr(key)) for key in (RULES.api_key, "wrong-secret"))
        yield harness_for(market, clock, right, wrong)
        caused = [operation for (operation, status), _ in market.requests.items() if status == 429]
        assert len(caused) == bool(market.faults.happened[FaultKind.RATE_LIMITED])


class TestSandboxWithOAuth(AdapterContract):
    @pytest.fixture
    def market(self, clock: TurnedClock) -> Market:
        return Market(replace(RULES, limits={}), clock)

    @pytest.fixture
    def harness(self, clock: TurnedClock, market: Market) -> Harness:
        right = Credentials(client_id=RULES.client_id, client_secret=SecretStr(RULES.client_secret))
        wrong = Credentials(client_id=RULES.client_id, client_secret=SecretStr("wrong-secret"))
        return harness_for(market, clock, right, wrong)

    def test_an_expired_token_is_renewed(self, harness: Harness, market: Market) -> None:
        """The market ends all tokens; the next call asks for a new one and goes through."""

        async def test(session: Session) -> str:
            await session.adapter.check()
            market.faults.add(Fault(FaultKind.EXPIRED_TOKEN, "account"))
            return await session.adapter.check()

        assert harness.run(test) == "Demo Seller, storefront main (EUR)"
        assert market.requests["token", 200] == 2
        assert market.requests["account", 401] == 1
