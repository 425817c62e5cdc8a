"""Order lines as rows, and what their channel SKUs stand for."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, text

from marketsync.adapter.money import Money
from marketsync.adapter.orders import ChannelLine
from marketsync.domain.orders import StoredLine
from marketsync.ledger.issues import IssueRow, raise_issues
from marketsync.ledger.sql import among, document, listed

Components = Mapping[str, int]  # item SKU -> pieces per unit
UNMAPPED = "unmapped_line"
AMOUNTS = ("amount_minor", "tax_minor", "discount_minor", "fees_minor")


@dataclass(frozen=True, slots=True)
class LineRow:
    """A stored line: its id, what it stands for (None: nobody knows), its amounts in minor units."""

    id: int
    order_id: int
    line: StoredLine
    components: Components | None
    amounts: tuple[int | None, ...]
    restocked: int = 0
    unit_ids: tuple[str, ...] = ()


_COLUMNS = (
    "order_id, channel_line_id, channel_sku, title, unit_ids, components, fulfilled_by, ordered, cancelled, shipped,"
    " returned, refunded, restocked, oversold, amount_minor, gross, tax_minor, tax_rate, discount_minor,"
    " discount_paid_by, fees_minor"
)
_INSERT = text(
    f"INSERT INTO order_line ({_COLUMNS}) VALUES (:order_id, :channel_line_id, :channel_sku, :title, :unit_ids,"
    " :components, :fulfilled_by, :ordered, :cancelled, :shipped, :returned, :refunded, 0, 0, :amount_minor, :gross,"
    " :tax_minor, :tax_rate, :discount_minor, :discount_paid_by, :fees_minor)"
)
_UPDATE = text(
    "UPDATE order_line SET title = :title, unit_ids = :unit_ids, fulfilled_by = :fulfilled_by, ordered = :ordered,"
    " cancelled = :cancelled, shipped = :shipped, returned = :returned, refunded = :refunded,"
    " amount_minor = :amount_minor, gross = :gross, tax_minor = :tax_minor, tax_rate = :tax_rate,"
    " discount_minor = :discount_minor, discount_paid_by = :discount_paid_by, fees_minor = :fees_minor WHERE id = :id"
)
_UPDATE_COUNTS = text(
    "UPDATE order_line SET cancelled = :cancelled, shipped = :shipped, returned = :returned, refunded = :refunded"
    " WHERE id = :id"
)
_LIST = text(
    "INSERT INTO listing_map (channel_id, channel_sku, item_sku, quantity) VALUES (:channel, :sku, :item, :pieces)"
)
_UNLIST = text(
    "DELETE FROM listing_map WHERE channel_id = :channel AND channel_sku = :sku AND item_sku = :item"
    " AND quantity = :pieces"
)
_MAP = text("UPDATE order_line SET components = :components WHERE id = :id")


def parsed(value: Any) -> Any:
    """A JSON column of raw SQL: text on SQLite, a document on PostgreSQL."""
    return orjson.loads(value) if isinstance(value, str | bytes) else value


def load_lines(conn: Connection, order_ids: Iterable[int]) -> dict[int, list[LineRow]]:
    """The lines of these orders, by order, in the order they were stored."""
    sql = (
        "SELECT id, order_id, channel_line_id, channel_sku, components, fulfilled_by, ordered, cancelled, shipped,"
        " returned, refunded, restocked, unit_ids, amount_minor, tax_minor, discount_minor, fees_minor FROM order_line"
        " WHERE " + among(conn, "order_id", "orders") + " ORDER BY id"
    )
    found: dict[int, list[LineRow]] = defaultdict(list)
    for row in conn.execute(text(sql), {"orders": listed(conn, sorted(order_ids))}):
        line = StoredLine(
            line_id=row.channel_line_id, sku=row.channel_sku, quantity=row.ordered, cancelled=row.cancelled,
            shipped=row.shipped, returned=row.returned, refunded=row.refunded, fulfilled_by=row.fulfilled_by,
        )  # fmt: skip
        amounts = tuple(getattr(row, name) for name in AMOUNTS)
        units = tuple(parsed(row.unit_ids) or ())
        found[row.order_id].append(
            LineRow(row.id, row.order_id, line, parsed(row.components), amounts, row.restocked, units)
        )
    return found


def line_values(conn: Connection, line: StoredLine, read: ChannelLine, currency: str) -> dict[str, Any]:
    """The columns of a line: quantities from ``line``, everything else as read."""
    return {
        "channel_line_id": line.line_id,
        "channel_sku": line.sku,
        "title": read.title,
        "unit_ids": document(conn, list(read.unit_ids) or None),
        "fulfilled_by": line.fulfilled_by,
        **counts(line),
        **dict(zip(AMOUNTS, amounts_of(read, currency), strict=True)),
        "gross": read.gross,
        "tax_rate": read.tax_rate,
        "discount_paid_by": read.discount_paid_by,
    }


def amounts_of(read: ChannelLine, currency: str) -> tuple[int | None, ...]:
    """Amount, tax, discount and fees in minor units, as ``LineRow.amounts`` has them."""
    return tuple(minor(money, currency) for money in (read.amount, read.tax, read.discount, read.fees))


def counts(line: StoredLine) -> dict[str, int]:
    return {
        "ordered": line.quantity,
        "cancelled": line.cancelled,
        "shipped": line.shipped,
        "returned": line.returned,
        "refunded": line.refunded,
    }


def minor(money: Money | None, currency: str) -> int | None:
    """The amount in the order's currency; None where it is in another one and would be misread."""
    return money.minor if money is not None and money.currency == currency else None


def insert_lines(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert lines made with ``line_values`` plus ``order_id`` and ``components`` (a mapping or None)."""
    if rows:
        conn.execute(_INSERT, [{**row, "components": document(conn, row["components"])} for row in rows])


def update_lines(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Update lines made with ``line_values`` plus ``id``. What they stand for stays as it was stored."""
    if rows:
        conn.execute(_UPDATE, list(rows))


def update_counts(conn: Connection, lines: Mapping[int, StoredLine]) -> None:
    """Update only the quantities, by row id."""
    if lines:
        conn.execute(_UPDATE_COUNTS, [counts(lines[row_id]) | {"id": row_id} for row_id in sorted(lines)])


def map_lines(conn: Connection, components: Mapping[int, Components]) -> None:
    """It is known now what these lines (by row id) stand for."""
    if components:
        rows = [{"id": row_id, "components": document(conn, dict(components[row_id]))} for row_id in sorted(components)]
        conn.execute(_MAP, rows)


def set_listing_map(conn: Connection, channel_id: int, wanted: Mapping[str, Components]) -> None:
    """Make this the channel's listing map. Lines that are stored keep what they stood for."""
    sql = "SELECT channel_sku, item_sku, quantity FROM listing_map WHERE channel_id = :channel"
    stored = {tuple(row) for row in conn.execute(text(sql), {"channel": channel_id})}
    rows = {(sku, item, pieces) for sku, components in wanted.items() for item, pieces in components.items()}
    for statement, changed in ((_UNLIST, stored - rows), (_LIST, rows - stored)):
        if changed:
            names = ("sku", "item", "pieces")
            conn.execute(statement, [{"channel": channel_id} | dict(zip(names, row, strict=True)) for row in changed])


def components_of(conn: Connection, wanted: Mapping[int, set[str]]) -> dict[tuple[int, str], Components]:
    """What channel SKUs stand for, by channel id: their listing map, else the item of exactly that SKU, else nothing."""
    found: dict[tuple[int, str], dict[str, int]] = {}
    for channel_id, skus in wanted.items():
        sql = "SELECT channel_sku, item_sku, quantity FROM listing_map WHERE channel_id = :channel AND " + among(
            conn, "channel_sku", "skus"
        )
        for row in conn.execute(text(sql), {"channel": channel_id, "skus": listed(conn, sorted(skus))}):
            found.setdefault((channel_id, row.channel_sku), {})[row.item_sku] = row.quantity
    rest = {sku for channel_id, skus in wanted.items() for sku in skus if (channel_id, sku) not in found}
    if rest:
        sql = f"SELECT sku FROM item WHERE {among(conn, 'sku', 'skus')}"
        items = set(conn.execute(text(sql), {"skus": listed(conn, sorted(rest))}).scalars())
        for channel_id, skus in wanted.items():
            for sku in skus & items:
                found.setdefault((channel_id, sku), {sku: 1})
    return found  # type: ignore[return-value]  # a dict of dicts is one of mappings


def raise_unmapped(conn: Connection, lines: Sequence[tuple[str, str, str]], now: int) -> None:
    """An issue for each line (channel name, channel SKU, order id) that stands for no item. ``now`` in microseconds."""
    if not lines:
        return
    hints = _open_hints(conn, {sku for _, sku, _ in lines})
    # Finding twins reads every item: only for what had no issue yet.
    twins = _case_twins(conn, {sku for channel, sku, _ in lines if (f"channel:{channel}", sku) not in hints})
    issues = []
    for channel, sku, order_id in lines:
        if sku in twins:
            hint = f"the item {twins[sku]} differs only in case: map {sku} to it in the listing map of {channel}"
        else:
            hint = f"add {sku} to the listing map of {channel}, or to a source"
        message = f"order {order_id} sold {sku}, which is no item: it is stored and delivered, but moves no stock"
        scope = f"channel:{channel}"
        issues.append(IssueRow(scope, UNMAPPED, message, sku=sku, hint=hints.get((scope, sku), hint)))
    raise_issues(conn, issues, now)


def _open_hints(conn: Connection, skus: set[str]) -> dict[tuple[str, str], str]:
    sql = "SELECT scope, sku, hint FROM issue WHERE code = :code AND closed_at IS NULL AND " + among(
        conn, "sku", "skus"
    )
    rows = conn.execute(text(sql), {"code": UNMAPPED, "skus": listed(conn, sorted(skus))})
    return {(row.scope, row.sku): row.hint for row in rows}


def _case_twins(conn: Connection, skus: set[str]) -> dict[str, str]:
    """Items that differ from these SKUs only in case."""
    alike: dict[str, list[str]] = defaultdict(list)
    for sku in sorted(skus):
        alike[sku.lower()].append(sku)
    if not alike:
        return {}
    sql = f"SELECT sku FROM item WHERE {among(conn, 'lower(sku)', 'skus')} ORDER BY sku"
    items = conn.execute(text(sql), {"skus": listed(conn, sorted(alike))}).scalars().all()
    return {sku: item for item in reversed(items) for sku in alike[item.lower()]}
