"""Undo: prices and texts back to what was live before, shown first and then kept until they are released."""

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from marketsync.cli.decide import user
from marketsync.cli.lists import ChannelOption, Limit, time_of
from marketsync.cli.output import ago, at, document, line, note, progress, table
from marketsync.cli.session import session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from marketsync.ledger.pins import Pin
    from marketsync.sync.undo import Asked, Found, PutBack

PENDING = 3
WORST = 50
Skus = Annotated[list[str] | None, typer.Option(help="Only this SKU of the channel or item; may be repeated.")]


def register(app: typer.Typer) -> None:
    app.command()(undo)
    app.command()(pinned)
    app.command()(release)


# ------------------------------------------------------------------ undo


def undo(
    run: Annotated[int | None, typer.Option(help="What this run changed, as `marketsync runs` numbers it.")] = None,
    channel: ChannelOption = None,
    before: Annotated[
        str | None, typer.Option(help="As it was before this time: 2026-03-01, 2026-03-01T14:00, or 3d, 12h ago.")
    ] = None,
    sku: Skus = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    why: Annotated[str, typer.Option(help="The reason; kept with what is put back.")] = "",
    by: Annotated[str, typer.Option(help="Who decides; else your name on this machine.")] = "",
) -> None:
    """Put prices and texts back as they were, and keep them so until `marketsync release`. Never a stock figure.

    Without --run and --before: of a channel its last run that sent prices or texts, of a SKU the last change of its
    price. What would be put back is shown first; ends with 3 where nobody agreed to it.
    """
    from marketsync.sync.undo import Asked  # noqa: PLC0415

    if run is None and channel is None and not sku:
        raise typer.BadParameter("name a --run, a --channel or a --sku", param_hint="--run")
    if run is not None and before is not None:
        raise typer.BadParameter("a run has its own time: leave out one of --run and --before", param_hint="--before")
    when = None if before is None else time_of(before, "--before")
    if when is not None and when > session.clock.now():
        raise typer.BadParameter("nobody knows what will be: name an earlier time", param_hint="--before")
    asked = Asked(run=run, channel=channel, skus=tuple(sku) if sku else None, before=when)
    found, done = asyncio.run(_undo(asked, by or user(), why, yes=yes))
    if session.json:
        _print_json(found, done)
    elif done is not None:
        line(f"{done} put back, and kept so until `marketsync release`; stock was not touched")
        if done < len(found.back):
            note(f"{len(found.back) - done} changed meanwhile and stay as they are: look again")
    elif found.back:
        line("nothing was changed: repeat it with --yes")
    if found.back and done is None:
        raise typer.Exit(PENDING)


async def _undo(asked: "Asked", by: str, why: str, *, yes: bool) -> "tuple[Found, int | None]":
    """What was found, and how much of it was put back; None where nobody agreed."""
    from marketsync.sync import undo as undoing  # noqa: PLC0415

    async with session.house(session.whole_config(), lock=False) as house:
        found = await house.ledger.read(partial(undoing.look, house=house, asked=asked))
        if not session.json:
            _show(found)
        if not found.back or not (yes or _agreed(len(found.back))):
            return found, None
        with progress("putting back", len(found.back)) as advance:
            return found, await undoing.put_back(house, found.back, by, why, advance)


def _agreed(count: int) -> bool:
    """Ask, where somebody can answer."""
    if session.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return typer.confirm(f"Put {count} back?", default=False)


def _show(found: "Found") -> None:
    if found.run is not None:
        line(f"run {found.run.id}, {found.run.task} of {found.run.owner}, began {at(found.run.started)}")
    table(
        ("channel", "sku", "aspect", "shows", "would show", "put back", "live from"),
        [
            (one.channel, one.sku, one.aspect, *_values(one), at(one.live_from) if one.live_from else None)
            for one in sorted(found.back, key=_step, reverse=True)[:WORST]
        ],
        right=("shows", "would show", "put back"), empty="there is nothing to put back",
    )  # fmt: skip
    if len(found.back) > WORST:
        note(f"the worst {WORST} of {len(found.back)}: --json has them all")
    reasons: dict[str, list[str]] = {}
    for one in found.left:
        reasons.setdefault(one.why, []).append(one.sku)
    if reasons:
        line()
        table(
            ("not put back", "such as", "why"),
            [(len(skus), skus[0], why) for why, skus in sorted(reasons.items(), key=lambda entry: -len(entry[1]))],
            right=("not put back",),
        )


def _values(one: "PutBack") -> tuple[str, str, str]:
    from marketsync.adapter.content import Aspect  # noqa: PLC0415

    if one.aspect is Aspect.LISTING:
        return "", "another text", "the text that is there"
    return str(one.shows or "unknown"), str(one.would), str(one.back)


def _step(one: "PutBack") -> float:
    """How far the price moves back, as a factor: the worst first."""
    if one.shows is None or one.back is None or not one.shows.minor or not one.back.minor:
        return 0.0
    return max(one.shows.minor / one.back.minor, one.back.minor / one.shows.minor)


def _print_json(found: "Found", done: int | None) -> None:
    document({
        "run": found.run, "before": found.since, "put_back": done, "back": [_plain(one) for one in found.back],
        "left": [_plain(one) for one in found.left],
    })  # fmt: skip


def _plain(one: "PutBack") -> dict[str, object]:
    hidden = ("content", "instead_of", "offer_id")  # hashes and numbers of rows are of no use outside
    return {name: getattr(one, name) for name in one.__slots__ if name not in hidden}


# ------------------------------------------------------------------ what is pinned


def pinned(channel: ChannelOption = None, sku: Skus = None, limit: Limit = 100) -> None:
    """List what undos put back and keep, with who, why and since when."""
    from marketsync.ledger.pins import listing  # noqa: PLC0415

    found = session.read(lambda conn: listing(conn, channel=channel, skus=sku or None, limit=limit))
    if session.json:
        document({"pinned": found})
        return
    table(
        ("channel", "sku", "aspect", "kept", "since", "by", "why"),
        [(one.channel, one.sku, one.aspect, _kept(one), ago(one.since), one.who, one.reason) for one in found],
        right=("kept",), empty="nothing is pinned",
    )  # fmt: skip
    if found:
        note("give it back to source and rules with: marketsync release --channel ..., --sku ... or --all")


def _kept(pin: "Pin") -> str:
    from marketsync.adapter.content import Aspect  # noqa: PLC0415
    from marketsync.domain.content import price_from  # noqa: PLC0415
    from marketsync.domain.guards import effective  # noqa: PLC0415

    if pin.aspect is Aspect.LISTING:
        return str(pin.content.get("title", ""))
    return str(effective(price_from(dict(pin.content))))


def release(
    channel: ChannelOption = None,
    sku: Skus = None,
    every: Annotated[bool, typer.Option("--all", help="Everything that is pinned.")] = False,
) -> None:
    """Give what an undo put back to source and rules again. Guards hold what is still absurd."""
    if channel is None and not sku and not every:
        raise typer.BadParameter("name a --channel or a --sku, or say --all", param_hint="--all")
    found = asyncio.run(_release(channel, sku))
    if session.json:
        document({"released": [{"channel": one.channel, "sku": one.sku, "aspect": one.aspect} for one in found]})
        return
    line(f"{len(found)} released: source and rules say again what they show")
    if found:
        note("what the next push changes: marketsync plan; what a guard stopped: marketsync holds")


async def _release(channel: str | None, skus: "Sequence[str] | None") -> "list[Pin]":
    from marketsync.ledger.pins import listing  # noqa: PLC0415
    from marketsync.sync.undo import release as releasing  # noqa: PLC0415

    async with session.house(session.whole_config(), lock=False) as house:
        found = await house.ledger.read(partial(listing, channel=channel, skus=skus or None))
        await releasing(house, found)
        return found
