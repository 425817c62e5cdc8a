"""Pieces: levels, the append-only movements they are the sum of, and the figures that sources tell.

Whoever changes pieces takes ``Levels`` of all (SKU, location) pairs he needs at once: they are locked in one order, so
two transactions never wait for each other, and written once.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from marketsync.domain.ownership import FallsAt, LocationPolicy, Owner
from marketsync.ledger.sql import alone, among, listed, many
from marketsync.ledger.types import micros, moment

Pair = tuple[str, str]  # SKU, location
RELEASED_AT_ONCE = 500  # reservations per transaction


@dataclass(frozen=True, slots=True)
class Level:
    """``figure_at``: when the source was read whose figure ``on_hand`` rests on (aware UTC)."""

    on_hand: int
    reserved: int
    figure_at: datetime | None


@dataclass(frozen=True, slots=True)
class Movement:
    """``reference`` says what was booked: a second movement of the same reference is skipped. ``at`` aware UTC."""

    sku: str
    location: str
    delta: int
    kind: str  # opening, snapshot, shipment, cancellation, return, recount, carry
    reference: str
    at: datetime


@dataclass(slots=True)
class _Pieces:
    on_hand: int = 0
    reserved: int = 0
    figure_at: int | None = None
    held: int = 0  # change of reserved in this transaction
    figure: int | None = None  # new figure_at


_INSERT_LEVEL = (
    "INSERT INTO stock_level (sku, location, on_hand, reserved) VALUES (:sku, :location, 0, 0)"
    " ON CONFLICT (sku, location) DO NOTHING"
)
_INSERT_MOVEMENT = (
    "INSERT INTO stock_movement (sku, location, delta, kind, reference, at)"
    " VALUES (:sku, :location, :delta, :kind, :reference, :at)"
)
_UPDATE_LEVEL = (
    "UPDATE stock_level SET on_hand = on_hand + :moved, reserved = reserved + :held,"
    " figure_at = COALESCE(:figure, figure_at) WHERE sku = :sku AND location = :location"
)
_RELEASE = text("UPDATE reservation SET quantity = quantity - fallen, fallen = 0, fell_at = NULL WHERE id = :id")


def levels(conn: Connection, skus: Iterable[str]) -> dict[str, dict[str, Level]]:
    """The pieces of each SKU by location. SKUs without any are left out."""
    found: dict[str, dict[str, Level]] = defaultdict(dict)
    for row in _select(conn, skus, lock=False):
        figure_at = None if row.figure_at is None else moment(row.figure_at)
        found[row.sku][row.location] = Level(row.on_hand, row.reserved, figure_at)
    return dict(found)


Places = tuple[dict[str, int], dict[str, int], dict[str, int]]  # by location: on hand, reserved, figure read at (µs)


def pieces(conn: Connection, skus: Iterable[str]) -> dict[str, Places]:
    """The same as ``levels``, in the shape that availability is computed from. SKUs without any are left out."""
    found: dict[str, Places] = {}
    for row in _select(conn, skus, lock=False):
        at = found.setdefault(row.sku, ({}, {}, {}))
        at[0][row.location], at[1][row.location] = row.on_hand, row.reserved
        if row.figure_at is not None:
            at[2][row.location] = row.figure_at
    return found


def _select(conn: Connection, skus: Iterable[str], *, lock: bool) -> Sequence[Any]:
    sql = f"SELECT sku, location, on_hand, reserved, figure_at FROM stock_level WHERE {among(conn, 'sku', 'skus')}"
    if lock and conn.dialect.name != "sqlite":  # SQLite has one writer
        sql += " ORDER BY sku, location FOR UPDATE"
    return conn.execute(text(sql), {"skus": listed(conn, sorted(set(skus)))}).all()


class Levels:
    """The levels that one transaction works on: locked, changed in memory, written by ``write``."""

    def __init__(self, conn: Connection, pairs: Iterable[Pair]) -> None:
        self._conn = conn
        alone(conn)
        wanted = sorted(set(pairs))
        skus = [sku for sku, _ in wanted]
        known = {(row.sku, row.location) for row in _select(conn, skus, lock=False)} if wanted else set()
        if missing := [pair for pair in wanted if pair not in known]:
            many(conn, _INSERT_LEVEL, [{"sku": sku, "location": location} for sku, location in missing])
        rows = _select(conn, skus, lock=True) if wanted else ()
        self._pieces = {(row.sku, row.location): _Pieces(row.on_hand, row.reserved, row.figure_at) for row in rows}
        self._movements: dict[str, Movement] = {}

    def on_hand(self, sku: str, location: str) -> int:
        return self._pieces[sku, location].on_hand

    def free(self, sku: str, location: str) -> int:
        pieces = self._pieces[sku, location]
        return pieces.on_hand - pieces.reserved

    def has_figure(self, sku: str, location: str) -> bool:
        """Whether a source or a person has ever said how many there are."""
        return self._pieces[sku, location].figure_at is not None

    def reserve(self, sku: str, location: str, pieces: int) -> int:
        """Hold (or, negative, release) pieces. Returns by how many more the reservations exceed on hand now."""
        level = self._pieces[sku, location]
        before = max(0, level.reserved - level.on_hand)
        level.reserved += pieces
        level.held += pieces
        return max(0, level.reserved - level.on_hand) - before

    def move(self, movement: Movement) -> None:
        if movement.delta and movement.reference not in self._movements:
            self._movements[movement.reference] = movement
            self._pieces[movement.sku, movement.location].on_hand += movement.delta

    def figure(self, sku: str, location: str, read: datetime) -> None:
        """Note when the figure was read that on hand rests on from now on."""
        self._pieces[sku, location].figure = micros(read)

    def write(self) -> set[str]:
        """Write everything. Returns the SKUs of which more or fewer pieces are free than before."""
        moved: dict[Pair, int] = defaultdict(int)
        booked = self._new_movements()
        for movement in booked:
            moved[movement.sku, movement.location] += movement.delta
        if booked:
            rows = [
                {"sku": m.sku, "location": m.location, "delta": m.delta, "kind": m.kind, "reference": m.reference,
                 "at": micros(m.at)}
                for m in booked
            ]  # fmt: skip
            many(self._conn, _INSERT_MOVEMENT, rows)
        changed = [
            {
                "sku": sku,
                "location": location,
                "moved": moved[sku, location],
                "held": level.held,
                "figure": level.figure,
            }
            for (sku, location), level in sorted(self._pieces.items())
            if level.held or level.figure is not None or moved[sku, location]
        ]
        many(self._conn, _UPDATE_LEVEL, changed)
        return {row["sku"] for row in changed if row["moved"] != row["held"]}

    def _new_movements(self) -> list[Movement]:
        """Those whose reference was never booked. The levels are locked, so nobody books them meanwhile."""
        if not self._movements:
            return []
        sql = f"SELECT reference FROM stock_movement WHERE {among(self._conn, 'reference', 'refs')}"
        refs = {"refs": listed(self._conn, self._movements)}
        known = set(self._conn.execute(text(sql), refs).scalars())
        return [movement for reference, movement in self._movements.items() if reference not in known]


def book(conn: Connection, movements: Sequence[Movement]) -> set[str]:
    """Book movements once each. Returns the SKUs of which more or fewer pieces are free than before."""
    work = Levels(conn, [(movement.sku, movement.location) for movement in movements])
    for movement in movements:
        work.move(movement)
    return work.write()


def recount(conn: Connection, sku: str, location: str, counted: int, now: datetime) -> set[str]:
    """A person has counted the pieces that lie there, reserved ones included. Returns the SKU if on hand changed."""
    work = Levels(conn, [(sku, location)])
    delta = counted - work.on_hand(sku, location)
    work.move(Movement(sku, location, delta, "recount", f"recount:{micros(now)}:{location}:{sku}", now))
    work.figure(sku, location, now)
    return work.write()


Figure = tuple[str, str, int, int | None]  # SKU, location, the figure, what the source said before (None: nothing)


def apply_figures(
    conn: Connection,
    rows: Sequence[Figure],
    policy: LocationPolicy,
    *,
    exported: datetime,
    read: datetime,
    snapshot_id: int,
) -> set[str]:
    """Take the figures of a snapshot into the levels. Returns the SKUs of which more or fewer are free.

    Where the ledger owns on hand, the first figure opens the account and later ones are ignored. Where the source owns
    it, its figure is on hand, and the pieces whose fall it must contain (their event is older than the export) are not
    reserved any more. Where its figure never falls for our sales, or a channel keeps it, only its change is booked.
    """
    work = Levels(conn, [(sku, location) for sku, location, _, _ in rows])
    released = _fallen(conn, [(sku, location) for sku, location, _, _ in rows], exported)
    for sku, location, figure, before in rows:
        if policy.owner is Owner.LEDGER:
            if not work.has_figure(sku, location):
                work.move(Movement(sku, location, figure, "opening", f"opening:{location}:{sku}", read))
                work.figure(sku, location, read)
            continue
        reference = f"snapshot:{snapshot_id}:{location}:{sku}"
        if policy.owner is Owner.CHANNEL or policy.falls_at is FallsAt.NEVER:
            delta = figure - (before if before is not None else _told(conn, work, sku, location))
        else:
            delta = figure - work.on_hand(sku, location)
        work.move(Movement(sku, location, delta, "snapshot", reference, read))
        work.figure(sku, location, read)
    _release(conn, work, released)
    return work.write()


def _told(conn: Connection, work: Levels, sku: str, location: str) -> int:
    """What the source said last, from its movements: the source's own memory of this SKU is gone."""
    if not work.has_figure(sku, location):
        return 0
    sql = (
        "SELECT COALESCE(SUM(delta), 0) FROM stock_movement"
        " WHERE sku = :sku AND location = :location AND kind IN ('opening', 'snapshot')"
    )
    return int(conn.execute(text(sql), {"sku": sku, "location": location}).scalar_one())


def release_fallen(conn: Connection, source: str, location: str, *, exported: datetime, read: datetime) -> set[str]:
    """The figures of a snapshot that did not change contain their falls too. Returns the SKUs that are freer now.

    Called after all changed figures of the snapshot are applied, again and again until it returns nothing. Touches
    only SKUs that this source tells.
    """
    sql = (
        "SELECT DISTINCT r.sku FROM reservation r WHERE r.location = :location AND r.fell_at < :exported"
        " AND EXISTS (SELECT 1 FROM source_item s WHERE s.source = :source AND s.sku = r.sku)"
        " ORDER BY r.sku LIMIT :limit"
    )
    values = {"location": location, "exported": micros(exported), "source": source, "limit": RELEASED_AT_ONCE}
    pairs = [(sku, location) for sku in conn.execute(text(sql), values).scalars()]
    work = Levels(conn, pairs)
    released = _fallen(conn, pairs, exported)
    _release(conn, work, released)
    for sku, _ in pairs:
        work.figure(sku, location, read)
    return work.write()


def _fallen(conn: Connection, pairs: Sequence[Pair], exported: datetime) -> list[Row[tuple[int, str, str, int]]]:
    """Reservations whose event is older than the export. The levels are locked: nobody changes them meanwhile."""
    sql = (
        "SELECT id, sku, location, fallen FROM reservation WHERE fell_at IS NOT NULL AND fell_at < :exported AND "
        + among(conn, "sku", "skus")
        + " ORDER BY id"
    )
    values = {"exported": micros(exported), "skus": listed(conn, sorted({sku for sku, _ in pairs}))}
    wanted = set(pairs)
    return [row for row in conn.execute(text(sql), values) if (row.sku, row.location) in wanted]


def _release(conn: Connection, work: Levels, rows: Sequence[Row[tuple[int, str, str, int]]]) -> None:
    for row in rows:
        work.reserve(row.sku, row.location, -row.fallen)
    if rows:
        conn.execute(_RELEASE, [{"id": row.id} for row in rows])


_CHECKS = {
    "on hand is {0}, its movements sum up to {1}": """
        SELECT k.sku, k.location, COALESCE(l.on_hand, 0), k.total
        FROM (SELECT sku, location, SUM(delta) AS total FROM (
                SELECT sku, location, delta FROM stock_movement UNION ALL SELECT sku, location, 0 FROM stock_level
              ) AS every GROUP BY sku, location) AS k
        LEFT JOIN stock_level l ON l.sku = k.sku AND l.location = k.location
        WHERE COALESCE(l.on_hand, 0) <> k.total ORDER BY k.sku, k.location""",
    "reserved is {0}, its reservations sum up to {1}": """
        SELECT k.sku, k.location, COALESCE(l.reserved, 0), k.total
        FROM (SELECT sku, location, SUM(quantity) AS total FROM (
                SELECT sku, location, quantity FROM reservation UNION ALL SELECT sku, location, 0 FROM stock_level
              ) AS every GROUP BY sku, location) AS k
        LEFT JOIN stock_level l ON l.sku = k.sku AND l.location = k.location
        WHERE COALESCE(l.reserved, 0) <> k.total ORDER BY k.sku, k.location""",
    "a reservation holds {0} pieces of which {1} have fallen": """
        SELECT sku, location, quantity, fallen FROM reservation
        WHERE quantity < 0 OR fallen < 0 OR fallen > quantity OR (fallen > 0) <> (fell_at IS NOT NULL)
        ORDER BY sku, location""",
}


def check_stock(conn: Connection) -> list[str]:
    """What contradicts "a level is the sum of its movements and reservations": one sentence each, empty if nothing."""
    return [
        f"stock of {row[0]} at {row[1]}: {sentence.format(row[2], row[3])}"
        for sentence, sql in _CHECKS.items()
        for row in conn.execute(text(sql))
    ]
