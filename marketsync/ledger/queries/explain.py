"""What the ledger knows of one offer: its sources, its row, what was sent and answered, what was held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from marketsync.adapter.content import Aspect, Result
from marketsync.ledger.items import contents, figures
from marketsync.ledger.outbox import BITS
from marketsync.ledger.queries.spelling import when
from marketsync.ledger.types import Document, micros, moment


@dataclass(frozen=True, slots=True)
class SourceSays:
    """What a source says of a SKU, and the reading in use at the time asked for. ``trouble``: of a later reading."""

    source: str
    sku: str
    values: Mapping[str, Any]
    stock: Mapping[str, int]  # by location
    exported: datetime | None
    read: datetime | None
    trouble: str


@dataclass(frozen=True, slots=True)
class OverrideRow:
    channel: str
    field: str
    value: str
    reason: str
    who: str
    until: datetime | None
    source: str


@dataclass(frozen=True, slots=True)
class HoldRow:
    id: int
    aspect: Aspect | None  # None: a whole snapshot
    guard: str
    message: str
    state: str
    opened: datetime
    decided: datetime | None
    decided_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sent:
    """An aspect on its way to the channel. ``content`` None: a listing is kept as its hash only."""

    batch: int
    operation: str
    request_id: str
    at: datetime
    hash: bytes
    content: Mapping[str, Any] | None
    withdraws: bool
    result: Result | None  # None: no answer yet
    code: str
    message: str
    answered: datetime | None


def sources(conn: Connection, skus: Sequence[str], order: Sequence[str], at: datetime) -> list[SourceSays]:
    """What each source says of these SKUs, the most important first, and its last reading before ``at``."""
    said = contents(conn, skus)
    found = []
    for name in reversed(order):
        told = figures(conn, name, skus)
        readings = _readings(conn, name, at)
        found += [
            SourceSays(name, sku, said.get(sku, {}).get(name, {}), told.get(sku, {}), *readings)
            for sku in skus
            if name in said.get(sku, {}) or sku in told
        ]
    return found


def _readings(conn: Connection, source: str, at: datetime) -> tuple[datetime | None, datetime | None, str]:
    rows = conn.execute(
        text(
            "SELECT exported_at, read_at, verdict, error FROM source_snapshot WHERE source = :source AND read_at <= :at"
            " AND verdict <> 'reading' ORDER BY id DESC LIMIT 100"
        ),
        {"source": source, "at": micros(at)},
    ).all()
    used = next((row for row in rows if row.verdict == "applied"), None)
    last = rows[0] if rows else None
    trouble = "" if last is None or last is used else f"{last.verdict}: {last.error}"
    if used is None:
        return None, None, trouble
    return moment(used.exported_at), moment(used.read_at), trouble


def overrides(conn: Connection, channel: str, sku: str, now: datetime) -> list[OverrideRow]:
    """Overrides in force; one for the channel itself beats one for all."""
    sql = text(
        "SELECT channel, field, value, reason, who, until, source FROM override WHERE channel IN ('*', :channel)"
        " AND sku = :sku AND (until IS NULL OR until > :now) ORDER BY field, channel"
    )
    rows = conn.execute(sql, {"channel": channel, "sku": sku, "now": micros(now)})
    chosen: dict[str, Row[Any]] = {}
    for row in sorted(rows, key=lambda row: row.channel != "*"):
        chosen[row.field] = row
    return [
        OverrideRow(row.channel, row.field, row.value, row.reason, row.who, when(row.until), row.source)
        for row in chosen.values()
    ]


def holds(conn: Connection, channel: str, sku: str, at: datetime) -> list[HoldRow]:
    """Holds of this offer, of its channel's runs and of the sources, that were open at ``at``, or decided last before it."""
    sql = text(
        "SELECT id, sku, aspect, guard, message, state, opened_at, decided_at, decided_by, reason FROM hold"
        " WHERE (channel = :channel AND (sku = :sku OR sku IS NULL)) AND opened_at <= :at"
        " AND (sku IS NOT NULL OR decided_at IS NULL OR decided_at > :at) ORDER BY id DESC LIMIT 50"
    )
    found: dict[tuple[str | None, bool], HoldRow] = {}
    for row in conn.execute(sql, {"channel": channel, "sku": sku, "at": micros(at)}):
        later = row.decided_at is not None and row.decided_at > micros(at)
        one = HoldRow(
            row.id, None if row.aspect is None else Aspect(row.aspect), row.guard, row.message,
            "held" if later else row.state, moment(row.opened_at), None if later else when(row.decided_at),
            "" if later else row.decided_by, "" if later else row.reason,
        )  # fmt: skip
        found.setdefault((row.aspect, row.sku is None), one)
    return list(found.values())


_OFFER_DOCUMENTS = {f"{aspect}_{name}": Document for aspect in Aspect for name in ("content", "acked_content")}


def offer(conn: Connection, channel_id: int, sku: str) -> Mapping[str, Any] | None:
    """The whole row of an offer, by column."""
    sql = text("SELECT * FROM offer WHERE channel_id = :channel AND sku = :sku").columns(**_OFFER_DOCUMENTS)
    row = conn.execute(sql, {"channel": channel_id, "sku": sku}).first()
    return None if row is None else dict(row._mapping)  # noqa: SLF001  public in spite of its name


def sent(conn: Connection, channel_id: int, offer_id: int, aspect: Aspect, at: datetime) -> Sent | None:
    """The last time before ``at`` that an aspect left; None where the journal knows of none.

    Walks the batches of the channel backwards: the journal has no index by offer, which every push would pay for.
    """
    sql = text(
        f"SELECT b.id, b.operation, b.request_id, b.started_at, b.closed_at, pi.{aspect}_hash AS hash, pi.withdraw,"
        " pi.content, pi.results, o.open_batch, o.open_aspects FROM push_batch b"
        " CROSS JOIN push_item pi LEFT JOIN offer o ON o.id = pi.offer_id"
        f" WHERE pi.batch_id = b.id AND pi.offer_id = :offer AND (pi.aspects & {BITS[aspect]}) <> 0"
        " AND b.channel_id = :channel AND b.started_at <= :at ORDER BY b.id DESC LIMIT 1"
    ).columns(content=Document, results=Document)
    row = conn.execute(sql, {"offer": offer_id, "channel": channel_id, "at": micros(at)}).first()
    if row is None:
        return None
    result, code, message = _answer(row, aspect)
    return Sent(
        row.id, row.operation, row.request_id, moment(row.started_at), bytes(row.hash or b""),
        (row.content or {}).get(aspect.value), bool(row.withdraw), result, code, message, when(row.closed_at),
    )  # fmt: skip


def _answer(row: Any, aspect: Aspect) -> tuple[Result | None, str, str]:
    note = (row.results or {}).get(aspect.value)
    if note is not None:
        return Result(note[0]), note[1], note[2]
    open_still = row.open_batch == row.id and row.open_aspects & BITS[aspect]
    return (None if open_still else Result.APPLIED), "", ""


def journal_begins(conn: Connection) -> datetime | None:
    """What was sent before is not kept any more."""
    return when(conn.execute(text("SELECT MIN(started_at) FROM push_batch")).scalar())


def on_hand_at(conn: Connection, sku: str, at: datetime) -> dict[str, int | None]:
    """Pieces on hand at a moment, by location; None where the movements of that time are folded into one."""
    sql = text(
        "SELECT location, COALESCE(SUM(CASE WHEN at <= :at THEN delta ELSE 0 END), 0) AS pieces,"
        " MAX(CASE WHEN reference LIKE 'carry:%' THEN at ELSE 0 END) AS folded"
        " FROM stock_movement WHERE sku = :sku GROUP BY location ORDER BY location"
    )
    rows = conn.execute(sql, {"sku": sku, "at": micros(at)})
    return {row.location: None if micros(at) < row.folded else int(row.pieces) for row in rows}


def channels_of(conn: Connection, sku: str) -> list[str]:
    """Channels with an offer of this SKU, or of this item under another one."""
    sql = (
        "SELECT DISTINCT ch.name FROM offer o JOIN channel ch ON ch.id = o.channel_id"
        " WHERE (o.sku = :sku OR o.item_sku = :sku) AND ch.state <> 'removed' ORDER BY ch.name"
    )
    return list(conn.execute(text(sql), {"sku": sku}).scalars())


def refusal(conn: Connection, channel: str, sku: str, aspect: Aspect) -> tuple[str, str, datetime] | None:
    """Why a channel refused an aspect: its words, what to do, since when."""
    sql = "SELECT message, hint, first_seen FROM issue WHERE scope = :scope AND sku = :sku AND code = :code"
    values = {"scope": f"channel:{channel}", "sku": sku, "code": f"refused_{aspect}"}
    row = conn.execute(text(sql), values).first()
    return None if row is None else (row.message, row.hint, moment(row.first_seen))
