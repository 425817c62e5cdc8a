"""Commands of which nobody knows whether they happened: a person looks at the channel, and decides."""

import asyncio
import getpass
import os
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from marketsync.adapter.errors import MarketsyncError
from marketsync.cli.lists import ChannelOption, Limit, check_channel
from marketsync.cli.output import ago, busy, document, line, note, table
from marketsync.cli.session import session

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marketsync.ledger.queries.commands import HeldCommand
    from marketsync.sync.live import House


def register(app: typer.Typer) -> None:
    app.command()(commands)
    app.command()(decide)


def commands(channel: ChannelOption = None, limit: Limit = 100) -> None:
    """List held commands: no answer came, so a person has to look whether the channel did them."""
    from marketsync.ledger.queries.commands import held  # noqa: PLC0415

    def look(conn: "Connection") -> "list[HeldCommand]":
        check_channel(conn, channel)
        return held(conn, channel=channel, limit=limit)

    found = session.read(look)
    if session.json:
        document({"commands": found})
        return
    table(
        ("number", "channel", "order", "command", "pieces", "amount", "since", "tries", "what is known"),
        [
            (one.id, one.channel, one.order, one.kind, _pieces(one), one.amount, ago(one.created), one.attempts,
             one.message)
            for one in found
        ],
        right=("number", "amount", "tries"), empty="no held commands",
    )  # fmt: skip
    if found:
        note(
            "look at the order on the channel, then: marketsync decide NUMBER --done, or --again where it did not happen"
        )


def _pieces(one: "HeldCommand") -> str:
    return ", ".join(f"{line_id}:{pieces}" for line_id, pieces in one.pieces.items())


def decide(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Of the command, as `marketsync commands` tells it.")],
    done: Annotated[bool, typer.Option("--done/--again", help="The channel did it; or it did not: send it again.")],
    why: Annotated[str, typer.Option(help="What you saw on the channel; kept with the order.")] = "",
    by: Annotated[str, typer.Option(help="Who decides; else your name on this machine.")] = "",
) -> None:
    """Say whether a held command was done on the channel, or is to be sent again."""
    by = by or user()
    with busy("writing it down"):
        one = asyncio.run(_decide(number, done=done, by=by, why=why))
    if session.json:
        document(
            {
                "command": number, "channel": one.channel, "order": one.order, "kind": one.kind,
                "state": "done" if done else "due", "by": by, "at": session.clock.now(),
            }
        )  # fmt: skip
    elif done:
        line(f"command {number}, {one.kind} of order {one.order}: done")
    else:
        line(f"command {number}, {one.kind} of order {one.order}: sent again")


def user() -> str:
    """Who decides, where nothing else was said."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return f"user {os.getuid()}"


async def _decide(number: int, *, done: bool, by: str, why: str) -> "HeldCommand":
    from marketsync.ledger.gateway import Rank  # noqa: PLC0415

    async with session.house(session.config(), lock=False) as house:
        work = partial(_decided, house=house, number=number, done=done, by=by, why=why)
        return await house.ledger.write(work, Rank.ORDERS)


def _decided(conn: "Connection", house: "House", number: int, *, done: bool, by: str, why: str) -> "HeldCommand":
    from marketsync.ledger.commands import decide_command, load_command  # noqa: PLC0415
    from marketsync.ledger.queries.commands import held  # noqa: PLC0415
    from marketsync.sync.order_context import order_context  # noqa: PLC0415

    one = next(iter(held(conn, number=number)), None)
    if one is None:
        known = load_command(conn, number)
        if known is None:
            raise MarketsyncError(f"there is no command {number}: `marketsync commands` lists those to decide")
        raise MarketsyncError(
            f"command {number} ({known.kind} of order {known.command.order_id}) is {known.state}, not held"
        )
    if one.channel not in house.channels:
        raise MarketsyncError(f"{one.channel} is not in the configuration any more: its commands cannot be decided")
    context = order_context(conn, house, house.accounts[one.account])
    decide_command(conn, number, context, happened=done, by=by, why=why)
    return one
