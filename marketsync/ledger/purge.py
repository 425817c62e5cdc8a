"""Deletes what its time is over for, and folds old stock movements: never more than 1,000 rows in a transaction.

Orders, their lines and events, what was live at which price, and open issues stay for ever.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from marketsync.ledger.buyers import expire_buyers
from marketsync.ledger.gateway import Ledger, Rank
from marketsync.ledger.sql import among, listed
from marketsync.ledger.types import micros, moment

AT_ONCE = 1_000
BATCHES_AT_ONCE = 200
MOVEMENT_MONTHS = 12  # whole months of which every single movement can be looked up

_TOLD = ("opening", "snapshot")  # figures that a source told: their sum is asked for by itself

Counts = Counter[str]  # rows deleted, by table


async def purge(ledger: Ledger, now: datetime, journals: timedelta) -> dict[str, int]:
    """Delete journals older than ``journals``, buyers past their expiry, and fold movements. Returns rows by table."""
    before = micros(now - journals)
    total: Counts = Counter()
    for step in _STEPS:
        while done := await ledger.write(lambda conn, step=step: step(conn, before), Rank.BULK):  # type: ignore[misc]
            total += done
    while gone := await ledger.write(lambda conn: expire_buyers(conn, now), Rank.BULK):
        total["buyer"] += gone
    fold = Fold(_months_before(now, MOVEMENT_MONTHS))
    while not fold.done:
        total["stock_movement"] += await ledger.write(fold.step, Rank.BULK)
    return dict(+total)


# ------------------------------------------------------------------ journals


def _pushes(conn: Connection, before: int) -> Counts:
    """Closed batches with their items, oldest first."""
    ids = conn.execute(
        text(
            "SELECT id FROM push_batch WHERE started_at < :before AND closed_at IS NOT NULL"
            " ORDER BY started_at LIMIT :limit"
        ),
        {"before": before, "limit": BATCHES_AT_ONCE},
    ).scalars()
    done: Counts = Counter()
    for batch_id in ids.all():
        room = AT_ONCE - done.total()
        if room <= 1:
            break
        items = conn.execute(
            text(
                "DELETE FROM push_item WHERE batch_id = :batch AND offer_id IN"
                " (SELECT offer_id FROM push_item WHERE batch_id = :batch LIMIT :room)"
            ),
            {"batch": batch_id, "room": room - 1},
        ).rowcount
        done["push_item"] += items
        if items < room - 1:
            conn.execute(text("DELETE FROM push_batch WHERE id = :batch"), {"batch": batch_id})
            done["push_batch"] += 1
    return +done


def _old_rows(table: str, key: str, condition: str) -> Callable[[Connection, int], Counts]:
    sql = text(
        f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {condition} ORDER BY {key} LIMIT :limit)"
    )

    def delete(conn: Connection, before: int) -> Counts:
        return +Counter({table: conn.execute(sql, {"before": before, "limit": AT_ONCE}).rowcount})

    return delete


def _buckets(conn: Connection, before: int) -> Counts:
    """Limits that nobody used for so long are full."""
    sql = "DELETE FROM rate_bucket WHERE tat < :before AND blocked_until < :before AND window_start < :before"
    return +Counter({"rate_bucket": conn.execute(text(sql), {"before": before / 1_000_000}).rowcount})


_NEWEST = "SELECT MAX(id) FROM source_snapshot WHERE verdict = 'applied' GROUP BY source"
_STEPS = (
    _pushes,
    _old_rows("task_run", "id", "started_at < :before AND outcome <> 'running'"),
    _old_rows("source_snapshot", "id", f"read_at < :before AND id NOT IN ({_NEWEST})"),
    _old_rows("issue", "id", "closed_at < :before"),
    _buckets,
)


# ------------------------------------------------------------------ movements

_ADD = text("UPDATE stock_movement SET delta = delta + :delta WHERE reference = :reference")
_INSERT = text(
    "INSERT INTO stock_movement (sku, location, delta, kind, reference, at)"
    " VALUES (:sku, :location, :delta, :kind, :reference, :at)"
)


@dataclass(slots=True)
class Fold:
    """Replaces the movements of each (SKU, location) before ``cutoff`` by one with the same sum, step by step.

    What sources told and what we booked stay two rows: where the stock file is the truth of changes only, the sum of
    what it told is asked for.
    """

    cutoff: datetime
    done: bool = False
    _from: tuple[str, str] = field(default=("", ""))

    def step(self, conn: Connection) -> int:
        """Fold some. Returns how many rows there are less."""
        rows = conn.execute(
            text(
                "SELECT id, sku, location, delta, kind, at FROM stock_movement WHERE (sku, location) >= (:sku, :location)"
                " AND at < :cutoff ORDER BY sku, location, id LIMIT :limit"
            ),
            {"sku": self._from[0], "location": self._from[1], "cutoff": micros(self.cutoff), "limit": AT_ONCE},
        ).all()
        self.done = len(rows) < AT_ONCE
        groups = defaultdict(list)
        for row in rows:
            groups[row.sku, row.location, row.kind in _TOLD].append(row)
        less = 0
        for (sku, location, told), group in groups.items():
            self._from = (sku, location)
            if len(group) > 1:
                less += len(group) - self._carry(conn, sku, location, told, [row.id for row in group])
        return less

    def _carry(self, conn: Connection, sku: str, location: str, told: bool, ids: list[int]) -> int:
        """One movement instead of these. Returns how many rows were added."""
        values = {"ids": listed(conn, ids)}
        total, last = conn.execute(
            text(f"SELECT SUM(delta), MAX(at) FROM stock_movement WHERE {among(conn, 'id', 'ids')}"), values
        ).one()
        conn.execute(text(f"DELETE FROM stock_movement WHERE {among(conn, 'id', 'ids')}"), values)
        if not total:
            return 0
        values = {
            "sku": sku, "location": location, "delta": int(total), "kind": "snapshot" if told else "carry", "at": last,
            "reference": f"carry:{self.cutoff:%Y-%m}:{location}:{sku}" + (":told" if told else ""),
        }  # fmt: skip
        if conn.execute(_ADD, values).rowcount:  # a stock with more movements than fit in one step
            return 0
        conn.execute(_INSERT, values)
        return 1


def _months_before(now: datetime, months: int) -> datetime:
    """The beginning of the month, that many months ago."""
    year, month = divmod(now.astimezone(UTC).year * 12 + now.astimezone(UTC).month - 1 - months, 12)
    return moment(0).replace(year=year, month=month + 1)
