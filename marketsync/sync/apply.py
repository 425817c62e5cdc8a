"""Apply a plan: exactly the changes in it leave, and none whose offer changed since it was made."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, text

from marketsync.adapter.api import ConfirmsPushes, PushesOffers
from marketsync.adapter.content import Aspect
from marketsync.adapter.errors import AdapterError, MarketsyncError
from marketsync.domain.content import ABSENT
from marketsync.ledger import channels as channel_store
from marketsync.ledger import offers
from marketsync.ledger.outbox import BITS
from marketsync.ledger.sql import among, listed
from marketsync.ledger.types import micros
from marketsync.sync.confirm import confirm
from marketsync.sync.live import House, LiveChannel
from marketsync.sync.plan_file import PlanFile, PlannedChange
from marketsync.sync.push import push, recover

CHUNK = 2_000
PATIENCE = 600.0  # seconds that applying waits for limits, in all


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one planned change: sent, in flight, changed, refused, or waits."""

    channel: str
    sku: str
    aspect: Aspect
    outcome: str
    why: str = ""


@dataclass(slots=True)
class ApplyReport:
    """``counts`` by outcome; ``left``: every change that was not sent, with the reason; ``error``: the channel's own."""

    counts: dict[str, int] = field(default_factory=dict)
    left: list[Outcome] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        for one in outcomes:
            self.counts[one.outcome] = self.counts.get(one.outcome, 0) + 1
            if one.outcome != "sent":
                self.left.append(one)


Hashes = Mapping[Aspect, tuple[bytes, bytes]]  # of the planned aspects: desired, shown


async def apply(house: House, plan: PlanFile, advance: Callable[[int], None] = lambda _changes: None) -> ApplyReport:
    """Push what a plan says and nothing else. The house owns its ledger: no daemon runs on it.

    Raises MarketsyncError for a channel that is not there.
    """
    report = ApplyReport()
    by_channel: dict[str, list[PlannedChange]] = {}
    for change in plan.changes:
        if not change.waits:
            by_channel.setdefault(change.channel, []).append(change)
    for name in by_channel:
        if name not in house.channels:
            raise MarketsyncError(f"the plan is for a channel {name}: there are {', '.join(sorted(house.channels))}")
    patience = PATIENCE
    rows = await house.ledger.read(channel_store.load)
    for name, changes in by_channel.items():
        channel = house.channels[name]
        if rows[name].state != "active" or not isinstance(channel.adapter, PushesOffers):
            why = f"the channel is {rows[name].state}"
            report.add(Outcome(name, one.sku, one.aspect, "waits", why) for one in changes)
            continue
        await recover(house, channel)
        planned = _planned(changes)
        for skus in _chunks(changes):
            patience, error = await _push(house, channel, planned, skus, patience)
            outcomes = await house.ledger.read(partial(_outcomes, channel=channel, planned=planned, skus=skus))
            report.add(outcomes)
            advance(len(outcomes))
            if error is not None:
                report.errors[name] = str(error)
    return report


def _planned(changes: Iterable[PlannedChange]) -> dict[str, dict[Aspect, tuple[bytes, bytes]]]:
    planned: dict[str, dict[Aspect, tuple[bytes, bytes]]] = {}
    for one in changes:
        planned.setdefault(one.sku, {})[one.aspect] = bytes.fromhex(one.desired), bytes.fromhex(one.shown)
    return planned


def _chunks(changes: Sequence[PlannedChange]) -> Iterable[list[str]]:
    """SKUs, some at a time; those first whose stock or listing goes, as a push would."""
    first = dict.fromkeys(one.sku for one in changes if one.action == "withdraw")
    first |= dict.fromkeys(one.sku for one in changes if one.aspect is Aspect.STOCK)
    order = list(first | dict.fromkeys(one.sku for one in changes))
    return [order[n : n + CHUNK] for n in range(0, len(order), CHUNK)]


async def _push(
    house: House, channel: LiveChannel, planned: Mapping[str, Hashes], skus: list[str], patience: float
) -> tuple[float, AdapterError | None]:
    """Push these SKUs until only what is refused is left. Returns the patience that remains, and what stopped it."""

    def allowed(row: Row[Any]) -> int:
        return _allowed(row, planned.get(row.sku, {}))

    while True:
        fine = await house.ledger.read(partial(_unchanged, channel_id=channel.id, planned=planned, skus=skus))
        wait = None
        if fine:
            report = await push(house, channel, skus=fine, allowed=allowed)
            if report.error is not None:
                return patience, report.error
            wait = report.again_in
        ask = await house.ledger.read(partial(_next_ask, channel=channel, skus=skus, now=house.clock.now()))
        wait = min((one for one in (wait, ask) if one is not None), default=None)
        if wait is None or wait > patience:
            return patience, None
        patience -= wait
        await house.clock.sleep(wait)
        if ask is not None:
            try:
                await confirm(house, channel)
            except AdapterError as error:
                return patience, error


def _next_ask(conn: Connection, channel: LiveChannel, skus: Sequence[str], now: datetime) -> float | None:
    """Seconds until the channel may be asked what became of these offers; None where none of them is in flight."""
    if not isinstance(channel.adapter, ConfirmsPushes):
        return None
    if not any(row.open_batch for row in _rows(conn, channel.id, skus).values()):
        return None
    ask = offers.next_ask(conn, channel.id)
    return None if ask is None else max(0.01, (ask - micros(now)) / 1e6)


def _allowed(row: Row[Any], hashes: Hashes) -> int:
    """The bits that a plan allows of an offer: all that it planned, or none where one of them is not as it was."""
    bits = 0
    for aspect, (desired, shown) in hashes.items():
        acked = bytes(getattr(row, f"{aspect}_acked"))
        if bytes(getattr(row, f"{aspect}_desired")) != desired or acked not in (shown, desired):
            return 0
        bits |= BITS[aspect]
    return bits


_NOW = ", ".join(f"{aspect}_{column}" for aspect in Aspect for column in ("desired", "acked", "parked"))


def _rows(conn: Connection, channel_id: int, skus: Sequence[str]) -> dict[str, Row[Any]]:
    sql = f"SELECT sku, open_batch, {_NOW} FROM offer WHERE channel_id = :channel AND {among(conn, 'sku', 'skus')}"
    return {row.sku: row for row in conn.execute(text(sql), {"channel": channel_id, "skus": listed(conn, skus)})}


def _unchanged(conn: Connection, channel_id: int, planned: Mapping[str, Hashes], skus: Sequence[str]) -> list[str]:
    rows = _rows(conn, channel_id, skus)
    return [sku for sku in skus if sku in rows and _allowed(rows[sku], planned[sku])]


def _outcomes(
    conn: Connection, channel: LiveChannel, planned: Mapping[str, Hashes], skus: Sequence[str]
) -> list[Outcome]:
    rows = _rows(conn, channel.id, skus)
    return [
        Outcome(channel.name, sku, aspect, *_outcome(rows.get(sku), aspect, *hashes))
        for sku in skus
        for aspect, hashes in planned[sku].items()
    ]


def _outcome(row: Row[Any] | None, aspect: Aspect, desired: bytes, shown: bytes) -> tuple[str, str]:
    if row is None:
        return "changed", "there is no such offer any more"
    acked = bytes(getattr(row, f"{aspect}_acked"))
    if acked == desired:
        return "sent", ""
    if bytes(getattr(row, f"{aspect}_desired")) != desired:
        return "changed", "it should show something else by now"
    if row.open_batch is not None:
        return "in flight", "the channel has not answered yet"
    parked = getattr(row, f"{aspect}_parked")
    if parked is not None and bytes(parked) == desired:
        return "refused", "the channel refused it: see `marketsync issues`"
    if acked != shown:
        return (
            "changed",
            "the channel shows nothing any more" if acked == ABSENT else "the channel shows something else by now",
        )
    return "waits", "it was not sent: another change of this offer is not as planned, or it waits for its turn"
