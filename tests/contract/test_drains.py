"""Every adapter drains a backlog of stock changes with as few requests as possible, as fast as allowed, without a 429.

Where 10,000 changes cost the suite many seconds, fewer say the same: ``make bench-channels`` drains 10,000 of each.
"""

from dataclasses import replace

import pytest

from tests.contract.drain import Drained
from tests.contract.drains import DRAINS

IN_THE_SUITE = {"amazon PATCH": 1_000, "ebay": 5_000, "shopify": 5_000}  # changes


@pytest.mark.parametrize("name", DRAINS)
def test_a_backlog_of_stock_changes_uses_what_the_channel_allows(name: str) -> None:
    drained = DRAINS[name](IN_THE_SUITE.get(name, 10_000))
    assert drained.holds, drained


@pytest.mark.parametrize(
    "worse", [{"requests": 68}, {"refused": 1}, {"unwritten": 1}, {"share": 0.96}, {"share": 1.01}]
)
def test_a_drain_that_falls_short_is_told(worse: dict[str, float]) -> None:
    """A request too many, a refusal, an offer that was left out, an idle limiter, a limiter that lets too much pass."""
    drained = Drained(changes=10_000, requests=67, minimum=67, seconds=22.0, share=1.0, refused=0, unwritten=0)
    assert drained.holds
    assert not replace(drained, **worse).holds
