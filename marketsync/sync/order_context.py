"""The rules under which an account's orders are stored, from its configuration, and the counting of what was done."""

from collections.abc import Iterable
from dataclasses import replace
from hashlib import blake2b

from sqlalchemy import Connection

from marketsync.adapter.api import AcknowledgesOrders
from marketsync.adapter.money import Money
from marketsync.config.models import Config
from marketsync.domain.ownership import LocationPolicy, Owner, StockPolicy
from marketsync.ledger import channels as channel_store
from marketsync.ledger import offers
from marketsync.ledger.channels import ChannelRow
from marketsync.ledger.order_context import OrderChannel, OrderContext, Stored
from marketsync.ledger.types import micros
from marketsync.sync.derive import derive_stock
from marketsync.sync.live import House, LiveAccount, LiveChannel
from marketsync.telemetry.metrics import Sales

DEFAULT_LOCATION = "main"  # of a house whose sources tell no stock


def order_context(conn: Connection, house: House, account: LiveAccount) -> OrderContext:
    """The context of one transaction, as the ledger and the configuration are now."""
    assert house.config is not None, "a furnished house has its configuration"
    now, config = house.clock.now(), house.config
    rows = channel_store.load(conn)
    channels = {
        channel.id: _channel(channel, rows[channel.name], house, config)
        for channel in account.channels.values()
        if channel.name in rows
    }

    def forget_stock(conn: Connection, channel_id: int, channel_skus: Iterable[str]) -> None:
        offers.forget_stock(conn, channel_id, channel_skus, micros(now))

    def restock(conn: Connection, item_skus: Iterable[str]) -> set[str]:
        return derive_stock(conn, house.rules, item_skus, house.order, now)

    return OrderContext(
        account=account.name,
        now=now,
        channels=channels,
        stock=_policies(house, config),
        sinks={name: sink.fulfilled_by_channel for name, sink in config.sinks.items()},
        vault=house.ledger.vault,
        hash_key=blake2b(config.key.get_secret_value().encode(), digest_size=32, person=b"order-hash").digest(),
        forget_stock=forget_stock,
        restock=restock,
    )


def _channel(channel: LiveChannel, row: ChannelRow, house: House, config: Config) -> OrderChannel:
    orders = channel.config.orders
    acknowledges = orders.acknowledge and orders.accept == "automatically"
    return OrderChannel(
        name=channel.name,
        locations=channel.config.stock.locations or tuple(sorted(house.policy.locations)) or (DEFAULT_LOCATION,),
        adopted_at=row.adopted_at,
        sale_lowers=channel.account.spec.sale_lowers_stock,
        acknowledges=acknowledges and isinstance(channel.adapter, AcknowledgesOrders),
        restocks_cancelled="cancel" in orders.restock_on,
        restocks_returned="return" in orders.restock_on,
        keeps_buyers=config.buyers_kept(channel.name),
    )


def _policies(house: House, config: Config) -> StockPolicy:
    """The stock policies; where a channel keeps the figure, ``source`` names that channel."""

    def named(policy: LocationPolicy) -> LocationPolicy:
        source = config.sources.get(policy.source)
        if policy.owner is Owner.CHANNEL and source is not None and source.channel is not None:
            return replace(policy, source=source.channel)
        return policy

    return StockPolicy({location: named(policy) for location, policy in house.policy.locations.items()})


def count(house: House, stored: Stored) -> None:
    """Show in the metrics what was committed."""
    for (channel, currency), sold in stored.sold.items():
        revenue = Money(sold.minor, currency)
        house.metrics.sold(channel, Sales(orders=sold.orders, lines=sold.lines, units=sold.units, revenue=revenue))
    for channel, units in stored.cancelled.items():
        if units:
            house.metrics.cancelled(channel, units)
    for channel, units in stored.returned.items():
        house.metrics.returned(channel, units)
