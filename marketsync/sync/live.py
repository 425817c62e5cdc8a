"""What runs: an account with its connection, a channel with its adapter and rules. Built by the daemon."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from marketsync.adapter.api import Adapter, AdapterSpec, ChannelHttp
from marketsync.adapter.clock import Clock
from marketsync.config.models import Channel, Config
from marketsync.domain.guards import SourceGuards
from marketsync.domain.ownership import LocationPolicy, StockPolicy
from marketsync.ledger.gateway import Ledger
from marketsync.sinks.api import Sink
from marketsync.sources.api import Source
from marketsync.sync.rules import ChannelRules
from marketsync.telemetry.metrics import Metrics


class Slots(ChannelHttp, Protocol):
    """The connection of an account, as the engine sees it: slots of the limits are reserved before work is claimed."""

    async def reserve(self, operation: str, *, urgent: bool = False) -> float:
        """0.0: a slot is granted, the next request of the operation uses it. Else seconds to wait; nothing is taken."""
        ...

    async def release(self, operation: str) -> None:
        """What a granted slot was for is over: where no request has used it, it is free again."""
        ...

    async def aclose(self) -> None: ...


@dataclass(slots=True)
class LiveChannel:
    """One storefront, ready to work."""

    name: str
    id: int
    account: "LiveAccount"
    config: Channel
    adapter: Adapter
    rules: ChannelRules
    storefront: str = ""
    broken: str = ""  # why it cannot work, when its configuration or adapter failed


@dataclass(slots=True)
class LiveAccount:
    """One account, ready to work. What is the account's (orders, commands, returns) goes through ``adapter``."""

    name: str
    id: int
    spec: AdapterSpec
    http: Slots
    channels: dict[str, LiveChannel] = field(default_factory=dict)  # by name
    epoch: int = 0

    @property
    def adapter(self) -> Adapter:
        return next(iter(self.channels.values())).adapter

    @property
    def by_storefront(self) -> Mapping[str, LiveChannel]:
        return {channel.storefront: channel for channel in self.channels.values()}


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """A source as the engine runs it. ``locations``: where the pieces lie that it tells, all kept by one policy."""

    name: str
    source: Source
    policy: LocationPolicy
    owns_stock: bool
    locations: tuple[str, ...] = ()
    overrides: bool = False
    guards: SourceGuards = field(default_factory=SourceGuards)
    max_age: timedelta | None = None


@dataclass(slots=True)
class House:
    """Everything that runs on one ledger."""

    ledger: Ledger
    clock: Clock
    metrics: Metrics
    log: Any
    accounts: dict[str, LiveAccount] = field(default_factory=dict)
    order: Sequence[str] = ()  # sources, the most important last
    policy: StockPolicy = field(default_factory=lambda: StockPolicy({}))
    sources: dict[str, SourcePlan] = field(default_factory=dict)
    sinks: dict[str, Sink] = field(default_factory=dict)
    config: Config | None = None
    unread: tuple[str, ...] = ()  # sources of which nothing was applied when last looked at
    runs: set[str] = field(default_factory=set)  # readings and changes of rules that go on now

    @property
    def channels(self) -> dict[str, LiveChannel]:
        return {name: channel for account in self.accounts.values() for name, channel in account.channels.items()}

    @property
    def rules(self) -> list[ChannelRules]:
        return [channel.rules for channel in self.channels.values()]


def pull_max_age(channel: LiveChannel) -> timedelta:
    """How old an order pull may be for a stock to be raised on its word: three intervals, at least ten minutes."""
    interval = channel.config.schedule.orders.interval or timedelta(hours=1)
    return max(3 * interval, timedelta(minutes=10))
