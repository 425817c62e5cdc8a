"""What happened and what is open: issues, runs of tasks, holds."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from marketsync.ledger.lines import parsed
from marketsync.ledger.types import moment


@dataclass(frozen=True, slots=True)
class IssueRow:
    id: int
    scope: str
    sku: str
    code: str
    message: str
    hint: str
    place: str
    count: int
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run of a task; ``seconds`` None: it is still running, or nobody knows how it ended."""

    id: int
    owner: str
    task: str
    reason: str
    started: datetime
    seconds: float | None
    outcome: str
    counts: dict[str, Any]
    error: str


@dataclass(frozen=True, slots=True)
class HoldCount:
    channel: str
    guard: str
    holds: int
    oldest: datetime


def issues(
    conn: Connection, *, scope: str | None = None, code: str | None = None, sku: str | None = None, limit: int = 1000
) -> list[IssueRow]:
    """Open issues, the last seen first. ``scope``: "channel:NAME", "source:NAME", ... or the name alone."""
    where = ["closed_at IS NULL"]
    values: dict[str, Any] = {"limit": limit}
    if scope is not None:
        kinds = ("account", "channel", "sink", "source")
        names = [scope] if ":" in scope else [f"{kind}:{scope}" for kind in kinds]
        where.append(f"scope IN ({', '.join(f':scope{n}' for n in range(len(names)))})")
        values |= {f"scope{n}": name for n, name in enumerate(names)}
    for column, wanted in (("code", code), ("sku", sku)):
        if wanted is not None:
            where.append(f"{column} = :{column}")
            values[column] = wanted
    sql = (
        "SELECT id, scope, sku, code, message, hint, place, count AS times, first_seen, last_seen FROM issue"
        f" WHERE {' AND '.join(where)} ORDER BY last_seen DESC, id LIMIT :limit"
    )
    return [
        IssueRow(
            row.id, row.scope, row.sku, row.code, row.message, row.hint, row.place, row.times, moment(row.first_seen),
            moment(row.last_seen),
        )
        for row in conn.execute(text(sql), values)
    ]  # fmt: skip


def issue_counts(conn: Connection) -> dict[tuple[str, str], int]:
    """Open issues by scope and code; reads an index only."""
    sql = "SELECT scope, code, COUNT(*) FROM issue WHERE closed_at IS NULL GROUP BY scope, code ORDER BY scope, code"
    return {(row[0], row[1]): row[2] for row in conn.execute(text(sql))}


def runs(
    conn: Connection,
    *,
    owner: str | None = None,
    task: str | None = None,
    outcome: str | None = None,
    limit: int = 50,
) -> list[RunRow]:
    """Runs of tasks, the last started first. ``owner``: "channel:NAME", "source:NAME", ... or the name alone."""
    where = ["1 = 1"]
    values: dict[str, Any] = {"limit": limit}
    if owner is not None:
        where.append("(owner = :owner OR owner LIKE '%:' || :owner)")
        values["owner"] = owner
    for column, wanted in (("task", task), ("outcome", outcome)):
        if wanted is not None:
            where.append(f"{column} = :{column}")
            values[column] = wanted
    sql = (
        "SELECT id, owner, task, reason, started_at, finished_at, outcome, counts, error FROM task_run"
        f" WHERE {' AND '.join(where)} ORDER BY started_at DESC, id DESC LIMIT :limit"
    )
    return [
        RunRow(
            row.id, row.owner, row.task, row.reason, moment(row.started_at),
            None if row.finished_at is None else (row.finished_at - row.started_at) / 1_000_000,
            row.outcome, parsed(row.counts) or {}, row.error,
        )
        for row in conn.execute(text(sql), values)
    ]  # fmt: skip


def hold_counts(conn: Connection) -> list[HoldCount]:
    """Holds that wait for a person, by channel ("" where a source is held) and guard."""
    sql = """
        SELECT COALESCE(channel, '') AS name, guard, COUNT(*), MIN(opened_at) FROM hold WHERE state = 'held'
        GROUP BY COALESCE(channel, ''), guard ORDER BY 1, guard"""
    return [HoldCount(row[0], row[1], row[2], moment(row[3])) for row in conn.execute(text(sql))]
