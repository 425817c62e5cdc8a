"""The contract suite: what every adapter must do, whatever its channel.

Subclass ``AdapterContract`` in the adapter's tests and give it a ``harness`` fixture; pytest does the rest:

    class TestKaufland(AdapterContract):
        @pytest.fixture
        def harness(self) -> Harness: ...

A capability that the adapter lacks skips its tests with the reason.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{module}" for module in ("faults", "harness", "offers", "orders", "spec"))
)

from marketsync.testing.contract.faults import FaultContract  # noqa: E402 - after the rewriting of asserts is set up
from marketsync.testing.contract.harness import Hands, Harness, Session  # noqa: E402 - as above
from marketsync.testing.contract.offers import OfferContract  # noqa: E402 - as above
from marketsync.testing.contract.orders import OrderContract  # noqa: E402 - as above
from marketsync.testing.contract.spec import SpecContract  # noqa: E402 - as above

__all__ = ["AdapterContract", "Hands", "Harness", "Session"]


class AdapterContract(SpecContract, OfferContract, OrderContract, FaultContract):
    """Everything that is asked of an adapter. A subclass gives the ``harness`` fixture."""
