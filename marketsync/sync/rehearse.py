"""Rehearse a push: the engine's own push, on a copy of what is due, against a channel that takes everything.

So a plan cannot differ from the push by a condition that somebody forgot: it is the push. Nothing leaves the house, and
the ledger is only read.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from sqlalchemy import Connection

from marketsync.adapter.api import Adapter, ConfirmsPushes, Receipt
from marketsync.adapter.content import Aspect, OfferOp, PushOutcome, PushResult, Result
from marketsync.ledger import channels as channel_store
from marketsync.ledger import offers
from marketsync.ledger.channels import ChannelRow
from marketsync.ledger.engine import read_engine
from marketsync.ledger.gateway import Ledger
from marketsync.ledger.outbox import mask
from marketsync.ledger.queries import plan as query
from marketsync.ledger.types import micros
from marketsync.sync.confirm import confirm
from marketsync.sync.live import House, LiveAccount, LiveChannel
from marketsync.sync.push import push
from marketsync.sync.rules import ChannelRules
from marketsync.telemetry.metrics import Metrics

CHUNK = 10_000
NEW = "to be created"  # the channel's id of what is not there yet
Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a rehearsed push. ``urgent``: it may use what limits reserve for stock zero."""

    operation: str
    urgent: bool
    aspects: frozenset[Aspect]
    ops: int


@dataclass(slots=True)
class Rehearsal:
    """What a push did on the copy. ``calls`` by channel, in the order in which they were made."""

    ledger: Ledger
    now: datetime
    adopting: bool
    channels: dict[str, ChannelRow] = field(default_factory=dict)
    calls: dict[str, list[Call]] = field(default_factory=dict)

    def pushes(self, channel: str) -> bool:
        """Whether a push is allowed to do there what it did here."""
        return self.adopting or self.channels[channel].state == "active"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read what happened while it is consumed."""
        engine = read_engine(self.ledger.url, connections=1)
        try:
            with engine.begin() as conn:
                yield conn
        finally:
            engine.dispose()


class _Stopped:
    """A clock that stands still: what is due later is not due in a rehearsal."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"a rehearsal waits for nothing, and not for {seconds} s")


class _Slots:
    """Limits that grant everything; what it would have taken is counted afterwards."""

    def __init__(self) -> None:
        self.urgent = False

    async def reserve(self, _operation: str, *, urgent: bool = False) -> float:
        self.urgent = urgent
        return 0.0

    async def release(self, operation: str) -> None:
        pass


class _Stage:
    """An adapter that applies whatever it is given, and writes down how often it was called.

    ``later``: what it creates is there only when it is asked for, so that the price and stock of many follow together.
    """

    def __init__(self, slots: _Slots, calls: list[Call], advance: Advance, *, later: bool) -> None:
        self._slots, self._calls, self._advance, self._later = slots, calls, advance, later

    async def push(self, operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        aspects = frozenset[Aspect]().union(*(op.changed for op in ops))
        self._calls.append(Call(operation, self._slots.urgent, aspects, len(ops)))
        self._advance(len(ops))
        results = [result for op in ops for result in self._answer(op)]
        submitted = any(result.result is Result.SUBMITTED for result in results)
        return PushOutcome(results=results, receipt="rehearsed" if submitted else None, ask_after=timedelta(0))

    async def confirm(self, receipt: Receipt) -> PushOutcome:
        return PushOutcome(results=[result for sku, aspects in receipt.ops for result in _applied(sku, aspects, NEW)])

    def _answer(self, op: OfferOp) -> Iterable[PushResult]:
        if self._later and op.channel_id is None:
            return [PushResult(sku=op.sku, aspect=aspect, result=Result.SUBMITTED) for aspect in op.changed]
        return _applied(op.sku, op.changed, None if op.withdraw else op.channel_id or NEW)


def _applied(sku: str, aspects: Iterable[Aspect], channel_id: str | None) -> Iterable[PushResult]:
    for aspect in aspects:
        yield PushResult(sku=sku, aspect=aspect, result=Result.APPLIED, channel_id=channel_id)


@asynccontextmanager
async def rehearse(
    house: House,
    names: Iterable[str],
    *,
    skus: Sequence[str] | None = None,
    adopting: frozenset[Aspect] | None = None,
    prepare: Callable[[Connection], None] = lambda _copy: None,
    advance: Advance = lambda _offers: None,
) -> AsyncIterator[Rehearsal]:
    """Push these channels on a copy, also those that must not push yet, and yield what happened there.

    ``adopting``: as if the channels wrote these aspects, and nothing waited for its schedule or an order pull.
    ``prepare`` changes the copy before. ``advance`` hears how many offers were copied or sent.
    """
    with TemporaryDirectory(prefix="marketsync-plan-") as folder:
        scratch = Ledger(f"sqlite:///{Path(folder) / 'plan.db'}", house.ledger.vault)
        try:
            scratch.write_now(query.make)
            rehearsal = Rehearsal(scratch, house.clock.now(), adopting is not None)
            await house.ledger.read(partial(_copy, rehearsal=rehearsal, house=house, names=list(names), skus=skus,
                                            advance=advance))  # fmt: skip
            await scratch.write(prepare)
            for row in rehearsal.channels.values():
                await _play(rehearsal, house, row, skus, adopting, advance)
            yield rehearsal
        finally:
            scratch.close()


def _copy(
    conn: Connection, rehearsal: Rehearsal, house: House, names: list[str], skus: Sequence[str] | None, advance: Advance
) -> None:
    rows = channel_store.load(conn)
    rehearsal.channels = {name: rows[name] for name in names}
    for name in names:
        groups = house.channels[name].account.spec.groups_variants
        for count in query.copy(conn, rehearsal.ledger, rows[name].id, skus, families=groups):
            advance(count)


async def _play(
    rehearsal: Rehearsal,
    house: House,
    row: ChannelRow,
    skus: Sequence[str] | None,
    adopting: frozenset[Aspect] | None,
    advance: Advance,
) -> None:
    assert house.config is not None
    live, clock = house.channels[row.name], _Stopped(rehearsal.now)
    spec = replace(live.account.spec, concurrency=1)
    rules = ChannelRules(row.name, house.config, spec, row, rehearsal.now)
    if adopting is not None:
        rules.take(mask(adopting))
        await _adopt(rehearsal, live, rules)
    slots, calls = _Slots(), rehearsal.calls.setdefault(row.name, [])
    account = LiveAccount(live.account.name, live.account.id, spec, cast("Any", slots))
    stage = cast("Adapter", _Stage(slots, calls, advance, later=isinstance(live.adapter, ConfirmsPushes)))
    channel = LiveChannel(row.name, row.id, account, live.config, stage, rules, live.storefront)
    inside = House(rehearsal.ledger, clock, Metrics(clock), house.log)
    while True:
        report = await push(inside, channel, skus=skus)
        if report.error is not None:
            raise report.error
        if not (await confirm(inside, channel)).counts:
            return


async def _adopt(rehearsal: Rehearsal, live: LiveChannel, rules: ChannelRules) -> None:
    manage = partial(offers.manage, channel_id=live.id, managed=rules.managed, limit=CHUNK)
    while await rehearsal.ledger.write(manage) == CHUNK:
        pass
    await rehearsal.ledger.write(lambda conn: query.free(conn, live.account.name, micros(rehearsal.now)))
