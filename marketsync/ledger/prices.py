"""What was live on a channel at which price, and from when: one row per change, kept for ever.

Live is what the channel acknowledged, or was read to show: before it was adopted, or after somebody changed it there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, text

from marketsync.adapter.money import Money
from marketsync.ledger.sql import among, listed
from marketsync.ledger.types import micros, moment

OMNIBUS_DAYS = 30  # Directive 98/6/EC, article 6a: the lowest price of at least 30 days before a reduction


# ------------------------------------------------------------------ writing

_LAST = "(SELECT MAX(live_from) FROM price_history l WHERE l.channel_id = {0}.channel_id AND l.sku = {0}.sku)"
_VALUES = ("minor", "currency", "sale_minor", "sale_from", "sale_until")
_NUMBERS = tuple(name for name in _VALUES if name != "currency")


def begin(conn: Connection, offer_ids: Sequence[int], now: int) -> None:
    """The prices that these offers acknowledge are live from now on (µs); where they were already, nothing changes."""
    told = ", ".join(f"{_dug(conn, name)} AS {name}" for name in _VALUES)
    same = " AND ".join(f"COALESCE(h.{name}, -1) = COALESCE(n.{name}, -1)" for name in _NUMBERS)
    columns = ", ".join(_VALUES)
    sql = (
        f"INSERT INTO price_history (channel_id, sku, live_from, {columns})"
        f" SELECT n.channel_id, n.sku, :now, {', '.join(f'n.{name}' for name in _VALUES)}"
        f" FROM (SELECT o.channel_id, o.sku, {told} FROM offer o WHERE {among(conn, 'o.id', 'ids')}) AS n"
        " WHERE n.minor IS NOT NULL AND n.currency IS NOT NULL AND NOT EXISTS (SELECT 1 FROM price_history h"
        f" WHERE h.channel_id = n.channel_id AND h.sku = n.sku AND h.live_from = {_LAST.format('n')}"
        f" AND h.ended_at IS NULL AND h.currency = n.currency AND {same})"
        " ON CONFLICT (channel_id, sku, live_from) DO UPDATE SET ended_at = NULL, "
        + ", ".join(f"{name} = excluded.{name}" for name in _VALUES)
    )
    conn.execute(text(sql), {"now": now, "ids": listed(conn, offer_ids)})


def end(conn: Connection, offer_ids: Sequence[int], now: int) -> None:
    """These offers are not on their channels any more: what was live ends."""
    sql = (
        "UPDATE price_history SET ended_at = :now WHERE ended_at IS NULL AND (channel_id, sku) IN"
        f" (SELECT channel_id, sku FROM offer WHERE {among(conn, 'id', 'ids')})"
        f" AND live_from = {_LAST.format('price_history')}"
    )
    conn.execute(text(sql), {"now": now, "ids": listed(conn, offer_ids)})


_PATHS = {
    "minor": "amount,minor", "currency": "amount,currency", "sale_minor": "sale,minor", "sale_from": "sale_starts",
    "sale_until": "sale_ends",
}  # fmt: skip


def _dug(conn: Connection, name: str) -> str:
    """SQL: a value of the acknowledged price; times become microseconds since 1970."""
    time = name in {"sale_from", "sale_until"}
    if conn.dialect.name == "sqlite":
        value = f"json_extract(o.price_acked_content, '$.{_PATHS[name].replace(',', '.')}')"
        return f"CAST(strftime('%s', {value}) AS INTEGER) * 1000000" if time else value
    value = f"(o.price_acked_content #>> '{{{_PATHS[name]}}}')"
    if time:
        return f"(EXTRACT(EPOCH FROM {value}::timestamptz) * 1000000)::bigint"
    return value if name == "currency" else f"{value}::bigint"


# ------------------------------------------------------------------ reading


@dataclass(frozen=True, slots=True)
class Period:
    """A price from ``begins`` to ``ends`` (aware UTC; None: it is live). ``instead_of``: the price that a sale replaces."""

    begins: datetime
    ends: datetime | None
    price: Money
    instead_of: Money | None = None


@dataclass(frozen=True, slots=True)
class Lowest:
    """The lowest price of some days before a moment. ``known_from`` later than ``begins``: nothing older is known."""

    price: Money
    begins: datetime
    ends: datetime
    known_from: datetime

    @property
    def whole(self) -> bool:
        """Whether the ledger knows what was live all the time."""
        return self.known_from <= self.begins


def periods(conn: Connection, channel_id: int, sku: str, since: datetime | None = None) -> list[Period]:
    """What was live, the oldest first; with ``since`` (aware UTC), from what was live then on."""
    where, values = "channel_id = :channel AND sku = :sku", _key(channel_id, sku)
    if since is not None:
        where += (
            " AND live_from >= COALESCE((SELECT MAX(live_from) FROM price_history WHERE channel_id = :channel"
            " AND sku = :sku AND live_from <= :since), 0)"
        )
        values["since"] = micros(since)
    columns = ", ".join(("live_from", "ended_at", *_VALUES))
    rows = conn.execute(text(f"SELECT {columns} FROM price_history WHERE {where} ORDER BY live_from"), values).all()
    found: list[Period] = []
    for row, following in zip_longest(rows, rows[1:]):
        ends = [row.ended_at] if following is None else [row.ended_at, following.live_from]
        found += _parts(row, min((at for at in ends if at is not None), default=None))
    return [one for one in found if one.ends is None or one.begins < one.ends]


def live_at(conn: Connection, channel_id: int, sku: str, at: datetime) -> Period | None:
    """What was live at a moment (aware UTC); ``ends`` as it is known now. None: nothing, or nobody knows."""
    told = periods(conn, channel_id, sku, since=at)
    return next((one for one in told if one.begins <= at and (one.ends is None or at < one.ends)), None)


def lowest(conn: Connection, channel_id: int, sku: str, before: datetime, days: int = OMNIBUS_DAYS) -> Lowest | None:
    """The lowest price live at any time in the ``days`` before ``before`` (aware UTC), in the currency of the last one.

    ``before`` is when a reduction begins: directive 98/6/EC, article 6a, asks for the lowest price before it beside the
    reduced one. A sale price counts as the price while its sale ran. None: nothing was live then, or nobody knows.
    """
    begins = before - timedelta(days=days)
    told = periods(conn, channel_id, sku, since=begins)
    live = [one for one in told if one.begins < before and (one.ends is None or one.ends > begins)]
    if not live:
        return None
    least = min(one.price.minor for one in live if one.price.currency == live[-1].price.currency)
    first = conn.execute(
        text("SELECT MIN(live_from) FROM price_history WHERE channel_id = :channel AND sku = :sku"),
        _key(channel_id, sku),
    ).scalar_one()
    return Lowest(Money(least, live[-1].price.currency), begins, before, moment(first))


def channels_with(conn: Connection, sku: str) -> dict[str, int]:
    """Channels (id by name) on which a SKU has ever had a price that the ledger knows."""
    sql = text(
        "SELECT c.name, c.id FROM channel c WHERE EXISTS (SELECT 1 FROM price_history h WHERE h.channel_id = c.id"
        " AND h.sku = :sku) ORDER BY c.name"
    )
    return {row.name: row.id for row in conn.execute(sql, {"sku": sku})}


def _key(channel_id: int, sku: str) -> dict[str, Any]:
    return {"channel": channel_id, "sku": sku}


def _parts(row: Any, ends: int | None) -> list[Period]:
    """A row as what a buyer paid: before, during and after its sale."""
    price = Money(row.minor, row.currency)
    if row.sale_minor is None or row.sale_minor >= row.minor:
        return [_period(row.live_from, ends, price)]
    starts = max(row.sale_from or 0, row.live_from)
    stops = min((at for at in (row.sale_until, ends) if at is not None), default=None)
    if (stops is not None and stops <= starts) or (ends is not None and ends <= starts):
        return [_period(row.live_from, ends, price)]  # over before it was live, or the row ended before it began
    before = [_period(row.live_from, starts, price)] if starts > row.live_from else []
    after = [] if stops is None or stops == ends else [_period(stops, ends, price)]
    return [*before, _period(starts, stops, Money(row.sale_minor, row.currency), price), *after]


def _period(begins: int, ends: int | None, price: Money, instead_of: Money | None = None) -> Period:
    return Period(moment(begins), None if ends is None else moment(ends), price, instead_of)
