"""Limits whose state outlives the process: one row each, changed by one worker at a time."""

from collections.abc import Callable

from sqlalchemy import Connection, text

from marketsync.domain.limits import BucketState

_SELECT = (
    "SELECT tat, blocked_until, learned, used, window_start AS window FROM rate_bucket"
    " WHERE account = :account AND bucket = :bucket"
)
_LOCK = text(
    "INSERT INTO rate_bucket (account, bucket, tat, blocked_until, used, window_start)"
    " VALUES (:account, :bucket, 0, 0, 0, 0) ON CONFLICT (account, bucket) DO NOTHING"
)
_PUT = text(
    "INSERT INTO rate_bucket (account, bucket, tat, blocked_until, learned, used, window_start)"
    " VALUES (:account, :bucket, :tat, :blocked_until, :learned, :used, :window)"
    " ON CONFLICT (account, bucket) DO UPDATE SET tat = excluded.tat, blocked_until = excluded.blocked_until,"
    " learned = excluded.learned, used = excluded.used, window_start = excluded.window_start"
)


def update(
    conn: Connection, account: str, bucket: str, change: Callable[[BucketState | None], tuple[BucketState, float]]
) -> float:
    """Store what ``change`` makes of the state (None: none yet) and return its seconds; other workers wait meanwhile."""
    key = {"account": account, "bucket": bucket}
    fresh, lock = False, ""
    if conn.dialect.name != "sqlite":  # SQLite has one writer
        fresh, lock = conn.execute(_LOCK, key).rowcount == 1, " FOR UPDATE"
    row = conn.execute(text(_SELECT + lock), key).first()
    state = None if row is None or fresh else BucketState(**row._mapping)  # noqa: SLF001  public in spite of its name
    after, seconds = change(state)
    # What a bucket learned of its own capacity is not kept: the channel tells it again with every reply.
    values = {name: getattr(after, name) for name in ("tat", "blocked_until", "learned", "used", "window")}
    conn.execute(_PUT, key | values)
    return seconds
