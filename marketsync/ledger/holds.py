"""Holds: changes that a guard stopped, until a person decides or their cause is gone.

A hold names what it stops: one aspect of one offer, everything of a kind that one run changed on a channel, or a whole
snapshot of a source. ``cause`` is the hash of what was stopped: approved once, the same thing passes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from marketsync.adapter.content import Aspect
from marketsync.ledger.desired import bring_up
from marketsync.ledger.outbox import BITS, IN_RUN
from marketsync.ledger.sql import among, document, listed
from marketsync.ledger.types import Document, moment

DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Stopped:
    """One aspect of one offer that a guard stopped. ``bits``: what is held of the offer, the aspect alone or all."""

    offer_id: int
    sku: str
    aspect: Aspect
    bits: int
    cause: bytes
    guard: str
    message: str
    details: Mapping[str, object] = field(default_factory=dict)


_OPEN = text(
    "INSERT INTO hold (channel, source, sku, aspect, guard, message, details, cause, state, opened_at, decided_by, reason)"
    " VALUES (:channel, :source, :sku, :aspect, :guard, :message, :details, :cause, 'held', :now, '', '')"
)
_GRANT = text(
    "INSERT INTO hold (channel, source, sku, aspect, guard, message, details, cause, state, opened_at, decided_at,"
    " decided_by, reason) VALUES (:channel, :source, :sku, :aspect, :guard, :message, :details, :cause, 'approved', :now,"
    " :now, :who, :reason)"
)
_EXPIRE = text(
    "UPDATE hold SET state = 'expired', decided_at = :now, reason = 'its cause changed' WHERE id = :id"
)  # fmt: skip


# ---------------------------------------------------------------------------------------------- single offers


def stop(conn: Connection, channel: str, stopped: Sequence[Stopped], now: int) -> int:
    """Hold these changes; what a person approved before, exactly so, passes. Returns how many holds are new."""
    if not stopped:
        return 0
    known = _of_offers(conn, channel, {one.sku for one in stopped})
    fresh, passing = [], set()
    for one in stopped:
        row = known.get((one.sku, one.aspect))
        if row is not None and bytes(row.cause or b"") == one.cause:
            if row.state == "approved":
                passing.add((one.offer_id, one.aspect))
            continue
        if row is not None and row.state in {"held", "rejected"}:
            conn.execute(_EXPIRE, {"id": row.id, "now": now})
        fresh.append(one)
    _open(conn, [_row(conn, one, channel, now) for one in fresh])
    bits: dict[int, int] = {}
    for one in stopped:
        if (one.offer_id, one.aspect) not in passing:
            bits[one.offer_id] = bits.get(one.offer_id, 0) | one.bits
    set_bits(conn, bits)
    return len(fresh)


@dataclass(frozen=True, slots=True)
class Fine:
    """One aspect of one offer that was held and trips no guard any more. ``bits`` as they were held."""

    offer_id: int
    sku: str
    aspect: Aspect
    bits: int


def grant(conn: Connection, channel: str, decided: Sequence[Stopped], who: str, reason: str, now: int) -> None:
    """Write down that a person decided these changes: exactly so they pass, and later ones are compared with them."""
    fine = [Fine(one.offer_id, one.sku, one.aspect, BITS[one.aspect] | BITS[one.aspect] << IN_RUN) for one in decided]
    let_go(conn, channel, fine, now)
    rows = [{**_row(conn, one, channel, now), "who": who, "reason": reason} for one in decided]
    if rows:
        conn.execute(_GRANT, rows)


def let_go(conn: Connection, channel: str, offers: Sequence[Fine], now: int) -> None:
    """These changes may leave, and their holds expire."""
    if not offers:
        return
    known = _of_offers(conn, channel, {one.sku for one in offers})
    for one in offers:
        row = known.get((one.sku, one.aspect))
        if row is not None and row.state in {"held", "rejected"}:
            conn.execute(_EXPIRE, {"id": row.id, "now": now})
    for bits in sorted({one.bits for one in offers}):
        _clear(conn, [one.offer_id for one in offers if one.bits == bits], bits)


def approved_prices(conn: Connection, channel: str, skus: Collection[str], now: int) -> dict[str, tuple[int, str]]:
    """Prices that a person approved within a day, by SKU: minor units and currency."""
    sql = text(
        "SELECT sku, details FROM hold WHERE channel = :channel AND aspect = 'price' AND state = 'approved'"
        f" AND decided_at > :since AND {among(conn, 'sku', 'skus')} ORDER BY decided_at"
    ).columns(details=Document)
    values = {"channel": channel, "since": now - DAY, "skus": listed(conn, sorted(skus))}
    return {row.sku: (row.details["new"], row.details["currency"]) for row in conn.execute(sql, values)}


def _of_offers(conn: Connection, channel: str, skus: Collection[str]) -> dict[tuple[str, Aspect], Any]:
    """The newest hold of each (SKU, aspect) that has not expired."""
    sql = (
        "SELECT id, sku, aspect, state, cause FROM hold WHERE channel = :channel AND state <> 'expired'"
        f" AND {among(conn, 'sku', 'skus')} ORDER BY id"
    )
    rows = conn.execute(text(sql), {"channel": channel, "skus": listed(conn, sorted(skus))})
    return {(row.sku, Aspect(row.aspect)): row for row in rows}


def _row(conn: Connection, one: Stopped, channel: str, now: int) -> dict[str, Any]:
    return {
        "channel": channel, "source": None, "sku": one.sku, "aspect": one.aspect.value, "guard": one.guard,
        "message": one.message, "details": document(conn, dict(one.details)), "cause": one.cause, "now": now,
    }  # fmt: skip


def _open(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        conn.execute(_OPEN, list(rows))


def set_bits(conn: Connection, bits: Mapping[int, int]) -> None:
    """Hold these offers (id -> bits) and take them out of the outbox."""
    for value in sorted(set(bits.values())):
        ids = [offer_id for offer_id, own in bits.items() if own == value]
        sql = f"UPDATE offer SET held = held | :bits WHERE {among(conn, 'id', 'ids')}"
        conn.execute(text(sql), {"bits": value, "ids": listed(conn, ids)})
    bring_up(conn, bits)


def _clear(conn: Connection, ids: Sequence[int], bits: int) -> None:
    if ids:
        sql = f"UPDATE offer SET held = held & :rest WHERE {among(conn, 'id', 'ids')}"
        conn.execute(text(sql), {"rest": ~bits, "ids": listed(conn, ids)})
        bring_up(conn, ids)


# ---------------------------------------------------------------------------------------------- whole runs


def in_run(conn: Connection, channel_id: int, aspect: Aspect) -> tuple[int, int, bytes]:
    """How many offers wait for the verdict over the run that changed this aspect, of how many, and their cause.

    An offer whose change was taken back since, does not wait any more.
    """
    bit = BITS[aspect] << IN_RUN
    back = f"channel_id = :channel AND held <> 0 AND (held & {bit}) <> 0 AND {aspect}_desired = {aspect}_acked"
    ids = list(conn.execute(text(f"SELECT id FROM offer WHERE {back}"), {"channel": channel_id}).scalars())
    _clear(conn, ids, bit)
    waiting = conn.execute(
        text(
            f"SELECT COUNT(*), MAX({aspect}_since) FROM offer WHERE channel_id = :channel AND held <> 0"
            f" AND (held & {bit}) <> 0"
        ),
        {"channel": channel_id},
    ).one()
    if not waiting[0]:
        return 0, 0, b""
    of = conn.execute(
        text(f"SELECT COUNT(*) FROM offer WHERE channel_id = :channel AND {aspect}_acked <> :absent"),
        {"channel": channel_id, "absent": bytes(16)},
    ).scalar_one()
    return int(waiting[0]), int(of), f"{waiting[0]}:{waiting[1]}".encode()


def unjudged(conn: Connection) -> set[int]:
    """The channels (ids) on which offers wait for the verdict over a run, or a run is held."""
    waiting = f"SELECT DISTINCT channel_id FROM offer WHERE held <> 0 AND (held & {7 << IN_RUN}) <> 0"
    held = (
        "SELECT c.id FROM hold h JOIN channel c ON c.name = h.channel WHERE h.sku IS NULL"
        " AND h.state IN ('held', 'rejected')"
    )
    return set(conn.execute(text(f"{waiting} UNION {held}")).scalars())


def let_run_go(conn: Connection, channel_id: int, aspect: Aspect, limit: int) -> int:
    """Some offers that wait for the verdict over a run may leave. Returns how many; 0 when none is left."""
    bit = BITS[aspect] << IN_RUN
    sql = f"SELECT id FROM offer WHERE channel_id = :channel AND held <> 0 AND (held & {bit}) <> 0 LIMIT :limit"
    ids = list(conn.execute(text(sql), {"channel": channel_id, "limit": limit}).scalars())
    _clear(conn, ids, bit)
    return len(ids)


def whole(conn: Connection, guard: str, *, channel: str | None = None, source: str | None = None) -> Any | None:
    """The newest hold of a whole run or snapshot by this guard that has not expired: id, state, cause."""
    name = "channel = :name" if channel is not None else "source = :name"
    sql = (
        f"SELECT id, state, cause FROM hold WHERE {name} AND guard = :guard AND sku IS NULL AND state <> 'expired'"
        " ORDER BY id DESC LIMIT 1"
    )
    return conn.execute(text(sql), {"name": channel if channel is not None else source, "guard": guard}).first()


def stop_whole(
    conn: Connection,
    guard: str,
    message: str,
    details: Mapping[str, object],
    cause: bytes,
    now: int,
    *,
    channel: str | None = None,
    source: str | None = None,
    aspect: Aspect | None = None,
) -> str:
    """Hold a whole run or snapshot. Returns its state: "held" (new or known), "approved" or "rejected"."""
    known = whole(conn, guard, channel=channel, source=source)
    if known is not None and bytes(known.cause or b"") == cause:
        return str(known.state)
    if known is not None and known.state != "approved":
        conn.execute(_EXPIRE, {"id": known.id, "now": now})
    _open(conn, [{
        "channel": channel, "source": source, "sku": None, "aspect": aspect and aspect.value, "guard": guard,
        "message": message, "details": document(conn, dict(details)), "cause": cause, "now": now,
    }])  # fmt: skip
    return "held"


def expire_whole(
    conn: Connection, guard: str, now: int, *, channel: str | None = None, source: str | None = None
) -> None:
    """What this guard stopped is fine now."""
    known = whole(conn, guard, channel=channel, source=source)
    if known is not None and known.state != "approved":
        conn.execute(_EXPIRE, {"id": known.id, "now": now})


# ---------------------------------------------------------------------------------------------- deciding


@dataclass(frozen=True, slots=True)
class HoldRow:
    """A hold in a list. Times are aware UTC."""

    id: int
    channel: str | None
    source: str | None
    sku: str | None
    aspect: str | None
    guard: str
    message: str
    details: Mapping[str, Any]
    state: str
    opened: datetime
    decided: datetime | None
    decided_by: str
    reason: str


def listing(
    conn: Connection, *, state: str = "held", channel: str | None = None, guard: str | None = None, limit: int = 1000
) -> list[HoldRow]:
    """Holds in a state, whole runs and snapshots first, then the oldest."""
    where, values = ["state = :state"], {"state": state, "limit": limit}
    if channel is not None:
        where.append("channel = :channel")
        values["channel"] = channel
    if guard is not None:
        where.append("guard = :guard")
        values["guard"] = guard
    sql = text(
        f"SELECT * FROM hold WHERE {' AND '.join(where)}"
        " ORDER BY CASE WHEN sku IS NULL THEN 0 ELSE 1 END, opened_at, id LIMIT :limit"
    ).columns(details=Document)
    return [_listed(row) for row in conn.execute(sql, values)]


def load(conn: Connection, hold_id: int) -> HoldRow | None:
    row = conn.execute(text("SELECT * FROM hold WHERE id = :id").columns(details=Document), {"id": hold_id}).first()
    return None if row is None else _listed(row)


def _listed(row: Any) -> HoldRow:
    return HoldRow(
        row.id, row.channel, row.source, row.sku, row.aspect, row.guard, row.message, row.details or {}, row.state,
        moment(row.opened_at), None if row.decided_at is None else moment(row.decided_at), row.decided_by, row.reason,
    )  # fmt: skip


def decide(conn: Connection, hold: HoldRow, state: str, who: str, reason: str, now: int) -> bool:
    """Write a decision down, "approved" or "rejected", and let what was approved go. False: it was decided meanwhile.

    Of a whole run the offers follow by ``let_run_go``, some at a time.
    """
    done = conn.execute(
        text(
            "UPDATE hold SET state = :state, decided_at = :now, decided_by = :who, reason = :reason"
            " WHERE id = :id AND state IN ('held', 'rejected') AND state <> :state"
        ),
        {"id": hold.id, "state": state, "now": now, "who": who, "reason": reason},
    ).rowcount
    if done and state == "approved" and hold.sku is not None and hold.aspect is not None:
        ids = conn.execute(
            text(
                "SELECT o.id, o.remote_id FROM offer o JOIN channel c ON c.id = o.channel_id"
                " WHERE c.name = :channel AND o.sku = :sku"
            ),
            {"channel": hold.channel, "sku": hold.sku},
        ).all()
        for row in ids:
            _clear(conn, [row.id], 7 if row.remote_id is None else BITS[Aspect(hold.aspect)])
    return done > 0
