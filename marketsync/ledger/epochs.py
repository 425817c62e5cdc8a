"""Every start of a daemon gets a higher number: what older ones left unanswered is recognised by it."""

from sqlalchemy import Connection, text

_NEXT = text(
    "INSERT INTO meta (name, value) VALUES ('epoch', '1')"
    " ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS VARCHAR) RETURNING value"
)


def next_epoch(conn: Connection) -> int:
    """A number that is higher than all before."""
    return int(conn.execute(_NEXT).scalar_one())
