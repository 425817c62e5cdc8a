"""Why is this price, stock or text there? One offer from its source to what was read back."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marketsync.adapter.content import Aspect
from marketsync.adapter.errors import MarketsyncError
from marketsync.adapter.money import Money
from marketsync.cli.lists import check_channel, time_of
from marketsync.cli.output import at, busy, document, line, note, table
from marketsync.cli.session import session

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marketsync.sync.explain import Explanation, Story
    from marketsync.sync.live import House

Row = tuple[str, str, str, str]  # aspect, step, value, why
MOST = 70  # characters of a value


def register(app: typer.Typer) -> None:
    app.command()(explain)


def explain(
    sku: Annotated[str, typer.Argument(metavar="SKU", help="As the channel has it, or an item of the catalogue.")],
    channel: Annotated[str | None, typer.Argument(metavar="[CHANNEL]", help="With every step of this channel.")] = None,
    moment: Annotated[
        str | None, typer.Option("--at", help="At an earlier time: 2026-03-01, 2026-03-01T14:00, or 3d, 12h ago.")
    ] = None,
) -> None:
    """Explain why an offer shows what it shows: source, rules, guards, request, answer, read-back."""
    when = None if moment is None else time_of(moment, "--at")
    if when is not None and when > session.clock.now():
        raise typer.BadParameter("nobody knows what will be: name an earlier time", param_hint="--at")
    with busy(f"looking at {sku}"):
        found = asyncio.run(_explained(sku, channel, when))
    if session.json:
        document({"explanations": [_plain(one) for one in found]})
    elif channel is None and len(found) > 1 and when is None:
        _overview(found)
    else:
        for number, one in enumerate(found):
            if number:
                line()
            _show(one, when)


async def _explained(sku: str, channel: str | None, when: datetime | None) -> "list[Explanation]":
    async with session.house(session.config(), lock=False) as house:
        return await house.ledger.read(partial(_look, house=house, sku=sku, channel=channel, when=when))


def _look(
    conn: "Connection", house: "House", sku: str, channel: str | None, when: datetime | None
) -> "list[Explanation]":
    from marketsync.ledger.queries.explain import channels_of  # noqa: PLC0415
    from marketsync.sync.explain import explain as explained  # noqa: PLC0415

    check_channel(conn, channel)
    if channel is not None and channel not in house.channels:
        raise MarketsyncError(f"{channel} is not in the configuration any more: its rules are not known")
    names = [channel] if channel is not None else (channels_of(conn, sku) or list(house.channels))
    live = [house.channels[name] for name in names if name in house.channels]
    found = [explained(conn, house, one, name, when) for one in live for name in _names(conn, one, sku)]
    known = [one for one in found if one.sources or one.channel_id or one.item]
    if not known:
        raise MarketsyncError(f"nobody knows {sku}: no source names it, and no channel offers it")
    return known


def _names(conn: "Connection", channel: Any, sku: str) -> list[str]:
    """The SKU itself where the channel has it, else what it sells the item as."""
    from marketsync.ledger.queries.explain import offer  # noqa: PLC0415

    sold_as = channel.rules.listing_map.selling(sku)
    if sku in sold_as or not sold_as or offer(conn, channel.id, sku) is not None:
        return [sku]
    return list(sold_as)


def _plain(one: "Explanation") -> dict[str, Any]:
    """As a document: hashes are of no use outside."""
    told = {name: getattr(one, name) for name in one.__slots__ if name != "stories"}
    told["aspects"] = {story.aspect.value: _plain_story(story) for story in one.stories}
    return told


def _plain_story(story: "Story") -> dict[str, Any]:
    told = {name: getattr(story, name) for name in story.__slots__ if name not in ("aspect", "sent")}
    told["sent"] = story.sent and {name: getattr(story.sent, name) for name in story.sent.__slots__ if name != "hash"}
    return told


# ------------------------------------------------------------------ on a screen


def _overview(found: "list[Explanation]") -> None:
    table(
        ("channel", "sku", "aspect", "should show", "shows", "state", "why"),
        [
            (one.channel, one.sku, story.aspect, _brief(story.aspect, story.derived), _shows(story), story.state,
             _because(one, story))
            for one in found
            for story in one.stories
        ],
    )  # fmt: skip
    note(f"every step: marketsync explain {found[0].sku} {found[0].channel}")


def _because(one: "Explanation", story: "Story") -> str:
    if one.excluded is not None:
        return one.excluded
    if story.refused is not None:
        return story.refused[0]
    if story.hold is not None and story.state == "held":
        return f"hold {story.hold.id}: {story.hold.message}"
    if story.not_yet:
        return story.not_yet
    if story.steps and story.derived is None:
        return story.steps[-1].note
    return story.override.reason if story.override is not None else ""


def _show(one: "Explanation", when: datetime | None) -> None:
    head = f"{one.sku} on {one.channel}" + (f", channel id {one.channel_id}" if one.channel_id else "")
    line(head + (f", at {at(when)}" if when is not None else ""))
    if one.components != {one.sku: 1}:
        line("each takes " + " + ".join(f"{count} x {sku}" for sku, count in one.components.items()))
    if one.excluded is not None:
        line(f"not offered: {one.excluded}")
    line()
    table(
        ("source", "sku", "says", "exported", "read", "trouble"),
        [(s.source, s.sku, _says(s.values, s.stock) if when is None else "", at(s.exported), at(s.read), s.trouble)
         for s in one.sources],
        empty="no source names it",
    )  # fmt: skip
    line()
    table(("aspect", "step", "value", "why"), [row for story in one.stories for row in _rows(one, story)])
    if one.not_kept:
        line()
        line("not kept: " + "; ".join(one.not_kept))


_AMOUNTS = ("price", "sale_price", "reference_price", "cost")


def _says(values: Mapping[str, Any], stock: Mapping[str, int]) -> str:
    """The figures of a source in full, its texts by name."""
    told = [f"{name} {_money(values[name])}" for name in _AMOUNTS if name in values]
    told += [f"{place} {pieces} pieces" for place, pieces in sorted(stock.items())]
    return ", ".join(told + sorted(values.keys() - set(_AMOUNTS) - {"sku"}))


def _rows(one: "Explanation", story: "Story") -> Iterator[Row]:
    name, aspect = story.aspect.value, story.aspect
    for step in story.steps:
        yield name, step.name, _cut(step.value), step.note
    if story.derived is not None and one.excluded is None:
        yield name, "should show", _brief(aspect, story.derived), "; ".join(story.notes)
    elif story.notes:
        yield name, "text", "", "; ".join(story.notes)
    if story.override is not None:
        fixed = story.override
        until = f", until {at(fixed.until)}" if fixed.until else ""
        who = f", by {fixed.who}" if fixed.who else f", from {fixed.source}" if fixed.source else ""
        yield name, "override", f"{fixed.field} {_cut(fixed.value)}", f"{fixed.reason or 'no reason given'}{who}{until}"
    if story.hold is not None:
        yield name, story.hold.state, f"hold {story.hold.id}", _held(story)
    if story.refused is not None:
        said, hint, since = story.refused
        yield name, "refused", "", f"{said}{f'; {hint}' if hint else ''}; since {at(since)}"
    yield from _journey(story)
    if aspect is Aspect.PRICE and one.live is not None:
        ends = f" to {at(one.live.ends)}" if one.live.ends else ""
        yield name, "live", str(one.live.price), f"from {at(one.live.begins)}{ends}"
    if story.state != "then":
        yield name, "state", story.state, story.not_yet


def _held(story: "Story") -> str:
    hold = story.hold
    assert hold is not None
    decided = (
        f"; {hold.state} by {hold.decided_by or 'nobody'} {at(hold.decided)}: {hold.reason}" if hold.decided else ""
    )
    return f"{hold.guard}: {hold.message}; since {at(hold.opened)}{decided}"


def _journey(story: "Story") -> Iterator[Row]:
    """Sent, answered, shown, read back."""
    name, sent = story.aspect.value, story.sent
    if sent is not None:
        value = "withdrawn" if sent.withdraws else _brief(story.aspect, sent.content)
        request = f", request {sent.request_id}" if sent.request_id else ""
        yield name, "sent", value, f"batch {sent.batch}, {sent.operation}{request}, {at(sent.at)}"
        told = ": ".join(part for part in (sent.code, sent.message) if part)
        answer = sent.result.value if sent.result else "none yet"
        yield name, "answer", answer, ", ".join(part for part in (told, at(sent.answered)) if part)
    if story.state != "then":
        yield name, "channel shows", _shows(story), f"acknowledged {at(story.since)}" if story.since else ""
        if story.shows is not None:
            yield name, "read back", story.seen or "not yet", at(story.read) if story.read and story.seen else ""


def _shows(story: "Story") -> str:
    if not story.known:
        return "nobody knows"
    return _brief(story.aspect, story.shows) or "nothing"


def _brief(aspect: Aspect, content: Mapping[str, Any] | None) -> str:
    """Content in a few words."""
    if not content:
        return ""
    if aspect is Aspect.STOCK:
        return str(content.get("quantity", ""))
    if aspect is Aspect.LISTING:
        return _cut(str(content.get("title", "")))
    sale = f", sale {_money(content['sale'])}" if content.get("sale") else ""
    return (_money(content["amount"]) if content.get("amount") else "") + sale


def _money(told: Mapping[str, Any]) -> str:
    return str(Money(told["minor"], told["currency"]))


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MOST else text[: MOST - 1] + "…"
