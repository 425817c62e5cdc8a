"""The play: buyers, a warehouse and the marketplaces act here, while the daemon is a process of its own that is killed.

Everything that is random comes from the seed; what a second machine does differently is only when things happen.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.system.daemon_process import PATIENCE, DaemonProcess
from tests.system.oracle import Oracle
from tests.system.retail import Purchase, Retail
from tests.system.shops import Shops
from tests.system.warehouse import Warehouse, pieces_of

Stock = Literal["ledger", "source"]

UNPAID = 0.15  # the share of orders that is paid later
SHIPPED = 0.7


@dataclass(frozen=True, slots=True)
class Plan:
    """What is played. ``pace``: seconds between two buyers."""

    csv: Path
    folder: Path
    ledger: str
    lines: int | None = None
    kills: int = 50
    stock: Stock = "ledger"
    seed: int = 1
    pace: float = 0.12
    tell: Callable[[str], None] = print


@dataclass(slots=True)
class Play:
    """The replay while it runs. ``later``: what buyers and the warehouse still do, by the clock."""

    plan: Plan
    retail: Retail
    shops: Shops
    oracle: Oracle
    warehouse: Warehouse
    daemon: DaemonProcess
    rng: random.Random
    later: list[tuple[float, Callable[[], bool]]] = field(default_factory=list)
    after_buying: list[Callable[[], bool]] = field(default_factory=list)
    corrections: list[tuple[str, str]] = field(default_factory=list)
    buying: bool = True

    def all(self) -> None:
        """Every purchase and correction of the file, in its order, and the kills between them."""
        todo: list[Callable[[], None]] = [lambda purchase=p: self.buy(purchase) for p in self.retail.purchases]
        for number, (invoice, code, pieces) in enumerate(self.retail.corrections):
            names = tuple(self.shops.sandboxes)
            channel = names[number % len(names)]
            at = self.rng.randrange(len(todo) + 1)
            todo.insert(at, lambda c=channel, i=invoice, s=code, n=pieces: self.correct(c, i, s, n))
        kills = set(self.rng.sample(range(len(todo)), min(self.plan.kills, len(todo))))
        for number, act in enumerate(todo):
            act()
            self.spend(self.rng.uniform(0, 2 * self.plan.pace))
            if number in kills:
                self.kill()
        self.buying = False
        for act in self.after_buying:
            self.do_later(act, self.rng.uniform(0, 3))

    def kill(self) -> None:
        """At a random moment, one in five while it starts; buyers go on while the daemon is away."""
        time.sleep(self.rng.uniform(0, 0.3))
        self.daemon.kill()
        self.spend(self.rng.uniform(0, 0.5))
        self.daemon.start()
        ends = time.monotonic() + (0 if self.rng.random() < 0.2 else PATIENCE)
        while time.monotonic() < ends and self.daemon.get("/readyz")[0] != 200:
            self.spend(0.3)
        self.spend(self.rng.uniform(0, 4))

    def spend(self, seconds: float) -> None:
        """Let time pass; the warehouse works, buyers pay and cancel."""
        ends = time.monotonic() + seconds
        while True:
            self.work()
            left = ends - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(0.05, left))

    def work(self) -> None:
        for order in self.warehouse.arrivals():
            self.pick(order)
        now = time.monotonic()
        due = [act for at, act in self.later if at <= now]
        self.later = [(at, act) for at, act in self.later if at > now]
        for act in due:
            if not act():
                self.do_later(act, 0.5)
        self.warehouse.export()

    def do_later(self, act: Callable[[], bool], seconds: float) -> None:
        """``act`` says whether it is done; else it is asked again."""
        self.later.append((time.monotonic() + seconds, act))

    # ------------------------------------------------------------------ buyers

    def correct(self, channel: str, invoice: str, code: str, pieces: int) -> None:
        self.corrections.append((channel, self.shops.correct(channel, invoice, code, pieces)))

    def buy(self, purchase: Purchase) -> None:
        channel = self.shops.choose(self.rng, purchase)
        paid = self.rng.random() >= UNPAID
        order = self.shops.buy(channel, purchase, paid=paid)
        if order is None:
            self.shops.counts["cancellations without an order"] += len(purchase.cancelled)
            return
        name = (channel, order.order_id)
        if not paid:
            self.do_later(lambda: self.pay(name), self.rng.uniform(1, 8))
        fate = self.fate(name, purchase)
        if fate is not None:
            self.warehouse.kept.add(name)
            # What is cancelled of a scarce item counts differently in an oversold sum when it comes before a sale; and
            # of an ERP's figure what is shipped counts twice for a while.
            parts = {part.code for part in purchase.cancelled}
            concerned = set(purchase.wanted) if self.warehouse.source or not parts else parts
            if concerned & self.retail.scarce:
                self.after_buying.append(fate)
            else:
                self.do_later(fate, self.rng.uniform(2, 6))
        elif self.rng.random() >= SHIPPED:
            self.warehouse.kept.add(name)

    def pay(self, name: tuple[str, str]) -> bool:
        self.shops.pay(*name)
        self.shops.counts["paid later"] += 1
        return True

    def fate(self, name: tuple[str, str], purchase: Purchase) -> Callable[[], bool] | None:
        """Of orders that the file cancels, every second C-invoice comes as a return, the others as cancellations."""
        if self.shops.cancels(self.rng):
            scarce = not self.retail.scarce.isdisjoint(purchase.wanted)
            return lambda: self.taken_back(name, scarce=scarce)
        lines = self.to_cancel(name, purchase)
        if not lines:
            self.shops.counts["cancellations without pieces"] += len(purchase.cancelled)
            return None
        self.shops.counts["cancellations without pieces"] += len(purchase.cancelled) - len(lines)
        if int(purchase.invoice) % 2:
            self.shops.counts["lines cancelled"] += len(lines)
            return lambda: self.cancel(name, lines)
        self.shops.counts["lines returned"] += len(lines)
        return _Return(self, name, lines)

    def taken_back(self, name: tuple[str, str], *, scarce: bool) -> bool:
        """The buyer cancels his whole order; what is scarce only once every order is known, or sums would differ."""
        if scarce and not all(one in self.warehouse.arrived or self.is_off(one) for one in self.shops.bought):
            return False
        self.shops.cancel(*name)
        self.shops.counts["orders taken back"] += 1
        return True

    def is_off(self, name: tuple[str, str]) -> bool:
        return all(line.cancelled == line.quantity for line in self.shops.order(*name).lines)

    def to_cancel(self, name: tuple[str, str], purchase: Purchase) -> dict[str, int]:
        """Units by line id, as far as they were bought."""
        order = self.shops.order(*name)
        wanted: dict[str, int] = {}
        for part in purchase.cancelled:
            for line in order.lines:
                sku, per_unit = self.shops.packs.get(name[0], {}).get(line.sku, (line.sku, 1))
                units = min(part.pieces // per_unit, line.quantity - wanted.get(line.line_id, 0))
                if sku == part.code and units > 0:
                    wanted[line.line_id] = wanted.get(line.line_id, 0) + units
        return wanted

    def cancel(self, name: tuple[str, str], lines: dict[str, int]) -> bool:
        """The seller cancels, once his system has the order."""
        if not any(self.warehouse.sink.glob(f"{name[0]}-{name[1]}-r*.json")):
            return False
        self.warehouse.cancel(name, f"cancel-{name[1]}", lines)
        return True

    # ------------------------------------------------------------------ the warehouse

    def pick(self, name: tuple[str, str]) -> None:
        order = self.shops.order(*name)
        open_units = {line.sku: line.open for line in order.lines if line.open}
        if name in self.warehouse.kept or not open_units:
            return
        items = pieces_of(dict(self.items_of(name[0], open_units)))
        if self.buying and self.warehouse.source and not self.retail.scarce.isdisjoint(items):
            # Between an export that has a shipment and our hearing of it these pieces count twice: safe, but not exact.
            self.after_buying.append(lambda: self.ship(name))
        else:
            self.ship(name)

    def ship(self, name: tuple[str, str]) -> bool:
        order = self.shops.order(*name)
        open_units = {line.sku: line.open for line in order.lines if line.open}
        if open_units and name not in self.warehouse.shipped:
            self.shops.counts["orders shipped"] += 1
            known = {
                s: n for s, n in pieces_of(dict(self.items_of(name[0], open_units))).items() if s in self.retail.items
            }
            self.warehouse.ship(name, known)
        return True

    def items_of(self, channel: str, units: dict[str, int]) -> Iterator[tuple[str, int]]:
        total: dict[str, int] = {}
        for sku, count in units.items():
            item, per_unit = self.shops.packs.get(channel, {}).get(sku, (sku, 1))
            total[item] = total.get(item, 0) + count * per_unit
        yield from total.items()


@dataclass(slots=True)
class _Return:
    """An order is shipped, some of it comes back, and can be sold again."""

    play: Play
    name: tuple[str, str]
    lines: dict[str, int]
    asked: bool = False

    def __call__(self) -> bool:
        play, (channel, order_id) = self.play, self.name
        if not any(play.warehouse.sink.glob(f"{channel}-{order_id}-r*.json")):
            return False
        if not self.asked:
            self.asked = True
            play.ship(self.name)
        order = play.shops.order(channel, order_id)
        if any(line.shipped < self.lines.get(line.line_id, 0) for line in order.lines):
            return False
        for line in order.lines:
            if units := self.lines.get(line.line_id, 0):
                self._send_back(line.line_id, line.sku, units)
        return True

    def _send_back(self, line_id: str, channel_sku: str, units: int) -> None:
        play, (channel, order_id) = self.play, self.name
        sku, per_unit = play.shops.packs.get(channel, {}).get(channel_sku, (channel_sku, 1))
        play.oracle.came_back(sku, units * per_unit)
        play.warehouse.take_back(sku, units * per_unit)
        play.shops.send_back(channel, order_id, line_id, units)
