"""Undo: prices and texts put back as they were live before a run or a moment, and kept so until a person releases them.

Never a stock figure: it would resurrect pieces that were sold. What was live is what channels acknowledged; of a text
only the last one is kept, so that it can be put back only while the newer one has not arrived.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row

from marketsync.adapter.content import Aspect, Price
from marketsync.adapter.errors import MarketsyncError
from marketsync.adapter.money import Money
from marketsync.domain.content import ABSENT, UNKNOWN, price_from, to_document
from marketsync.domain.guards import Guard, effective
from marketsync.ledger import desired, holds, pins
from marketsync.ledger import items as item_store
from marketsync.ledger.desired import Changes, Wanted, wanted
from marketsync.ledger.gateway import Rank
from marketsync.ledger.holds import Stopped
from marketsync.ledger.outbox import BITS, held
from marketsync.ledger.pins import Pin
from marketsync.ledger.queries import undo as query
from marketsync.ledger.queries.undo import Chosen, Run
from marketsync.ledger.sql import alone
from marketsync.ledger.types import micros, moment
from marketsync.sync.derive import derive_items
from marketsync.sync.live import House, LiveChannel

AT_ONCE = 500  # offers per transaction
GONE = "it is not on the channel any more: what left the assortment has to come back into it"
NEW = "it had no price on the channel then: nothing was live that could come back"
TEXT = "the text of then is not kept: of a text only the last one that the channel took is"
PINNED = "it is put back already: release it, or name a time with --before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person wants undone: everything of a run, or of some offers since ``before`` (aware UTC).

    Without ``before``: of a channel its last run that sent prices or texts, of single SKUs the last change of the price.
    """

    run: int | None = None
    channel: str | None = None
    skus: tuple[str, ...] | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """One aspect of one offer. ``shows``: what the channel acknowledged; ``would``: what it would show without an undo.

    ``back``: what it gets, live from ``live_from`` on; prices as a buyer pays them, None of texts and of what nobody
    knows. ``why``: why it cannot be put back, "" where it can.
    """

    channel: str
    offer_id: int
    sku: str
    aspect: Aspect
    shows: Money | None = None
    would: Money | None = None
    back: Money | None = None
    live_from: datetime | None = None
    why: str = ""
    content: Wanted | None = None
    instead_of: bytes = ABSENT


@dataclass(frozen=True, slots=True)
class Found:
    """What an undo comes to. ``since``: as it was before this moment; None: before each price's last change."""

    back: tuple[PutBack, ...]
    left: tuple[PutBack, ...]
    since: datetime | None
    run: Run | None


# ---------------------------------------------------------------------------------------------- looking


def look(conn: Connection, house: House, asked: Asked) -> Found:
    """What an undo would put back, and what cannot be; nothing is written.

    Raises MarketsyncError for a run or a channel that is not there, or of which the journal tells nothing any more.
    """
    if asked.channel is not None and asked.channel not in house.channels:
        raise MarketsyncError(f"there is no channel {asked.channel}: there are {', '.join(sorted(house.channels))}")
    run = _run(conn, house, asked)
    before = asked.before if run is None else run.started
    sent = query.sent_by(conn, run) if run is not None and run.task == "push" else None
    if sent is not None and not sent:
        assert run is not None
        raise MarketsyncError(
            f"run {run.id} sent nothing, or what it sent is not kept any more: use --channel with --before"
        )
    # Asked without a run or time, a second undo would bring back what the first one took away.
    latest = asked.run is None and asked.before is None
    bits = BITS[Aspect.PRICE] if before is None else BITS[Aspect.PRICE] | BITS[Aspect.LISTING]
    found: list[PutBack] = []
    for channel in _channels(house, asked, run):
        chosen = Chosen(
            None if before is None else micros(before),
            asked.skus if sent is None else None,
            run.owner.removeprefix("source:") if run is not None and run.owner.startswith("source:") else None,
            None if sent is None else tuple(sorted(sent)),
        )
        for row in query.rows(conn, channel.id, channel.name, chosen):
            if asked.skus is None or row.sku in asked.skus or row.item_sku in asked.skus:
                found += (
                    replace(one, why=PINNED) if latest and row.pinned and not one.why else one
                    for one in _of_offer(channel, row, bits if sent is None else bits & sent[row.id], house.clock.now())
                )
    if asked.skus is not None:
        _check_skus(conn, house, asked.skus)
    can = tuple(one for one in found if not one.why)
    return Found(can, tuple(one for one in found if one.why), before, run)


def _check_skus(conn: Connection, house: House, skus: tuple[str, ...]) -> None:
    known = query.known_skus(conn, [channel.id for channel in house.channels.values()], skus)
    if missing := [sku for sku in skus if sku not in known]:
        raise MarketsyncError(
            f"there is no offer {', '.join(missing)}: check the SKU, as the channel or the item has it"
        )


def _run(conn: Connection, house: House, asked: Asked) -> Run | None:
    number = asked.run
    if number is None and asked.channel is not None and asked.skus is None and asked.before is None:
        number = query.last_push(conn, house.channels[asked.channel].id)
        if number is None:
            raise MarketsyncError(f"no run that sent prices or texts to {asked.channel} is kept: name --before")
    if number is None:
        return None
    run = query.run(conn, number)
    if run is None:
        raise MarketsyncError(f"there is no run {number}: `marketsync runs` lists them")
    if run.task not in {"push", "ingest", "derive"}:
        raise MarketsyncError(f"run {number} is {run.task} of {run.owner}: it changed no prices and no texts")
    return run


def _channels(house: House, asked: Asked, run: Run | None) -> list[LiveChannel]:
    """The channels that a run, or else what was asked for, is about."""
    of_run = run.owner.removeprefix("channel:") if run is not None and run.owner.startswith("channel:") else None
    names = {name for name in (asked.channel, of_run) if name is not None} or set(house.channels)
    if missing := sorted(names - house.channels.keys()):
        raise MarketsyncError(f"{missing[0]} is not in the configuration any more: its rules are not known")
    if len(names) > 1 and of_run is not None:
        raise MarketsyncError(f"that run is one of {of_run}, not of {asked.channel}")
    return [house.channels[name] for name in sorted(names)]


def _of_offer(channel: LiveChannel, row: Row[Any], bits: int, now: datetime) -> Iterator[PutBack]:
    if ABSENT in (bytes(row.price_desired), bytes(row.price_acked)):
        if bytes(row.listing_acked) != ABSENT or row.minor is not None:
            yield PutBack(channel=channel.name, offer_id=row.id, sku=row.sku, aspect=Aspect.LISTING, why=GONE)
        return
    managed = channel.rules.managed & bits
    if managed & BITS[Aspect.PRICE]:
        yield from _price(channel, row, now)
    if managed & BITS[Aspect.LISTING] and row.minor is not None:
        yield from _text(channel, row)


def _price(channel: LiveChannel, row: Row[Any], now: datetime) -> Iterator[PutBack]:
    would = price_from(row.price_content)
    unknown = bytes(row.price_acked) == UNKNOWN or not row.price_acked_content
    told: dict[str, Any] = {
        "channel": channel.name, "offer_id": row.id, "sku": row.sku, "aspect": Aspect.PRICE,
        "shows": None if unknown else effective(price_from(row.price_acked_content)), "would": effective(would),
        "instead_of": bytes(row.price_desired),
    }  # fmt: skip
    if row.minor is None or (row.ended_at is not None and row.ended_at < row.before_us):
        yield PutBack(**told, why=NEW)
        return
    price = _was(row, would, now)
    content = wanted(to_document(price), channel.rules.versions[Aspect.PRICE])
    if content.hash == bytes(row.price_desired) and not row.held & held(Aspect.PRICE):
        return
    told |= {"back": effective(price), "live_from": moment(row.live_from)}
    yield PutBack(**told, content=content)


def _was(row: Row[Any], would: Price, now: datetime) -> Price:
    """The price of then. Its struck-through price is not kept: the one of now stays where it is above."""
    sale = None if row.sale_minor is None else Money(row.sale_minor, row.currency)
    ends = None if row.sale_until is None else moment(row.sale_until)
    if ends is not None and ends <= now:
        sale = None
    amount, reference = Money(row.minor, row.currency), would.reference
    above = reference is not None and reference.currency == amount.currency and reference.minor > amount.minor
    starts = None if sale is None or row.sale_from is None else moment(row.sale_from)
    return Price(
        amount=amount, gross=would.gross, sale=sale, sale_starts=starts, sale_ends=ends if sale is not None else None,
        reference=reference if above else None,
    )  # fmt: skip


def _text(channel: LiveChannel, row: Row[Any]) -> Iterator[PutBack]:
    told: dict[str, Any] = {"channel": channel.name, "offer_id": row.id, "sku": row.sku, "aspect": Aspect.LISTING}
    later = row.listing_acked_at is not None and row.listing_acked_at >= row.before_us
    if bytes(row.listing_desired) == bytes(row.listing_acked) or later or not row.listing_acked_content:
        if later:
            yield PutBack(**told, why=TEXT)
        return
    content = wanted(row.listing_acked_content, channel.rules.versions[Aspect.LISTING])
    if content.hash != bytes(row.listing_desired):
        yield PutBack(**told, content=content, instead_of=bytes(row.listing_desired))


# ---------------------------------------------------------------------------------------------- writing


async def put_back(
    house: House, chosen: Sequence[PutBack], who: str, reason: str, advance: Callable[[int], None] = lambda _n: None
) -> int:
    """Pin what was looked at, and let it leave: a person decided it, so no guard holds it. Returns how many aspects.

    What changed since it was looked at stays as it is. Nothing but prices and texts is written.
    """
    done = 0
    for channel in [house.channels[name] for name in sorted({one.channel for one in chosen})]:
        own = [one for one in chosen if one.channel == channel.name]
        for start in range(0, len(own), AT_ONCE):
            part = own[start : start + AT_ONCE]
            done += await house.ledger.write(
                partial(_put, channel=channel, chosen=part, who=who, reason=reason, now=house.clock.now()), Rank.RESULTS
            )
            advance(len(part))
    return done


def _put(
    conn: Connection, channel: LiveChannel, chosen: Sequence[PutBack], who: str, reason: str, now: datetime
) -> int:
    alone(conn)
    rules, at, changes = channel.rules, micros(now), Changes()
    stored = {one.id: one for one in desired.stored(conn, channel.id, sorted({one.sku for one in chosen})).values()}
    granted, pinned = list[Stopped](), list[tuple[str, Aspect, str]]()
    for one in chosen:
        offer = stored.get(one.offer_id)
        if offer is None or one.content is None or getattr(offer, one.aspect.value) != one.instead_of:
            continue
        pinned.append((one.sku, one.aspect, one.content.content))
        if one.aspect is Aspect.LISTING:
            changes.listing.append((one.offer_id, one.content))
            continue
        changes.price.append((one.offer_id, one.content))
        granted.append(_granted(one, one.content))
    pins.put(conn, channel.name, pinned, who, reason, at)
    desired.write(conn, channel.id, rules.managed, changes, rules.dues_now(now), at)
    holds.grant(conn, channel.name, granted, who, reason, at)
    return len(pinned)


def _granted(one: PutBack, content: Wanted) -> Stopped:
    assert one.back is not None
    numbers = {"old": one.shows.minor if one.shows else None, "new": one.back.minor, "currency": one.back.currency}
    message = f"put back from {one.shows or 'an unknown price'} to {one.back}"
    bits = BITS[Aspect.PRICE]
    return Stopped(one.offer_id, one.sku, one.aspect, bits, content.hash, Guard.PRICE_CHANGE.value, message, numbers)


# ---------------------------------------------------------------------------------------------- releasing


async def release(house: House, chosen: Sequence[Pin]) -> None:
    """Unpin, and derive from source and rules again. What that changes passes the guards like every change."""
    for name in sorted({pin.channel for pin in chosen}):
        own = [pin for pin in chosen if pin.channel == name]
        for start in range(0, len(own), AT_ONCE):
            part = own[start : start + AT_ONCE]
            await house.ledger.write(partial(_release, house=house, name=name, chosen=part), Rank.RESULTS)


def _release(conn: Connection, house: House, name: str, chosen: Sequence[Pin]) -> None:
    alone(conn)
    pins.remove(conn, name, chosen)
    channel = house.channels.get(name)
    if channel is None:  # nothing is sent to a channel that the configuration does not name
        return
    mapped = channel.rules.listing_map
    skus = {pin.sku for pin in chosen} | {part.sku for pin in chosen for part in mapped.components(pin.sku)}
    found = item_store.load(conn, sorted(skus), house.order)
    derive_items(conn, [channel.rules], found.values(), (), house.order, house.clock.now())
