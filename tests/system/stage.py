"""The stage of a replay: marketplaces, configuration and oracle; and how any play on one runs from start to judgement."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from marketsync.adapter.content import Aspect
from marketsync.config.loader import load
from marketsync.daemon.adapters import Installed
from marketsync.daemon.house import open_house
from marketsync.daemon.once import sync_once
from marketsync.ledger import migrate
from marketsync.sync.adopt import adopt
from tests.system.daemon_process import DaemonProcess
from tests.system.judge import Report, Scene, judge, unsettled
from tests.system.oracle import Oracle
from tests.system.play import Plan, Play
from tests.system.retail import Retail
from tests.system.shops import Shops
from tests.system.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Stage:
    """``configure``: writes catalogue and configuration for the opened shops, and returns the configuration's path."""

    retail: Retail
    oracle: Oracle
    shops: AbstractContextManager[Shops]
    configure: Callable[[Shops], Path]
    sink_tells: bool = False  # whether the oracle takes a delivery for evidence
    settle: float = 240.0  # seconds that buyers and warehouse may take at the end, and then the daemon


def run(plan: Plan, stage: Stage) -> Report:
    """Play, let everything settle, judge."""
    retail, oracle = stage.retail, stage.oracle
    rng = random.Random(plan.seed)
    began = time.monotonic()
    with stage.shops as shops:
        files = plan.folder
        owned_by_source = plan.stock == "source"
        warehouse = Warehouse(
            files / "reports", files / "sink", files / "figures.csv", oracle.opening, owned_by_source, rng
        )
        config = stage.configure(shops)
        _read_sources(config)
        adopt_all(config)
        with _daemon(config) as daemon:
            warehouse.on_delivery = oracle.delivered if stage.sink_tells else None
            play = Play(plan, retail, shops, oracle, warehouse, daemon, rng)
            _until(plan, play, lambda: _shown(retail, shops, oracle), "the catalogue is on the channels", 180)
            shops.break_things(plan.seed)
            play.all()
            plan.tell("the last buyer is gone")
            shops.behave()
            _until(plan, play, lambda: not play.later, "buyers and warehouse are done", stage.settle)
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
            _until(plan, play, lambda: not unsettled(scene), "everything is settled", stage.settle)
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


def _until(plan: Plan, play: Play, done: Callable[[], bool], what: str, seconds: float) -> None:
    """Let time pass until something is so. Never raises: the judge says what is missing."""
    ends = time.monotonic() + seconds
    while not done():
        if time.monotonic() > ends:
            plan.tell(f"not within {seconds:.0f} seconds: {what}")
            return
        play.spend(0.5)
    plan.tell(what)


def _shown(retail: Retail, shops: Shops, oracle: Oracle) -> bool:
    for channel in shops.sandboxes:
        wanted = {sku for sku, item in retail.items.items() if item.price is not None} | set(
            oracle.packs.get(channel, {})
        )
        shown = {sku for sku, offer in shops.shelf(channel).items() if offer.price and offer.quantity is not None}
        if not wanted <= shown:
            return False
    return True


def adopt_all(config_path: Path) -> None:
    """What a person does once: look at every channel, and let the daemon write to it."""
    config = load(config_path, adapters=Installed()).whole()
    migrate.upgrade(config.ledger.get_secret_value())

    async def run() -> None:
        async with open_house(config, config_path.parent) as house:
            for name in house.channels:
                await adopt(house, name, frozenset(Aspect), commit=True)

    asyncio.run(run())


def _read_sources(config_path: Path) -> None:
    """What a person does before that: read every source once, so that nothing is written without its overrides."""
    config = load(config_path, adapters=Installed()).whole()
    migrate.upgrade(config.ledger.get_secret_value())

    async def run() -> None:
        async with open_house(config, config_path.parent) as house:
            await sync_once(house, [], ["ingest"], lambda _: None)

    asyncio.run(run())


def _key(config: Path) -> str:
    return load(config, adapters=Installed()).whole().key.get_secret_value()
