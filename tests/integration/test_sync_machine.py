"""Whatever happens in whatever order, channels end up showing what they should, and no raise rests on stale knowledge.

A hypothesis state machine over the real engine, a real SQLite ledger and two sandbox marketplaces: edits, recounts,
sales, answers lost before and after they took effect, late confirmations, items that come and go, and crashes at any
write to the ledger.
"""

import asyncio
import csv
import shutil
import tempfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from marketsync.ledger import stock as stock_store
from marketsync.ledger.verify import verify
from marketsync.sync.derive import derive_stock
from marketsync.testing.clock import TurnedClock
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.sandbox.market import Market
from marketsync_adapters.sandbox.rules import Refused
from tests.engine import engine, sandboxes, write_config

SKUS = ("A", "B", "C")
CHANNELS = ("one", "two")
PUSH_FAULTS = (
    FaultKind.TIMEOUT_BEFORE, FaultKind.TIMEOUT_AFTER, FaultKind.RATE_LIMITED, FaultKind.ERROR, FaultKind.ERROR_AFTER,
    FaultKind.UNAVAILABLE, FaultKind.TRUNCATED, FaultKind.HTML,
)  # fmt: skip
PULL_FAULTS = (*PUSH_FAULTS, FaultKind.DUPLICATED_PAGE, FaultKind.REORDERED_PAGE)
EXTRA = "schedule: {orders: 1m}\nwithdraw_after: 1s\n"


class Killed(BaseException):
    """The process died."""


class SyncMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.clock = TurnedClock(auto=True)
        self.markets = {name: Market(None, self.clock) for name in CHANNELS}
        self.on_hand = dict.fromkeys(SKUS, 5)
        self.items = dict.fromkeys(SKUS, 100)  # price in cents; missing: not in the catalogue
        self.sold: dict[str, list[tuple[object, str, int]]] = {name: [] for name in CHANNELS}
        self.known: dict[str, int] = dict.fromkeys(CHANNELS, 0)  # sales placed before the last complete pull began
        self.wrong: list[str] = []
        for name, market in self.markets.items():
            market.shelf.on_stock_write.append(partial(self.watch, name))
        self.write_catalogue()
        source = "sources:\n  pim: {file: catalogue.csv, owns: [content, price, stock]}\n"
        self.path = write_config(
            self.folder, f"sqlite:///{self.folder / 'ledger.db'}", source + sandboxes(*CHANNELS, extra=EXTRA)
        )
        self.open()
        self.do(self.e.activate())
        self.do(self.e.run("source:pim", "ingest"))

    # ---------------------------------------------------------------- the world

    def do(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def open(self) -> None:
        self.context = engine(self.path, markets=self.markets, clock=self.clock)
        self.e = self.do(self.context.__aenter__())

    def watch(self, channel: str, write) -> None:
        """No raise above what could be sold, as far as complete pulls had told."""
        if write.cause != "write" or write.quantity <= (write.before or 0):
            return
        told = sum(
            pieces for name in CHANNELS for _, sku, pieces in self.sold[name][: self.known[name]] if sku == write.sku
        )
        if write.quantity > max(0, self.on_hand[write.sku] - told):
            self.wrong.append(f"{channel}: {write.sku} raised from {write.before} to {write.quantity}")

    def write_catalogue(self) -> None:
        with (self.folder / "catalogue.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["sku", "title", "price", "stock"])
            for sku, cents in sorted(self.items.items()):
                out.writerow([sku, f"Item {sku} at {cents}", f"{cents / 100:.2f}", 5])
        self.clock.advance(1)

    # ---------------------------------------------------------------- rules

    @rule(sku=st.sampled_from(SKUS), cents=st.integers(50, 900))
    def edit(self, sku: str, cents: int) -> None:
        self.items[sku] = cents
        self.write_catalogue()

    @rule(sku=st.sampled_from(SKUS))
    def drop(self, sku: str) -> None:
        if len(self.items) > 1:
            self.items.pop(sku, None)
            self.write_catalogue()

    @rule()
    def ingest(self) -> None:
        self.do(self.e.run("source:pim", "ingest"))

    @rule(sku=st.sampled_from(SKUS), counted=st.integers(0, 9))
    def recount(self, sku: str, counted: int) -> None:
        """A person counts: what lies there now, sold pieces that wait included."""
        house = self.e.house

        def write(conn) -> None:
            now = self.clock.now()
            changed = stock_store.recount(conn, sku, "main", counted, now)
            derive_stock(conn, house.rules, changed, house.order, now)

        self.clock.advance(1)
        # The bound is known before the write: the watcher must already allow what the count allows.
        self.on_hand[sku] = counted
        house.ledger.write_now(write)

    @rule(channel=st.sampled_from(CHANNELS), sku=st.sampled_from(SKUS), pieces=st.integers(1, 3), paid=st.booleans())
    def buy(self, channel: str, sku: str, pieces: int, paid: bool) -> None:
        try:
            order = self.markets[channel].buy([(sku, pieces)], paid=paid)
        except Refused:
            return
        self.sold[channel].append((order.order_id, sku, pieces))

    @rule(channel=st.sampled_from(CHANNELS), fault=st.none() | st.sampled_from(PULL_FAULTS))
    def pull(self, channel: str, fault) -> None:
        self.clock.advance(1)
        before = len(self.sold[channel])
        self.fault(channel, fault, "orders")
        if self.do(self.e.run(f"account:{channel}", "orders")).outcome == "done":
            self.known[channel] = before
        self.clock.advance(1)

    @rule(channel=st.sampled_from(CHANNELS), fault=st.none() | st.sampled_from(PUSH_FAULTS))
    def push(self, channel: str, fault) -> None:
        for operation in ("offers", "prices", "stock", "withdraw"):
            self.fault(channel, fault, operation)
        self.do(self.e.run(f"channel:{channel}", "push"))
        self.markets[channel].faults.clear()

    @rule(channel=st.sampled_from(CHANNELS), fault=st.none() | st.sampled_from(PUSH_FAULTS))
    def confirm(self, channel: str, fault) -> None:
        self.fault(channel, fault, "jobs")
        self.do(self.e.run(f"channel:{channel}", "confirm"))
        self.markets[channel].faults.clear()

    @rule(channel=st.sampled_from(CHANNELS))
    def derive(self, channel: str) -> None:
        self.do(self.e.run(f"channel:{channel}", "derive"))

    @rule(channel=st.sampled_from(CHANNELS))
    def reconcile(self, channel: str) -> None:
        self.do(self.e.run(f"channel:{channel}", "reconcile"))

    @rule(seconds=st.sampled_from([1, 5, 30, 120, 400]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(
        channel=st.sampled_from(CHANNELS), task=st.sampled_from(["push", "orders", "confirm"]), writes=st.integers(0, 6)
    )
    def crash(self, channel: str, task: str, writes: int) -> None:
        """The process dies at some write of a task, and starts again."""
        ledger, left = self.e.house.ledger, [writes]
        submit = ledger._submit

        def dying(*args, **kwargs):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return submit(*args, **kwargs)

        ledger._submit = dying
        owner = f"account:{channel}" if task == "orders" else f"channel:{channel}"
        before = len(self.sold[channel])
        try:
            done = self.do(self.e.run(owner, task))
            if task == "orders" and done.outcome == "done":
                self.known[channel] = before
        except BaseException as error:
            if "Killed" not in repr(error):
                raise
        ledger._submit = submit
        self.close()
        self.open()

    def fault(self, channel: str, kind, operation: str) -> None:
        if kind is not None:
            self.markets[channel].faults.add(Fault(kind=kind, operation=operation, times=1))

    def close(self) -> None:
        self.do(self.context.__aexit__(None, None, None))

    # ---------------------------------------------------------------- what must hold

    @invariant()
    def no_raise_on_stale_knowledge(self) -> None:
        assert getattr(self, "wrong", []) == []

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.settle()
            assert self.wrong == []
            for name, market in self.markets.items():
                assert self.should(name) == self.shows(market), name
            house = self.e.house
            assert house.ledger.read_now(lambda conn: verify(conn, house.ledger.vault, self.clock.now())) == []
        finally:
            self.close()
            self.loop.close()
            shutil.rmtree(self.folder)

    def settle(self) -> None:
        """Let everything run without faults until nothing changes any more."""
        for market in self.markets.values():
            market.faults.clear()
        for _ in range(12):
            self.clock.advance(400)
            self.do(self.e.run("source:pim", "ingest"))
            for name in CHANNELS:
                self.pull(name, None)
            for name in CHANNELS:
                for task in ("derive", "push", "confirm", "push"):
                    self.clock.advance(3)
                    self.do(self.e.run(f"channel:{name}", task))

    def should(self, channel: str) -> dict[str, tuple[str, str, int]]:
        left = {sku: self.on_hand[sku] for sku in SKUS}
        for name in CHANNELS:
            for _, sku, pieces in self.sold[name]:
                left[sku] -= pieces
        return {
            sku: (f"Item {sku} at {cents}", f"{cents / 100:.2f}", max(0, left[sku]))
            for sku, cents in self.items.items()
        }

    def shows(self, market: Market) -> dict[str, tuple[str, str, int]]:
        market.settle()
        return {
            o.sku: (o.listing["title"], o.price["amount"] if o.price else "", o.quantity or 0) for o in market.shelf
        }


TestSyncMachine = SyncMachine.TestCase
TestSyncMachine.settings = settings(
    # A failing run is long enough as it is: shrinking would take minutes, and the steps that led there are printed.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    max_examples=20,
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
    deadline=None,
)
TestSyncMachine.pytestmark = [pytest.mark.timeout(280)]
