"""What adopting a channel shows before it asks: who is who, what would change, which orders are open."""

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from marketsync.adapter.content import Aspect
from marketsync.cli.output import ago, busy, document, line, note, table
from marketsync.cli.plan import Worst, planned, show
from marketsync.cli.session import session

if TYPE_CHECKING:
    from marketsync.config.models import Config
    from marketsync.sync.adopt import AdoptReport
    from marketsync.sync.live import House
    from marketsync.sync.plan import Plan

WORST = 20


async def adopt(config: "Config", channel: str, takes: frozenset[Aspect], *, yes: bool) -> None:
    """Read the channel once, show what that means, and adopt it where that is agreed to."""
    from marketsync.sync import adopt as adopting  # noqa: PLC0415

    async with session.house(config, lock=False) as house:
        with busy(f"reading {channel}"):
            report = await adopting.look(house, channel)
        worst = Worst(WORST)
        made = await _planned(house, report, takes, worst)
        if not session.json:
            _show(report, made, worst)
        agreed = yes or _agreed(channel)
        if agreed:
            await adopting.take(house, report, takes)
    if session.json:
        document(_document(report, made, worst) | {"takes": sorted(takes), "adopted": agreed})
    elif agreed:
        line(f"{channel} is adopted: marketsync writes {', '.join(sorted(takes))} from now on")
    else:
        line("nothing was changed: repeat it with --yes")


async def _planned(house: "House", report: "AdoptReport", takes: frozenset[Aspect], worst: Worst) -> "Plan":
    """What the first pushes would change, once nothing waits any more."""
    from marketsync.ledger.types import micros  # noqa: PLC0415
    from marketsync.sync.adopt import hold_twins  # noqa: PLC0415

    prepare = partial(hold_twins, channel=house.channels[report.channel], report=report, now=micros(house.clock.now()))
    async with planned(house, [report.channel], None, frozenset(Aspect), adopting=takes, prepare=prepare) as made:
        for change in made.changes():
            worst.add(change)
        return made


def _agreed(channel: str) -> bool:
    """Ask, where somebody can answer."""
    if session.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return typer.confirm(f"Adopt {channel}?", default=False)


def _show(report: "AdoptReport", made: "Plan", worst: Worst) -> None:
    matches, orders = report.matches, report.orders
    rows = [
        ("offers there that are ours by their SKU", matches.by_sku),
        ("offers there that are ours by the listing map", matches.by_map),
        ("offers there that seem to be ours under another SKU: not created", len(matches.suggestions)),
        ("offers that cannot be told apart: not created", len(matches.ambiguous)),
        ("offers there that are in no catalogue: left alone", matches.unknown),
        ("offers of the catalogue that are not there", report.missing),
        ("open orders: reserved, never delivered", orders.count),
        *((f"of them older than {age}", count) for age, count in orders.older.items() if count),
    ]
    table((report.channel, "number"), rows, right=("number",))
    line()
    if matches.suggestions:
        line("Put this into listing_map of the channel where they are the same, and look again:")
        for one in matches.suggestions[:WORST]:
            line(f'  "{one.channel_sku}": {one.sku}   # by {one.by}')
        _more(len(matches.suggestions))
        line()
    if matches.ambiguous:
        table(
            ("cannot be told apart", "there", "ours"),
            [(one.what, ", ".join(one.there), ", ".join(one.ours)) for one in matches.ambiguous[:WORST]],
        )
        _more(len(matches.ambiguous))
        line()
    show(made, worst)
    if orders.oldest is not None:
        line(f"the oldest open order was placed {ago(orders.oldest)} ago")
    if not orders.read:
        note("its orders were never read: `marketsync sync --task orders` reads them, and what they reserve is counted")


def _more(count: int) -> None:
    if count > WORST:
        note(f"{WORST} of {count}: --json has them all")


def _document(report: "AdoptReport", made: "Plan", worst: Worst) -> dict[str, Any]:
    plan = made.channels[report.channel]
    return {
        "channel": report.channel, "matched": report.matched, "missing": report.missing,
        "missing_skus": report.missing_skus, "unknown": report.matches.unknown, "matches": report.matches,
        "changes": plan.counts, "waiting": plan.waiting, "calls": plan.calls, "seconds": plan.seconds,
        "worst": worst.of(waits=False), "open_orders": report.orders.count, "orders": report.orders,
    }  # fmt: skip
