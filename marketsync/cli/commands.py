"""What a person reports or asks for: shipments, cancellations, returns, refunds, a count of pieces.

They are written into the ledger; a daemon that runs on it tells the channel within seconds, else `marketsync sync` does.
"""

import asyncio
from decimal import Decimal, InvalidOperation
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marketsync.adapter.errors import MarketsyncError
from marketsync.cli.lists import ChannelOption, one_order
from marketsync.cli.output import busy, document, line
from marketsync.cli.session import session

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marketsync.adapter.money import Money
    from marketsync.ledger.queries.orders import LineRow, OrderDetail
    from marketsync.sync.live import House

OrderName = Annotated[str, typer.Argument(metavar="ORDER", help="The channel's id of the order.")]
Lines = Annotated[
    list[str] | None,
    typer.Option("--line", metavar="LINE:PIECES", help="A line, by its id or SKU; may be repeated. Else all that is open."),
]  # fmt: skip
Key = Annotated[str, typer.Option(help="Your own id of it: the same key is done once. Else made of what it says.")]
Reason = Annotated[str, typer.Option(help="For the channel and the buyer.")]


def register(app: typer.Typer) -> None:
    app.command()(ship)
    app.command()(cancel)
    app.command("return")(give_back)
    app.command()(refund)
    app.command()(recount)


# ------------------------------------------------------------------ documents, as the seller's systems send them


def ship(
    order: OrderName,
    tracking: Annotated[str, typer.Option(help="The parcel's number.")],
    carrier: Annotated[str, typer.Option(help="As the channel calls it.")] = "",
    lines: Lines = None,
    channel: ChannelOption = None,
    key: Key = "",
) -> None:
    """Report that pieces of an order left the house."""
    _send("shipments", order, channel, lines, key, {"tracking": tracking, "carrier": carrier})


def cancel(
    order: OrderName,
    reason: Reason,
    lines: Lines = None,
    channel: ChannelOption = None,
    key: Key = "",
) -> None:
    """Say that pieces of an order will not be shipped."""
    _send("cancellations", order, channel, lines, key, {"reason": reason})


def give_back(
    order: OrderName,
    lines: Annotated[list[str], typer.Option("--line", metavar="LINE:PIECES", help="A line, by its id or SKU; may be repeated.")],
    sellable: Annotated[bool, typer.Option("--sellable/--broken", help="Whether they can be sold again.")],
    reason: Reason = "",
    channel: ChannelOption = None,
    key: Key = "",
) -> None:  # fmt: skip
    """Report that pieces of an order came back."""
    _send("returns", order, channel, lines, key, {"reason": reason, "state": "received"}, each={"sellable": sellable})


def _send(
    kind: str, order: str, channel: str | None, lines: list[str] | None, key: str, fields: dict[str, Any],
    *, each: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    found = session.read(partial(one_order, name=order, channel=channel))
    named = [_named(found, written) for written in lines or ()]
    content = {
        "channel": found.order.channel, "order": found.order.order_id, **fields,
        "lines": [{"line": one.line_id, "quantity": pieces, **(each or {})} for one, pieces in named],
    }  # fmt: skip
    content["key"] = key or _key(kind, content)
    with busy("writing it down"):
        accepted = asyncio.run(_take(kind, content))
    if accepted.result == "refused":
        raise MarketsyncError(accepted.message)
    _done(content["key"], accepted.result == "duplicate", f"{kind} of order {order}")


async def _take(kind: str, content: dict[str, Any]) -> Any:
    from marketsync.sync.inbound import take  # noqa: PLC0415
    from marketsync.web.documents import KINDS  # noqa: PLC0415

    try:
        given = KINDS[kind].model_validate(content)
    except ValueError as error:
        raise MarketsyncError(_first(error)) from None
    async with session.house(session.config(), lock=False) as house:
        return await take(house, kind, given)


def _first(error: ValueError) -> str:
    """What a model says first, in its own words."""
    details = error.errors() if hasattr(error, "errors") else []
    return f"{'.'.join(map(str, details[0]['loc']))}: {details[0]['msg']}" if details else str(error)


def _named(found: "OrderDetail", written: str) -> "tuple[LineRow, int]":
    """A line of the order and how many pieces of it, from "LINE:PIECES" or "LINE" for all of it that is open."""
    for name, pieces in ((written, ""), tuple(written.rpartition(":")[::2])):
        one = _line(found, name)
        if one is None:
            continue
        if pieces and not (pieces.isascii() and pieces.isdigit() and int(pieces)):
            raise typer.BadParameter(f"{pieces!r} is no number of pieces", param_hint="--line")
        return one, int(pieces) if pieces else max(1, one.ordered - one.cancelled - one.shipped)
    known = ", ".join(f"{one.line_id} ({one.sku})" for one in found.lines)
    raise MarketsyncError(f"order {found.order.order_id} has no line {written}: it has {known}")


def _line(found: "OrderDetail", name: str) -> "LineRow | None":
    by_id = [one for one in found.lines if one.line_id == name]
    by_sku = [one for one in found.lines if one.sku == name]
    if not by_id and len(by_sku) > 1:
        ids = ", ".join(one.line_id for one in by_sku)
        raise MarketsyncError(f"order {found.order.order_id} has several lines of {name}: name one of the lines {ids}")
    return next(iter(by_id or by_sku), None)


def _key(kind: str, content: Any) -> str:
    """Stands for what is said: who says it twice by mistake says it once."""
    import orjson  # noqa: PLC0415

    text = orjson.dumps([kind, content], option=orjson.OPT_SORT_KEYS)
    return f"cli-{blake2b(text, digest_size=8).hexdigest()}"


def _done(key: str, duplicate: bool, what: str) -> None:
    if session.json:
        document({"key": key, "result": "duplicate" if duplicate else "accepted"})
    elif duplicate:
        line(f"{what}: said before under key {key}, nothing was done again (--key makes it another one)")
    else:
        line(f"{what}: taken under key {key}")


# ------------------------------------------------------------------ refunds


def refund(
    order: OrderName,
    lines: Annotated[list[str], typer.Option("--line", metavar="LINE:PIECES", help="The line, by its id or SKU.")],
    amount: Annotated[str, typer.Option(help="For all pieces together, in the order's currency: 12.90")],
    reason: Reason,
    channel: ChannelOption = None,
    key: Key = "",
) -> None:
    """Give money back for a line of an order. It is asked for once and never sent twice by itself."""
    if len(lines) != 1:
        raise typer.BadParameter("a refund is for one line: use the command once for each", param_hint="--line")
    with session.ledger() as ledger:
        found = ledger.read_now(partial(one_order, name=order, channel=channel))
        one, pieces = _named(found, lines[0])
        money = _amount(found, one, amount)
        said = [found.order.channel, found.order.order_id, one.line_id, pieces, money.minor, reason]
        key = key or _key("refund", said)
        fresh = ledger.write_now(
            partial(_request, found=found, one=one, pieces=pieces, money=money, reason=reason, key=key)
        )
    _done(key, not fresh, f"refund of {money} for order {order}")


def _amount(found: "OrderDetail", one: "LineRow", written: str) -> "Money":
    from marketsync.adapter.money import Money  # noqa: PLC0415

    currency = (one.amount or found.order.total or Money(0, "EUR")).currency
    try:
        decimal = Decimal(written)
        money = Money.of(decimal, currency)
        exact = decimal.is_finite() and money.decimal == decimal
    except (ValueError, InvalidOperation):
        exact = False
    if not exact or money.minor <= 0:
        raise typer.BadParameter(f"{written!r} is no amount in {currency}: write 12.90", param_hint="--amount")
    if one.amount is not None and money.minor > one.amount.minor:
        raise MarketsyncError(f"line {one.line_id} cost {one.amount}: {money} cannot be refunded")
    return money


def _request(
    conn: "Connection", found: "OrderDetail", one: "LineRow", pieces: int, money: "Money", reason: str, key: str
) -> bool:
    """Write the command down. False where the key was used before."""
    from sqlalchemy import text  # noqa: PLC0415

    from marketsync.adapter.orders import Command, CommandLine  # noqa: PLC0415
    from marketsync.ledger.channels import load  # noqa: PLC0415
    from marketsync.ledger.commands import request_command  # noqa: PLC0415

    channel = load(conn)[found.order.channel]
    if channel.adopted_at is None:
        raise MarketsyncError(f"{channel.name} only observes: adopt it first")
    name = f"refund:{found.order.account}:{found.order.order_id}:{key}"
    asked = text("SELECT 1 FROM order_command WHERE key = :key")
    if conn.execute(asked, {"key": name}).first() is not None:
        return False
    paid = CommandLine(line_id=one.line_id, sku=one.sku, quantity=pieces, amount=money)
    command = Command(key=name, order_id=found.order.order_id, lines=(paid,), reason=reason)
    request_command(conn, channel.account_id, found.order.id, "refund", command, session.clock.now())
    return True


# ------------------------------------------------------------------ counting


def recount(
    sku: Annotated[str, typer.Argument(metavar="SKU")],
    location: Annotated[str, typer.Argument(metavar="LOCATION")],
    count: Annotated[int, typer.Argument(min=0, max=2**31 - 1, metavar="COUNT", help="All that lie there, sold ones included.")],
) -> None:  # fmt: skip
    """Correct the pieces of a SKU at a location: somebody counted them."""
    with busy("writing it down"):
        before, pushes = asyncio.run(_recount(sku, location, count))
    if session.json:
        document({"sku": sku, "location": location, "before": before, "now": count, "channels": sorted(pushes)})
        return
    line(f"{sku} at {location}: {before} before, {count} now")
    if pushes:
        line(f"to be told: {', '.join(sorted(pushes))}")


async def _recount(sku: str, location: str, count: int) -> tuple[int, set[str]]:
    from marketsync.ledger.gateway import Rank  # noqa: PLC0415

    async with session.house(session.config(), lock=False) as house:
        return await house.ledger.write(
            partial(_count, house=house, sku=sku, location=location, count=count), Rank.ORDERS
        )


def _count(conn: "Connection", house: "House", sku: str, location: str, count: int) -> tuple[int, set[str]]:
    from marketsync.domain.ownership import Owner  # noqa: PLC0415
    from marketsync.ledger import stock  # noqa: PLC0415
    from marketsync.sync.derive import derive_stock  # noqa: PLC0415

    policy = house.policy.of(location)
    if policy.owner is not Owner.LEDGER:
        raise MarketsyncError(
            f"{policy.source or policy.owner} says how many lie at {location}: correct the figure there"
        )
    levels = stock.levels(conn, [sku]).get(sku, {})
    if location not in levels:
        known = ", ".join(sorted(levels)) or "nowhere"
        raise MarketsyncError(f"{sku} is not kept at {location}: it is kept {'at ' if levels else ''}{known}")
    now = session.clock.now()
    changed = stock.recount(conn, sku, location, count, now)
    return levels[location].on_hand, set(
        derive_stock(conn, house.rules, changed, house.order, now)
    ) if changed else set()
