"""Deliver: orders that are paid and have an address go to the sinks, again in every revision, until each has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import orjson
from sqlalchemy import Connection

from marketsync.ledger.deliveries import Delivered, DeliveryRow, due_deliveries, next_delivery, record_deliveries
from marketsync.ledger.gateway import Rank
from marketsync.ledger.issues import IssueRow, close_issues, raise_issues
from marketsync.ledger.order_documents import OrderDocument, order_documents
from marketsync.ledger.types import micros, moment
from marketsync.ledger.vault import Vault
from marketsync.sinks.api import Sink, SinkError, SinkOrder
from marketsync.sync.live import House

AT_ONCE = 20  # deliveries between two commits: what a crash repeats at most
BACKOFF = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 3600))
REFUSED_AGAIN = timedelta(hours=6)  # a person has to look; nothing is dropped
IN_A_ROW = 3  # failures after which the sink counts as down for this run
REFUSED = "delivery_refused"


@dataclass(slots=True)
class DeliverReport:
    """What a run did. ``again_in``: seconds until something is due to the sink."""

    delivered: int = 0
    failed: int = 0
    refused: int = 0
    again_in: float | None = None
    error: str = ""  # of the last attempt that is to be repeated

    @property
    def totals(self) -> dict[str, int]:
        return {name: value for name in ("delivered", "failed", "refused") if (value := getattr(self, name))}


async def deliver(house: House, name: str, sink: Sink) -> DeliverReport:
    """Give a sink what is due to it. Raises LedgerError; what the sink says is in the report and tried again later."""
    report, in_a_row = DeliverReport(), 0
    while in_a_row < IN_A_ROW:
        rows, documents = await house.ledger.read(
            partial(_due, sink=name, now=house.clock.now(), vault=house.ledger.vault)
        )
        outcomes: list[Delivered] = []
        for row in rows:
            outcome = await _one(house, name, sink, row, documents[row.order_id])
            outcomes.append(outcome)
            in_a_row = in_a_row + 1 if outcome.error and not outcome.failed else 0
            if in_a_row >= IN_A_ROW:
                break
        if outcomes:
            names = {row.order_id: documents[row.order_id].channel_order_id for row in rows}
            await house.ledger.write(
                partial(_record, house=house, name=name, outcomes=outcomes, names=names), Rank.RESULTS
            )
            _count(report, outcomes)
        if len(rows) < AT_ONCE:
            break
    due = await house.ledger.read(partial(next_delivery, sink=name))
    if due is not None:
        report.again_in = max(0.5, (moment(due) - house.clock.now()).total_seconds())
    return report


def _due(
    conn: Connection, sink: str, now: datetime, vault: Vault
) -> tuple[Sequence[DeliveryRow], Mapping[int, OrderDocument]]:
    rows = due_deliveries(conn, sink, now, AT_ONCE)
    return rows, order_documents(conn, vault, [row.order_id for row in rows])


async def _one(house: House, name: str, sink: Sink, row: DeliveryRow, document: OrderDocument) -> Delivered:
    """One attempt. The document is the order's newest revision, whichever was asked for."""
    body = orjson.dumps(document.content, option=orjson.OPT_SORT_KEYS)
    order = SinkOrder(document.key, document.revision, document.channel, document.channel_order_id, body)
    began = house.clock.monotonic()
    try:
        await sink.deliver(order)
    except SinkError as error:
        house.metrics.delivered(name, "retry" if error.retryable else "refused", house.clock.monotonic() - began)
        wait = BACKOFF[min(row.attempts, len(BACKOFF) - 1)] if error.retryable else REFUSED_AGAIN
        again = house.clock.now() + wait
        return Delivered(row.order_id, document.revision, again, failed=not error.retryable, error=str(error))
    house.metrics.delivered(name, "delivered", house.clock.monotonic() - began)
    return Delivered(row.order_id, document.revision)


def _record(conn: Connection, house: House, name: str, outcomes: Sequence[Delivered], names: Mapping[int, str]) -> None:
    now = house.clock.now()
    record_deliveries(conn, name, outcomes, house.policy, now)
    hint = "correct what the sink refuses; the order is sent again in a few hours, or with its next revision"
    issues = [
        IssueRow(
            f"sink:{name}", REFUSED, f"{name} refuses order {names[outcome.order_id]}: {outcome.error}",
            sku=f"order:{names[outcome.order_id]}", hint=hint,
        )
        for outcome in outcomes if outcome.failed
    ]  # fmt: skip
    raise_issues(conn, issues, micros(now))
    arrived = [f"order:{names[outcome.order_id]}" for outcome in outcomes if outcome.retry_at is None]
    close_issues(conn, f"sink:{name}", REFUSED, arrived, micros(now))


def _count(report: DeliverReport, outcomes: Sequence[Delivered]) -> None:
    for outcome in outcomes:
        if outcome.retry_at is None:
            report.delivered += 1
        elif outcome.failed:
            report.refused += 1
        else:
            report.failed += 1
            report.error = outcome.error
