"""One channel's rules, compiled once per configuration: from an item to what the channel should show."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from marketsync.adapter.content import Aspect, Price
from marketsync.adapter.spec import AdapterSpec
from marketsync.config.models import Channel, Config
from marketsync.domain.assortment import compile_assortment
from marketsync.domain.content import to_document
from marketsync.domain.item import Item
from marketsync.domain.listing import compile_listing_document
from marketsync.domain.listing_map import Component, ListingMap
from marketsync.domain.pricing_fast import compile_pricing
from marketsync.ledger.channels import ChannelRow
from marketsync.ledger.desired import Wanted, wanted
from marketsync.ledger.outbox import BITS, ZERO_DOOR
from marketsync.ledger.types import micros

KEPT = 10_000  # packed prices and quantities of a channel


class ChannelRules:
    """What derive asks of a channel. Built from its configuration, its adapter's spec and its row in the ledger."""

    def __init__(self, name: str, config: Config, spec: AdapterSpec, row: ChannelRow, now: datetime) -> None:
        channel: Channel = config.channels[name]
        self.name = name
        self.channel_id = row.id
        self.spec = spec
        self._account = channel.account or name
        self.stock = channel.stock
        self.gross = channel.price.gross
        # Where no source tells costs, nobody expects one of an item.
        costs = any("cost" in source.owns for source in config.sources.values())
        self.guards = channel.guards if costs else channel.guards.model_copy(update={"no_reference": False})
        self.versions: Mapping[Aspect, int] = {aspect: spec.mapping_version.get(aspect, 0) for aspect in Aspect}
        self.listing_map = ListingMap(
            {
                channel_sku: tuple(Component(sku, quantity) for sku, quantity in components.items())
                for channel_sku, components in channel.listing_map.items()
            }
        )
        self.excluded: Callable[[Item, int], str | None] = compile_assortment(channel.assortment)
        filters = (channel.assortment.include, channel.assortment.exclude)
        self.assortment_needs_stock = any(f.stock_from is not None or f.stock_to is not None for f in filters)
        self._pricing = partial(compile_pricing, channel.price, config.vat, config.rates)
        self._priced_at: tuple[datetime, Callable[[Item], Price | str]] = (now, self._pricing(now))
        self.listing_key = (channel.listing.model_dump_json(), self.versions[Aspect.LISTING])
        self.listing: Callable[[Item, Item | None], tuple[dict[str, Any], tuple[str, ...]]] = compile_listing_document(
            channel.listing
        )
        self._master = any(source.channel == name for source in config.sources.values())
        self.managed = 0
        self.take(row.takes)
        self.hash = self._hash(config, channel)
        self._schedule = channel.schedule
        self._zone: ZoneInfo = config.time_zone
        self._sent: dict[Aspect, datetime] = {}
        self._stocks: dict[int, Wanted] = {}
        self._plain_prices: dict[tuple[int, str, bool], Wanted] = {}
        self._locations = frozenset(channel.stock.locations)

    def prices(self, now: datetime) -> Callable[[Item], Price | str]:
        """The prices of a moment (sales start and end by themselves); a str says why an item has none."""
        if self._priced_at[0] != now:
            self._priced_at = (now, self._pricing(now))
        return self._priced_at[1]

    def take(self, takes: int) -> None:
        """We write the aspects adopted that the adapter can write; not the stock where the shop is its master."""
        writable = frozenset().union(*(operation.aspects for operation in self.spec.operations))
        bits = takes & sum(BITS[aspect] for aspect in writable)
        if self._master:
            bits &= ~BITS[Aspect.STOCK]
        zero = any(op.urgent and Aspect.STOCK in op.aspects for op in self.spec.operations)
        self.managed = bits | (ZERO_DOOR if zero else 0)

    def _hash(self, config: Config, channel: Channel) -> bytes:
        """Stands for everything that derive depends on: when it changes, the channel's offers are derived anew."""
        parts = [
            channel.model_dump_json(include={"assortment", "price", "stock", "listing", "listing_map"}),
            config.vat.model_dump_json(),
            config.rates.model_dump_json() if config.rates else "",
            repr(sorted(self.versions.items())),
            str(self.managed),
        ]
        return blake2b("\n".join(parts).encode(), digest_size=16).digest()

    def sells_from(self, location: str) -> bool:
        return not self._locations or location in self._locations

    def stock_key(self, sku: str) -> str | None:
        """What the offers that share one remote quantity have in common; None where every offer has its own."""
        return f"{self._account}:{sku}" if self.spec.stock_shared else None

    def wanted_stock(self, quantity: int) -> Wanted:
        """A plain quantity as content; the few that occur are kept."""
        known = self._stocks.get(quantity)
        if known is None:
            known = wanted({"quantity": quantity}, self.versions[Aspect.STOCK])
            if len(self._stocks) < KEPT:
                self._stocks[quantity] = known
        return known

    def wanted_price(self, price: Price, now: datetime) -> Wanted:
        """A price as content; plain ones repeat over a catalogue and are kept.

        A channel that knows no scheduled sales gets what is right now; the item is derived again when that changes.
        """
        shows = price if self.spec.schedules_sales else price.at(now)
        if shows.sale is not None or shows.reference is not None:
            return wanted(to_document(shows), self.versions[Aspect.PRICE])
        key = (shows.amount.minor, shows.amount.currency, shows.gross)
        known = self._plain_prices.get(key)
        if known is None:
            known = wanted(to_document(shows), self.versions[Aspect.PRICE])
            if len(self._plain_prices) < KEPT:
                self._plain_prices[key] = known
        return known

    def sent(self, aspect: Aspect, now: datetime) -> None:
        """Note that an aspect has just left: its schedule counts from here."""
        self._sent[aspect] = now

    def dues(self, now: datetime) -> dict[Aspect, int]:
        """From when a change found now may be sent (µs): at once, or one interval after the aspect was last sent."""
        return {aspect: micros(self._due(aspect, now)) for aspect in Aspect}

    def dues_now(self, now: datetime) -> dict[Aspect, int]:
        """For what a sale changed: at once."""
        return dict.fromkeys(Aspect, micros(now))

    def _due(self, aspect: Aspect, now: datetime) -> datetime:
        schedule = getattr(self._schedule, aspect.value)
        if schedule.interval is None:
            due: datetime = schedule.next_after(now, self._zone)
            return due
        last = self._sent.get(aspect)
        return now if last is None else min(now + schedule.interval, max(now, last + schedule.interval))

    def had_problems(self, conn: Connection) -> bool:
        """Whether the channel has open issues that a good derive would close."""
        sql = text("SELECT 1 FROM issue WHERE scope = :scope AND closed_at IS NULL LIMIT 1")
        return conn.execute(sql, {"scope": f"channel:{self.name}"}).first() is not None
