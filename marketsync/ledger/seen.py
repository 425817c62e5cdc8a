"""What a channel was read to show, beside what it acknowledged."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from marketsync.adapter.content import Aspect
from marketsync.domain.content import ABSENT, UNKNOWN
from marketsync.ledger import prices
from marketsync.ledger.desired import bring_up
from marketsync.ledger.outbox import BITS
from marketsync.ledger.parked import freed
from marketsync.ledger.sql import among, document, listed
from marketsync.ledger.types import Document


@dataclass(frozen=True, slots=True)
class ShownOffer:
    """What reconcile compares a reading with."""

    id: int
    sku: str
    remote_id: str | None
    fulfilled_by: str
    open: bool
    proved: int
    healed_on: int | None
    stock_quantity: int | None  # acknowledged
    desired: Mapping[Aspect, bytes]
    acked: Mapping[Aspect, bytes]
    seen: Mapping[Aspect, bytes]
    acked_at: Mapping[Aspect, int | None]
    desired_content: Mapping[Aspect, dict[str, Any] | None]
    acked_content: Mapping[Aspect, dict[str, Any] | None]


_CONTENTS = {
    f"{aspect}_{column}": Document for aspect in Aspect for column in ("content", "acked_content")
}  # fmt: skip
_COLUMNS = ", ".join(
    f"{aspect}_{column}"
    for aspect in Aspect
    for column in ("desired", "acked", "seen", "acked_at", "content", "acked_content")
)


def shown(conn: Connection, channel_id: int, skus: Sequence[str]) -> dict[str, ShownOffer]:
    """The offers of a channel with these channel SKUs, as acknowledged and last seen."""
    sql = text(
        "SELECT id, sku, remote_id, fulfilled_by, open_batch, proved, healed_on, stock_acked_quantity,"
        f" {_COLUMNS} FROM offer WHERE channel_id = :channel AND {among(conn, 'sku', 'skus')}"
    ).columns(**_CONTENTS)
    return {
        row.sku: ShownOffer(
            row.id, row.sku, row.remote_id, row.fulfilled_by, row.open_batch is not None, row.proved, row.healed_on,
            row.stock_acked_quantity,
            {aspect: bytes(getattr(row, f"{aspect}_desired")) for aspect in Aspect},
            {aspect: bytes(getattr(row, f"{aspect}_acked")) for aspect in Aspect},
            {aspect: bytes(getattr(row, f"{aspect}_seen")) for aspect in Aspect},
            {aspect: getattr(row, f"{aspect}_acked_at") for aspect in Aspect},
            {aspect: getattr(row, f"{aspect}_content") for aspect in Aspect},
            {aspect: getattr(row, f"{aspect}_acked_content") for aspect in Aspect},
        )
        for row in conn.execute(sql, {"channel": channel_id, "skus": listed(conn, skus)})
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class SeenAspect:
    """One aspect as read. ``acked`` is what it makes of the acknowledged state; None leaves that as it is."""

    offer_id: int
    aspect: Aspect
    seen: bytes
    proved: bool
    acked: bytes | None = None
    content: dict[str, Any] | None = None
    quantity: int | None = None
    basis: int = 0
    heals_on: int | None = None


def keep(conn: Connection, aspects: Iterable[SeenAspect], now: int) -> None:
    """Write a reading down; where it changes what is acknowledged, the offer may become due."""
    changed: set[int] = set()
    for aspect in Aspect:
        rows = [row for row in aspects if row.aspect is aspect]
        _write(conn, aspect, rows, now)
        moved = [row for row in rows if row.acked is not None]
        _acknowledge(conn, aspect, moved, now)
        changed |= {row.offer_id for row in moved}
    bring_up(conn, changed)


def _write(conn: Connection, aspect: Aspect, rows: Sequence[SeenAspect], now: int) -> None:
    if rows:
        conn.execute(
            text(
                f"UPDATE offer SET {aspect}_seen = :seen, seen_at = :now, proved = CASE WHEN :proved = 1"
                f" THEN proved | {BITS[aspect]} ELSE proved & {7 - BITS[aspect]} END WHERE id = :id"
            ),
            [{"id": row.offer_id, "seen": row.seen, "now": now, "proved": int(row.proved)} for row in rows],
        )


def _acknowledge(conn: Connection, aspect: Aspect, rows: Sequence[SeenAspect], now: int) -> None:
    if not rows:
        return
    # A reading never speaks of an op that began while it was made.
    sets = (
        f"{aspect}_since = CASE WHEN {aspect}_desired <> {aspect}_acked THEN {aspect}_since ELSE :now END,"
        f" {aspect}_acked = :acked, {aspect}_acked_content = :content, {aspect}_due = :now, {freed(aspect)},"
        " healed_on = COALESCE(:heals, healed_on)"
    )
    if aspect is Aspect.STOCK:
        sets += (
            ", stock_acked_quantity = :quantity,"
            " stock_basis = CASE WHEN stock_basis < :basis THEN :basis ELSE stock_basis END"
        )
    values = [
        {"id": row.offer_id, "acked": row.acked, "content": document(conn, row.content), "now": now,
         "heals": row.heals_on, "unknown": UNKNOWN}
        | ({"quantity": row.quantity, "basis": row.basis} if aspect is Aspect.STOCK else {})
        for row in rows
    ]  # fmt: skip
    conn.execute(text(f"UPDATE offer SET {sets} WHERE id = :id AND open_batch IS NULL"), values)
    if aspect is Aspect.PRICE:
        prices.begin(conn, [row.offer_id for row in rows], now)


def found(conn: Connection, rows: Iterable[tuple[int, str | None, str]]) -> None:
    """Note the channel's ids, and who fulfils, where they are new: (offer id, channel id, fulfilled by)."""
    values = [{"id": i, "remote": remote, "by": by} for i, remote, by in rows]
    if values:
        conn.execute(
            text("UPDATE offer SET remote_id = COALESCE(:remote, remote_id), fulfilled_by = :by WHERE id = :id"), values
        )
        bring_up(conn, [value["id"] for value in values if isinstance(value["id"], int)])


def missing(conn: Connection, channel_id: int, seen_from: int, before: int, limit: int) -> list[tuple[int, str]]:
    """Offers that should be on the channel, were acknowledged before ``before`` and were not in the reading."""
    sql = text(
        "SELECT id, sku FROM offer WHERE channel_id = :channel AND remote_id IS NOT NULL AND open_batch IS NULL"
        " AND COALESCE(seen_at, 0) < :from AND COALESCE(listing_acked_at, 0) < :before"
        " AND COALESCE(price_acked_at, 0) < :before AND COALESCE(stock_acked_at, 0) < :before ORDER BY id LIMIT :limit"
    )
    values = {"channel": channel_id, "from": seen_from, "before": before, "limit": limit}
    return [(row.id, row.sku) for row in conn.execute(sql, values)]


def lost(conn: Connection, ids: Sequence[int], now: int) -> None:
    """These offers are not on the channel any more: they are ABSENT, and due to be created again."""
    idle = text(f"SELECT id FROM offer WHERE {among(conn, 'id', 'ids')} AND open_batch IS NULL")
    gone = list(conn.execute(idle, {"ids": listed(conn, ids)}).scalars())
    sets = ["remote_id = NULL", "stock_acked_quantity = NULL", "proved = 0", "listing_due = :now"]
    sets += [f"{aspect}_acked = :absent, {aspect}_seen = :absent, {aspect}_acked_content = NULL" for aspect in Aspect]
    conn.execute(
        text(f"UPDATE offer SET {', '.join(sets)} WHERE {among(conn, 'id', 'ids')}"),
        {"ids": listed(conn, gone), "absent": ABSENT, "now": now},
    )
    prices.end(conn, gone, now)
    bring_up(conn, gone)
