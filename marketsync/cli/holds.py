"""Holds: what a guard stopped. A person looks at the numbers, and lets it go or refuses it."""

from typing import TYPE_CHECKING, Annotated

import typer

from marketsync.adapter.content import Aspect
from marketsync.adapter.errors import MarketsyncError
from marketsync.cli.decide import user
from marketsync.cli.lists import ChannelOption, Limit
from marketsync.cli.output import ago, document, line, note, table
from marketsync.cli.session import session

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marketsync.ledger.gateway import Ledger
    from marketsync.ledger.holds import HoldRow

AT_ONCE = 1_000  # offers per transaction
Numbers = Annotated[
    list[int] | None, typer.Argument(metavar="[HOLD]...", help="Their numbers, as `marketsync holds` tells them.")
]
GuardOption = Annotated[str | None, typer.Option("--guard", help="All that this guard stopped.")]
Why = Annotated[str, typer.Option(help="The reason; kept with the hold.")]
By = Annotated[str, typer.Option(help="Who decides; else your name on this machine.")]


def register(app: typer.Typer) -> None:
    app.command()(holds)
    app.command()(approve)
    app.command()(reject)


def holds(
    channel: ChannelOption = None,
    guard: GuardOption = None,
    state: Annotated[str, typer.Option(help="held, approved, rejected or expired.")] = "held",
    limit: Limit = 100,
) -> None:
    """List what guards stopped: whole runs and readings first, then single offers."""
    from marketsync.ledger.holds import listing  # noqa: PLC0415

    found = session.read(lambda conn: listing(conn, state=state, channel=channel, guard=guard, limit=limit))
    if session.json:
        document({"holds": found})
        return
    table(
        ("hold", "of", "sku", "aspect", "guard", "why", "since", "decided by", "reason"),
        [
            (one.id, one.channel or one.source, one.sku or "everything", one.aspect, one.guard, one.message,
             ago(one.opened), one.decided_by, one.reason)
            for one in found
        ],
        right=("hold",), empty="nothing is held" if state == "held" else f"nothing is {state}",
    )  # fmt: skip
    if found and state == "held":
        note("let it go with: marketsync approve HOLD --why ...; or refuse it with: marketsync reject HOLD --why ...")


def approve(
    numbers: Numbers = None, channel: ChannelOption = None, guard: GuardOption = None, why: Why = "", by: By = ""
) -> None:
    """Let what is held go, exactly as it is now. Of a source: its next reading applies it."""
    _decide("approved", numbers, channel, guard, why, by)


def reject(
    numbers: Numbers = None, channel: ChannelOption = None, guard: GuardOption = None, why: Why = "", by: By = ""
) -> None:
    """Refuse what is held: the channel keeps what it shows until the change itself changes."""
    _decide("rejected", numbers, channel, guard, why, by)


def _decide(state: str, numbers: list[int] | None, channel: str | None, guard: str | None, why: str, by: str) -> None:
    if not numbers and channel is None and guard is None:
        raise typer.BadParameter("name holds by their numbers, or --channel or --guard", param_hint="HOLD")
    with session.ledger() as ledger:
        chosen = _chosen(ledger, numbers, channel, guard)
        decided = [one for one in chosen if _one(ledger, one, state, by or user(), why)]
    if session.json:
        document({"state": state, "holds": [one.id for one in decided]})
        return
    for one in decided:
        line(f"hold {one.id}, {one.guard} of {one.sku or one.channel or one.source}: {state}")
    if len(decided) < len(chosen):
        note(f"{len(chosen) - len(decided)} of them were decided already")
    if any(one.source for one in decided) and state == "approved":
        note("the source is applied at its next reading, or now with: marketsync sync --task ingest")


def _chosen(ledger: "Ledger", numbers: list[int] | None, channel: str | None, guard: str | None) -> "list[HoldRow]":
    from marketsync.ledger.holds import listing, load  # noqa: PLC0415

    if not numbers:
        return ledger.read_now(lambda conn: listing(conn, channel=channel, guard=guard, limit=1_000_000))
    chosen = []
    for number in numbers:
        one = ledger.read_now(lambda conn, number=number: load(conn, number))  # type: ignore[misc]
        if one is None:
            raise MarketsyncError(f"there is no hold {number}: `marketsync holds` lists them")
        if one.state not in {"held", "rejected"}:
            raise MarketsyncError(f"hold {number} is {one.state}: nothing was decided")
        chosen.append(one)
    return chosen


def _one(ledger: "Ledger", one: "HoldRow", state: str, by: str, why: str) -> bool:
    from marketsync.ledger.channels import load  # noqa: PLC0415
    from marketsync.ledger.holds import decide, let_run_go  # noqa: PLC0415
    from marketsync.ledger.types import micros  # noqa: PLC0415

    now = micros(session.clock.now())

    def write(conn: "Connection") -> bool:
        return decide(conn, one, state, by, why, now)

    done = ledger.write_now(write)
    if done and state == "approved" and one.sku is None and one.channel is not None and one.aspect is not None:
        channel_id, aspect = ledger.read_now(load)[one.channel].id, Aspect(one.aspect)
        while ledger.write_now(lambda conn: let_run_go(conn, channel_id, aspect, AT_ONCE)):
            pass
    return done
