"""Explain: why an offer shows what it shows, from the source's row to what was read back, now or at an earlier time.

The figures are the engine's own: derive makes them once more, on a desk apart, and the steps are those of the domain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection

from marketsync.adapter.content import Aspect
from marketsync.domain.availability import StockRules, available, kit, shown
from marketsync.domain.content import ABSENT, UNKNOWN, item_document, price_from
from marketsync.domain.guards import effective
from marketsync.domain.pricing import Step, price
from marketsync.ledger import channels as channel_store
from marketsync.ledger import pins, prices
from marketsync.ledger.desired import Wanted
from marketsync.ledger.outbox import BITS, IN_RUN
from marketsync.ledger.prices import Period
from marketsync.ledger.queries import explain as query
from marketsync.ledger.queries.explain import HoldRow, OverrideRow, Sent, SourceSays
from marketsync.ledger.queries.spelling import when
from marketsync.sync.live import House, LiveChannel
from marketsync.sync.preview import Preview, preview

Document = Mapping[str, Any]
DUE, WAITS, PARKED = "due", "waits", "parked"


@dataclass(frozen=True, slots=True)
class Story:
    """One aspect. ``steps``: from the item to ``derived``, what derive makes now; ``desired``: what it has stored.

    ``not_yet``: why a change has not left yet. ``shows``: what the channel acknowledged. ``seen``: whether a later reading found that ("seen"), something else
    ("differs") or did not happen yet ("").
    """

    aspect: Aspect
    state: str
    not_yet: str = ""
    steps: tuple[Step, ...] = ()
    derived: Document | None = None
    desired: Document | None = None
    override: OverrideRow | None = None
    hold: HoldRow | None = None
    refused: tuple[str, str, datetime] | None = None
    sent: Sent | None = None
    known: bool = True
    shows: Document | None = None
    since: datetime | None = None
    seen: str = ""
    read: datetime | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """One SKU on one channel. ``excluded``: why it is not offered. ``not_kept``: what nobody can tell any more."""

    channel: str
    sku: str
    at: datetime
    item: Document | None
    components: Mapping[str, int]
    channel_id: str | None
    excluded: str | None
    sources: tuple[SourceSays, ...]
    overrides: tuple[OverrideRow, ...]
    stories: tuple[Story, ...]
    live: Period | None
    not_kept: tuple[str, ...] = field(default=())


def explain(conn: Connection, house: House, channel: LiveChannel, sku: str, at: datetime | None = None) -> Explanation:
    """Why the channel SKU ``sku`` shows what it shows; with ``at`` (aware UTC), what can be told of that time.

    Only reads. A SKU that the channel does not offer is explained too.
    """
    now = house.clock.now()
    row = query.offer(conn, channel.id, sku)
    made = preview(conn, channel.rules, sku, tuple(house.order), now)
    facts = Explanation(
        channel=channel.name,
        sku=sku,
        at=at or now,
        item=None if made.item is None else item_document(made.item),
        components={component.sku: component.quantity for component in made.components},
        channel_id=None if row is None else row["remote_id"],
        excluded=made.excluded,
        sources=tuple(query.sources(conn, _skus(sku, made), house.order, at or now)),
        overrides=tuple(query.overrides(conn, channel.name, sku, at or now)),
        stories=(),
        live=prices.live_at(conn, channel.id, sku, at or now),
    )
    if at is not None:
        return _past(conn, channel, facts, made, row, at)
    holds = query.holds(conn, channel.name, sku, now)
    stories = [_story(conn, house, channel, facts, made, row, holds, aspect) for aspect in Aspect]
    return replace(facts, stories=tuple(stories))


def _skus(sku: str, made: Preview) -> list[str]:
    return list(dict.fromkeys([sku, *(component.sku for component in made.components)]))


# ------------------------------------------------------------------ now


def _story(
    conn: Connection,
    house: House,
    channel: LiveChannel,
    facts: Explanation,
    made: Preview,
    row: Mapping[str, Any] | None,
    holds: Sequence[HoldRow],
    aspect: Aspect,
) -> Story:
    wanted: Wanted | None = getattr(made, aspect.value)
    override = _override(facts.overrides, aspect)
    story = Story(
        aspect=aspect,
        state="on no channel yet" if made.excluded is None else "not offered",
        steps=_steps(house, channel, made, aspect),
        derived=None if wanted is None else orjson.loads(wanted.content),
        override=override,
    )
    if row is None:
        return story
    acked, seen = bytes(row[f"{aspect}_acked"]), bytes(row[f"{aspect}_seen"])
    state = _state(channel, row, aspect)
    stale = wanted is not None and wanted.hash != bytes(row[f"{aspect}_desired"])
    return replace(
        story,
        state=state,
        not_yet=_not_yet(conn, channel, row, aspect) if state in (DUE, WAITS) else "",
        desired=row[f"{aspect}_content"],
        hold=_hold(holds, row, aspect),
        refused=query.refusal(conn, channel.name, facts.sku, aspect) if state == PARKED else None,
        sent=query.sent(conn, channel.id, row["id"], aspect, facts.at),
        known=acked != UNKNOWN,
        shows=row[f"{aspect}_acked_content"] if acked not in (UNKNOWN, ABSENT) else None,
        since=when(row[f"{aspect}_acked_at"]),
        seen=_seen(row, aspect, acked, seen),
        read=when(row["seen_at"]) if seen != ABSENT else None,
        notes=("what is stored is older: the next derive brings it in line",) if stale else (),
    )


def _override(overrides: Sequence[OverrideRow], aspect: Aspect) -> OverrideRow | None:
    """What fixes an aspect; what an undo put back wins over what a source fixes."""
    pin = next((one for one in overrides if one.field == pins.FIELDS.get(aspect)), None)
    if pin is None:
        return next((one for one in overrides if one.field in _OVERRIDES[aspect]), None)
    content = orjson.loads(pin.value)
    value = str(content.get("title", "")) if aspect is Aspect.LISTING else str(effective(price_from(content)))
    return replace(pin, field=f"{aspect} put back", value=value)


_OVERRIDES: Mapping[Aspect, frozenset[str]] = {
    Aspect.LISTING: frozenset({"title", "description", "brand", "category", "condition"}),
    Aspect.PRICE: frozenset({"price"}),
    Aspect.STOCK: frozenset({"stock", "sell"}),
}


def _is_parked(row: Mapping[str, Any], aspect: Aspect) -> bool:
    parked, desired = row[f"{aspect}_parked"], bytes(row[f"{aspect}_desired"])
    return parked is not None and bytes(parked) == desired and desired != bytes(row[f"{aspect}_acked"])


def _state(channel: LiveChannel, row: Mapping[str, Any], aspect: Aspect) -> str:
    """In one word or two, where the aspect stands."""
    bit = BITS[aspect]
    dirty = bytes(row[f"{aspect}_desired"]) != bytes(row[f"{aspect}_acked"])
    if not channel.rules.managed & bit:
        return "not written by marketsync"
    if row["open_batch"] is not None and row["open_aspects"] & bit:
        return "in flight"
    if row["held"] & bit:
        return "held"
    if row["held"] & bit << IN_RUN:
        return "waits for the verdict over its run"
    if _is_parked(row, aspect):
        return PARKED
    if not dirty:
        return "as it should be"
    return DUE if row["due_at"] is not None else WAITS


def _not_yet(conn: Connection, channel: LiveChannel, row: Mapping[str, Any], aspect: Aspect) -> str:
    """Why a change has not left yet, as far as the ledger tells; the limits of the channel are not in it."""
    state = channel_store.load(conn)[channel.name]
    if state.state != "active":
        return f"the channel is {state.state}" + (f": {state.why}" if state.why else "")
    if row["open_batch"] is not None:
        return "waits for the answer to what is on its way"
    if aspect is not Aspect.LISTING and row["remote_id"] is None:
        return "waits for its listing"
    raises = row["stock_quantity"] > (row["stock_acked_quantity"] or 0)
    if aspect is Aspect.STOCK and raises and bytes(row["price_desired"]) != bytes(row["price_acked"]):
        return "waits for its price: a restock never sells at an old one"
    if aspect is Aspect.STOCK and raises:
        return "waits for an order pull that began after the stock was read"
    due = when(row[f"{aspect}_due"])
    return f"waits for its schedule: {due:%Y-%m-%d %H:%M} UTC" if due is not None else ""


def _hold(holds: Sequence[HoldRow], row: Mapping[str, Any], aspect: Aspect) -> HoldRow | None:
    """The hold that stops it, else the last one that was decided. A first price holds the whole offer."""
    own = [hold for hold in holds if hold.aspect is aspect]
    whole = [hold for hold in holds if hold.state == "held"] if row["held"] & BITS[aspect] else []
    chosen = sorted(own + whole, key=lambda hold: (hold.state != "held", hold.aspect is not aspect, -hold.id))
    return chosen[0] if chosen else None


def _seen(row: Mapping[str, Any], aspect: Aspect, acked: bytes, seen: bytes) -> str:
    if row["seen_at"] is None or seen == ABSENT or row["seen_at"] < (row[f"{aspect}_acked_at"] or 0):
        return ""
    if row["proved"] & BITS[aspect]:
        return "seen"
    return "differs" if acked not in (UNKNOWN, seen) else ""


# ------------------------------------------------------------------ steps


def _steps(house: House, channel: LiveChannel, made: Preview, aspect: Aspect) -> tuple[Step, ...]:
    if aspect is Aspect.STOCK:
        return tuple(stock_steps(made, channel.rules.stock, channel.rules.spec.stock_bounds))
    if made.excluded is not None or made.item is None:
        return ()
    if aspect is Aspect.LISTING:
        return tuple(listing_steps(channel, made))
    assert house.config is not None
    if pins.FIELDS[Aspect.PRICE] in made.fixed:
        back = effective(price_from(orjson.loads(made.fixed[pins.FIELDS[Aspect.PRICE]])))
        return (Step("put back", str(back), "by an undo, until it is released: no rule is asked"),)
    if "price" in made.fixed:
        return (Step("override", made.fixed["price"], "fixed by a person: no rule is asked"),)
    outcome = price(made.item, channel.config.price, house.config.vat, house.config.rates, house.clock.now())
    return (*outcome.steps, Step("no price", "", outcome.problem)) if outcome.problem else outcome.steps


def stock_steps(made: Preview, rules: StockRules, bounds: tuple[int, int]) -> list[Step]:
    """From the pieces that lie somewhere to those that the channel shows; the last value is that figure."""
    steps, free = [], []
    for component in made.components:
        at = made.levels.get(component.sku, {})
        ours = {place: level for place, level in at.items() if not rules.locations or place in rules.locations}
        on_hand = {place: level.on_hand for place, level in ours.items()}
        reserved = {place: level.reserved for place, level in ours.items()}
        name = "" if len(made.components) == 1 else f"{component.sku} "
        steps.append(Step(f"{name}on hand", str(sum(on_hand.values())), _places(on_hand)))
        if any(reserved.values()):
            steps.append(Step(f"{name}reserved", f"-{sum(reserved.values())}", f"by orders: {_places(reserved)}"))
        if rules.buffer:
            steps.append(Step(f"{name}buffer", f"-{rules.buffer}", "kept back"))
        free.append((available(on_hand, reserved, rules), component.quantity))
        steps.append(Step(f"{name}available", str(free[-1][0]), "never below 0"))
    if len(free) > 1 or free[0][1] != 1:
        parts = " + ".join(f"{component.quantity} x {component.sku}" for component in made.components)
        steps.append(Step("kit", str(kit(free)), parts))
    if made.excluded is not None:
        return [*steps, Step("shown", "0", f"not offered: {made.excluded}")]
    return [*steps, *_showing(made, rules, bounds)]


def _showing(made: Preview, rules: StockRules, bounds: tuple[int, int]) -> list[Step]:
    pieces, steps = made.pieces, []
    part = shown(pieces, StockRules(percentage=rules.percentage), (0, pieces))
    if part != pieces:
        steps.append(Step("percentage", str(part), f"{rules.percentage} % of them"))
    most = shown(pieces, rules.model_copy(update={"minimum": 0}), (0, bounds[1]))
    if most != part:
        limit = bounds[1] if rules.show_at_most is None else min(rules.show_at_most, bounds[1])
        steps.append(Step("show at most", str(most), f"never more than {limit}"))
    ruled = shown(pieces, rules, bounds)
    if ruled != most:
        steps.append(Step("minimum", str(ruled), f"fewer than {max(rules.minimum, bounds[0])} are shown as none"))
    if "stock" in made.fixed:
        steps.append(Step("override", made.fixed["stock"], "fixed by a person; never more than there are"))
        ruled = made.quantity
    return [*steps, Step("shown", str(ruled), "")]


def _places(pieces: Mapping[str, int]) -> str:
    return ", ".join(f"{place} {count}" for place, count in sorted(pieces.items())) or "nobody told of any"


def listing_steps(channel: LiveChannel, made: Preview) -> list[Step]:
    """The fields that the channel's buyers read, each with the rule that made it."""
    rules, document = channel.config.listing, orjson.loads(made.listing.content) if made.listing else {}
    assert made.item is not None
    if pins.FIELDS[Aspect.LISTING] in made.fixed:
        return [Step("put back", document.get("title", ""), "by an undo, until it is released: no rule is asked")]
    steps = [
        Step("title", document.get("title", ""), f"template {rules.title}"),
        Step("description", document.get("description", ""), f"template {rules.description}"),
    ]
    if made.item.category or "category" in document:
        ours = f"ours: {made.item.category or 'none'}"
        steps.append(Step("category", document.get("category", ""), ours if rules.categories else ""))
    for name in ("attributes", "options", "images"):
        if document.get(name):
            told = ", ".join(document[name]) if name != "images" else f"{len(document[name])} pictures"
            steps.append(Step(name, told, ""))
    if "listing_problem" in made.problems:
        steps.append(Step("problem", "", made.problems["listing_problem"]))
    return steps


# ------------------------------------------------------------------ an earlier time


def _past(
    conn: Connection,
    channel: LiveChannel,
    facts: Explanation,
    made: Preview,
    row: Mapping[str, Any] | None,
    at: datetime,
) -> Explanation:
    """What the journal, the movements and the history of prices still tell of a moment."""
    not_kept = [
        "the rules and the sources' values of that time: only when they were read, what was sent and what was live"
    ]
    begins = query.journal_begins(conn)
    if begins is None or at < begins:
        not_kept.append(
            f"what was sent: the journal begins {begins:%Y-%m-%d %H:%M} UTC" if begins else "what was sent: no journal"
        )
    if facts.live is None:
        not_kept.append("the price: none was live then, or it was never acknowledged")
    holds = query.holds(conn, channel.name, facts.sku, at)
    stories = []
    for aspect in Aspect:
        sent = None if row is None else query.sent(conn, channel.id, row["id"], aspect, at)
        hold = next((one for one in holds if one.aspect is aspect), None)
        steps = _stock_then(conn, made, at, not_kept) if aspect is Aspect.STOCK else []
        notes: tuple[str, ...] = ()
        if aspect is Aspect.LISTING and sent is not None:
            notes = (_same_text(row, sent, not_kept),)
        stories.append(
            Story(aspect=aspect, state="then", steps=tuple(steps), sent=sent, hold=hold, known=False, notes=notes)
        )
    return replace(facts, item=None, excluded=None, overrides=(), stories=tuple(stories), not_kept=tuple(not_kept))


def _same_text(row: Mapping[str, Any] | None, sent: Sent, not_kept: list[str]) -> str:
    if row is not None and sent.hash == bytes(row["listing_acked"]):
        return "the text is the one that is live now"
    if row is not None and sent.hash == bytes(row["listing_desired"]):
        return "the text is the one that should be live now"
    not_kept.append("the text of that time: it has changed since, and of a listing only its hash is kept")
    return "the text was another one"


def _stock_then(conn: Connection, made: Preview, at: datetime, not_kept: list[str]) -> list[Step]:
    steps = []
    for component in made.components:
        for place, pieces in query.on_hand_at(conn, component.sku, at).items():
            name = f"{component.sku} on hand" if len(made.components) > 1 else "on hand"
            if pieces is None:
                not_kept.append(f"{component.sku} at {place}: its movements of that time are folded into one")
            else:
                steps.append(Step(name, str(pieces), place))
    if steps:
        not_kept.append("what was reserved then: reservations change where they stand")
    return steps
