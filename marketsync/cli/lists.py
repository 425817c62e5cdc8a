"""Lists of what is in the ledger: offers, orders, issues, runs."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marketsync.adapter.errors import MarketsyncError
from marketsync.cli.output import ago, at, document, line, note, span, table
from marketsync.cli.session import session
from marketsync.cli.work import counted

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marketsync.ledger.queries.orders import OrderDetail, OrderRow

ChannelOption = Annotated[str | None, typer.Option("--channel", help="Only this channel.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")]


def register(app: typer.Typer) -> None:
    app.command()(offers)
    app.command()(orders)
    app.command()(order)
    app.command()(issues)
    app.command()(runs)


def check_channel(conn: "Connection", channel: str | None) -> None:
    """Raise MarketsyncError for a channel that the ledger does not know."""
    from marketsync.ledger.channels import load  # noqa: PLC0415

    known = load(conn)
    if channel is not None and channel not in known:
        names = ", ".join(known) or "none yet"
        raise MarketsyncError(f"there is no channel {channel}: there are {names}")


# ------------------------------------------------------------------ offers


def offers(
    channel: ChannelOption = None,
    sku: Annotated[str | None, typer.Option(help="This SKU, or a pattern: * is anything, ? one character.")] = None,
    due: Annotated[bool, typer.Option("--due", help="That are due to be sent now.")] = False,
    dirty: Annotated[bool, typer.Option("--dirty", help="That do not show what they should.")] = False,
    unknown: Annotated[
        bool, typer.Option("--unknown", help="Of which nobody can know what the channel shows.")
    ] = False,
    parked: Annotated[bool, typer.Option("--parked", help="That the channel refused.")] = False,
    held: Annotated[bool, typer.Option("--held", help="With a change that a guard stopped.")] = False,
    drifted: Annotated[bool, typer.Option("--drifted", help="That somebody else changed on the channel.")] = False,
    limit: Limit = 100,
    after: Annotated[str, typer.Option(help="Go on behind this offer: CHANNEL/SKU, as the end of a list tells.")] = "",
) -> None:
    """List offers: what each shows and should show."""
    from marketsync.ledger.queries import offers as query  # noqa: PLC0415

    wanted = {"due": due, "dirty": dirty, "unknown": unknown, "parked": parked, "held": held, "drifted": drifted}
    states = [name for name, asked in wanted.items() if asked]
    if len(states) > 1:
        raise typer.BadParameter(f"--{states[0]} and --{states[1]} exclude each other")
    if after and "/" not in after:
        raise typer.BadParameter("write CHANNEL/SKU", param_hint="--after")
    begin = tuple(after.split("/", 1)) if after else None

    def look(conn: "Connection") -> list[query.OfferRow]:
        check_channel(conn, channel)
        return query.offers(
            conn, session.clock.now(), channel=channel, sku=sku, state=states[0] if states else None,
            after=begin, limit=limit,  # type: ignore[arg-type]  # two parts, as checked above
        )  # fmt: skip

    found = session.read(look)
    following = "/".join(found[-1].key) if len(found) == limit else None
    if session.json:
        document({"offers": [_offer_document(row) for row in found], "next": following})
        return
    table(
        ("channel", "sku", "price", "price shown", "stock", "stock shown", "state", "since", "read back"),
        [
            (row.channel, row.sku, row.price, row.price_shown, row.stock, row.stock_shown, _offer_state(row),
             ago(row.since), ago(row.seen))
            for row in found
        ],
        right=("price", "price shown", "stock", "stock shown"), empty="no such offers",
    )  # fmt: skip
    if following:
        note(f"there may be more: --after {following}")


def _offer_document(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__ if name != "key"}


def _offer_state(row: Any) -> str:
    told = ["in flight"] if row.in_flight else []
    told += [f"due ({row.lane})"] if row.due is not None and row.due <= session.clock.now() else []
    for name in ("parked", "held", "drifted", "unknown"):
        aspects = getattr(row, name)
        told += [f"{name}: {' + '.join(aspects)}"] if aspects else []
    told += ["left the assortment"] if row.left is not None else []
    if not told and row.dirty:
        told = [f"waits: {' + '.join(row.dirty)}"]
    return ", ".join(told) or "clean"


# ------------------------------------------------------------------ orders


def orders(
    channel: ChannelOption = None,
    state: Annotated[
        str | None,
        typer.Option(help="pending, paid, open, shipped, cancelled, ..., or late, oversold, unmapped, undelivered, held."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Placed since: 2026-03-01, 2026-03-01T14:00, or 3d, 12h.")] = None,
    limit: Limit = 50,
    before: Annotated[int | None, typer.Option(help="Go on before this order's number, as the end of a list tells.")] = None,
) -> None:  # fmt: skip
    """List orders, the newest first."""
    from marketsync.ledger.queries import orders as query  # noqa: PLC0415

    if state is not None and state not in query.STATES:
        raise typer.BadParameter(f"{state} is not one of {', '.join(query.STATES)}", param_hint="--state")
    begin = None if since is None else time_of(since, "--since")

    def look(conn: "Connection") -> "list[OrderRow]":
        check_channel(conn, channel)
        now = session.clock.now()
        return query.orders(conn, now, channel=channel, state=state, since=begin, before=before, limit=limit)

    found = session.read(look)
    following = found[-1].id if len(found) == limit else None
    if session.json:
        document({"orders": found, "next": following})
        return
    table(
        ("placed", "channel", "order", "payment", "fulfilment", "pieces", "total", "ship by", "to look at"),
        [
            (at(row.placed), row.channel, row.order_id, row.payment, row.fulfilment, row.pieces, row.total,
             at(row.ship_by), _matter(row))
            for row in found
        ],
        right=("pieces", "total"), empty="no such orders",
    )  # fmt: skip
    if following:
        note(f"there may be more: --before {following}")


def time_of(written: str, option: str) -> datetime:
    """A time as people write it: a date or time in the configuration's zone, or how long ago."""
    from marketsync.domain.scalars import duration  # noqa: PLC0415

    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        try:
            return session.clock.now() - duration(written)
        except (ValueError, OverflowError):
            raise typer.BadParameter(
                f"{written!r} is no time: write 2026-03-01, 2026-03-01T14:00 or 3d", param_hint=option
            ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=session.zone)


def _matter(row: "OrderRow") -> str:
    told = [f"{row.oversold} oversold"] if row.oversold else []
    told += ["a line of no known item"] if row.unmapped else []
    told += ["the buyer asks to cancel"] if row.cancel_requested else []
    told += [f"sinks that wait for it: {row.undelivered}"] if row.undelivered else []
    return ", ".join(told)


def order(
    name: Annotated[str, typer.Argument(metavar="ORDER", help="The channel's id of it, or the key that sinks have.")],
    channel: ChannelOption = None,
) -> None:
    """Show one order: its lines, what happened, where it was delivered, what the channel was told."""
    found = session.read(partial(one_order, name=name, channel=channel))
    if session.json:
        document(found)
    else:
        _show_order(found)


def one_order(conn: "Connection", name: str, channel: str | None) -> "OrderDetail":
    """The order of that id. Raises MarketsyncError where there is none, or several."""
    from marketsync.ledger.queries.orders import find  # noqa: PLC0415

    check_channel(conn, channel)
    found = find(conn, name, channel)
    if not found:
        raise MarketsyncError(f"there is no order {name}{f' of {channel}' if channel else ''}: check the id")
    if len(found) > 1:
        where = ", ".join(sorted(one.order.channel for one in found))
        raise MarketsyncError(f"order {name} is there on {where}: say which by --channel")
    return found[0]


def _show_order(found: "OrderDetail") -> None:
    row = found.order
    line(f"order {row.order_id} of {row.channel}, key {row.key}, revision {row.revision}")
    line(f"placed {at(row.placed)}, stored {at(found.stored)}, ship by {at(row.ship_by)}")
    line(f"{row.payment}, {row.fulfilment}, total {row.total or '-'}, buyer {found.buyer}")
    if row.before_adoption:
        line("older than the adoption of its channel: reserved, never delivered")
    if _matter(row):
        line(f"to look at: {_matter(row)}")
    line()
    table(
        ("line", "sku", "title", "items", "ordered", "cancelled", "shipped", "returned", "reserved", "amount"),
        [
            (one.line_id, one.sku, one.title, _items(one), one.ordered, one.cancelled, one.shipped, one.returned,
             one.reserved, one.amount)
            for one in found.lines
        ],
        right=("ordered", "cancelled", "shipped", "returned", "reserved", "amount"),
    )  # fmt: skip
    if found.deliveries:
        line()
        table(
            ("sink", "state", "revision", "delivered", "next try", "error"),
            [(d.sink, d.state, d.revision, d.delivered, at(d.next_attempt), d.error) for d in found.deliveries],
            right=("revision", "delivered"),
        )
    if found.commands:
        line()
        table(
            ("command", "number", "state", "tries", "created", "told"),
            [(c.kind, c.id, c.state, c.attempts, at(c.created), c.message or c.reference) for c in found.commands],
            right=("number", "tries"),
        )
    if found.returns:
        line()
        table(
            ("return", "sku", "quantity", "state", "restocked", "reason"),
            [(r.key, r.sku, r.quantity, r.state, "yes" if r.restocked else "no", r.reason) for r in found.returns],
            right=("quantity",),
        )
    line()
    table(("at", "event", "message"), [(at(e.at), e.kind, e.message) for e in found.events], empty="no events")


def _items(one: Any) -> str:
    if one.components is None:
        return "no known item"
    return " + ".join(f"{pieces} x {sku}" for sku, pieces in one.components.items())


# ------------------------------------------------------------------ issues, runs


def issues(
    of: Annotated[str | None, typer.Option(help="Of this channel, source, sink or account.")] = None,
    code: Annotated[str | None, typer.Option(help="Only of this code.")] = None,
    sku: Annotated[str | None, typer.Option(help="Only of this SKU.")] = None,
    limit: Limit = 100,
) -> None:
    """List open issues: what a person should look at, and what to do about it."""
    from marketsync.ledger.queries.journal import issues as query  # noqa: PLC0415

    found = session.read(partial(query, scope=of, code=code, sku=sku, limit=limit))
    if session.json:
        document({"issues": found})
        return
    table(
        ("of", "sku", "code", "what", "what to do", "where", "times", "since", "last"),
        [
            (i.scope.partition(":")[2], i.sku, i.code, i.message, i.hint, i.place, i.count, ago(i.first_seen),
             ago(i.last_seen))
            for i in found
        ],
        right=("times",), empty="no open issues",
    )  # fmt: skip
    if len(found) == limit:
        note(f"only the newest {limit} are listed: --limit shows more")


def runs(
    of: Annotated[str | None, typer.Option(help="Of this channel, source, sink or account.")] = None,
    task: Annotated[str | None, typer.Option(help="Only of this task.")] = None,
    outcome: Annotated[str | None, typer.Option(help="done, waiting, failed, blocked, interrupted or running.")] = None,
    limit: Limit = 30,
) -> None:
    """List runs of tasks, the last first."""
    from marketsync.ledger.queries.journal import runs as query  # noqa: PLC0415

    found = session.read(partial(query, owner=of, task=task, outcome=outcome, limit=limit))
    if session.json:
        document({"runs": found})
        return
    table(
        ("started", "task", "of", "reason", "outcome", "took", "counts", "error"),
        [
            (at(r.started), r.task, r.owner.partition(":")[2] or r.owner, r.reason, r.outcome, span(r.seconds),
             counted(r.counts), r.error)
            for r in found
        ],
        empty="no runs yet",
    )  # fmt: skip
