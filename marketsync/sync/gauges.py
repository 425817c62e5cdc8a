"""What the metrics tell of the ledger: the cheap part at every reading, the rest as often as it is worth its time."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, text

from marketsync.adapter.api import ReadsOffers
from marketsync.adapter.content import Aspect
from marketsync.ledger.engine import is_sqlite, sqlite_path
from marketsync.ledger.gateway import Ledger, Rank
from marketsync.ledger.lines import parsed
from marketsync.ledger.queries import channels as channel_queries
from marketsync.ledger.queries import house as house_queries
from marketsync.ledger.queries import journal, orders
from marketsync.ledger.queries.channels import Backlog
from marketsync.ledger.types import micros, moment
from marketsync.sync.live import House
from marketsync.sync.orders import AGAIN
from marketsync.telemetry import catalogue as c
from marketsync.telemetry.metrics import Reading

CHANNEL_STATES = ("observing", "active", "paused", "blocked")
FEW = 20_000  # due offers per channel that are looked at with every reading
SLOW_EVERY = 60.0  # seconds at least between two looks at everything
SLOW_SHARE = 20  # ... and at least so many times what the last one took
UNSEEN_AFTER = timedelta(days=2)  # of which at least one reading of the channel begins and ends


class Gauges:
    """The readings of a house. Its slow ones are kept until they are due again."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._slow: list[Reading] = []
        self._read_at = 0.0
        self._next = 0.0

    async def readings(self) -> list[Reading]:
        """Every metric whose origin is the ledger. Raises LedgerError where it cannot be read."""
        house, clock = self._house, self._house.clock
        began = clock.monotonic()
        now = clock.now()
        if not self._slow or began >= self._next:
            self._slow = await house.ledger.read(partial(slow_readings, now=now, unseen_before=unseen_before(house)))
            self._read_at = clock.monotonic()
            self._next = self._read_at + max(SLOW_EVERY, SLOW_SHARE * (self._read_at - began))
        quick = await house.ledger.read(partial(quick_readings, now=now, names=_sinks(house)))
        told = {(reading.metric, reading.labels) for reading in quick}
        kept = [reading for reading in self._slow if (reading.metric, reading.labels) not in told]
        return [*_aged(kept, began - self._read_at), *quick, *_configured(house), *ledger_readings(house.ledger)]


def _aged(readings: Iterable[Reading], seconds: float) -> Iterator[Reading]:
    """Ages go on growing between two looks."""
    for reading in readings:
        grows = reading.metric.ages and reading.value > 0 and seconds > 0
        yield reading._replace(value=reading.value + seconds) if grows else reading


# ------------------------------------------------------------------ with every reading


def quick_readings(conn: Connection, now: datetime, names: Iterable[str] = ()) -> list[Reading]:
    """What small tables and partial indexes tell; ``names`` are the sinks that there are.

    The backlog of a channel is among it as long as it is short: a whole catalogue that waits is counted slowly.
    """
    states = channel_queries.channels(conn)
    found = [reading for state in states for reading in _channel(state, now)]
    ids = {state.id: state.name for state in states}
    short = [channel for channel in ids if channel_queries.due_rows(conn, [channel], FEW + 1) <= FEW]
    found += _backlog(conn, {channel: ids[channel] for channel in short}, now)
    found += _holds(conn, now)
    found += _issues(conn)
    found += _sources(conn, now)
    found += _tasks(conn)
    oldest = house_queries.oldest_deliveries(conn)
    for sink in {*names, *oldest}:
        found.append(Reading(c.OLDEST_DELIVERY, (sink,), _age(oldest.get(sink), now)))
    for token in house_queries.tokens(conn):
        for name, expires in (("access", token.expires), ("refresh", token.refresh_expires)):
            if expires is not None:
                found.append(Reading(c.TOKEN_EXPIRY, (token.account, name), expires.timestamp()))
    return found


def _channel(state: channel_queries.ChannelState, now: datetime) -> Iterator[Reading]:
    for name in CHANNEL_STATES:
        yield Reading(c.CHANNEL_STATE, (state.name, name), float(state.state == name))
    if state.pulled is not None:
        yield Reading(c.ORDER_PULL_LAG, (state.name,), _age(state.pulled, now))


def _backlog(conn: Connection, names: Mapping[int, str], now: datetime) -> list[Reading]:
    found: list[Reading] = []
    for channel, backlog in channel_queries.backlog(conn, names, now).items():
        found += _backlog_of(names[channel], backlog, now)
    return found


def _backlog_of(name: str, backlog: Backlog, now: datetime) -> Iterator[Reading]:
    yield Reading(c.OFFERS_IN_FLIGHT, (name,), backlog.in_flight)
    for aspect in Aspect:
        since = backlog.oldest.get(aspect)
        yield Reading(c.OFFERS_DUE, (name, aspect), backlog.due[aspect])
        yield Reading(c.OLDEST_UNSENT, (name, aspect), 0.0 if since is None else _age(moment(since), now))


def _holds(conn: Connection, now: datetime) -> list[Reading]:
    found: list[Reading] = []
    oldest: dict[str, datetime] = {}
    for hold in journal.hold_counts(conn):
        found.append(Reading(c.HOLDS, (hold.channel, hold.guard), hold.holds))
        oldest[hold.channel] = min(hold.oldest, oldest.get(hold.channel, hold.oldest))
    return found + [Reading(c.OLDEST_HOLD, (channel,), _age(at, now)) for channel, at in oldest.items()]


def _issues(conn: Connection) -> Iterator[Reading]:
    """Issues of sources are their problems; those of accounts and sinks go by the name of these."""
    for (scope, code), count in journal.issue_counts(conn).items():
        kind, _, name = scope.partition(":")
        yield Reading(c.SOURCE_PROBLEMS if kind == "source" else c.ISSUES, (name, code), count)


def _sources(conn: Connection, now: datetime) -> Iterator[Reading]:
    for source in house_queries.sources(conn):
        if source.exported is not None:
            yield Reading(c.SOURCE_AGE, (source.name,), _age(source.exported, now))
            yield Reading(c.SOURCE_ROWS, (source.name,), source.rows)


def _tasks(conn: Connection) -> Iterator[Reading]:
    for task in house_queries.tasks(conn):
        name = task.owner.partition(":")[2] or task.owner
        yield Reading(c.TASK_FAILURES, (name, task.task), task.failures)
        if task.success is not None:
            yield Reading(c.TASK_SUCCESS, (name, task.task), task.success.timestamp())


# ------------------------------------------------------------------ now and then


def slow_readings(
    conn: Connection, now: datetime, unseen_before: Mapping[int, Mapping[Aspect, int]] | None = None
) -> list[Reading]:
    """What takes a look at every offer and order. ``unseen_before``: see ``marketsync.ledger.queries.channels.counts``."""
    ids = {state.id: state.name for state in channel_queries.channels(conn)}
    counts = channel_queries.counts(conn, unseen_before)
    found = _backlog(conn, ids, now)
    for channel, name in ids.items():
        count = counts.get(channel, channel_queries.Counts())
        found.append(Reading(c.OFFERS, (name,), count.offers))
        for metric, by_aspect in (
            (c.OFFERS_DIRTY, count.dirty), (c.OFFERS_UNKNOWN, count.unknown), (c.OFFERS_PARKED, count.parked),
            (c.OFFERS_HELD, count.held), (c.OFFERS_DRIFTED, count.drifted), (c.OFFERS_UNSEEN, count.unseen),
        ):  # fmt: skip
            found += [Reading(metric, (name, aspect), by_aspect[aspect]) for aspect in Aspect]
    return [*found, *_orders(conn, ids.values()), *_size(conn)]


def _orders(conn: Connection, names: Iterable[str]) -> Iterator[Reading]:
    oversold, unmapped, gaps = orders.oversold(conn), orders.unmapped_lines(conn), _gaps(conn)
    for name in names:
        yield Reading(c.OVERSOLD, (name,), oversold.get(name, 0))
        yield Reading(c.ORDER_LINES_UNMAPPED, (name,), unmapped.get(name, 0))
        if name in gaps:
            yield Reading(c.ORDER_GAP, (name,), gaps[name])
    for order in orders.order_counts(conn):
        yield Reading(c.ORDERS_STORED, (order.channel, order.payment, order.fulfilment), order.orders)
    for command in orders.command_counts(conn):
        yield Reading(c.COMMANDS, (command.channel, command.kind, command.state), command.commands)
    for sink in house_queries.sinks(conn):
        due = sink.waiting - sink.failed
        for state, count in (("due", due), ("failed", sink.failed), ("delivered", sink.delivered)):
            yield Reading(c.DELIVERIES, (sink.name, state), count)


def _gaps(conn: Connection) -> dict[str, int]:
    """Orders that a count found missing, by channel: those of its account, as the storefronts share one pull."""
    sql = (
        "SELECT ch.name, t.cursor FROM channel ch JOIN account a ON a.id = ch.account_id"
        " JOIN task_state t ON t.owner = 'account:' || a.name AND t.task = :task WHERE t.cursor IS NOT NULL"
    )
    rows = conn.execute(text(sql), {"task": AGAIN})
    return {row.name: int((parsed(row.cursor) or {}).get("missing", 0)) for row in rows}


def _size(conn: Connection) -> Iterator[Reading]:
    if conn.dialect.name != "sqlite":
        size = conn.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        yield Reading(c.LEDGER_BYTES, (), size)


# ------------------------------------------------------------------ without a query


def ledger_readings(ledger: Ledger) -> Iterator[Reading]:
    """What the gateway counts, and the files of a SQLite ledger."""
    stats = ledger.stats
    for rank in Rank:
        name = rank.name.lower()
        yield Reading(c.LEDGER_QUEUE, (name,), stats.waiting[rank])
        yield Reading(c.LEDGER_WRITES, (name,), stats.written[rank])
        yield Reading(c.LEDGER_WRITE_SECONDS, (name,), stats.seconds[rank])
    yield Reading(c.LEDGER_CONFLICTS, (), stats.conflicts)
    if is_sqlite(ledger.url):
        path = sqlite_path(ledger.url)
        files = [path, path.with_name(path.name + "-wal")]
        yield Reading(c.LEDGER_BYTES, (), sum(file.stat().st_size for file in files if file.exists()))
        yield Reading(c.LEDGER_FREE, (), shutil.disk_usage(path.parent).free)


def _configured(house: House) -> Iterator[Reading]:
    for name, source in (house.config.sources if house.config else {}).items():
        if source.max_age is not None:
            yield Reading(c.SOURCE_MAX_AGE, (name,), source.max_age.total_seconds())


def _sinks(house: House) -> tuple[str, ...]:
    return tuple(house.config.sinks) if house.config else ()


def unseen_before(house: House) -> dict[int, dict[Aspect, int]]:
    """By when a write must have been seen to have been seen in time: channel id -> aspect -> microseconds."""
    now = house.clock.now()
    return {
        channel.id: {
            aspect: micros(now - max(UNSEEN_AFTER, 2 * (channel.config.schedule.reconcile.interval or UNSEEN_AFTER / 2))
                           - channel.account.spec.visible_after)
            for aspect in Aspect
            if channel.account.spec.observable.get(aspect)
        }
        for channel in house.channels.values()
        if isinstance(channel.adapter, ReadsOffers)
    }  # fmt: skip


def _age(at: datetime | None, now: datetime) -> float:
    """Seconds since, never below 0: a channel's clock may run ahead of ours."""
    return 0.0 if at is None else max(0.0, (now - at).total_seconds())
