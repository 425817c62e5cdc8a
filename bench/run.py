"""``make bench``: what the paths of docs/architecture.md cost here, each beside the floor measured in the same run.

``SKUS=1000000`` for the whole; the default is 100,000 SKUs on three channels. Writes ``bench/results.json``.
"""

import asyncio
import csv
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, text

from marketsync.adapter.content import Aspect
from marketsync.config.loader import load
from marketsync.config.secrets import new_key
from marketsync.daemon.adapters import Installed
from marketsync.daemon.house import open_house
from marketsync.daemon.inbound import TASKS
from marketsync.ledger import channels as channel_store
from marketsync.ledger import migrate, offers
from marketsync.ledger.outbox import refresh
from marketsync.ledger.sql import among, listed
from marketsync.ledger.types import micros
from marketsync.sync import ingest, push
from marketsync.sync.confirm import confirm
from marketsync.sync.dispatcher import LocalDispatcher
from marketsync.sync.live import House
from marketsync.sync.orders import pull_orders
from marketsync.sync.work import Work
from marketsync.testing.sandbox import in_process
from marketsync_adapters.sandbox.market import Market
from marketsync_adapters.sandbox.rules import Rules
from marketsync_adapters.sandbox.shelf import StockWrite

SKUS = int(os.environ.get("SKUS") or 100_000)
CHANNELS = ("one", "two", "three")
DRAINED = min(SKUS, 10_000)
ORDERS = min(SKUS, 5_000)
SALES = 100


@dataclass(frozen=True)
class Row:
    """One figure: how long it took, per how many, beside its floor. ``ratio`` is ours / floor where lower is better."""

    path: str
    seconds: float
    count: int
    unit: str
    floor: float | None
    floor_is: str
    peak_mib: int

    @property
    def rate(self) -> float:
        return self.count / self.seconds if self.seconds else 0.0

    @property
    def ratio(self) -> float | None:
        return None if not self.floor else self.seconds / self.floor


def peak() -> int:
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale >> 20


# ------------------------------------------------------------------------------------------------ floors


def floor_csv(path: Path) -> float:
    began = time.perf_counter()
    with path.open(newline="") as file:
        for _ in csv.reader(file):
            pass
    return time.perf_counter() - began


def floor_rows(folder: Path, rows: int) -> float:
    """Raw sqlite3: that many rows of an item's size, and three offers each of a price, a stock and hashes."""
    path = folder / "floor.db"
    base = sqlite3.connect(path)
    base.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "CREATE TABLE i (sku TEXT PRIMARY KEY, c TEXT); CREATE TABLE o (id INTEGER PRIMARY KEY, ch INT, sku TEXT,"
        " a BLOB, b BLOB, c BLOB, d TEXT, due INT, UNIQUE (ch, sku)); CREATE INDEX od ON o (ch, due);"
    )
    content = json.dumps({"title": "Garden tool", "description": "A sturdy tool for the garden. " * 6})
    began = time.perf_counter()
    for start in range(0, rows, 1000):
        some = range(start, min(rows, start + 1000))
        with base:
            base.executemany("INSERT INTO i VALUES (?, ?)", ((f"SKU-{n:07d}", content) for n in some))
            base.executemany(
                "INSERT INTO o (ch, sku, a, b, c, d, due) VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((ch, f"SKU-{n:07d}", b"0" * 16, b"1" * 16, b"2" * 16, content, n) for n in some for ch in range(3)),
            )
    spent = time.perf_counter() - began
    base.close()
    path.unlink()
    return spent


def floor_updates(folder: Path, rows: int) -> float:
    """Raw sqlite3: an intent and two updates by key for each of so many rows, 500 in a transaction."""
    base = sqlite3.connect(folder / "updates.db")
    base.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE o (id INTEGER PRIMARY KEY, a BLOB, due INT);"
        "CREATE TABLE p (batch INT, offer INT, h BLOB, PRIMARY KEY (batch, offer));"
    )
    with base:
        base.executemany("INSERT INTO o VALUES (?, ?, 0)", ((n, b"0" * 16) for n in range(rows)))
    began = time.perf_counter()
    for start in range(0, rows, 500):
        some = range(start, min(rows, start + 500))
        with base:
            base.executemany("INSERT INTO p VALUES (?, ?, ?)", ((start, n, b"1" * 16) for n in some))
            base.executemany("UPDATE o SET a = ?, due = NULL WHERE id = ?", ((b"u" * 16, n) for n in some))
        with base:
            base.executemany("UPDATE o SET a = ? WHERE id = ?", ((b"1" * 16, n) for n in some))
    spent = time.perf_counter() - began
    base.close()
    return spent


# ------------------------------------------------------------------------------------------------ the bench


class Bench:
    def __init__(self, folder: Path, console: Console) -> None:
        self.folder, self.console = folder, console
        self.rows: list[Row] = []
        self.catalogue = folder / "catalogue.csv"
        self.markets = {name: Market(Rules(limits={}, job_time=timedelta(0))) for name in CHANNELS}

    def write_catalogue(self, changed: int = 0) -> None:
        with self.catalogue.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["sku", "title", "description", "brand", "category", "price", "cost", "stock", "images"])
            for n in range(SKUS):
                price = f"{n % 900 + (6 if n < changed else 5)}.90"
                out.writerow(
                    [f"SKU-{n:07d}", f"Garden tool number {n}", "A sturdy tool for the garden. " * 6, "Fennbrook",
                     "Garden > Tools", price, f"{(n % 900) / 2 + 1:.2f}", n % 40 + 10, f"https://example.com/{n}.jpg"]
                )  # fmt: skip

    def write_config(self) -> Path:
        channels = "".join(
            f"  {name}:\n    adapter: sandbox\n    credentials: {{api_key: sandbox-key}}\n"
            f"    settings: {{base_url: 'http://{name}.test', limits: false}}\n"
            f"    price: {{markup: {number}%, ending: .99, country: DE}}\n    stock: {{show_at_most: 50}}\n"
            for number, name in enumerate(CHANNELS)
        )
        path = self.folder / "marketsync.yaml"
        path.write_text(
            f"ledger: sqlite:///{self.folder / 'ledger.db'}\nkey: {new_key()}\nvat: {{DE: {{standard: 19%}}}}\n"
            f"sources:\n  pim: {{file: {self.catalogue}, owns: [content, price, cost, stock]}}\nchannels:\n{channels}"
        )
        return path

    def note(
        self, path: str, seconds: float, count: int, unit: str, floor: float | None = None, floor_is: str = ""
    ) -> None:
        row = Row(path, round(seconds, 4), count, unit, floor and round(floor, 4), floor_is, peak())
        self.rows.append(row)
        self.console.print(f"{path}: {row.seconds:g} s, {row.rate:,.0f} {unit}/s", highlight=False)

    async def run(self) -> None:
        self.write_catalogue()
        config = load(self.write_config(), adapters=Installed()).whole()
        migrate.upgrade(config.ledger.get_secret_value())
        async with open_house(config, self.folder, transports=lambda name: in_process(self.markets[name])) as house:
            await self.imports(house)
            await self.drains(house)
            await self.finds_due(house)
            await self.sales(house, busy=False)
            await self.sales(house, busy=True)
            await self.orders(house)  # last: a pull reads again what was ordered in the minutes before

    async def timed(self, work: Callable[[], Any]) -> tuple[float, Any]:
        began = time.perf_counter()
        result = await work()
        return time.perf_counter() - began, result

    async def imports(self, house: House) -> None:
        plan = house.sources["pim"]
        read, raw = floor_csv(self.catalogue), floor_rows(self.folder, SKUS)
        spent, _ = await self.timed(partial(ingest.ingest, house, plan))
        self.note("first import, 3 channels", spent, SKUS, "SKUs", read + raw, "raw csv + raw sqlite3 rows")
        os.utime(self.catalogue)
        self.catalogue.write_bytes(self.catalogue.read_bytes().rstrip() + b"\r\n\r\n")
        spent, report = await self.timed(partial(ingest.ingest, house, plan))
        assert report.changed_rows == 0
        self.note("same file again", spent, SKUS, "SKUs", read, "raw csv")
        self.write_catalogue(changed=SKUS // 100)
        spent, report = await self.timed(partial(ingest.ingest, house, plan))
        assert report.changed_rows == SKUS // 100
        self.note("1 % changed", spent, SKUS, "SKUs", read, "raw csv")

    async def drains(self, house: House) -> None:
        """Listings, then prices and stock, of one channel that answers at once; the calls it takes."""
        clock = house.clock
        for name in CHANNELS:
            await house.ledger.write(partial(channel_store.adopt, name=name, takes=7, now=clock.now()))
            await pull_orders(house, house.accounts[name])
        channel = house.channels["one"]
        some = [f"SKU-{n:07d}" for n in range(DRAINED)]
        await house.ledger.write(partial(_as_if_sent, channel_id=channel.id, but=some))
        spent, _ = await self.timed(partial(self.until_drained, house))
        self.note("create listings (job, confirm)", spent, DRAINED, "offers")
        await house.ledger.write(partial(offers.resend, channel_id=channel.id, skus=some, now=micros(clock.now())))
        for start in range(0, DRAINED, 1000):
            part = some[start : start + 1000]
            await house.ledger.write(partial(_only_stock, channel_id=channel.id, skus=part))
        await pull_orders(house, house.accounts["one"])
        before = sum(self.markets["one"].requests.values())
        spent, _ = await self.timed(partial(self.until_drained, house))
        calls = sum(self.markets["one"].requests.values()) - before
        floor = floor_updates(self.folder, DRAINED)
        self.note("drain stock, channel answers at once", spent, DRAINED, "offers", floor, "raw sqlite3 updates")
        least = -(-DRAINED // 500)
        self.console.print(f"calls for {DRAINED} changes: {calls}, least possible {least}")
        self.rows.append(Row(f"calls per {DRAINED} changes", calls, DRAINED, "calls", float(least), "batches", peak()))

    async def until_drained(self, house: House) -> None:
        channel = house.channels["one"]
        while True:
            report = await push.push(house, channel)
            await confirm(house, channel)
            if report.error:
                raise report.error
            if not report.batches:
                return

    async def finds_due(self, house: House) -> None:
        now = micros(house.clock.now())
        two = house.channels["two"].id
        began = time.perf_counter()
        for _ in range(100):
            await house.ledger.read(partial(offers.due_by_lane, channel_id=999, now=now, ceiling=1))
        self.note("look for due offers, none due", (time.perf_counter() - began) / 100, 1, "looks")
        began = time.perf_counter()
        for _ in range(20):
            await house.ledger.read(partial(offers.due_by_lane, channel_id=two, now=now, ceiling=1000))
        self.note("count 1,000 due among all", (time.perf_counter() - began) / 20, 1000, "offers")

    async def orders(self, house: House) -> None:
        market = self.markets["one"]
        shown = [offer.sku for offer in market.shelf if (offer.quantity or 0) > 5]
        for number in range(ORDERS):
            market.buy([(shown[number % len(shown)], 1)])
        spent, pulled = await self.timed(partial(pull_orders, house, house.accounts["one"]))
        assert pulled.stored.new == ORDERS, pulled.stored
        self.note("orders committed", spent, ORDERS, "orders")

    async def sales(self, house: House, *, busy: bool) -> None:
        """A sale on one channel to the stock request on another, the engine idle or a million rows coming in."""
        one, two = self.markets["one"], self.markets["two"]
        some = [offer.sku for offer in one.shelf if 5 < (offer.quantity or 0) < 50][: 2 * SALES]
        await self.on_both(house, some)
        work = Work(house, TASKS)
        work.dispatcher = LocalDispatcher(work.run, house.clock)
        arrived: dict[str, float] = {}
        landed = asyncio.Event()

        def watch(write: StockWrite) -> None:
            arrived.setdefault(write.sku, time.perf_counter())
            landed.set()

        two.shelf.on_stock_write.append(watch)
        importing = None
        if busy:
            self.write_catalogue(changed=SKUS // 10)
            importing = asyncio.create_task(ingest.ingest(house, house.sources["pim"]))
            await asyncio.sleep(0.5)
        waits = []
        chosen = some[SALES:] if busy else some[:SALES]
        for sku in chosen:
            if importing is not None and importing.done():
                break
            one.buy([(sku, 1)])
            arrived.pop(sku, None)
            began = time.perf_counter()
            work.dispatcher.request("account:one", "orders", "webhook")
            while sku not in arrived:
                landed.clear()
                await asyncio.wait_for(landed.wait(), 30)
            waits.append(arrived[sku] - began)
        if importing is not None:
            await importing
        await work.dispatcher.close(10)
        waits.sort()
        name = "during an import" if busy else "idle"
        for share, label in ((0.5, "p50"), (0.99, "p99")):
            at = waits[min(len(waits) - 1, int(len(waits) * share))]
            self.note(f"sale to stock request elsewhere, {name}, {label}", at, 1, "sales")

    async def on_both(self, house: House, skus: list[str]) -> None:
        two = house.channels["two"]
        for name in CHANNELS:
            # As if all else had been sent: a backlog has figures of its own above.
            await house.ledger.write(partial(_as_if_sent, channel_id=house.channels[name].id, but=skus))
        for _ in range(4):
            await pull_orders(house, house.accounts["two"])
            await push.push(house, two, skus=skus)
            await confirm(house, two)


def _as_if_sent(conn: Connection, channel_id: int, but: list[str]) -> None:
    values = {"channel": channel_id, "skus": listed(conn, but)}
    where = "channel_id = :channel AND NOT " + among(conn, "sku", "skus")
    sets = ", ".join(f"{a}_acked = {a}_desired, {a}_acked_content = {a}_content" for a in Aspect)
    conn.execute(
        text(
            f"UPDATE offer SET {sets}, remote_id = COALESCE(remote_id, 'x'), stock_acked_quantity = stock_quantity,"
            f" open_batch = NULL, open_aspects = 0 WHERE {where}"
        ),
        values,
    )
    conn.execute(text(refresh(conn.dialect.name, where)), values)


def _only_stock(conn: Connection, channel_id: int, skus: list[str]) -> None:
    """Leave only the stock of these offers to be sent again."""
    where = "channel_id = :channel AND " + among(conn, "sku", "skus")
    values = {"channel": channel_id, "skus": listed(conn, skus)}
    sets = "listing_acked = listing_desired, price_acked = price_desired"
    conn.execute(text(f"UPDATE offer SET {sets} WHERE {where}"), values)
    conn.execute(text(refresh(conn.dialect.name, where)), values)


def idle_memory() -> int:
    """What a daemon with ten channels and nothing to do has in memory (Linux; elsewhere 0)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        channels = "".join(
            f"  c{n}:\n    adapter: sandbox\n    credentials: {{api_key: sandbox-key}}\n"
            f"    settings: {{base_url: 'http://127.0.0.1:{9800 + n}'}}\n"
            for n in range(10)
        )
        path = folder / "marketsync.yaml"
        path.write_text(
            f"ledger: sqlite:///{folder / 'l.db'}\nkey: {new_key()}\nmetrics: 127.0.0.1:19464\nchannels:\n{channels}"
        )
        code = "from marketsync.cli import main; main()"
        daemon = subprocess.Popen(
            [sys.executable, "-c", code, "--config", str(path), "run"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(6)
            return int(Path(f"/proc/{daemon.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
        except OSError:
            return 0
        finally:
            daemon.terminate()
            daemon.wait(30)


def main() -> int:
    console = Console()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="marketsync-bench-") as name:
        bench = Bench(Path(name), console)
        asyncio.run(bench.run())
    memory = idle_memory()
    table = Table(title=f"{SKUS:,} SKUs x {len(CHANNELS)} channels", title_justify="left")
    for heading in ("path", "seconds", "rate", "floor", "ours / floor", "peak MiB"):
        table.add_column(heading, justify="left" if heading == "path" else "right")
    for row in bench.rows:
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        floor = "-" if row.floor is None else f"{row.floor:g} ({row.floor_is})"
        table.add_row(row.path, f"{row.seconds:g}", f"{row.rate:,.0f} {row.unit}/s", floor, ratio, str(row.peak_mib))
    console.print(table)
    console.print(f"idle memory, 10 channels: {memory} MiB. The whole took {time.perf_counter() - began:.0f} s.")
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "skus": SKUS, "channels": len(CHANNELS),
        "idle_mib": memory, "rows": [asdict(row) | {"rate": round(row.rate, 1), "ratio": row.ratio} for row in bench.rows],
    }  # fmt: skip
    (Path(__file__).parent / "results.json").write_text(json.dumps(document, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
