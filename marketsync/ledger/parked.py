"""Parked offers: what a channel refused waits until its content changes, or a person says: try again."""

from typing import Any

from sqlalchemy import Connection, text

from marketsync.adapter.content import Aspect
from marketsync.domain.content import UNKNOWN
from marketsync.ledger.outbox import refresh
from marketsync.ledger.queries.states import parked
from marketsync.ledger.sql import among, listed


def freed(aspect: Aspect) -> str:
    """SQL for SET: the aspect may be sent again. ``:unknown`` is no content, so that the next answer closes the issue."""
    return f"{aspect}_parked = CASE WHEN {aspect}_parked IS NULL THEN NULL ELSE :unknown END"


def waiting(
    aspect: Aspect, *, channel: str | None = None, reason: str | None = None, sku: str | None = None
) -> tuple[str, dict[str, Any]]:
    """SQL from FROM on, and its values: offers (``o``) whose aspect is parked, their channels (``ch``), their issues (``i``).

    It begins with the open issues: there is one of every refusal, and few beside a catalogue.
    """
    where = ["i.closed_at IS NULL", f"i.code = 'refused_{aspect}'", "ch.state <> 'removed'", parked(aspect)]
    given = {"ch.name": ("channel", channel), "i.reason": ("reason", reason), "o.sku": ("sku", sku)}
    where += [f"{column} = :{name}" for column, (name, value) in given.items() if value is not None]
    sql = (
        "FROM issue i JOIN channel ch ON i.scope = 'channel:' || ch.name"
        " JOIN offer o ON o.channel_id = ch.id AND o.sku = i.sku WHERE " + " AND ".join(where)
    )
    return sql, {name: value for name, value in given.values() if value is not None}


def retry(
    conn: Connection,
    now: int,
    *,
    channel: str | None = None,
    reason: str | None = None,
    sku: str | None = None,
    limit: int = 1000,
) -> dict[Aspect, int]:
    """Let some parked offers be sent again at once (``now`` in microseconds), at most ``limit``. Returns how many, by aspect.

    ``reason``: the channel's own code. To be called again until nothing is left.
    """
    done: dict[Aspect, int] = {}
    for aspect in Aspect:
        found, values = waiting(aspect, channel=channel, reason=reason, sku=sku)
        room = limit - sum(done.values())
        ids = conn.execute(text(f"SELECT o.id {found} ORDER BY o.id LIMIT :room"), {**values, "room": room}).scalars()
        chosen = {"ids": listed(conn, ids)}
        where = among(conn, "id", "ids")
        sets = f"{freed(aspect)}, {aspect}_attempts = 0, {aspect}_due = :now"
        count = conn.execute(
            text(f"UPDATE offer SET {sets} WHERE {where}"), {**chosen, "unknown": UNKNOWN, "now": now}
        ).rowcount
        if count:
            done[aspect] = count
            conn.execute(text(refresh(conn.dialect.name, where)), chosen)
    return done
