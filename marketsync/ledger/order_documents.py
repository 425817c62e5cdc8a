"""Orders as sinks get them: one JSON document per order, whole, in its newest revision."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from marketsync.adapter.money import Money
from marketsync.ledger.buyers import open_buyers
from marketsync.ledger.lines import parsed
from marketsync.ledger.sql import among, listed
from marketsync.ledger.types import moment
from marketsync.ledger.vault import Vault

SCHEMA = 1  # raised when a field changes its meaning or goes; new fields may come any time


@dataclass(frozen=True, slots=True)
class OrderDocument:
    """An order as one revision of it reads."""

    order_id: int
    key: str
    revision: int
    channel: str
    channel_order_id: str
    content: Mapping[str, Any]


def order_documents(conn: Connection, vault: Vault, order_ids: Iterable[int]) -> dict[int, OrderDocument]:
    """The documents of these orders (row ids), by these. Raises LedgerError where a buyer cannot be opened."""
    ids = {"orders": listed(conn, sorted(set(order_ids)))}
    orders = conn.execute(
        text(
            "SELECT o.*, c.name AS channel, a.name AS account FROM sales_order o JOIN channel c ON c.id = o.channel_id"
            f" JOIN account a ON a.id = o.account_id WHERE {among(conn, 'o.id', 'orders')}"
        ),
        ids,
    ).all()
    lines: dict[int, list[Row[Any]]] = {}
    for row in conn.execute(
        text(f"SELECT * FROM order_line WHERE {among(conn, 'order_id', 'orders')} ORDER BY id"), ids
    ):
        lines.setdefault(row.order_id, []).append(row)
    buyers = open_buyers(conn, vault, [order.id for order in orders])
    return {
        order.id: OrderDocument(
            order.id, order.key, order.revision, order.channel, order.channel_order_id,
            order_document(order, lines.get(order.id, []), buyers.get(order.id)),
        )
        for order in orders
    }  # fmt: skip


def order_document(order: Any, lines: Sequence[Any], buyer: Mapping[str, Any] | None) -> dict[str, Any]:
    """The document of one order from its row, its lines' rows and its buyer's document."""
    return {
        "schema": SCHEMA,
        "key": order.key,
        "revision": order.revision,
        "account": order.account,
        "channel": order.channel,
        "order_id": order.channel_order_id,
        "placed_at": _time(order.placed_at),
        "updated_at": _time(order.updated_at),
        "ship_by": _time(order.ship_by),
        "payment": order.payment,
        "fulfilment": order.fulfilment,
        "cancel_requested": bool(order.cancel_requested),
        "currency": order.currency,
        "total": _money(order.total_minor, order.currency),
        "shipping": _money(order.shipping_minor, order.currency),
        "marks": {
            "unmapped": bool(order.unmapped),
            "fulfilled_by_channel": bool(lines) and all(line.fulfilled_by != "merchant" for line in lines),
            "before_adoption": bool(order.before_adoption),
        },
        "lines": [_line(line, order.currency) for line in lines],
        "buyer": None if buyer is None else buyer["buyer"],
        "billing": None if buyer is None else buyer["billing"],
    }


def _line(line: Any, currency: str) -> dict[str, Any]:
    components = parsed(line.components)
    return {
        "line_id": line.channel_line_id,
        "sku": line.channel_sku,
        "title": line.title,
        "components": None
        if components is None
        else [{"sku": sku, "quantity": pieces} for sku, pieces in sorted(components.items())],
        "fulfilled_by": line.fulfilled_by,
        "unit_ids": parsed(line.unit_ids) or [],
        "ordered": line.ordered,
        "cancelled": line.cancelled,
        "shipped": line.shipped,
        "returned": line.returned,
        "refunded": line.refunded,
        "amount": _money(line.amount_minor, currency),
        "gross": bool(line.gross),
        "tax": _money(line.tax_minor, currency),
        "tax_rate": line.tax_rate,
        "discount": _money(line.discount_minor, currency),
        "discount_paid_by": line.discount_paid_by,
        "fees": _money(line.fees_minor, currency),
    }


def _money(minor: int | None, currency: str) -> dict[str, Any] | None:
    if minor is None:
        return None
    return {"minor": minor, "currency": currency, "decimal": f"{Money(minor, currency).decimal:f}"}


def _time(value: int | None) -> str | None:
    at: datetime | None = None if value is None else moment(value)
    return None if at is None else at.isoformat()
