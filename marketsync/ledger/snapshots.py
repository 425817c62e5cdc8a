"""Readings of sources: when exported, when read, what came of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text, update

from marketsync.domain.item import OverrideRow
from marketsync.ledger.items import put_overrides
from marketsync.ledger.tables import SourceSnapshot
from marketsync.ledger.types import micros

_TABLE = SourceSnapshot.__table__  # type: ignore[attr-defined]  # SQLModel adds it at run time


@dataclass(frozen=True, slots=True)
class Mark:
    """What identifies a snapshot. Times are aware UTC."""

    exported: datetime
    read: datetime
    checksum: str
    marks: dict[str, str]
    header: tuple[str, ...] = ()
    rows: int = 0


def previous(conn: Connection, source: str) -> Mark | None:
    """The last snapshot of a source that was applied."""
    row = conn.execute(
        select(_TABLE)
        .where(_TABLE.c.source == source, _TABLE.c.verdict == "applied")
        .order_by(_TABLE.c.read_at.desc(), _TABLE.c.id.desc())
        .limit(1)
    ).first()
    return (
        None
        if row is None
        else Mark(row.exported_at, row.read_at, row.checksum, row.marks or {}, tuple(row.header or ()), row.rows)
    )


def begin(conn: Connection, source: str, snapshot: Mark) -> int:
    """Note that a snapshot is being read; returns its id."""
    values: dict[str, Any] = {
        "source": source, "exported_at": snapshot.exported, "read_at": snapshot.read, "checksum": snapshot.checksum,
        "marks": snapshot.marks, "header": list(snapshot.header), "rows": 0, "changed": 0, "missing": 0, "problems": 0, "verdict": "reading",
        "error": "",
    }  # fmt: skip
    return int(conn.execute(_TABLE.insert().values(**values).returning(_TABLE.c.id)).scalar_one())


def unread(conn: Connection, sources: Iterable[str]) -> list[str]:
    """Those of the sources of which nothing was ever applied."""
    sql = text("SELECT 1 FROM source_snapshot WHERE source = :source AND verdict = 'applied' LIMIT 1")
    return [name for name in sources if conn.execute(sql, {"source": name}).first() is None]


def finish(
    conn: Connection, snapshot_id: int, rows: int, changed: int, missing: int, problems: int, now: datetime
) -> None:
    """Note that everything of a snapshot is applied."""
    conn.execute(
        update(_TABLE)
        .where(_TABLE.c.id == snapshot_id)
        .values(rows=rows, changed=changed, missing=missing, problems=problems, verdict="applied", applied_at=now)
    )


def fail(conn: Connection, snapshot_id: int, error: str) -> None:
    conn.execute(update(_TABLE).where(_TABLE.c.id == snapshot_id).values(verdict="failed", error=error[:2000]))


def hold(conn: Connection, snapshot_id: int, why: str) -> None:
    """A guard stopped a snapshot: nothing of it was applied."""
    conn.execute(update(_TABLE).where(_TABLE.c.id == snapshot_id).values(verdict="held", error=why[:2000]))


def replace_overrides(conn: Connection, source: str, rows: Sequence[OverrideRow]) -> list[str]:
    """Replace the overrides of a source. Returns the SKUs of which something changed, in order."""
    key = ("channel", "sku", "field", "value", "reason", "until")
    old = {
        tuple(getattr(row, name) for name in key)
        for row in conn.execute(text("SELECT * FROM override WHERE source = :source"), {"source": source})
    }
    new = {
        (row.channel, row.sku, row.field, row.value, row.reason, micros(row.until) if row.until else None)
        for row in rows
    }
    conn.execute(text("DELETE FROM override WHERE source = :source"), {"source": source})
    put_overrides(conn, source, [dict(zip(key, row, strict=True)) for row in sorted(new, key=lambda r: r[:3])])
    return sorted({row[1] for row in old ^ new})
