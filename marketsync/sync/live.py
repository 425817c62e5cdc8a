"""What runs: an account with its connection, a channel with its adapter and rules. Built by the daemon."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from marketsync.adapter.api import Adapter, AdapterSpec, ChannelHttp
from marketsync.adapter.clock import Clock
from marketsync.adapter.content import Aspect, Result
from marketsync.config.models import Channel
from marketsync.domain.ownership import StockPolicy
from marketsync.ledger.gateway import Ledger
from marketsync.sync.rules import ChannelRules


class Slots(ChannelHttp, Protocol):
    """The connection of an account, as the engine sees it: slots of the limits are reserved before work is claimed."""

    async def reserve(self, operation: str, *, urgent: bool = False) -> float:
        """0.0: a slot is granted, the next request of the operation uses it. Else seconds to wait; nothing is taken."""
        ...

    async def release(self, operation: str) -> None:
        """Give a granted slot back."""
        ...


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
    """One account, ready to work. Its order pulls go through ``adapter``."""

    name: str
    id: int
    spec: AdapterSpec
    http: Slots
    adapter: Adapter
    channels: dict[str, LiveChannel] = field(default_factory=dict)  # by name
    epoch: int = 0

    @property
    def by_storefront(self) -> Mapping[str, LiveChannel]:
        return {channel.storefront: channel for channel in self.channels.values()}


class Reports(Protocol):
    """What the tasks tell the metrics. One call per batch."""

    def pushed(self, channel: str, counts: Mapping[tuple[Aspect, Result], int]) -> None: ...
    def task_done(self, owner: str, task: str, outcome: str, seconds: float) -> None: ...
    def source_read(self, source: str, rows: int, problems: int, exported: datetime) -> None: ...
    def orders_stored(self, channel: str, currency: str, orders: int, lines: int, units: int, minor: int) -> None: ...
    def oversold(self, channel: str, units: int) -> None: ...
    def delivered(self, sink: str, result: str, count: int) -> None: ...


@dataclass(slots=True)
class House:
    """Everything that runs on one ledger."""

    ledger: Ledger
    clock: Clock
    reports: Reports
    log: Any
    accounts: dict[str, LiveAccount] = field(default_factory=dict)
    order: Sequence[str] = ()  # sources, the most important last
    policy: StockPolicy = field(default_factory=lambda: StockPolicy({}))

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
