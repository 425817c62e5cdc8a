"""The Amazon adapter keeps the contract, through single writes and through feeds."""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import pytest

from marketsync.adapter.api import AdapterSpec, Rate
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import AdapterContract, Harness
from marketsync_adapters.amazon import AmazonAdapter
from marketsync_adapters.amazon.sandbox import Account
from marketsync_adapters.sandbox.faults import FaultKind
from tests.contract.amazon_harness import RULES, check_documents, harness_for


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


class TestAmazonByItem(AdapterContract):
    """PATCH, PUT and DELETE, with Amazon's real usage plans: whatever a test does, no 429 is caused."""

    @pytest.fixture
    def harness(self, clock: TurnedClock) -> Iterator[Harness]:
        account = Account(RULES, clock)
        yield harness_for(account, clock)
        caused = [operation for (operation, status), _ in account.requests.items() if status == 429]
        assert len(caused) == bool(account.faults.happened[FaultKind.RATE_LIMITED])


_BUCKETS = {name for operation in AmazonAdapter.spec.operations for name in operation.buckets}


class _ByFeed(AmazonAdapter):
    """The same adapter, whose feeds stand first, are smaller and may be sent as often as a test likes."""

    spec: ClassVar[AdapterSpec] = replace(
        AmazonAdapter.spec,
        buckets=lambda _settings: tuple(Rate(name=name, per_second=1e6, burst=10**6) for name in _BUCKETS),
        operations=tuple(
            replace(one, batch=300 if one.name.startswith("feed") and one.aspects else one.batch)
            for one in sorted(AmazonAdapter.spec.operations, key=lambda one: not one.name.startswith("feed"))
        ),
    )


class TestAmazonByFeed(AdapterContract):
    @pytest.fixture
    def harness(self, clock: TurnedClock) -> Iterator[Harness]:
        account = Account(replace(RULES, limits={}, feeds_per_window=1_000), clock)
        yield harness_for(account, clock, adapter=_ByFeed)
        check_documents(account)
