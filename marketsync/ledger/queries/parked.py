"""Parked offers as a person looks at them: by what the channel says."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from marketsync.adapter.content import Aspect
from marketsync.ledger.parked import waiting
from marketsync.ledger.types import moment

EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class ParkedGroup:
    """Offers that a channel refused for one reason. ``reason``: the channel's own code, "" where it gave none."""

    channel: str
    aspect: Aspect
    reason: str
    offers: int
    first_seen: datetime
    last_seen: datetime
    skus: tuple[str, ...]  # up to EXAMPLES, in order
    message: str  # of the first of them
    hint: str


def parked(conn: Connection, *, channel: str | None = None, limit: int = 1000) -> list[ParkedGroup]:
    """Parked offers by channel, aspect and reason, the largest group first; without a code, by message."""
    parts: list[str] = []
    values: dict[str, object] = {"examples": EXAMPLES}
    for aspect in Aspect:
        found, bound = waiting(aspect, channel=channel)
        values |= bound
        parts.append(
            f"SELECT ch.name AS channel, '{aspect}' AS aspect, o.sku, i.reason, i.message, i.hint, i.first_seen,"
            f" i.last_seen, CASE WHEN i.reason = '' THEN i.message ELSE '' END AS said {found}"
        )
    own = "PARTITION BY channel, aspect, reason, said"
    sql = f"""
        SELECT * FROM (
            SELECT p.*, COUNT(*) OVER ({own}) AS offers, MIN(first_seen) OVER ({own}) AS first_from,
                MAX(last_seen) OVER ({own}) AS last_to, ROW_NUMBER() OVER ({own} ORDER BY sku) AS place
            FROM ({" UNION ALL ".join(parts)}) AS p) AS ranked
        WHERE place <= :examples ORDER BY offers DESC, channel, aspect, reason, said, place"""
    skus: dict[tuple[str, ...], list[str]] = {}
    rows: dict[tuple[str, ...], Any] = {}
    for row in conn.execute(text(sql), values):
        key = (row.channel, row.aspect, row.reason, row.said)
        skus.setdefault(key, []).append(row.sku)
        rows.setdefault(key, row)
    return [
        ParkedGroup(
            row.channel, Aspect(row.aspect), row.reason, row.offers, moment(row.first_from), moment(row.last_to),
            tuple(skus[key]), row.message.removeprefix(f"{row.reason}: "), row.hint,
        )
        for key, row in list(rows.items())[:limit]
    ]  # fmt: skip
