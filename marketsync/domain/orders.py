"""What a newly read order changes in the stored one. Nothing personal passes here but into a keyed hash.

Pages arrive twice and out of order. An older version is ignored; counts (cancelled, shipped, returned, refunded) never
fall, whatever a channel says: what was moved in stock once is not moved back by an answer, and the event says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b

import orjson

from marketsync.adapter.orders import ChannelLine, ChannelOrder, Fulfilment, Payment

COUNTS = ("cancelled", "shipped", "returned", "refunded")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLine:
    """A line's quantities: totals so far. ``sku`` is the channel SKU."""

    line_id: str
    sku: str
    quantity: int
    cancelled: int = 0
    shipped: int = 0
    returned: int = 0
    refunded: int = 0
    fulfilled_by: str = "merchant"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOrder:
    """What the rules need to know of an order; ``content`` is its ``order_hash``."""

    order_id: str
    updated: datetime
    payment: Payment
    fulfilment: Fulfilment
    lines: tuple[StoredLine, ...]
    address_known: bool
    cancel_requested: bool = False
    content: bytes = b""


class Verdict(StrEnum):
    """What to do with an order that was read."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"  # nothing but its time is different
    OLDER = "older"  # ignored: a newer version is stored


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChange:
    """By how much each quantity of a line moved; ``quantity`` is the ordered one, all of it where the line is new."""

    line_id: str
    sku: str
    quantity: int = 0
    cancelled: int = 0
    shipped: int = 0
    returned: int = 0
    refunded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEvent:
    """Something to remember of an order: a bounded code, a plain sentence without personal data."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChange:
    """The order as it is to be stored from now on, and how it got there."""

    verdict: Verdict
    order: StoredOrder
    lines: tuple[LineChange, ...] = ()
    events: tuple[OrderEvent, ...] = ()


def open_quantity(line: StoredLine) -> int:
    """Pieces that are still to be sent: ordered - cancelled - shipped, never below 0."""
    return max(0, line.quantity - line.cancelled - line.shipped)


def reserved_quantity(order: StoredOrder, line: StoredLine) -> int:
    """Pieces that this line keeps from being sold again.

    Unpaid and pending orders reserve. What the channel fulfils takes nothing of ours; a payment that failed releases.
    """
    if line.fulfilled_by != "merchant" or order.payment is Payment.FAILED:
        return 0
    return open_quantity(line)


def is_cancelled(order: StoredOrder) -> bool:
    """Whether nothing is left of an order: said by the channel, or because every line is cancelled in full."""
    if order.fulfilment is Fulfilment.CANCELLED:
        return True
    return bool(order.lines) and all(line.cancelled >= line.quantity for line in order.lines)


def deliverable(order: StoredOrder) -> bool:
    """Whether sinks may have it: paid, the address known, not cancelled."""
    return order.payment is Payment.PAID and order.address_known and not is_cancelled(order)


def order_hash(order: ChannelOrder, key: bytes) -> bytes:
    """16 bytes that stand for all of an order but its time of update. ``key`` (up to 64 bytes) is the ledger's secret:
    without it the hash tells nothing of a buyer.
    """
    timeless = replace(order, updated=order.placed)
    document = orjson.dumps(timeless, default=dict, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)
    return blake2b(document, digest_size=16, key=key).digest()


def compare(stored: StoredOrder | None, read: ChannelOrder, content: bytes) -> OrderChange:
    """What a newly read order changes. ``content`` is its ``order_hash``."""
    if stored is None:
        order = as_stored(read, content)
        events = (OrderEvent(code="received", message=f"received with {len(order.lines)} lines"),)
        return OrderChange(verdict=Verdict.NEW, order=order, lines=_line_changes((), order.lines), events=events)
    if read.updated < stored.updated:
        event = OrderEvent(
            code="older_ignored",
            message=f"a version of {_time(read.updated)} came after that of {_time(stored.updated)}",
        )
        return OrderChange(verdict=Verdict.OLDER, order=stored, events=(event,))
    if content == stored.content:
        return OrderChange(verdict=Verdict.SAME, order=replace(stored, updated=read.updated))
    lines, line_events = _merged(stored.lines, as_stored(read, content).lines)
    order = replace(as_stored(read, content), lines=lines)
    return OrderChange(
        verdict=Verdict.CHANGED,
        order=order,
        lines=_line_changes(stored.lines, lines),
        events=(*_state_events(stored, order), *line_events),
    )


def as_stored(read: ChannelOrder, content: bytes) -> StoredOrder:
    """The part of a read order that the rules know. A cancelled order's unsent pieces are cancelled on its lines too."""
    cancelled = read.fulfilment is Fulfilment.CANCELLED
    return StoredOrder(
        order_id=read.order_id,
        updated=read.updated,
        payment=read.payment,
        fulfilment=read.fulfilment,
        lines=tuple(_stored_line(line, cancelled) for line in read.lines),
        address_known=read.buyer is not None,
        cancel_requested=read.cancel_requested,
        content=content,
    )


def _stored_line(line: ChannelLine, order_cancelled: bool) -> StoredLine:
    cancelled = max(line.cancelled, line.quantity - line.shipped) if order_cancelled else line.cancelled
    return StoredLine(
        line_id=line.line_id,
        sku=line.sku,
        quantity=line.quantity,
        cancelled=cancelled,
        shipped=line.shipped,
        returned=line.returned,
        refunded=line.refunded,
        fulfilled_by=line.fulfilled_by,
    )


def _merged(
    stored: Sequence[StoredLine], read: Sequence[StoredLine]
) -> tuple[tuple[StoredLine, ...], tuple[OrderEvent, ...]]:
    """The lines to store: as read, but no count falls and no line vanishes; and an event for each that tried to."""
    before = {line.line_id: line for line in stored}
    lines, events = [], []
    for line in read:
        old = before.pop(line.line_id, None)
        if old is None:
            lines.append(line)
            continue
        for name in COUNTS:
            had, has = getattr(old, name), getattr(line, name)
            if has < had:
                events.append(_backwards(line.line_id, name, had, has))
        lines.append(replace(line, **{name: max(getattr(old, name), getattr(line, name)) for name in COUNTS}))
        if line.sku != old.sku:
            message = f"line {line.line_id}: the SKU changed from {old.sku} to {line.sku}"
            events.append(OrderEvent(code="sku_changed", message=message))
        if line.quantity < old.quantity:
            message = f"line {line.line_id}: the quantity went from {old.quantity} down to {line.quantity}"
            events.append(OrderEvent(code="quantity_lowered", message=message))
    for gone in before.values():
        lines.append(gone)
        message = f"line {gone.line_id} is missing from a newer version; it is kept as it was"
        events.append(OrderEvent(code="line_missing", message=message))
    return tuple(lines), tuple(events)


def _backwards(line_id: str, name: str, had: int, has: int) -> OrderEvent:
    message = f"line {line_id}: the channel counts {has} {name} after {had}; {had} is kept"
    return OrderEvent(code="count_fell", message=message)


def _line_changes(stored: Sequence[StoredLine], now: Sequence[StoredLine]) -> tuple[LineChange, ...]:
    before = {line.line_id: line for line in stored}
    changes = []
    for line in now:
        old = before.get(line.line_id) or StoredLine(line_id=line.line_id, sku=line.sku, quantity=0)
        moved = {name: getattr(line, name) - getattr(old, name) for name in ("quantity", *COUNTS)}
        if any(moved.values()):
            changes.append(LineChange(line_id=line.line_id, sku=line.sku, **moved))
    return tuple(changes)


def _state_events(stored: StoredOrder, order: StoredOrder) -> list[OrderEvent]:
    events = []
    if order.payment is not stored.payment:
        events.append(OrderEvent(code="payment", message=f"payment: {stored.payment} -> {order.payment}"))
    if order.fulfilment is not stored.fulfilment:
        events.append(OrderEvent(code="fulfilment", message=f"fulfilment: {stored.fulfilment} -> {order.fulfilment}"))
    if order.address_known and not stored.address_known:
        events.append(OrderEvent(code="address_known", message="the address is known now"))
    if order.cancel_requested and not stored.cancel_requested:
        events.append(OrderEvent(code="cancel_requested", message="the buyer asks to cancel"))
    if is_cancelled(order) and not is_cancelled(stored):
        events.append(OrderEvent(code="cancelled", message="cancelled"))
    return events


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
