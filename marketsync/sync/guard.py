"""Guarding: what derive found out is held where a guard stops it, and a whole run where it changes too much at once.

While a run (a reading of a source, a change of rules) goes on, the prices and zeros that it brings wait for the verdict
over all of it. A sale is no run: what it changes leaves at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Connection, text

from marketsync.adapter.content import Aspect
from marketsync.adapter.money import Money
from marketsync.domain.content import ABSENT, price_from
from marketsync.domain.guards import (
    Guard,
    Trip,
    effective,
    header_trip,
    price_trip,
    share_trip,
    shrunk_trip,
    stale_trip,
    stock_trip,
)
from marketsync.ledger import holds
from marketsync.ledger.desired import Changes, StoredOffer, Wanted
from marketsync.ledger.gateway import Rank
from marketsync.ledger.holds import DAY, Fine, Stopped
from marketsync.ledger.outbox import BITS, IN_RUN
from marketsync.ledger.snapshots import Mark
from marketsync.ledger.sql import among, listed
from marketsync.ledger.types import Document, micros
from marketsync.sources.api import Snapshot
from marketsync.sync.live import House, LiveChannel, SourcePlan
from marketsync.sync.rules import ChannelRules

EVERYTHING = 7  # of an offer that was never on the channel: no listing without its price
AT_ONCE = 1000
RUNS = {
    Aspect.PRICE: (Guard.PRICES_MOVED, "change their price"),
    Aspect.STOCK: (Guard.ZEROED, "fall to zero or leave"),
}


@dataclass(slots=True)
class Firsts:
    """First prices of offers that were never on the channel: new ones that nothing can be compared with, by SKU, and
    held ones that have a cost or a reference by now.
    """

    groundless: dict[str, Wanted] = field(default_factory=dict)
    grounded: list[StoredOffer] = field(default_factory=list)

    @property
    def any(self) -> bool:
        return bool(self.groundless or self.grounded)


def watch(
    conn: Connection,
    rules: ChannelRules,
    stored: Iterable[StoredOffer],
    changes: Changes,
    firsts: Firsts,
    now: int,
    *,
    in_run: bool,
) -> None:
    """Hold what a guard stops of the changes that were just written for a channel, in the same transaction.

    Nothing is held while a channel observes: nothing leaves, and adopting it shows a person everything.
    """
    if not (changes.price or changes.stock or firsts.any) or not _adopted(conn, rules.channel_id):
        return
    by_id = {offer.id: offer for offer in stored}
    prices = [(by_id[offer_id], wanted) for offer_id, wanted in changes.price if by_id[offer_id].price_acked != ABSENT]
    stops = _prices(conn, rules, prices, now)
    stops += _first_prices(conn, rules, firsts.groundless)
    grounded = [Fine(offer.id, offer.sku, Aspect.PRICE, EVERYTHING) for offer in firsts.grounded]
    holds.let_go(conn, rules.name, grounded, now)
    jumps, zeros = _stocks(conn, rules, by_id, changes, in_run=in_run)
    holds.stop(conn, rules.name, [*stops, *jumps], now)
    _let_go(conn, rules.name, by_id, changes, {(one.offer_id, one.aspect) for one in [*stops, *jumps]}, now)
    if in_run:
        waiting = dict.fromkeys((offer.id for offer, _ in prices), BITS[Aspect.PRICE] << IN_RUN)
        for offer_id in zeros:
            waiting[offer_id] = waiting.get(offer_id, 0) | BITS[Aspect.STOCK] << IN_RUN
        holds.set_bits(conn, waiting)


def _adopted(conn: Connection, channel_id: int) -> bool:
    sql = text("SELECT adopted_at FROM channel WHERE id = :id")
    return conn.execute(sql, {"id": channel_id}).scalar() is not None


# ---------------------------------------------------------------------------------------------- prices


def _prices(
    conn: Connection, rules: ChannelRules, changed: list[tuple[StoredOffer, Wanted]], now: int
) -> list[Stopped]:
    """Prices that move too far from what was live a day ago, or was approved since."""
    before = _before(conn, rules, [offer.sku for offer, _ in changed], now) if changed else {}
    stops = []
    for offer, wanted in changed:
        price = price_from(orjson.loads(wanted.content))
        trip = price_trip(rules.guards, price, before.get(offer.sku), has_cost=True)
        if trip is not None:
            stops.append(_stopped(offer.id, offer.sku, Aspect.PRICE, BITS[Aspect.PRICE], wanted.hash, trip))
    return stops


def _before(conn: Connection, rules: ChannelRules, skus: list[str], now: int) -> dict[str, Money]:
    """What each price is compared with: approved within a day, else live a day ago, else acknowledged."""
    acknowledged = text(
        "SELECT sku, price_acked_content FROM offer WHERE channel_id = :channel AND price_acked_content IS NOT NULL"
        f" AND {among(conn, 'sku', 'skus')}"
    ).columns(price_acked_content=Document)
    values: dict[str, Any] = {"channel": rules.channel_id, "skus": listed(conn, skus)}
    found = {row[0]: effective(price_from(row[1])) for row in conn.execute(acknowledged, values)}
    at = "(SELECT {}(live_from) FROM price_history WHERE channel_id = h.channel_id AND sku = h.sku{})"
    day_ago = text(
        "SELECT sku, minor, currency, sale_minor FROM price_history h WHERE channel_id = :channel"
        f" AND {among(conn, 'sku', 'skus')} AND live_from = COALESCE("
        + at.format("MAX", " AND live_from <= :day_ago") + ", " + at.format("MIN", "") + ")"
    )  # fmt: skip
    for sku, minor, currency, sale in conn.execute(day_ago, {**values, "day_ago": now - DAY}):
        found[sku] = Money(minor if sale is None else min(minor, sale), currency)
    approved = holds.approved_prices(conn, rules.name, skus, now)
    return found | {sku: Money(minor, currency) for sku, (minor, currency) in approved.items()}


def _first_prices(conn: Connection, rules: ChannelRules, groundless: Mapping[str, Wanted]) -> list[Stopped]:
    """First prices without a cost or anything else to compare them with: the whole offer waits."""
    if not groundless or not rules.guards.no_reference:
        return []
    sql = f"SELECT id, sku FROM offer WHERE channel_id = :channel AND {among(conn, 'sku', 'skus')} ORDER BY id"
    values = {"channel": rules.channel_id, "skus": listed(conn, sorted(groundless))}
    stops = []
    for offer_id, sku in conn.execute(text(sql), values):
        wanted = groundless[sku]
        trip = price_trip(rules.guards, price_from(orjson.loads(wanted.content)), None, has_cost=False)
        if trip is not None:
            stops.append(_stopped(offer_id, sku, Aspect.PRICE, EVERYTHING, wanted.hash, trip))
    return stops


# ---------------------------------------------------------------------------------------------- stock


def _stocks(
    conn: Connection, rules: ChannelRules, by_id: Mapping[int, StoredOffer], changes: Changes, *, in_run: bool
) -> tuple[list[Stopped], list[int]]:
    """Quantities that jump, and offers that a run takes to zero."""
    rows = [row for row in changes.stock if row[2] > 100 or (in_run and row[2] == 0)]
    if not rows:
        return [], []
    sql = f"SELECT id, stock_acked_quantity FROM offer WHERE {among(conn, 'id', 'ids')}"
    ids = {"ids": listed(conn, [row[0] for row in rows])}
    shown: dict[int, int | None] = {row[0]: row[1] for row in conn.execute(text(sql), ids)}
    jumps = []
    for offer_id, wanted, quantity, _ in rows:
        trip = stock_trip(rules.guards, quantity, shown[offer_id])
        if trip is not None:
            sku = by_id[offer_id].sku
            jumps.append(_stopped(offer_id, sku, Aspect.STOCK, BITS[Aspect.STOCK], wanted.hash, trip))
    return jumps, [offer_id for offer_id, _, quantity, _ in rows if quantity == 0 and shown[offer_id]]


def _stopped(offer_id: int, sku: str, aspect: Aspect, bits: int, cause: bytes, trip: Trip) -> Stopped:
    return Stopped(offer_id, sku, aspect, bits, cause, trip.guard.value, trip.message, trip.details)


def _let_go(
    conn: Connection,
    channel: str,
    by_id: Mapping[int, StoredOffer],
    changes: Changes,
    stopped: set[tuple[int, Aspect]],
    now: int,
) -> None:
    """What was held, changed again, and trips no guard any more."""
    changed = [(offer_id, Aspect.PRICE) for offer_id, _ in changes.price]
    changed += [(row[0], Aspect.STOCK) for row in changes.stock]
    for aspect in (Aspect.PRICE, Aspect.STOCK):
        fine = [
            Fine(offer_id, by_id[offer_id].sku, aspect, BITS[aspect])
            for offer_id, of in changed
            if of is aspect and (offer_id, aspect) not in stopped
            if by_id[offer_id].held & BITS[aspect] and by_id[offer_id].held & EVERYTHING != EVERYTHING
        ]
        holds.let_go(conn, channel, fine, now)


# ---------------------------------------------------------------------------------------------- runs


def stop_snapshot(
    conn: Connection, plan: SourcePlan, snapshot: Snapshot, rows: int, before: Mark | None, now: int
) -> str:
    """Hold a whole reading of a source that a guard stops. Returns why, "" where it may be applied.

    Approved once, this very snapshot passes.
    """
    guards = plan.guards
    trips: dict[Guard, Trip | None] = {
        Guard.SHRUNK: shrunk_trip(guards.shrunk, rows, before.rows) if before else None,
        Guard.HEADER: header_trip(snapshot.header, before.header) if before and guards.header else None,
        Guard.STALE: stale_trip(snapshot.read - snapshot.exported, plan.max_age) if guards.stale else None,
    }
    reasons = []
    for guard, trip in trips.items():
        if trip is None:
            holds.expire_whole(conn, guard.value, now, source=plan.name)
            continue
        cause = snapshot.checksum.encode()
        state = holds.stop_whole(conn, guard.value, trip.message, trip.details, cause, now, source=plan.name)
        if state != "approved":
            reasons.append(trip.message)
    return "; ".join(reasons)


async def judge(house: House) -> dict[str, int]:
    """The verdict over a run that has ended: what waited for it leaves, or is held. Returns offers held by channel.

    While another run goes on, nothing is judged: that one's end judges both.
    """
    if house.runs:
        return {}
    unjudged, held = await house.ledger.read(holds.unjudged), dict[str, int]()
    for channel in [channel for channel in house.channels.values() if channel.id in unjudged]:
        for aspect in RUNS:
            waiting = await house.ledger.write(
                partial(_verdict, channel=channel, aspect=aspect, house=house), Rank.RESULTS
            )
            if waiting:
                held[channel.name] = held.get(channel.name, 0) + waiting
                house.log.warning("a run is held", channel=channel.name, aspect=aspect.value, offers=waiting)
                continue
            while await house.ledger.write(
                partial(holds.let_run_go, channel_id=channel.id, aspect=aspect, limit=AT_ONCE), Rank.BULK
            ):
                pass
    return held


def _verdict(conn: Connection, channel: LiveChannel, aspect: Aspect, house: House) -> int:
    """How many offers of a channel stay held by the verdict over their run; 0: they may leave."""
    guard, what = RUNS[aspect]
    rules, now = channel.rules.guards, micros(house.clock.now())
    waiting, of, cause = holds.in_run(conn, channel.id, aspect)
    limit = rules.prices_moved if guard is Guard.PRICES_MOVED else rules.zeroed
    trip = share_trip(guard, limit, waiting, of, what) if waiting else None
    if trip is None:
        holds.expire_whole(conn, guard.value, now, channel=channel.name)
        return 0
    state = holds.stop_whole(
        conn, guard.value, trip.message, trip.details, cause, now, channel=channel.name, aspect=aspect
    )
    return 0 if state == "approved" else waiting
