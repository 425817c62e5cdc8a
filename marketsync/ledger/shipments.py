"""What the seller's side reports: shipments, cancellations, returns. Each once per (order, key), whoever repeats it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sqlalchemy import Connection, text

from marketsync.adapter.money import Money
from marketsync.adapter.orders import ChannelReturn, Command, CommandLine, ReturnState
from marketsync.domain.orders import open_quantity
from marketsync.ledger.commands import COUNTED, request_command
from marketsync.ledger.lines import LineRow, load_lines, parsed
from marketsync.ledger.order_context import OrderContext, Stored
from marketsync.ledger.order_rows import OrderRow, load_orders
from marketsync.ledger.returns import store_returns
from marketsync.ledger.sql import document
from marketsync.ledger.types import micros

__all__ = ["Accepted", "Report", "ReportLine", "accept"]

COMMANDS = {"shipments": "ship", "cancellations": "cancel"}


class ReportLine(Protocol):
    """Pieces of one line, named by line id or by channel SKU. Of returns also ``sellable`` and ``refund``."""

    @property
    def line(self) -> str | None: ...
    @property
    def sku(self) -> str | None: ...
    @property
    def quantity(self) -> int: ...


class Report(Protocol):
    """One document. ``key`` is the sender's own id of it; no lines: all that is open.

    Shipments also have ``carrier``, ``tracking``, ``return_tracking``, ``shipped_at``; cancellations and returns
    ``reason``; returns ``state``.
    """

    @property
    def key(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def order(self) -> str: ...
    @property
    def lines(self) -> Sequence[ReportLine]: ...


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one document. ``stored``: what changed in the ledger by it."""

    result: Literal["accepted", "duplicate", "refused"]
    message: str = ""
    stored: Stored | None = None


class _Refused(Exception):
    """Why a document is not taken."""


_INSERT = text(
    "INSERT INTO shipment (account_id, channel_order_id, key, kind, document, received_at)"
    " VALUES (:account_id, :channel_order_id, :key, :kind, :document, :received_at)"
)


def accept(
    conn: Connection, account_id: int, kind: str, report: Report, ctx: OrderContext, *, content: Mapping[str, Any]
) -> Accepted:
    """Take one document of ``kind`` (shipments, cancellations, returns) with all that follows, or say why not.

    ``content``: the document as JSON values; the same key with another content is refused.
    """
    try:
        row = _order(conn, account_id, report, ctx)
        if _taken_before(conn, account_id, kind, report, content):
            return Accepted("duplicate")
        lines = load_lines(conn, [row.id])[row.id]
        if kind == "returns":
            stored = _take_return(conn, account_id, report, lines, row, ctx)
        else:
            stored = _take_command(conn, account_id, kind, report, lines, row, ctx)
    except _Refused as reason:
        return Accepted("refused", str(reason))
    values = {"account_id": account_id, "channel_order_id": report.order, "key": report.key, "kind": kind}
    conn.execute(_INSERT, values | {"document": document(conn, dict(content)), "received_at": micros(ctx.now)})
    return Accepted("accepted", stored=stored)


def _order(conn: Connection, account_id: int, report: Report, ctx: OrderContext) -> OrderRow:
    row = load_orders(conn, account_id, [report.order]).get(report.order)
    if row is None:
        raise _Refused(
            f"there is no order {report.order} of {report.channel}: check the id; if it is new, wait for the next pull"
        )
    channel = ctx.channels.get(row.channel_id)
    if channel is None or channel.name != report.channel:
        raise _Refused(
            f"order {report.order} is not of {report.channel}, but of {channel.name if channel else 'another'}"
        )
    if channel.adopted_at is None:
        raise _Refused(f"{report.channel} only observes: adopt it first, then send this again")
    return row


def _taken_before(conn: Connection, account_id: int, kind: str, report: Report, content: Mapping[str, Any]) -> bool:
    sql = "SELECT kind, document FROM shipment WHERE account_id = :account AND channel_order_id = :order AND key = :key"
    values = {"account": account_id, "order": report.order, "key": report.key}
    row = conn.execute(text(sql), values).first()
    if row is None:
        return False
    if row.kind != kind or parsed(row.document) != dict(content):
        raise _Refused(
            f"key {report.key} was used for another document of order {report.order}: give every document its own key"
        )
    return True


# ------------------------------------------------------------------ shipments and cancellations


def _take_command(
    conn: Connection,
    account_id: int,
    kind: str,
    report: Report,
    lines: Sequence[LineRow],
    row: OrderRow,
    ctx: OrderContext,
) -> Stored:
    left = _left(lines, _pending(conn, row.id, lines))
    wanted = _wanted(report, lines, left)
    command = Command(
        key=f"{COMMANDS[kind]}:{ctx.account}:{report.order}:{report.key}",
        order_id=report.order,
        lines=tuple(_command_line(line, pieces, left[line.id]) for line, pieces in wanted),
        reason=getattr(report, "reason", ""),
        carrier=getattr(report, "carrier", ""),
        tracking=getattr(report, "tracking", ""),
        return_tracking=getattr(report, "return_tracking", ""),
        shipped_at=getattr(report, "shipped_at", None),
    )
    request_command(conn, account_id, row.id, COMMANDS[kind], command, ctx.now)
    return Stored(commands=True)


def _left(lines: Sequence[LineRow], pending: Mapping[str, int]) -> dict[int, int]:
    """Pieces by line row that are open and that no command is on its way for."""
    return {line.id: max(0, open_quantity(line.line) - pending.get(line.line.line_id, 0)) for line in lines}


def _pending(conn: Connection, order_id: int, lines: Sequence[LineRow]) -> dict[str, int]:
    """Pieces by line id that commands are about to ship or cancel, as far as the line does not count them yet."""
    sql = (
        "SELECT kind, payload FROM order_command WHERE order_id = :order AND kind IN ('ship', 'cancel')"
        " AND state IN ('due', 'sent', 'held') ORDER BY id"
    )
    now = {line.line.line_id: line.line for line in lines}
    pending: dict[str, int] = defaultdict(int)
    for row in conn.execute(text(sql), {"order": order_id}):
        payload = parsed(row.payload)
        base = payload.get("base") or {}
        for line in payload["lines"]:
            line_id, pieces = line["line_id"], line["quantity"]
            if line_id in now and line_id in base:
                counted = getattr(now[line_id], COUNTED[row.kind]) - base[line_id]
                pieces = max(0, pieces - max(0, counted))
            pending[line_id] += pieces
    return pending


def _wanted(report: Report, lines: Sequence[LineRow], left: Mapping[int, int]) -> list[tuple[LineRow, int]]:
    """The lines and pieces that a document names, everything open where it names none."""
    if not report.lines:
        wanted = [(line, left[line.id]) for line in lines if left[line.id] and line.line.fulfilled_by == "merchant"]
        if not wanted:
            raise _Refused(f"order {report.order} has no open pieces")
        return wanted
    pieces: dict[int, int] = defaultdict(int)
    for named in report.lines:
        line = _line_of(report.order, named, lines)
        if line.line.fulfilled_by != "merchant":
            raise _Refused(f"line {line.line.line_id} of order {report.order} is fulfilled by the channel itself")
        pieces[line.id] += named.quantity
        if pieces[line.id] > left[line.id]:
            raise _Refused(
                f"line {line.line.line_id} ({line.line.sku}) of order {report.order} has {left[line.id]} open pieces,"
                f" not {pieces[line.id]}"
            )
    return [(line, pieces[line.id]) for line in lines if line.id in pieces]


def _line_of(order_id: str, named: ReportLine, lines: Sequence[LineRow]) -> LineRow:
    if named.line is not None:
        found = [line for line in lines if line.line.line_id == named.line]
        known = ", ".join(line.line.line_id for line in lines)
    else:
        found = [line for line in lines if line.line.sku == named.sku]
        known = ", ".join(sorted({line.line.sku for line in lines}))
    if not found:
        raise _Refused(f"order {order_id} has no line {named.line or named.sku}: it has {known}")
    if len(found) > 1:
        ids = ", ".join(line.line.line_id for line in found)
        raise _Refused(f"order {order_id} has several lines of {named.sku}: name one of the lines {ids}")
    if named.sku is not None and named.sku != found[0].line.sku:
        raise _Refused(f"line {named.line} of order {order_id} is {found[0].line.sku}, not {named.sku}")
    return found[0]


def _command_line(line: LineRow, pieces: int, left: int) -> CommandLine:
    """Where the channel sells per piece, the units that come first of those nobody has spoken for."""
    skip = max(0, len(line.unit_ids) - left)
    return CommandLine(
        line_id=line.line.line_id, sku=line.line.sku, quantity=pieces, unit_ids=line.unit_ids[skip : skip + pieces]
    )


# ------------------------------------------------------------------ goods that come back


def _take_return(
    conn: Connection,
    account_id: int,
    report: Any,
    lines: Sequence[LineRow],
    row: OrderRow,
    ctx: OrderContext,
) -> Stored:
    returns, refunds = [], []
    for number, named in enumerate(report.lines, 1):
        line = _line_of(report.order, named, lines)
        if named.quantity > line.line.quantity - line.line.cancelled:
            sold = line.line.quantity - line.line.cancelled
            raise _Refused(f"of line {line.line.line_id} of order {report.order} only {sold} pieces were sold")
        returns.append(
            ChannelReturn(
                return_id=f"{report.key}:{number}", order_id=report.order, line_id=line.line.line_id,
                sku=line.line.sku, quantity=named.quantity, state=ReturnState(report.state), updated=ctx.now,
                reason=report.reason, sellable=named.sellable,
            )
        )  # fmt: skip
        if named.refund is not None:
            refunds.append(_refund_line(report.order, line, named.quantity, named.refund.money, row.currency))
    stored = store_returns(conn, account_id, returns, ctx)
    if refunds:
        command = Command(
            key=f"refund:{ctx.account}:{report.order}:{report.key}",
            order_id=report.order,
            lines=tuple(refunds),
            reason=report.reason,
        )
        request_command(conn, account_id, row.id, "refund", command, ctx.now)
        stored.commands = True
    return stored


def _refund_line(order_id: str, line: LineRow, pieces: int, amount: Money, currency: str) -> CommandLine:
    if amount.currency != currency:
        raise _Refused(f"order {order_id} was paid in {currency}: refund it in {currency}, not {amount.currency}")
    most = line.amounts[0]
    if most is not None and amount.minor > most:
        paid = Money(most, currency)
        raise _Refused(f"line {line.line.line_id} of order {order_id} cost {paid}: {amount} cannot be refunded")
    return CommandLine(line_id=line.line.line_id, sku=line.line.sku, quantity=pieces, amount=amount)
