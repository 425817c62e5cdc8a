"""Orders as rows: reading and writing them, without what follows from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, text

from marketsync.adapter.orders import ChannelOrder, Fulfilment, Payment
from marketsync.domain.orders import StoredOrder
from marketsync.ledger.lines import LineRow, minor
from marketsync.ledger.sql import among, document, listed
from marketsync.ledger.types import micros, moment


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order as stored, without its lines. Amounts in minor units, ``ship_by`` in microseconds since 1970."""

    id: int
    channel_id: int
    order: StoredOrder
    key: str
    revision: int
    before_adoption: bool
    acknowledged: bool
    amounts: tuple[int | None, int | None]  # total, shipping
    ship_by: int | None
    currency: str

    def with_lines(self, rows: Iterable[LineRow]) -> StoredOrder:
        return replace(self.order, lines=tuple(row.line for row in rows))


_SELECT = (
    "SELECT id, channel_id, channel_order_id, key, revision, payment, fulfilment, updated_at, ship_by,"
    " cancel_requested, acknowledged, total_minor, shipping_minor, has_address, before_adoption, content_hash,"
    " currency FROM sales_order WHERE "
)
_INSERT = text(
    "INSERT INTO sales_order (account_id, channel_id, channel_order_id, key, revision, payment, fulfilment, placed_at,"
    " updated_at, stored_at, ship_by, cancel_requested, acknowledged, currency, total_minor, shipping_minor,"
    " has_address, before_adoption, unmapped, content_hash, extra) VALUES (:account_id, :channel_id,"
    " :channel_order_id, :key, :revision, :payment, :fulfilment, :placed_at, :updated_at, :stored_at, :ship_by,"
    " :cancel_requested, :acknowledged, :currency, :total_minor, :shipping_minor, :has_address, :before_adoption,"
    " :unmapped, :content_hash, :extra)"
)
_UPDATE = text(
    "UPDATE sales_order SET revision = :revision, payment = :payment, fulfilment = :fulfilment,"
    " updated_at = :updated_at, ship_by = :ship_by, cancel_requested = :cancel_requested,"
    " acknowledged = :acknowledged, total_minor = :total_minor, shipping_minor = :shipping_minor,"
    " has_address = :has_address, unmapped = :unmapped, content_hash = :content_hash, extra = :extra WHERE id = :id"
)
_TOUCH = text("UPDATE sales_order SET updated_at = :updated_at WHERE id = :id")
_REVISE = text("UPDATE sales_order SET revision = :revision WHERE id = :id")


def load_orders(conn: Connection, account_id: int, order_ids: Iterable[str]) -> dict[str, OrderRow]:
    """The stored orders with these channel order ids, by these; locked where several may write."""
    sql = _SELECT + "account_id = :account AND " + among(conn, "channel_order_id", "orders")
    values = {"account": account_id, "orders": listed(conn, sorted(set(order_ids)))}
    return {row.order.order_id: row for row in _load(conn, sql, values)}


def known_orders(conn: Connection, account_id: int, order_ids: Sequence[str]) -> set[str]:
    """Those of the channel order ids that are stored."""
    sql = "SELECT channel_order_id FROM sales_order WHERE account_id = :account AND " + among(
        conn, "channel_order_id", "orders"
    )
    return set(conn.execute(text(sql), {"account": account_id, "orders": listed(conn, order_ids)}).scalars())


def load_by_id(conn: Connection, ids: Iterable[int]) -> dict[int, OrderRow]:
    """The stored orders with these row ids, by these; locked where several may write."""
    sql = _SELECT + among(conn, "id", "ids")
    return {row.id: row for row in _load(conn, sql, {"ids": listed(conn, sorted(set(ids)))})}


def _load(conn: Connection, sql: str, values: dict[str, Any]) -> list[OrderRow]:
    if conn.dialect.name != "sqlite":
        sql += " ORDER BY id FOR UPDATE"
    return [_row(row) for row in conn.execute(text(sql), values)]


def _row(row: Any) -> OrderRow:
    order = StoredOrder(
        order_id=row.channel_order_id, updated=moment(row.updated_at), payment=Payment(row.payment),
        fulfilment=Fulfilment(row.fulfilment), lines=(), address_known=bool(row.has_address),
        cancel_requested=bool(row.cancel_requested), content=bytes(row.content_hash),
    )  # fmt: skip
    return OrderRow(
        row.id, row.channel_id, order, row.key, row.revision, bool(row.before_adoption), bool(row.acknowledged),
        (row.total_minor, row.shipping_minor), row.ship_by, row.currency,
    )  # fmt: skip


def order_values(conn: Connection, read: ChannelOrder, after: StoredOrder, revision: int) -> dict[str, Any]:
    """The columns of an order that come from the channel."""
    return {
        "channel_order_id": read.order_id,
        "revision": revision,
        "payment": after.payment.value,
        "fulfilment": after.fulfilment.value,
        "placed_at": micros(read.placed),
        "updated_at": micros(read.updated),
        "ship_by": None if read.ship_by is None else micros(read.ship_by),
        "cancel_requested": after.cancel_requested,
        "currency": read.currency,
        "total_minor": minor(read.total, read.currency),
        "shipping_minor": minor(read.shipping, read.currency),
        "has_address": after.address_known,
        "content_hash": after.content,
        "extra": document(conn, dict(read.extra)),
    }


def insert_orders(conn: Connection, account_id: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Insert orders; returns their row ids by channel order id. IntegrityError where one is stored already."""
    if not rows:
        return {}
    conn.execute(_INSERT, [{**row, "account_id": account_id} for row in rows])
    sql = "SELECT id, channel_order_id FROM sales_order WHERE account_id = :account AND " + among(
        conn, "channel_order_id", "orders"
    )
    values = {"account": account_id, "orders": listed(conn, [row["channel_order_id"] for row in rows])}
    return {row.channel_order_id: row.id for row in conn.execute(text(sql), values)}


def update_orders(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        conn.execute(_UPDATE, list(rows))


def touch_orders(conn: Connection, updated: Mapping[int, int]) -> None:
    """Nothing but the time of update is new (row id -> microseconds)."""
    if updated:
        conn.execute(_TOUCH, [{"id": order_id, "updated_at": at} for order_id, at in sorted(updated.items())])


def revise_orders(conn: Connection, revisions: Mapping[int, int]) -> None:
    """These orders (by row id) read differently now."""
    if revisions:
        conn.execute(_REVISE, [{"id": order_id, "revision": revision} for order_id, revision in revisions.items()])
