"""Orders on their way to sinks: one row per (order, sink), due again whenever the order reads differently."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from marketsync.domain.ownership import StockPolicy
from marketsync.ledger.reservations import fall_delivered
from marketsync.ledger.sql import among, listed
from marketsync.ledger.types import micros


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A due delivery: which order, in which revision; ``attempts`` failed so far."""

    order_id: int
    sink: str
    revision: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of one attempt. ``retry_at`` None: it arrived; ``failed``: the sink will not take it as it is."""

    order_id: int
    revision: int
    retry_at: datetime | None = None
    failed: bool = False
    error: str = ""


_PUT = text(
    """
    INSERT INTO delivery (order_id, sink, revision, delivered, state, attempts, since, next_attempt, error)
    VALUES (:order_id, :sink, :revision, 0, 'due', 0, :now, :now, '')
    ON CONFLICT (order_id, sink) DO UPDATE SET revision = excluded.revision, state = 'due', attempts = 0,
        next_attempt = excluded.next_attempt,
        since = CASE WHEN delivery.state = 'delivered' THEN excluded.since ELSE delivery.since END
    WHERE delivery.revision < excluded.revision
    """
)
_AGAIN = text(
    "UPDATE delivery SET revision = :revision, state = 'due', attempts = 0, next_attempt = :now,"
    " since = CASE WHEN state = 'delivered' THEN :now ELSE since END"
    " WHERE order_id = :order_id AND revision < :revision"
)
_ARRIVED = text(
    "UPDATE delivery SET delivered = :revision, delivered_at = :now, attempts = 0, error = '',"
    " state = CASE WHEN revision = :revision THEN 'delivered' ELSE 'due' END,"
    " next_attempt = CASE WHEN revision = :revision THEN NULL ELSE next_attempt END"
    " WHERE order_id = :order_id AND sink = :sink AND delivered < :revision"
)
# A newer revision may have come meanwhile: it is due at once, whatever became of the older one.
_FAILED = text(
    "UPDATE delivery SET attempts = attempts + 1, state = :state, next_attempt = :retry_at, error = :error"
    " WHERE order_id = :order_id AND sink = :sink AND revision = :revision AND delivered < :revision"
)


def request_deliveries(
    conn: Connection, wanted: Mapping[int, Sequence[str]], revisions: Mapping[int, int], now: datetime
) -> None:
    """Deliver these orders (id -> sinks), and every order of ``revisions`` again to the sinks that have it or wait."""
    at = micros(now)
    again = [
        {"order_id": order_id, "revision": revision, "now": at} for order_id, revision in sorted(revisions.items())
    ]
    if again:
        conn.execute(_AGAIN, again)
    rows = [
        {"order_id": order_id, "sink": sink, "revision": revisions[order_id], "now": at}
        for order_id, sinks in sorted(wanted.items())
        for sink in sinks
    ]
    if rows:
        conn.execute(_PUT, rows)


def due_deliveries(conn: Connection, sink: str, now: datetime, limit: int) -> list[DeliveryRow]:
    """What this sink is to get now, the longest due first."""
    sql = (
        "SELECT order_id, sink, revision, attempts FROM delivery WHERE sink = :sink AND next_attempt <= :now"
        " ORDER BY next_attempt, order_id LIMIT :limit"
    )
    rows = conn.execute(text(sql), {"sink": sink, "now": micros(now), "limit": limit})
    return [DeliveryRow(row.order_id, row.sink, row.revision, row.attempts) for row in rows]


def next_delivery(conn: Connection, sink: str) -> int | None:
    """When this sink is to get something next, in microseconds; None where nothing waits."""
    sql = "SELECT MIN(next_attempt) FROM delivery WHERE sink = :sink AND next_attempt IS NOT NULL"
    return conn.execute(text(sql), {"sink": sink}).scalar()


def record_deliveries(
    conn: Connection, sink: str, outcomes: Sequence[Delivered], stock: StockPolicy, now: datetime
) -> None:
    """Note what became of attempts. Once every sink has an order's newest revision, what it holds has fallen."""
    at = micros(now)
    arrived = [outcome for outcome in outcomes if outcome.retry_at is None]
    if arrived:
        rows = [{"order_id": o.order_id, "sink": sink, "revision": o.revision, "now": at} for o in arrived]
        conn.execute(_ARRIVED, rows)
        fall_delivered(conn, _complete(conn, [outcome.order_id for outcome in arrived]), stock, now)
    failed = [
        {
            "order_id": outcome.order_id, "sink": sink, "revision": outcome.revision, "error": outcome.error[:500],
            "state": "failed" if outcome.failed else "due", "retry_at": micros(outcome.retry_at),
        }
        for outcome in outcomes if outcome.retry_at is not None
    ]  # fmt: skip
    if failed:
        conn.execute(_FAILED, failed)


def _complete(conn: Connection, order_ids: Sequence[int]) -> list[int]:
    """Those of the orders whose newest revision every sink has that is to get it."""
    sql = (
        "SELECT order_id FROM delivery WHERE "
        + among(conn, "order_id", "orders")
        + " GROUP BY order_id HAVING MIN(CASE WHEN delivered = revision THEN 1 ELSE 0 END) = 1"
    )
    return list(conn.execute(text(sql), {"orders": listed(conn, sorted(order_ids))}).scalars())
