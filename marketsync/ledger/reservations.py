"""What order lines hold: how a line's quantities become reservations and movements, by who owns the location's figure.

========== ==================================================================================================
BOOK       on hand is ours: open pieces are held, a shipment is a movement (ledger; source that never falls)
SHIPMENT   open pieces are held; shipped ones too, as fallen, until a snapshot exported after that was read
DELIVERY   every piece not cancelled is held, and has fallen once all sinks have the order
ORDER      every piece not cancelled is held, and has fallen at once
========== ==================================================================================================
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from itertools import islice
from typing import Any

from sqlalchemy import Connection, text

from marketsync.domain.ownership import FallsAt, LocationPolicy, Owner, StockPolicy
from marketsync.ledger.lines import Components
from marketsync.ledger.order_context import OrderChannel, OrderContext
from marketsync.ledger.sql import among, listed
from marketsync.ledger.stock import Levels, Movement
from marketsync.ledger.types import micros

CAUSES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Owed:
    """Pieces of a line: still to be sent, sent, cancelled. Totals so far."""

    open: int = 0
    shipped: int = 0
    cancelled: int = 0

    @property
    def sold(self) -> int:
        return self.open + self.shipped


@dataclass(frozen=True, slots=True)
class Demand:
    """A line that owes other pieces than before. ``delivered``: whether sinks will ever get the order."""

    line_id: int
    order_id: int
    channel: OrderChannel
    components: Components
    before: Owed
    now: Owed
    delivered: bool


@dataclass(slots=True)
class Settled:
    """SKUs of which more or fewer are free; per line the pieces oversold and the ids of the orders that hold the rest."""

    changed: set[str] = field(default_factory=set)
    oversold: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    causes: dict[int, list[str]] = field(default_factory=dict)


class _Rule(Enum):
    BOOK = auto()
    SHIPMENT = auto()
    DELIVERY = auto()
    ORDER = auto()


@dataclass(slots=True)
class _Held:
    """A reservation, as stored or about to be."""

    line_id: int
    sku: str
    location: str
    quantity: int = 0
    fallen: int = 0
    fell_at: int | None = None
    id: int | None = None
    dirty: bool = False


_INSERT = text(
    "INSERT INTO reservation (line_id, sku, location, quantity, fallen, fell_at)"
    " VALUES (:line_id, :sku, :location, :quantity, :fallen, :fell_at)"
)
_UPDATE = text("UPDATE reservation SET quantity = :quantity, fallen = :fallen, fell_at = :fell_at WHERE id = :id")


def settle(conn: Connection, demands: Sequence[Demand], ctx: OrderContext) -> Settled:
    """Hold, release and move what the lines owe now, in the order given: the earlier line gets the last piece."""
    if not demands:
        return Settled()
    line_ids = [demand.line_id for demand in demands]
    pairs = {(held.sku, held.location) for held in _load(conn, line_ids).values()}
    pairs |= {(sku, place) for demand in demands for sku in demand.components for place in demand.channel.locations}
    levels = Levels(conn, pairs)
    held = _load(conn, line_ids)  # again: under the locks
    settled = Settled()
    short: dict[tuple[str, str], list[Demand]] = defaultdict(list)
    for demand in demands:
        for reservation in _of(demand, held, levels):
            over = _apply(demand, reservation, levels, ctx)
            if over:
                settled.oversold[demand.line_id] += over
                short[reservation.sku, reservation.location].append(demand)
    _write(conn, held.values())
    settled.changed = levels.write()
    settled.causes = _causes(conn, short)
    return settled


def _load(conn: Connection, line_ids: Sequence[int]) -> dict[tuple[int, str], _Held]:
    sql = (
        "SELECT id, line_id, sku, location, quantity, fallen, fell_at FROM reservation WHERE "
        + among(conn, "line_id", "lines")
        + " ORDER BY id"
    )
    return {
        (row.line_id, row.sku): _Held(row.line_id, row.sku, row.location, row.quantity, row.fallen, row.fell_at, row.id)
        for row in conn.execute(text(sql), {"lines": listed(conn, line_ids)})
    }


def _of(demand: Demand, held: dict[tuple[int, str], _Held], levels: Levels) -> list[_Held]:
    """The line's reservations, one per component; missing ones are made where the line has pieces to hold or move."""
    missing = [sku for sku in demand.components if (demand.line_id, sku) not in held]
    pieces = demand.now.sold - demand.before.shipped
    if missing and pieces > 0:
        location = _place(demand, missing, pieces, levels)
        for sku in missing:
            held[demand.line_id, sku] = _Held(demand.line_id, sku, location, dirty=True)
    return [held[key] for sku in demand.components if (key := (demand.line_id, sku)) in held]


def _place(demand: Demand, skus: Sequence[str], pieces: int, levels: Levels) -> str:
    """The first location that has all of it, else the first."""
    for location in demand.channel.locations:
        if all(levels.free(sku, location) >= pieces * demand.components[sku] for sku in skus):
            return location
    return demand.channel.locations[0]


def _apply(demand: Demand, reservation: _Held, levels: Levels, ctx: OrderContext) -> int:
    """Bring one reservation in line with what the line owes now. Returns the pieces oversold by it."""
    sku, location = reservation.sku, reservation.location
    each, before, now = demand.components[sku], demand.before, demand.now
    rule = _rule(ctx.stock.of(location), demand)
    more, shipped = (now.sold - before.sold) * each, (now.shipped - before.shipped) * each
    fallen = reservation.fallen
    if rule is _Rule.BOOK:
        quantity, fallen = now.open * each, 0
    elif rule is _Rule.SHIPMENT:
        fallen += shipped
        quantity = now.open * each + fallen
    else:
        quantity = max(0, reservation.quantity + more)
        fallen = quantity if rule is _Rule.ORDER else min(fallen, quantity)
    over = levels.reserve(sku, location, max(0, more))
    levels.reserve(sku, location, quantity - reservation.quantity - max(0, more))
    if rule is _Rule.BOOK:
        _book(demand, reservation, shipped, levels, ctx)
    if fallen > reservation.fallen:
        reservation.fell_at = micros(ctx.now)
    elif fallen == 0:
        reservation.fell_at = None
    reservation.dirty |= (quantity, fallen) != (reservation.quantity, reservation.fallen)
    reservation.quantity, reservation.fallen = quantity, fallen
    return over


def _rule(policy: LocationPolicy, demand: Demand) -> _Rule:
    if policy.owner is Owner.CHANNEL:
        # The shop that keeps the figure lowers it for its own sales; of the other channels' sales it knows nothing.
        return _Rule.ORDER if policy.source == demand.channel.name else _Rule.BOOK
    if policy.books_shipments:
        return _Rule.BOOK
    if policy.falls_at is FallsAt.ORDER:
        return _Rule.ORDER
    return _Rule.DELIVERY if policy.falls_at is FallsAt.DELIVERY and demand.delivered else _Rule.SHIPMENT


def _book(demand: Demand, reservation: _Held, shipped: int, levels: Levels, ctx: OrderContext) -> None:
    sku, location, line = reservation.sku, reservation.location, demand.line_id
    reference = f"ship:{line}:{sku}:{demand.now.shipped}"
    levels.move(Movement(sku, location, -shipped, "shipment", reference, ctx.now))
    if demand.channel.restocks_cancelled or demand.now.cancelled <= demand.before.cancelled:
        return
    # Pieces of a cancelled line that must not be sold again leave the shelf.
    lost = max(0, demand.before.open - demand.now.open) * demand.components[sku] - shipped
    reference = f"cancel:{line}:{sku}:{demand.now.cancelled}"
    levels.move(Movement(sku, location, -max(0, lost), "cancellation", reference, ctx.now))


def _write(conn: Connection, reservations: Iterable[_Held]) -> None:
    rows: list[_Held] = [reservation for reservation in reservations if reservation.dirty]
    new = [_values(row) for row in rows if row.id is None]
    changed = [_values(row) for row in rows if row.id is not None]
    if new:
        conn.execute(_INSERT, new)
    if changed:
        conn.execute(_UPDATE, changed)


def _values(row: _Held) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("id", "line_id", "sku", "location", "quantity", "fallen", "fell_at")}


def _causes(conn: Connection, short: Mapping[tuple[str, str], Sequence[Demand]]) -> dict[int, list[str]]:
    """For each line that was oversold, ids of the latest other orders that hold the same pieces."""
    if not short:
        return {}
    sql = (
        "SELECT sku, location, order_id, name FROM ("
        " SELECT r.sku, r.location, l.order_id, o.channel_order_id AS name,"
        " ROW_NUMBER() OVER (PARTITION BY r.sku, r.location ORDER BY r.id DESC) AS place"
        " FROM reservation r JOIN order_line l ON l.id = r.line_id JOIN sales_order o ON o.id = l.order_id"
        f" WHERE r.quantity > 0 AND {among(conn, 'r.sku', 'skus')}) AS latest WHERE place <= :limit ORDER BY place"
    )
    most = CAUSES_SHOWN + max(len(demands) for demands in short.values())
    values = {"skus": listed(conn, sorted({sku for sku, _ in short})), "limit": most}
    holders: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for row in conn.execute(text(sql), values):
        holders[row.sku, row.location].append((row.order_id, row.name))
    causes: dict[int, list[str]] = {}
    for pair, demands in short.items():
        for demand in demands:
            others = (name for order_id, name in holders[pair] if order_id != demand.order_id)
            names = causes.setdefault(demand.line_id, [])
            names += [name for name in islice(others, CAUSES_SHOWN) if name not in names]
    return causes


def fall_delivered(conn: Connection, order_ids: Sequence[int], stock: StockPolicy, now: datetime) -> None:
    """All sinks have these orders: where figures fall at delivery, what they hold has fallen now."""
    places = [place for place, policy in stock.locations.items() if policy.falls_at is FallsAt.DELIVERY]
    if not places or not order_ids:
        return
    sql = (
        "UPDATE reservation SET fallen = quantity, fell_at = :now WHERE quantity > fallen AND "
        + among(conn, "location", "places")
        + f" AND line_id IN (SELECT id FROM order_line WHERE {among(conn, 'order_id', 'orders')})"
    )
    values = {"now": micros(now), "places": listed(conn, places), "orders": listed(conn, sorted(order_ids))}
    conn.execute(text(sql), values)
