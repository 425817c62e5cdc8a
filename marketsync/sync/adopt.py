"""Adopt: from watching a channel to writing to it. First the channel is read, so that nothing is created twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, text

from marketsync.adapter.api import ReadsOffers
from marketsync.adapter.content import Aspect
from marketsync.adapter.errors import MarketsyncError
from marketsync.ledger import channels as channel_store
from marketsync.ledger import offers
from marketsync.ledger.gateway import Rank
from marketsync.ledger.outbox import BITS, mask
from marketsync.sync.live import House, LiveChannel
from marketsync.sync.reconcile import reconcile

CHUNK = 1000


@dataclass(frozen=True, slots=True)
class AdoptReport:
    """What a channel shows beside what it should. ``changes``: offers that pushing would change, by aspect."""

    channel: str
    matched: int
    unknown: int
    missing: int
    changes: Mapping[Aspect, int]
    open_orders: int


async def adopt(house: House, channel: str, takes: frozenset[Aspect], *, commit: bool) -> AdoptReport:
    """Read the channel and report; with ``commit`` it becomes active for the aspects in ``takes``.

    Raises MarketsyncError where there is no such channel, and the channel's own errors.
    """
    if channel not in house.channels:
        raise MarketsyncError(f"there is no channel {channel}: name one of {', '.join(sorted(house.channels))}")
    live = house.channels[channel]
    unknown = 0
    row = (await house.ledger.read(channel_store.load))[channel]
    if isinstance(live.adapter, ReadsOffers):
        unknown = (await reconcile(house, live, observing=row.state == "observing")).unknown
    report = await house.ledger.read(partial(_report, channel=live, unknown=unknown))
    if commit:
        now = house.clock.now()
        await house.ledger.write(partial(channel_store.adopt, name=channel, takes=mask(takes), now=now))
        live.rules.take(mask(takes))
        await manage(house, live)
    return report


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


def _report(conn: Connection, channel: LiveChannel, unknown: int) -> AdoptReport:
    values = {"channel": channel.id}
    counts = ", ".join(
        f"COALESCE(SUM(CASE WHEN (managed & {bit}) <> 0 AND {aspect}_desired <> {aspect}_acked THEN 1 ELSE 0 END), 0)"
        for aspect, bit in BITS.items()
    )
    row = conn.execute(
        text(
            "SELECT COALESCE(SUM(CASE WHEN remote_id IS NOT NULL THEN 1 ELSE 0 END), 0),"
            f" COALESCE(SUM(CASE WHEN remote_id IS NULL THEN 1 ELSE 0 END), 0), {counts}"
            " FROM offer WHERE channel_id = :channel"
        ),
        values,
    ).one()
    orders = conn.execute(
        text(
            "SELECT COUNT(*) FROM sales_order WHERE channel_id = :channel AND fulfilment IN ('open', 'partly_shipped')"
        ),
        values,
    ).scalar_one()
    return AdoptReport(
        channel.name, int(row[0]), unknown, int(row[1]), dict(zip(BITS, map(int, row[2:]), strict=True)), orders
    )
