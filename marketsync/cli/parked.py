"""Parked offers: what channels refused and why, and trying them again."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marketsync.adapter.content import Aspect
from marketsync.cli.lists import ChannelOption, Limit, check_channel
from marketsync.cli.output import ago, document, line, note, progress, table
from marketsync.cli.session import session

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marketsync.ledger.queries.parked import ParkedGroup

AT_ONCE = 1_000  # offers per transaction


def register(app: typer.Typer) -> None:
    app.command()(parked)
    app.command()(retry)


def parked(channel: ChannelOption = None, limit: Limit = 100) -> None:
    """List what channels refused, by their reason, and what to do about it."""
    from marketsync.ledger.queries.parked import parked as query  # noqa: PLC0415

    def look(conn: "Connection") -> "list[ParkedGroup]":
        check_channel(conn, channel)
        return query(conn, channel=channel, limit=limit)

    found = session.read(look)
    if session.json:
        document({"parked": found})
        return
    table(
        ("channel", "aspect", "reason", "offers", "since", "such as", "what the channel says", "what to do"),
        [
            (one.channel, one.aspect, one.reason, one.offers, ago(one.first_seen), _such_as(one), one.message,
             one.hint or f"change what makes its {one.aspect}: it is sent again by itself")
            for one in found
        ],
        right=("offers",), empty="nothing is parked",
    )  # fmt: skip
    if found:
        note("where the cause was on the channel's side: marketsync retry [--channel] [--reason] [--sku]")
    if len(found) == limit:
        note(f"only the {limit} largest groups are listed: --limit shows more")


def _such_as(one: "ParkedGroup") -> str:
    return ", ".join(one.skus) + (", ..." if one.offers > len(one.skus) else "")


def retry(
    channel: ChannelOption = None,
    reason: Annotated[str | None, typer.Option(help="Only what was refused with this code of the channel.")] = None,
    sku: Annotated[str | None, typer.Option(help="Only this SKU.")] = None,
) -> None:
    """Send parked offers again as they are. Without options: all of them."""
    from marketsync.ledger.gateway import Rank  # noqa: PLC0415
    from marketsync.ledger.parked import retry as free  # noqa: PLC0415
    from marketsync.ledger.types import micros  # noqa: PLC0415

    done: dict[Aspect, int] = dict.fromkeys(Aspect, 0)
    work: Any = partial(free, now=micros(session.clock.now()), channel=channel, reason=reason, sku=sku, limit=AT_ONCE)
    with session.ledger() as ledger, progress("sending again", 0) as advance:
        ledger.read_now(partial(check_channel, channel=channel))
        while some := ledger.write_now(work, Rank.BULK):
            for aspect, count in some.items():
                done[aspect] += count
            advance(sum(some.values()))
    if session.json:
        document({"freed": done})
    elif not any(done.values()):
        line("nothing of that is parked")
    else:
        told = ", ".join(f"{count} x {aspect}" for aspect, count in done.items() if count)
        line(f"sent again: {told}")
