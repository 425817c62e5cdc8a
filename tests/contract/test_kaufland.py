"""The Kaufland adapter keeps the contract, its own traps, and every word of the Seller API's contract."""

from collections.abc import Iterator

import pytest

from marketsync.adapter.api import Command, CommandLine, Money, Result
from marketsync.adapter.errors import OutcomeUnknown
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import AdapterContract, Harness, Session
from marketsync_adapters.kaufland.sandbox import Market
from marketsync_adapters.sandbox.faults import FaultKind
from tests.contract.kaufland_harness import RULES, harness_for, refereed


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


@pytest.fixture
def market(clock: TurnedClock) -> Market:
    return Market(RULES, clock)


class TestKaufland(AdapterContract):
    @pytest.fixture
    def harness(self, clock: TurnedClock, market: Market) -> Iterator[Harness]:
        """Behind the referee and the account's real limit: no request breaks the contract, and none causes a 429."""
        transport, referee = refereed(market)
        yield harness_for(market, clock, transport)
        assert not referee.violations
        caused = [operation for (operation, status), _ in market.requests.items() if status == 429]
        assert len(caused) == bool(market.faults.happened[FaultKind.RATE_LIMITED])

    def test_a_refund_happens_once(self, harness: Harness, market: Market) -> None:
        """Kaufland knows no keys and shows no refunds: one without an answer is never a success, and never looked up."""

        async def test(session: Session) -> None:
            await session.put_on_sale(["refund-1"], minor=1_999)
            order_id = harness.hands.sell([("refund-1", 3)])
            pieces = [piece.id_order_unit for piece in market.sales.orders[order_id].pieces]
            await session.adapter.ship(Command(key="s", order_id=order_id, lines=(), carrier="DHL", tracking="1"))
            line = CommandLine(
                line_id="refund-1", sku="refund-1", quantity=1, unit_ids=(str(pieces[0]),), amount=Money(500, "EUR")
            )
            command = Command(key="r", order_id=order_id, lines=(line,), reason="arrived damaged")
            assert (await session.adapter.refund(command)).result is Result.APPLIED
            harness.hands.fault("refund", FaultKind.TIMEOUT_AFTER, times=1)
            with pytest.raises(OutcomeUnknown):
                await session.adapter.refund(command)
            found = await session.adapter.command_result("refund", command)
            assert found is not None
            assert found.result is Result.UNKNOWN
            assert "seller portal" in found.message

        assert not harness.adapter.spec.operation("refund").idempotent
        harness.run(test)
        assert [piece.refunds for piece in market.sales.pieces.values()] == [[500, 500], [], []]
