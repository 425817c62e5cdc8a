"""The metric catalogue: every metric that marketsync exposes, as data. `docs/metrics.md` is generated from it.

Metrics with ``origin=LEDGER`` are read from the ledger as a whole (``Metrics.replace``) and so survive a restart; the
others are counted as things happen. Label values are bounded: never a SKU, an order or anything personal.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PREFIX: Final = "marketsync_"
LEDGER: Final = "the ledger"

FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
CALL: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LONG: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
AGES: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)

# What a label may be called. Each of them takes values from the configuration, an adapter's spec or a fixed list.
LABELS: Final = frozenset(
    {
        "account", "aspect", "bucket", "channel", "code", "currency", "database", "endpoint", "fulfilment", "guard",
        "hash", "kind", "metric", "operation", "outcome", "payment", "rank", "result", "sink", "source", "state",
        "status", "table", "task", "token", "version",
    }
)  # fmt: skip


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric: its base name, what it says, its labels in order and who tells it.

    ``unit`` ends the name as Prometheus wants it. ``ages``: a value in seconds that grows with time while it is not
    zero, so a reading that got old is shown with its own age added. ``money``: kept in minor units, shown in major.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    origin: str = LEDGER
    unit: str = ""
    buckets: tuple[float, ...] = ()
    ages: bool = False
    money: bool = False

    @property
    def exposed(self) -> str:
        """The name under which Prometheus stores it (histograms: the stem of _bucket, _sum and _count)."""
        ending = {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(self.kind, "")
        return PREFIX + self.name + ending


def _gauge(name: str, text: str, *labels: str, origin: str = LEDGER, unit: str = "", ages: bool = False) -> Metric:
    return Metric(name, Kind.GAUGE, text, labels, origin, unit, ages=ages)


def _counter(name: str, text: str, *labels: str, origin: str = LEDGER, money: bool = False) -> Metric:
    return Metric(name, Kind.COUNTER, text, labels, origin, money=money)


def _histogram(name: str, text: str, *labels: str, origin: str, buckets: tuple[float, ...]) -> Metric:
    return Metric(name, Kind.HISTOGRAM, text, labels, origin, "seconds", buckets)


# Offers
OFFERS = _gauge("offers", "Offers of the channel.", "channel")
OLDEST_UNSENT = _gauge(
    "oldest_unsent_change_seconds",
    "Age of the oldest change that has not reached the channel, due or in flight; 0 where there is none. What is parked "
    "or held waits for a person and is counted apart.",
    "channel", "aspect", unit="seconds", ages=True,
)  # fmt: skip
OFFERS_DUE = _gauge("offers_due", "Offers whose aspect is due to be pushed now.", "channel", "aspect")
OFFERS_DIRTY = _gauge("offers_dirty", "Offers whose desired and acknowledged state differ.", "channel", "aspect")
OFFERS_UNKNOWN = _gauge(
    "offers_unknown", "Offers of which nobody can know what the channel shows.", "channel", "aspect"
)
OFFERS_IN_FLIGHT = _gauge("offers_in_flight", "Offers with an open op.", "channel")
OFFERS_PARKED = _gauge("offers_parked", "Offers the channel refused, until their content changes.", "channel", "aspect")
OFFERS_DRIFTED = _gauge("offers_drifted", "Offers whose seen and acknowledged state differ.", "channel", "aspect")
OFFERS_UNSEEN = _gauge(
    "offers_unseen", "Offers whose write was accepted and has not been seen in time.", "channel", "aspect"
)
OFFERS_HELD = _gauge("offers_held", "Offers with a change that a guard stopped.", "channel", "aspect")
HOLDS = _gauge("holds", "Holds that wait for a person.", "channel", "guard")
OLDEST_HOLD = _gauge(
    "oldest_hold_seconds", "Age of the oldest hold that waits for a person.", "channel", unit="seconds", ages=True
)
CHANNEL_STATE = _gauge(
    "channel_state", "1 for the state the channel is in: observing, active, paused, blocked.", "channel", "state"
)
ISSUES = _gauge("issues", "Open issues.", "channel", "code")

# Orders
ORDERS_STORED = _gauge("orders_stored", "Orders in the ledger by state.", "channel", "payment", "fulfilment")
ORDER_PULL_LAG = _gauge(
    "order_pull_lag_seconds", "Seconds since the last complete pull of orders began.", "channel", unit="seconds",
    ages=True,
)  # fmt: skip
ORDER_GAP = _gauge("order_gap", "Orders the channel has and the ledger has not. Must be 0.", "channel")
ORDER_LINES_UNMAPPED = _gauge(
    "order_lines_unmapped", "Open order lines whose channel SKU no item is known for.", "channel"
)
OVERSOLD = _counter("oversold_units", "Pieces sold that were not there when their order was stored.", "channel")
COMMANDS = _gauge("commands", "Commands to the channel by state.", "channel", "kind", "state")
DELIVERIES = _gauge("deliveries", "Deliveries of orders to the sink by state.", "sink", "state")
OLDEST_DELIVERY = _gauge(
    "oldest_undelivered_seconds", "Age of the oldest delivery that the sink has not taken; 0 where there is none.",
    "sink", unit="seconds", ages=True,
)  # fmt: skip

# Sources, tasks, tokens, the ledger itself
SOURCE_AGE = _gauge(
    "source_age_seconds", "Seconds since the newest snapshot in use was exported.", "source", unit="seconds", ages=True
)
SOURCE_MAX_AGE = _gauge(
    "source_max_age_seconds", "The age at which the source counts as stale.", "source", unit="seconds"
)
SOURCE_ROWS = _gauge("source_rows", "Rows of the newest snapshot.", "source")
SOURCE_PROBLEMS = _gauge("source_problems", "Rows of the newest snapshot with a problem.", "source", "code")
TASK_SUCCESS = _gauge(
    "task_last_success_timestamp_seconds", "When the task last succeeded.", "channel", "task", unit="seconds"
)
TASK_FAILURES = _gauge("task_failures", "Failures of the task since it last succeeded.", "channel", "task")
TOKEN_EXPIRY = _gauge(
    "token_expiry_timestamp_seconds", "When the token (access, refresh) expires.", "account", "token", unit="seconds"
)
LEDGER_BYTES = _gauge("ledger_bytes", "Size of the ledger, write-ahead log included.", unit="bytes")
LEDGER_FREE = _gauge("ledger_free_bytes", "Space left on the disk of a SQLite ledger.", unit="bytes")
LEDGER_QUEUE = _gauge("ledger_queue", "Writes that wait for the ledger or are being written.", "rank")
LEDGER_WRITES = _counter("ledger_writes", "Write transactions of this process.", "rank")
LEDGER_WRITE_SECONDS = Metric(
    "ledger_write_seconds", Kind.COUNTER, "Time those transactions took, without their wait in the queue.", ("rank",),
    unit="seconds",
)  # fmt: skip
LEDGER_CONFLICTS = _counter("ledger_conflicts", "Write transactions tried again after a conflict.")

# Pushes and calls
PUSHES = _counter(
    "pushes", "Aspects of offers pushed, by result.", "channel", "aspect", "result", origin="push, confirm"
)
PUSH_SECONDS = _histogram(
    "push_seconds", "Duration of one batch, from claim to result.", "channel", origin="push", buckets=CALL
)
LIVE_SECONDS = _histogram(
    "change_to_live_seconds", "From a change being noticed to the channel's confirmation: the oldest of each batch.",
    "channel", "aspect", origin="push, confirm", buckets=AGES,
)  # fmt: skip
HEALED = _counter("drift_healed", "Drifted offers that were made due again.", "channel", "aspect", origin="reconcile")
CALL_SECONDS = _histogram(
    "call_seconds", "Requests to the channel; status is the HTTP status, or what happened instead: not_sent, timeout, broken, "
    "unsendable, cancelled.",
    "account", "operation", "status", origin="transport", buckets=CALL,
)  # fmt: skip
BUCKET_WAIT = _histogram(
    "bucket_wait_seconds",
    "Waits that a rate bucket asked of requests.",
    "account",
    "bucket",
    origin="transport",
    buckets=LONG,
)
BUCKET_FILL = _gauge(
    "bucket_fill_ratio", "Share of the bucket's allowance that is free: 1 is idle, 0 is spent.", "account", "bucket",
    origin="transport", unit="ratio",
)  # fmt: skip
BUCKET_BLOCKED = _gauge(
    "bucket_blocked_until_timestamp_seconds", "Until when the channel told the bucket to wait.", "account", "bucket",
    origin="transport", unit="seconds",
)  # fmt: skip
QUOTA_LEFT = _gauge("quota_left", "Calls left in the quota's window.", "account", "bucket", origin="transport")
QUOTA_LIMIT = _gauge("quota_limit", "Calls the quota allows per window.", "account", "bucket", origin="transport")
BREAKER = _gauge("breaker_state", "0 closed, 1 half open, 2 open.", "account", origin="transport")

# Work
TASK_SECONDS = _histogram(
    "task_seconds", "Runs of a task; channel is empty where the task is for none.", "channel", "task", "outcome",
    origin="daemon", buckets=LONG,
)  # fmt: skip
DELIVERED = _counter("delivery_attempts", "Deliveries tried, by result.", "sink", "result", origin="deliver")
DELIVERY_SECONDS = _histogram("delivery_seconds", "Duration of one delivery.", "sink", origin="deliver", buckets=CALL)
INBOUND = _counter(
    "inbound_requests", "Requests to the inbound listener (webhooks, shipments, ...).", "endpoint", "channel", "status",
    origin="web",
)  # fmt: skip
PURGED = _counter("purged_rows", "Rows deleted because their time was over.", "table", origin="purge")

# Business
ORDERS = _counter("orders", "New orders stored.", "channel", "currency", origin="orders")
ORDER_LINES = _counter("order_lines", "Lines of new orders.", "channel", "currency", origin="orders")
UNITS_SOLD = _counter("units_sold", "Pieces in new orders.", "channel", "currency", origin="orders")
REVENUE = _counter(
    "revenue", "Line amounts of new orders, as the channel states them, in whole currency units.", "channel", "currency",
    origin="orders", money=True,
)  # fmt: skip
COST = _counter(
    "cost_of_sales", "Cost of the pieces sold whose cost is known, net, in whole currency units.", "channel", "currency",
    origin="orders", money=True,
)  # fmt: skip
COSTED_REVENUE = _counter(
    "costed_revenue", "The net part of the revenue whose cost is known: less cost_of_sales it is the margin.",
    "channel", "currency", origin="orders", money=True,
)  # fmt: skip
UNITS_CANCELLED = _counter("units_cancelled", "Pieces cancelled.", "channel", origin="orders")
UNITS_RETURNED = _counter("units_returned", "Pieces that came back.", "channel", origin="returns")
REFUNDS = _counter(
    "refunds", "Amounts refunded, in whole currency units.", "channel", "currency", origin="commands", money=True
)

# The daemon
BEAT = _gauge("scheduler_beat_timestamp_seconds", "When the scheduler last ticked.", origin="daemon", unit="seconds")
LOOP_LAG = _histogram("event_loop_lag_seconds", "How late the event loop wakes.", origin="daemon", buckets=FAST)
RELOAD_OK = _gauge(
    "config_reload_success", "1 where the last reload was taken, 0 where it was refused.", origin="daemon"
)
RELOADED = _gauge(
    "config_reload_timestamp_seconds", "When the configuration in use was loaded.", origin="daemon", unit="seconds"
)
CONFIG = Metric("config", Kind.INFO, "Hash of the configuration in use.", ("hash",), "daemon")
BUILD = Metric(
    "build", Kind.INFO, "Version of marketsync and the ledger's database.", ("version", "database"), "daemon"
)
STATE_AGE = _gauge(
    "state_age_seconds", "Seconds since the metrics that come from the ledger were read.", origin="telemetry",
    unit="seconds",
)  # fmt: skip
DROPPED = _counter(
    "dropped_samples", "Samples left out because their metric has too many label sets.", "metric", origin="telemetry"
)

CATALOGUE: Final[tuple[Metric, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
