"""What follows from orders that changed: stock, offers elsewhere, deliveries, buyers. One place for every cause."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection, text

from marketsync.adapter.orders import Payment
from marketsync.adapter.spec import SaleLowers
from marketsync.domain.orders import OrderEvent, StoredLine, StoredOrder, deliverable, open_quantity, reserved_quantity
from marketsync.ledger.buyers import set_expiry
from marketsync.ledger.deliveries import request_deliveries
from marketsync.ledger.lines import Components, load_lines, update_counts
from marketsync.ledger.order_context import OrderChannel, OrderContext, Stored
from marketsync.ledger.order_rows import load_by_id, revise_orders
from marketsync.ledger.reservations import Demand, Owed, settle
from marketsync.ledger.sql import document
from marketsync.ledger.types import micros

NOTHING = Owed()


@dataclass(slots=True)
class Touched:
    """An order that was stored or changed in this transaction. Lines by the channel's line id.

    ``before`` None: it is new. ``revised``: it reads differently now; its ``revision`` is the new one already.
    ``mapped``: lines of which it is known only now what they stand for.
    """

    id: int
    channel_id: int
    channel: OrderChannel
    before: StoredOrder | None
    after: StoredOrder
    before_adoption: bool
    revision: int
    revised: bool
    line_ids: Mapping[str, int]
    components: Mapping[str, Components | None]
    events: list[OrderEvent] = field(default_factory=list)
    mapped: frozenset[str] = frozenset()


_EVENT = text("INSERT INTO order_event (order_id, at, kind, details) VALUES (:order_id, :at, :kind, :details)")
_OVERSOLD = text("UPDATE order_line SET oversold = oversold + :pieces WHERE id = :id")


def follow(conn: Connection, touched: Sequence[Touched], ctx: OrderContext) -> Stored:
    """Bring everything in line with these orders, in the same transaction. Returns what was counted."""
    stored = Stored()
    settled = settle(conn, [demand for order in touched for demand in _demands(order, ctx)], ctx)
    _note_oversold(conn, touched, settled.oversold, settled.causes, stored)
    _write_events(conn, touched, ctx)
    _request_deliveries(conn, touched, ctx, stored)
    set_expiry(conn, {order.id: expiry for order in touched if (expiry := expires_at(order.after, order.channel, ctx))})
    items = settled.changed | _forget(conn, touched, ctx, stored)
    if items:
        stored.push.update(ctx.restock(conn, sorted(items)))
    return stored


# ------------------------------------------------------------------ stock


def _demands(order: Touched, ctx: OrderContext) -> list[Demand]:
    before = {} if order.before is None else {line.line_id: line for line in order.before.lines}
    demands = []
    for line in order.after.lines:
        components = order.components.get(line.line_id)
        if components is None:
            continue
        now = _owed(order.after, line)
        old = before.get(line.line_id)
        if order.before is not None and old is not None and line.line_id not in order.mapped:
            was = _owed(order.before, old)
        elif order.before_adoption:
            # What left the house before the channel was ours to know is in the opening figure already.
            was = Owed(shipped=now.shipped, cancelled=now.cancelled)
        else:
            was = NOTHING
        if was != now:
            delivered = bool(ctx.sinks) and not order.before_adoption
            row_id = order.line_ids[line.line_id]
            demands.append(Demand(row_id, order.id, order.channel, components, was, now, delivered))
    return demands


def _owed(order: StoredOrder, line: StoredLine) -> Owed:
    if line.fulfilled_by != "merchant":
        return NOTHING
    return Owed(reserved_quantity(order, line), line.shipped, line.cancelled)


def _note_oversold(
    conn: Connection,
    touched: Sequence[Touched],
    oversold: Mapping[int, int],
    causes: Mapping[int, Sequence[str]],
    stored: Stored,
) -> None:
    if not oversold:
        return
    conn.execute(_OVERSOLD, [{"id": line_id, "pieces": pieces} for line_id, pieces in sorted(oversold.items())])
    for order in touched:
        for line in order.after.lines:
            row_id = order.line_ids[line.line_id]
            if pieces := oversold.get(row_id, 0):
                stored.oversold[order.channel.name] += pieces
                others = ", ".join(causes.get(row_id, ())) or "nobody: there were not so many"
                message = f"line {line.line_id}: {pieces} pieces were not there; the others are held by {others}"
                order.events.append(OrderEvent(code="oversold", message=message))


# ------------------------------------------------------------------ the channel's own stock


def _forget(conn: Connection, touched: Sequence[Touched], ctx: OrderContext, stored: Stored) -> set[str]:
    """The channel has moved its own figure for what it sold or cancelled. Returns the items concerned."""
    skus: dict[int, set[str]] = defaultdict(set)
    items: set[str] = set()
    for order in touched:
        for line in _moved_by_channel(order):
            skus[order.channel_id].add(line.sku)
            items.update(order.components.get(line.line_id) or ())
    for channel_id, channel_skus in sorted(skus.items()):
        ctx.forget_stock(conn, channel_id, sorted(channel_skus))
        stored.push.add(ctx.channels[channel_id].name)
    return items


def _moved_by_channel(order: Touched) -> list[StoredLine]:
    lowers = order.channel.sale_lowers
    if lowers is SaleLowers.NEVER or order.mapped:
        return []
    before = {} if order.before is None else {line.line_id: line for line in order.before.lines}
    if order.before is None and order.before_adoption and not any(map(open_quantity, order.after.lines)):
        return []  # sold and settled long ago
    paid = order.after.payment is Payment.PAID
    counts = lowers is not SaleLowers.AT_PAYMENT or paid
    paid_now = paid and lowers is not SaleLowers.AT_PLACING and _payment(order.before) is not Payment.PAID
    moved = []
    for line in order.after.lines:
        old = before.get(line.line_id)
        sold = counts and (old is None or line.quantity != old.quantity)
        cancelled = line.cancelled > (0 if old is None else old.cancelled)
        if line.fulfilled_by == "merchant" and (sold or paid_now or cancelled):
            moved.append(line)
    return moved


def _payment(order: StoredOrder | None) -> Payment | None:
    return None if order is None else order.payment


# ------------------------------------------------------------------ events, sinks, buyers


def _write_events(conn: Connection, touched: Sequence[Touched], ctx: OrderContext) -> None:
    at = micros(ctx.now)
    rows = [
        {"order_id": order.id, "at": at, "kind": event.code, "details": document(conn, {"message": event.message})}
        for order in touched
        for event in order.events
    ]
    if rows:
        conn.execute(_EVENT, rows)


def _request_deliveries(conn: Connection, touched: Sequence[Touched], ctx: OrderContext, stored: Stored) -> None:
    revised = [order for order in touched if order.revised]
    wanted = {order.id: sinks for order in revised if (sinks := _sinks_of(order, ctx))}
    request_deliveries(conn, wanted, {order.id: order.revision for order in revised}, ctx.now)
    stored.deliveries = bool(ctx.sinks and revised)


def _sinks_of(order: Touched, ctx: OrderContext) -> list[str]:
    """The sinks that are to get an order. One that a sink has already gets every revision of it, whatever it says."""
    if order.before_adoption or not deliverable(order.after):
        return []
    ours = any(line.fulfilled_by == "merchant" for line in order.after.lines)
    return [name for name, takes_channels in ctx.sinks.items() if ours or takes_channels]


def expires_at(order: StoredOrder, channel: OrderChannel, ctx: OrderContext) -> datetime | None:
    """Until when the buyer of a complete order is kept; None while something is to be sent."""
    if any(map(open_quantity, order.lines)):
        return None
    return min(order.updated, ctx.now) + channel.keeps_buyers


# ------------------------------------------------------------------ what our own commands change


def raise_counts(
    conn: Connection, order_id: int, count: str, totals: Mapping[str, int], kind: str, ctx: OrderContext
) -> Stored:
    """A command was done: ``count`` (shipped, cancelled, refunded) of these lines is at least ``totals``, by line id.

    A pull may have told of it before: then nothing changes.
    """
    row = load_by_id(conn, [order_id])[order_id]
    lines = load_lines(conn, [order_id])[order_id]
    before = row.with_lines(lines)
    after = replace(before, lines=tuple(_raised(line, count, totals) for line in before.lines))
    if after == before or row.channel_id not in ctx.channels:
        return Stored()
    ids = {line.line.line_id: line.id for line in lines}
    update_counts(conn, {ids[line.line_id]: line for line in after.lines})
    revise_orders(conn, {order_id: row.revision + 1})
    touched = Touched(
        id=order_id, channel_id=row.channel_id, channel=ctx.channels[row.channel_id], before=before, after=after,
        before_adoption=row.before_adoption, revision=row.revision + 1, revised=True, line_ids=ids,
        components={line.line.line_id: line.components for line in lines},
        events=[OrderEvent(code=kind, message=f"the channel was told to {kind}")],
    )  # fmt: skip
    stored = follow(conn, [touched], ctx)
    stored.changed = 1
    if count == "cancelled":
        pieces = sum(line.cancelled for line in after.lines) - sum(line.cancelled for line in before.lines)
        stored.cancelled[touched.channel.name] += pieces
    return stored


def _raised(line: StoredLine, count: str, totals: Mapping[str, int]) -> StoredLine:
    total = totals.get(line.line_id, 0)
    return replace(line, **{count: max(getattr(line, count), min(total, line.quantity))})
