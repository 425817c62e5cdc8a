"""Adopt: from watching a channel to writing to it. First the channel is read, so that nothing is created twice."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

from sqlalchemy import Connection

from marketsync.adapter.api import Adapter, ReadsOffers
from marketsync.adapter.content import Aspect
from marketsync.adapter.errors import MarketsyncError
from marketsync.ledger import channels as channel_store
from marketsync.ledger import holds, offers
from marketsync.ledger.gateway import Rank
from marketsync.ledger.holds import Stopped
from marketsync.ledger.outbox import BITS, mask
from marketsync.ledger.queries import adoption
from marketsync.ledger.queries.adoption import OpenOrders
from marketsync.ledger.types import micros
from marketsync.sync.live import House, LiveChannel
from marketsync.sync.matching import FEW, Matches, Witness, match
from marketsync.sync.reconcile import reconcile

CHUNK = 1000
TWIN = "twin"  # the guard that holds what may be there already


@dataclass(frozen=True, slots=True)
class AdoptReport:
    """What a channel shows beside what it should: who is who, what is not there, and which orders are open."""

    channel: str
    matches: Matches
    missing: int
    orders: OpenOrders
    missing_skus: Sequence[str] = field(default_factory=tuple)

    @property
    def matched(self) -> int:
        return self.matches.by_sku + self.matches.by_map


async def look(house: House, channel: str) -> AdoptReport:
    """Read a channel and tell how it stands beside what it should show; nothing is written to it.

    Raises MarketsyncError where there is no such channel, and the channel's own errors.
    """
    if channel not in house.channels:
        raise MarketsyncError(f"there is no channel {channel}: name one of {', '.join(sorted(house.channels))}")
    live = house.channels[channel]
    row = (await house.ledger.read(channel_store.load))[channel]
    matches = Matches()
    if isinstance(live.adapter, ReadsOffers):
        witness = Witness(live.adapter)
        watched = replace(live, adapter=cast("Adapter", witness))
        await reconcile(house, watched, observing=row.state == "observing")
        mapped = frozenset(live.config.listing_map)
        matches = await house.ledger.read(partial(match, channel_id=live.id, there=witness.there, mapped=mapped))
    return await house.ledger.read(partial(_report, house=house, channel=live, matches=matches))


def _report(conn: Connection, house: House, channel: LiveChannel, matches: Matches) -> AdoptReport:
    count, some = adoption.missing(conn, channel.id, FEW)
    orders = adoption.open_orders(conn, channel.id, channel.account.name, house.clock.now())
    return AdoptReport(channel.name, matches, count, orders, some)


async def adopt(house: House, channel: str, takes: frozenset[Aspect], *, commit: bool) -> AdoptReport:
    """Look at a channel; with ``commit`` it becomes active for the aspects in ``takes``. Raises as ``look`` does."""
    report = await look(house, channel)
    if commit:
        await take(house, report, takes)
    return report


async def take(house: House, report: AdoptReport, takes: frozenset[Aspect]) -> None:
    """After a look the channel becomes active for these aspects.

    What is perhaps there already under another SKU is held, so that it is not created a second time.
    """
    live, now = house.channels[report.channel], house.clock.now()

    def write(conn: Connection) -> None:
        hold_twins(conn, live, report, micros(now))
        channel_store.adopt(conn, live.name, mask(takes), now)

    await house.ledger.write(write)
    live.rules.take(mask(takes))
    await manage(house, live)


def hold_twins(conn: Connection, channel: LiveChannel, report: AdoptReport, now: int) -> None:
    """Hold the creation of what is perhaps there already. It is approved, or the listing map says who is who."""
    twins = report.matches.twins
    absent = adoption.absent(conn, channel.id, sorted(twins))
    stopped = [
        Stopped(
            offer_id, sku, Aspect.LISTING, BITS[Aspect.LISTING], twins[sku].encode(), TWIN,
            f"creating it would perhaps list it twice: {twins[sku]}",
        )
        for sku, offer_id in absent.items()
    ]  # fmt: skip
    holds.stop(conn, channel.name, stopped, now)


async def manage(house: House, channel: LiveChannel) -> int:
    """Let every offer of a channel know which of its aspects we write. Returns how many changed."""
    count = 0
    while True:
        some = await house.ledger.write(
            partial(offers.manage, channel_id=channel.id, managed=channel.rules.managed, limit=CHUNK), Rank.BULK
        )
        count += some
        if some < CHUNK:
            return count
