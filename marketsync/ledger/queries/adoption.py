"""What adopting a channel asks of the ledger: its offers by id and GTIN, what is missing there, its open orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from marketsync.domain.content import ABSENT
from marketsync.ledger.queries.spelling import tally, when
from marketsync.ledger.sql import among, dig, listed
from marketsync.ledger.types import micros

AGES = {"1 d": timedelta(days=1), "7 d": timedelta(days=7), "30 d": timedelta(days=30)}


@dataclass(frozen=True, slots=True)
class OurOffer:
    """An offer of the assortment. ``there``: the channel shows it under its own SKU."""

    sku: str
    item: str
    there: bool


@dataclass(frozen=True, slots=True)
class OpenOrders:
    """Orders that are not shipped. ``older``: how many are older than a span; ``read``: orders were read at all."""

    count: int
    oldest: datetime | None
    newest: datetime | None
    older: dict[str, int]
    read: bool


def by_gtin(conn: Connection, channel_id: int, gtins: Sequence[str]) -> dict[str, list[OurOffer]]:
    """Offers of a channel that carry these GTINs, which are written without leading zeros (a UPC is an EAN with one)."""
    gtin = dig(conn, "listing_content", "gtin")
    if conn.dialect.name != "sqlite":
        gtin = f"({gtin}) #>> '{{}}'"
    gtin = f"LTRIM({gtin}, '0')"
    sql = text(
        f"SELECT {gtin} AS gtin, sku, item_sku, CASE WHEN remote_id IS NULL THEN 0 ELSE 1 END AS there FROM offer"
        f" WHERE channel_id = :channel AND listing_desired <> :absent AND {among(conn, gtin, 'gtins')} ORDER BY sku"
    )
    found: dict[str, list[OurOffer]] = {}
    values = {"channel": channel_id, "absent": ABSENT, "gtins": listed(conn, gtins)}
    for row in conn.execute(sql, values):
        found.setdefault(row.gtin, []).append(OurOffer(row.sku, row.item_sku, row.there == 1))
    return found


def known(conn: Connection, channel_id: int, skus: Sequence[str]) -> dict[str, tuple[str, str | None]]:
    """(item SKU, channel id) of the offers of a channel with these channel SKUs."""
    sql = text(
        f"SELECT sku, item_sku, remote_id FROM offer WHERE channel_id = :channel AND {among(conn, 'sku', 'skus')}"
    )
    values = {"channel": channel_id, "skus": listed(conn, skus)}
    return {row.sku: (row.item_sku, row.remote_id) for row in conn.execute(sql, values)}


def by_channel_id(conn: Connection, channel_id: int, ids: Sequence[str]) -> dict[str, OurOffer]:
    """Offers of a channel by the channel's own ids."""
    sql = text(
        f"SELECT remote_id, sku, item_sku FROM offer WHERE channel_id = :channel AND {among(conn, 'remote_id', 'ids')}"
    )
    values = {"channel": channel_id, "ids": listed(conn, ids)}
    return {row.remote_id: OurOffer(row.sku, row.item_sku, there=True) for row in conn.execute(sql, values)}


def absent(conn: Connection, channel_id: int, skus: Sequence[str]) -> dict[str, int]:
    """Ids of those of these offers that the channel does not have, as far as we know."""
    sql = text(
        "SELECT sku, id FROM offer WHERE channel_id = :channel AND remote_id IS NULL AND open_batch IS NULL"
        f" AND {among(conn, 'sku', 'skus')}"
    )
    return {row.sku: row.id for row in conn.execute(sql, {"channel": channel_id, "skus": listed(conn, skus)})}


def missing(conn: Connection, channel_id: int, limit: int) -> tuple[int, list[str]]:
    """How many offers of the assortment the channel does not have, and the first of them."""
    where = "channel_id = :channel AND remote_id IS NULL AND listing_desired <> :absent"
    values = {"channel": channel_id, "absent": ABSENT}
    count = conn.execute(text(f"SELECT COUNT(*) FROM offer WHERE {where}"), values).scalar_one()
    some = conn.execute(
        text(f"SELECT sku FROM offer WHERE {where} ORDER BY sku LIMIT :limit"), {**values, "limit": limit}
    )
    return int(count), list(some.scalars())


def open_orders(conn: Connection, channel_id: int, account: str, now: datetime) -> OpenOrders:
    """The open orders of a channel and their age."""
    ages = ", ".join(f"{tally(f'placed_at < :age{n}')} AS age{n}" for n in range(len(AGES)))
    row = conn.execute(
        text(
            f"SELECT COUNT(*) AS number, MIN(placed_at) AS oldest, MAX(placed_at) AS newest, {ages} FROM sales_order"
            " WHERE channel_id = :channel AND fulfilment IN ('open', 'partly_shipped')"
        ),
        {"channel": channel_id, **{f"age{n}": micros(now - age) for n, age in enumerate(AGES.values())}},
    ).one()
    pulled = conn.execute(
        text("SELECT 1 FROM task_state WHERE owner = :owner AND task = 'orders' AND pulled_from IS NOT NULL"),
        {"owner": f"account:{account}"},
    ).first()
    older = {name: int(getattr(row, f"age{n}") or 0) for n, name in enumerate(AGES)}
    return OpenOrders(int(row.number), when(row.oldest), when(row.newest), older, pulled is not None)
