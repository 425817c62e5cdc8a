"""Counts what happens, keeps what the ledger says, and shows both to Prometheus. One call per batch, never per offer."""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric as Family

from marketsync.adapter.clock import Clock
from marketsync.adapter.content import Aspect, Result
from marketsync.adapter.money import Money
from marketsync.telemetry import catalogue as c
from marketsync.telemetry.catalogue import CATALOGUE, LEDGER, Kind, Metric
from marketsync.telemetry.exposition import Labels, histogram, plain

CEILING: Final = 2_000
_BREAKER: Final = {"closed": 0, "half_open": 1, "open": 2}


class Reading(NamedTuple):
    """One value that the ledger tells: a metric of the catalogue, its label values in order, the value."""

    metric: Metric
    labels: Labels
    value: float


@dataclass(slots=True)
class _Spread:
    """A histogram's counts per bucket (the last is +Inf) and their sum."""

    counts: list[int]
    total: float = 0.0

    def observe(self, buckets: tuple[float, ...], value: float) -> None:
        self.counts[bisect_left(buckets, value)] += 1
        self.total += value


@dataclass(frozen=True, slots=True, kw_only=True)
class Sales:
    """What a batch of new orders of one channel and currency comes to. Money in that currency.

    ``cost`` and ``costed_revenue`` cover only the lines whose cost is known, both net.
    """

    orders: int
    lines: int
    units: int
    revenue: Money
    cost: Money | None = None
    costed_revenue: Money | None = None


class Metrics:
    """Every metric of the catalogue, in a registry of its own. Safe to call from any thread."""

    def __init__(self, clock: Clock, *, ceiling: int = CEILING) -> None:
        """``ceiling`` label sets are kept per metric; what comes beyond is dropped and counted."""
        self.registry = CollectorRegistry()
        self._clock = clock
        self._ceiling = ceiling
        self._lock = Lock()
        self._values: dict[Metric, dict[Labels, float]] = {m: {} for m in CATALOGUE if m.kind is not Kind.HISTOGRAM}
        self._spreads: dict[Metric, dict[Labels, _Spread]] = {m: {} for m in CATALOGUE if m.kind is Kind.HISTOGRAM}
        self._read_at = clock.monotonic()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    # What the ledger says

    def replace(self, readings: Iterable[Reading]) -> None:
        """Take a whole new reading of the ledger: what it does not name any more is gone.

        Raises ValueError for a reading whose metric is not read from the ledger or whose labels do not fit.
        """
        fresh: dict[Metric, dict[Labels, float]] = {m: {} for m in CATALOGUE if m.origin == LEDGER}
        dropped: dict[Metric, int] = {}
        for metric, labels, value in readings:
            if metric not in fresh or len(labels) != len(metric.labels):
                raise ValueError(f"{metric.name}{labels} is no reading of the ledger")
            series = fresh[metric]
            if len(series) >= self._ceiling and labels not in series:
                dropped[metric] = dropped.get(metric, 0) + 1
            else:
                series[labels] = value
        with self._lock:
            self._values.update(fresh)
            self._read_at = self._clock.monotonic()
            for metric, count in dropped.items():
                self._drop(metric, count)

    # Pushes and calls

    def pushed(self, channel: str, counts: Mapping[tuple[Aspect, Result], int], seconds: float | None = None) -> None:
        """One batch: how many aspects came to which result, as {(aspect, result): count}, and how long it took.

        ``seconds`` is None for results that a confirmation brought.
        """
        with self._lock:
            for (aspect, result), count in counts.items():
                self._add(c.PUSHES, (channel, aspect, result), count)
            if seconds is not None:
                self._observe(c.PUSH_SECONDS, (channel,), seconds)

    def live(self, channel: str, ages: Mapping[str, float]) -> None:
        """One batch that the channel confirmed: seconds since its oldest change was noticed, by aspect."""
        with self._lock:
            for aspect, seconds in ages.items():
                self._observe(c.LIVE_SECONDS, (channel, aspect), seconds)

    def healed(self, channel: str, counts: Mapping[str, int]) -> None:
        """Drifted offers made due again, by aspect."""
        with self._lock:
            for aspect, count in counts.items():
                self._add(c.HEALED, (channel, aspect), count)

    def call(self, account: str, operation: str, status: str, seconds: float, /) -> None:
        """One request: its HTTP status ("200") or what happened instead ("timeout", "not_sent")."""
        with self._lock:
            self._observe(c.CALL_SECONDS, (account, operation, status), seconds)

    def bucket_waited(self, account: str, bucket: str, seconds: float, /) -> None:
        """A bucket asked a request to wait that long."""
        with self._lock:
            self._observe(c.BUCKET_WAIT, (account, bucket), seconds)

    def account_state(
        self,
        account: str,
        *,
        breaker: str,
        fill: Mapping[str, float],
        blocked: Mapping[str, datetime],
        quotas: Mapping[str, tuple[int, int]],
    ) -> None:
        """How an account's limits stand now: its breaker (closed, half_open, open), and by bucket the share that is
        free (0 to 1), until when the channel told it to wait, and (calls left, limit) of its quotas.
        """
        with self._lock:
            self._forget((c.BUCKET_BLOCKED, c.BUCKET_FILL, c.QUOTA_LEFT, c.QUOTA_LIMIT), "account", {account})
            self._set(c.BREAKER, (account,), _BREAKER[breaker])
            for bucket, share in fill.items():
                self._set(c.BUCKET_FILL, (account, bucket), share)
            for bucket, until in blocked.items():
                self._set(c.BUCKET_BLOCKED, (account, bucket), until.timestamp())
            for bucket, (left, limit) in quotas.items():
                self._set(c.QUOTA_LEFT, (account, bucket), left)
                self._set(c.QUOTA_LIMIT, (account, bucket), limit)

    # Work

    def task_ran(self, channel: str, task: str, outcome: str, seconds: float) -> None:
        """One run; ``channel`` is "" for a task that is for none. ``outcome``: done, failed, blocked, stopped."""
        with self._lock:
            self._observe(c.TASK_SECONDS, (channel, task, outcome), seconds)

    def delivered(self, sink: str, result: str, seconds: float) -> None:
        with self._lock:
            self._add(c.DELIVERED, (sink, result), 1)
            self._observe(c.DELIVERY_SECONDS, (sink,), seconds)

    def inbound(self, endpoint: str, channel: str, status: int) -> None:
        """One request answered; ``channel`` is "" where it names none that exists."""
        with self._lock:
            self._add(c.INBOUND, (endpoint, channel, str(status)), 1)

    def purged(self, rows: Mapping[str, int]) -> None:
        """Rows deleted, by table."""
        with self._lock:
            for table, count in rows.items():
                self._add(c.PURGED, (table,), count)

    # Business

    def sold(self, channel: str, sales: Sales) -> None:
        """A batch of new orders, after its commit."""
        key = (channel, sales.revenue.currency)
        with self._lock:
            self._add(c.ORDERS, key, sales.orders)
            self._add(c.ORDER_LINES, key, sales.lines)
            self._add(c.UNITS_SOLD, key, sales.units)
            self._pay(c.REVENUE, key, sales.revenue)
            self._pay(c.COST, key, sales.cost)
            self._pay(c.COSTED_REVENUE, key, sales.costed_revenue)

    def cancelled(self, channel: str, units: int) -> None:
        with self._lock:
            self._add(c.UNITS_CANCELLED, (channel,), units)

    def returned(self, channel: str, units: int) -> None:
        with self._lock:
            self._add(c.UNITS_RETURNED, (channel,), units)

    def refunded(self, channel: str, amount: Money) -> None:
        with self._lock:
            self._pay(c.REFUNDS, (channel, amount.currency), amount)

    # The daemon

    def beat(self) -> None:
        """The scheduler ticked now."""
        with self._lock:
            self._set(c.BEAT, (), self._clock.now().timestamp())

    def loop_lagged(self, seconds: float) -> None:
        with self._lock:
            self._observe(c.LOOP_LAG, (), seconds)

    def config_loaded(self, config_hash: str) -> None:
        """A configuration was taken, at the start or by a reload."""
        with self._lock:
            self._values[c.CONFIG] = {(config_hash,): 1}
            self._set(c.RELOAD_OK, (), 1)
            self._set(c.RELOADED, (), self._clock.now().timestamp())

    def config_refused(self) -> None:
        """A reload was refused; the old configuration stays."""
        with self._lock:
            self._set(c.RELOAD_OK, (), 0)

    def built(self, version: str, database: str) -> None:
        with self._lock:
            self._values[c.BUILD] = {(version, database): 1}

    def start_from_zero(self, channels: Mapping[str, str]) -> None:
        """Show 0 for the counters of these channels (name -> currency): else ``increase()`` misses each first event."""
        with self._lock:
            for channel, currency in channels.items():
                for metric in (c.ORDERS, c.ORDER_LINES, c.UNITS_SOLD, c.REVENUE, c.REFUNDS):
                    self._add(metric, (channel, currency), 0)
                for metric in (c.UNITS_CANCELLED, c.UNITS_RETURNED):
                    self._add(metric, (channel,), 0)

    def forget(self, label: str, names: Collection[str]) -> None:
        """Drop what was counted for channels, accounts or sinks that the configuration no longer has."""
        with self._lock:
            self._forget([metric for metric in CATALOGUE if label in metric.labels], label, names)

    # Inside, with the lock held

    def _add(self, metric: Metric, labels: Labels, amount: float) -> None:
        series = self._values[metric]
        if labels in series:
            series[labels] += amount
        elif len(series) < self._ceiling:
            series[labels] = amount
        else:
            self._drop(metric, 1)

    def _pay(self, metric: Metric, labels: Labels, amount: Money | None) -> None:
        if amount is not None and amount.minor >= 0:  # a counter that falls reads as a restart
            self._add(metric, labels, amount.minor)

    def _observe(self, metric: Metric, labels: Labels, value: float) -> None:
        series = self._spreads[metric]
        spread = series.get(labels)
        if spread is None:
            if len(series) >= self._ceiling:
                self._drop(metric, 1)
                return
            spread = series[labels] = _Spread([0] * (len(metric.buckets) + 1))
        spread.observe(metric.buckets, value)

    def _drop(self, metric: Metric, count: int) -> None:
        dropped = self._values[c.DROPPED]
        dropped[(metric.exposed,)] = dropped.get((metric.exposed,), 0) + count

    def _set(self, metric: Metric, labels: Labels, value: float) -> None:
        series = self._values[metric]
        if labels in series or len(series) < self._ceiling:
            series[labels] = value
        else:
            self._drop(metric, 1)

    def _forget(self, metrics: Iterable[Metric], label: str, names: Collection[str]) -> None:
        for metric in metrics:
            at = metric.labels.index(label)
            series: dict[Labels, Any] = (self._spreads if metric.kind is Kind.HISTOGRAM else self._values)[metric]
            for labels in [labels for labels in series if labels[at] in names]:
                del series[labels]

    # What prometheus_client asks: the names when it is registered, the values at each scrape

    def describe(self) -> Iterator[Family]:
        for metric in CATALOGUE:
            yield histogram(metric, {}) if metric.kind is Kind.HISTOGRAM else plain(metric, {}, 0.0)

    def collect(self) -> Iterator[Family]:
        with self._lock:
            age = self._clock.monotonic() - self._read_at
            values = {metric: dict(series) for metric, series in self._values.items()}
            spreads = {
                metric: {labels: (list(s.counts), s.total) for labels, s in series.items()}
                for metric, series in self._spreads.items()
            }
        values[c.STATE_AGE] = {(): age}
        for metric in CATALOGUE:
            if metric.kind is Kind.HISTOGRAM:
                yield histogram(metric, spreads[metric])
            else:
                yield plain(metric, values[metric], age)
