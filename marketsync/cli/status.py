"""``marketsync status``: the house on one page."""

from typing import TYPE_CHECKING, Any

import typer

from marketsync.adapter.content import Aspect
from marketsync.cli.output import ago, busy, document, line, table
from marketsync.cli.session import session

if TYPE_CHECKING:
    from sqlalchemy import Connection

PER_ASPECT = ("dirty", "unknown", "parked", "held", "drifted")


def register(app: typer.Typer) -> None:
    app.command()(status)


def status() -> None:
    """Show how channels, sources and sinks stand: what waits, since when, and what a person should look at."""
    with busy("looking at every offer"):
        found = session.read(_look)
    if session.json:
        document(found)
    else:
        _show(found)


def _look(conn: "Connection") -> dict[str, Any]:
    from marketsync.ledger.queries import channels, house, journal, orders  # noqa: PLC0415
    from marketsync.ledger.types import moment  # noqa: PLC0415

    now = session.clock.now()
    states = channels.channels(conn)
    backlog = channels.backlog(conn, [state.id for state in states], now)
    counts = channels.counts(conn)
    sold, unmapped = orders.oversold(conn), orders.unmapped_lines(conn)
    rows = []
    for state in states:
        waits, count = backlog[state.id], counts.get(state.id, channels.Counts())
        oldest = min(waits.oldest.values(), default=None)
        rows.append(
            {
                "channel": state.name, "account": state.account, "state": state.state, "why": state.why,
                "aspects": state.aspects, "offers": count.offers, "due": waits.due,
                "in_flight": waits.in_flight, "oldest_unsent": None if oldest is None else moment(oldest),
                **{name: getattr(count, name) for name in PER_ASPECT},
                "orders_pulled": state.pulled, "oversold": sold.get(state.name, 0),
                "unmapped_lines": unmapped.get(state.name, 0),
                "error": {"task": state.failing_task, "message": state.error} if state.failing_task else None,
            }
        )  # fmt: skip
    held = [command for command in orders.command_counts(conn) if command.state == "held"]
    return {
        "now": now,
        "channels": rows,
        "sources": house.sources(conn),
        "sinks": house.sinks(conn),
        "buckets": [one for one in house.buckets(conn) if one.blocked_until is not None and one.blocked_until > now],
        "tokens": house.tokens(conn),
        "issues": sum(journal.issue_counts(conn).values()),
        "holds": sum(hold.holds for hold in journal.hold_counts(conn)),
        "commands_held": sum(command.commands for command in held),
    }


def _show(found: dict[str, Any]) -> None:
    numbers = ("offers", "due", "in flight", "parked", "held", "drifted", "oversold")
    table(
        ("channel", "state", "offers", "due", "oldest", "in flight", "parked", "held", "drifted", "orders read",
         "oversold", "trouble"),
        [
            (row["channel"], row["state"], row["offers"], _each(row["due"]), ago(row["oldest_unsent"]), row["in_flight"],
             _each(row["parked"]), _each(row["held"]), _each(row["drifted"]), ago(row["orders_pulled"]), row["oversold"],
             _trouble(row))
            for row in found["channels"]
        ],
        right=numbers, empty="no channel has been seen yet: run `marketsync sync` or `marketsync run`",
    )  # fmt: skip
    if found["sources"]:
        line()
        table(
            ("source", "exported", "rows", "problems", "trouble"),
            [(s.name, ago(s.exported), s.rows, s.problems, s.error) for s in found["sources"]],
            right=("rows", "problems"),
        )
    if found["sinks"]:
        line()
        table(
            ("sink", "waiting", "oldest", "delivered", "trouble"),
            [(s.name, s.waiting, ago(s.oldest), s.delivered, s.error) for s in found["sinks"]],
            right=("waiting", "delivered"),
        )
    line()
    line(_to_do(found))


def _each(counts: dict[Aspect, int]) -> str:
    """Counts by aspect in one cell: nothing, "12 stock", "3 listing + 12 stock"."""
    return " + ".join(f"{count} {aspect}" for aspect, count in counts.items() if count) or "0"


def _trouble(row: dict[str, Any]) -> str:
    told = [row["why"]] if row["state"] != "active" and row["why"] else []
    told += [f"{row['error']['task']}: {row['error']['message']}"] if row["error"] else []
    told += [f"lines of no known item: {row['unmapped_lines']}"] if row["unmapped_lines"] else []
    return "; ".join(told)


def _to_do(found: dict[str, Any]) -> str:
    parts = [
        f"{words}: {found[name]}{how}"
        for name, words, how in (
            ("issues", "open issues", " (`marketsync issues`)"),
            ("holds", "holds", ""),
            ("commands_held", "commands that may have happened", " (`marketsync commands`)"),
        )
        if found[name]
    ]
    return "To look at: " + ", ".join(parts) if parts else "Nothing to look at."
