"""Ingest: a snapshot of a source is read whole before anything of it is applied, then applied in small transactions.

Reading compares every row with what the source said last, by hash; what changed is spooled to a temporary file. Only
when the source was read to its end is the spool applied, item by item together with the offers that follow from it. A
crash in between costs nothing: the rows that were applied are unchanged at the next reading.
"""

import asyncio
import io
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from hashlib import blake2b
from itertools import islice
from typing import IO, Any

import orjson
from sqlalchemy import Connection, text

from marketsync.adapter.errors import MarketsyncError
from marketsync.adapter.money import Money
from marketsync.domain.content import canonical, item_document
from marketsync.domain.item import Item, OverrideRow, RowProblem, SourceRow
from marketsync.ledger import items as item_store
from marketsync.ledger import snapshots
from marketsync.ledger.gateway import Rank
from marketsync.ledger.issues import IssueRow, close_unseen, raise_issues
from marketsync.ledger.items import SourceSays
from marketsync.ledger.sql import alone
from marketsync.ledger.stock import apply_figures, release_fallen
from marketsync.ledger.types import micros
from marketsync.sources.api import Previous, Snapshot
from marketsync.sync.derive import Derived, derive_items, derive_stock
from marketsync.sync.guard import judge, stop_snapshot
from marketsync.sync.live import House, SourcePlan

READ_CHUNK = 1000
APPLY_CHUNK = 250  # items of one transaction; with their offers on a few channels about 1,000 rows
PROBLEMS_KEPT = 1000  # as issues of their own; the rest is counted
OVERRIDABLE = frozenset({"price", "stock", "title", "description", "brand", "category", "condition", "sell"})


@dataclass(slots=True)
class IngestReport:
    """What a reading found. ``changed``: channels whose offers changed."""

    rows: int = 0
    changed_rows: int = 0
    missing: int = 0
    problems: int = 0
    derived: Derived = field(default_factory=Derived)
    unchanged: bool = False
    held: int = 0  # offers that wait for a person, by the verdict over this reading
    stopped: str = ""  # why nothing of it was applied

    @property
    def totals(self) -> dict[str, int]:
        offers = sum(self.derived.changed.values())
        return {"rows": self.rows, "changed": self.changed_rows, "missing": self.missing,
                "problems": self.problems, "offers": offers, "held": self.held, "stopped": int(bool(self.stopped))}  # fmt: skip


class _Reading:
    """The first pass: everything is read, what changed is spooled."""

    def __init__(self, house: House, plan: SourcePlan, snapshot: Snapshot, snapshot_id: int, spool: IO[bytes]) -> None:
        self.house, self.plan, self.snapshot, self.snapshot_id, self.spool = house, plan, snapshot, snapshot_id, spool
        self.report = IngestReport()
        self.named = array("Q")
        self.problems: list[RowProblem] = []

    def chunk(self, records: Iterator[SourceRow | OverrideRow | RowProblem]) -> bool:
        """Take the next records; False at the end. Runs in a thread."""
        some = list(islice(records, READ_CHUNK))
        rows: list[tuple[SourceRow, dict[str, Any], bytes]] = []
        for record in some:
            if isinstance(record, RowProblem):
                self.report.problems += 1
                if len(self.problems) < PROBLEMS_KEPT:
                    self.problems.append(record)
            elif isinstance(record, SourceRow):
                document = item_document(Item(sku=record.sku, **record.values))
                del document["sku"]
                digest = _row_hash(document, record.stock)
                rows.append((record, document, digest))
        self._spool_changed(rows)
        return len(some) == READ_CHUNK

    def _spool_changed(self, rows: Sequence[tuple[SourceRow, dict[str, Any], bytes]]) -> None:
        if not rows:
            return
        self.report.rows += len(rows)
        self.named.extend(_sku_hash(record.sku) for record, _, _ in rows)
        skus = [record.sku for record, _, _ in rows]
        known = self.house.ledger.read_now(partial(item_store.hashes, source=self.plan.name, skus=skus))
        for record, document, digest in rows:
            if known.get(record.sku) != digest:
                self.report.changed_rows += 1
                self.spool.write(orjson.dumps([record.sku, digest.hex(), document, record.stock or None]) + b"\n")


def _row_hash(document: dict[str, Any], stock: Any) -> bytes:
    return blake2b(canonical({"values": document, "stock": dict(stock)}), digest_size=16).digest()


def _sku_hash(sku: str) -> int:
    return int.from_bytes(blake2b(sku.encode(), digest_size=8).digest())


async def ingest(house: House, plan: SourcePlan) -> IngestReport:
    """Read a source and apply what changed. Raises SourceError (nothing was applied) and LedgerError."""
    previous = await house.ledger.read(partial(snapshots.previous, source=plan.name))
    seen = Previous(previous.checksum, previous.marks) if previous else None
    snapshot = await plan.source.open(seen)
    report = IngestReport(unchanged=True)
    if snapshot is not None:
        house.runs.add(plan.name)
        try:
            report = await (_ingest_overrides(house, plan, snapshot) if plan.overrides
                            else _ingest(house, plan, snapshot, previous))  # fmt: skip
        finally:
            house.runs.discard(plan.name)
            snapshot.close()
    # Also where nothing moved: a crash may have left changes of an earlier reading without a verdict.
    report.held = sum((await judge(house)).values())
    return report


async def _ingest(house: House, plan: SourcePlan, snapshot: Snapshot, previous: snapshots.Mark | None) -> IngestReport:
    began, same = micros(house.clock.now()), previous is not None and previous.checksum == snapshot.checksum
    snapshot_id = await house.ledger.write(partial(snapshots.begin, source=plan.name, snapshot=_mark(snapshot)))
    with tempfile.TemporaryFile(prefix="marketsync-") as spool:
        reading = _Reading(house, plan, snapshot, snapshot_id, spool)
        if not same:
            try:
                while await asyncio.to_thread(reading.chunk, snapshot.records):
                    pass
            except MarketsyncError as error:
                said = str(error)
                await house.ledger.write(lambda conn: snapshots.fail(conn, snapshot_id, said))
                raise
            if await _stopped(house, plan, reading, previous):
                return reading.report
            spool.seek(0)
            await _apply(house, plan, reading)
            await _remove_missing(house, plan, reading)
        await _release(house, plan, snapshot, reading.report)
    await _finish(house, plan, snapshot_id, reading, began)
    return reading.report


def _mark(snapshot: Snapshot) -> snapshots.Mark:
    return snapshots.Mark(
        snapshot.exported, snapshot.read, snapshot.checksum, dict(snapshot.marks), header=snapshot.header
    )


async def _stopped(house: House, plan: SourcePlan, reading: _Reading, previous: snapshots.Mark | None) -> bool:
    """Whether a guard stops the whole reading; then nothing of it is applied until a person approves it."""
    now, report = micros(house.clock.now()), reading.report

    def write(conn: Connection) -> str:
        why = stop_snapshot(conn, plan, reading.snapshot, report.rows, previous, now)
        if why:
            snapshots.hold(conn, reading.snapshot_id, why)
        return why

    report.stopped = await house.ledger.write(write)
    if report.stopped:
        house.log.warning("a source is held", source=plan.name, why=report.stopped)
    return bool(report.stopped)


async def _apply(house: House, plan: SourcePlan, reading: _Reading) -> None:
    """The second pass: the spooled rows become items, stock and offers, a few hundred per transaction."""
    now = house.clock.now()
    while lines := list(islice(reading.spool, APPLY_CHUNK)):
        rows = [_says(line) for line in lines]

        def write(conn: Connection, rows: list[SourceSays] = rows) -> Derived:
            alone(conn)
            before = item_store.figures(conn, plan.name, [row.sku for row in rows]) if plan.owns_stock else {}
            items = item_store.apply(conn, plan.name, rows, house.order)
            moved = _figures(conn, plan, reading, rows, before) if plan.owns_stock else set()
            derived = derive_items(conn, house.rules, items, (), house.order, now, in_run=True)
            others = moved - {item.sku for item in items}
            for channel in derive_stock(conn, house.rules, others, house.order, now, in_run=True) if others else ():
                derived.add(channel, 1)
            return derived

        derived = await house.ledger.write(write, Rank.BULK)
        for channel, count in derived.changed.items():
            reading.report.derived.add(channel, count)


def _says(line: bytes) -> SourceSays:
    sku, digest, values, stock = orjson.loads(line)
    return SourceSays(sku, bytes.fromhex(digest), values, stock)


def _figures(
    conn: Connection,
    plan: SourcePlan,
    reading: _Reading,
    rows: Sequence[SourceSays],
    before: dict[str, dict[str, int]],
) -> set[str]:
    told = [
        (row.sku, location, figure, before.get(row.sku, {}).get(location))
        for row in rows
        for location, figure in (row.figures or {}).items()
    ]
    return apply_figures(
        conn,
        told,
        plan.policy,
        exported=reading.snapshot.exported,
        read=reading.snapshot.read,
        snapshot_id=reading.snapshot_id,
    )


async def _remove_missing(house: House, plan: SourcePlan, reading: _Reading) -> None:
    """What the source named once and names no more: it says nothing of those SKUs now, and has none in stock."""
    named = array("Q", sorted(reading.named))
    now, after = house.clock.now(), ""
    while True:
        page = await house.ledger.read(partial(item_store.known_skus, source=plan.name, after=after, limit=READ_CHUNK))
        gone = [sku for sku in page if not _has(named, _sku_hash(sku))]
        for start in range(0, len(gone), APPLY_CHUNK):
            part = gone[start : start + APPLY_CHUNK]
            derived = await house.ledger.write(
                partial(_forget, house=house, plan=plan, reading=reading, skus=part, now=now), Rank.BULK
            )
            for channel, count in derived.changed.items():
                reading.report.derived.add(channel, count)
        reading.report.missing += len(gone)
        if len(page) < READ_CHUNK:
            return
        after = page[-1]


def _forget(
    conn: Connection, house: House, plan: SourcePlan, reading: _Reading, skus: Sequence[str], now: datetime
) -> Derived:
    alone(conn)
    if plan.owns_stock:
        before = item_store.figures(conn, plan.name, skus)
        told = [(sku, place, 0, figure) for sku, at in before.items() for place, figure in at.items()]
        apply_figures(
            conn, told, plan.policy, exported=reading.snapshot.exported, read=reading.snapshot.read,
            snapshot_id=reading.snapshot_id,
        )  # fmt: skip
    left = item_store.remove(conn, plan.name, skus, house.order, micros(now))
    gone = set(skus) - {item.sku for item in left}
    return derive_items(conn, house.rules, left, gone, house.order, now, in_run=True)


def _has(hashes: "array[int]", value: int) -> bool:
    at = bisect_left(hashes, value)
    return at < len(hashes) and hashes[at] == value


async def _release(house: House, plan: SourcePlan, snapshot: Snapshot, report: IngestReport) -> None:
    """Reservations whose event the exported figures already know of are let go, where the figure did not change."""
    if not plan.owns_stock:
        return
    now = house.clock.now()

    def write(conn: Connection, location: str) -> tuple[set[str], set[str]]:
        freer = release_fallen(conn, plan.name, location, exported=snapshot.exported, read=snapshot.read)
        return freer, derive_stock(conn, house.rules, freer, house.order, now, in_run=True) if freer else set()

    for location in plan.locations:
        freer = {location}
        while freer:
            freer, channels = await house.ledger.write(partial(write, location=location), Rank.BULK)
            for channel in channels:
                report.derived.add(channel, 1)


async def _finish(house: House, plan: SourcePlan, snapshot_id: int, reading: _Reading, began: int) -> None:
    report, scope = reading.report, f"source:{plan.name}"
    issues = [
        IssueRow(scope, problem.code, problem.message, problem.sku or f"row {problem.row}",
                 place=f"row {problem.row}" + (f", column {problem.column}" if problem.column else ""))
        for problem in reading.problems
    ]  # fmt: skip
    now = micros(house.clock.now())

    def write(conn: Connection) -> None:
        for start in range(0, len(issues), APPLY_CHUNK):
            raise_issues(conn, issues[start : start + APPLY_CHUNK], now)
        if report.rows or report.problems:
            codes = list(conn.execute(text("SELECT DISTINCT code FROM issue WHERE scope = :s"), {"s": scope}).scalars())
            close_unseen(conn, scope, codes, began, now)
        snapshots.finish(
            conn, snapshot_id, report.rows, report.changed_rows, report.missing, report.problems, house.clock.now()
        )

    await house.ledger.write(write)


# ------------------------------------------------------------------------------------------------ overrides


async def _ingest_overrides(house: House, plan: SourcePlan, snapshot: Snapshot) -> IngestReport:
    """Overrides replace those that this source gave before, whole, in one transaction; their items are derived anew."""
    began = micros(house.clock.now())
    snapshot_id = await house.ledger.write(partial(snapshots.begin, source=plan.name, snapshot=_mark(snapshot)))
    reading = _Reading(house, plan, snapshot, snapshot_id, io.BytesIO())
    good: list[OverrideRow] = []
    for record in await asyncio.to_thread(list, snapshot.records):
        problem = record if isinstance(record, RowProblem) else None
        if isinstance(record, OverrideRow):
            problem = _override_problem(record, set(house.channels))
            if problem is None:
                good.append(record)
        if problem is not None:
            reading.report.problems += 1
            reading.problems.append(problem)
    reading.report.rows = len(good)
    now = house.clock.now()

    def write(conn: Connection) -> Derived:
        alone(conn)
        touched = snapshots.replace_overrides(conn, plan.name, good)
        reading.report.changed_rows = len(touched)
        derived = Derived()
        for start in range(0, len(touched), APPLY_CHUNK):
            items = item_store.load(conn, touched[start : start + APPLY_CHUNK], house.order)
            some = derive_items(conn, house.rules, items.values(), (), house.order, now, in_run=True)
            for channel, count in some.changed.items():
                derived.add(channel, count)
        return derived

    reading.report.derived = await house.ledger.write(write, Rank.BULK)
    await _finish(house, plan, snapshot_id, reading, began)
    return reading.report


def _override_problem(row: OverrideRow, channels: set[str]) -> RowProblem | None:
    """Why an override cannot be used; None where it can."""
    if row.channel != "*" and row.channel not in channels:
        column, message = (
            "channel",
            f"there is no channel {row.channel}: name one of {', '.join(sorted(channels))} or *",
        )
    elif row.field not in OVERRIDABLE:
        column, message = "field", f"{row.field!r} cannot be fixed: name one of {', '.join(sorted(OVERRIDABLE))}"
    elif wrong := _wrong_value(row):
        column, message = "value", wrong
    else:
        return None
    return RowProblem(row=row.row, column=column, code="bad_row", message=message, sku=row.sku)


def _wrong_value(row: OverrideRow) -> str:
    """What is wrong with an override's value; "" where nothing is."""
    if row.field == "stock" and not row.value.isdigit():
        return f"{row.value!r} is no number of pieces: write a whole number"
    if row.field == "sell" and row.value not in {"yes", "no"}:
        return f"{row.value!r}: write yes or no"
    if row.field == "price":
        with suppress(ValueError):
            amount, currency = row.value.split()
            if Money.of(amount, currency).minor > 0:
                return ""
        return f"{row.value!r} is no price: write amount and currency, such as 9.99 EUR"
    return ""
