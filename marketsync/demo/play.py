"""The demo: three marketplaces on loopback, a small catalogue, buyers, and one daemon that keeps it all right."""

import asyncio
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import orjson
from rich.console import Console
from rich.live import Live
from rich.table import Table
from sqlalchemy import Connection, text

from marketsync.adapter.clock import Clock, SystemClock
from marketsync.adapter.content import Aspect
from marketsync.config.secrets import new_key
from marketsync.daemon.run import Daemon
from marketsync.demo.agree import differences
from marketsync.demo.buyers import Buyers
from marketsync.demo.markets import Markets, open_markets
from marketsync.ledger.verify import verify
from marketsync.sync.adopt import adopt
from marketsync.sync.live import House

CHANNELS: Mapping[str, str] = {
    "north": "price: {ending: .99, country: DE}\n    listing: {title: '{brand} {title} {options}'}",
    "south": "price: {markup: 8%, ending: .95, commission: 12%, country: DE}\n    stock: {show_at_most: 10}",
    "garten-de": "price: {plus: 0.50 EUR, country: DE}\n    listing: {language: de-DE, title: '{title} {options}'}",
}
SETTLE_SECONDS = 90.0


@dataclass(slots=True)
class Summary:
    """What the demo came to."""

    channels: int
    offers: int
    pushed: int
    orders: int
    oversold: int
    due: int
    errors: int
    seconds: float


def config_text(folder: Path, urls: Mapping[str, str]) -> str:
    """The configuration of the demo."""
    channels = "".join(
        f"  {name}:\n    adapter: sandbox\n    credentials: {{api_key: sandbox-key}}\n"
        f"    settings: {{base_url: '{urls[name]}'}}\n    {rules}\n"
        "    schedule: {orders: 1s, stock: 1s, price: 1s, listing: 1s}\n"
        for name, rules in CHANNELS.items()
    )
    return (
        f"ledger: sqlite:///{folder / 'ledger.db'}\nkey: {new_key()}\nmetrics: 127.0.0.1:{_free_port()}\n"
        "vat: {DE: {standard: 19%, reduced: 7%}}\n"
        f"sources:\n  catalogue: {{file: {folder / 'products.csv'}, owns: [content, price, cost, stock]}}\n"
        f"channels:\n{channels}sinks:\n  erp: {{folder: {folder / 'orders'}}}\n"
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


async def play(seconds: float, keep: bool, json: bool, console: Console, clock: Clock | None = None) -> int:
    """Run the demo for so many seconds; ``keep`` leaves it running until Ctrl-C. 0 only if everything agrees."""
    clock = clock or SystemClock()
    with (
        tempfile.TemporaryDirectory(prefix="marketsync-demo-") as name,
        open_markets(dict.fromkeys(CHANNELS, 0)) as markets,
    ):
        folder = Path(name)
        (folder / "products.csv").write_bytes((files("marketsync.demo") / "products.csv").read_bytes())
        path = folder / "marketsync.yaml"
        path.write_text(config_text(folder, markets.urls))
        daemon = Daemon(path, clock)
        running = asyncio.create_task(daemon.run())
        try:
            return await _Play(daemon, running, markets, folder, console, clock, json=json).go(seconds, keep)
        finally:
            daemon.stop()
            await running


class _Play:
    def __init__(
        self, daemon: Daemon, running: "asyncio.Task[None]", markets: Markets, folder: Path, console: Console,
        clock: Clock, *, json: bool,
    ) -> None:  # fmt: skip
        self.daemon, self.running, self.markets, self.folder = daemon, running, markets, folder
        self.console, self.clock, self.json = console, clock, json
        self.began = clock.monotonic()
        self.activity = "starting"

    @property
    def house(self) -> House:
        assert self.daemon.house is not None
        return self.daemon.house

    async def go(self, seconds: float, keep: bool) -> int:
        await asyncio.wait(
            [asyncio.ensure_future(self.daemon.started.wait()), self.running], return_when=asyncio.FIRST_COMPLETED
        )
        if self.running.done():
            self.running.result()
        for channel in CHANNELS:
            await adopt(self.house, channel, frozenset(Aspect), commit=True)
        with Live(self._table({}), console=self.console, auto_refresh=False, transient=self.json) as live:
            show = None if self.json else live
            buyers = Buyers(self.markets, list(CHANNELS), self.clock, seed=7)
            buying = asyncio.create_task(buyers.buy())
            self.activity = "buyers buy on three marketplaces"
            await self._watch(show, seconds, forever=keep)
            buying.cancel()
            await asyncio.gather(buying, return_exceptions=True)
            await asyncio.to_thread(buyers.pay_all)
            self.activity = "closing time: the last orders come home"
            wrong = await self._settle(show)
            self.activity = "done"
            await self._refresh(show)
        if not self.json:
            self.console.print()
        return await self._verdict(wrong)

    async def _watch(self, live: Live | None, seconds: float, *, forever: bool) -> None:
        if forever:
            self.console.print(
                f"metrics: {self.daemon.status_url}/metrics   markets: {', '.join(self.markets.urls.values())}"
            )
        try:
            until = self.clock.monotonic() + seconds
            while forever or self.clock.monotonic() < until:
                await self._refresh(live)
                await self.clock.sleep(0.5)
        except asyncio.CancelledError:
            if not forever:
                raise

    async def _settle(self, live: Live | None) -> list[str]:
        """Wait until nothing is due and all agree; returns what still differs when patience ends."""
        until = self.clock.monotonic() + SETTLE_SECONDS
        while True:
            await self._refresh(live)
            rows = await self.house.ledger.read(_rows)
            wrong = await self._differences() if not sum(row.due for row in rows.values()) else ["offers are still due"]
            if not wrong or self.clock.monotonic() > until:
                return wrong
            await self.clock.sleep(1.0)

    async def _differences(self) -> list[str]:
        names = {name: channel.id for name, channel in self.house.channels.items()}

        def compare(conn: Connection) -> list[str]:
            found = differences(conn, self.markets, names, self.folder / "orders")
            return found + [
                f"{one.check}: {one.what}" for one in verify(conn, self.house.ledger.vault, self.clock.now())
            ]

        return await self.house.ledger.read(compare)

    async def _refresh(self, live: Live | None) -> None:
        if live is not None:
            live.update(self._table(await self.house.ledger.read(_rows)), refresh=True)

    def _table(self, rows: "Mapping[str, _Row]") -> Table:
        title = f"marketsync demo, {self.clock.monotonic() - self.began:.0f} s: {self.activity}"
        table = Table(title=title, title_justify="left", expand=False)
        for heading in ("channel", "offers", "due", "pushed", "orders", "oversold"):
            table.add_column(heading, justify="left" if heading == "channel" else "right")
        table.add_column("last error", max_width=44, no_wrap=True)
        for name, row in rows.items():
            cells = (row.offers, row.due, row.pushed, row.orders, row.oversold)
            table.add_row(name, *map(str, cells), row.error or "-")
        return table

    async def _verdict(self, wrong: list[str]) -> int:
        rows = (await self.house.ledger.read(_rows)).values()
        summary = Summary(
            channels=len(CHANNELS),
            offers=sum(row.offers for row in rows),
            pushed=sum(row.pushed for row in rows),
            orders=sum(row.orders for row in rows),
            oversold=sum(row.oversold for row in rows),
            due=sum(row.due for row in rows),
            errors=await self.house.ledger.read(_errors),
            seconds=round(self.clock.monotonic() - self.began, 1),
        )
        if self.json:
            self.console.file.write(orjson.dumps(asdict(summary), option=orjson.OPT_INDENT_2).decode() + "\n")
        else:
            self.console.print(", ".join(f"{name} {value}" for name, value in asdict(summary).items()))
            for sentence in wrong[:20]:
                self.console.print(f"differs: {sentence}", markup=False)
            verdict = (
                "The ledger and the marketplaces agree, line by line." if not wrong else f"{len(wrong)} differences."
            )
            self.console.print(verdict)
        return 1 if wrong else 0


@dataclass(frozen=True, slots=True)
class _Row:
    offers: int
    due: int
    pushed: int
    orders: int
    oversold: int
    error: str


_OFFERS = text(
    "SELECT c.name, COUNT(o.id), SUM(CASE WHEN o.due_at IS NOT NULL OR o.open_batch IS NOT NULL THEN 1 ELSE 0 END),"
    " SUM(o.revision) FROM channel c LEFT JOIN offer o ON o.channel_id = c.id GROUP BY c.name ORDER BY c.name"
)
_ORDERS = text(
    "SELECT c.name, COUNT(DISTINCT o.id), SUM(l.oversold) FROM channel c JOIN sales_order o ON o.channel_id = c.id"
    " JOIN order_line l ON l.order_id = o.id GROUP BY c.name"
)


def _rows(conn: Connection) -> dict[str, _Row]:
    orders = {name: (count, oversold) for name, count, oversold in conn.execute(_ORDERS)}
    errors = {
        row.owner.partition(":")[2]: row.error
        for row in conn.execute(text("SELECT owner, error FROM task_state WHERE error <> '' ORDER BY started_at"))
    }
    rows = {}
    for name, offers, due, pushed in conn.execute(_OFFERS):
        bought, oversold = orders.get(name, (0, 0))
        rows[name] = _Row(offers, int(due or 0), int(pushed or 0), bought, int(oversold or 0), errors.get(name, ""))
    return rows


def _errors(conn: Connection) -> int:
    sql = "SELECT COUNT(*) FROM task_run WHERE outcome IN ('failed', 'blocked')"
    return int(conn.execute(text(sql)).scalar_one())
