"""Taking offers out of the outbox: pick what is due, write the intent, mark it UNKNOWN, in one transaction."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, TextualSelect, text

from marketsync.adapter.content import Aspect
from marketsync.adapter.spec import Operation
from marketsync.domain.content import ABSENT, UNKNOWN
from marketsync.ledger.outbox import (
    ASPECTS,
    BITS,
    LISTING_READY,
    PRICE_READY,
    RAISES,
    STOCK_FREE,
    STOCK_READY,
    WITHDRAWS,
    Lane,
    held,
    mask,
    on,
    refresh,
)
from marketsync.ledger.sql import among, document, listed, many, returning_id
from marketsync.ledger.types import Document

DAY = 86_400_000_000  # microseconds
UNHELD = held(Aspect.PRICE) | held(Aspect.STOCK)  # none of these on an offer that is created with its stock


@dataclass(frozen=True, slots=True)
class Door:
    """One operation through which offers leave, and which of the due ones it takes.

    ``takes``: "withdraw", "create" (no channel id yet), "update" (has one) or "any" (both, no withdrawals).
    """

    operation: Operation
    lanes: tuple[Lane, ...]
    takes: str = "any"


@dataclass(frozen=True, slots=True)
class ClaimedOp:
    """One offer in flight. ``bits`` are the aspects to write, 0 for a family's member that is there for context."""

    offer_id: int
    sku: str
    bits: int
    revision: int
    remote_id: str | None
    family: str | None
    withdraw: bool
    past_open: bool
    listing: dict[str, Any] | None
    price: dict[str, Any] | None
    stock: dict[str, Any] | None
    acked_stock: int | None


@dataclass(frozen=True, slots=True)
class Claim:
    batch_id: int
    ops: tuple[ClaimedOp, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """Who claims. ``pulled_from``: when the last complete order pull began (µs), None while it is too old to raise.

    ``allowed``: which bits of a row may leave at all; None: all of them. ``looks_up``: a listing whose creation was never
    answered is looked up first, and until then nobody creates it again.
    """

    channel_id: int
    door: Door
    now: int
    pulled_from: int | None
    run_id: int | None = None
    epoch: int = 0
    groups_variants: bool = False
    revisions_per_day: int = 0
    skus: Sequence[str] | None = None
    allowed: Callable[[Row[Any]], int] | None = None
    looks_up: bool = False


_COLUMNS = f"""
    id, sku, remote_id, family, revision, managed, open_batch, stock_basis, stock_quantity, stock_acked_quantity,
    listing_due, price_due, stock_due, listing_acked, price_acked, stock_acked,
    listing_desired, price_desired, stock_desired, price_content, stock_content, fulfilled_by,
    CASE WHEN {LISTING_READY} THEN 1 ELSE 0 END AS listing_ready,
    CASE WHEN {PRICE_READY} THEN 1 ELSE 0 END AS price_ready,
    CASE WHEN {STOCK_READY} THEN 1 ELSE 0 END AS stock_ready,
    CASE WHEN {STOCK_FREE} THEN 1 ELSE 0 END AS stock_free,
    CASE WHEN {RAISES} THEN 1 ELSE 0 END AS raises,
    CASE WHEN {WITHDRAWS} THEN 1 ELSE 0 END AS withdraws
"""
_TAKES = {
    "withdraw": f"AND {WITHDRAWS}",
    "create": f"AND remote_id IS NULL AND NOT {WITHDRAWS}",
    "update": f"AND remote_id IS NOT NULL AND NOT {WITHDRAWS}",
    "any": f"AND NOT {WITHDRAWS}",
}


def claim(conn: Connection, request: ClaimRequest) -> Claim | None:
    """Take one full batch for a door; None where nothing is due for it. What is claimed is UNKNOWN from here on."""
    picked = [(row, bits) for row in _due(conn, request) if (bits := _bits(row, request))]
    if not picked:
        return None
    listing = BITS[ASPECTS[0]] & mask(request.door.operation.aspects)
    families: set[str] = set()
    if request.groups_variants and listing and request.door.takes != "withdraw":
        picked = _whole_families(conn, request, picked)
        if not picked:
            return None
        families = {row.family for row, bits in picked if row.family is not None and bits & 1}
    batch_id = returning_id(
        conn,
        "INSERT INTO push_batch (channel_id, run_id, operation, epoch, started_at, request_id, ops, outcome)"
        " VALUES (:channel, :run, :operation, :epoch, :now, '', :ops, '')",
        {
            "channel": request.channel_id, "run": request.run_id, "operation": request.door.operation.name,
            "epoch": request.epoch, "now": request.now, "ops": len(picked),
        },
    )  # fmt: skip
    writes = [(row, bits) for row, bits in picked if bits]
    many(conn, _INTENT, [_intent(conn, batch_id, n, row, bits) for n, (row, bits) in enumerate(writes)])
    _mark(conn, batch_id, writes, request)
    return Claim(batch_id, _ops(conn, picked, families))


def starved(conn: Connection, request: ClaimRequest) -> bool:
    """Whether something is due that only an order pull which begins from now on would let leave."""
    sql = text(
        "SELECT 1 FROM offer WHERE channel_id = :channel AND lane IN (:raise, :listing) AND due_at <= :now"
        " AND (lane = :raise OR remote_id IS NULL) AND stock_basis >= :pulled LIMIT 1"
    )
    pulled = -1 if request.pulled_from is None else request.pulled_from
    values = {"channel": request.channel_id, "raise": int(Lane.RAISE), "listing": int(Lane.LISTING)}
    return conn.execute(sql, {**values, "now": request.now, "pulled": pulled}).first() is not None


def _due(conn: Connection, request: ClaimRequest) -> Iterable[Row[Any]]:
    """Rows that the door takes, the most urgent lane first, up to a full batch."""
    room = request.door.operation.batch
    rows: list[Row[Any]] = []
    for lane in request.door.lanes:
        if lane is Lane.RAISE and request.pulled_from is None:
            continue
        rows += conn.execute(*_select(conn, request, lane, room - len(rows))).all()
        if len(rows) >= room:
            break
    return rows


def _select(conn: Connection, request: ClaimRequest, lane: Lane, limit: int) -> tuple[Any, dict[str, Any]]:
    where = f"channel_id = :channel AND lane = :lane AND due_at <= :now {_TAKES[request.door.takes]}"
    values: dict[str, Any] = {"channel": request.channel_id, "lane": int(lane), "now": request.now, "limit": limit}
    if not request.door.operation.urgent:
        where += " AND open_batch IS NULL"
    if lane is Lane.RAISE:
        where += " AND stock_basis < :pulled"
        values["pulled"] = request.pulled_from
    if lane is Lane.LISTING and mask(request.door.operation.aspects) & BITS[ASPECTS[2]]:
        # A create that carries stock is a raise too: the same offer may have been sold before its id was lost.
        where += f" AND (remote_id IS NOT NULL OR (stock_basis < :pulled AND (held & {UNHELD}) = 0))"
        values["pulled"] = -1 if request.pulled_from is None else request.pulled_from
    if request.looks_up:
        where += " AND (remote_id IS NOT NULL OR listing_acked <> :unknown)"
        values["unknown"] = UNKNOWN
    if request.revisions_per_day:
        where += " AND NOT (COALESCE(revisions_on, 0) = :today AND revisions_today >= :revisions)"
        values |= {"today": request.now // DAY, "revisions": request.revisions_per_day}
    if request.skus is not None:
        where += " AND " + among(conn, "sku", "skus")
        values["skus"] = listed(conn, request.skus)
    sql = on(
        conn.dialect.name, f"SELECT {_COLUMNS} FROM offer WHERE {where} ORDER BY channel_id, lane, due_at LIMIT :limit"
    )
    if conn.dialect.name != "sqlite":  # there, claims run side by side: an offer is taken by one of them
        sql += " FOR UPDATE SKIP LOCKED"
    return _typed(sql), values


def _typed(sql: str) -> TextualSelect:
    return text(sql).columns(price_content=Document, stock_content=Document)


def _bits(row: Row[Any], request: ClaimRequest) -> int:
    """Which aspects of a row this door writes now."""
    bits = _due_bits(row, request)
    return bits & request.allowed(row) if bits and request.allowed is not None else bits


def _due_bits(row: Row[Any], request: ClaimRequest) -> int:
    carried = mask(request.door.operation.aspects)
    if row.withdraws:
        return BITS[ASPECTS[0]]
    if row.open_batch is not None:
        return BITS[ASPECTS[2]] if request.door.operation.urgent else 0
    if request.looks_up and row.remote_id is None and bytes(row.listing_acked) == UNKNOWN:
        return 0
    if row.remote_id is None and carried & 1:
        stock = 4 if row.fulfilled_by == "merchant" else 0
        return int(carried & row.managed & (3 | stock))
    bits = 0
    if row.listing_ready and (row.listing_due or 0) <= request.now:
        bits |= 1
    if row.price_ready and (row.price_due or 0) <= request.now:
        bits |= 2
    fresh = request.pulled_from is not None and row.stock_basis < request.pulled_from
    together = bits & carried & 2 and row.stock_free  # the price that the restock waits for goes with it
    if (row.stock_ready or together) and (row.stock_due or 0) <= request.now and (fresh or not row.raises):
        bits |= 4
    return bits & carried


def _whole_families(
    conn: Connection, request: ClaimRequest, picked: list[tuple[Row[Any], int]]
) -> list[tuple[Row[Any], int]]:
    """Complete every family that the batch touches; a family with an op open elsewhere, or too big to fit, waits."""
    families = sorted({row.family for row, bits in picked if row.family is not None and bits & 1})
    if not families:
        return picked
    sql = f"SELECT {_COLUMNS} FROM offer WHERE channel_id = :channel AND " + among(conn, "family", "families")
    members: dict[str, list[Row[Any]]] = {name: [] for name in families}
    values = {"channel": request.channel_id, "families": listed(conn, families)}
    lock = "" if conn.dialect.name == "sqlite" else " FOR UPDATE"
    for row in conn.execute(_typed(on(conn.dialect.name, sql + " ORDER BY sku" + lock)), values):
        members[row.family].append(row)
    chosen: list[tuple[Row[Any], int]] = []
    done: set[str] = set()
    for row, bits in picked:
        group = [(row, bits)]
        if row.family in members:
            if row.family in done:
                continue
            done.add(row.family)
            if any(member.open_batch is not None for member in members[row.family]):
                continue
            staying = [member for member in members[row.family] if not member.withdraws]
            group = [(member, _bits(member, request)) for member in staying]
        if chosen and len(chosen) + len(group) > request.door.operation.batch:
            continue
        chosen += group
    return chosen


_INTENT = """
    INSERT INTO push_item (batch_id, offer_id, position, aspects, revision, withdraw, past_open, content,
        listing_hash, price_hash, stock_hash, listing_before, price_before, stock_before)
    VALUES (:batch, :offer, :position, :aspects, :revision, :withdraw, :past_open, :content,
        :listing_hash, :price_hash, :stock_hash, :listing_before, :price_before, :stock_before)
    """


def _intent(conn: Connection, batch_id: int, position: int, row: Row[Any], bits: int) -> dict[str, Any]:
    in_flight = {}
    if bits & 2:
        in_flight["price"] = row.price_content
    if bits & 4:
        in_flight["stock"] = row.stock_content
    intent: dict[str, Any] = {
        "batch": batch_id, "offer": row.id, "position": position, "aspects": bits, "revision": row.revision + 1,
        "withdraw": bool(row.withdraws), "past_open": row.open_batch is not None,
        "content": document(conn, in_flight) if in_flight else None,
    }  # fmt: skip
    for aspect, bit in BITS.items():
        intent[f"{aspect}_hash"] = getattr(row, f"{aspect}_desired") if bits & bit else None
        intent[f"{aspect}_before"] = getattr(row, f"{aspect}_acked") if bits & bit else None
    return intent


def _mark(conn: Connection, batch_id: int, writes: list[tuple[Row[Any], int]], request: ClaimRequest) -> None:
    """Set what is in flight to UNKNOWN: from this moment on nobody can know what the channel shows."""
    groups: dict[tuple[int, bool, bool], list[int]] = {}
    for row, bits in writes:
        zero = bool(bits & 4) and row.stock_quantity == 0
        groups.setdefault((bits, row.open_batch is not None, zero), []).append(row.id)
    count = (
        "revisions_today = CASE WHEN COALESCE(revisions_on, 0) = :today THEN revisions_today + 1 ELSE 1 END,"
        " revisions_on = :today,"
        if request.revisions_per_day
        else ""
    )
    for (bits, past_open, zero), ids in groups.items():
        sets = [f"{count} revision = revision + 1", "lane = 9", "due_at = NULL"]
        values: dict[str, Any] = {"ids": listed(conn, ids), "today": request.now // DAY}
        if past_open:
            # Nor can they know which of the two writes comes last, where the open one holds stock too.
            sets += ["zero_sent = 1", "stock_acked = :unknown"]
            sets.append("forgotten = CASE WHEN (open_aspects & 4) <> 0 THEN 1 ELSE forgotten END")
            values["unknown"] = UNKNOWN
        else:
            sets += ["open_batch = :batch", "open_aspects = :bits", f"zero_sent = {2 if zero else 0}", "forgotten = 0"]
            sets += [f"{aspect}_acked = :unknown" for aspect, bit in BITS.items() if bits & bit]
            values |= {"batch": batch_id, "bits": bits, "unknown": UNKNOWN}
        if not count:
            values.pop("today")
        conn.execute(text(f"UPDATE offer SET {', '.join(sets)} WHERE {among(conn, 'id', 'ids')}"), values)


def _ops(conn: Connection, picked: list[tuple[Row[Any], int]], families: Collection[str]) -> tuple[ClaimedOp, ...]:
    """What goes to the adapter. Every member of ``families`` brings its listing: together they are one product.

    An aspect that is not written is never brought as desired: it may be held, or rest on stale knowledge.
    """
    more: dict[int, Row[Any]] = {}
    wanted = [row.id for row, bits in picked if (bits & 1 or not bits or row.family in families) and not row.withdraws]
    if wanted:
        sql = (
            "SELECT id, listing_content, CASE WHEN price_acked NOT IN (:unknown, :absent) THEN price_acked_content END"
            f" AS price_confirmed FROM offer WHERE {among(conn, 'id', 'ids')}"
        )
        typed = text(sql).columns(listing_content=Document, price_confirmed=Document)
        values = {"ids": listed(conn, wanted), "unknown": UNKNOWN, "absent": ABSENT}
        more = {row.id: row for row in conn.execute(typed, values)}
    return tuple(_op(row, bits, more.get(row.id)) for row, bits in picked)


def _op(row: Row[Any], bits: int, more: Row[Any] | None) -> ClaimedOp:
    price = row.price_content if bits & 2 else more and more.price_confirmed
    return ClaimedOp(
        row.id, row.sku, bits, row.revision + (1 if bits else 0), row.remote_id, row.family, bool(row.withdraws),
        row.open_batch is not None, more and more.listing_content, price, row.stock_content if bits & 4 else None,
        row.stock_acked_quantity if bytes(row.stock_acked) != UNKNOWN else None,
    )  # fmt: skip


def release(conn: Connection, claim_: Claim, now: int) -> None:
    """Give a claim back of which nothing was sent: everything is as it was before."""
    for aspect, bit in BITS.items():
        conn.execute(
            text(
                f"UPDATE offer SET {aspect}_acked = pi.{aspect}_before FROM push_item pi WHERE pi.batch_id = :batch"
                f" AND pi.offer_id = offer.id AND (pi.aspects & {bit}) <> 0 AND NOT pi.past_open"
            ),
            {"batch": claim_.batch_id},
        )
    ids = listed(conn, [op.offer_id for op in claim_.ops])
    mine = f"open_batch = :batch AND {among(conn, 'id', 'ids')}"
    conn.execute(
        text(f"UPDATE offer SET open_batch = NULL, open_aspects = 0, zero_sent = 0 WHERE {mine}"),
        {"batch": claim_.batch_id, "ids": ids},
    )
    beside = listed(conn, [op.offer_id for op in claim_.ops if op.past_open])
    conn.execute(text(f"UPDATE offer SET zero_sent = 0 WHERE {among(conn, 'id', 'ids')}"), {"ids": beside})
    conn.execute(text("DELETE FROM push_item WHERE batch_id = :batch"), {"batch": claim_.batch_id})
    conn.execute(
        text("UPDATE push_batch SET closed_at = :now, outcome = 'not sent' WHERE id = :batch"),
        {"now": now, "batch": claim_.batch_id},
    )
    conn.execute(text(refresh(conn.dialect.name, among(conn, "id", "ids"))), {"ids": ids})
