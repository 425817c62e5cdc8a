"""Plan: every change that the next push makes, old and new with the difference, what waits and why, and what it costs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from marketsync.adapter.content import Aspect
from marketsync.adapter.money import Money
from marketsync.adapter.spec import AdapterSpec, Bucket
from marketsync.domain import limits
from marketsync.domain.content import ABSENT, UNKNOWN, price_from
from marketsync.domain.guards import effective
from marketsync.domain.limits import BucketState
from marketsync.ledger.outbox import BITS, IN_RUN, Lane, aspects_of, held
from marketsync.ledger.queries import plan as query
from marketsync.ledger.types import micros, moment
from marketsync.sync.live import House
from marketsync.sync.rehearse import Call, Rehearsal


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One aspect of one offer that changes, or would if it did not wait.

    ``action``: create, update or withdraw. ``old`` and ``new``: what a buyer pays, or pieces; None where nothing is
    there, nobody knows, or it is a listing. ``difference``: minor units or pieces. ``percent``: of the old price.
    ``fields``: what changes of a listing, as far as it is known. ``desired`` and ``shown`` are the hashes of what is
    to be sent and of what the channel acknowledged. ``waits``: "" for what leaves with the next push, else held,
    refused, in flight, scheduled, order pull, price, listing, limit or channel; ``why`` and ``until`` say more.
    """

    channel: str
    sku: str
    item: str
    aspect: Aspect
    action: str
    old: Money | int | None
    new: Money | int | None
    difference: int | None
    percent: float | None
    fields: tuple[str, ...]
    undoable: bool
    operation: str
    desired: str
    shown: str
    waits: str = ""
    why: str = ""
    until: datetime | None = None


@dataclass(slots=True)
class ChannelPlan:
    """What a plan comes to on one channel. ``seconds``: how long the limits make it last, at least."""

    channel: str
    state: str
    counts: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def changes(self) -> int:
        return sum(self.counts.get(aspect.value, 0) for aspect in Aspect)

    def add(self, change: Change) -> None:
        if change.waits:
            _count(self.waiting, change.waits)
            return
        _count(self.counts, change.aspect.value)
        for name in _marks(change):
            _count(self.counts, name)


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def _marks(change: Change) -> Iterator[str]:
    if change.aspect is Aspect.LISTING and change.action != "update":
        yield change.action
    if not change.undoable:
        yield "cannot be undone"
    if change.action == "withdraw":
        return
    if change.aspect is Aspect.STOCK and change.new == 0 and change.old != 0 and change.action == "update":
        yield "to zero"
    if change.action == "update" and change.difference:
        yield f"{change.aspect} {'up' if change.difference > 0 else 'down'}"


class Plan:
    """What a rehearsal shows, some aspects of it, read as a stream. ``sources``: whose last reading is held, and why."""

    def __init__(self, house: House, rehearsal: Rehearsal, aspects: frozenset[Aspect], stored: "Stored") -> None:
        self._house, self._rehearsal, self._aspects = house, rehearsal, aspects
        self.made = rehearsal.now
        self.channels = self._channels(stored)
        with rehearsal.reading() as conn:
            self.sources = query.held_sources(conn)

    def changes(self) -> Iterator[Change]:
        """What changes, then what waits; each by channel and SKU. The plans of the channels count along."""
        for change in self._all():
            if change.aspect in self._aspects:
                self.channels[change.channel].add(change)
                yield change

    def _all(self) -> Iterator[Change]:
        reader = _Reader(self._house, self._rehearsal)
        with self._rehearsal.reading() as conn:
            for row in query.changes(conn):
                yield from reader.sent(row)
        with self._rehearsal.reading() as conn:
            reader.holds, reader.refusals = (
                query.holds(conn, numbered=not self._rehearsal.adopting),
                query.refusals(conn),
            )
            for row in query.waiting(conn):
                yield from reader.waiting(row)

    def _channels(self, stored: "Stored") -> dict[str, ChannelPlan]:
        made: dict[str, ChannelPlan] = {}
        watches: dict[str, _Watch] = {}
        for name, row in self._rehearsal.channels.items():
            live = self._house.channels[name]
            calls = [call for call in self._rehearsal.calls[name] if call.aspects & self._aspects]
            plan = made[name] = ChannelPlan(name, row.state)
            if not self._rehearsal.pushes(name):
                continue
            for call in calls:
                _count(plan.calls, call.operation)
            watch = watches.setdefault(
                live.account.name,
                _Watch(live.account.spec.buckets(live.config.settings), stored.get(live.account.name, {}), self.made),
            )
            plan.seconds = watch.make(live.account.spec, calls)
        return made


Stored = Mapping[str, Mapping[str, BucketState]]  # by account: the limits that outlive the process


def stored_limits(conn: Connection, accounts: Sequence[str]) -> Stored:
    """How far the limits of these accounts are used up."""
    return {account: query.buckets(conn, account) for account in accounts}


class _Watch:
    """Lets calls pass the limits of an account one after the other, on a clock of its own."""

    def __init__(self, buckets: Sequence[Bucket], states: Mapping[str, BucketState], now: datetime) -> None:
        self._buckets = {bucket.name: bucket for bucket in buckets}
        self._states: dict[str, BucketState | None] = dict(states)
        self._now = now.timestamp()

    def make(self, spec: AdapterSpec, calls: Sequence[Call]) -> float:
        """Seconds until the last of these calls may leave."""
        began = self._now
        for call in calls:
            operation = spec.operation(call.operation)
            while wait := self._take(operation.buckets, operation.cost, urgent=call.urgent or operation.urgent):
                self._now += wait
        return self._now - began

    def _take(self, names: Sequence[str], cost: float, *, urgent: bool) -> float:
        taken = {
            name: limits.take(self._buckets[name], self._states.get(name), self._now, cost, urgent=urgent)
            for name in names
        }
        wait = max((seconds for _, seconds in taken.values()), default=0.0)
        if wait <= 0:
            self._states.update({name: state for name, (state, _) in taken.items()})
        return wait


# ---------------------------------------------------------------------------------------------- rows to changes


class _Reader:
    """Makes changes of rows."""

    def __init__(self, house: House, rehearsal: Rehearsal) -> None:
        self._operations = {
            name: {op.name: op for op in house.channels[name].account.spec.operations} for name in rehearsal.channels
        }
        self._closed = {
            name: f"the channel is {row.state}{f': {row.why}' if row.why else ''}"
            for name, row in rehearsal.channels.items()
            if not rehearsal.pushes(name)
        }
        self._now = micros(rehearsal.now)
        self.holds: Mapping[tuple[str, str | None, str | None], str] = {}
        self.refusals: Mapping[tuple[str, str, str], str] = {}

    def sent(self, row: Row[Any]) -> Iterator[Change]:
        """The aspects of one rehearsed op; they wait where the channel must not push at all."""
        operation = self._operations[row.channel][row.operation]
        closed = self._closed.get(row.channel, "")
        lost = row.id_was is None and bytes(row.listing_was) == UNKNOWN
        why = closed or ("it is looked up first: nobody answered when it was created" if lost else "")
        for aspect in sorted(aspects_of(row.aspects)):
            yield _change(
                row, aspect, withdraw=bool(row.withdraw), undoable=operation.undoable, operation=row.operation,
                waits="channel" if closed else "", why=why,
            )  # fmt: skip

    def waiting(self, row: Row[Any]) -> Iterator[Change]:
        for aspect in Aspect:
            if not getattr(row, f"{aspect}_dirty") or (aspect is Aspect.STOCK and row.fulfilled_by != "merchant"):
                continue
            waits, why, until = self._reason(row, aspect)
            withdraw = bytes(row.listing_hash) == ABSENT
            yield _change(row, aspect, withdraw=withdraw, undoable=True, waits=waits, why=why, until=until)

    def _reason(self, row: Row[Any], aspect: Aspect) -> tuple[str, str, datetime | None]:
        """What an aspect waits for. The order is that in which the outbox asks."""
        if row.held & held(aspect):
            return "held", self._held(row, aspect), None
        if getattr(row, f"{aspect}_refused"):
            said = self.refusals.get((row.channel, row.sku, aspect.value), "")
            return "refused", said or "the channel refused it: it is sent again when its content changes", None
        if row.open_batch is not None:
            return "in flight", "what was sent before is not answered yet", None
        due = max(getattr(row, f"{aspect}_due") or 0, (row.due_at or 0) if row.lane != Lane.NONE else 0)
        if due > self._now:
            return "scheduled", "its turn has not come", moment(due)
        if row.remote_id is None and aspect is not Aspect.LISTING:
            never = "it is not on the channel, and marketsync does not write listings there"
            return "listing", "it is not on the channel yet" if row.managed & BITS[Aspect.LISTING] else never, None
        if aspect is Aspect.STOCK and row.raises and row.price_dirty:
            return "price", "a restock waits for its price", None
        if row.lane == Lane.RAISE or (row.remote_id is None and row.lane == Lane.LISTING):
            return "order pull", "stock is raised after an order pull that began after the figures were read", None
        return "limit", "its family is in flight, or its changes of the day are used up", None

    def _held(self, row: Row[Any], aspect: Aspect) -> str:
        own = {known: self.holds.get((row.channel, row.sku, known)) for known in (aspect.value, *Aspect)}
        said = own[aspect.value] or next(filter(None, own.values()), None)
        if said and row.held & BITS[aspect]:
            return said
        whole = self.holds.get((row.channel, None, aspect.value)) or self.holds.get((row.channel, None, None))
        if row.held & (BITS[aspect] << IN_RUN):
            return whole or "it waits for the verdict over its whole run"
        return "a guard stopped it: see `marketsync holds`"


def _change(
    row: Row[Any], aspect: Aspect, *, withdraw: bool, undoable: bool, operation: str = "", waits: str = "",
    why: str = "", until: datetime | None = None,
) -> Change:  # fmt: skip
    action = "withdraw" if withdraw else "create" if row.id_was is None else "update"
    shown = bytes(getattr(row, f"{aspect}_was"))
    old, new = _values(row, aspect, known=shown not in (ABSENT, UNKNOWN), withdraw=withdraw)
    difference, percent = differ(old, new)
    return Change(
        channel=row.channel, sku=row.sku, item=row.item_sku, aspect=aspect, action=action, old=old, new=new,
        difference=difference, percent=percent, fields=_fields(row) if aspect is Aspect.LISTING else (),
        undoable=undoable and action == "update", operation=operation,
        desired=bytes(getattr(row, f"{aspect}_hash")).hex(), shown=shown.hex(), waits=waits, why=why, until=until,
    )  # fmt: skip


def _values(
    row: Row[Any], aspect: Aspect, *, known: bool, withdraw: bool
) -> tuple[Money | int | None, Money | int | None]:
    if aspect is Aspect.PRICE:
        old = effective(price_from(row.price_old)) if known and row.price_old else None
        return old, effective(price_from(row.price_new)) if row.price_new and not withdraw else None
    if aspect is Aspect.STOCK:
        return row.stock_old if known else None, None if withdraw else row.stock_new
    return None, None


def differ(old: Money | int | None, new: Money | int | None) -> tuple[int | None, float | None]:
    """New less old, in minor units or pieces, and for prices in percent of the old one; None where one is not known."""
    if isinstance(old, Money) and isinstance(new, Money):
        if old.currency != new.currency:
            return None, None
        gap = new.minor - old.minor
        return gap, round(gap * 100 / old.minor, 2) if old.minor else None
    if isinstance(old, int) and isinstance(new, int):
        return new - old, None
    return None, None


def _fields(row: Row[Any]) -> tuple[str, ...]:
    """The fields of a listing that change, where both sides are known."""
    if not row.listing_old or not row.listing_new:
        return ()
    old, new = row.listing_old, row.listing_new
    return tuple(sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name)))


def weight(change: Change) -> tuple[int, float]:
    """Worst first: what takes an offer away, then held changes, big steps of prices, stock to zero, and the rest."""
    percent, pieces = abs(change.percent or 0.0), float(abs(change.difference or 0))
    if change.action == "withdraw":
        return 6, 0.0
    if change.aspect is Aspect.PRICE and change.action == "update":
        unknown = change.percent is None and change.old is not None
        return (5 if percent >= 10 or unknown else 2), percent
    if change.aspect is Aspect.STOCK and change.action == "update":
        return (4 if change.new == 0 else 1), pieces
    return (3, 0.0) if change.action == "create" else (0, 0.0)
