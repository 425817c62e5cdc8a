"""Items: what every source says of a SKU, merged by priority when read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from marketsync.domain.content import item_from
from marketsync.domain.item import Item
from marketsync.ledger.sql import among, document, listed, many
from marketsync.ledger.types import Document


@dataclass(frozen=True, slots=True)
class SourceSays:
    """One row of a source: the values of its fields as a document, and its stock figures by location."""

    sku: str
    hash: bytes
    values: dict[str, Any]
    figures: dict[str, int] | None


def hashes(conn: Connection, source: str, skus: Sequence[str]) -> dict[str, bytes]:
    """What the source last said of these SKUs, as hashes."""
    sql = text(f"SELECT sku, hash FROM source_item WHERE source = :source AND {among(conn, 'sku', 'skus')}")
    return {row[0]: bytes(row[1]) for row in conn.execute(sql, {"source": source, "skus": listed(conn, skus)})}


def known_skus(conn: Connection, source: str, after: str, limit: int) -> list[str]:
    """SKUs that the source has named, in order, for a sweep."""
    sql = text("SELECT sku FROM source_item WHERE source = :source AND sku > :after ORDER BY sku LIMIT :limit")
    return list(conn.execute(sql, {"source": source, "after": after, "limit": limit}).scalars())


def count_known(conn: Connection, source: str) -> int:
    return int(
        conn.execute(text("SELECT COUNT(*) FROM source_item WHERE source = :source"), {"source": source}).scalar_one()
    )


def figures(conn: Connection, source: str, skus: Sequence[str]) -> dict[str, dict[str, int]]:
    """The stock figures that the source last gave for these SKUs, by location."""
    sql = text(f"SELECT sku, figures FROM source_item WHERE source = :source AND {among(conn, 'sku', 'skus')}").columns(
        figures=Document
    )
    rows = conn.execute(sql, {"source": source, "skus": listed(conn, skus)})
    return {row.sku: row.figures for row in rows if row.figures}


def apply(conn: Connection, source: str, rows: Sequence[SourceSays], order: Sequence[str]) -> list[Item]:
    """Keep what a source says of these SKUs and return their items as all sources together say now.

    ``order`` names the sources from the least to the most important. A SKU of which only stock is told is no item yet.
    """
    before = contents(conn, [row.sku for row in rows])
    after: dict[str, dict[str, Any]] = {}
    for row in rows:
        says = dict(before.get(row.sku, {}))
        says.pop(source, None)
        if row.values:
            says[source] = row.values
        after[row.sku] = says
    new = [(sku, says) for sku, says in after.items() if sku not in before and says]
    old = [(sku, says) for sku, says in after.items() if sku in before and says != before[sku]]
    merged = {sku: merge(sku, says, order) for sku, says in after.items() if says or sku in before}
    if new:
        many(
            conn,
            "INSERT INTO item (sku, content) VALUES (:sku, :content)",
            [{"sku": sku, "content": document(conn, says)} for sku, says in new],
        )
    if old:
        conn.execute(
            text("UPDATE item SET content = :content, deleted_at = NULL WHERE sku = :sku"),
            [{"sku": sku, "content": document(conn, says)} for sku, says in sorted(old)],
        )
    many(
        conn,
        "INSERT INTO source_item (source, sku, hash, figures) VALUES (:source, :sku, :hash, :figures)"
        " ON CONFLICT (source, sku) DO UPDATE SET hash = excluded.hash, figures = excluded.figures",
        [{"source": source, "sku": row.sku, "hash": row.hash, "figures": document(conn, row.figures)} for row in rows],
    )
    return list(merged.values())


def remove(conn: Connection, source: str, skus: Sequence[str], order: Sequence[str], now: int) -> list[Item]:
    """Forget what a source said of SKUs it no longer names. Returns the items as they are without it.

    An item of which no source says anything any more is deleted: it stays, marked, as long as an offer shows it.
    """
    before = contents(conn, skus)
    left = {sku: {name: says for name, says in content.items() if name != source} for sku, content in before.items()}
    if left:
        conn.execute(
            text("UPDATE item SET content = :content, deleted_at = :deleted WHERE sku = :sku"),
            [
                {"sku": sku, "content": document(conn, says or before[sku]), "deleted": None if says else now}
                for sku, says in sorted(left.items())
            ],
        )
    conn.execute(
        text(f"DELETE FROM source_item WHERE source = :source AND {among(conn, 'sku', 'skus')}"),
        {"source": source, "skus": listed(conn, skus)},
    )
    return [merge(sku, says, order) for sku, says in left.items() if says]


def contents(conn: Connection, skus: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each source says of these SKUs, by source."""
    sql = text(f"SELECT sku, content FROM item WHERE {among(conn, 'sku', 'skus')}").columns(content=Document)
    return {row.sku: row.content for row in conn.execute(sql, {"skus": listed(conn, skus)})}


def merge(sku: str, says: Mapping[str, Mapping[str, Any]], order: Sequence[str]) -> Item:
    """One item out of what the sources say; where two tell a field, the more important one counts."""
    values: dict[str, Any] = {}
    for source in order:
        if source in says:
            values.update(says[source])
    for source in sorted(says.keys() - set(order)):
        values = {**says[source], **values}
    return item_from({"sku": sku, **values})


def load(conn: Connection, skus: Sequence[str], order: Sequence[str]) -> dict[str, Item]:
    """The items with these SKUs that are not deleted."""
    sql = text(f"SELECT sku, content FROM item WHERE deleted_at IS NULL AND {among(conn, 'sku', 'skus')}").columns(
        content=Document
    )
    return {row.sku: merge(row.sku, row.content, order) for row in conn.execute(sql, {"skus": listed(conn, skus)})}


def page(conn: Connection, after: str, limit: int, order: Sequence[str]) -> Iterator[Item]:
    """Items in the order of their SKUs, for a sweep over all of them."""
    sql = text(
        "SELECT sku, content FROM item WHERE deleted_at IS NULL AND sku > :after ORDER BY sku LIMIT :limit"
    ).columns(content=Document)
    for row in conn.execute(sql, {"after": after, "limit": limit}):
        yield merge(row.sku, row.content, order)


def rederive_at(conn: Connection, moments: Mapping[str, int | None]) -> None:
    """Note when items have to be looked at again because a sale price starts or ends (µs)."""
    if moments:
        conn.execute(
            text("UPDATE item SET rederive_at = :at WHERE sku = :sku"),
            [{"sku": sku, "at": at} for sku, at in sorted(moments.items())],
        )


def due_again(conn: Connection, now: int, limit: int) -> list[str]:
    """SKUs whose time to be looked at again has come."""
    sql = text("SELECT sku FROM item WHERE rederive_at <= :now ORDER BY rederive_at LIMIT :limit")
    return list(conn.execute(sql, {"now": now, "limit": limit}).scalars())


def overrides(conn: Connection, channel: str, skus: Sequence[str], now: int) -> dict[str, dict[str, str]]:
    """Overrides in force for SKUs on a channel, by SKU and field; one for the channel itself beats one for all."""
    sql = text(
        "SELECT channel, sku, field, value FROM override WHERE channel IN ('*', :channel)"
        f" AND (until IS NULL OR until > :now) AND {among(conn, 'sku', 'skus')} ORDER BY channel"
    )
    found: dict[str, dict[str, str]] = {}
    values = {"channel": channel, "now": now, "skus": listed(conn, skus)}
    for row in sorted(conn.execute(sql, values), key=lambda row: row.channel != "*"):
        found.setdefault(row.sku, {})[row.field] = row.value
    return found


def has_overrides(conn: Connection) -> bool:
    return conn.execute(text("SELECT 1 FROM override LIMIT 1")).first() is not None


def put_overrides(conn: Connection, source: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Keep overrides of a source: channel, sku, field, value, reason, until (µs or None)."""
    values = [{**row, "source": source, "who": row.get("who", "")} for row in rows]
    if values:
        conn.execute(
            text(
                "INSERT INTO override (channel, sku, field, value, reason, until, who, source) VALUES"
                " (:channel, :sku, :field, :value, :reason, :until, :who, :source)"
                " ON CONFLICT (channel, sku, field) DO UPDATE SET value = excluded.value, reason = excluded.reason,"
                " until = excluded.until, who = excluded.who, source = excluded.source"
            ),
            values,
        )
