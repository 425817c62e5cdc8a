"""What the next push would change: shown, written to a file, and applied from it."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marketsync.adapter.content import Aspect
from marketsync.adapter.errors import MarketsyncError
from marketsync.adapter.money import Money
from marketsync.cli.output import at, document, line, note, progress, span, table
from marketsync.cli.session import session
from marketsync.cli.work import counted, make_ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from marketsync.sync.apply import ApplyReport
    from marketsync.sync.live import House
    from marketsync.sync.plan import Change, ChannelPlan, Plan
    from marketsync.sync.plan_file import PlanFile

FAILED, PENDING = 1, 3
WORST = 50


def register(app: typer.Typer) -> None:
    app.command()(plan)
    app.command()(apply)


# ------------------------------------------------------------------ plan


def plan(
    channel: Annotated[list[str] | None, typer.Option(help="Only this channel; may be repeated.")] = None,
    sku: Annotated[list[str] | None, typer.Option(help="Only this SKU of the channel; may be repeated.")] = None,
    aspect: Annotated[list[Aspect] | None, typer.Option(help="Only listing, price or stock; may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the whole plan to this file, for `marketsync apply`.")] = None,
) -> None:
    """Show every change that the next push would make, what waits and why, and what it costs. Nothing is sent.

    Ends with 3 where changes are pending, with 0 where the next push changes nothing.
    """
    config = session.whole_config()
    make_ledger()
    seen = Worst()
    pending = asyncio.run(_plan(config, channel or [], sku, frozenset(aspect or Aspect), out, seen))
    if pending:
        raise typer.Exit(PENDING)


class Worst:
    """The worst changes and the worst that wait, of however many."""

    def __init__(self, limit: int = WORST) -> None:
        self._limit, self._order = limit, count()
        self._heaps: dict[bool, list[tuple[Any, int, Change]]] = {False: [], True: []}
        self.totals = {False: 0, True: 0}

    def add(self, change: "Change") -> None:
        from marketsync.sync.plan import weight  # noqa: PLC0415

        waits = bool(change.waits)
        self.totals[waits] += 1
        push = heapq.heappush if len(self._heaps[waits]) < self._limit else heapq.heappushpop
        push(self._heaps[waits], (weight(change), -next(self._order), change))

    def of(self, *, waits: bool) -> "list[Change]":
        return [entry[2] for entry in sorted(self._heaps[waits], key=lambda entry: entry[:2], reverse=True)]


async def _plan(
    config: Any, channels: list[str], skus: list[str] | None, aspects: frozenset[Aspect], out: Path | None, seen: Worst
) -> int:
    from marketsync.sync import plan_file  # noqa: PLC0415

    only: dict[str, list[str]] = {"channels": channels, "skus": skus or [], "aspects": [*sorted(aspects)]}
    async with session.house(config, lock=False) as house, planned(house, channels, skus, aspects) as made:
        text = plan_file.lines(made, only, seen.add)
        if out is not None:
            plan_file.write(out, text)
            if session.json:
                document({"file": str(out), "pending": _pending(made), "channels": list(made.channels.values())})
        elif session.json:
            for part in text:
                typer.echo(part)
        else:
            for change in made.changes():
                seen.add(change)
        if not session.json:
            show(made, seen)
            if out is not None:
                note(f"the whole plan is in {out}: `marketsync apply {out}` does exactly that")
        return _pending(made)


def _pending(made: "Plan") -> int:
    return sum(one.changes for one in made.channels.values())


@asynccontextmanager
async def planned(
    house: "House",
    channels: Sequence[str],
    skus: Sequence[str] | None,
    aspects: frozenset[Aspect],
    *,
    adopting: frozenset[Aspect] | None = None,
    prepare: "Callable[[Connection], None]" = lambda _copy: None,
) -> "AsyncIterator[Plan]":
    """The plan of these channels (none named: all), with a bar while it is made. Raises MarketsyncError for a name that is none."""
    from marketsync.ledger.queries.adoption import known as offers_of  # noqa: PLC0415
    from marketsync.ledger.queries.plan import pending  # noqa: PLC0415
    from marketsync.sync.plan import Plan, stored_limits  # noqa: PLC0415
    from marketsync.sync.rehearse import rehearse  # noqa: PLC0415

    for name in channels:
        if name not in house.channels:
            raise MarketsyncError(f"there is no channel {name}: there are {', '.join(sorted(house.channels))}")
    names = sorted(channels or house.channels)
    ids = [house.channels[name].id for name in names]
    if skus:
        known = await house.ledger.read(lambda conn: {sku for one in ids for sku in offers_of(conn, one, skus)})
        if missing := sorted(set(skus) - known):
            raise MarketsyncError(f"there is no offer {', '.join(missing)}: check the SKU, as the channel knows it")
    total = await house.ledger.read(lambda conn: sum(pending(conn, channel_id, skus) for channel_id in ids))
    accounts = sorted({house.channels[name].account.name for name in names})
    stored = await house.ledger.read(partial(stored_limits, accounts=accounts))
    with progress("planning", 2 * total) as advance:
        async with rehearse(house, names, skus=skus, adopting=adopting, prepare=prepare, advance=advance) as rehearsal:
            yield Plan(house, rehearsal, aspects, stored)


# ------------------------------------------------------------------ tables


def show(made: "Plan", seen: Worst) -> None:
    """The worst changes, what waits, and a line per channel."""
    changes, waiting = seen.of(waits=False), seen.of(waits=True)
    if changes:
        table(
            ("channel", "sku", "aspect", "change", "old", "new", "difference", "to know"),
            [(c.channel, c.sku, c.aspect, c.action, _old(c), c.new, difference(c), _know(c)) for c in changes],
            right=("old", "new", "difference"),
        )  # fmt: skip
        _more(len(changes), seen.totals[False], "changes")
        line()
    if waiting:
        table(
            ("channel", "sku", "aspect", "old", "new", "difference", "waits", "why"),
            [(c.channel, c.sku, c.aspect, _old(c), c.new, difference(c), c.waits, _why(c)) for c in waiting],
            right=("old", "new", "difference"),
        )  # fmt: skip
        _more(len(waiting), seen.totals[True], "that wait")
        line()
    summary(list(made.channels.values()))
    for source, why in made.sources.items():
        note(f"the last reading of {source} waits: {why}")


def summary(channels: "list[ChannelPlan]") -> None:
    """One line per channel: how much changes and waits, and what it costs."""
    table(
        ("channel", "state", "changes", "of them", "waiting", "calls", "takes"),
        [
            (one.channel, one.state, one.changes, counted(one.counts), counted(one.waiting), counted(one.calls),
             span(one.seconds) if one.calls else None)
            for one in channels
        ],
        right=("changes",), empty="there is no channel",
    )  # fmt: skip


def _more(shown: int, total: int, what: str) -> None:
    if total > shown:
        note(f"the worst {shown} of {total} {what}: --out and --json have them all")


def _old(change: "Change") -> str | None:
    if change.old is None and change.action == "update" and change.aspect is not Aspect.LISTING:
        return "unknown"
    return None if change.old is None else str(change.old)


def difference(change: "Change") -> str:
    """New less old as people read it: money and percent, or pieces; of a listing its fields."""
    if change.aspect is Aspect.LISTING:
        return ", ".join(change.fields)
    if change.difference is None:
        return ""
    if isinstance(change.new, Money):
        money = Money(abs(change.difference), change.new.currency)
        percent = "" if change.percent is None else f" ({change.percent:+.1f} %)"
        return f"{'-' if change.difference < 0 else '+'}{money}{percent}"
    return f"{change.difference:+d}"


def _know(change: "Change") -> str:
    told = [] if change.undoable else ["cannot be undone"]
    return "; ".join([*told, change.why] if change.why else told)


def _why(change: "Change") -> str:
    return f"{change.why}: {at(change.until)}" if change.until else change.why


# ------------------------------------------------------------------ apply


def apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A plan that `marketsync plan --out FILE` wrote.")],
) -> None:
    """Do exactly what a plan says. What has changed since it was made is refused and listed.

    The daemon must not be running on a SQLite ledger. Ends with 1 where something was not sent.
    """
    from marketsync.sync import plan_file  # noqa: PLC0415

    config = session.whole_config()
    wanted = plan_file.read(file)
    report = asyncio.run(_apply(config, wanted))
    if session.json:
        document({"counts": report.counts, "left": report.left, "errors": report.errors})
    else:
        _show_applied(report)
    if report.left or report.errors:
        raise typer.Exit(FAILED)


async def _apply(config: Any, wanted: "PlanFile") -> "ApplyReport":
    from marketsync.sync import apply as applying  # noqa: PLC0415

    with progress("applying", len([one for one in wanted.changes if not one.waits])) as advance:
        async with session.house(config, lock=True) as house:
            return await applying.apply(house, wanted, advance)


def _show_applied(report: "ApplyReport") -> None:
    if report.left:
        table(
            ("channel", "sku", "aspect", "outcome", "why"),
            [(one.channel, one.sku, one.aspect, one.outcome, one.why) for one in report.left[:WORST]],
        )
        if len(report.left) > WORST:
            note(f"{WORST} of {len(report.left)} that were not sent: --json has them all")
    for channel, error in report.errors.items():
        note(f"{channel}: {error}")
    line(counted(report.counts) or "the plan has no changes")
