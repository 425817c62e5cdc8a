"""Push: what is due leaves, full batches through the best door, the most urgent first.

A slot of the limits is granted -> a full batch is claimed -> the intent is committed -> the adapter sends -> the
results are committed. A crash anywhere leaves a batch without an answer: what it carried is UNKNOWN and sent again.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row

from marketsync.adapter.api import PushesOffers, ReadsOffers
from marketsync.adapter.content import Aspect, OfferOp, PushOutcome, PushResult, Result
from marketsync.adapter.errors import (
    AdapterError,
    ChannelBlocked,
    ItemRefused,
    OutcomeUnknown,
    QuotaSpent,
    RateLimited,
    Retryable,
    UnexpectedReply,
)
from marketsync.domain.content import listing_from, price_from, stock_from
from marketsync.ledger import claims, offers, results, tasks
from marketsync.ledger.claims import Claim, ClaimedOp, ClaimRequest, Door
from marketsync.ledger.gateway import Rank
from marketsync.ledger.outbox import Lane, aspects_of
from marketsync.ledger.types import micros
from marketsync.sync.doors import doors
from marketsync.sync.live import House, LiveChannel, pull_max_age

# Microseconds until the next try, by failed attempts so far.
RETRY_IN = dict(enumerate(seconds * 1_000_000 for seconds in (5, 15, 60, 300, 900, 3600)))
SHORT_WAIT = 1.0  # seconds: longer waits become the next run, and free the task
LOST_CREATES = 100


@dataclass(slots=True)
class PushReport:
    """What a run did. ``again_in``: seconds until something waits that only the limits hold back."""

    counts: dict[tuple[Aspect, Result], int] = field(default_factory=dict)
    batches: int = 0
    again_in: float | None = None
    wants_pull: bool = False
    error: AdapterError | None = None

    def add(self, counts: results.Counts) -> None:
        for key, count in counts.items():
            self.counts[key] = self.counts.get(key, 0) + count

    def wait(self, seconds: float) -> None:
        self.again_in = seconds if self.again_in is None else min(self.again_in, seconds)

    @property
    def totals(self) -> dict[str, int]:
        """Counts by result, for the list of runs."""
        totals: dict[str, int] = {"batches": self.batches} if self.batches else {}
        for (_, result), count in self.counts.items():
            totals[result.value] = totals.get(result.value, 0) + count
        return totals


class _Run:
    """One run over one channel; several workers share it."""

    def __init__(
        self,
        house: House,
        channel: LiveChannel,
        run_id: int | None,
        skus: Sequence[str] | None,
        allowed: Callable[[Row[Any]], int] | None,
    ) -> None:
        self.house, self.channel, self.run_id, self.skus, self.allowed = house, channel, run_id, skus, allowed
        self.report = PushReport()
        self.shut: set[tuple[str, str]] = set()  # doors that have to wait
        self.answers = 0
        self.empty: dict[tuple[str, str], int] = {}  # doors that had nothing after so many answers; more may be due now
        self.stopped = False

    # ---------------------------------------------------------------- choosing

    async def work(self) -> None:
        """Send batch after batch until nothing is due that a door would take."""
        while not self.stopped:
            door = await self._open_door()
            if door is None:
                return
            wait = await self._slot(door)
            if wait:
                self.report.wait(wait)
                self.shut.add((door.operation.name, door.takes))
                continue
            try:
                answers, claim = self.answers, await self._claim(door)
                if claim is None:
                    self.empty[door.operation.name, door.takes] = answers
                else:
                    await self._send(door, claim)
            finally:
                await self.channel.account.http.release(door.operation.name)

    async def _open_door(self) -> Door | None:
        spec = self.channel.account.spec
        ceiling = max((operation.worth_from for operation in spec.operations), default=0) + 1
        now = micros(self.house.clock.now())
        backlog = await self.house.ledger.read(
            partial(offers.due_by_lane, channel_id=self.channel.id, now=now, ceiling=ceiling)
        )
        closed = self.shut | {name for name, answers in self.empty.items() if answers == self.answers}
        for door in doors(spec, backlog):
            if (door.operation.name, door.takes) not in closed and any(backlog.get(lane) for lane in door.lanes):
                return door
        return None

    async def _slot(self, door: Door) -> float:
        """Reserve one call; returns the seconds to wait where that is too long to wait here."""
        http, clock = self.channel.account.http, self.house.clock
        while True:
            wait = await http.reserve(door.operation.name, urgent=Lane.ZERO in door.lanes)
            if wait <= 0 or wait > SHORT_WAIT:
                return max(0.0, wait)
            await clock.sleep(wait)

    async def _claim(self, door: Door) -> Claim | None:
        spec, now = self.channel.account.spec, self.house.clock.now()
        oldest = now - pull_max_age(self.channel)
        owner = f"account:{self.channel.account.name}"

        def take(conn: Connection) -> tuple[Claim | None, bool]:
            pulled = tasks.load(conn, owner, "orders").pulled_from
            fresh = pulled is not None and pulled >= oldest
            request = ClaimRequest(
                channel_id=self.channel.id,
                door=door,
                now=micros(now),
                pulled_from=micros(pulled) if pulled and fresh else None,
                run_id=self.run_id,
                epoch=self.channel.account.epoch,
                groups_variants=spec.groups_variants,
                revisions_per_day=spec.revisions_per_day,
                skus=self.skus,
                allowed=self.allowed,
                looks_up=isinstance(self.channel.adapter, ReadsOffers),
            )
            claim = claims.claim(conn, request)
            return claim, claim is None and claims.starved(conn, request)

        rank = Rank.ORDERS if Lane.ZERO in door.lanes else Rank.RESULTS
        claim, starved = await self.house.ledger.write(take, rank)
        self.report.wants_pull |= starved
        return claim

    # ---------------------------------------------------------------- sending

    async def _send(self, door: Door, claim: Claim) -> None:
        self.report.batches += 1
        ops = [_op(op) for op in claim.ops]
        began = self.house.clock.monotonic()
        try:
            outcome = await self._push(door.operation.name, ops)
        except asyncio.CancelledError:
            await self._write(claim, PushOutcome(results=()), began)
            raise
        except RateLimited as error:
            await self._give_back(claim)
            self.report.wait(error.retry_after.total_seconds() if error.retry_after else SHORT_WAIT)
            self.shut.add((door.operation.name, door.takes))
        except (OutcomeUnknown, UnexpectedReply) as error:
            await self._write(claim, PushOutcome(results=()), began)
            self._stop(error)
        except (Retryable, ChannelBlocked) as error:
            await self._give_back(claim)
            self._stop(error)
        except AdapterError as error:
            await self._write(claim, PushOutcome(results=()), began)
            self._stop(error)
        except Exception as error:
            await self._write(claim, PushOutcome(results=()), began)
            self._stop(UnexpectedReply(f"the adapter failed: {type(error).__name__}", evidence=str(error)[:500]))
            self.house.log.exception("adapter failed", channel=self.channel.name, operation=door.operation.name)
        else:
            await self._write(claim, outcome, began)

    def _stop(self, error: AdapterError) -> None:
        self.report.error = self.report.error or error
        self.stopped = True

    async def _push(self, operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        adapter = self.channel.adapter
        assert isinstance(adapter, PushesOffers)
        try:
            return await adapter.push(operation, ops)
        except ItemRefused as error:
            return await _Bisection(adapter, operation).split(ops, error)

    async def _give_back(self, claim: Claim) -> None:
        now = micros(self.house.clock.now())
        await self.house.ledger.write(lambda conn: claims.release(conn, claim, now))

    async def _write(self, claim: Claim, outcome: PushOutcome, began: float) -> None:
        now, spec = self.house.clock.now(), self.channel.account.spec
        ask_at = now + outcome.ask_after if outcome.receipt else None
        request = results.ResultsRequest(
            batch_id=claim.batch_id,
            channel=self.channel.name,
            results=outcome.results,
            now=micros(now),
            retry_in=RETRY_IN,
            create_again_in=spec.visible_after // timedelta(microseconds=1),
            receipt=outcome.receipt,
            ask_at=None if ask_at is None else micros(ask_at),
            request_id=outcome.request_id,
        )
        counts = await self.house.ledger.write(lambda conn: results.apply_results(conn, request))
        self.answers += 1  # stock waits for its price, a price for its listing
        self.report.add(counts)
        seconds = self.house.clock.monotonic() - began
        self.house.metrics.pushed(self.channel.name, counts, seconds)
        for aspect in {aspect for aspect, _ in counts}:
            self.channel.rules.sent(aspect, now)


class _Bisection:
    """Splits a batch that was refused as a whole until the guilty op is alone; families stay together."""

    def __init__(self, adapter: PushesOffers, operation: str) -> None:
        self.adapter, self.operation = adapter, operation
        self.both_refused = 0

    async def split(self, ops: Sequence[OfferOp], error: ItemRefused) -> PushOutcome:
        groups = _families(ops)
        if len(groups) == 1:
            return PushOutcome(results=tuple(_refusals(ops, error)))
        middle = len(groups) // 2
        outcomes, refused = [], 0
        for half in (groups[:middle], groups[middle:]):
            part = [op for group in half for op in group]
            try:
                outcomes.append(await self.adapter.push(self.operation, part))
            except ItemRefused as again:
                refused += 1
                if refused == 2:
                    self.both_refused += 1
                if self.both_refused >= 2:
                    message = f"{self.operation} refuses everything: has its API changed? {again.message}"
                    raise UnexpectedReply(message, code=again.code, evidence=again.evidence) from again
                outcomes.append(await self.split(part, again))
        receipts = [outcome.receipt for outcome in outcomes if outcome.receipt]
        if len(receipts) > 1:
            # One batch keeps one receipt: what the other submission carried is read back or sent again.
            outcomes[1] = PushOutcome(results=[r for r in outcomes[1].results if r.result is not Result.SUBMITTED])
        return PushOutcome(
            results=[result for outcome in outcomes for result in outcome.results],
            receipt=receipts[0] if receipts else None,
            ask_after=outcomes[0].ask_after,
            request_id=outcomes[0].request_id,
        )


def _families(ops: Sequence[OfferOp]) -> list[list[OfferOp]]:
    groups: dict[str, list[OfferOp]] = {}
    for op in ops:
        groups.setdefault(f"family {op.family}" if op.family else f"sku {op.sku}", []).append(op)
    return list(groups.values())


def _refusals(ops: Iterable[OfferOp], error: ItemRefused) -> Iterable[PushResult]:
    for op in ops:
        for aspect in op.changed:
            yield PushResult(sku=op.sku, aspect=aspect, result=Result.REJECTED, code=error.code, message=error.message)


def _op(op: ClaimedOp) -> OfferOp:
    whole = not op.withdraw
    return OfferOp(
        sku=op.sku,
        changed=aspects_of(op.bits),
        revision=op.revision,
        channel_id=op.remote_id,
        family=op.family,
        withdraw=op.withdraw,
        listing=listing_from(op.listing) if whole and op.listing else None,
        price=price_from(op.price) if whole and op.price else None,
        stock=stock_from(op.stock) if whole and op.stock else None,
        seen_stock=op.acked_stock,
    )


async def push(
    house: House,
    channel: LiveChannel,
    *,
    run_id: int | None = None,
    skus: Sequence[str] | None = None,
    allowed: Callable[[Row[Any]], int] | None = None,
) -> PushReport:
    """Send what is due on a channel. The caller has made sure that the channel is active.

    ``skus`` and ``allowed`` (see ``ClaimRequest``) keep it to some offers and aspects.

    Errors of the channel end up in the report: what was sent before them counts.
    """
    run = _Run(house, channel, run_id, skus, allowed)
    while await _find_lost_creates(house, channel) == LOST_CREATES:
        pass
    workers = max(1, channel.account.spec.concurrency)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(run.work())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None  # the first ends the others
    if isinstance(run.report.error, QuotaSpent):
        run.report.wait((run.report.error.until - house.clock.now()).total_seconds())
    return run.report


async def _find_lost_creates(house: House, channel: LiveChannel) -> int:
    """A listing whose creation was never answered is looked up before it is created again. Returns how many were."""
    if not isinstance(channel.adapter, ReadsOffers):
        return 0
    now = micros(house.clock.now())
    lost = await house.ledger.read(lambda conn: offers.lost_creates(conn, channel.id, now, LOST_CREATES))
    if not lost:
        return 0
    by_sku = {sku: offer_id for offer_id, sku in lost}
    found: dict[int, str] = {}
    async for seen in channel.adapter.offers(sorted(by_sku)):
        if seen.sku in by_sku and seen.channel_id is not None:
            found[by_sku[seen.sku]] = seen.channel_id
    missing = [offer_id for offer_id, _ in lost if offer_id not in found]
    await house.ledger.write(lambda conn: offers.found_creates(conn, found, missing))
    return len(lost)


async def recover(house: House, channel: LiveChannel) -> int:
    """After a start: what older epochs sent and never had answered is UNKNOWN, and due again. Returns the batches."""
    now = micros(house.clock.now())
    epoch = channel.account.epoch

    def lose(conn: Connection) -> int:
        lost = offers.lost_batches(conn, channel.id, epoch)
        for batch_id in lost:
            results.apply_results(
                conn,
                results.ResultsRequest(
                    batch_id=batch_id, channel=channel.name, results=(), now=now, retry_in={0: 0, 1: 5_000_000},
                    create_again_in=channel.account.spec.visible_after // timedelta(microseconds=1),
                ),
            )  # fmt: skip
        return len(lost)

    return await house.ledger.write(lose)
