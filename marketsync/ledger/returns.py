"""Goods that come back: requested, received, refunded. Restocked once, when received and sellable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from marketsync.adapter.orders import ChannelReturn, ReturnState
from marketsync.domain.ownership import Owner
from marketsync.ledger.issues import IssueRow, raise_issues
from marketsync.ledger.lines import LineRow, load_lines
from marketsync.ledger.order_context import OrderChannel, OrderContext, Stored
from marketsync.ledger.order_rows import OrderRow, load_orders
from marketsync.ledger.sql import among, document, listed
from marketsync.ledger.stock import Levels, Movement
from marketsync.ledger.types import micros

RECEIVED = frozenset({ReturnState.RECEIVED, ReturnState.REFUNDED})
_RANK = {state: rank for rank, state in enumerate(ReturnState)}
NO_ORDER = "return_without_order"


@dataclass(slots=True)
class _Item:
    """A return as stored, or about to be."""

    id: int | None
    state: ReturnState | None
    restocked: bool
    updated: int


_INSERT = text(
    "INSERT INTO return_item (account_id, channel_order_id, key, channel_line_id, channel_sku, quantity, state,"
    " sellable, restocked, reason, updated_at) VALUES (:account_id, :channel_order_id, :key, :channel_line_id,"
    " :channel_sku, :quantity, :state, :sellable, :restocked, :reason, :updated_at)"
)
_UPDATE = text(
    "UPDATE return_item SET quantity = :quantity, state = :state, sellable = :sellable, restocked = :restocked,"
    " reason = :reason, updated_at = :updated_at WHERE id = :id"
)
_RESTOCKED = text("UPDATE order_line SET restocked = restocked + :units WHERE id = :id")
_EVENT = text("INSERT INTO order_event (order_id, at, kind, details) VALUES (:order_id, :at, :kind, :details)")


def store_returns(conn: Connection, account_id: int, returns: Sequence[ChannelReturn], ctx: OrderContext) -> Stored:
    """Store returns, once per (order, return id); put back what may be sold again, once. Older versions are ignored."""
    newest: dict[tuple[str, str], ChannelReturn] = {}
    for told in returns:
        key = (told.order_id, told.return_id)
        if key not in newest or newest[key].updated <= told.updated:
            newest[key] = told
    orders = load_orders(conn, account_id, {order_id for order_id, _ in newest})
    lines = load_lines(conn, [row.id for row in orders.values()])
    known = _known(conn, account_id, sorted({order_id for order_id, _ in newest}))
    stored = Stored()
    work: list[tuple[ChannelReturn, _Item, LineRow | None, OrderRow | None]] = []
    for key, told in sorted(newest.items()):
        item = known.get(key) or _Item(None, None, restocked=False, updated=0)
        if item.state is not None and (micros(told.updated) < item.updated or _RANK[told.state] < _RANK[item.state]):
            stored.older += 1
            continue
        order = orders.get(told.order_id)
        work.append((told, item, _line(told, lines.get(order.id, ()) if order else ()), order))
    _restock(conn, work, stored, ctx)
    _write(conn, account_id, work, ctx)
    _count(work, stored, ctx)
    missing = sorted({told.order_id for told, _, _, order in work if order is None})
    _raise_missing(conn, missing, ctx)
    return stored


def _known(conn: Connection, account_id: int, order_ids: Sequence[str]) -> dict[tuple[str, str], _Item]:
    sql = (
        "SELECT id, channel_order_id, key, state, restocked, updated_at FROM return_item WHERE account_id = :account AND "
        + among(conn, "channel_order_id", "orders")
    )
    rows = conn.execute(text(sql), {"account": account_id, "orders": listed(conn, order_ids)})
    return {
        (row.channel_order_id, row.key): _Item(row.id, ReturnState(row.state), bool(row.restocked), row.updated_at)
        for row in rows
    }


def _line(told: ChannelReturn, lines: Sequence[LineRow]) -> LineRow | None:
    """The line a return names, by its id, else by its SKU where only one line has it."""
    by_id = [line for line in lines if line.line.line_id == told.line_id]
    by_sku = [line for line in lines if line.line.sku == told.sku]
    if by_id:
        return by_id[0]
    return by_sku[0] if len(by_sku) == 1 and not told.line_id else None


def _restock(
    conn: Connection,
    work: Sequence[tuple[ChannelReturn, _Item, LineRow | None, OrderRow | None]],
    stored: Stored,
    ctx: OrderContext,
) -> None:
    wanted = [
        (told, item, line, channel)
        for told, item, line, order in work
        if line is not None and order is not None
        if (channel := ctx.channels.get(order.channel_id)) is not None
        if told.state in RECEIVED and told.sellable and not item.restocked and channel.restocks_returned
        if line.components and line.line.fulfilled_by == "merchant"
    ]
    if not wanted:
        return
    places = _places(conn, [line.id for _, _, line, _ in wanted])
    at = {
        (line.id, sku): _place(places, line, sku, channel)
        for _, _, line, channel in wanted
        for sku in line.components or ()
    }
    levels = Levels(conn, [(sku, place) for (_, sku), place in at.items()])
    units: dict[int, int] = {}
    for told, item, line, _channel in wanted:
        # One parcel may be reported twice, by the channel and by the warehouse: never more than was sold.
        left = line.line.quantity - line.line.cancelled - line.restocked - units.get(line.id, 0)
        count = min(told.quantity, left)
        if count <= 0:
            continue
        item.restocked = True
        units[line.id] = units.get(line.id, 0) + count
        for sku, each in (line.components or {}).items():
            place = at[line.id, sku]
            policy = ctx.stock.of(place)
            if policy.books_shipments or policy.owner is Owner.CHANNEL:
                reference = f"return:{line.id}:{sku}:{told.return_id}"
                levels.move(Movement(sku, place, count * each, "return", reference, ctx.now))
    if units:
        conn.execute(_RESTOCKED, [{"id": line_id, "units": count} for line_id, count in sorted(units.items())])
    changed = levels.write()
    if changed:
        stored.push.update(ctx.restock(conn, sorted(changed)))


def _places(conn: Connection, line_ids: Sequence[int]) -> dict[tuple[int, str], str]:
    sql = f"SELECT line_id, sku, location FROM reservation WHERE {among(conn, 'line_id', 'lines')}"
    rows = conn.execute(text(sql), {"lines": listed(conn, sorted(set(line_ids)))})
    return {(row.line_id, row.sku): row.location for row in rows}


def _place(places: Mapping[tuple[int, str], str], line: LineRow, sku: str, channel: OrderChannel) -> str:
    """Back to where it was taken from."""
    return places.get((line.id, sku), channel.locations[0])


def _write(
    conn: Connection,
    account_id: int,
    work: Sequence[tuple[ChannelReturn, _Item, LineRow | None, OrderRow | None]],
    ctx: OrderContext,
) -> None:
    inserts: list[dict[str, Any]] = []
    updates: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for told, item, _, order in work:
        values: dict[str, Any] = {
            "account_id": account_id, "channel_order_id": told.order_id, "key": told.return_id,
            "channel_line_id": told.line_id, "channel_sku": told.sku, "quantity": told.quantity,
            "state": told.state.value, "sellable": told.sellable, "restocked": item.restocked,
            "reason": told.reason[:500], "updated_at": micros(told.updated), "id": item.id,
        }  # fmt: skip
        (inserts if item.id is None else updates).append(values)
        if order is not None and told.state is not item.state:
            again = ", put back into stock" if item.restocked else ""
            message = f"return {told.return_id} of {told.quantity} {told.sku}: {told.state}{again}"
            details = document(conn, {"message": message})
            events.append({"order_id": order.id, "at": micros(ctx.now), "kind": "return", "details": details})
    for statement, rows in ((_INSERT, inserts), (_UPDATE, updates), (_EVENT, events)):
        if rows:
            conn.execute(statement, rows)


def _count(
    work: Sequence[tuple[ChannelReturn, _Item, LineRow | None, OrderRow | None]], stored: Stored, ctx: OrderContext
) -> None:
    for told, item, _, order in work:
        moved = (told.state, micros(told.updated)) != (item.state, item.updated)
        stored.new += item.id is None
        stored.changed += item.id is not None and moved
        stored.same += not moved
        if order is not None and told.state in RECEIVED and item.state not in RECEIVED:
            channel = ctx.channels.get(order.channel_id)
            stored.returned[channel.name if channel else ctx.account] += told.quantity


def _raise_missing(conn: Connection, order_ids: Sequence[str], ctx: OrderContext) -> None:
    hint = "nothing is put back into stock for it: recount the pieces if they can be sold again"
    issues = [
        IssueRow(
            f"account:{ctx.account}", NO_ORDER, f"a return names order {order_id}, which is not in the ledger",
            sku=f"order:{order_id}", hint=hint,
        )
        for order_id in order_ids
    ]  # fmt: skip
    raise_issues(conn, issues, micros(ctx.now))
