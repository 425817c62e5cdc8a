"""The whole engine on real ledgers and sandbox marketplaces in this process, on a clock that tests turn."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent

from sqlalchemy import text

from marketsync.config.loader import load
from marketsync.config.models import Config
from marketsync.daemon.adapters import Installed
from marketsync.daemon.house import open_house
from marketsync.ledger import channels, migrate
from marketsync.sync.dispatcher import LocalDispatcher
from marketsync.sync.live import House
from marketsync.sync.push import recover
from marketsync.sync.tasks import TASKS
from marketsync.sync.work import TaskSummary, Work
from marketsync.testing.clock import TurnedClock
from marketsync.testing.sandbox import in_process
from marketsync_adapters.sandbox.market import Market
from marketsync_adapters.sandbox.rules import Rules

KEY = "bWFya2V0c3luYy10ZXN0LWtleS0wMTIzNDU2Nzg5MDE="


def write_config(folder: Path, ledger: str, body: str) -> Path:
    """A configuration file with a ledger, a key and ``body``."""
    path = folder / "marketsync.yaml"
    path.write_text(f"ledger: {ledger}\nkey: {KEY}\n{dedent(body)}")
    return path


UNGUARDED = "guards: {price_change: off, no_reference: off, prices_moved: off, zeroed: off, stock_jump: off}\n"


def sandboxes(*names: str, extra: str = "") -> str:
    """YAML of channels on sandbox marketplaces without limits; ``extra`` goes below each channel.

    Guards are off where ``extra`` says nothing of them: most tests change a price to see it leave.
    """
    extra = extra if "guards:" in extra else f"{extra.rstrip()}\n{UNGUARDED}"
    channels_yaml = "".join(
        f"  {name}:\n    adapter: sandbox\n    credentials: {{api_key: sandbox-key}}\n"
        f"    settings: {{base_url: 'http://{name}.test', limits: false}}\n" + "".join(f"    {line}\n" for line in extra.splitlines())
        for name in names
    )  # fmt: skip
    return f"channels:\n{channels_yaml}"


class Engine:
    """A house and its markets. ``run`` does one task, ``settle`` everything that is asked for until nothing is."""

    def __init__(self, house: House, markets: Mapping[str, Market], clock: TurnedClock) -> None:
        self.house, self.markets, self.clock = house, markets, clock
        self.work = Work(house, TASKS)
        self.summaries: list[TaskSummary] = []
        self.work.summaries = self.summaries.append
        self.dispatcher = LocalDispatcher(self.work.run, clock)
        self.work.dispatcher = self.dispatcher

    async def run(self, owner: str, task: str) -> TaskSummary:
        """One task by hand, without what follows from it."""
        self.work.dispatcher = None
        try:
            return await self.work.summary(owner, task, "by hand")
        finally:
            self.work.dispatcher = self.dispatcher

    async def settle(self, seconds: float = 60.0, step: float = 0.5) -> None:
        """Ask for everything once, then turn the clock for so long while the dispatcher works."""
        self.ask_all()
        await self.turn(seconds, step)

    async def turn(self, seconds: float, step: float = 0.5) -> None:
        """Turn the clock step by step, and let whatever it wakes come to its end or to its next sleep."""
        done = 0.0
        while done < seconds:
            await self._quiet()
            await self.clock.turn(step)
            done += step
        await self._quiet()

    async def _quiet(self) -> None:
        """Until nothing runs any more, or all that runs sleeps on the clock."""
        while self.dispatcher.busy:
            working = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            finished, _ = await asyncio.wait(working, timeout=0.3, return_when=asyncio.FIRST_COMPLETED)
            if not finished:
                return

    def ask_all(self) -> None:
        for name in self.house.sources:
            self.dispatcher.request(f"source:{name}", "ingest", "test")
        for name in self.house.accounts:
            self.dispatcher.request(f"account:{name}", "orders", "test")
        for name in self.house.channels:
            for task in ("derive", "push", "confirm"):
                self.dispatcher.request(f"channel:{name}", task, "test")

    async def activate(self) -> None:
        """Adopt every channel as it stands (nothing on it)."""
        now = self.clock.now()
        for name in self.house.channels:
            await self.house.ledger.write(lambda conn, name=name: channels.adopt(conn, name, 7, now))  # type: ignore[misc]

    def rows(self, sql: str, **values: object) -> list[tuple[object, ...]]:
        return self.house.ledger.read_now(lambda conn: [tuple(row) for row in conn.execute(text(sql), values)])


def load_config(path: Path) -> Config:
    return load(path, adapters=Installed()).whole()


@asynccontextmanager
async def engine(
    path: Path,
    *,
    markets: Mapping[str, Market] | None = None,
    clock: TurnedClock | None = None,
    rules: Rules | None = None,
) -> AsyncIterator[Engine]:
    """The engine on the configuration at ``path``; every account gets the market of its name."""
    clock = clock or TurnedClock()
    config = load_config(path)
    migrate.upgrade(config.ledger.get_secret_value())
    markets = markets or {name: Market(rules, clock) for name in config.channels}
    async with open_house(config, path.parent, clock, transports=lambda name: in_process(markets[name])) as house:
        running = Engine(house, markets, clock)
        for channel in house.channels.values():
            await recover(house, channel)
        try:
            yield running
        finally:
            await running.dispatcher.close(5)


def play(coroutine_function, *args, **kwargs):
    """Run an async test."""
    return asyncio.run(coroutine_function(*args, **kwargs))
