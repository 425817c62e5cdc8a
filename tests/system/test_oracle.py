"""The oracle itself: it lets through what is right, and what is wrong it names. No engine anywhere."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from marketsync.testing.clock import TurnedClock
from marketsync_adapters.sandbox.market import Market
from tests.system import oracle as oracle_module
from tests.system.oracle import OVERLAP, REACTION, WINDOW, Oracle


class Stage:
    """Two markets that an oracle watches, ten pieces of A, and hands that write stock as an engine would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.elapsed = TurnedClock(), 1000.0
        monkeypatch.setattr(oracle_module.time, "monotonic", lambda: self.elapsed)
        packs = {"right": {"A-2": ("A", 2)}}
        self.oracle = Oracle({"A": 10}, packs, {"left": {"": 8}})
        self.markets = {name: Market(clock=self.clock) for name in ("left", "right")}
        for name, market in self.markets.items():
            self.oracle.watch(name, market)
            for sku in ("A", "A-2"):
                listing = {"listing": {"title": sku}, "price": {"amount": "1.00", "currency": "EUR"}}
                market.shelf.put("main", {"sku": sku, **listing, "stock": {"quantity": 0}}, "")

    def turn(self, seconds: float) -> None:
        self.elapsed += seconds
        self.clock.advance(seconds)

    def write(self, name: str, quantity: int, sku: str = "A") -> None:
        self.markets[name].shelf.set_stock("main", {"sku": sku, "quantity": quantity}, "")

    def buy(self, name: str, pieces: int, sku: str = "A") -> str:
        return self.markets[name].buy([(sku, pieces)]).order_id

    def acknowledge(self, name: str, order_id: str) -> None:
        self.markets[name].sales.acknowledge(order_id, f"ack-{order_id}")

    def why(self) -> list[tuple[str, int, int, str]]:
        return [(one.sku, one.written, one.allowed, one.why) for one in self.oracle.violations]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    return Stage(monkeypatch)


ABOVE = "raised above what could be sold"


def test_a_raise_to_what_is_there_is_allowed_and_one_above_is_not(stage):
    stage.write("right", 10)
    assert [] == stage.why()
    stage.write("right", 11)
    assert [("A", 11, 10, ABOVE)] == stage.why()


def test_a_known_sale_on_another_channel_lowers_what_may_be_shown(stage):
    """Known is what was acknowledged longer ago than the window; before, a write may have been under way."""
    stage.write("right", 10)
    order = stage.buy("right", 4)
    stage.write("left", 8)
    assert [] == stage.why()
    stage.acknowledge("right", order)
    stage.turn(WINDOW - 0.1)
    stage.write("left", 0)
    stage.write("left", 8)
    assert [] == stage.why()
    stage.turn(0.2)
    stage.write("left", 0)
    stage.write("left", 6)
    stage.write("left", 7)
    assert [("A", 7, 6, ABOVE)] == stage.why()


def test_a_cursor_that_has_passed_a_sale_knows_it(stage):
    """A pull that asks from after the order (less the overlap) proves that the order is stored; an earlier one does not."""
    stage.write("right", 10)
    order_id = stage.buy("right", 4)
    placed = stage.markets["right"].sales.orders[order_id].placed
    stage.markets["right"].sales.page(placed - OVERLAP - timedelta(seconds=1), None)
    stage.turn(WINDOW + 1)
    stage.write("right", 10)
    assert [] == stage.why()
    stage.markets["right"].sales.page(placed - OVERLAP, None)
    stage.turn(WINDOW + 1)
    stage.write("right", 0)
    stage.write("right", 10)
    assert [("A", 10, 6, ABOVE)] == stage.why()


def test_lowering_is_always_allowed(stage):
    stage.write("right", 10)
    stage.acknowledge("right", stage.buy("right", 3))
    stage.turn(WINDOW + 1)
    stage.markets["right"].shelf.get("main", "A").quantity = 50
    stage.write("right", 20)
    assert [] == stage.why()


def test_packs_are_bounded_by_their_pieces(stage):
    stage.write("right", 5, "A-2")
    stage.write("right", 6, "A-2")
    assert [("A-2", 6, 5, ABOVE)] == stage.why()


def test_show_at_most_holds_for_every_write(stage):
    stage.write("left", 9)
    assert [("A", 9, 8, "more than may be shown")] == stage.why()


def test_cancelled_and_returned_pieces_can_be_shown_again(stage):
    stage.write("right", 10)
    order_id = stage.buy("right", 10)
    stage.acknowledge("right", order_id)
    stage.turn(WINDOW + 1)
    line = stage.markets["right"].sales.orders[order_id].lines[0]
    line.cancelled = 3
    stage.write("right", 3)
    stage.oracle.came_back("A", 2)
    stage.write("right", 5)
    assert [] == stage.why()
    stage.write("right", 6)
    assert [("A", 6, 5, ABOVE)] == stage.why()


def test_oversold_is_what_was_sold_above_the_opening(stage):
    """Both channels sell the last pieces before either sale could be known: two too many, and nobody to blame."""
    stage.write("left", 6)
    stage.write("right", 6)
    stage.buy("left", 6)
    stage.buy("right", 6)
    assert ({"A": 2}, -2, 0) == (stage.oracle.oversold(), stage.oracle.left("A"), stage.oracle.shows("right", "A"))
    assert [] == stage.oracle.avoidable


def test_a_sale_of_pieces_that_were_known_to_be_gone_for_long_is_told(stage):
    stage.write("left", 6)
    stage.write("right", 6)
    stage.acknowledge("left", stage.buy("left", 6))
    stage.turn(REACTION + 1)
    stage.buy("right", 6)
    assert ["right: 6 pieces of A"] == stage.oracle.avoidable
