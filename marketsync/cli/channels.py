"""What a person decides about a channel: adopt, pause, resume, send again."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from marketsync.adapter.content import Aspect
from marketsync.adapter.errors import MarketsyncError
from marketsync.cli import adopting
from marketsync.cli.output import document, line, note, progress
from marketsync.cli.session import session
from marketsync.cli.work import make_ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from marketsync.ledger.channels import ChannelRow
    from marketsync.ledger.gateway import Ledger

AT_ONCE = 1_000  # offers per transaction
ChannelName = Annotated[str, typer.Argument(metavar="CHANNEL", help="As the configuration names it.")]


def register(app: typer.Typer) -> None:
    app.command()(adopt)
    app.command()(pause)
    app.command()(resume)
    app.command()(resync)


# ------------------------------------------------------------------ adopt


def adopt(
    channel: ChannelName,
    take: Annotated[str, typer.Option(help="What marketsync writes from now on.")] = "listing,price,stock",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Show what a new channel has and what adopting it would change; then, if wanted, begin to write to it."""
    takes = _takes(take)
    config = session.whole_config()
    if channel not in config.channels:
        raise MarketsyncError(f"there is no channel {channel}: there are {', '.join(config.channels) or 'none'}")
    make_ledger()
    asyncio.run(adopting.adopt(config, channel, takes, yes=yes))


def _takes(written: str) -> frozenset[Aspect]:
    try:
        takes = frozenset(Aspect(part.strip()) for part in written.split(",") if part.strip())
    except ValueError:
        takes = frozenset()
    if not takes:
        raise typer.BadParameter(
            f"{written!r}: write one or more of {', '.join(Aspect)}, with commas", param_hint="--take"
        )
    return takes


# ------------------------------------------------------------------ pause, resume


Chosen = Annotated[str | None, typer.Argument(metavar="[CHANNEL]", help="As the configuration names it.")]
Every = Annotated[bool, typer.Option("--all", help="Every channel.")]


def pause(
    channel: Chosen = None,
    every: Every = False,
    why: Annotated[str, typer.Option(help="For those who wonder.")] = "paused by hand",
) -> None:
    """Stop writing to a channel, or to all. Orders still come in; what changes meanwhile is sent after `resume`."""
    with session.ledger() as ledger:
        _set(
            ledger,
            _rows(ledger, channel, every),
            lambda _row: "paused",
            why,
            ("active", "blocked", "observing"),
            every=every,
        )


def resume(channel: Chosen = None, every: Every = False) -> None:
    """Write to a paused or blocked channel, or to all, again."""
    with session.ledger() as ledger:
        # One that was never adopted goes back to watching.
        rows = _rows(ledger, channel, every)
        _set(
            ledger,
            rows,
            lambda row: "active" if row.adopted_at else "observing",
            "",
            ("paused", "blocked"),
            every=every,
        )


def _rows(ledger: "Ledger", channel: str | None, every: bool) -> "list[ChannelRow]":
    from marketsync.ledger.channels import load  # noqa: PLC0415

    if (channel is None) != every:
        raise typer.BadParameter("name one channel, or --all", param_hint="CHANNEL")
    return list(ledger.read_now(load).values()) if channel is None else [_row(ledger, channel)]


def _row(ledger: "Ledger", channel: str) -> "ChannelRow":
    from marketsync.ledger.channels import load  # noqa: PLC0415

    rows = ledger.read_now(load)
    if channel not in rows:
        raise MarketsyncError(f"there is no channel {channel}: there are {', '.join(rows) or 'none yet'}")
    return rows[channel]


def _set(
    ledger: "Ledger",
    rows: "list[ChannelRow]",
    state_of: "Callable[[ChannelRow], str]",
    why: str,
    from_: tuple[str, ...],
    *,
    every: bool,
) -> None:
    from marketsync.ledger.channels import set_state  # noqa: PLC0415

    now = session.clock.now()
    changed = [(row, state_of(row)) for row in rows if row.state in from_]

    def write(conn: "Connection") -> None:
        for row, state in changed:
            set_state(conn, row.name, state, why, now)

    ledger.write_now(write)
    states = {row.name: state for row, state in changed}
    said = [
        {"channel": row.name, "before": row.state, "state": states.get(row.name, row.state),
         "changed": row.name in states}
        for row in rows
    ]  # fmt: skip
    if session.json:
        document({"channels": said} if every else said[0])
        return
    for one in said:
        changes = (
            f"was {one['before']} and is {one['state']}" if one["changed"] else f"is {one['state']}: nothing to change"
        )
        line(f"{one['channel']} {changes}")


# ------------------------------------------------------------------ resync


def resync(
    channel: ChannelName,
    sku: Annotated[list[str] | None, typer.Option(help="Only this SKU; may be repeated.")] = None,
) -> None:
    """Send everything again, whatever the channel acknowledged. Parked offers are tried again too."""
    with session.ledger() as ledger:
        row = _row(ledger, channel)
        if sku:
            missing = sorted(set(sku) - set(_known(ledger, row.id, sku)))
            if missing:
                raise MarketsyncError(f"{channel} has no offer {', '.join(missing)}: nothing was changed")
        count = _resend(ledger, row.id, sku)
    if session.json:
        document({"channel": channel, "offers": count})
        return
    line(f"{count} offers of {channel} are sent again")
    if row.state != "active":
        note(f"{channel} is {row.state}: they leave once it is active")


def _known(ledger: "Ledger", channel_id: int, skus: list[str]) -> list[str]:
    from sqlalchemy import text  # noqa: PLC0415

    from marketsync.ledger.sql import among, listed  # noqa: PLC0415

    def look(conn: "Connection") -> list[str]:
        sql = f"SELECT sku FROM offer WHERE channel_id = :channel AND {among(conn, 'sku', 'skus')}"  # noqa: S608  constants
        return list(conn.execute(text(sql), {"channel": channel_id, "skus": listed(conn, skus)}).scalars())

    return ledger.read_now(look)


def _resend(ledger: "Ledger", channel_id: int, skus: list[str] | None) -> int:
    """A page in a transaction: orders are stored in between."""
    from marketsync.ledger import desired, offers  # noqa: PLC0415
    from marketsync.ledger.gateway import Rank  # noqa: PLC0415

    now = int(session.clock.now().timestamp() * 1_000_000)
    if skus:
        return ledger.write_now(lambda conn: offers.resend(conn, channel_id, skus, now))
    count, after = 0, ""
    with progress("sending again", 0) as advance:
        while True:
            page = list(ledger.read_now(lambda conn: desired.page(conn, channel_id, after, AT_ONCE)))  # noqa: B023  read at once
            if not page:
                return count
            count += ledger.write_now(lambda conn: offers.resend(conn, channel_id, page, now), Rank.BULK)  # noqa: B023  written at once
            after = page[-1]
            advance(len(page))
