"""Offers as a person looks them up."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from marketsync.adapter.content import Aspect
from marketsync.adapter.money import Money
from marketsync.domain.content import UNKNOWN
from marketsync.ledger.outbox import Lane
from marketsync.ledger.queries import states
from marketsync.ledger.queries.spelling import like, pattern, when
from marketsync.ledger.types import Document, micros

STATES = {"dirty": states.dirty, "unknown": states.unknown, "parked": states.parked, "held": states.held,
          "drifted": states.drifted}  # fmt: skip
FILTERS = ("due", *STATES)


@dataclass(frozen=True, slots=True)
class OfferRow:
    """An offer. By state, the aspects that are in it. ``shown``: what the channel acknowledged; None: unknown or nothing."""

    channel: str
    sku: str
    item_sku: str
    channel_id: str | None
    fulfilled_by: str
    due: datetime | None
    lane: str | None
    in_flight: bool
    dirty: tuple[Aspect, ...]
    unknown: tuple[Aspect, ...]
    parked: tuple[Aspect, ...]
    held: tuple[Aspect, ...]
    drifted: tuple[Aspect, ...]
    price: Money | None
    price_shown: Money | None
    stock: int
    stock_shown: int | None
    since: datetime | None
    seen: datetime | None
    left: datetime | None
    key: tuple[str, str]  # where the next page begins


def offers(
    conn: Connection,
    now: datetime,
    *,
    channel: str | None = None,
    sku: str | None = None,
    state: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int = 100,
) -> list[OfferRow]:
    """Offers by channel and SKU. ``sku`` may be a pattern (``*``, ``?``), ``state`` is one of ``FILTERS``."""
    where, values = ["ch.state <> 'removed'"], {**states.VALUES, "now": micros(now), "limit": limit}
    if channel is not None:
        where.append("ch.name = :channel")
        values["channel"] = channel
    if sku is not None:
        exact = not set("*?") & set(sku)
        where.append("o.sku = :sku" if exact else like(conn, "o.sku", "sku"))
        values["sku"] = sku if exact else pattern(conn, sku)
    if state == "due":
        where.append("o.due_at <= :now")
    elif state is not None:
        where.append(f"({' OR '.join(STATES[state](aspect) for aspect in Aspect)})")
    if after is not None:
        where.append("(ch.name, o.sku) > (:after_channel, :after_sku)")
        values |= {"after_channel": after[0], "after_sku": after[1]}
    sql = f"SELECT {_COLUMNS} FROM channel ch JOIN offer o ON o.channel_id = ch.id WHERE {' AND '.join(where)}"
    statement = text(f"{sql} ORDER BY ch.name, o.sku LIMIT :limit").columns(
        price_content=Document, price_acked_content=Document
    )
    used = {name: value for name, value in values.items() if f":{name}" in str(statement)}
    return [_offer(row) for row in conn.execute(statement, used)]


_FLAGS = ", ".join(
    f"CASE WHEN {condition(aspect)} THEN 1 ELSE 0 END AS {name}_{aspect}"
    for name, condition in STATES.items()
    for aspect in Aspect
)
_SINCE = ", ".join(f"CASE WHEN {states.dirty(aspect)} THEN {aspect}_since END AS {aspect}_from" for aspect in Aspect)
_COLUMNS = (
    "ch.name, o.sku, o.item_sku, o.remote_id, o.fulfilled_by, o.due_at, o.lane, o.open_batch, o.stock_quantity,"
    f" o.stock_acked, o.stock_acked_quantity, o.price_content, o.price_acked_content, o.price_acked, o.seen_at, o.left_at,"
    f" {_FLAGS}, {_SINCE}"
)


def _offer(row: Row[Any]) -> OfferRow:
    values = row._mapping  # noqa: SLF001  public in spite of its name
    flags = {name: tuple(aspect for aspect in Aspect if values[f"{name}_{aspect}"]) for name in STATES}
    since = [values[f"{aspect}_from"] for aspect in Aspect if values[f"{aspect}_from"] is not None]
    known = bytes(row.price_acked) != UNKNOWN
    return OfferRow(
        channel=row.name, sku=row.sku, item_sku=row.item_sku, channel_id=row.remote_id, fulfilled_by=row.fulfilled_by,
        due=when(row.due_at), lane=None if row.lane == Lane.NONE else Lane(row.lane).name.lower(),
        in_flight=row.open_batch is not None, price=_money(row.price_content),
        price_shown=_money(row.price_acked_content) if known else None, stock=row.stock_quantity,
        stock_shown=row.stock_acked_quantity if bytes(row.stock_acked) != UNKNOWN else None,
        since=when(min(since)) if since else None, seen=when(row.seen_at), left=when(row.left_at),
        key=(row.name, row.sku), **flags,
    )  # fmt: skip


def _money(content: Any) -> Money | None:
    amount = (content or {}).get("amount")
    return Money(amount["minor"], amount["currency"]) if amount else None
