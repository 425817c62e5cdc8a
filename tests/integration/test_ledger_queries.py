"""What people and metrics are told of a ledger, the same on both databases."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from marketsync.adapter.content import Aspect
from marketsync.adapter.money import Money
from marketsync.ledger.queries import channels, house, journal, offers, orders
from marketsync.ledger.types import micros
from marketsync.sync import gauges
from marketsync.telemetry import catalogue as c
from marketsync.telemetry.metrics import Metrics
from marketsync.testing.clock import TurnedClock
from tests.integration.ledger_rows import DAY, HOUR, MINUTE, NOW, offer, open_ledger, put, shop

LISTING, PRICE, STOCK = Aspect.LISTING, Aspect.PRICE, Aspect.STOCK


@pytest.fixture
def ledger(ledger_url):
    ledger = open_ledger(ledger_url)
    ledger.write_now(lambda conn: shop(conn, ledger.vault))
    yield ledger
    ledger.close()


def _read(ledger, query, *args, **kwargs):
    return ledger.read_now(lambda conn: query(conn, *args, **kwargs))


def _change(ledger, sql):
    ledger.write_now(lambda conn: conn.execute(text(sql)))


# ------------------------------------------------------------------ channels


def test_a_channel_tells_its_state_its_pull_and_what_fails(ledger):
    bazaar, de, fr = _read(ledger, channels.channels)
    assert ("bazaar", "observing", None, "") == (bazaar.name, bazaar.state, bazaar.pulled, bazaar.error)
    assert ("push", "the channel is down", NOW - MINUTE) == (de.failing_task, de.error, de.pulled)
    assert ("paused", "stocktaking", "rialto", "") == (fr.state, fr.why, fr.account, fr.error)
    assert (LISTING, PRICE, STOCK) == de.aspects


def test_the_trouble_of_an_account_is_that_of_its_channels_unless_they_have_their_own(ledger):
    _change(ledger, "UPDATE task_state SET failures = 1, error = 'no pull' WHERE owner = 'account:rialto'")
    told = {state.name: (state.failing_task, state.error) for state in _read(ledger, channels.channels)}
    assert {
        "bazaar": ("", ""),
        "rialto-de": ("push", "the channel is down"),
        "rialto-fr": ("orders", "no pull"),
    } == told


def test_the_backlog_is_what_is_due_or_in_flight_but_not_what_waits_for_a_person(ledger):
    found = _read(ledger, channels.backlog, [1, 2, 3], NOW)
    assert {LISTING: 0, PRICE: 1, STOCK: 0} == found[1].due
    assert {PRICE: micros(NOW - 3 * MINUTE), STOCK: micros(NOW - 2 * MINUTE)} == found[1].oldest
    assert [1, 0, 0] == [found[channel].in_flight for channel in (1, 2, 3)]
    assert {} == found[2].oldest == found[3].oldest


def test_what_is_due_later_is_no_change_that_is_due_now_and_yet_unsent(ledger):
    _change(
        ledger, f"UPDATE offer SET due_at = {micros(NOW + HOUR)}, price_due = {micros(NOW + HOUR)} WHERE sku = 'DUE'"
    )
    found = _read(ledger, channels.backlog, [1], NOW)[1]
    assert 0 == found.due[PRICE]
    assert micros(NOW - 3 * MINUTE) == found.oldest[PRICE]
    assert 1 == _read(ledger, channels.due_rows, [1, 2], 10)


def test_offers_are_counted_by_state_and_aspect(ledger):
    _change(ledger, f"UPDATE offer SET healed_on = 1, proved = 3, seen_at = {micros(NOW)}, stock_seen = listing_acked,"
            " stock_acked = price_desired, stock_desired = price_desired WHERE sku = 'DUE'")  # fmt: skip
    before = {1: {PRICE: micros(NOW)}}
    found = _read(ledger, channels.counts, before)
    de = found[1]
    assert (5, 1, 1) == (de.offers, found[2].offers, found[3].offers)
    assert {LISTING: 1, PRICE: 3, STOCK: 2} == de.dirty
    assert {LISTING: 0, PRICE: 0, STOCK: 1} == de.unknown
    assert {LISTING: 1, PRICE: 0, STOCK: 0} == de.parked
    assert {LISTING: 0, PRICE: 1, STOCK: 0} == de.held
    assert {LISTING: 0, PRICE: 0, STOCK: 1} == de.drifted
    assert {LISTING: 0, PRICE: 0, STOCK: 0} == de.unseen
    assert {LISTING: 0, PRICE: 0, STOCK: 0} == found[3].dirty, "aspects that are not ours do not count"


def test_a_write_that_was_never_seen_counts_once_its_time_is_over(ledger):
    _change(ledger, f"UPDATE offer SET proved = 5, price_acked_at = {micros(NOW - DAY)} WHERE sku = 'A'")
    unseen = [
        _read(ledger, channels.counts, {1: {PRICE: micros(NOW - DAY) + later}})[1].unseen[PRICE] for later in (0, 1)
    ]
    assert [0, 1] == unseen


# ------------------------------------------------------------------ offers


def _skus(rows):
    return [(row.channel, row.sku) for row in rows]


def test_offers_are_listed_by_channel_and_sku_a_page_at_a_time(ledger):
    whole = _read(ledger, offers.offers, NOW)
    assert [("bazaar", "A"), ("rialto-de", "A"), ("rialto-de", "B"), ("rialto-de", "DUE"), ("rialto-de", "HELD"),
            ("rialto-de", "PARKED"), ("rialto-fr", "C")] == _skus(whole)  # fmt: skip
    first = _read(ledger, offers.offers, NOW, limit=3)
    rest = _read(ledger, offers.offers, NOW, after=first[-1].key)
    assert whole == first + rest


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"channel": "rialto-fr"}, ["C"]),
        ({"sku": "A"}, ["A", "A"]),
        ({"sku": "?"}, ["A", "A", "B", "C"]),
        ({"sku": "*ED"}, ["PARKED"]),
        ({"sku": "*E[LD]*"}, []),
        ({"sku": "%"}, []),
        ({"sku": "_"}, []),
        ({"sku": "due"}, []),
        ({"sku": "d*"}, []),
        ({"state": "due"}, ["DUE"]),
        ({"state": "parked"}, ["PARKED"]),
        ({"state": "held"}, ["HELD"]),
        ({"state": "unknown"}, ["B"]),
        ({"state": "drifted"}, []),
        ({"state": "dirty", "sku": "*E*"}, ["DUE", "HELD", "PARKED"]),
    ],
)
def test_offers_are_found_by_channel_pattern_and_state(ledger, filters, expected):
    assert expected == [row.sku for row in _read(ledger, offers.offers, NOW, **filters)]


def test_signs_with_a_meaning_to_the_database_stand_for_themselves_in_a_pattern(ledger):
    odd = ["50%-off", "a[b]c", "a_b", "back\\slash"]
    ledger.write_now(lambda conn: [put(conn, offer(100 + n, 1, sku)) for n, sku in enumerate(odd)])
    for sku in odd:
        assert [sku] == [row.sku for row in _read(ledger, offers.offers, NOW, sku=sku[:-1] + "*")], sku


def test_an_offer_tells_what_it_should_show_and_what_it_shows(ledger):
    flying, due = (_read(ledger, offers.offers, NOW, channel="rialto-de", sku=sku)[0] for sku in ("B", "DUE"))
    assert (True, 5, None, (STOCK,), None) == (
        flying.in_flight,
        flying.stock,
        flying.stock_shown,
        flying.unknown,
        flying.lane,
    )
    assert (NOW - 3 * MINUTE, "price", (PRICE,), NOW - 3 * MINUTE) == (due.due, due.lane, due.dirty, due.since)
    assert (Money(1999, "EUR"), None, "R4") == (due.price, due.price_shown, due.channel_id)


# ------------------------------------------------------------------ orders


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["FR-1", "DE-3", "DE-2", "DE-1"]),
        ({"channel": "rialto-de"}, ["DE-3", "DE-2", "DE-1"]),
        ({"state": "pending"}, ["DE-2"]),
        ({"state": "open"}, ["FR-1", "DE-2", "DE-1"]),
        ({"state": "shipped"}, ["DE-3"]),
        ({"state": "unmapped"}, ["FR-1"]),
        ({"state": "oversold"}, ["DE-1"]),
        ({"state": "undelivered"}, ["FR-1", "DE-1"]),
        ({"state": "held"}, ["DE-3"]),
        ({"state": "late"}, []),
        ({"state": "cancel_requested"}, []),
        ({"since": NOW - HOUR}, []),
        ({"before": 3, "limit": 1}, ["DE-2"]),
    ],
)
def test_orders_are_found_by_channel_state_and_time(ledger, filters, expected):
    assert expected == [row.order_id for row in _read(ledger, orders.orders, NOW, **filters)]


def test_an_order_that_should_have_left_is_late(ledger):
    assert ["DE-1"] == [row.order_id for row in _read(ledger, orders.orders, NOW + 2 * DAY, state="late")]


def test_an_order_tells_its_lines_what_they_hold_and_what_happened(ledger):
    (found,) = _read(ledger, orders.find, "DE-1")
    assert ("rialto-de", Money(3998, "EUR"), 3, 1, 1) == (
        found.order.channel, found.order.total, found.order.pieces, found.order.oversold, found.order.undelivered,
    )  # fmt: skip
    (line,) = found.lines
    assert ({"A": 1}, 3, 1, 2) == (line.components, line.ordered, line.cancelled, line.reserved)
    assert ["received", "oversold"] == [event.kind for event in found.events]
    assert [("erp", 2, 1, "due")] == [(d.sink, d.revision, d.delivered, d.state) for d in found.deliveries]
    assert [("acknowledge", "due")] == [(command.kind, command.state) for command in found.commands]
    assert "sealed" == found.buyer
    assert "Ada" not in repr(found)


def test_an_order_is_found_by_the_key_that_sinks_have_and_not_on_another_channel(ledger):
    assert ["FR-1"] == [found.order.order_id for found in _read(ledger, orders.find, "1:FR-1")]
    assert [] == _read(ledger, orders.find, "FR-1", "rialto-de")
    assert [] == _read(ledger, orders.find, "fr-1")


def test_orders_commands_and_troubles_are_counted(ledger):
    assert [("rialto-de", "paid", "open", 1), ("rialto-de", "paid", "shipped", 1), ("rialto-de", "pending", "open", 1),
            ("rialto-fr", "paid", "open", 1)] == [
        (n.channel, n.payment, n.fulfilment, n.orders) for n in _read(ledger, orders.order_counts)
    ]  # fmt: skip
    assert {"rialto-de": 1, "rialto-fr": 0} == _read(ledger, orders.oversold)
    assert {"rialto-fr": 1} == _read(ledger, orders.unmapped_lines)
    assert [("acknowledge", "done", 1), ("acknowledge", "due", 1), ("refund", "held", 1)] == [
        (n.kind, n.state, n.commands) for n in _read(ledger, orders.command_counts)
    ]


# ------------------------------------------------------------------ the rest of the house


def test_issues_that_are_open_are_listed_the_last_seen_first_those_of_one_moment_as_they_came(ledger):
    assert ["negative_stock", "refused_listing"] == [issue.code for issue in _read(ledger, journal.issues)]
    assert ["negative_stock"] == [issue.code for issue in _read(ledger, journal.issues, scope="pim")]
    assert ["negative_stock"] == [issue.code for issue in _read(ledger, journal.issues, scope="source:pim", sku="C")]
    assert [] == _read(ledger, journal.issues, scope="channel:pim")
    counts = {("channel:rialto-de", "refused_listing"): 1, ("source:pim", "negative_stock"): 1}
    assert counts == _read(ledger, journal.issue_counts)


def test_runs_are_listed_the_last_first_with_how_long_they_took(ledger):
    assert [(3, None), (2, 2.0), (1, 60.0)] == [(run.id, run.seconds) for run in _read(ledger, journal.runs)]
    assert [1] == [run.id for run in _read(ledger, journal.runs, owner="pim")]
    assert [2] == [run.id for run in _read(ledger, journal.runs, outcome="failed", task="push")]
    assert [{}, {"batches": 1}] == [run.counts for run in _read(ledger, journal.runs, limit=2)]


def test_a_source_tells_the_snapshot_in_use_and_the_later_one_that_failed(ledger):
    (pim,) = _read(ledger, house.sources)
    assert (NOW - 2 * HOUR, 7, 1, 1) == (pim.exported, pim.rows, pim.changed, pim.problems)
    assert ("failed", NOW - MINUTE, "products.csv: cut off") == (pim.verdict, pim.failed, pim.error)


def test_a_sink_tells_what_it_has_not_got_and_since_when(ledger):
    (erp,) = _read(ledger, house.sinks)
    assert (2, 0, 1, NOW - HOUR, "503") == (erp.waiting, erp.failed, erp.delivered, erp.oldest, erp.error)
    assert {"erp": NOW - HOUR} == _read(ledger, house.oldest_deliveries)


def test_limits_and_tokens_tell_until_when(ledger):
    daily, feeds = _read(ledger, house.buckets)
    assert ("daily", None, 40.0, NOW - HOUR) == (daily.bucket, daily.busy_until, daily.used, daily.window)
    assert (NOW + timedelta(seconds=30), NOW + timedelta(seconds=90)) == (feeds.busy_until, feeds.blocked_until)
    assert [("rialto", NOW + HOUR)] == [(token.account, token.expires) for token in _read(ledger, house.tokens)]


# ------------------------------------------------------------------ metrics


def _metrics(readings):
    metrics = Metrics(TurnedClock(NOW))
    metrics.replace(readings)  # refuses what is no reading of the ledger
    return {(reading.metric.name, *reading.labels): reading.value for reading in readings}


def test_the_quick_readings_tell_what_waits_and_what_is_open(ledger):
    found = _metrics(_read(ledger, gauges.quick_readings, NOW, ["erp", "folder"]))
    expected = {
        ("oldest_unsent_change_seconds", "rialto-de", PRICE): 180.0,
        ("oldest_unsent_change_seconds", "rialto-de", STOCK): 120.0,
        ("oldest_unsent_change_seconds", "rialto-fr", PRICE): 0.0,
        ("offers_due", "rialto-de", PRICE): 1,
        ("offers_in_flight", "rialto-de"): 1,
        ("channel_state", "rialto-fr", "paused"): 1.0,
        ("channel_state", "rialto-fr", "active"): 0.0,
        ("order_pull_lag_seconds", "rialto-fr"): 60.0,
        ("holds", "rialto-de", "price_change"): 1,
        ("oldest_hold_seconds", "rialto-de"): 3600.0,
        ("issues", "rialto-de", "refused_listing"): 1,
        ("source_problems", "pim", "negative_stock"): 1,
        ("source_age_seconds", "pim"): 7200.0,
        ("source_rows", "pim"): 7,
        ("task_failures", "rialto-de", "push"): 2,
        ("task_last_success_timestamp_seconds", "pim", "ingest"): (NOW - HOUR).timestamp(),
        ("oldest_undelivered_seconds", "erp"): 3600.0,
        ("oldest_undelivered_seconds", "folder"): 0.0,
        ("token_expiry_timestamp_seconds", "rialto", "access"): (NOW + HOUR).timestamp(),
    }
    assert expected == {key: found.get(key) for key in expected}
    assert ("order_pull_lag_seconds", "bazaar") not in found


def test_the_slow_readings_look_at_every_offer_and_order(ledger):
    found = _metrics(_read(ledger, gauges.slow_readings, NOW))
    expected = {
        ("offers", "rialto-de"): 5,
        ("offers_dirty", "rialto-de", PRICE): 3,
        ("offers_parked", "rialto-de", LISTING): 1,
        ("offers_held", "rialto-de", PRICE): 1,
        ("offers_unknown", "rialto-de", STOCK): 1,
        ("offers_drifted", "rialto-fr", STOCK): 0,
        ("oversold_units", "rialto-de"): 1,
        ("oversold_units", "bazaar"): 0,
        ("order_lines_unmapped", "rialto-fr"): 1,
        ("orders_stored", "rialto-de", "pending", "open"): 1,
        ("commands", "rialto-de", "refund", "held"): 1,
        ("deliveries", "erp", "due"): 2,
        ("deliveries", "erp", "failed"): 0,
        ("deliveries", "erp", "delivered"): 1,
    }
    assert expected == {key: found.get(key) for key in expected}


def _house(ledger, clock):
    return SimpleNamespace(ledger=ledger, clock=clock, config=None, channels={})


def test_the_slow_readings_are_read_again_only_after_a_minute_and_their_ages_grow_meanwhile(ledger, monkeypatch):
    monkeypatch.setattr(gauges, "FEW", 0)  # every backlog counts as long
    clock = TurnedClock(NOW)
    gauge = gauges.Gauges(_house(ledger, clock))

    def read():
        return _metrics(asyncio.run(gauge.readings()))

    assert (5, 180.0) == tuple(
        read()[key] for key in (("offers", "rialto-de"), ("oldest_unsent_change_seconds", "rialto-de", PRICE))
    )
    _change(ledger, "DELETE FROM offer WHERE sku = 'HELD'")
    clock.advance(30)
    assert (5, 210.0) == tuple(
        read()[key] for key in (("offers", "rialto-de"), ("oldest_unsent_change_seconds", "rialto-de", PRICE))
    )
    clock.advance(31)
    assert 4 == read()["offers", "rialto-de"]


def test_together_the_readings_are_every_metric_that_the_ledger_tells(ledger):
    _change(ledger, "INSERT INTO task_state (owner, task, cursor, failures, error) VALUES"
            " ('account:rialto', 'completeness', '{\"missing\": 2}', 0, '')")  # fmt: skip
    source = SimpleNamespace(max_age=HOUR)
    house_ = _house(ledger, TurnedClock(NOW))
    house_.config = SimpleNamespace(sources={"pim": source}, sinks={"erp": None})
    found = _metrics(asyncio.run(gauges.Gauges(house_).readings()))
    everything = {metric.name for metric in c.CATALOGUE if metric.origin == c.LEDGER}
    if not ledger.sqlite:
        everything.remove("ledger_free_bytes")
    assert everything == {key[0] for key in found}
    assert 2 == found["order_gap", "rialto-fr"]


def test_a_removed_channel_is_told_no_more(ledger):
    _change(ledger, "UPDATE channel SET state = 'removed' WHERE id = 2")
    assert ["bazaar", "rialto-de"] == [state.name for state in _read(ledger, channels.channels)]
    assert [] == _read(ledger, offers.offers, NOW, sku="C")
    quick = _read(ledger, gauges.quick_readings, NOW)
    assert "rialto-fr" not in {label for reading in quick for label in reading.labels}


# ------------------------------------------------------------------ what a reading costs


@pytest.mark.parametrize("query", ["due_rows", "backlog", "issue_counts", "order_counts", "oldest_deliveries"])
def test_a_quick_reading_searches_an_index_and_never_a_whole_table_of_offers_or_orders(tmp_path, query):
    """On SQLite, whose plan is the same whatever is in the tables; PostgreSQL scans tables as small as these."""
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    statements = []
    run = {
        "due_rows": lambda conn: channels.due_rows(conn, [1], 5),
        "backlog": lambda conn: channels.backlog(conn, [1], NOW),
        "issue_counts": journal.issue_counts, "order_counts": orders.order_counts,
        "oldest_deliveries": house.oldest_deliveries,
    }[query]  # fmt: skip

    def explained(conn):
        execute = conn.execute

        def recorded(statement, *values):
            statements.extend(row.detail for row in execute(text(f"EXPLAIN QUERY PLAN {statement}"), *values))
            return execute(statement, *values)

        conn.execute = recorded
        run(conn)

    ledger.read_now(explained)
    ledger.close()
    scans = [
        step
        for step in statements
        if step.startswith(("SCAN offer", "SCAN sales_order", "SCAN issue", "SCAN delivery"))
    ]
    # Counting orders reads their narrow index from end to end; all else touches only what it is about.
    partial = ("offer_open", "delivery_due", "COVERING INDEX sales_order_state")
    assert [] == [step for step in scans if not any(index in step for index in partial)]
    assert statements
