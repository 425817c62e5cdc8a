"""How the channels stand: what waits, what is stuck, since when."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, RowMapping, text

from marketsync.adapter.content import Aspect
from marketsync.ledger.outbox import Lane, aspects_of
from marketsync.ledger.queries import states
from marketsync.ledger.queries.spelling import tally, when
from marketsync.ledger.types import micros, moment

PerAspect = dict[Aspect, int]
COUNTED = {"dirty": states.dirty, "unknown": states.unknown, "parked": states.parked, "held": states.held,
           "drifted": states.drifted}  # fmt: skip


@dataclass(slots=True)
class Backlog:
    """What has not reached a channel. ``oldest``: since when, in microseconds, by aspect; aspects without are left out."""

    due: PerAspect = field(default_factory=lambda: dict.fromkeys(Aspect, 0))
    oldest: PerAspect = field(default_factory=dict)
    in_flight: int = 0


@dataclass(slots=True)
class Counts:
    """Offers of a channel by state and aspect. Takes a look at every offer."""

    offers: int = 0
    dirty: PerAspect = field(default_factory=lambda: dict.fromkeys(Aspect, 0))
    unknown: PerAspect = field(default_factory=lambda: dict.fromkeys(Aspect, 0))
    parked: PerAspect = field(default_factory=lambda: dict.fromkeys(Aspect, 0))
    held: PerAspect = field(default_factory=lambda: dict.fromkeys(Aspect, 0))
    drifted: PerAspect = field(default_factory=lambda: dict.fromkeys(Aspect, 0))
    unseen: PerAspect = field(default_factory=lambda: dict.fromkeys(Aspect, 0))


@dataclass(frozen=True, slots=True)
class ChannelState:
    """One channel; ``pulled``: when the last complete pull of its orders began; ``error``: of the task that fails."""

    id: int
    name: str
    account: str
    state: str
    why: str
    changed: datetime
    adopted: datetime | None
    aspects: tuple[Aspect, ...]
    pulled: datetime | None
    error: str
    failing_task: str


def channels(conn: Connection) -> list[ChannelState]:
    """Every channel that is not removed, by name."""
    sql = """
        SELECT ch.id, ch.name, a.name AS account, ch.state, ch.why, ch.changed_at, ch.adopted_at, ch.takes,
            o.pulled_from, f.task, f.error
        FROM channel ch JOIN account a ON a.id = ch.account_id
        LEFT JOIN task_state o ON o.owner = 'account:' || a.name AND o.task = 'orders'
        LEFT JOIN (
            SELECT owner, task, error, ROW_NUMBER() OVER (PARTITION BY owner ORDER BY started_at DESC) AS place
            FROM task_state WHERE failures > 0
        ) AS f ON f.owner IN ('channel:' || ch.name, 'account:' || a.name) AND f.place = 1
        WHERE ch.state <> 'removed' ORDER BY ch.name, f.owner DESC"""
    found: dict[str, ChannelState] = {}
    for row in conn.execute(text(sql)):
        aspects = aspects_of(row.takes)
        state = ChannelState(
            row.id, row.name, row.account, row.state, row.why, moment(row.changed_at), when(row.adopted_at),
            tuple(aspect for aspect in Aspect if aspect in aspects), when(row.pulled_from), row.error or "", row.task or "",
        )  # fmt: skip
        found.setdefault(row.name, state)  # its own trouble before that of its account
    return list(found.values())


def due_rows(conn: Connection, channel_ids: Iterable[int], most: int) -> int:
    """How many offers wait to be sent, now or later, counted up to ``most`` per channel; costs no look at the offers."""
    sql = text(
        "SELECT COUNT(*) FROM (SELECT 1 FROM offer WHERE channel_id = :channel AND due_at IS NOT NULL LIMIT :most) AS x"
    )
    return sum(conn.execute(sql, {"channel": channel, "most": most}).scalar_one() for channel in channel_ids)


def backlog(conn: Connection, channel_ids: Iterable[int], now: datetime) -> dict[int, Backlog]:
    """What has not reached each channel. Costs one look at every offer that is due or in flight, and at no other."""
    columns = ", ".join(
        f"{tally(states.due(aspect))} AS {aspect}_now, MIN(CASE WHEN {states.unsent(aspect)} THEN {aspect}_since END)"
        f" AS {aspect}_oldest"
        for aspect in Aspect
    )
    waiting = text(f"SELECT {columns}, 0 AS in_flight FROM offer WHERE channel_id = :channel AND due_at IS NOT NULL")
    flying = text(
        # Grouping by the plain column makes SQLite read all offers in its order instead of the few that are open.
        f"SELECT channel_id + 0 AS channel_id, {columns}, COUNT(*) AS in_flight FROM offer WHERE open_batch IS NOT NULL"
        " GROUP BY channel_id + 0"
    )
    found = {channel: Backlog() for channel in channel_ids}
    at = {"now": micros(now)}
    for row in conn.execute(flying, at):
        if row.channel_id in found:
            _add(found[row.channel_id], row._mapping)  # noqa: SLF001  public in spite of its name
    for channel, one in found.items():
        row = conn.execute(waiting, at | {"channel": channel}).one()
        _add(one, row._mapping)  # noqa: SLF001  public in spite of its name
    return found


def _add(backlog_: Backlog, row: RowMapping) -> None:
    backlog_.in_flight += row["in_flight"]
    for aspect in Aspect:
        backlog_.due[aspect] += int(row[f"{aspect}_now"] or 0)
        since = row[f"{aspect}_oldest"]
        if since is not None:
            backlog_.oldest[aspect] = min(since, backlog_.oldest.get(aspect, since))


def counts(conn: Connection, unseen_before: Mapping[int, Mapping[Aspect, int]] | None = None) -> dict[int, Counts]:
    """Offers by channel id, state and aspect, in one look at all of them.

    ``unseen_before``: per channel and aspect the time (microseconds) by which an acknowledgement should have been seen.
    """
    columns = [
        f"{tally(condition(aspect))} AS {name}_{aspect}" for name, condition in COUNTED.items() for aspect in Aspect
    ]
    columns += [
        f"{tally(states.unseen(aspect, before))} AS unseen_{aspect}"
        for aspect in Aspect
        if (before := _deadlines(unseen_before or {}, aspect))
    ]
    sql = text(f"SELECT channel_id, COUNT(*) AS offers, {', '.join(columns)} FROM offer GROUP BY channel_id")
    found = {}
    for row in conn.execute(sql, states.VALUES):
        values = row._mapping  # noqa: SLF001  public in spite of its name
        one = found[row.channel_id] = Counts(row.offers)
        for name in (*COUNTED, "unseen"):
            getattr(one, name).update({a: int(values[f"{name}_{a}"]) for a in Aspect if f"{name}_{a}" in values})
    return found


def _deadlines(unseen_before: Mapping[int, Mapping[Aspect, int]], aspect: Aspect) -> str:
    """SQL: the deadline of the offer's channel; empty where no channel has one for this aspect."""
    cases = [f"WHEN {int(channel)} THEN {int(at[aspect])}" for channel, at in unseen_before.items() if aspect in at]
    return f"CASE channel_id {' '.join(cases)} END" if cases else ""


def urgent(conn: Connection, channel_id: int, now: datetime) -> int:
    """How many offers wait in the most urgent lane: withdrawals and stock to zero."""
    sql = text("SELECT COUNT(*) FROM offer WHERE channel_id = :channel AND lane = :lane AND due_at <= :now")
    values = {"channel": channel_id, "lane": int(Lane.ZERO), "now": micros(now)}
    return int(conn.execute(sql, values).scalar_one())
