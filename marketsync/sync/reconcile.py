"""Reconcile: read the whole channel back, prove what was written, find what drifted, learn what is there.

On a channel that only observes, what is seen becomes what is acknowledged: the difference to desired is what adopting
it would change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from marketsync.adapter.api import ReadsOffers
from marketsync.adapter.content import Aspect, Seen
from marketsync.domain.content import ABSENT, UNKNOWN, content_hash, to_document
from marketsync.ledger import seen as seen_store
from marketsync.ledger.gateway import Rank
from marketsync.ledger.issues import IssueRow, close_issues, raise_issues
from marketsync.ledger.seen import SeenAspect, ShownOffer
from marketsync.ledger.types import micros
from marketsync.sync.live import House, LiveChannel

CHUNK = 500
STOCK = Aspect.STOCK


@dataclass(slots=True)
class ReconcileReport:
    """How many offers a reading found, and how they stand."""

    seen: int = 0
    proved: int = 0
    drifted: int = 0
    lower: int = 0  # stock seen lower than acknowledged: perhaps sold, the next order pull tells
    missing: int = 0
    unknown: int = 0
    unknown_skus: list[str] = field(default_factory=list)

    @property
    def totals(self) -> dict[str, int]:
        names = ("seen", "proved", "drifted", "lower", "missing", "unknown")
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True)
class _Reading:
    house: House
    channel: LiveChannel
    began: int  # µs
    observing: bool
    report: ReconcileReport = field(default_factory=ReconcileReport)

    @property
    def today(self) -> int:
        return self.began // 86_400_000_000


async def reconcile(
    house: House, channel: LiveChannel, *, observing: bool, skus: Sequence[str] | None = None
) -> ReconcileReport:
    """Read the channel (all of it, or some SKUs) and compare. Errors of the channel are raised."""
    assert isinstance(channel.adapter, ReadsOffers)
    reading = _Reading(house, channel, micros(house.clock.now()), observing)
    chunk: list[Seen] = []
    async for one in channel.adapter.offers(skus):
        chunk.append(one)
        if len(chunk) == CHUNK:
            await _keep(reading, chunk)
            chunk = []
    if chunk:
        await _keep(reading, chunk)
    if skus is None:
        await _missing(reading)
        await _tell_unknown(reading)
    return reading.report


async def _keep(reading: _Reading, chunk: Sequence[Seen]) -> None:
    house, channel = reading.house, reading.channel
    by_sku = {one.sku: one for one in chunk}

    def write(conn: Any) -> ReconcileReport:
        report = ReconcileReport(seen=len(by_sku))
        shown = seen_store.shown(conn, channel.id, sorted(by_sku))
        report.unknown_skus = [sku for sku in by_sku if sku not in shown]
        seen_store.found(
            conn,
            [
                (offer.id, by_sku[sku].channel_id, by_sku[sku].fulfilled_by)
                for sku, offer in shown.items()
                if (offer.remote_id, offer.fulfilled_by) != (by_sku[sku].channel_id, by_sku[sku].fulfilled_by)
                and not offer.open
            ],
        )
        aspects = [row for sku, offer in shown.items() for row in _compare(reading, offer, by_sku[sku], report)]
        seen_store.keep(conn, aspects, reading.began)
        return report

    report = await house.ledger.write(write, Rank.BULK)
    total = reading.report
    for name in ("seen", "proved", "drifted", "lower"):
        setattr(total, name, getattr(total, name) + getattr(report, name))
    total.unknown += len(report.unknown_skus)
    total.unknown_skus += report.unknown_skus[: 20 - len(total.unknown_skus)]


def _compare(reading: _Reading, offer: ShownOffer, seen: Seen, report: ReconcileReport) -> list[SeenAspect]:
    """What a reading says of one offer. Readings begun before the last answer, or beside an open op, do not count."""
    rows = []
    for aspect, content in ((Aspect.LISTING, seen.listing), (Aspect.PRICE, seen.price), (STOCK, seen.stock)):
        if content is None or offer.open:
            continue
        visible = micros_of(reading.channel.account.spec.visible_after)
        if (offer.acked_at[aspect] or 0) + visible > reading.began:
            continue
        observable = reading.channel.account.spec.observable.get(aspect, frozenset())
        row = _aspect(reading, offer, aspect, _restrict(to_document(content), observable), observable, report)
        if row is not None:
            rows.append(row)
    return rows


def _aspect(
    reading: _Reading,
    offer: ShownOffer,
    aspect: Aspect,
    document: dict[str, Any],
    observable: frozenset[str],
    report: ReconcileReport,
) -> SeenAspect | None:
    seen = content_hash(document, reading.channel.rules.versions[aspect])
    quantity = document.get("quantity") if aspect is STOCK else None
    taken = SeenAspect(offer.id, aspect, seen, False, seen, document, quantity, reading.began if aspect is STOCK else 0)
    if reading.observing or offer.acked[aspect] == ABSENT:
        same = _same(document, offer.desired_content[aspect], observable)
        acked = offer.desired[aspect] if same else seen
        return SeenAspect(offer.id, aspect, seen, same, acked, document, quantity, taken.basis)
    if offer.acked[aspect] == UNKNOWN:
        return None  # it is due anyway, and only a write that is answered ends that
    expected = offer.acked_content[aspect]
    if aspect is Aspect.LISTING:
        # Channels strip and reorder: the first reading after a confirmed write is what later ones must equal.
        fine = not offer.proved & 1 or offer.seen[aspect] == seen
    else:
        fine = _same(document, expected, observable)
    if fine:
        report.proved += 1
        return SeenAspect(offer.id, aspect, seen, True)
    if aspect is STOCK and quantity is not None and quantity < (offer.stock_quantity or 0):
        report.lower += 1
        return taken
    report.drifted += 1
    if offer.healed_on == reading.today:
        return SeenAspect(offer.id, aspect, seen, False)
    return SeenAspect(offer.id, aspect, seen, False, seen, document, quantity, taken.basis, heals_on=reading.today)


def _restrict(document: Mapping[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name in fields}


def _same(seen: Mapping[str, Any], expected: Mapping[str, Any] | None, observable: frozenset[str]) -> bool:
    return expected is not None and seen == _restrict(expected, observable)


def micros_of(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


async def _missing(reading: _Reading) -> None:
    """Offers that the channel does not show any more are created again, once the write had time to become visible."""
    house, channel = reading.house, reading.channel
    before = reading.began - micros_of(channel.account.spec.visible_after)
    while True:
        gone = await house.ledger.read(lambda conn: seen_store.missing(conn, channel.id, reading.began, before, CHUNK))
        if not gone:
            return
        reading.report.missing += len(gone)
        ids = [offer_id for offer_id, _ in gone]
        await house.ledger.write(lambda conn, ids=ids: seen_store.lost(conn, ids, reading.began), Rank.BULK)  # type: ignore[misc]


async def _tell_unknown(reading: _Reading) -> None:
    """Offers on the channel that are in no assortment: left alone, and told."""
    report, scope = reading.report, f"channel:{reading.channel.name}"
    now = micros(reading.house.clock.now())

    def tell(conn: Any) -> None:
        if not report.unknown:
            close_issues(conn, scope, "unknown_offers", None, now)
            return
        some = ", ".join(report.unknown_skus[:5])
        message = f"{report.unknown} offers on the channel are in no source or assortment, such as {some}"
        hint = "they are left as they are: add them to a source or to listing_map, or end them on the channel"
        raise_issues(conn, [IssueRow(scope, "unknown_offers", message, hint=hint)], now)

    await reading.house.ledger.write(tell)
