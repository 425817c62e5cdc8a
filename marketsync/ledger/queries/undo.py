"""What an undo asks: which run that was, which offers it changed, and what was live on them before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from marketsync.adapter.content import Aspect
from marketsync.ledger.pins import FIELDS
from marketsync.ledger.sql import among, listed
from marketsync.ledger.types import Document, moment

PAGE = 500
_PRICE = Aspect.PRICE


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a task. ``owner``: "channel:NAME", "source:NAME", ..."""

    id: int
    owner: str
    task: str
    started: datetime


def run(conn: Connection, run_id: int) -> Run | None:
    row = conn.execute(text("SELECT id, owner, task, started_at FROM task_run WHERE id = :id"), {"id": run_id}).first()
    return None if row is None else Run(row.id, row.owner, row.task, moment(row.started_at))


def last_push(conn: Connection, channel_id: int) -> int | None:
    """The last run that sent prices or texts to a channel, as far as the journal goes back."""
    sql = (
        "SELECT b.run_id FROM push_batch b WHERE b.channel_id = :channel AND b.run_id IS NOT NULL AND EXISTS"
        " (SELECT 1 FROM push_item i WHERE i.batch_id = b.id AND (i.aspects & 3) <> 0) ORDER BY b.id DESC LIMIT 1"
    )
    return conn.execute(text(sql), {"channel": channel_id}).scalar()


def sent_by(conn: Connection, run: Run) -> dict[int, int]:
    """The offers (ids) that a run sent something for, with the aspects (bits) that it sent."""
    sql = (
        "SELECT i.offer_id, i.aspects FROM push_batch b JOIN push_item i ON i.batch_id = b.id"
        " WHERE b.started_at >= (SELECT started_at FROM task_run WHERE id = :run) AND b.run_id = :run"
    )
    found: dict[int, int] = {}
    for offer_id, aspects in conn.execute(text(sql), {"run": run.id}):
        found[offer_id] = found.get(offer_id, 0) | aspects
    return found


def known_skus(conn: Connection, channel_ids: Sequence[int], skus: Sequence[str]) -> set[str]:
    """Those of the SKUs that some of these channels have, as their own or of the item behind an offer."""
    sql = (
        f"SELECT sku, item_sku FROM offer WHERE {among(conn, 'channel_id', 'channels')}"
        f" AND ({among(conn, 'sku', 'skus')} OR {among(conn, 'item_sku', 'skus')})"
    )
    values = {"channels": listed(conn, channel_ids), "skus": listed(conn, skus)}
    return {name for row in conn.execute(text(sql), values) for name in row}


# Of an offer, what is live, what should be, and what was live before a moment: "before" is a number or an expression.
_ROWS = """
    SELECT o.id, o.sku, o.item_sku, o.managed, o.held, o.price_desired, o.price_acked, o.price_acked_content,
        o.price_content, o.listing_desired, o.listing_acked, o.listing_acked_at,
        CASE WHEN o.listing_desired <> o.listing_acked THEN o.listing_acked_content END AS listing_acked_content,
        h.live_from, h.ended_at, h.minor, h.currency, h.sale_minor, h.sale_from, h.sale_until, {before} AS before_us,
        CASE WHEN p.sku IS NULL THEN 0 ELSE 1 END AS pinned
    FROM offer o
    LEFT JOIN override p ON p.channel = :name AND p.sku = o.sku AND p.field = :field
    LEFT JOIN price_history h ON h.channel_id = o.channel_id AND h.sku = o.sku AND h.live_from =
        (SELECT MAX(m.live_from) FROM price_history m WHERE m.channel_id = o.channel_id AND m.sku = o.sku
         AND m.live_from < {before})
    WHERE {where} ORDER BY o.sku LIMIT :limit"""
_LAST = "(SELECT MAX(l.live_from) FROM price_history l WHERE l.channel_id = o.channel_id AND l.sku = o.sku)"
_CHANGED = (
    "(o.price_desired <> o.price_acked OR o.listing_desired <> o.listing_acked OR o.listing_acked_at >= :before"
    " OR EXISTS (SELECT 1 FROM price_history n WHERE n.channel_id = o.channel_id AND n.sku = o.sku"
    " AND n.live_from >= :before))"
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which offers of a channel: by SKU (of the channel or of the item), of a source's items, or by id.

    ``before``: as they were before this moment (µs); None: as they were before the last change of their price.
    """

    before: int | None
    skus: tuple[str, ...] | None = None
    source: str | None = None
    ids: tuple[int, ...] | None = None


def rows(conn: Connection, channel_id: int, name: str, chosen: Chosen) -> Iterator[Row[Any]]:
    """The chosen offers of a channel that may have changed, page by page in the order of their SKUs."""
    if chosen.ids is not None:
        for start in range(0, len(chosen.ids), PAGE):
            part = chosen.ids[start : start + PAGE]
            yield from _page(conn, name, chosen, among(conn, "o.id", "ids"), {"ids": listed(conn, part)})
        return
    where, values = ["o.channel_id = :channel", "o.sku > :after"], dict[str, Any](channel=channel_id)
    if chosen.before is not None:
        where.append(_CHANGED)
    if chosen.skus is not None:
        where.append(f"({among(conn, 'o.sku', 'skus')} OR {among(conn, 'o.item_sku', 'skus')})")
        values["skus"] = listed(conn, chosen.skus)
    if chosen.source is not None:
        where.append("EXISTS (SELECT 1 FROM source_item s WHERE s.source = :source AND s.sku = o.item_sku)")
        values["source"] = chosen.source
    after = ""
    while page := _page(conn, name, chosen, " AND ".join(where), {**values, "after": after}):
        yield from page
        after = page[-1].sku


def _page(conn: Connection, name: str, chosen: Chosen, where: str, values: dict[str, Any]) -> Sequence[Row[Any]]:
    before = _LAST if chosen.before is None else ":before"
    sql = _ROWS.format(before=before, where=where)
    given = {"name": name, "field": FIELDS[Aspect.PRICE], "limit": PAGE, **values}
    if chosen.before is not None:
        given["before"] = chosen.before
    documents = dict.fromkeys(("price_acked_content", "price_content", "listing_acked_content"), Document)
    return conn.execute(text(sql).columns(**documents), given).all()
