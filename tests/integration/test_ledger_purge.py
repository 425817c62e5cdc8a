"""What its time is over for goes, in small transactions, and nothing that is still needed."""

import asyncio
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from marketsync.ledger import purge, tables
from marketsync.ledger.stock import check_stock
from marketsync.ledger.types import micros
from marketsync.ledger.verify import verify
from tests.integration.ledger_rows import DAY, HOUR, NOW, open_ledger, put, shop

MONTH = 30 * DAY


@pytest.fixture
def ledger(ledger_url):
    ledger = open_ledger(ledger_url)
    ledger.write_now(lambda conn: shop(conn, ledger.vault))
    yield ledger
    ledger.close()


def _count(ledger, table, where="1 = 1"):
    return ledger.read_now(lambda conn: conn.execute(text(f"SELECT COUNT(*) FROM {table} WHERE {where}")).scalar_one())


def _purge(ledger, now=NOW, journals=MONTH):
    return asyncio.run(purge.purge(ledger, now, journals))


def _add(ledger, *rows):
    ledger.write_now(lambda conn: [put(conn, row) for row in rows])


def test_a_young_ledger_loses_only_buyers_and_issues_whose_time_is_over(ledger):
    assert {"buyer": 1, "issue": 1} == _purge(ledger)
    assert {} == _purge(ledger)


def test_what_was_sent_goes_with_its_batch_once_that_is_old_and_closed(ledger):
    done = _purge(ledger, NOW + 2 * MONTH)
    assert {"push_batch": 1, "push_item": 2} == {name: done[name] for name in ("push_batch", "push_item")}
    assert 1 == _count(ledger, "push_batch", "closed_at IS NULL")
    assert 1 == _count(ledger, "push_item")


def test_the_snapshot_in_use_stays_however_old_it_is_and_so_do_open_issues_and_orders(ledger):
    before = {name: _count(ledger, name) for name in ("sales_order", "order_line", "order_event", "hold", "offer")}
    done = _purge(ledger, NOW + 100 * MONTH)
    assert {"source_snapshot": 2, "task_run": 2, "rate_bucket": 2} == {
        name: done[name] for name in ("source_snapshot", "task_run", "rate_bucket")
    }
    assert 1 == _count(ledger, "source_snapshot", "id = 2")
    assert 1 == _count(ledger, "task_run", "outcome = 'running'")
    assert 2 == _count(ledger, "issue", "closed_at IS NULL")
    assert before == {name: _count(ledger, name) for name in before}


def test_no_transaction_deletes_more_than_a_thousand_rows_and_all_go(ledger, monkeypatch):
    monkeypatch.setattr(purge, "AT_ONCE", 10)
    old = NOW - 2 * MONTH
    sizes = {11: 25, 12: 1, 13: 9, 14: 0, 15: 3}
    _add(
        ledger,
        *[
            tables.PushBatch(id=b, channel_id=1, operation="stock", started_at=old + b * HOUR, closed_at=old + b * HOUR)
            for b in sizes
        ],
        *[
            tables.PushItem(batch_id=b, offer_id=n, position=n, aspects=4, revision=1)
            for b, size in sizes.items()
            for n in range(size)
        ],
        *[tables.TaskRun(id=100 + n, owner="o", task="t", started_at=old, outcome="done") for n in range(23)],
    )
    largest = []
    write = ledger.write

    async def watched(run, rank):
        done = await write(run, rank)
        largest.append(done.total() if hasattr(done, "total") else done)
        return done

    monkeypatch.setattr(ledger, "write", watched)
    done = _purge(ledger)
    assert {"push_item": 38, "push_batch": 5, "task_run": 23} == {
        name: done[name] for name in ("push_item", "push_batch", "task_run")
    }
    assert 10 == max(largest)


def _movement(number, sku, delta, kind, at, location="main"):
    return tables.StockMovement(sku=sku, location=location, delta=delta, kind=kind, reference=f"m:{number}", at=at)


def _movements(ledger, sku):
    sql = text("SELECT kind, delta, at FROM stock_movement WHERE sku = :sku ORDER BY at, kind, delta")
    return [tuple(row) for row in ledger.read_now(lambda conn: conn.execute(sql, {"sku": sku}).all())]


def test_movements_older_than_a_year_become_one_of_what_sources_told_and_one_of_ours(ledger):
    long_ago = NOW - 400 * DAY
    _add(
        ledger,
        tables.StockLevel(sku="OLD", location="main", on_hand=14),
        _movement(1, "OLD", 10, "opening", long_ago),
        _movement(2, "OLD", 9, "snapshot", long_ago + DAY),
        _movement(3, "OLD", -2, "shipment", long_ago + DAY),
        _movement(4, "OLD", -4, "recount", long_ago + 2 * DAY),
        _movement(5, "OLD", 1, "return", NOW - 300 * DAY),
    )
    assert 2 == _purge(ledger)["stock_movement"]
    assert [
        ("snapshot", 19, micros(long_ago + DAY)),
        ("carry", -6, micros(long_ago + 2 * DAY)),
        ("return", 1, micros(NOW - 300 * DAY)),
    ] == _movements(ledger, "OLD")
    assert [] == ledger.read_now(check_stock)
    assert "stock_movement" not in _purge(ledger)


def test_a_year_later_the_carried_movement_is_carried_on(ledger):
    long_ago = NOW - 400 * DAY
    _add(
        ledger,
        tables.StockLevel(sku="OLD", location="main", on_hand=6),
        *[_movement(n, "OLD", n, "shipment", long_ago + n * DAY) for n in (1, 2)],
        _movement(3, "OLD", 3, "shipment", NOW - 300 * DAY),
    )
    _purge(ledger)
    _purge(ledger, NOW + 200 * DAY)
    assert [("carry", 6, micros(NOW - 300 * DAY))] == _movements(ledger, "OLD")
    assert [] == ledger.read_now(check_stock)


@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_folding_changes_no_stock_however_the_movements_fall_into_steps(ledger, monkeypatch, data):
    """Also where one stock has many more movements than a transaction may touch."""
    monkeypatch.setattr(purge, "AT_ONCE", data.draw(st.integers(3, 7)))
    moves = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from("XYZ"), st.integers(-5, 5), st.sampled_from(["snapshot", "shipment"]), st.booleans()
            ),
            max_size=40,
        )
    )
    long_ago = NOW - 400 * DAY
    ledger.write_now(lambda conn: conn.execute(text("DELETE FROM stock_movement WHERE sku IN ('X', 'Y', 'Z')")))
    ledger.write_now(lambda conn: conn.execute(text("DELETE FROM stock_level WHERE sku IN ('X', 'Y', 'Z')")))
    _add(
        ledger,
        *[_movement(n, sku, delta, kind, long_ago if old else NOW) for n, (sku, delta, kind, old) in enumerate(moves)],
        *[
            tables.StockLevel(sku=sku, location="main", on_hand=sum(d for s, d, _, _ in moves if s == sku))
            for sku in "XYZ"
        ],
    )
    _purge(ledger)
    assert [] == ledger.read_now(check_stock)
    for sku in "XYZ":
        old = [row for row in _movements(ledger, sku) if row[2] < micros(NOW - 370 * DAY)]
        assert len(old) <= 2
        told = sum(delta for s, delta, kind, _ in moves if s == sku and kind == "snapshot")
        assert told == sum(delta for kind, delta, _ in _movements(ledger, sku) if kind == "snapshot")


def test_what_is_left_after_a_purge_is_a_ledger_that_is_well(ledger):
    _purge(ledger, NOW + 100 * MONTH)
    assert [] == ledger.read_now(lambda conn: verify(conn, ledger.vault, NOW))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 3, 31, 12, tzinfo=ZoneInfo("Europe/Berlin")), "2025-03-01"),
        (datetime(2026, 1, 1, 0, 30, tzinfo=ZoneInfo("Europe/Berlin")), "2024-12-01"),
        (datetime(2026, 12, 1, tzinfo=ZoneInfo("UTC")), "2025-12-01"),
    ],
)
def test_months_are_counted_back_whole_and_in_utc(now, expected):
    assert expected == f"{purge._months_before(now, 12):%Y-%m-%d}"
    assert timedelta(0) == purge._months_before(now, 12).utcoffset()
