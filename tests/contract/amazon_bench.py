"""One Amazon per test, and what the engine would do around its adapter."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from marketsync.adapter.api import Aspect, OfferOp, PushOutcome, Receipt, Result
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Session
from marketsync_adapters.amazon.mapping import Terms
from marketsync_adapters.amazon.marketplaces import MARKETPLACES
from marketsync_adapters.amazon.sandbox import Account, Rules
from tests.contract.amazon_harness import RULES, harness_for

TERMS = Terms(MARKETPLACES["DE"])
UNLIMITED = replace(RULES, limits={}, feeds_per_window=1_000)


def run(test: Callable[[Session, Account], Coroutine[Any, Any, Any]], rules: Rules = UNLIMITED, **settings: Any) -> Any:
    clock = TurnedClock(auto=True)
    account = Account(rules, clock)
    return harness_for(account, clock, **settings).run(lambda session: test(session, account))


def receipt_of(outcome: PushOutcome, operation: str, ops: list[OfferOp], session: Session) -> Receipt:
    assert outcome.receipt is not None
    asked = [(op.sku, op.changed) for op in ops]
    return Receipt(token=outcome.receipt, operation=operation, submitted=session.harness.clock.now(), ops=asked)


def results_of(outcome: PushOutcome) -> dict[tuple[str, Aspect], Result]:
    return {(one.sku, one.aspect): one.result for one in outcome.results}


def zero(session: Session, sku: str) -> OfferOp:
    return session.op(sku, Aspect.STOCK, quantity=0)
