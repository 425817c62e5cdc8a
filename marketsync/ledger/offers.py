"""Small questions about offers, and what the engine learns of them besides a push."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from marketsync.adapter.content import Aspect
from marketsync.domain.content import ABSENT, UNKNOWN
from marketsync.ledger.outbox import BITS, Lane, aspects_of, refresh
from marketsync.ledger.parked import freed
from marketsync.ledger.sql import among, listed


def remote_ids(conn: Connection, channel_id: int, skus: Sequence[str]) -> dict[str, str]:
    """Channel ids by SKU; SKUs without one are left out."""
    sql = "SELECT sku, remote_id FROM offer WHERE channel_id = :channel AND remote_id IS NOT NULL AND " + among(
        conn, "sku", "skus"
    )
    return {
        row.sku: row.remote_id for row in conn.execute(text(sql), {"channel": channel_id, "skus": listed(conn, skus)})
    }


def skus_of(conn: Connection, channel_id: int, ids: Sequence[str]) -> dict[str, str]:
    """SKUs by channel id."""
    sql = "SELECT sku, remote_id FROM offer WHERE channel_id = :channel AND " + among(conn, "remote_id", "ids")
    return {
        row.remote_id: row.sku for row in conn.execute(text(sql), {"channel": channel_id, "ids": listed(conn, ids)})
    }


def forget_stock(conn: Connection, channel_id: int, skus: Iterable[str], now: int) -> None:
    """The channel has moved its own stock of these SKUs (it sold): nobody knows what it shows, so they are due again.

    Offers that share one remote quantity with them are forgotten too, on whichever channel. One whose stock is on its
    way is marked, so that the answer of that write is not believed.
    """
    values = {"channel": channel_id, "skus": listed(conn, sorted(set(skus)))}
    sql = "SELECT id, stock_key FROM offer WHERE channel_id = :channel AND stock_acked <> :absent AND " + among(
        conn, "sku", "skus"
    )
    rows = conn.execute(text(sql), {**values, "absent": ABSENT}).all()
    ids = {row.id for row in rows}
    if keys := sorted({row.stock_key for row in rows if row.stock_key is not None}):
        sharing = text(f"SELECT id FROM offer WHERE stock_acked <> :absent AND {among(conn, 'stock_key', 'keys')}")
        ids |= {row.id for row in conn.execute(sharing, {"keys": listed(conn, keys), "absent": ABSENT})}
    if not ids:
        return
    chosen = {"ids": listed(conn, sorted(ids))}
    where = among(conn, "id", "ids")
    conn.execute(
        text(
            "UPDATE offer SET forgotten = CASE WHEN open_batch IS NOT NULL AND (open_aspects & 4) <> 0 THEN 1"
            " ELSE forgotten END, stock_since = CASE WHEN stock_desired <> stock_acked THEN stock_since ELSE :now END,"
            " stock_acked = :unknown, stock_acked_quantity = NULL, stock_due = :now,"
            f" proved = proved & {7 - BITS[Aspect.STOCK]} WHERE {where}"
        ),
        {**chosen, "unknown": UNKNOWN, "now": now},
    )
    conn.execute(text(refresh(conn.dialect.name, where)), chosen)


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A submission that waits to be asked for."""

    id: int
    operation: str
    receipt: str
    submitted: int
    ops: tuple[tuple[str, frozenset[Aspect]], ...]


def open_receipts(conn: Connection, channel_id: int, now: int) -> list[OpenBatch]:
    """Submissions whose time to ask has come, oldest first."""
    batches = conn.execute(
        text(
            "SELECT id, operation, receipt, started_at FROM push_batch WHERE channel_id = :channel"
            " AND closed_at IS NULL AND receipt IS NOT NULL AND COALESCE(ask_at, 0) <= :now ORDER BY id"
        ),
        {"channel": channel_id, "now": now},
    ).all()
    items = text(
        "SELECT o.sku, CASE WHEN o.open_batch = :batch THEN pi.aspects & o.open_aspects ELSE 0 END AS bits"
        " FROM push_item pi JOIN offer o ON o.id = pi.offer_id WHERE pi.batch_id = :batch ORDER BY pi.position"
    )
    return [
        OpenBatch(
            batch.id, batch.operation, batch.receipt, batch.started_at,
            tuple((row.sku, aspects_of(row.bits)) for row in conn.execute(items, {"batch": batch.id})),
        )
        for batch in batches
    ]  # fmt: skip


def next_ask(conn: Connection, channel_id: int) -> int | None:
    """When the next submission wants to be asked for."""
    sql = "SELECT MIN(ask_at) FROM push_batch WHERE channel_id = :channel AND closed_at IS NULL AND receipt IS NOT NULL"
    return conn.execute(text(sql), {"channel": channel_id}).scalar()


def lost_batches(conn: Connection, channel_id: int, epoch: int) -> list[int]:
    """Batches of older epochs that were sent and never answered: a crash, or a worker that lost its lease."""
    sql = (
        "SELECT id FROM push_batch WHERE channel_id = :channel AND closed_at IS NULL AND receipt IS NULL"
        " AND epoch < :epoch ORDER BY id"
    )
    return list(conn.execute(text(sql), {"channel": channel_id, "epoch": epoch}).scalars())


def lost_creates(conn: Connection, channel_id: int, now: int, limit: int) -> list[tuple[int, str]]:
    """Offers that may have been created without us knowing their id, whose time to look has come."""
    sql = (
        "SELECT id, sku FROM offer WHERE channel_id = :channel AND lane = :lane AND due_at <= :now"
        " AND remote_id IS NULL AND listing_acked = :unknown ORDER BY due_at LIMIT :limit"
    )
    values = {"channel": channel_id, "lane": int(Lane.LISTING), "now": now, "unknown": UNKNOWN, "limit": limit}
    return [(row.id, row.sku) for row in conn.execute(text(sql), values)]


def found_creates(conn: Connection, found: Mapping[int, str], missing: Sequence[int]) -> None:
    """Note what became of lost creates: their channel ids, or that they are certainly not there."""
    if found:
        conn.execute(
            text("UPDATE offer SET remote_id = :remote WHERE id = :id"),
            [{"id": offer_id, "remote": remote} for offer_id, remote in sorted(found.items())],
        )
    ids = {"ids": listed(conn, sorted([*found, *missing]))}
    gone = {"ids": listed(conn, sorted(missing)), "absent": ABSENT}
    sets = ", ".join(f"{aspect}_acked = :absent" for aspect in BITS)
    conn.execute(text(f"UPDATE offer SET {sets} WHERE {among(conn, 'id', 'ids')}"), gone)
    conn.execute(text(refresh(conn.dialect.name, among(conn, "id", "ids"))), ids)


def due_by_lane(conn: Connection, channel_id: int, now: int, ceiling: int) -> dict[Lane, int]:
    """How many offers are due per lane, counted up to ``ceiling``."""
    sql = text(
        "SELECT COUNT(*) FROM (SELECT 1 FROM offer WHERE channel_id = :channel AND lane = :lane AND due_at <= :now"
        " LIMIT :ceiling) AS counted"
    )
    return {
        lane: conn.execute(sql, {"channel": channel_id, "lane": int(lane), "now": now, "ceiling": ceiling}).scalar_one()
        for lane in Lane
        if lane is not Lane.NONE
    }


def next_due(conn: Connection, channel_id: int) -> int | None:
    """The earliest time at which an offer of the channel may be sent; None where nothing waits."""
    sql = text("SELECT MIN(due_at) FROM offer WHERE channel_id = :channel AND lane = :lane AND due_at IS NOT NULL")
    dues = [
        conn.execute(sql, {"channel": channel_id, "lane": int(lane)}).scalar() for lane in Lane if lane is not Lane.NONE
    ]
    known = [due for due in dues if due is not None]
    return min(known) if known else None


def resend(conn: Connection, channel_id: int, skus: Sequence[str] | None, now: int) -> int:
    """Forget what was acknowledged, so that everything (or these SKUs) is sent again. Parked offers are freed."""
    where = "channel_id = :channel AND open_batch IS NULL"
    values: dict[str, object] = {"channel": channel_id, "now": now, "unknown": UNKNOWN, "absent": ABSENT}
    if skus is not None:
        where += " AND " + among(conn, "sku", "skus")
        values["skus"] = listed(conn, skus)
    sets = ["stock_acked_quantity = NULL"]
    for aspect in BITS:
        kept = f"CASE WHEN {aspect}_acked = :absent THEN {aspect}_acked ELSE :unknown END"
        sets += [
            f"{aspect}_acked = {kept}",
            freed(aspect),
            f"{aspect}_attempts = 0",
            f"{aspect}_due = :now",
        ]
    count = conn.execute(text(f"UPDATE offer SET {', '.join(sets)} WHERE {where}"), values).rowcount
    conn.execute(text(refresh(conn.dialect.name, where)), {k: v for k, v in values.items() if k in {"channel", "skus"}})
    return count


def manage(conn: Connection, channel_id: int, managed: int, limit: int) -> int:
    """Set which aspects we write, on offers where that differs. Returns how many; fewer than ``limit`` are the last."""
    sql = "SELECT id FROM offer WHERE channel_id = :channel AND managed <> :managed ORDER BY id LIMIT :limit"
    values = {"channel": channel_id, "managed": managed, "limit": limit}
    ids = list(conn.execute(text(sql), values).scalars())
    if ids:
        chosen = {"ids": listed(conn, ids)}
        where = among(conn, "id", "ids")
        conn.execute(text(f"UPDATE offer SET managed = :managed WHERE {where}"), {**chosen, "managed": managed})
        conn.execute(text(refresh(conn.dialect.name, where)), chosen)
    return len(ids)
