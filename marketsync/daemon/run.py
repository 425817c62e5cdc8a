"""The daemon: starts everything in order, keeps it going, reloads, and stops without losing anything.

Start: configuration, ledger (its lock, its schema), listeners, what a crash left behind, scheduler, READY. Stop: no new
work, what runs may finish, listeners, connections, ledger. Whatever is cut off is UNKNOWN at the next start.
"""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog

from marketsync.adapter.clock import Clock, SystemClock
from marketsync.adapter.errors import ConfigError, MarketsyncError
from marketsync.config.diff import diff
from marketsync.config.loader import LoadResult, load
from marketsync.config.models import Config
from marketsync.daemon.adapters import Installed
from marketsync.daemon.beat import Beat
from marketsync.daemon.house import Transports, close_accounts, furnish, open_house
from marketsync.daemon.inbound import TASKS, Desk
from marketsync.daemon.notify import Notifier
from marketsync.daemon.ticks import Timetable, scheduler, timetable
from marketsync.daemon.watch import changes
from marketsync.ledger import migrate, tasks
from marketsync.ledger.engine import is_sqlite
from marketsync.sync.dispatcher import LocalDispatcher
from marketsync.sync.gauges import Gauges
from marketsync.sync.live import House
from marketsync.sync.push import recover
from marketsync.sync.work import Work
from marketsync.telemetry import logs
from marketsync.telemetry.lag import measure_lag
from marketsync.telemetry.metrics import Metrics
from marketsync.telemetry.state import LedgerState
from marketsync.telemetry.trouble import Trouble
from marketsync.web.inbound import inbound_app
from marketsync.web.server import WebServer
from marketsync.web.status import Check, NotReady, beating, status_app

DRAIN = 25.0  # seconds that running tasks get at a stop
BEAT_LATE = timedelta(seconds=60)


class Daemon:
    """One daemon on one ledger. ``stop`` and ``reload`` may be called from signal handlers of its loop."""

    def __init__(self, path: Path, clock: Clock | None = None, transports: Transports | None = None) -> None:
        self.path = path
        self.clock = clock or SystemClock()
        self.metrics = Metrics(self.clock)
        self.log = structlog.get_logger("marketsync")
        self.notify = Notifier(self.clock)
        self.started = asyncio.Event()
        self.status_url = ""
        self.house: House | None = None  # once it runs
        self._transports = transports
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._loaded: LoadResult | None = None
        self._background: list[asyncio.Task[None]] = []

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Run until ``stop``. Raises ConfigError and LedgerError where it cannot start."""
        config = self._load_at_start()
        url = config.ledger.get_secret_value()
        migrate.upgrade(url)
        async with open_house(
            config, self.path.parent, self.clock, metrics=self.metrics, transports=self._transports
        ) as house:
            await self._furnished(house, config)
            self.metrics.built(version("marketsync"), "sqlite" if is_sqlite(url) else "postgresql")
            servers = await self._listen(house, config)
            try:
                await self._work(house)
            finally:
                for server in servers:
                    await server.stop()

    def _load_at_start(self) -> Config:
        self._loaded = load(self.path, adapters=Installed())
        for problem in self._loaded.warnings:
            self.log.warning("configuration", problem=str(problem))
        config = self._loaded.whole()
        self.metrics.config_loaded(_config_hash(config))
        return config

    async def _furnished(self, house: House, config: Config) -> None:
        """What a new configuration needs before anything works with it."""
        logs.register_secrets(secrets_of(config))
        currencies = {name: channel.price.currency or "" for name, channel in config.channels.items()}
        self.metrics.start_from_zero({name: code for name, code in currencies.items() if code})
        for channel in house.channels.values():
            lost = await recover(house, channel)
            if lost:
                self.log.warning("batches without an answer are sent again", channel=channel.name, batches=lost)

    # ---------------------------------------------------------------- listeners

    async def _listen(self, house: House, config: Config) -> list[WebServer]:
        checks: dict[str, Check] = {
            "ledger": partial(_ledger_answers, house),
            "scheduler": beating(self._last_beat, self.clock, within=BEAT_LATE),
        }
        app = status_app(self.metrics.registry, checks)
        servers = [WebServer("metrics", app, host=config.metrics.host, port=config.metrics.port)]
        if config.inbound is not None:
            desk = Desk(house, lambda: self._work_of.dispatcher)
            tokens = {name: token.get_secret_value() for name, token in config.inbound.tokens.items()}
            app = inbound_app(
                webhook=desk.webhook, document=desk.document, tokens=tokens, clock=self.clock, metrics=self.metrics
            )
            servers.append(WebServer("inbound", app, host=config.inbound.bind.host, port=config.inbound.bind.port))
        for server in servers:
            await server.start()
        self.status_url = servers[0].url
        return servers

    def _last_beat(self) -> datetime | None:
        return self._beat.last if self.started.is_set() else None

    # ---------------------------------------------------------------- working

    async def _work(self, house: House) -> None:
        work = self._work_of = Work(house, TASKS)
        dispatcher = LocalDispatcher(work.run, self.clock)
        work.dispatcher = dispatcher
        ticks = scheduler()
        table = Timetable(ticks, self.clock, dispatcher.request)
        self._beat = Beat(house, dispatcher, self.metrics)
        await house.ledger.write(partial(tasks.interrupt_runs, now=self.clock.now()))
        await self._follow(house, table)
        gauges = Gauges(house)
        trouble = Trouble(self.log, self.clock)
        self._start(self._beat.go_on())
        self._start(LedgerState(gauges.readings, self.metrics, self.clock, trouble).keep_fresh())
        self._start(measure_lag(self.metrics, self.clock))
        self._start(self.notify.keep_alive(lambda: self._beat.fresh(BEAT_LATE)))
        self._start(self._watch(house, table, dispatcher))
        ticks.start()
        for name in house.channels:
            dispatcher.request(f"channel:{name}", "derive", "start")
            dispatcher.request(f"channel:{name}", "confirm", "start")
            dispatcher.request(f"channel:{name}", "push", "start")
            if house.config is not None and house.config.webhook_url(name):
                dispatcher.request(f"channel:{name}", "subscribe", "start")
        self.house = house
        self.started.set()
        self.notify.ready(f"{len(house.channels)} channels, {len(house.sources)} sources")
        self.log.info("started", channels=len(house.channels), sources=len(house.sources), url=self.status_url)
        with _signals(self, lambda: self._reload(house, table, dispatcher)):
            await self._stopping.wait()
        await self._drain(ticks, dispatcher)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._background.append(asyncio.create_task(coroutine))

    async def _drain(self, ticks: Any, dispatcher: LocalDispatcher) -> None:
        """Stop: nothing new, what runs may finish within the deadline, the rest is cancelled (and UNKNOWN)."""
        self.notify.stopping("finishing what runs")
        self.log.info("stopping", running=len(dispatcher.busy))
        ticks.pause()
        late = await dispatcher.close(DRAIN)
        ticks.shutdown(wait=False)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        self.log.info("stopped", cut_off=late)

    async def _follow(self, house: House, table: Timetable) -> None:
        assert house.config is not None
        states = await house.ledger.read(tasks.load_all)
        table.follow(timetable(house), house.config.time_zone, states)

    # ---------------------------------------------------------------- reloading

    async def _watch(self, house: House, table: Timetable, dispatcher: LocalDispatcher) -> None:
        async for _ in changes(lambda: self._loaded.files if self._loaded else (self.path,), self.clock):
            await self._reload(house, table, dispatcher)

    async def _reload(self, house: House, table: Timetable, dispatcher: LocalDispatcher) -> None:
        """Take a changed configuration; an invalid one changes nothing and says so in log and metric."""
        async with self._reloading:
            self.notify.reloading("reading the configuration")
            assert house.config is not None
            loaded = load(self.path, adapters=Installed())
            self._loaded = loaded
            try:
                config = loaded.over(house.config)
                if loaded.problems:
                    self._refused(loaded.problems)
                await self._change(house, config, table, dispatcher)
            except ConfigError as error:
                self._refused(error.problems)
            except MarketsyncError as error:
                self._refused([error])
            else:
                if not loaded.problems:
                    self.metrics.config_loaded(_config_hash(config))
            self.notify.ready(f"{len(house.channels)} channels, {len(house.sources)} sources")

    def _refused(self, problems: Any) -> None:
        self.metrics.config_refused()
        for problem in problems:
            self.log.error("configuration", problem=str(problem))

    async def _change(self, house: House, config: Config, table: Timetable, dispatcher: LocalDispatcher) -> None:
        assert house.config is not None
        what = diff(house.config, config)
        if not what:
            return
        for name in what.restart_needed:
            self.log.warning("this change needs a restart", setting=name)
        moved = {*what.changed_channels, *what.added, *what.removed}
        before = dict(house.accounts)
        keep = {
            name
            for name, account in before.items()
            if name in config.accounts
            and config.accounts[name] == house.config.accounts[name]
            and config.channels_of(name) == tuple(account.channels)
            and not any(_connects(house.config, config, channel) for channel in account.channels)
        }
        closing = [account for name, account in before.items() if name not in keep]
        for account in closing:
            await dispatcher.quiesce(_owners(account))
        await furnish(
            house, config, self.path.parent, epoch=self._epoch(before), transports=self._transports, keep=keep
        )
        for account in closing:
            dispatcher.resume(_owners(account))
        await close_accounts(closing)
        await self._furnished(house, config)
        await self._follow(house, table)
        for name in what.removed:
            dispatcher.forget(f"channel:{name}")
            self.metrics.forget("channel", [name])
        for name in house.channels:
            dispatcher.request(f"channel:{name}", "derive", "reload")
        self.log.info("configuration taken", channels=sorted(moved), sources=sorted(what.changed_sources))

    @staticmethod
    def _epoch(accounts: dict[str, Any]) -> int:
        return max((account.epoch for account in accounts.values()), default=1)


def _connects(old: Config, new: Config, channel: str) -> bool:
    """Whether a channel's change concerns its connection or adapter, not only its rules."""
    return bool(old.channels[channel].settings != new.channels[channel].settings)


def _owners(account: Any) -> frozenset[str]:
    return frozenset({f"account:{account.name}", *(f"channel:{name}" for name in account.channels)})


def _config_hash(config: Config) -> str:
    return blake2b(config.model_dump_json().encode(), digest_size=8).hexdigest()


def secrets_of(config: Config) -> list[str]:
    """Every secret of the configuration, for the log to keep out."""
    found: list[str] = [config.key.get_secret_value()]

    def walk(value: Any) -> None:
        if hasattr(value, "get_secret_value"):
            found.append(value.get_secret_value())
        elif hasattr(value, "model_fields_set"):
            for name in type(value).model_fields:
                walk(getattr(value, name))
        elif isinstance(value, dict) or hasattr(value, "items"):
            for part in value.values():
                walk(part)

    for section in (config.accounts, config.channels, config.sources, config.sinks, config.inbound):
        walk(section)
    return [secret for secret in found if secret]


async def _ledger_answers(house: House) -> str:
    began = house.clock.monotonic()
    try:
        await house.ledger.read(partial(tasks.load, owner="ledger", task="sales"))
    except Exception as error:
        raise NotReady(f"the ledger does not answer: {type(error).__name__}") from error
    return f"answered in {(house.clock.monotonic() - began) * 1000:.0f} ms"


class _signals:  # noqa: N801 (a context manager that reads as a word)
    """SIGTERM and SIGINT stop, SIGHUP reloads, while the block lasts."""

    def __init__(self, daemon: Daemon, reload: Any) -> None:
        self._daemon, self._reload = daemon, reload
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread: tests
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._daemon.stop)
            loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _hang_up(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reload())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError, RuntimeError, ValueError):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)


async def run_daemon(config_path: Path, *, log_format: str | None = None, traces: bool = False) -> int:
    """Run the daemon until a signal stops it. Raises ConfigError and LedgerError where it cannot start."""
    logs.set_up(form=log_format or "auto", traces=traces)
    await Daemon(config_path).run()
    return 0
