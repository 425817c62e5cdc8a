"""Whether the ledger and the marketplaces agree, line by line: the verdict of the demo."""

from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, text

from marketsync.demo.markets import Markets
from marketsync.ledger.types import Document
from marketsync_adapters.sandbox.market import Market

Line = tuple[str, str, int]


def differences(conn: Connection, markets: Markets, names: dict[str, int], sink: Path) -> list[str]:
    """One sentence for each offer or order on which the ledger and a market differ; empty where all agree."""
    found = []
    delivered = _delivered(sink)
    for name, channel_id in names.items():
        shown, orders = markets.call(name, _state)
        found += _offers(conn, name, channel_id, shown)
        found += _orders(conn, name, channel_id, orders)
        found += [
            f"{name}: the paid order {order_id} is not in the sink"
            for order_id, (paid, _) in orders.items()
            if paid and (name, order_id) not in delivered
        ]
    return found


def _state(market: Market) -> tuple[dict[str, tuple[str, str, int]], dict[str, tuple[bool, list[Line]]]]:
    market.settle()
    shown = {
        offer.sku: (offer.listing["title"], offer.price["amount"] if offer.price else "", offer.quantity or 0)
        for offer in market.shelf
    }
    orders = {
        order_id: (order.payment == "paid", sorted((line.line_id, line.sku, line.quantity) for line in order.lines))
        for order_id, order in market.sales.orders.items()
    }
    return shown, orders


def _offers(conn: Connection, name: str, channel_id: int, shown: dict[str, tuple[str, str, int]]) -> list[str]:
    sql = text(
        "SELECT sku, listing_content, price_content, stock_quantity FROM offer WHERE channel_id = :channel"
    ).columns(listing_content=Document, price_content=Document)
    wanted = {
        row.sku: (row.listing_content["title"], _amount(row.price_content), row.stock_quantity)
        for row in conn.execute(sql, {"channel": channel_id})
    }
    return [
        f"{name}: {sku} should show {wanted.get(sku, 'nothing')} and shows {shown.get(sku, 'nothing')}"
        for sku in sorted(wanted.keys() | shown.keys())
        if wanted.get(sku) != shown.get(sku)
    ]


def _amount(price: dict[str, Any]) -> str:
    minor = int(price["amount"]["minor"])
    return f"{minor // 100}.{minor % 100:02d}"


def _orders(conn: Connection, name: str, channel_id: int, orders: dict[str, tuple[bool, list[Line]]]) -> list[str]:
    sql = text(
        "SELECT o.channel_order_id, o.payment, l.channel_line_id, l.channel_sku, l.ordered FROM sales_order o"
        " JOIN order_line l ON l.order_id = o.id WHERE o.channel_id = :channel"
    )
    stored: dict[str, tuple[bool, list[Line]]] = {}
    for order_id, payment, line_id, sku, ordered in conn.execute(sql, {"channel": channel_id}):
        stored.setdefault(order_id, (payment == "paid", []))[1].append((line_id, sku, ordered))
    stored = {order_id: (paid, sorted(lines)) for order_id, (paid, lines) in stored.items()}
    return [
        f"{name}: the order {order_id} is {orders.get(order_id)} there and {stored.get(order_id)} in the ledger"
        for order_id in sorted(orders.keys() | stored.keys())
        if orders.get(order_id) != stored.get(order_id)
    ]


def _delivered(sink: Path) -> set[tuple[str, str]]:
    documents = [orjson.loads(path.read_bytes()) for path in sorted(sink.glob("*.json"))]
    return {(document["channel"], document["order_id"]) for document in documents}
