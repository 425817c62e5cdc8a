"""Writing what channels should show: only what differs from what is stored, in one statement per aspect."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from marketsync.adapter.content import Aspect
from marketsync.domain.content import ABSENT, Document, canonical, text_hash
from marketsync.ledger.outbox import BITS, Lane, refresh
from marketsync.ledger.sql import among, listed, many


@dataclass(frozen=True, slots=True)
class StoredOffer:
    """What derive compares with. ``left_at``: since when the offer is in no assortment (µs)."""

    id: int
    sku: str
    item_sku: str
    family: str | None
    remote_id: str | None
    fulfilled_by: str
    left_at: int | None
    listing: bytes
    price: bytes
    stock: bytes
    price_acked: bytes
    stock_basis: int
    held: int
    known: bool  # on the channel, or perhaps on it


@dataclass(frozen=True, slots=True)
class Wanted:
    """One aspect of one offer as it should be: its hash, and its document as canonical JSON text."""

    hash: bytes
    content: str


def wanted(content: Document, mapping_version: int) -> Wanted:
    """A document as one version of an adapter's mapping writes it; packed once, for the hash and for the row."""
    packed = canonical(content)
    return Wanted(text_hash(packed, mapping_version), packed.decode())


@dataclass(frozen=True, slots=True)
class NewOffer:
    """An offer that the ledger does not know yet. ``basis``: the newest knowledge its stock rests on (µs)."""

    sku: str
    item_sku: str
    family: str | None
    stock_key: str | None
    listing: Wanted
    price: Wanted
    stock: Wanted
    quantity: int
    basis: int


@dataclass(slots=True)
class Changes:
    """What a derive found out for one channel: written by ``write``."""

    new: list[NewOffer] = field(default_factory=list)
    listing: list[tuple[int, Wanted]] = field(default_factory=list)
    price: list[tuple[int, Wanted]] = field(default_factory=list)
    stock: list[tuple[int, Wanted, int, int]] = field(default_factory=list)  # id, wanted, quantity, basis
    basis: list[tuple[int, int]] = field(default_factory=list)  # same quantity, newer knowledge
    belongs: list[tuple[int, str, str | None]] = field(default_factory=list)  # id, item SKU, family
    left: list[int] = field(default_factory=list)
    back: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)  # never were on the channel: forgotten

    @property
    def count(self) -> int:
        return len(self.new) + len(self.listing) + len(self.price) + len(self.stock) + len(self.gone)


_STORED = (
    "SELECT id, sku, item_sku, family, remote_id, fulfilled_by, left_at, listing_desired, price_desired,"
    " stock_desired, price_acked, stock_basis, held,"
    " CASE WHEN remote_id IS NOT NULL OR listing_acked <> :absent OR open_batch IS NOT NULL THEN 1 ELSE 0 END AS known"
    " FROM offer WHERE channel_id = :channel AND "
)


def stored(conn: Connection, channel_id: int, skus: Sequence[str]) -> dict[str, StoredOffer]:
    """The offers of a channel with these channel SKUs."""
    values = {"channel": channel_id, "absent": ABSENT, "skus": listed(conn, skus)}
    return _stored(conn, text(_STORED + among(conn, "sku", "skus")), values)


def page(conn: Connection, channel_id: int, after: str, limit: int) -> dict[str, StoredOffer]:
    """Offers of a channel in the order of their SKUs, for a sweep over all of them."""
    values = {"channel": channel_id, "absent": ABSENT, "after": after, "limit": limit}
    return _stored(conn, text(_STORED + "sku > :after ORDER BY sku LIMIT :limit"), values)


def _stored(conn: Connection, statement: Any, values: Mapping[str, Any]) -> dict[str, StoredOffer]:
    return {
        row[1]: StoredOffer(
            row[0],
            row[1],
            row[2],
            row[3],
            row[4],
            row[5],
            row[6],
            bytes(row[7]),
            bytes(row[8]),
            bytes(row[9]),
            bytes(row[10]),
            row[11],
            row[12],
            row[13] == 1,
        )
        for row in conn.execute(statement, values)
    }


_INSERT = """
    INSERT INTO offer (channel_id, sku, item_sku, family, fulfilled_by, stock_key, managed, held, revision,
        open_aspects, zero_sent, forgotten, lane, due_at, proved, revisions_today, stock_quantity, stock_basis,
        listing_desired, listing_acked, listing_seen, listing_due, listing_since, listing_attempts, listing_content,
        price_desired, price_acked, price_seen, price_due, price_since, price_attempts, price_content,
        stock_desired, stock_acked, stock_seen, stock_due, stock_since, stock_attempts, stock_content)
    VALUES (:channel, :sku, :item_sku, :family, 'merchant', :stock_key, :managed, 0, 0,
        0, 0, 0, :lane, :due_at, 0, 0, :quantity, :basis,
        :listing, :absent, :absent, :listing_due, :now, 0, :listing_content,
        :price, :absent, :absent, :price_due, :now, 0, :price_content,
        :stock, :absent, :absent, :stock_due, :now, 0, :stock_content)
    """  # fmt: skip


def write(
    conn: Connection, channel_id: int, managed: int, changes: Changes, dues: Mapping[Aspect, int], now: int
) -> None:
    """Write the changes of one channel. ``dues``: from when each aspect may be sent (µs)."""
    if changes.new:
        # A new offer waits for nothing but its listing's turn, so its place in the outbox is known.
        lane, due = (Lane.LISTING, dues[Aspect.LISTING]) if managed & BITS[Aspect.LISTING] else (Lane.NONE, None)
        common = {
            "channel": channel_id, "managed": managed, "now": now, "absent": ABSENT, "lane": int(lane), "due_at": due,
            **{f"{aspect}_due": at for aspect, at in dues.items()},
        }  # fmt: skip
        many(conn, _INSERT, [common | _new_row(offer) for offer in changes.new])
    touched: set[int] = set()
    touched |= _write_aspect(conn, Aspect.LISTING, changes.listing, dues, now)
    touched |= _write_aspect(conn, Aspect.PRICE, changes.price, dues, now)
    touched |= _write_stock(conn, changes.stock, dues[Aspect.STOCK], now)
    if changes.basis:
        many(
            conn,
            "UPDATE offer SET stock_basis = :basis WHERE id = :id",
            [{"id": offer_id, "basis": basis} for offer_id, basis in changes.basis],
        )
    if changes.belongs:
        many(
            conn,
            "UPDATE offer SET item_sku = :item, family = :family WHERE id = :id",
            [{"id": offer_id, "item": item, "family": family} for offer_id, item, family in changes.belongs],
        )
    _mark(conn, "left_at = :now", changes.left, now)
    _mark(conn, "left_at = NULL", changes.back, now)
    if changes.gone:
        conn.execute(text(f"DELETE FROM offer WHERE {among(conn, 'id', 'ids')}"), {"ids": listed(conn, changes.gone)})
    bring_up(conn, touched)


def bring_up(conn: Connection, ids: Iterable[int]) -> None:
    """Recompute when these offers are due."""
    chosen = sorted(set(ids))
    if chosen:
        conn.execute(text(refresh(conn.dialect.name, among(conn, "id", "ids"))), {"ids": listed(conn, chosen)})


def _new_row(offer: NewOffer) -> dict[str, Any]:
    return {
        "sku": offer.sku, "item_sku": offer.item_sku, "family": offer.family, "stock_key": offer.stock_key,
        "quantity": offer.quantity, "basis": offer.basis,
        "listing": offer.listing.hash, "listing_content": offer.listing.content,
        "price": offer.price.hash, "price_content": offer.price.content,
        "stock": offer.stock.hash, "stock_content": offer.stock.content,
    }  # fmt: skip


def _sets(aspect: Aspect) -> str:
    """Since when it is unsent stays, as long as it was unsent already."""
    return (
        f"{aspect}_since = CASE WHEN {aspect}_desired <> {aspect}_acked THEN {aspect}_since ELSE :now END,"
        f" {aspect}_desired = :hash, {aspect}_content = :content, {aspect}_due = :due, {aspect}_attempts = 0"
    )


def _write_aspect(
    conn: Connection, aspect: Aspect, rows: Sequence[tuple[int, Wanted]], dues: Mapping[Aspect, int], now: int
) -> set[int]:
    if rows:
        many(
            conn,
            f"UPDATE offer SET {_sets(aspect)} WHERE id = :id",
            [
                {"id": offer_id, "hash": wanted.hash, "content": wanted.content,
                 "due": dues[aspect], "now": now}
                for offer_id, wanted in rows
            ],
        )  # fmt: skip
    return {offer_id for offer_id, _ in rows}


def _write_stock(conn: Connection, rows: Sequence[tuple[int, Wanted, int, int]], due: int, now: int) -> set[int]:
    if rows:
        many(
            conn,
            f"UPDATE offer SET {_sets(Aspect.STOCK)}, stock_quantity = :quantity, stock_basis = :basis,"
            " zero_sent = 0 WHERE id = :id",
            [
                {"id": offer_id, "hash": wanted.hash, "content": wanted.content, "due": due,
                 "now": now, "quantity": quantity, "basis": basis}
                for offer_id, wanted, quantity, basis in sorted(rows, key=lambda row: row[0])
            ],
        )  # fmt: skip
    return {row[0] for row in rows}


def _mark(conn: Connection, sets: str, ids: Sequence[int], now: int) -> None:
    if ids:
        values: dict[str, Any] = {"ids": listed(conn, ids)}
        if ":now" in sets:
            values["now"] = now
        conn.execute(text(f"UPDATE offer SET {sets} WHERE {among(conn, 'id', 'ids')}"), values)


def withdraw_left(conn: Connection, channel_id: int, before: int, now: int, limit: int) -> list[int]:
    """Offers that left the assortment before ``before`` shall leave the channel. Returns their ids."""
    sql = (
        "SELECT id FROM offer WHERE channel_id = :channel AND left_at < :before AND listing_desired <> :absent"
        " AND (managed & 1) <> 0 AND remote_id IS NOT NULL ORDER BY id LIMIT :limit"
    )
    values = {"channel": channel_id, "before": before, "absent": ABSENT, "limit": limit}
    ids = list(conn.execute(text(sql), values).scalars())
    if ids:
        conn.execute(
            text(
                "UPDATE offer SET listing_desired = :absent, price_desired = :absent, stock_desired = :absent,"
                " listing_since = :now, listing_due = :now, listing_content = NULL, price_content = NULL,"
                f" stock_content = NULL, stock_quantity = 0 WHERE {among(conn, 'id', 'ids')}"
            ),
            {"ids": listed(conn, ids), "absent": ABSENT, "now": now},
        )
        bring_up(conn, ids)
    return ids
