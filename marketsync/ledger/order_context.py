"""What storing an order needs to know of the house around it, and what it tells back."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from marketsync.adapter.spec import SaleLowers
from marketsync.domain.ownership import StockPolicy
from marketsync.ledger.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChannel:
    """A channel's rules for its orders. ``locations``: where its pieces are taken from, first choice first.

    ``adopted_at`` None: it only observes. ``acknowledges``: the policy wants it and the adapter can.
    ``restocks_cancelled``: pieces of a cancelled line can be sold again.
    """

    name: str
    locations: tuple[str, ...]
    adopted_at: datetime | None
    sale_lowers: SaleLowers = SaleLowers.AT_PLACING
    acknowledges: bool = False
    restocks_cancelled: bool = True
    restocks_returned: bool = False
    keeps_buyers: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderContext:
    """One for each transaction. ``channels`` by id; ``sinks``: whether each takes what the channel fulfils.

    ``forget_stock(conn, channel_id, channel_skus)``: the channel has moved its own stock of these.
    ``restock(conn, item_skus)``: recomputes the offers made of these items and returns the channels that need a push.
    ``hash_key``: the ledger's secret (up to 64 bytes) that keeps hashes of orders from telling who bought.
    """

    account: str
    now: datetime
    channels: Mapping[int, OrderChannel]
    stock: StockPolicy
    sinks: Mapping[str, bool]
    vault: Vault
    hash_key: bytes
    forget_stock: Callable[[Connection, int, Iterable[str]], None]
    restock: Callable[[Connection, Iterable[str]], Iterable[str]]


@dataclass(slots=True)
class Sold:
    """What new orders of one channel and currency come to; ``minor`` in minor units."""

    orders: int = 0
    lines: int = 0
    units: int = 0
    minor: int = 0


@dataclass(slots=True)
class Stored:
    """What a transaction did. By channel name: units cancelled, returned, oversold. ``push``: channels that need one."""

    new: int = 0
    changed: int = 0
    same: int = 0
    older: int = 0
    refused: int = 0  # orders that cannot be stored as they are: each has an issue
    sold: dict[tuple[str, str], Sold] = field(default_factory=lambda: defaultdict(Sold))  # channel, currency
    cancelled: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    returned: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    oversold: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    push: set[str] = field(default_factory=set)
    deliveries: bool = False  # something is due to a sink
    commands: bool = False  # something is due to the channel

    def add(self, other: "Stored") -> None:
        """Count another transaction in."""
        for name in ("new", "changed", "same", "older", "refused"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for key, sold in other.sold.items():
            mine = self.sold[key]
            for part in ("orders", "lines", "units", "minor"):
                setattr(mine, part, getattr(mine, part) + getattr(sold, part))
        for name in ("cancelled", "returned", "oversold"):
            for channel, units in getattr(other, name).items():
                getattr(self, name)[channel] += units
        self.push |= other.push
        self.deliveries |= other.deliveries
        self.commands |= other.commands
