"""The metric catalogue, what it exposes, and its bounds."""

import asyncio
import inspect
import math
import re
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from marketsync.adapter.errors import Busy
from marketsync.adapter.money import Money
from marketsync.adapter.spec import Rate
from marketsync.telemetry import catalogue as c
from marketsync.telemetry.catalogue import CATALOGUE, LABELS, LEDGER, Kind
from marketsync.telemetry.docs import page
from marketsync.telemetry.lag import measure_lag
from marketsync.telemetry.metrics import Metrics, Reading, Sales
from marketsync.telemetry.state import LedgerState
from marketsync.telemetry.trouble import Trouble
from marketsync.testing.clock import TurnedClock
from marketsync.transport.breaker import Breaker
from marketsync.transport.http import Observer
from marketsync.transport.limiter import Limiter

ROOT = Path(__file__).parents[2]
SKU_LIKE = {"sku", "order", "order_id", "item", "offer", "buyer", "email", "line", "key", "url", "path", "message"}


class Log:
    def __init__(self):
        self.lines = []

    def info(self, event, **fields):
        self.lines.append(("info", event, fields))

    def warning(self, event, **fields):
        self.lines.append(("warning", event, fields))


def samples(metrics: Metrics) -> dict:
    """Every marketsync_* sample of the text exposition: {(name, sorted labels): value}."""
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("marketsync_")
    }


def value(metrics: Metrics, name: str, **labels: str):
    return samples(metrics).get((f"marketsync_{name}", tuple(sorted(labels.items()))))


def exercise(metrics: Metrics) -> None:
    """Touch every metric that is counted as it happens, and read every one of the ledger once."""
    eur = Money(1999, "EUR")
    metrics.pushed("a", {("stock", "applied"): 3}, 0.2)
    metrics.live("a", {"stock": 4.0})
    metrics.healed("a", {"price": 1})
    metrics.call("a", "push_stock", "200", 0.1)
    metrics.bucket_waited("acc", "writes", 0.4)
    metrics.account_state(
        "acc", breaker="open", fill={"writes": 0.5}, blocked={"writes": metrics._clock.now()}, quotas={"day": (3, 10)}
    )
    metrics.task_ran("a", "push", "done", 1.5)
    metrics.delivered("erp", "taken", 0.3)
    metrics.inbound("webhooks", "a", 202)
    metrics.purged({"push_item": 10})
    metrics.sold("a", Sales(orders=1, lines=2, units=3, revenue=eur, cost=Money(500, "EUR"), costed_revenue=eur))
    metrics.cancelled("a", 1)
    metrics.returned("a", 1)
    metrics.refunded("a", eur)
    metrics.beat()
    metrics.loop_lagged(0.002)
    metrics.config_loaded("abc")
    metrics.built("0.1.0", "sqlite")
    metrics.replace(Reading(m, tuple("x" for _ in m.labels), 1) for m in CATALOGUE if m.origin == LEDGER)


def test_the_page_of_metrics_is_what_the_catalogue_says():
    assert page() == (ROOT / "docs" / "metrics.md").read_text("utf-8")


def test_names_follow_the_conventions_of_prometheus():
    assert len(CATALOGUE) == len({metric.exposed for metric in CATALOGUE})
    for metric in CATALOGUE:
        assert re.fullmatch(r"[a-z][a-z0-9_]+[a-z0-9]", metric.name), metric.name
        assert metric.help.endswith("."), metric.name
        assert metric.name.endswith(f"_{metric.unit}" if metric.unit else ""), metric.name
        assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets), metric.name
        assert list(metric.buckets) == sorted(metric.buckets)
        assert not metric.ages or metric.origin == LEDGER
        assert not metric.money or "currency" in metric.labels


def test_no_label_can_hold_a_sku_an_order_or_anything_personal():
    used = {label for metric in CATALOGUE for label in metric.labels}
    assert set() == used - LABELS
    assert set() == LABELS - used
    assert set() == LABELS & SKU_LIKE


def test_every_metric_of_the_catalogue_can_be_told_and_is_exposed_under_its_documented_name():
    metrics = Metrics(TurnedClock())
    metrics.start_from_zero({"a": "EUR"})
    metrics._drop(c.PUSHES, 1)
    exercise(metrics)
    shown = {name for name, _ in samples(metrics)}
    missing = {
        m.exposed for m in CATALOGUE if (m.exposed + "_count" if m.kind is Kind.HISTOGRAM else m.exposed) not in shown
    }
    assert set() == missing


def test_both_formats_are_read_by_their_parsers_and_say_the_same():
    metrics = Metrics(TurnedClock())
    exercise(metrics)
    text = samples(metrics)
    opened = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_openmetrics(generate_openmetrics(metrics.registry).decode())
        for sample in family.samples
        if sample.name.startswith("marketsync_")
    }
    assert text == opened


def test_a_batch_is_counted_by_aspect_and_result_and_timed_once():
    metrics = Metrics(TurnedClock())
    metrics.pushed("shop", {("stock", "applied"): 990, ("stock", "rejected"): 10, ("price", "applied"): 5}, 0.7)
    metrics.pushed("shop", {("stock", "applied"): 10})
    assert value(metrics, "pushes_total", channel="shop", aspect="stock", result="applied") == 1000
    assert value(metrics, "pushes_total", channel="shop", aspect="stock", result="rejected") == 10
    assert value(metrics, "push_seconds_count", channel="shop") == 1
    assert value(metrics, "push_seconds_sum", channel="shop") == pytest.approx(0.7)


def test_a_histogram_counts_a_value_on_a_bound_inside_it_and_a_value_beyond_all_in_inf():
    metrics = Metrics(TurnedClock())
    for seconds in (0.05, 0.06, 61.0):
        metrics.call("shop", "orders", "200", seconds)
    labels = {"account": "shop", "operation": "orders", "status": "200"}
    assert value(metrics, "call_seconds_bucket", **labels, le="0.05") == 1
    assert value(metrics, "call_seconds_bucket", **labels, le="0.1") == 2
    assert value(metrics, "call_seconds_bucket", **labels, le="60.0") == 2
    assert value(metrics, "call_seconds_bucket", **labels, le="+Inf") == 3
    assert value(metrics, "call_seconds_sum", **labels) == pytest.approx(61.11)


@pytest.mark.parametrize(("currency", "shown"), [("EUR", 19.99), ("JPY", 1999.0), ("KWD", 1.999)])
def test_money_is_kept_in_minor_units_and_shown_in_units_of_its_currency(currency, shown):
    metrics = Metrics(TurnedClock())
    metrics.sold("shop", Sales(orders=1, lines=1, units=1, revenue=Money(1999, currency)))
    assert value(metrics, "revenue_total", channel="shop", currency=currency) == shown


def test_many_small_sales_add_up_to_the_cent():
    metrics = Metrics(TurnedClock())
    sale = Sales(orders=1, lines=1, units=1, revenue=Money(10, "EUR"))
    for _ in range(10_000):
        metrics.sold("shop", sale)
    assert value(metrics, "revenue_total", channel="shop", currency="EUR") == 1000.0


def test_a_negative_amount_does_not_make_a_counter_fall():
    metrics = Metrics(TurnedClock())
    metrics.refunded("shop", Money(500, "EUR"))
    metrics.refunded("shop", Money(-100, "EUR"))
    assert value(metrics, "refunds_total", channel="shop", currency="EUR") == 5.0


@pytest.mark.parametrize("tell", ["counter", "histogram", "gauge", "ledger"])
def test_label_sets_beyond_the_ceiling_are_left_out_and_counted(tell):
    metrics = Metrics(TurnedClock(), ceiling=5)
    names = [f"n{number}" for number in range(8)]
    match tell:
        case "counter":
            for name in names:
                metrics.cancelled(name, 1)
            shown, metric = "units_cancelled_total", c.UNITS_CANCELLED
        case "histogram":
            for name in names:
                metrics.call("shop", name, "200", 1.0)
            shown, metric = "call_seconds_count", c.CALL_SECONDS
        case "gauge":
            metrics.account_state("acc", breaker="closed", fill=dict.fromkeys(names, 1.0), blocked={}, quotas={})
            shown, metric = "bucket_fill_ratio", c.BUCKET_FILL
        case "ledger":
            metrics.replace([Reading(c.ISSUES, ("shop", name), 1) for name in names])
            shown, metric = "issues", c.ISSUES
    series = [name for name, _ in samples(metrics) if name == f"marketsync_{shown}"]
    assert len(series) == 5
    assert value(metrics, "dropped_samples_total", metric=metric.exposed) == 3


def test_label_sets_that_are_known_still_count_at_the_ceiling():
    metrics = Metrics(TurnedClock(), ceiling=1)
    metrics.cancelled("shop", 1)
    metrics.cancelled("other", 1)
    metrics.cancelled("shop", 2)
    assert value(metrics, "units_cancelled_total", channel="shop") == 3


def test_what_a_new_reading_of_the_ledger_does_not_name_is_gone():
    metrics = Metrics(TurnedClock())
    metrics.replace([Reading(c.OFFERS_PARKED, ("shop", "price"), 4), Reading(c.OFFERS, ("shop",), 9)])
    metrics.replace([Reading(c.OFFERS, ("shop",), 8)])
    assert value(metrics, "offers_parked", channel="shop", aspect="price") is None
    assert value(metrics, "offers", channel="shop") == 8


@pytest.mark.parametrize("wrong", [Reading(c.PUSHES, ("a", "b", "c"), 1), Reading(c.OFFERS, ("a", "b"), 1)])
def test_a_reading_that_is_none_of_the_ledgers_is_refused_and_changes_nothing(wrong):
    metrics = Metrics(TurnedClock())
    metrics.replace([Reading(c.OFFERS, ("shop",), 8)])
    with pytest.raises(ValueError, match="is no reading of the ledger"):
        metrics.replace([Reading(c.OFFERS, ("shop",), 9), wrong])
    assert value(metrics, "offers", channel="shop") == 8


def test_ages_go_on_growing_while_the_ledger_is_not_read_but_nothing_does_not_age():
    clock = TurnedClock()
    metrics = Metrics(clock)
    metrics.replace([Reading(c.OLDEST_UNSENT, ("shop", "stock"), 30), Reading(c.OLDEST_UNSENT, ("shop", "price"), 0)])
    clock.advance(600)
    assert value(metrics, "oldest_unsent_change_seconds", channel="shop", aspect="stock") == 630
    assert value(metrics, "oldest_unsent_change_seconds", channel="shop", aspect="price") == 0
    assert value(metrics, "state_age_seconds") == 600


def test_the_state_of_an_account_replaces_what_was_known_of_its_buckets():
    clock = TurnedClock()
    metrics = Metrics(clock)
    until = clock.now() + timedelta(seconds=60)
    metrics.account_state("a", breaker="open", fill={"w": 0.0}, blocked={"w": until}, quotas={"day": (0, 10)})
    metrics.account_state("b", breaker="closed", fill={"w": 1.0}, blocked={"w": until}, quotas={})
    metrics.account_state("a", breaker="half_open", fill={"w": 0.25}, blocked={}, quotas={"day": (9, 10)})
    blocked = "bucket_blocked_until_timestamp_seconds"
    assert value(metrics, "breaker_state", account="a") == 1
    assert value(metrics, "bucket_fill_ratio", account="a", bucket="w") == 0.25
    assert value(metrics, "quota_left", account="a", bucket="day") == 9
    assert value(metrics, blocked, account="a", bucket="w") is None
    assert value(metrics, blocked, account="b", bucket="w") == until.timestamp()


def test_a_channel_that_was_removed_is_forgotten_and_the_others_are_not():
    metrics = Metrics(TurnedClock())
    for channel in ("gone", "stays"):
        metrics.pushed(channel, {("stock", "applied"): 1}, 0.1)
    metrics.forget("channel", {"gone"})
    assert {"stays"} == {dict(labels)["channel"] for _, labels in samples(metrics) if dict(labels).get("channel")}


def test_a_reload_shows_its_hash_its_time_and_whether_it_was_taken():
    clock = TurnedClock()
    metrics = Metrics(clock)
    metrics.config_loaded("one")
    loaded = clock.now().timestamp()
    clock.advance(100)
    metrics.config_refused()
    assert value(metrics, "config_reload_success") == 0
    assert value(metrics, "config_reload_timestamp_seconds") == loaded
    assert value(metrics, "config_info", hash="one") == 1
    metrics.config_loaded("two")
    assert value(metrics, "config_reload_success") == 1
    assert value(metrics, "config_info", hash="one") is None
    assert value(metrics, "config_info", hash="two") == 1


def test_counters_of_a_channel_are_shown_from_zero():
    metrics = Metrics(TurnedClock())
    metrics.start_from_zero({"shop": "EUR"})
    assert value(metrics, "orders_total", channel="shop", currency="EUR") == 0
    metrics.cancelled("shop", 2)
    metrics.start_from_zero({"shop": "EUR"})
    assert value(metrics, "units_cancelled_total", channel="shop") == 2


def test_the_transport_can_tell_what_it_does():
    """The two may not import each other: the signatures agree by this test alone."""
    wanted = {name: method for name, method in vars(Observer).items() if not name.startswith("_")}
    told = {name: inspect.signature(getattr(Metrics, name)) for name in wanted}
    assert {name: inspect.signature(method) for name, method in wanted.items()} == told
    assert {"call", "bucket_waited"} <= set(wanted)
    clock = TurnedClock()
    limiter, state = Limiter("acc", [Rate(name="w", per_second=5)], clock, None), Metrics(clock)
    breaker = Breaker("acc", clock, Log())
    clock.advance(60)  # a bucket in memory starts empty
    state.account_state(
        "acc", breaker=breaker.state, fill=limiter.snapshot(), blocked=limiter.blocked(), quotas=limiter.quotas()
    )
    assert value(state, "bucket_fill_ratio", account="acc", bucket="w") == 1.0


def test_a_channel_may_be_named_like_no_other_and_the_exposition_stays_readable():
    metrics = Metrics(TurnedClock())
    metrics.cancelled('a"b\\c\nd', 1)
    assert value(metrics, "units_cancelled_total", channel='a"b\\c\nd') == 1


def test_the_ledgers_figures_are_read_in_the_background_every_fifteen_seconds():
    clock, calls = TurnedClock(), []
    metrics = Metrics(clock)

    async def read():
        calls.append(clock.monotonic())
        return [Reading(c.OFFERS, ("shop",), len(calls))]

    async def run():
        task = asyncio.create_task(LedgerState(read, metrics, clock, Trouble(Log(), clock)).keep_fresh())
        await clock.turn(0)
        await clock.turn(31)
        for _ in range(3):
            generate_latest(metrics.registry)  # scrapes read nothing
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert [0.0, 15.0, 30.0] == calls
    assert value(metrics, "offers", channel="shop") == 3


def test_a_ledger_that_cannot_be_read_keeps_the_last_figures_and_is_logged_twice():
    clock, log = TurnedClock(), Log()
    metrics = Metrics(clock)
    answers = [[Reading(c.OFFERS, ("shop",), 7)], Busy("locked"), Busy("locked"), [Reading(c.OFFERS, ("shop",), 8)]]

    async def read():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def run():
        state = LedgerState(read, metrics, clock, Trouble(log, clock))
        for _ in range(3):
            await state.refresh()
            clock.advance(15)
        assert value(metrics, "offers", channel="shop") == 7
        assert value(metrics, "state_age_seconds") == 45
        await state.refresh()

    asyncio.run(run())
    assert value(metrics, "offers", channel="shop") == 8
    assert ["warning", "info"] == [level for level, _, _ in log.lines]
    assert {"seconds": 30.0, "failures": 2} == log.lines[1][2]


def test_trouble_says_once_that_a_thing_broke_and_once_that_it_recovered():
    clock, log = TurnedClock(), Log()
    trouble = Trouble(log, clock)
    assert not trouble.recovered("a", "works")
    assert trouble.broke("a", "fails", code=1)
    assert not trouble.broke("a", "fails", code=2)
    assert trouble.broke("b", "fails too")
    clock.advance(5)
    assert trouble.recovered("a", "works")
    assert not trouble.recovered("a", "works")
    assert trouble.broke("a", "fails again")
    trouble.forget("b")
    assert not trouble.recovered("b", "works")
    assert [
        ("warning", "fails", {"code": 1}),
        ("warning", "fails too", {}),
        ("info", "works", {"seconds": 5.0, "failures": 2}),
        ("warning", "fails again", {}),
    ] == log.lines


def test_the_lag_of_the_loop_is_what_a_sleep_took_too_long():
    clock = TurnedClock()
    metrics = Metrics(clock)

    class LateClock:
        monotonic = staticmethod(clock.monotonic)

        async def sleep(self, seconds):
            await clock.sleep(seconds)
            clock.advance(0.2)

    async def run():
        task = asyncio.create_task(measure_lag(metrics, LateClock()))
        await clock.turn(0)
        await clock.turn(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert value(metrics, "event_loop_lag_seconds_count") == 1
    assert math.isclose(0.2, value(metrics, "event_loop_lag_seconds_sum"))
