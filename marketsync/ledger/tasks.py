"""Where each task stands (cursor, last success, failures), and the runs that ``marketsync runs`` shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from marketsync.ledger.tables import TaskRun, TaskState
from marketsync.ledger.types import Utc

_STATE = TaskState.__table__  # type: ignore[attr-defined]  # SQLModel adds it at run time
_RUN = TaskRun.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task of an owner ("channel:NAME", "account:NAME", "source:NAME", "sink:NAME", "ledger")."""

    cursor: dict[str, Any] | None = None
    started_at: datetime | None = None
    success_at: datetime | None = None
    pulled_from: datetime | None = None
    not_before: datetime | None = None
    failures: int = 0
    error: str = ""


def load(conn: Connection, owner: str, task: str) -> TaskRow:
    """The state of a task; an empty one where it never ran."""
    row = conn.execute(select(_STATE).where(_STATE.c.owner == owner, _STATE.c.task == task)).first()
    if row is None:
        return TaskRow()
    return TaskRow(row.cursor, row.started_at, row.success_at, row.pulled_from, row.not_before, row.failures, row.error)


def load_all(conn: Connection) -> dict[tuple[str, str], TaskRow]:
    return {
        (row.owner, row.task): TaskRow(
            row.cursor, row.started_at, row.success_at, row.pulled_from, row.not_before, row.failures, row.error
        )
        for row in conn.execute(select(_STATE))
    }


def put(conn: Connection, owner: str, task: str, **values: Any) -> None:
    """Set columns of a task's state, leaving the others as they are."""
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(_STATE).values(owner=owner, task=task, **{"failures": 0, "error": "", **values})
    conn.execute(statement.on_conflict_do_update(index_elements=["owner", "task"], set_=values))


def save_cursor(
    conn: Connection, owner: str, task: str, cursor: Mapping[str, Any] | None, *, pulled_from: datetime | None = None
) -> None:
    """Keep how far a pull has got; ``pulled_from`` is our time at which a pull that is now complete began."""
    values: dict[str, Any] = {"cursor": None if cursor is None else dict(cursor)}
    if pulled_from is not None:
        values["pulled_from"] = pulled_from
    put(conn, owner, task, **values)


def start_run(conn: Connection, owner: str, task: str, reason: str, now: datetime) -> int:
    """Note that a run has begun; returns its id."""
    put(conn, owner, task, started_at=now)
    values = {"owner": owner, "task": task, "reason": reason, "started_at": now, "outcome": "running", "error": ""}
    return int(conn.execute(_RUN.insert().values(**values).returning(_RUN.c.id)).scalar_one())


def finish_run(
    conn: Connection,
    run_id: int,
    owner: str,
    task: str,
    outcome: str,
    counts: Mapping[str, int],
    now: datetime,
    *,
    error: str = "",
    not_before: datetime | None = None,
) -> None:
    """Note how a run ended. Only "done" and "waiting" count as success; failures in a row are counted."""
    conn.execute(
        update(_RUN)
        .where(_RUN.c.id == run_id)
        .values(finished_at=now, outcome=outcome, counts=dict(counts), error=error[:2000])
    )
    if outcome in {"done", "waiting"}:
        put(conn, owner, task, success_at=now, failures=0, error="", not_before=not_before)
        return
    put(conn, owner, task, error=error[:2000], not_before=not_before)
    conn.execute(
        text("UPDATE task_state SET failures = failures + 1 WHERE owner = :owner AND task = :task"),
        {"owner": owner, "task": task},
    )


def drop_run(conn: Connection, run_id: int) -> None:
    """Forget a run that found nothing to do: the task's state says that it was there."""
    conn.execute(text("DELETE FROM task_run WHERE id = :id"), {"id": run_id})


def interrupt_runs(conn: Connection, now: datetime) -> int:
    """Mark runs that a crash left open. Returns how many."""
    statement = text("UPDATE task_run SET outcome = 'interrupted', finished_at = :now WHERE outcome = 'running'")
    return conn.execute(statement.bindparams(bindparam("now", type_=Utc())), {"now": now}).rowcount
