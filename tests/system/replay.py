"""The replay: a month of real orders over three marketplaces, while the daemon is killed again and again.

Buyers, a warehouse and the marketplaces live here; the daemon is a process of its own. Everything that is random comes
from the seed; what a second machine does differently is only when things happen.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cryptography.fernet import Fernet

from marketsync.adapter.content import Aspect
from marketsync.config.loader import load
from marketsync.daemon.adapters import Installed
from marketsync.daemon.house import open_house
from marketsync.ledger import migrate
from marketsync.sync.adopt import adopt
from tests.system.daemon_process import PATIENCE, DaemonProcess, free_port
from tests.system.judge import Report, Scene, judge, unsettled
from tests.system.oracle import Oracle
from tests.system.retail import Purchase, Retail, read_retail, write_catalogue
from tests.system.shops import CHANNELS, Shops, open_shops
from tests.system.warehouse import Warehouse, pieces_of

Stock = Literal["ledger", "source"]

UNPAID = 0.15  # the share of orders that is paid later
SHIPPED = 0.7
SHOW_AT_MOST = 60  # on the outlet, of everything
FIXED = 24  # pieces that the shop shows of some items at most
SETTLE = 240.0  # seconds


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
class _Play:
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
            channel = CHANNELS[number % len(CHANNELS)]
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
        channel = self.rng.choice(CHANNELS)
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
            concerned = set(purchase.wanted) if self.warehouse.source else {part.code for part in purchase.cancelled}
            if concerned & self.retail.scarce:
                self.after_buying.append(fate)
            else:
                self.do_later(fate, self.rng.uniform(2, 6))
        elif self.rng.random() >= SHIPPED:
            self.warehouse.kept.add(name)

    def pay(self, name: tuple[str, str]) -> bool:
        self.shops.sandboxes[name[0]].call(lambda market: market.sales.pay(name[1]))
        self.shops.counts["paid later"] += 1
        return True

    def fate(self, name: tuple[str, str], purchase: Purchase) -> Callable[[], bool] | None:
        """Of orders that the file cancels, every second C-invoice comes as a return, the others as cancellations."""
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

    play: _Play
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

        def received(market: object) -> None:
            sales = market.sales  # type: ignore[attr-defined]
            returned = sales.request_return(order_id, line_id, units, "cancelled in the file")
            sales.receive_return(returned.return_id, sellable=True)

        play.shops.sandboxes[channel].call(received)


# ---------------------------------------------------------------------------------------------------------- the whole


def replay(plan: Plan) -> Report:
    """Play, let everything settle, judge."""
    retail = read_retail(plan.csv, plan.lines)
    opening = {item.sku: item.opening for item in retail.items.values()}
    packs = {"bazaar": _packs(retail)}
    fixed = {item.sku: FIXED for number, item in enumerate(retail.items.values()) if number % 25 == 0}
    oracle = Oracle(opening, packs, {"outlet": {"": SHOW_AT_MOST}, "shop": fixed})
    rng = random.Random(plan.seed)
    began = time.monotonic()
    with open_shops(oracle, packs, retail.unknown) as shops:
        files = plan.folder
        warehouse = Warehouse(
            files / "reports", files / "sink", files / "figures.csv", opening, plan.stock == "source", rng
        )
        config = _configure(plan, retail, shops, packs, fixed)
        adopt_all(config)
        with _daemon(config) as daemon:
            play = _Play(plan, retail, shops, oracle, warehouse, daemon, rng)
            _until(plan, play, lambda: _shown(retail, shops, oracle), "the catalogue is on the channels", 180)
            shops.break_things(plan.seed)
            play.all()
            plan.tell("the last buyer is gone")
            shops.behave()
            _until(plan, play, lambda: not play.later, "buyers and warehouse are done", SETTLE)
            scene = Scene(
                plan.ledger,
                _key(config),
                retail,
                shops,
                oracle,
                warehouse.sink,
                warehouse.folder,
                tuple(play.corrections),
            )
            _until(plan, play, lambda: not unsettled(scene), "everything is settled", SETTLE)
            play.daemon.stop()
            seconds = time.monotonic() - began
            return judge(scene, kills=daemon.starts - 1, seconds=seconds)


@contextmanager
def _daemon(config: Path) -> Iterator[DaemonProcess]:
    daemon = DaemonProcess(config, port=load(config, adapters=Installed()).whole().metrics.port)
    daemon.start()
    try:
        daemon.ready()
        yield daemon
    finally:
        daemon.close()


def _until(plan: Plan, play: _Play, done: Callable[[], bool], what: str, seconds: float) -> None:
    """Let time pass until something is so. Never raises: the judge says what is missing."""
    ends = time.monotonic() + seconds
    while not done():
        if time.monotonic() > ends:
            plan.tell(f"not within {seconds:.0f} seconds: {what}")
            return
        play.spend(0.5)
    plan.tell(what)


def _shown(retail: Retail, shops: Shops, oracle: Oracle) -> bool:
    for channel, sandbox in shops.sandboxes.items():
        wanted = {sku for sku, item in retail.items.items() if item.price is not None} | set(
            oracle.packs.get(channel, {})
        )
        shown = sandbox.call(lambda market: {o.sku for o in market.shelf if o.price and o.quantity is not None})
        if not wanted <= shown:
            return False
    return True


def _packs(retail: Retail) -> dict[str, tuple[str, int]]:
    """Some best sellers and some others are sold by two as well."""
    by_sales = sorted(retail.items.values(), key=lambda item: -item.sold)
    chosen = [item.sku for item in (*by_sales[:10], *by_sales[60:80]) if item.price is not None]
    return {f"{sku}-2": (sku, 2) for sku in chosen}


def adopt_all(config_path: Path) -> None:
    """What a person does once: look at every channel, and let the daemon write to it."""
    config = load(config_path, adapters=Installed()).whole()
    migrate.upgrade(config.ledger.get_secret_value())

    async def run() -> None:
        async with open_house(config, config_path.parent) as house:
            for name in house.channels:
                await adopt(house, name, frozenset(Aspect), commit=True)

    asyncio.run(run())


def _key(config: Path) -> str:
    return load(config, adapters=Installed()).whole().key.get_secret_value()


def _configure(
    plan: Plan, retail: Retail, shops: Shops, packs: dict[str, dict[str, tuple[str, int]]], fixed: dict[str, int]
) -> Path:
    ledger_owned = plan.stock == "ledger"
    write_catalogue(retail, plan.folder / "catalogue.csv", stock=ledger_owned)
    rows = [f"shop,{sku},stock,{pieces},shown with restraint," for sku, pieces in fixed.items()]
    (plan.folder / "fixes.csv").write_text("\n".join(["channel,sku,field,value,reason,until", *rows]) + "\n")
    figures = (
        ""
        if ledger_owned
        else "  figures: {file: figures.csv, every: 2s, owns: [stock], location: main, falls_at: shipment}\n"
    )
    owns = "[content, price, stock]" if ledger_owned else "[content, price]"
    text = (
        f"ledger: {plan.ledger}\nkey: {Fernet.generate_key().decode()}\nmetrics: 127.0.0.1:{free_port()}\n"
        f"shipments: reports\nsources:\n  catalogue: {{file: catalogue.csv, every: 30s, owns: {owns}}}\n"
        f"  fixes: {{file: fixes.csv, every: 30s, owns: [overrides]}}\n{figures}"
        "sinks:\n  erp: {folder: sink}\nchannels:\n" + "".join(_channel(name, shops, packs) for name in CHANNELS)
    )
    path = plan.folder / "marketsync.yaml"
    path.write_text(text)
    return path


def _channel(name: str, shops: Shops, packs: dict[str, dict[str, tuple[str, int]]]) -> str:
    lines = [
        f"  {name}:",
        "    adapter: sandbox",
        "    credentials: {api_key: sandbox-key}",
        f"    settings: {{base_url: '{shops.sandboxes[name].url}', limits: false}}",
        "    schedule: {orders: 1s, stock: 1s, price: 2s, listing: 2s, returns: 2s, reconcile: 40s}",
        "    orders: {restock_on: [cancel, return]}",
    ]
    if name == "outlet":
        lines += [f"    stock: {{show_at_most: {SHOW_AT_MOST}}}", "    price: {markup: 10%, ending: .99}"]
    if packs.get(name):
        lines.append("    listing_map:")
        lines += [f"      '{sku}': {{'{item}': {pieces}}}" for sku, (item, pieces) in packs[name].items()]
    return "\n".join(lines) + "\n"
