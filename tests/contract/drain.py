"""How well an adapter uses what its channel allows: many stock changes through the channel's own limiter.

    drained = drain(harness, offers, per_second=3)
    assert drained.holds, drained

Time is the harness's turned clock, so a backlog of hours is drained in seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import httpx

from marketsync.adapter.api import Aspect, OfferOp, PushOutcome, Result
from marketsync.adapter.errors import RateLimited
from marketsync.testing.contract import Harness, Session

SHARE = 0.97  # of what a channel allows, at least
QUANTITY = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """``share``: of the rate that the channel allows, after its burst; None where the whole backlog is inside the burst.
    ``refused``: answers that said "too many". ``unwritten``: offers that do not show the new stock. ``seconds`` of the
    channel's clock.
    """

    changes: int
    requests: int
    minimum: int
    seconds: float
    share: float | None
    refused: int
    unwritten: int

    @property
    def holds(self) -> bool:
        """No request too many, none refused, the rate used up, everything written."""
        quick = self.share is None or SHARE <= self.share <= 1.001  # above: a limiter that lets too much through
        return quick and (self.requests, self.refused, self.unwritten) == (self.minimum, 0, 0)


class CountingTransport(httpx.AsyncBaseTransport):
    """Counts the requests that ``counted`` picks, and the answers that ``refuses`` calls a refusal for their number."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        counted: Callable[[httpx.Request], bool],
        refuses: Callable[[httpx.Response], bool],
    ) -> None:
        self._transport, self._counted, self._refuses = transport, counted, refuses
        self.requests = 0
        self.refused = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += self._counted(request)
        response = await self._transport.handle_async_request(request)
        await response.aread()
        self.refused += self._refuses(response)
        return response


def drain(
    harness: Harness,
    offers: Mapping[str, str],
    *,
    per_second: float,
    burst: int = 0,
    door: str = "",
    requests_per_batch: int = 1,
    counted: Callable[[httpx.Request], bool] = lambda _request: True,
    refuses: Callable[[httpx.Response], bool] = lambda response: response.status_code == 429,
    settles: float = 0,
) -> Drained:
    """Change the stock of all ``offers`` (SKU -> channel id, already on sale), full batch after full batch.

    ``per_second`` is what the channel allows for the requests that ``counted`` picks, ``burst`` how many of them our
    limiter has in hand at the start: none where it starts empty (buckets faster than one a second), else the bucket's
    burst. ``door`` is the operation to use where the spec has several. ``settles``: seconds after which the shelf shows
    what was taken. Every change has to be APPLIED or SUBMITTED.
    """
    counting = CountingTransport(harness.transport, counted, refuses)
    clock, spec = harness.clock, harness.adapter.spec
    batches: list[int] = []

    async def test(session: Session) -> float:
        session.offers.known |= offers
        operation = spec.operation(door) if door else session.door(Aspect.STOCK)
        batches.append(operation.batch)
        began = clock.monotonic()
        skus = list(offers)
        for start in range(0, len(skus), operation.batch):
            ops = [session.op(sku, Aspect.STOCK, quantity=QUANTITY) for sku in skus[start : start + operation.batch]]
            outcome = await _pushed(session, operation.name, ops)
            taken = {result.sku for result in outcome.results if result.result in {Result.APPLIED, Result.SUBMITTED}}
            assert taken == {op.sku for op in ops}, "every change is taken"
        return clock.monotonic() - began

    seconds = replace(harness, transport=counting).run(test)
    minimum = ceil(len(offers) / batches[0]) * requests_per_batch
    clock.advance(settles)
    unwritten = sum(harness.hands.shown_stock(sku) != QUANTITY for sku in offers)
    waited = counting.requests - burst
    return Drained(
        changes=len(offers),
        requests=counting.requests,
        minimum=minimum,
        seconds=seconds,
        share=waited / per_second / seconds if waited > 0 and seconds else None,
        refused=counting.refused,
        unwritten=unwritten,
    )


async def _pushed(session: Session, door: str, ops: Sequence[OfferOp]) -> PushOutcome:
    while True:
        try:
            outcome: PushOutcome = await session.adapter.push(door, ops)
        except RateLimited as limited:  # as the engine does: what the limits hold back waits for its slot
            pause = limited.retry_after.total_seconds() if limited.retry_after else 1.0
            await session.harness.clock.sleep(pause)
        else:
            return outcome
