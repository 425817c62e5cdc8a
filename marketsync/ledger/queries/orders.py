"""Orders as a person looks them up. Nothing personal: who bought stays sealed."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from marketsync.adapter.money import Money
from marketsync.ledger.lines import parsed
from marketsync.ledger.queries.spelling import when
from marketsync.ledger.types import micros, moment

# What a person asks for: the two axes of an order, and what may be the matter with it.
_AXES = {
    "pending": "o.payment = 'pending'", "paid": "o.payment = 'paid'", "refunded": "o.payment = 'refunded'",
    "failed": "o.payment = 'failed'", "open": "o.fulfilment = 'open'",
    "partly_shipped": "o.fulfilment = 'partly_shipped'", "shipped": "o.fulfilment = 'shipped'",
    "cancelled": "o.fulfilment = 'cancelled'",
}  # fmt: skip
_TROUBLE = {
    "late": "o.ship_by < :now AND o.fulfilment IN ('open', 'partly_shipped')",
    "cancel_requested": "o.cancel_requested AND o.fulfilment <> 'cancelled'",
    "unmapped": "o.unmapped",
    "oversold": "EXISTS (SELECT 1 FROM order_line l WHERE l.order_id = o.id AND l.oversold > 0)",
    "undelivered": "EXISTS (SELECT 1 FROM delivery d WHERE d.order_id = o.id AND d.state <> 'delivered')",
    "held": "EXISTS (SELECT 1 FROM order_command c WHERE c.order_id = o.id AND c.state = 'held')",
}
STATES: Mapping[str, str] = _AXES | _TROUBLE


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order in a list. ``pieces`` ordered; ``undelivered``: sinks that have not got its newest revision."""

    id: int
    channel: str
    account: str
    order_id: str
    key: str
    revision: int
    payment: str
    fulfilment: str
    placed: datetime
    ship_by: datetime | None
    total: Money | None
    pieces: int
    oversold: int
    cancel_requested: bool
    unmapped: bool
    before_adoption: bool
    undelivered: int


@dataclass(frozen=True, slots=True)
class LineRow:
    """One line. ``components``: item SKU -> pieces per unit; None: nobody knows what it is."""

    line_id: str
    sku: str
    title: str
    components: dict[str, int] | None
    fulfilled_by: str
    ordered: int
    cancelled: int
    shipped: int
    returned: int
    refunded: int
    oversold: int
    reserved: int
    amount: Money | None
    tax_rate: str


@dataclass(frozen=True, slots=True)
class EventRow:
    at: datetime
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    sink: str
    revision: int
    delivered: int
    state: str
    attempts: int
    next_attempt: datetime | None
    delivered_at: datetime | None
    error: str


@dataclass(frozen=True, slots=True)
class CommandRow:
    id: int
    kind: str
    key: str
    state: str
    attempts: int
    created: datetime
    next_attempt: datetime | None
    finished: datetime | None
    reference: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ReturnRow:
    key: str
    line_id: str
    sku: str
    quantity: int
    state: str
    sellable: bool | None
    restocked: bool
    reason: str
    updated: datetime


@dataclass(frozen=True, slots=True)
class OrderDetail:
    """One order with all that hangs on it. ``buyer``: "sealed" as long as it is kept, else "none"."""

    order: OrderRow
    stored: datetime
    updated: datetime
    acknowledged: bool
    shipping: Money | None
    buyer: str
    lines: tuple[LineRow, ...]
    events: tuple[EventRow, ...]
    deliveries: tuple[DeliveryRow, ...]
    commands: tuple[CommandRow, ...]
    returns: tuple[ReturnRow, ...]


_SELECT = """
    SELECT o.*, ch.name AS channel, a.name AS account,
        (SELECT COALESCE(SUM(l.ordered), 0) FROM order_line l WHERE l.order_id = o.id) AS pieces,
        (SELECT COALESCE(SUM(l.oversold), 0) FROM order_line l WHERE l.order_id = o.id) AS oversold,
        (SELECT COUNT(*) FROM delivery d WHERE d.order_id = o.id AND d.state <> 'delivered') AS undelivered
    FROM sales_order o JOIN channel ch ON ch.id = o.channel_id JOIN account a ON a.id = o.account_id WHERE """


def orders(
    conn: Connection,
    now: datetime,
    *,
    channel: str | None = None,
    state: str | None = None,
    since: datetime | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[OrderRow]:
    """Orders, the last stored first. ``state`` is one of ``STATES``, ``since`` a time of placing, ``before`` a row id."""
    where = ["1 = 1"]
    values: dict[str, Any] = {"limit": limit, "now": micros(now)}
    if channel is not None:
        where.append("ch.name = :channel")
        values["channel"] = channel
    if state is not None:
        where.append(f"({STATES[state]})")
    if since is not None:
        where.append("o.placed_at >= :since")
        values["since"] = micros(since)
    if before is not None:
        where.append("o.id < :before")
        values["before"] = before
    sql = f"{_SELECT}{' AND '.join(where)} ORDER BY o.id DESC LIMIT :limit"
    used = {name: value for name, value in values.items() if f":{name}" in sql}
    return [_order(row) for row in conn.execute(text(sql), used)]


def find(conn: Connection, name: str, channel: str | None = None) -> list[OrderDetail]:
    """The orders of that id (the channel's own, or the key that sinks get); several where accounts use the same ids."""
    where, values = "(o.channel_order_id = :name OR o.key = :name)", {"name": name}
    if channel is not None:
        where += " AND ch.name = :channel"
        values["channel"] = channel
    return [_detail(conn, row) for row in conn.execute(text(f"{_SELECT}{where} ORDER BY o.id"), values).all()]


def _order(row: Row[Any]) -> OrderRow:
    return OrderRow(
        id=row.id, channel=row.channel, account=row.account, order_id=row.channel_order_id, key=row.key,
        revision=row.revision, payment=row.payment, fulfilment=row.fulfilment, placed=moment(row.placed_at),
        ship_by=when(row.ship_by), total=_money(row.total_minor, row.currency), pieces=int(row.pieces),
        oversold=int(row.oversold), cancel_requested=bool(row.cancel_requested), unmapped=bool(row.unmapped),
        before_adoption=bool(row.before_adoption), undelivered=row.undelivered,
    )  # fmt: skip


def _detail(conn: Connection, row: Row[Any]) -> OrderDetail:
    one = {"order": row.id}
    buyer = conn.execute(text("SELECT 1 FROM buyer WHERE order_id = :order"), one).first()
    return OrderDetail(
        order=_order(row), stored=moment(row.stored_at), updated=moment(row.updated_at), acknowledged=bool(row.acknowledged),
        shipping=_money(row.shipping_minor, row.currency), buyer="none" if buyer is None else "sealed",
        lines=_lines(conn, row), events=_events(conn, one), deliveries=_deliveries(conn, one),
        commands=_commands(conn, one), returns=_returns(conn, row),
    )  # fmt: skip


def _lines(conn: Connection, order: Row[Any]) -> tuple[LineRow, ...]:
    held: dict[int, int] = defaultdict(int)
    sql = text(
        "SELECT r.line_id, r.quantity FROM reservation r JOIN order_line l ON l.id = r.line_id WHERE l.order_id = :order"
    )
    for row in conn.execute(sql, {"order": order.id}):
        held[row.line_id] += row.quantity
    lines = conn.execute(text("SELECT * FROM order_line WHERE order_id = :order ORDER BY id"), {"order": order.id})
    return tuple(
        LineRow(
            row.channel_line_id, row.channel_sku, row.title, parsed(row.components), row.fulfilled_by, row.ordered,
            row.cancelled, row.shipped, row.returned, row.refunded, row.oversold, held[row.id],
            _money(row.amount_minor, order.currency), row.tax_rate,
        )
        for row in lines
    )  # fmt: skip


def _events(conn: Connection, one: Mapping[str, int]) -> tuple[EventRow, ...]:
    rows = conn.execute(text("SELECT at, kind, details FROM order_event WHERE order_id = :order ORDER BY id"), one)
    return tuple(
        EventRow(moment(row.at), row.kind, str((parsed(row.details) or {}).get("message", ""))) for row in rows
    )


def _deliveries(conn: Connection, one: Mapping[str, int]) -> tuple[DeliveryRow, ...]:
    rows = conn.execute(text("SELECT * FROM delivery WHERE order_id = :order ORDER BY sink"), one)
    return tuple(
        DeliveryRow(
            row.sink, row.revision, row.delivered, row.state, row.attempts, when(row.next_attempt),
            when(row.delivered_at), row.error,
        )
        for row in rows
    )  # fmt: skip


def _commands(conn: Connection, one: Mapping[str, int]) -> tuple[CommandRow, ...]:
    rows = conn.execute(text("SELECT * FROM order_command WHERE order_id = :order ORDER BY id"), one)
    return tuple(
        CommandRow(
            row.id, row.kind, row.key, row.state, row.attempts, moment(row.created_at), when(row.next_attempt),
            when(row.finished_at), row.reference, row.code, row.message,
        )
        for row in rows
    )  # fmt: skip


def _returns(conn: Connection, order: Row[Any]) -> tuple[ReturnRow, ...]:
    sql = text("SELECT * FROM return_item WHERE account_id = :account AND channel_order_id = :order ORDER BY id")
    rows = conn.execute(sql, {"account": order.account_id, "order": order.channel_order_id})
    return tuple(
        ReturnRow(
            row.key, row.channel_line_id, row.channel_sku, row.quantity, row.state,
            None if row.sellable is None else bool(row.sellable), bool(row.restocked), row.reason, moment(row.updated_at),
        )
        for row in rows
    )  # fmt: skip


def _money(minor: int | None, currency: str) -> Money | None:
    return None if minor is None else Money(minor, currency)


@dataclass(frozen=True, slots=True)
class OrderCount:
    channel: str
    payment: str
    fulfilment: str
    orders: int


def order_counts(conn: Connection) -> list[OrderCount]:
    """Orders by channel and state; reads an index, not the orders."""
    sql = """
        SELECT ch.name, c.payment, c.fulfilment, c.orders FROM (
            SELECT channel_id, payment, fulfilment, COUNT(*) AS orders FROM sales_order
            GROUP BY channel_id, payment, fulfilment
        ) AS c JOIN channel ch ON ch.id = c.channel_id ORDER BY ch.name, c.payment, c.fulfilment"""
    return [OrderCount(*row) for row in conn.execute(text(sql))]


def oversold(conn: Connection) -> dict[str, int]:
    """Pieces that were not there when their order was stored, by channel; channels with orders only."""
    sql = """
        SELECT ch.name, SUM(c.pieces) FROM (
            SELECT o.channel_id, SUM(l.oversold) AS pieces FROM sales_order o JOIN order_line l ON l.order_id = o.id
            GROUP BY o.channel_id
        ) AS c JOIN channel ch ON ch.id = c.channel_id GROUP BY ch.name ORDER BY ch.name"""
    return {name: int(pieces) for name, pieces in conn.execute(text(sql))}


def unmapped_lines(conn: Connection) -> dict[str, int]:
    """Lines still to be sent that no item is known for, by channel; channels without are left out."""
    sql = """
        SELECT ch.name, COUNT(*) FROM sales_order o JOIN order_line l ON l.order_id = o.id
        JOIN channel ch ON ch.id = o.channel_id
        WHERE o.unmapped AND l.components IS NULL AND l.ordered > l.cancelled + l.shipped
        GROUP BY ch.name ORDER BY ch.name"""
    return {row[0]: row[1] for row in conn.execute(text(sql))}


@dataclass(frozen=True, slots=True)
class CommandCount:
    channel: str
    kind: str
    state: str
    commands: int


def command_counts(conn: Connection) -> list[CommandCount]:
    """Commands by channel, kind and state."""
    sql = """
        SELECT ch.name, c.kind, c.state, COUNT(*) FROM order_command c JOIN sales_order o ON o.id = c.order_id
        JOIN channel ch ON ch.id = o.channel_id GROUP BY ch.name, c.kind, c.state ORDER BY ch.name, c.kind, c.state"""
    return [CommandCount(*row) for row in conn.execute(text(sql))]
