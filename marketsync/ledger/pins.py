"""Pins: what an undo put back, kept as overrides of whole content until a person releases them.

A pin has a field of its own: beside a value that a source of overrides fixes it wins, and neither replaces the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, text

from marketsync.adapter.content import Aspect
from marketsync.ledger.queries.spelling import when
from marketsync.ledger.sql import among, listed

FIELDS: Mapping[Aspect, str] = {Aspect.LISTING: "pinned_listing", Aspect.PRICE: "pinned_price"}
SOURCE = "(undo)"  # no source can have this name, so none takes pins for its own
_ASPECTS = {name: aspect for aspect, name in FIELDS.items()}


@dataclass(frozen=True, slots=True)
class Pin:
    """One aspect of one offer, kept as it was put back. ``content``: the whole document that the channel shall show."""

    channel: str
    sku: str
    aspect: Aspect
    content: Mapping[str, Any]
    who: str
    reason: str
    since: datetime | None


def put(
    conn: Connection, channel: str, chosen: Sequence[tuple[str, Aspect, str]], who: str, reason: str, now: int
) -> None:
    """Pin content (SKU, aspect, canonical JSON) on a channel, in the place of what was pinned before."""
    sql = (
        "INSERT INTO override (channel, sku, field, value, reason, until, who, source, since) VALUES"
        " (:channel, :sku, :field, :value, :reason, NULL, :who, :source, :now)"
        " ON CONFLICT (channel, sku, field) DO UPDATE SET value = excluded.value, reason = excluded.reason,"
        " who = excluded.who, since = excluded.since"
    )
    common = {"channel": channel, "reason": reason, "who": who, "source": SOURCE, "now": now}
    rows = [{**common, "sku": sku, "field": FIELDS[aspect], "value": content} for sku, aspect, content in chosen]
    if rows:
        conn.execute(text(sql), rows)


def listing(
    conn: Connection, *, channel: str | None = None, skus: Sequence[str] | None = None, limit: int | None = None
) -> list[Pin]:
    """What is pinned, by channel and SKU."""
    where, values = "source = :source", {"source": SOURCE, "limit": limit}
    if channel is not None:
        where += " AND channel = :channel"
        values["channel"] = channel
    if skus is not None:
        where += f" AND {among(conn, 'sku', 'skus')}"
        values["skus"] = listed(conn, skus)
    most = " LIMIT :limit" if limit is not None else ""
    sql = f"SELECT * FROM override WHERE {where} ORDER BY channel, sku, field{most}"
    rows = conn.execute(text(sql), {name: value for name, value in values.items() if value is not None})
    return [
        Pin(row.channel, row.sku, _ASPECTS[row.field], orjson.loads(row.value), row.who, row.reason, when(row.since))
        for row in rows
    ]


def remove(conn: Connection, channel: str, pins: Sequence[Pin]) -> None:
    """Forget these pins of a channel."""
    sql = "DELETE FROM override WHERE source = :source AND channel = :channel AND sku = :sku AND field = :field"
    common = {"source": SOURCE, "channel": channel}
    if pins:
        conn.execute(text(sql), [{**common, "sku": one.sku, "field": FIELDS[one.aspect]} for one in pins])
