"""The eBay adapter keeps the contract, behind referees that hold each request and reply to eBay's own contracts."""

from collections.abc import Iterator

import pytest

from marketsync.adapter.api import Fulfilment, Result, ReturnState
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import AdapterContract, Harness, Session
from marketsync.testing.contract.orders import _command, _for_line, pull, pull_returns
from marketsync_adapters.ebay.sandbox import Market, Rules
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from tests.contract.ebay_harness import InProcess, build_app, harness_for


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


@pytest.fixture
def market(clock: TurnedClock) -> Market:
    return Market(Rules(), clock)


class TestEbay(AdapterContract):
    @pytest.fixture
    def harness(self, market: Market, clock: TurnedClock) -> Iterator[Harness]:
        """With eBay's real limits, which the spec must keep: whatever a test does, no 429 is caused."""
        yield harness_for(market, clock)
        caused = [operation for (operation, status), _ in market.requests.items() if status == 429]
        assert len(caused) == bool(market.faults.happened[FaultKind.RATE_LIMITED])

    def test_a_cancelled_line_is_cancelled_at_the_channel(self, harness: Harness) -> None:
        """EBay cancels whole orders only: a part is refused with a sentence, the whole is cancelled."""

        async def test(session: Session) -> tuple[list[Result], list[Fulfilment]]:
            await session.put_on_sale(["cancel-1"])
            harness.hands.sell([("cancel-1", 3)])
            order = (await pull(session))[0]
            results, states = [], []
            for pieces in (1, 3):
                results.append((await session.adapter.cancel(_for_line("cancel", order, pieces))).result)
                states.append((await pull(session))[0].fulfilment)
            return results, states

        assert harness.run(test) == (
            [Result.REJECTED, Result.APPLIED],
            [Fulfilment.OPEN, Fulfilment.CANCELLED],
        )

    def test_a_refund_happens_once(self, harness: Harness) -> None:
        """EBay knows no keys: a refund is sent once by the engine, and what exceeds the order is refused."""

        async def test(session: Session) -> tuple[list[Result], int]:
            await session.put_on_sale(["refund-1"])
            harness.hands.sell([("refund-1", 3)])
            order = (await pull(session))[0]
            part = await session.adapter.refund(_for_line("refund", order, 1))
            whole = await session.adapter.refund(_command("refund-all", order.order_id))
            return [part.result, whole.result], (await pull(session))[0].lines[0].refunded

        assert harness.run(test) == ([Result.APPLIED, Result.REJECTED], 1)

    def test_returns_come_home(self, harness: Harness) -> None:
        """As every adapter's, except that eBay does not ask whether what came back can be sold again."""

        async def test(session: Session) -> tuple[object, object]:
            await session.put_on_sale(["return-1"])
            order_id = harness.hands.sell([("return-1", 2)])
            await session.adapter.ship(_command("sent", order_id))
            line = (await pull(session))[0].lines[0]
            return_id = harness.hands.request_return(order_id, line.line_id, 1)
            asked = await pull_returns(session)
            harness.clock.advance(60)
            harness.hands.receive_return(return_id, sellable=True)
            return asked, await pull_returns(session)

        (asked,), (received,) = harness.run(test)  # type: ignore[misc]
        assert (asked.state, asked.sku, asked.quantity) == (ReturnState.REQUESTED, "return-1", 1)
        assert (received.state, received.sellable) == (ReturnState.RECEIVED, None)
        assert asked.return_id == received.return_id
        assert received.updated > asked.updated


def test_a_token_that_expires_in_the_middle_is_renewed_once(market: Market, clock: TurnedClock) -> None:
    """The call that met the expired token goes through with a new one; nothing is sent twice."""
    harness = harness_for(market, clock, InProcess(build_app(market, in_process=True)))

    async def test(session: Session) -> Result:
        await session.put_on_sale(["token-1"])
        market.faults.add(Fault(FaultKind.EXPIRED_TOKEN, "price_stock"))
        door = session.adapter.spec.operation("price_stock")
        op = session.op("token-1", *door.aspects, quantity=3)
        return {result.result for result in (await session.push(door, [op])).values()}.pop()

    assert Result.APPLIED is harness.run(test)
    assert market.requests["token", 200] == 2
    assert market.requests["price_stock", 401] == 1
