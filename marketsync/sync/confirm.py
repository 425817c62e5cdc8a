"""Confirm: ask what became of submissions, until the channel has said it or the spec's deadline has passed."""

from dataclasses import dataclass, field
from datetime import timedelta

from marketsync.adapter.api import ConfirmsPushes, Receipt
from marketsync.adapter.content import Aspect, PushOutcome, Result
from marketsync.adapter.errors import ItemRefused
from marketsync.ledger import offers, results
from marketsync.ledger.offers import OpenBatch
from marketsync.ledger.types import micros, moment
from marketsync.sync.live import House, LiveChannel
from marketsync.sync.push import RETRY_IN

MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class ConfirmReport:
    counts: dict[tuple[Aspect, Result], int] = field(default_factory=dict)
    again_in: float | None = None

    @property
    def totals(self) -> dict[str, int]:
        totals: dict[str, int] = {}
        for (_, result), count in self.counts.items():
            totals[result.value] = totals.get(result.value, 0) + count
        return totals


async def confirm(house: House, channel: LiveChannel) -> ConfirmReport:
    """Ask for every submission whose time has come. Errors of the channel are raised; what was told is kept."""
    report = ConfirmReport()
    now = micros(house.clock.now())
    for batch in await house.ledger.read(lambda conn: offers.open_receipts(conn, channel.id, now)):
        await _ask(house, channel, batch, report)
    ask = await house.ledger.read(lambda conn: offers.next_ask(conn, channel.id))
    if ask is not None:
        report.again_in = max(0.0, (ask - micros(house.clock.now())) / 1e6)
    return report


async def _ask(house: House, channel: LiveChannel, batch: OpenBatch, report: ConfirmReport) -> None:
    """Ask for one submission; an unanswered one is UNKNOWN once the deadline has passed, or when nobody knows it."""
    assert isinstance(channel.adapter, ConfirmsPushes)
    submitted = moment(batch.submitted)
    receipt = Receipt(token=batch.receipt, operation=batch.operation, submitted=submitted, ops=batch.ops)
    try:
        outcome = await channel.adapter.confirm(receipt)
    except ItemRefused:
        outcome = PushOutcome(results=())  # the channel does not know this submission (any more)
    now, spec = house.clock.now(), channel.account.spec
    late = now - submitted > spec.confirm_within
    request = results.ResultsRequest(
        batch_id=batch.id,
        channel=channel.name,
        results=[r for r in outcome.results if not (late and r.result is Result.SUBMITTED)],
        now=micros(now),
        retry_in=RETRY_IN,
        create_again_in=spec.visible_after // MICROSECOND,
        complete=late or outcome.receipt is None,
        receipt=outcome.receipt,
        ask_at=micros(now + outcome.ask_after),
        request_id=outcome.request_id,
    )
    counts = await house.ledger.write(lambda conn: results.apply_results(conn, request))
    counts = {key: count for key, count in counts.items() if key[1] is not Result.SUBMITTED}
    for key, count in counts.items():
        report.counts[key] = report.counts.get(key, 0) + count
    house.metrics.pushed(channel.name, counts)
