"""What the tests of eBay's traps have in common: a run on a market, a push, a variant, a recorder of requests."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import httpx
import orjson

from marketsync.adapter.api import Aspect, OfferOp, PushResult, Result
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Session
from marketsync_adapters.ebay.sandbox import Market
from tests.contract.ebay_harness import harness_for, listing

Results = dict[tuple[str, Aspect], PushResult]


class Recorder(httpx.AsyncBaseTransport):
    """Every request of a test, on its way to the referees."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self.seen: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.seen.append(request)
        return await self._transport.handle_async_request(request)

    def bodies(self, path: str) -> list[Any]:
        return [orjson.loads(one.content) for one in self.seen if one.url.path.endswith(path)]


def run(
    market: Market,
    clock: TurnedClock,
    test: Callable[[Session], Awaitable[Any]],
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    **settings: Any,
) -> Any:
    return harness_for(market, clock, transport, **settings).run(test)  # type: ignore[arg-type]


async def push(session: Session, door: str, ops: Sequence[OfferOp]) -> Results:
    return await session.push(session.adapter.spec.operation(door), ops)


def set_of(results: Results) -> set[Result]:
    return {one.result for one in results.values()}


def variant(session: Session, sku: str, size: str, *changed: Aspect, **content: Any) -> OfferOp:
    changed = changed or tuple(Aspect)
    text = replace(listing(sku), title="Garden chair", options={"Size": size})
    return replace(session.op(sku, *changed, listing=text, **content), family="chair")
