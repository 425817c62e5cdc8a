"""What a contract suite needs of one channel: the adapter, its sandbox's transport, and the hands of its buyers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

import httpx
import pytest

from marketsync.adapter.api import (
    Adapter,
    AdapterContext,
    Aspect,
    Listing,
    Money,
    OfferOp,
    Operation,
    Price,
    PushResult,
    Receipt,
    Result,
    Seen,
    Stock,
    WebhookCall,
)
from marketsync.testing.clock import TurnedClock
from marketsync.testing.http import ACCOUNT, channel_http
from marketsync_adapters.sandbox.faults import FaultKind

T = TypeVar("T")

ROUNDS = 50  # how often a submission is asked about before it counts as never ending


class Hands(Protocol):
    """What happens at the channel by other hands than ours: the sandbox's side of every test."""

    def sell(self, lines: Sequence[tuple[str, int]], *, paid: bool = True) -> str:
        """A buyer buys (SKU, pieces). Returns the order's id."""
        ...

    def pay(self, order_id: str) -> None: ...

    def cancel(self, order_id: str) -> None:
        """The channel cancels the order."""
        ...

    def request_return(self, order_id: str, line_id: str, quantity: int) -> str: ...

    def receive_return(self, return_id: str, *, sellable: bool) -> None: ...

    def shown_stock(self, sku: str) -> int | None:
        """What buyers could buy now; None where the offer is not shown."""
        ...

    def fault(self, operation: str, kind: FaultKind, times: int = 1) -> None:
        """Make the next calls of an operation of the spec go wrong."""
        ...

    def end_faults(self) -> None: ...

    def webhook(self, order_id: str) -> WebhookCall:
        """The signed notification of an order, as it would arrive now."""
        ...


@dataclass(kw_only=True)
class Harness:
    """One channel under test.

    ``listing`` makes a plain listing that the channel accepts; ``refused`` one that it certainly refuses. ``shown``
    says how the channel shows a listing (what it strips or sorts). ``secrets`` are the texts that must never appear.
    The clock turns by itself where somebody sleeps: ``TurnedClock(auto=True)``, the sandbox's own clock too.
    """

    adapter: type[Adapter]
    settings: Any
    credentials: Any
    wrong_credentials: Any
    transport: httpx.AsyncBaseTransport
    hands: Hands
    clock: TurnedClock
    listing: Callable[[str], Listing]
    refused: Listing
    secrets: Sequence[str]
    currency: str = "EUR"
    shown: Callable[[Listing], Listing] = lambda listing: listing
    webhook_url: str = ""

    def needs(self, *capabilities: type) -> None:
        """Skip the test where the adapter cannot do what it is about."""
        for capability in capabilities:
            if not issubclass(self.adapter, capability):
                pytest.skip(f"the {self.adapter.spec.name} adapter is no {capability.__name__}")

    def run(self, test: Callable[["Session"], Coroutine[Any, Any, T]], *, credentials: Any = None) -> T:
        """Run a test's coroutine with a connected adapter."""

        async def connected() -> T:
            async with self.connect(credentials or self.credentials) as session:
                return await test(session)

        return asyncio.run(connected())

    @asynccontextmanager
    async def connect(self, credentials: Any) -> AsyncIterator["Session"]:
        offers, log, spec = KnownOffers(), Silent(), self.adapter.spec
        async with channel_http(
            spec, self.settings, credentials, clock=self.clock, log=log, transport=self.transport
        ) as http:
            context = AdapterContext(
                channel="contract",
                account=ACCOUNT,
                storefronts=[spec.storefront(self.settings)],
                http=http,
                clock=self.clock,
                log=log,
                offers=offers,
                webhook_url=self.webhook_url,
            )
            adapter = self.adapter(self.settings, context)
            try:
                yield Session(harness=self, adapter=adapter, offers=offers)
            finally:
                await adapter.aclose()


class Silent:
    """A log that keeps its events for a test to look at."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))


class KnownOffers:
    """The channel ids that results have told, in the place of the ledger."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    async def ids(self, skus: Sequence[str]) -> Mapping[str, str]:
        return {sku: self.known[sku] for sku in skus if sku in self.known}

    async def skus(self, channel_ids: Sequence[str]) -> Mapping[str, str]:
        skus = {channel_id: sku for sku, channel_id in self.known.items()}
        return {channel_id: skus[channel_id] for channel_id in channel_ids if channel_id in skus}


@dataclass(kw_only=True)
class Session:
    """A connected adapter, and what the engine would do around it."""

    harness: Harness
    adapter: Any  # a class with the capabilities that the test has asked for
    offers: KnownOffers
    revisions: dict[str, int] = field(default_factory=dict)

    def op(self, sku: str, *changed: Aspect, **content: Any) -> OfferOp:
        """An op with the whole content: what is not given is plain."""
        self.revisions[sku] = self.revisions.get(sku, 0) + 1
        return OfferOp(
            sku=sku,
            changed=frozenset(changed),
            revision=self.revisions[sku],
            channel_id=self.offers.known.get(sku),
            family=content.get("family"),
            listing=content.get("listing") or self.harness.listing(sku),
            price=content.get("price") or self.price(1_999),
            stock=content.get("stock") or Stock(quantity=content.get("quantity", 5)),
        )

    def withdrawal(self, sku: str, changed: frozenset[Aspect]) -> OfferOp:
        self.revisions[sku] = self.revisions.get(sku, 0) + 1
        channel_id = self.offers.known.get(sku)
        return OfferOp(sku=sku, changed=changed, revision=self.revisions[sku], channel_id=channel_id, withdraw=True)

    def price(self, minor: int, **more: Any) -> Price:
        return Price(amount=Money(minor, self.harness.currency), **more)

    def door(self, aspect: Aspect, *, withdraws: bool = False) -> Operation:
        """The door for an aspect: the creating one for listings. Skips the test where there is none."""
        doors = [
            operation
            for operation in self.harness.adapter.spec.operations
            if aspect in operation.aspects and operation.withdraws == withdraws
        ]
        if not doors:
            what = "that withdraws" if withdraws else f"for {aspect}"
            pytest.skip(f"the {self.harness.adapter.spec.name} adapter has no door {what}")
        return max(doors, key=lambda operation: operation.creates == (aspect is Aspect.LISTING))

    async def push(self, door: Operation, ops: Sequence[OfferOp]) -> dict[tuple[str, Aspect], PushResult]:
        """Push a batch and ask about it until nothing is open. Checks what the interface promises of every outcome."""
        asked = {(op.sku, aspect) for op in ops for aspect in op.changed}
        outcome = await self.adapter.push(door.name, ops)
        final = self._noted(outcome.results, asked)
        for _ in range(ROUNDS):
            pending = sorted(key for key in asked if final[key].result is Result.SUBMITTED)
            if not pending:
                return final
            assert outcome.receipt, "what is SUBMITTED comes with a receipt"
            self.harness.clock.advance(max(1.0, outcome.ask_after.total_seconds()))
            receipt = self._receipt(outcome.receipt, door, ops, frozenset(pending))
            outcome = await self.adapter.confirm(receipt)
            final |= self._noted(outcome.results, frozenset(pending), partly=outcome.receipt is not None)
        raise AssertionError(f"after {ROUNDS} questions the submission is still open")

    def _receipt(
        self, token: str, door: Operation, ops: Sequence[OfferOp], pending: frozenset[tuple[str, Aspect]]
    ) -> Receipt:
        by_op = [(op.sku, frozenset(aspect for aspect in op.changed if (op.sku, aspect) in pending)) for op in ops]
        now: datetime = self.harness.clock.now()
        return Receipt(
            token=token, operation=door.name, submitted=now, ops=[(sku, aspects) for sku, aspects in by_op if aspects]
        )

    def _noted(
        self, results: Sequence[PushResult], asked: frozenset[tuple[str, Aspect]] | set[Any], *, partly: bool = False
    ) -> dict[tuple[str, Aspect], PushResult]:
        by_key = {(result.sku, result.aspect): result for result in results}
        assert len(by_key) == len(results), "an aspect of an op has one result"
        assert set(by_key) <= set(asked), "results are only for what was asked"
        if not partly:
            assert set(asked) == set(by_key), "every aspect that was asked has its result"
        for result in results:
            if result.result is Result.REJECTED:
                assert result.code or result.message, "a refusal says why"
            if result.channel_id:
                self.offers.known[result.sku] = result.channel_id
        return by_key

    async def put_on_sale(self, skus: Sequence[str], *, quantity: int = 5, minor: int = 1_999) -> None:
        """List the SKUs with price and stock, through whatever doors the channel has."""
        done: set[Aspect] = set()
        for aspect in (Aspect.LISTING, Aspect.PRICE, Aspect.STOCK):
            if aspect in done:
                continue
            door = self.door(aspect)
            aspects = door.aspects - done
            for start in range(0, len(skus), door.batch):
                batch = skus[start : start + door.batch]
                ops = [self.op(sku, *aspects, price=self.price(minor), quantity=quantity) for sku in batch]
                results = await self.push(door, ops)
                refused = [result for result in results.values() if result.result is not Result.APPLIED]
                assert not refused, f"a plain offer is accepted: {refused[:1]}"
            done |= aspects

    async def read(self, skus: Sequence[str] | None = None) -> dict[str, Seen]:
        """What the channel shows, after the time that a write takes to show."""
        self.harness.clock.advance(self.harness.adapter.spec.visible_after.total_seconds())
        seen = [one async for one in self.adapter.offers(skus)]
        by_sku = {one.sku: one for one in seen}
        assert len(by_sku) == len(seen), "an offer is read once"
        return by_sku
