"""Commands that wait for a person: they may have happened, and are never sent again by themselves."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from marketsync.adapter.money import Money
from marketsync.ledger.lines import parsed
from marketsync.ledger.types import moment


@dataclass(frozen=True, slots=True)
class HeldCommand:
    """``pieces`` by the channel's id of the line; ``amount`` of a refund, for all lines together."""

    id: int
    channel: str
    account: str
    order: str
    kind: str
    pieces: dict[str, int]
    amount: Money | None
    reason: str
    attempts: int
    created: datetime
    code: str
    message: str


def held(
    conn: Connection, *, channel: str | None = None, number: int | None = None, limit: int = 1000
) -> list[HeldCommand]:
    """Held commands, the oldest first; all, or those of a channel, or the one of that number."""
    sql = """
        SELECT c.*, ch.name AS channel, a.name AS account, o.channel_order_id FROM order_command c
        JOIN sales_order o ON o.id = c.order_id JOIN channel ch ON ch.id = o.channel_id
        JOIN account a ON a.id = c.account_id WHERE c.state = 'held'"""
    values: dict[str, Any] = {"limit": limit}
    if channel is not None:
        sql += " AND ch.name = :channel"
        values["channel"] = channel
    if number is not None:
        sql += " AND c.id = :number"
        values["number"] = number
    rows = conn.execute(text(f"{sql} ORDER BY c.id LIMIT :limit"), values)
    return [_held(row, parsed(row.payload)) for row in rows]


def _held(row: Any, payload: dict[str, Any]) -> HeldCommand:
    lines = payload["lines"]
    pieces: dict[str, int] = {}
    for line in lines:
        pieces[line["line_id"]] = pieces.get(line["line_id"], 0) + line["quantity"]
    paid = [Money(line["minor"], line["currency"]) for line in lines if line.get("minor") is not None]
    return HeldCommand(
        id=row.id, channel=row.channel, account=row.account, order=row.channel_order_id, kind=row.kind, pieces=pieces,
        amount=Money(sum(money.minor for money in paid), paid[0].currency) if paid else None,
        reason=payload.get("reason", ""), attempts=row.attempts, created=moment(row.created_at), code=row.code,
        message=row.message,
    )  # fmt: skip
