"""The contract suite finds adapters that break the contract: each mistake here was made by somebody once."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import pytest
from pydantic import SecretStr

from marketsync.adapter.api import (
    Command,
    CommandResult,
    Money,
    OfferOp,
    OrderCursor,
    OrderPage,
    PushOutcome,
    Result,
    Seen,
    WebhookCall,
    WebhookNotice,
)
from marketsync.adapter.errors import AdapterError, RateLimited
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import AdapterContract, Harness
from marketsync_adapters.sandbox import Credentials, SandboxAdapter
from marketsync_adapters.sandbox.faults import FaultKind
from marketsync_adapters.sandbox.market import Market
from tests.contract.sandbox_harness import RULES, harness_for


class ForgetsResults(SandboxAdapter):
    async def push(self, operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        outcome = await super().push(operation, ops)
        return replace(outcome, results=outcome.results[:-1])


class TakesRefusalsForSuccess(SandboxAdapter):
    async def confirm(self, receipt):
        outcome = await super().confirm(receipt)
        return replace(outcome, results=[replace(one, result=Result.APPLIED) for one in outcome.results])


class StopsAfterOnePage(SandboxAdapter):
    async def orders(self, cursor: OrderCursor) -> OrderPage:
        return replace(await super().orders(cursor), next_page=None)


class ForgetsTheCursor(SandboxAdapter):
    async def orders(self, cursor: OrderCursor) -> OrderPage:
        return await super().orders(replace(cursor, since=None))


class RoundsPrices(SandboxAdapter):
    async def offers(self, skus: Sequence[str] | None = None) -> AsyncIterator[Seen]:
        async for seen in super().offers(skus):
            assert seen.price is not None
            rounded = Money(round(seen.price.amount.minor, -1), seen.price.amount.currency)
            yield replace(seen, price=replace(seen.price, amount=rounded))


class MakesUpKeys(SandboxAdapter):
    made = 0

    async def refund(self, command: Command) -> CommandResult:
        MakesUpKeys.made += 1
        return await super().refund(replace(command, key=f"{command.key}-{self.made}"))


class SwallowsErrors(SandboxAdapter):
    async def push(self, operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        try:
            return await super().push(operation, ops)
        except AdapterError:
            return PushOutcome(results=())


class CallsEverythingALimit(SandboxAdapter):
    async def push(self, operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        try:
            return await super().push(operation, ops)
        except AdapterError:
            raise RateLimited("later") from None


class BelievesWebhooks(SandboxAdapter):
    def webhook(self, call: WebhookCall) -> Sequence[WebhookNotice]:
        return [WebhookNotice(task="orders", id="1")]


class FoldsCase(SandboxAdapter):
    async def push(self, operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        outcome = await super().push(operation, [replace(op, sku=op.sku.upper()) for op in ops])
        return replace(
            outcome, results=[replace(one, sku=op.sku) for op, one in zip(ops, outcome.results, strict=True)]
        )


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (ForgetsResults, lambda suite, harness: suite.test_a_new_offer_shows_what_was_pushed(harness)),
        (TakesRefusalsForSuccess, lambda suite, harness: suite.test_a_refused_offer_leaves_the_others_applied(harness)),
        (StopsAfterOnePage, lambda suite, harness: suite.test_all_pages_bring_every_order(harness)),
        (StopsAfterOnePage, lambda suite, harness: suite.test_nothing_is_missed_while_orders_change(harness)),
        (
            ForgetsTheCursor,
            lambda suite, harness: suite.test_a_cursor_leaves_older_orders_out_and_overlaps_harmlessly(harness),
        ),
        (RoundsPrices, lambda suite, harness: suite.test_prices_from_the_lowest_to_the_highest(harness)),
        (MakesUpKeys, lambda suite, harness: suite.test_a_refund_happens_once(harness)),
        (
            SwallowsErrors,
            lambda suite, harness: suite.test_a_write_that_fails_says_how(harness, FaultKind.TIMEOUT_AFTER),
        ),
        (
            CallsEverythingALimit,
            lambda suite, harness: suite.test_a_write_that_fails_says_how(harness, FaultKind.ERROR_AFTER),
        ),
        (BelievesWebhooks, lambda suite, harness: suite.test_a_forged_or_old_notification_is_refused(harness)),
    ],
)
def test_a_broken_adapter_is_found(
    broken: type[SandboxAdapter], test: Callable[[AdapterContract, Harness], None]
) -> None:
    """The test that is about it fails, and fails only because of it."""
    with pytest.raises((AssertionError, pytest.fail.Exception, AdapterError)):
        test(AdapterContract(), _harness(broken))
    test(AdapterContract(), _harness(SandboxAdapter))


def test_case_twins_are_not_folded() -> None:
    """An adapter that changes the case of SKUs is found by the nasty ones."""
    with pytest.raises((AssertionError, AdapterError)):
        AdapterContract().test_nasty_skus_arrive_as_they_are(_harness(FoldsCase))


def _harness(adapter: type[SandboxAdapter]) -> Harness:
    clock = TurnedClock(auto=True)
    right, wrong = (Credentials(api_key=SecretStr(key)) for key in (RULES.api_key, "wrong-secret"))
    return replace(harness_for(Market(RULES, clock), clock, right, wrong), adapter=adapter)
