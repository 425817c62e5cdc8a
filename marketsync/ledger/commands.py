"""What a channel must do once: acknowledge, ship, cancel, refund. Intent first, result after, nothing twice.

``due`` waits for its time; ``sent`` may or may not have happened; ``held`` waits for a person; ``done`` and
``rejected`` are over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from marketsync.adapter.money import Money
from marketsync.adapter.orders import Command, CommandLine
from marketsync.ledger.effects import raise_counts
from marketsync.ledger.issues import IssueRow, close_issues, raise_issues
from marketsync.ledger.lines import load_lines, parsed
from marketsync.ledger.order_context import OrderContext, Stored
from marketsync.ledger.sql import among, document, listed
from marketsync.ledger.types import micros

COUNTED = {"ship": "shipped", "cancel": "cancelled", "refund": "refunded"}  # which quantity a command raises
TROUBLE = {"rejected": "refused", "held": "held"}  # state -> ending of the issue's code

Base = Mapping[str, int]  # quantities of the lines at the first attempt, by line id


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A command on its way. ``attempts`` so far; ``base``: see ``intend``."""

    id: int
    order_id: int
    channel: str
    kind: str
    state: str
    attempts: int
    command: Command
    base: Base | None


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """What became of an attempt. ``next_attempt``: when to send again (due) or to look up (sent)."""

    row: CommandRow
    state: str
    next_attempt: datetime | None = None
    reference: str = ""
    code: str = ""
    message: str = ""


_INSERT = text(
    "INSERT INTO order_command (account_id, order_id, kind, key, payload, state, attempts, next_attempt, created_at,"
    " reference, code, message) VALUES (:account_id, :order_id, :kind, :key, :payload, 'due', 0, :now, :now, '', '', '')"
    " ON CONFLICT (key) DO NOTHING"
)
_INTEND = text(
    "UPDATE order_command SET state = 'sent', attempts = attempts + 1, next_attempt = :look_up, payload = :payload"
    " WHERE id = :id"
)
_END = text(
    "UPDATE order_command SET state = :state, next_attempt = :next_attempt, finished_at = :finished_at,"
    " reference = :reference, code = :code, message = :message WHERE id = :id"
)

_DECIDED = text(
    "INSERT INTO order_event (order_id, at, kind, details) VALUES (:order, :now, 'command_decided', :details)"
)


def request_command(
    conn: Connection, account_id: int, order_id: int, kind: str, command: Command, now: datetime
) -> None:
    """Note that the channel has to do this; its ``key`` makes a repetition harmless."""
    payload = document(conn, payload_of(command))
    values = {"account_id": account_id, "order_id": order_id, "kind": kind, "key": command.key, "payload": payload}
    conn.execute(_INSERT, values | {"now": micros(now)})


def request_acknowledgements(
    conn: Connection, account_id: int, account: str, orders: Mapping[int, str], now: datetime
) -> bool:
    """Tell the channel of these orders (row id -> channel order id) once they are safe. Returns whether there are any."""
    rows = [
        {
            "account_id": account_id, "order_id": row_id, "kind": "acknowledge", "now": micros(now),
            "key": f"acknowledge:{account}:{order_id}", "payload": document(conn, {"lines": []}),
        }
        for row_id, order_id in sorted(orders.items())
    ]  # fmt: skip
    if rows:
        conn.execute(_INSERT, rows)
    return bool(rows)


def close_acknowledged(conn: Connection, order_ids: Sequence[int], now: datetime) -> None:
    """The channel shows these orders as acknowledged: nothing is left to tell."""
    if order_ids:
        sql = (
            "UPDATE order_command SET state = 'done', next_attempt = NULL, finished_at = :now"
            " WHERE kind = 'acknowledge' AND state <> 'done' AND " + among(conn, "order_id", "orders")
        )
        conn.execute(text(sql), {"now": micros(now), "orders": listed(conn, sorted(order_ids))})


def due_commands(conn: Connection, account_id: int, kind: str, now: datetime, limit: int) -> list[CommandRow]:
    """Commands whose time has come, oldest first: to send (due) or to look up (sent). Only of active channels.

    Nothing else is told of an order whose acknowledgement is still on its way.
    """
    sql = (
        "SELECT c.id, c.order_id, ch.name AS channel, c.kind, c.state, c.attempts, c.key, c.payload,"
        " o.channel_order_id, o.extra FROM order_command c JOIN sales_order o ON o.id = c.order_id"
        " JOIN channel ch ON ch.id = o.channel_id WHERE c.account_id = :account AND c.next_attempt <= :now"
        " AND c.kind = :kind AND ch.state = 'active' AND (c.kind = 'acknowledge' OR NOT EXISTS (SELECT 1"
        " FROM order_command a WHERE a.order_id = c.order_id AND a.kind = 'acknowledge' AND a.state IN ('due', 'sent')))"
        " ORDER BY c.id LIMIT :limit"
    )
    rows = conn.execute(text(sql), {"account": account_id, "kind": kind, "now": micros(now), "limit": limit})
    return [_row(row) for row in rows]


def load_command(conn: Connection, command_id: int) -> CommandRow | None:
    sql = (
        "SELECT c.id, c.order_id, ch.name AS channel, c.kind, c.state, c.attempts, c.key, c.payload,"
        " o.channel_order_id, o.extra FROM order_command c JOIN sales_order o ON o.id = c.order_id"
        " JOIN channel ch ON ch.id = o.channel_id WHERE c.id = :id"
    )
    row = conn.execute(text(sql), {"id": command_id}).first()
    return None if row is None else _row(row)


def next_command(conn: Connection, account_id: int) -> int | None:
    """When the account's next command wants to be sent or looked up, in microseconds; None where nothing waits."""
    sql = "SELECT MIN(next_attempt) FROM order_command WHERE account_id = :account AND next_attempt IS NOT NULL"
    return conn.execute(text(sql), {"account": account_id}).scalar()


def intend(conn: Connection, rows: Sequence[CommandRow], look_up: datetime) -> list[CommandRow]:
    """Write down that these are about to be sent. From the COMMIT on, nobody knows whether they happened: where no
    result follows, they are looked up from ``look_up`` on.

    The first time, the quantities of their lines are kept beside them: a result that comes late is counted from there,
    also where a pull has told of it meanwhile.
    """
    fresh = [row.order_id for row in rows if row.base is None and row.kind in COUNTED]
    lines = load_lines(conn, fresh) if fresh else {}
    intended = []
    for row in rows:
        base = row.base
        if base is None and row.kind in COUNTED:
            base = {line.line.line_id: getattr(line.line, COUNTED[row.kind]) for line in lines[row.order_id]}
        intended.append(replace(row, state="sent", attempts=row.attempts + 1, base=base))
    conn.execute(
        _INTEND,
        [
            {
                "id": row.id,
                "look_up": micros(look_up),
                "payload": document(conn, payload_of(row.command) | {"base": row.base}),
            }
            for row in intended
        ],
    )
    return intended


def end_commands(conn: Connection, ends: Sequence[CommandEnd], ctx: OrderContext) -> Stored:
    """Note what became of commands. Quantities of those that are done count at once."""
    now = micros(ctx.now)
    values = [
        {
            "id": end.row.id, "state": end.state, "reference": end.reference, "code": end.code[:200],
            "message": end.message[:1000], "next_attempt": None if end.next_attempt is None else micros(end.next_attempt),
            "finished_at": now if end.state in {"done", "rejected"} else None,
        }
        for end in ends
    ]  # fmt: skip
    if values:
        conn.execute(_END, values)
    _tell(conn, ends, now)
    done = [end.row for end in ends if end.state == "done"]
    acknowledged = [row.order_id for row in done if row.kind == "acknowledge"]
    if acknowledged:
        sql = f"UPDATE sales_order SET acknowledged = :yes WHERE {among(conn, 'id', 'ids')}"
        conn.execute(text(sql), {"yes": True, "ids": listed(conn, sorted(acknowledged))})
    stored = Stored()
    for row in done:
        if row.kind in COUNTED:
            stored.add(raise_counts(conn, row.order_id, COUNTED[row.kind], _totals(row), row.kind, ctx))
    return stored


def _totals(row: CommandRow) -> dict[str, int]:
    """What the lines' quantity is at least, now that the command is done."""
    base = row.base or {}
    totals: dict[str, int] = {}
    for line in row.command.lines:
        totals[line.line_id] = totals.get(line.line_id, base.get(line.line_id, 0)) + line.quantity
    return totals


def _tell(conn: Connection, ends: Sequence[CommandEnd], now: int) -> None:
    issues = []
    for end in ends:
        scope, name = f"channel:{end.row.channel}", f"order:{end.row.command.order_id}"
        code = f"{end.row.kind}_{TROUBLE.get(end.state, '')}"
        if end.state == "rejected":
            message = (
                f"the channel refuses to {end.row.kind} order {end.row.command.order_id}: {end.message or end.code}"
            )
            hint = "do it on the channel by hand, or send it again differently under a new key"
            issues.append(IssueRow(scope, code, message, sku=name, hint=hint))
        elif end.state == "held":
            message = f"nobody knows whether order {end.row.command.order_id} was told to {end.row.kind}: {end.message}"
            hint = (
                f"look at the order on the channel, then `marketsync decide {end.row.id} --done`, or `--again` where it"
                " did not happen: it is never sent again by itself"
            )
            issues.append(IssueRow(scope, code, message, sku=name, hint=hint))
        elif end.state == "done":
            for ending in TROUBLE.values():
                close_issues(conn, scope, f"{end.row.kind}_{ending}", [name], now)
    raise_issues(conn, issues, now)


def decide_command(
    conn: Connection, command_id: int, ctx: OrderContext, *, happened: bool, by: str, why: str = ""
) -> Stored | None:
    """A person has looked: a held command did happen, or is to be sent again. None where it is not held.

    ``by``: who says so; the order's events keep it with the time and the reason.
    """
    row = load_command(conn, command_id)
    if row is None or row.state != "held":
        return None
    said = f"it was done, says {by}" if happened else f"to be sent again, says {by}"
    message = f"{said}: {why}" if why else said
    details = {"message": f"{row.kind}, command {row.id}: {message}", "by": by, "command": row.id}
    event = {"order": row.order_id, "now": micros(ctx.now), "details": document(conn, details)}
    conn.execute(_DECIDED, event)
    if happened:
        return end_commands(conn, [CommandEnd(row, "done", message=message)], ctx)
    stored = end_commands(conn, [CommandEnd(row, "due", next_attempt=ctx.now, message=message)], ctx)
    close_issues(conn, f"channel:{row.channel}", f"{row.kind}_held", [f"order:{row.command.order_id}"], micros(ctx.now))
    return stored


# ------------------------------------------------------------------ payloads


def payload_of(command: Command) -> dict[str, Any]:
    """A command as it is stored; key, order and extra stand beside it."""
    return {
        "lines": [
            {
                "line_id": line.line_id, "sku": line.sku, "quantity": line.quantity, "unit_ids": list(line.unit_ids),
                "minor": None if line.amount is None else line.amount.minor,
                "currency": None if line.amount is None else line.amount.currency,
            }
            for line in command.lines
        ],
        "reason": command.reason,
        "carrier": command.carrier,
        "tracking": command.tracking,
        "return_tracking": command.return_tracking,
        "shipped_at": None if command.shipped_at is None else command.shipped_at.isoformat(),
    }  # fmt: skip


def _row(row: Any) -> CommandRow:
    payload = parsed(row.payload)
    shipped_at = payload.get("shipped_at")
    command = Command(
        key=row.key,
        order_id=row.channel_order_id,
        lines=tuple(_line(line) for line in payload["lines"]),
        reason=payload.get("reason", ""),
        carrier=payload.get("carrier", ""),
        tracking=payload.get("tracking", ""),
        return_tracking=payload.get("return_tracking", ""),
        shipped_at=None if shipped_at is None else datetime.fromisoformat(shipped_at),
        extra=parsed(row.extra) or {},
    )
    return CommandRow(
        row.id, row.order_id, row.channel, row.kind, row.state, row.attempts, command, payload.get("base")
    )


def _line(document: Mapping[str, Any]) -> CommandLine:
    amount = None if document["minor"] is None else Money(document["minor"], document["currency"])
    return CommandLine(
        line_id=document["line_id"], sku=document["sku"], quantity=document["quantity"],
        unit_ids=tuple(document["unit_ids"]), amount=amount,
    )  # fmt: skip
