"""Orders into the ledger, a page in one transaction: each once per (account, channel order id), in its newest version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, text

from marketsync.adapter.orders import ChannelOrder
from marketsync.domain.orders import LineChange, OrderEvent, StoredOrder, Verdict, compare, order_hash
from marketsync.ledger.buyers import BuyerRow, open_buyers, put_buyers
from marketsync.ledger.commands import close_acknowledged, request_acknowledgements
from marketsync.ledger.effects import Touched, expires_at, follow
from marketsync.ledger.issues import IssueRow, close_issues, raise_issues
from marketsync.ledger.lines import (
    UNMAPPED,
    Components,
    LineRow,
    amounts_of,
    components_of,
    insert_lines,
    line_values,
    load_lines,
    map_lines,
    minor,
    raise_unmapped,
    update_lines,
)
from marketsync.ledger.order_check import Unstorable, checked
from marketsync.ledger.order_context import OrderChannel, OrderContext, Stored
from marketsync.ledger.order_rows import (
    OrderRow,
    insert_orders,
    load_by_id,
    load_orders,
    order_values,
    revise_orders,
    touch_orders,
    update_orders,
)
from marketsync.ledger.sql import among, listed
from marketsync.ledger.types import micros

REFUSED = "unstorable_order"
RESOLVED_AT_ONCE = 500  # lines per transaction

Mapped = Mapping[tuple[int, str], Components]  # channel id, channel SKU


@dataclass(frozen=True, slots=True)
class _Known:
    """An order as it is stored, with its buyer where there is one."""

    row: OrderRow
    lines: Sequence[LineRow]
    buyer: Any
    channel_id: int


@dataclass(slots=True)
class _Read:
    """A new or changed order on its way into the ledger. ``row`` and ``lines``: what is stored of it."""

    order: ChannelOrder
    channel_id: int
    channel: OrderChannel
    before_adoption: bool
    row: OrderRow | None
    lines: Sequence[LineRow]
    after: StoredOrder
    changes: tuple[LineChange, ...]
    events: list[OrderEvent]
    revision: int
    revised: bool
    id: int = 0


def store_orders(
    conn: Connection,
    account_id: int,
    channel_of: Mapping[str, int],
    orders: Sequence[ChannelOrder],
    ctx: OrderContext,
) -> Stored:
    """Store a page of orders with everything that follows from them. ``channel_of``: channel id by storefront.

    Repeats cost a comparison, older versions are ignored. An order that cannot be stored as it is (two lines of one
    id, an unknown storefront, ...) becomes an issue and is counted; the others are stored.
    """
    usable, refused = _usable(orders, channel_of, ctx)
    _raise_refused(conn, refused, ctx)
    rows = load_orders(conn, account_id, [order.order_id for order, _ in usable])
    counted = Stored(refused=len(refused))
    fresh: list[tuple[ChannelOrder, int, bytes]] = []
    touched: dict[int, int] = {}
    for order, channel_id in usable:
        content, row = order_hash(order, ctx.hash_key), rows.get(order.order_id)
        verdict = _verdict(order, content, row)
        setattr(counted, verdict.value, getattr(counted, verdict.value) + 1)
        if verdict is Verdict.NEW or verdict is Verdict.CHANGED:
            fresh.append((order, channel_id, content))
        elif verdict is Verdict.SAME and row is not None and order.updated > row.order.updated:
            touched[row.id] = micros(order.updated)
    touch_orders(conn, touched)
    if fresh:
        counted.add(_store(conn, account_id, fresh, rows, ctx))
    return counted


def _usable(
    orders: Sequence[ChannelOrder], channel_of: Mapping[str, int], ctx: OrderContext
) -> tuple[list[tuple[ChannelOrder, int]], list[tuple[str, str]]]:
    """The newest version of each order that can be stored, by time of placing, with its channel; why others cannot."""
    newest: dict[str, tuple[ChannelOrder, int]] = {}
    refused = []
    for order in orders:
        try:
            clean, channel_id = checked(order), _channel(order, channel_of, ctx)
        except Unstorable as reason:
            refused.append((order.order_id, str(reason)))
            continue
        if clean.order_id not in newest or newest[clean.order_id][0].updated <= clean.updated:
            newest[clean.order_id] = (clean, channel_id)
    return sorted(newest.values(), key=lambda pair: (pair[0].placed, pair[0].order_id)), refused


def _channel(order: ChannelOrder, channel_of: Mapping[str, int], ctx: OrderContext) -> int:
    channel_id = channel_of.get(order.storefront)
    if channel_id is None and not order.storefront and len(channel_of) == 1:
        channel_id = next(iter(channel_of.values()))
    if channel_id is None:
        name = order.storefront or "(none)"
        raise Unstorable(f"it was sold on the storefront {name}, for which account {ctx.account} has no channel")
    return channel_id


def _raise_refused(conn: Connection, refused: Sequence[tuple[str, str]], ctx: OrderContext) -> None:
    hint = "the order is not in the ledger: handle it by hand, and report it if the channel shows it well"
    scope = f"account:{ctx.account}"
    issues = [
        IssueRow(scope, REFUSED, f"order {order_id} cannot be stored: {reason}", sku=f"order:{order_id}", hint=hint)
        for order_id, reason in refused
    ]
    raise_issues(conn, issues, micros(ctx.now))


def _verdict(order: ChannelOrder, content: bytes, row: OrderRow | None) -> Verdict:
    """As ``compare`` will say, without the stored lines: most of what is read was read before."""
    if row is None:
        return Verdict.NEW
    if order.updated < row.order.updated:
        return Verdict.OLDER
    return Verdict.SAME if content == row.order.content else Verdict.CHANGED


# ------------------------------------------------------------------ storing what is new or changed


def _store(
    conn: Connection,
    account_id: int,
    fresh: Sequence[tuple[ChannelOrder, int, bytes]],
    rows: Mapping[str, OrderRow],
    ctx: OrderContext,
) -> Stored:
    known = [rows[order.order_id].id for order, _, _ in fresh if order.order_id in rows]
    lines = load_lines(conn, known) if known else {}
    buyers = open_buyers(conn, ctx.vault, known) if known else {}
    reads = []
    for order, channel_id, content in fresh:
        row = rows.get(order.order_id)
        if row is None:
            reads.append(_new(order, channel_id, content, ctx))
        else:
            # A channel that was renamed is another row now; its orders stay where they are.
            stays = row.channel_id if row.channel_id in ctx.channels else channel_id
            known_order = _Known(row, lines.get(row.id, []), buyers.get(row.id), stays)
            reads.append(_changed(order, content, known_order, ctx))
    mapped = _mapped(conn, reads)
    _write(conn, account_id, reads, mapped, ctx)
    _write_buyers(conn, reads, buyers, ctx)
    stored_lines = load_lines(conn, [read.id for read in reads])
    touched = [_touched(read, stored_lines[read.id]) for read in reads]
    raise_unmapped(conn, _unmapped(touched), micros(ctx.now))
    stored = follow(conn, touched, ctx)
    wanted = {read.id: read.order.order_id for read in reads if _to_acknowledge(read)}
    stored.commands = request_acknowledgements(conn, account_id, ctx.account, wanted, ctx.now)
    close_acknowledged(conn, [read.id for read in reads if read.row is not None and read.order.acknowledged], ctx.now)
    _count(reads, stored)
    return stored


def _new(order: ChannelOrder, channel_id: int, content: bytes, ctx: OrderContext) -> _Read:
    change, channel = compare(None, order, content), ctx.channels[channel_id]
    return _Read(
        order=order, channel_id=channel_id, channel=channel, row=None, lines=(), after=change.order,
        before_adoption=channel.adopted_at is None or order.placed < channel.adopted_at,
        changes=change.lines, events=list(change.events), revision=1, revised=True,
    )  # fmt: skip


def _changed(order: ChannelOrder, content: bytes, known: _Known, ctx: OrderContext) -> _Read:
    """What a newer version changes. One that tells less (no address any more) takes nothing back."""
    row, lines, buyer = known.row, known.lines, known.buyer
    change = compare(row.with_lines(lines), order, content)
    skus = {line.line.line_id: line.line.sku for line in lines}
    after = replace(
        change.order,
        address_known=change.order.address_known or row.order.address_known,
        # A line keeps the SKU under which its pieces are held; the event tells of the other one.
        lines=tuple(replace(line, sku=skus.get(line.line_id, line.sku)) for line in change.order.lines),
    )
    events = list(change.events)
    if (
        buyer is not None
        and order.buyer is not None
        and buyer != BuyerRow(row.id, order.buyer, order.billing).document()
    ):
        events.append(OrderEvent(code="address_changed", message="the address changed"))
    revised = bool(change.lines or events) or _amounts_moved(order, row, lines)
    return _Read(
        order=order, channel_id=known.channel_id, channel=ctx.channels[known.channel_id], row=row, lines=lines,
        after=after, before_adoption=row.before_adoption, changes=change.lines, events=events,
        revision=row.revision + revised, revised=revised, id=row.id,
    )  # fmt: skip


def _amounts_moved(order: ChannelOrder, row: OrderRow, lines: Sequence[LineRow]) -> bool:
    if row.amounts != (minor(order.total, order.currency), minor(order.shipping, order.currency)):
        return True
    if row.ship_by != (None if order.ship_by is None else micros(order.ship_by)):
        return True
    amounts = {line.line_id: amounts_of(line, order.currency) for line in order.lines}
    return any(amounts.get(line.line.line_id, line.amounts) != line.amounts for line in lines)


def _mapped(conn: Connection, reads: Sequence[_Read]) -> Mapped:
    """What the new lines stand for."""
    wanted: dict[int, set[str]] = {}
    for read in reads:
        stored = {line.line.line_id for line in read.lines}
        skus = {line.sku for line in read.order.lines if line.line_id not in stored}
        wanted.setdefault(read.channel_id, set()).update(skus)
    return components_of(conn, wanted)


def _write(conn: Connection, account_id: int, reads: Sequence[_Read], mapped: Mapped, ctx: OrderContext) -> None:
    inserts, updates = [], []
    for read in reads:
        values = order_values(conn, read.order, read.after, read.revision)
        values["acknowledged"] = read.order.acknowledged or (read.row is not None and read.row.acknowledged)
        values["unmapped"] = _has_unmapped(read, mapped)
        if read.row is None:
            values |= {"channel_id": read.channel_id, "key": f"{ctx.account}:{read.order.order_id}"}
            values |= {"stored_at": micros(ctx.now), "before_adoption": read.before_adoption}
            inserts.append(values)
        else:
            updates.append(values | {"id": read.id})
    update_orders(conn, updates)
    ids = insert_orders(conn, account_id, inserts)
    for read in reads:
        read.id = read.id or ids[read.order.order_id]
    _write_lines(conn, reads, mapped)


def _has_unmapped(read: _Read, mapped: Mapped) -> bool:
    known = {line.line.line_id: line.components is not None for line in read.lines}
    return not all(known.get(line.line_id, (read.channel_id, line.sku) in mapped) for line in read.order.lines)


def _write_lines(conn: Connection, reads: Sequence[_Read], mapped: Mapped) -> None:
    inserts, updates = [], []
    for read in reads:
        ids = {line.line.line_id: line.id for line in read.lines}
        after = {line.line_id: line for line in read.after.lines}
        for line in read.order.lines:
            values = line_values(conn, after[line.line_id], line, read.order.currency)
            if line.line_id in ids:
                updates.append(values | {"id": ids[line.line_id]})
            else:
                components = mapped.get((read.channel_id, line.sku))
                inserts.append(values | {"order_id": read.id, "components": components})
    update_lines(conn, updates)
    insert_lines(conn, inserts)


def _write_buyers(conn: Connection, reads: Sequence[_Read], buyers: Mapping[int, Any], ctx: OrderContext) -> None:
    rows = []
    for read in reads:
        buyer = read.order.buyer
        purged = read.row is not None and read.row.order.address_known and read.id not in buyers
        if buyer is None or purged:
            continue
        expiry = expires_at(read.after, read.channel, ctx)
        row = BuyerRow(read.id, buyer, read.order.billing, expiry)
        known = buyers.get(read.id)
        if (known is None or known != row.document()) and (expiry is None or expiry > ctx.now):
            rows.append(row)
    put_buyers(conn, ctx.vault, rows)


def _touched(read: _Read, lines: Sequence[LineRow]) -> Touched:
    return Touched(
        id=read.id, channel_id=read.channel_id, channel=read.channel,
        before=None if read.row is None else read.row.with_lines(read.lines), after=read.after,
        before_adoption=read.before_adoption, revision=read.revision, revised=read.revised,
        line_ids={line.line.line_id: line.id for line in lines},
        components={line.line.line_id: line.components for line in lines}, events=read.events,
    )  # fmt: skip


def _unmapped(touched: Sequence[Touched]) -> list[tuple[str, str, str]]:
    return [
        (order.channel.name, line.sku, order.after.order_id)
        for order in touched
        for line in order.after.lines
        if order.components[line.line_id] is None and line.line_id not in _line_ids(order.before)
    ]


def _line_ids(order: StoredOrder | None) -> set[str]:
    return set() if order is None else {line.line_id for line in order.lines}


def _to_acknowledge(read: _Read) -> bool:
    return read.row is None and read.channel.acknowledges and not read.before_adoption and not read.order.acknowledged


def _count(reads: Sequence[_Read], stored: Stored) -> None:
    for read in reads:
        name = read.channel.name
        stored.cancelled[name] += sum(change.cancelled for change in read.changes)
        if read.row is None:
            sold = stored.sold[name, read.order.currency]
            sold.orders += 1
            sold.lines += len(read.order.lines)
            sold.units += sum(line.quantity for line in read.order.lines)
            sold.minor += sum(minor(line.amount, read.order.currency) or 0 for line in read.order.lines)


# ------------------------------------------------------------------ lines that are mapped later


def resolve_unmapped(conn: Connection, account_id: int, ctx: OrderContext) -> Stored:
    """Give lines that stood for nothing what they stand for now, some at a time, with all that follows.

    Returns what was done; call again until ``changed`` is 0.
    """
    lines = _resolvable(conn, account_id)
    by_order: dict[int, list[tuple[int, str, str]]] = {}
    for order_id, row_id, line_id, sku in lines:
        by_order.setdefault(order_id, []).append((row_id, line_id, sku))
    rows = {order_id: row for order_id, row in load_by_id(conn, by_order).items() if row.channel_id in ctx.channels}
    wanted: dict[int, set[str]] = {}
    for order_id, row in rows.items():
        wanted.setdefault(row.channel_id, set()).update(sku for _, _, sku in by_order[order_id])
    mapped = components_of(conn, wanted)
    map_lines(conn, {
        row_id: mapped[row.channel_id, sku]
        for order_id, row in rows.items() for row_id, _, sku in by_order[order_id] if (row.channel_id, sku) in mapped
    })  # fmt: skip
    stored_lines = load_lines(conn, rows)
    touched = []
    for order_id, row in sorted(rows.items()):
        fresh = frozenset(line_id for _, line_id, sku in by_order[order_id] if (row.channel_id, sku) in mapped)
        touched.append(_mapped_order(row, stored_lines[order_id], fresh, ctx))
    revise_orders(conn, {order.id: order.revision for order in touched})
    whole = [order.id for order in touched if None not in order.components.values()]
    sql = f"UPDATE sales_order SET unmapped = :no WHERE {among(conn, 'id', 'ids')}"
    conn.execute(text(sql), {"no": False, "ids": listed(conn, whole)})
    for channel_id, skus in wanted.items():
        known = sorted(sku for sku in skus if (channel_id, sku) in mapped)
        close_issues(conn, f"channel:{ctx.channels[channel_id].name}", UNMAPPED, known, micros(ctx.now))
    stored = follow(conn, touched, ctx)
    stored.changed = len(touched)
    return stored


def _resolvable(conn: Connection, account_id: int) -> list[tuple[int, int, str, str]]:
    sql = (
        "SELECT l.order_id, l.id, l.channel_line_id, l.channel_sku FROM sales_order o"
        " JOIN order_line l ON l.order_id = o.id WHERE o.account_id = :account AND o.unmapped AND l.components IS NULL"
        " AND (EXISTS (SELECT 1 FROM item i WHERE i.sku = l.channel_sku) OR EXISTS (SELECT 1 FROM listing_map m"
        " WHERE m.channel_id = o.channel_id AND m.channel_sku = l.channel_sku)) ORDER BY l.id LIMIT :limit"
    )
    rows = conn.execute(text(sql), {"account": account_id, "limit": RESOLVED_AT_ONCE})
    return [(row.order_id, row.id, row.channel_line_id, row.channel_sku) for row in rows]


def _mapped_order(row: OrderRow, lines: Sequence[LineRow], fresh: frozenset[str], ctx: OrderContext) -> Touched:
    order = row.with_lines(lines)
    skus = ", ".join(sorted({line.line.sku for line in lines if line.line.line_id in fresh}))
    return Touched(
        id=row.id, channel_id=row.channel_id, channel=ctx.channels[row.channel_id], before=order, after=order,
        before_adoption=row.before_adoption, revision=row.revision + 1, revised=True,
        line_ids={line.line.line_id: line.id for line in lines},
        components={line.line.line_id: line.components for line in lines},
        events=[OrderEvent(code="mapped", message=f"it is known now what {skus} stands for")], mapped=fresh,
    )  # fmt: skip
