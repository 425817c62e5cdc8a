"""What stands around the channels: sources, sinks, limits, tokens, tasks."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from marketsync.ledger.queries.spelling import when


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source by its newest snapshot in use; ``error`` and ``failed`` of a later one that failed or is held."""

    name: str
    exported: datetime | None
    read: datetime | None
    rows: int
    changed: int
    missing: int
    problems: int
    verdict: str
    failed: datetime | None
    error: str


@dataclass(frozen=True, slots=True)
class SinkState:
    """A sink by what it has not got. ``waiting`` includes ``failed``, which it refuses as it is."""

    name: str
    waiting: int
    failed: int
    delivered: int
    oldest: datetime | None
    error: str


@dataclass(frozen=True, slots=True)
class BucketRow:
    """A stored limit. ``busy_until``: the theoretical arrival time; ``used`` of a quota since ``window``."""

    account: str
    bucket: str
    busy_until: datetime | None
    blocked_until: datetime | None
    used: float
    window: datetime | None


@dataclass(frozen=True, slots=True)
class TokenRow:
    account: str
    expires: datetime | None
    refresh_expires: datetime | None


@dataclass(frozen=True, slots=True)
class TaskRow:
    owner: str
    task: str
    started: datetime | None
    success: datetime | None
    failures: int
    error: str


def sources(conn: Connection) -> list[SourceState]:
    """Every source that was ever read, by name."""
    sql = """
        SELECT n.source, s.exported_at, s.read_at, s.rows, s.changed, s.missing, s.problems, l.id AS last_id,
            s.id AS used_id, l.verdict, l.read_at AS last_read, l.error
        FROM (SELECT source, MAX(id) AS last, MAX(CASE WHEN verdict = 'applied' THEN id END) AS used
              FROM source_snapshot WHERE verdict <> 'reading' GROUP BY source) AS n
        JOIN source_snapshot l ON l.id = n.last LEFT JOIN source_snapshot s ON s.id = n.used ORDER BY n.source"""
    found = []
    for row in conn.execute(text(sql)):
        trouble = row.last_id != row.used_id
        found.append(
            SourceState(
                row.source, when(row.exported_at), when(row.read_at), row.rows or 0, row.changed or 0, row.missing or 0,
                row.problems or 0, row.verdict, when(row.last_read) if trouble else None, row.error if trouble else "",
            )
        )  # fmt: skip
    return found


def sinks(conn: Connection) -> list[SinkState]:
    """Every sink that was ever to get an order, by name."""
    sql = """
        SELECT d.sink, SUM(CASE WHEN d.state <> 'delivered' THEN 1 ELSE 0 END),
            SUM(CASE WHEN d.state = 'failed' THEN 1 ELSE 0 END), SUM(CASE WHEN d.state = 'delivered' THEN 1 ELSE 0 END),
            MIN(CASE WHEN d.state <> 'delivered' THEN d.since END),
            (SELECT e.error FROM delivery e WHERE e.sink = d.sink AND e.next_attempt IS NOT NULL AND e.error <> ''
             ORDER BY e.next_attempt DESC LIMIT 1)
        FROM delivery d GROUP BY d.sink ORDER BY d.sink"""
    return [
        SinkState(row[0], int(row[1]), int(row[2]), int(row[3]), when(row[4]), row[5] or "")
        for row in conn.execute(text(sql))
    ]


def oldest_deliveries(conn: Connection) -> dict[str, datetime]:
    """Since when the longest waiting order waits, by sink; reads only what waits."""
    sql = "SELECT sink, MIN(since) FROM delivery WHERE next_attempt IS NOT NULL GROUP BY sink"
    return {row[0]: since for row in conn.execute(text(sql)) if (since := when(row[1])) is not None}


def buckets(conn: Connection) -> list[BucketRow]:
    """The limits that outlive the process, by account and name."""
    sql = "SELECT account, bucket, tat, blocked_until, used, window_start FROM rate_bucket ORDER BY account, bucket"
    return [
        BucketRow(row.account, row.bucket, _second(row.tat), _second(row.blocked_until), row.used,
                  _second(row.window_start))
        for row in conn.execute(text(sql))
    ]  # fmt: skip


def tokens(conn: Connection) -> list[TokenRow]:
    """When the tokens of the accounts expire."""
    sql = "SELECT account, expires_at, refresh_expires_at FROM oauth_token ORDER BY account"
    return [TokenRow(row[0], when(row[1]), when(row[2])) for row in conn.execute(text(sql))]


def tasks(conn: Connection) -> list[TaskRow]:
    """Where every task stands, by owner."""
    sql = "SELECT owner, task, started_at, success_at, failures, error FROM task_state ORDER BY owner, task"
    return [
        TaskRow(row.owner, row.task, when(row.started_at), when(row.success_at), row.failures, row.error)
        for row in conn.execute(text(sql))
    ]


def _second(value: float) -> datetime | None:
    """Unix seconds as a time; None for a limit that was never used."""
    return datetime.fromtimestamp(value, UTC) if 0 < value < 10**11 else None
