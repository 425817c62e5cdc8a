"""Builds the house: ledger, accounts with their connections, channels with adapters and rules, sources."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection

from marketsync.adapter.api import AdapterContext
from marketsync.adapter.clock import Clock, SystemClock
from marketsync.config.models import Config
from marketsync.config.models import Sink as SinkSettings
from marketsync.config.source_settings import SourceSettings
from marketsync.daemon.adapters import adapter_class
from marketsync.daemon.lease import leased
from marketsync.daemon.stores import LedgerBuckets, LedgerTokens
from marketsync.domain.ownership import FallsAt, LocationPolicy, Owner, StockPolicy
from marketsync.ledger import channels as channel_store
from marketsync.ledger import migrate, offers
from marketsync.ledger.channels import ChannelRow
from marketsync.ledger.epochs import next_epoch
from marketsync.ledger.gateway import Ledger
from marketsync.ledger.lines import set_listing_map
from marketsync.ledger.lock import DaemonLock
from marketsync.ledger.vault import Vault
from marketsync.sinks.api import Sink
from marketsync.sinks.folder import FolderSink
from marketsync.sinks.webhook import WebhookSink
from marketsync.sources.api import Source, open_source
from marketsync.sync.channel_source import ChannelSource
from marketsync.sync.live import House, LiveAccount, LiveChannel, SourcePlan
from marketsync.sync.rules import ChannelRules
from marketsync.telemetry.metrics import Metrics
from marketsync.transport.connect import connect
from marketsync.transport.http import HttpClient

Transports = Callable[[str], Any]  # account name -> an httpx transport, or None for the network


class _Offers:
    """What an adapter may ask of the ledger: its offers' ids."""

    def __init__(self, ledger: Ledger, channel_id: int) -> None:
        self._ledger, self._channel_id = ledger, channel_id

    async def ids(self, skus: Sequence[str]) -> Mapping[str, str]:
        return await self._ledger.read(partial(offers.remote_ids, channel_id=self._channel_id, skus=skus))

    async def skus(self, channel_ids: Sequence[str]) -> Mapping[str, str]:
        return await self._ledger.read(partial(offers.skus_of, channel_id=self._channel_id, ids=channel_ids))


@asynccontextmanager
async def open_house(
    config: Config,
    base: Path,
    clock: Clock | None = None,
    *,
    lock: bool = True,
    transports: Transports | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[House]:
    """A house on the configured ledger; ``base`` is the folder of the configuration.

    With ``lock`` it owns a SQLite ledger (Busy where another process does) and takes a new epoch; without, it may
    only look and write small things. Raises LedgerError where the ledger is not migrated or too new.
    """
    clock = clock or SystemClock()
    url = config.ledger.get_secret_value()
    async with AsyncExitStack() as leaves:
        if lock:
            leaves.callback(DaemonLock(url).release)
        migrate.check(url)
        ledger = Ledger(url, Vault(config.key.get_secret_value()))
        leaves.callback(ledger.close)
        epoch = 0
        if lock:
            epoch = await ledger.write(next_epoch)
            if not ledger.sqlite:
                epoch = (await leaves.enter_async_context(leased(ledger, clock))).epoch
        house = House(ledger, clock, metrics or Metrics(clock), structlog.get_logger("marketsync"))
        await furnish(house, config, base, epoch=epoch, transports=transports)
        try:
            yield house
        finally:
            await close_accounts(house.accounts.values())


async def furnish(
    house: House,
    config: Config,
    base: Path,
    *,
    epoch: int,
    transports: Transports | None = None,
    keep: Collection[str] = (),
) -> None:
    """Give a house everything that the configuration names.

    Accounts in ``keep`` stay connected; the others that it had before are for the caller to close.
    """
    now = house.clock.now()
    accounts = {name: account.adapter for name, account in config.accounts.items()}
    channels = {
        name: (channel.account or name, _storefront(accounts[channel.account or name], channel.settings))
        for name, channel in config.channels.items()
    }
    rows = await house.ledger.write(partial(_register, config=config, accounts=accounts, channels=channels, now=now))
    house.config = config
    house.order = _order(config.sources)
    house.policy = _policy(config.sources)
    house.sources = {
        name: _plan(name, settings, open_source(name, settings, base, house.clock))
        for name, settings in config.sources.items()
        if settings.kind != "channel"
    }
    house.sinks = {name: _sink(settings, house.clock) for name, settings in config.sinks.items()}
    kept = {name: house.accounts[name] for name in keep if name in house.accounts}
    house.accounts = {
        name: _kept(house, config, kept[name], rows)
        if name in kept
        else _account(house, config, name, rows, epoch, transports)
        for name in config.accounts
        if config.channels_of(name)
    }
    for name, settings in config.sources.items():
        if settings.channel in house.channels:
            source = ChannelSource(name, house.channels[settings.channel], settings.location, house.clock)
            house.sources[name] = _plan(name, settings, source)
    house.unread = tuple(house.sources)


def _register(
    conn: Connection,
    config: Config,
    accounts: Mapping[str, str],
    channels: Mapping[str, tuple[str, str]],
    now: datetime,
) -> Mapping[str, ChannelRow]:
    """Rows for every account and channel, and what the channel SKUs of each stand for."""
    rows = channel_store.register(conn, accounts, channels, now)
    for name, channel in config.channels.items():
        set_listing_map(conn, rows[name].id, channel.listing_map)
    return rows


def _kept(house: House, config: Config, account: LiveAccount, rows: Mapping[str, ChannelRow]) -> LiveAccount:
    """An account of which nothing changed keeps its connection; its channels get the rules of today."""
    for name, channel in account.channels.items():
        channel.config = config.channels[name]
        channel.rules = ChannelRules(name, config, account.spec, rows[name], house.clock.now())
    return account


def _storefront(adapter: str, settings: Any) -> str:
    return adapter_class(adapter).spec.storefront(settings)


def _account(
    house: House, config: Config, name: str, rows: Mapping[str, ChannelRow], epoch: int, transports: Transports | None
) -> LiveAccount:
    account = config.accounts[name]
    kind = adapter_class(account.adapter)
    names = config.channels_of(name)
    http = connect(
        kind.spec,
        config.channels[names[0]].settings,
        account.credentials,
        name,
        clock=house.clock,
        buckets=LedgerBuckets(house.ledger),
        tokens=LedgerTokens(house.ledger),
        observer=house.metrics,
        log=house.log.bind(account=name),
        transport=transports(name) if transports else None,
    )
    storefronts = tuple(rows[channel].storefront for channel in names)
    live = LiveAccount(name, rows[names[0]].account_id, kind.spec, http, epoch=epoch)
    for channel in names:
        live.channels[channel] = _channel(house, config, channel, live, kind, http, storefronts, rows[channel])
    return live


def _channel(
    house: House,
    config: Config,
    name: str,
    account: LiveAccount,
    kind: Any,
    http: HttpClient,
    storefronts: tuple[str, ...],
    row: ChannelRow,
) -> LiveChannel:
    settings = config.channels[name].settings
    context = AdapterContext(
        channel=name,
        account=account.name,
        storefronts=storefronts,
        http=http,
        clock=house.clock,
        log=house.log.bind(channel=name),
        offers=_Offers(house.ledger, row.id),
        webhook_url=config.webhook_url(name),
    )
    rules = ChannelRules(name, config, account.spec, row, house.clock.now())
    return LiveChannel(name, row.id, account, config.channels[name], kind(settings, context), rules, row.storefront)


async def close_accounts(accounts: Any) -> None:
    """Close connections and adapters."""
    for account in list(accounts):
        for channel in account.channels.values():
            await channel.adapter.aclose()
        await account.http.aclose()


def _sink(settings: SinkSettings, clock: Clock) -> Sink:
    if settings.folder is not None:
        return FolderSink(Path(settings.folder))
    assert settings.webhook is not None
    assert settings.secret is not None
    return WebhookSink(settings.webhook, settings.secret.get_secret_value(), clock)


def _order(sources: Mapping[str, SourceSettings]) -> tuple[str, ...]:
    """Sources from the least to the most important; of equals, the one written first counts more."""
    names = list(sources)
    return tuple(sorted(names, key=lambda name: (sources[name].priority, -names.index(name))))


def _locations(settings: SourceSettings) -> tuple[str, ...]:
    named = [field.removeprefix("stock.") for field in settings.columns if field.startswith("stock.")]
    return tuple(dict.fromkeys([*named, settings.location]))


def _source_policy(name: str, settings: SourceSettings) -> LocationPolicy:
    falls_at = None if settings.falls_at is None else FallsAt(settings.falls_at)
    return LocationPolicy(Owner(settings.on_hand), falls_at, name)


def _policy(sources: Mapping[str, SourceSettings]) -> StockPolicy:
    return StockPolicy(
        {
            location: _source_policy(name, settings)
            for name, settings in sources.items()
            if "stock" in settings.owns
            for location in _locations(settings)
        }
    )


def _plan(name: str, settings: SourceSettings, source: Source) -> SourcePlan:
    stock = "stock" in settings.owns
    return SourcePlan(
        name, source, _source_policy(name, settings), stock, _locations(settings) if stock else (),
        overrides="overrides" in settings.owns, guards=settings.guards, max_age=settings.max_age,
    )  # fmt: skip
