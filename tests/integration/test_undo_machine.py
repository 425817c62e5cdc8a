"""Whatever sequence of price changes and undos: what is undone shows what was live then, and stock is never changed by it.

A hypothesis state machine over the real engine, with guards: edits, sales, lost answers, approvals, undos to any earlier
moment, of everything or of one SKU, and releases. The model knows what was on the channel's shelf at every moment.
"""

import asyncio
import shutil
import tempfile
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from marketsync.ledger import holds, pins
from marketsync.ledger.types import micros
from marketsync.ledger.verify import verify
from marketsync.sync import undo
from marketsync.sync.undo import Asked
from marketsync.testing.clock import TurnedClock
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.sandbox.market import Market
from tests.engine import engine, sandboxes, write_config

SKUS = ("A", "B")
PRICES = st.sampled_from([10, 1_000, 1_100, 100_000])  # cents: a small step, and some that a guard holds
FAULTS = (FaultKind.TIMEOUT_BEFORE, FaultKind.TIMEOUT_AFTER, FaultKind.ERROR_AFTER)


class UndoMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="undo-"))
        self.clock = TurnedClock(auto=True)
        self.market = Market(None, self.clock)
        self.says = dict.fromkeys(SKUS, 1_000)  # what the source says
        self.pieces = dict.fromkeys(SKUS, 9)
        self.pinned: dict[str, int] = {}
        self.moments: list[tuple[datetime, dict[str, int]]] = []
        self.write()
        source = "sources:\n  pim: {file: catalogue.csv, owns: [content, price, stock], falls_at: never}\n"
        path = write_config(
            self.folder, f"sqlite:///{self.folder / 'ledger.db'}",
            source + sandboxes("one", extra="schedule: {orders: 1m}\nguards: {}\n"),
        )  # fmt: skip
        self.context = engine(path, markets={"one": self.market}, clock=self.clock)
        self.e = self.do(self.context.__aenter__())
        self.do(self.e.activate())
        self.settle()

    # ---------------------------------------------------------------- the world

    def do(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def write(self) -> None:
        lines = [f"{sku},Item {sku},{self.says[sku] / 100:.2f},{self.pieces[sku]}" for sku in SKUS]
        (self.folder / "catalogue.csv").write_text("\n".join(["sku,title,price,stock", *lines]) + "\n")

    def settle(self) -> None:
        channel = tuple(("channel:one", task) for task in ("push", "confirm", "push"))
        for _ in range(2):
            self.clock.advance(120)
            for owner, task in (("source:pim", "ingest"), ("account:one", "orders"), *channel):
                self.clock.advance(3)
                self.do(self.e.run(owner, task))
        self.clock.advance(1)
        self.moments.append((self.clock.now(), self.prices()))
        self.clock.advance(1)

    def prices(self) -> dict[str, int]:
        self.market.settle()
        return {offer.sku: round(float(offer.price["amount"]) * 100) for offer in self.market.shelf}

    def stock(self) -> tuple[object, ...]:
        tables = ("SELECT * FROM stock_level", "SELECT * FROM stock_movement", "SELECT id, stock_content FROM offer")
        shelf = sorted((offer.sku, offer.quantity) for offer in self.market.shelf)
        return (shelf, *(sorted(map(str, self.e.rows(sql))) for sql in tables))

    def write_down(self, function) -> None:
        self.do(self.e.house.ledger.write(function))

    # ---------------------------------------------------------------- what happens

    @rule(sku=st.sampled_from(SKUS), cents=PRICES, agreed=st.booleans())
    def edit(self, sku: str, cents: int, agreed: bool = False) -> None:
        """``agreed``: a person lets what guards hold go, by mistake perhaps."""
        self.says[sku] = cents
        self.write()
        self.settle()
        if agreed:
            self.approve()

    @rule(sku=st.sampled_from(SKUS))
    def sell(self, sku: str) -> None:
        if any(offer.sku == sku and offer.quantity for offer in self.market.shelf):
            self.market.buy([(sku, 1)])
        self.settle()

    @rule(sku=st.sampled_from(SKUS), pieces=st.integers(0, 20))
    def deliver(self, sku: str, pieces: int) -> None:
        self.pieces[sku] = pieces
        self.write()
        self.settle()

    @rule(sku=st.sampled_from(SKUS), cents=PRICES, kind=st.sampled_from(FAULTS))
    def edit_while_answers_are_lost(self, sku: str, cents: int, kind: FaultKind) -> None:
        self.market.faults.add(Fault(kind=kind, operation="push", times=1))
        self.edit(sku, cents)

    def approve(self) -> None:
        now = micros(self.clock.now())
        for one in self.e.house.ledger.read_now(holds.listing):
            self.write_down(partial(holds.decide, hold=one, state="approved", who="ann", reason="", now=now))
        self.settle()

    @rule(back=st.integers(0, 8), only=st.none() | st.sampled_from(SKUS))
    def undo(self, back: int, only: str | None) -> None:
        before, then = self.moments[max(0, len(self.moments) - 1 - back)]
        stock, shown = self.stock(), self.prices()
        asked = Asked(channel="one", before=before, skus=None if only is None else (only,))
        found = self.e.house.ledger.read_now(partial(undo.look, house=self.e.house, asked=asked))
        assert [] == list(found.left)
        assert len(found.back) == self.do(undo.put_back(self.e.house, found.back, "ann", "wrong"))
        self.pinned |= {one.sku: then[one.sku] for one in found.back}
        self.settle()
        assert {sku: then[sku] if only in (None, sku) else shown[sku] for sku in SKUS} == self.prices()
        assert stock == self.stock()

    @rule()
    def release(self) -> None:
        """After that it shows what the source says, once a person agrees to what guards hold."""
        self.do(undo.release(self.e.house, self.e.house.ledger.read_now(pins.listing)))
        self.pinned.clear()
        self.settle()
        self.approve()
        assert self.says == self.prices()

    # ---------------------------------------------------------------- what always holds

    @invariant()
    def what_was_put_back_stays(self) -> None:
        if hasattr(self, "e"):
            assert self.pinned == {sku: self.prices()[sku] for sku in self.pinned}
            assert set(self.pinned) == {pin.sku for pin in self.e.house.ledger.read_now(pins.listing)}

    def teardown(self) -> None:
        if hasattr(self, "e"):
            try:
                self.release()
                assert [] == self.e.house.ledger.read_now(
                    lambda conn: verify(conn, self.e.house.ledger.vault, self.clock.now())
                )
            finally:
                self.do(self.context.__aexit__(None, None, None))
                self.loop.close()
                shutil.rmtree(self.folder)


TestUndoMachine = UndoMachine.TestCase
TestUndoMachine.settings = settings(
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking would take minutes
    max_examples=15,
    stateful_step_count=14,
    suppress_health_check=list(HealthCheck),
    deadline=None,
)
TestUndoMachine.pytestmark = [pytest.mark.timeout(280)]
