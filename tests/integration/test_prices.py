"""What was live at which price: written by answers and readings, kept through a purge, asked for the lowest of 30 days."""

import asyncio
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from marketsync.adapter.content import Aspect
from marketsync.adapter.money import Money
from marketsync.domain.content import ABSENT
from marketsync.ledger import offers, prices, purge, tables
from marketsync.ledger.seen import SeenAspect, keep, lost
from marketsync.ledger.types import micros
from tests.engine import engine, play
from tests.integration.engine_acts import configured, offer, ready, reread
from tests.integration.ledger_rows import DAY, HOUR, NOW, open_ledger, put, shop

B = b"b" * 16


@pytest.fixture
def ledger(ledger_url):
    with closing(open_ledger(ledger_url)) as ledger:
        ledger.write_now(lambda conn: shop(conn, ledger.vault))
        yield ledger


def eur(minor):
    return Money(minor, "EUR")


def row(days_ago, minor, **more):
    """A price of A on rialto-de, live since so many days ago."""
    values = {"channel_id": 1, "sku": "A", "currency": "EUR", **more}
    return tables.PriceHistory(live_from=NOW - days_ago * DAY, minor=minor, **values)


def history(ledger, *rows):
    ledger.write_now(lambda conn: [put(conn, one) for one in rows])


def lowest(ledger, before=NOW, days=30):
    return ledger.read_now(lambda conn: prices.lowest(conn, 1, "A", before, days))


def told(ledger, sku="A", channel=1):
    found = ledger.read_now(lambda conn: prices.periods(conn, channel, sku))
    return [(one.begins, one.ends, one.price.minor) for one in found]


# ------------------------------------------------------------------ the lowest price


def test_the_lowest_price_of_30_days_counts_what_was_live_when_they_began(ledger):
    history(ledger, row(100, 500), row(40, 900), row(10, 1500))
    found = lowest(ledger)
    assert (eur(900), True) == (found.price, found.whole)


def test_a_price_that_ended_just_when_the_days_began_does_not_count(ledger):
    history(ledger, row(100, 500), row(30, 900), row(10, 1500))
    assert eur(900) == lowest(ledger).price
    assert eur(500) == lowest(ledger, before=NOW - timedelta(microseconds=1)).price


def test_the_reduced_price_itself_is_not_the_lowest_before_it(ledger):
    history(ledger, row(60, 2000), row(0, 1200))
    assert eur(2000) == lowest(ledger).price
    assert eur(1200) == lowest(ledger, before=NOW + HOUR).price


def test_a_sale_price_is_the_price_while_its_sale_runs_and_only_then(ledger):
    sale = {"sale_minor": 1000, "sale_from": NOW - 50 * DAY, "sale_until": NOW - 31 * DAY}
    history(ledger, row(60, 2000, **sale))
    assert eur(2000) == lowest(ledger).price
    assert eur(1000) == lowest(ledger, days=32).price
    later = {"sale_minor": 1000, "sale_from": NOW + DAY, "sale_until": NOW + 2 * DAY}
    history(ledger, row(5, 1900, **later))
    assert eur(1900) == lowest(ledger).price
    assert eur(1000) == lowest(ledger, before=NOW + 3 * DAY).price


def test_what_is_known_for_less_than_the_days_says_so(ledger):
    history(ledger, row(12, 1500))
    found = lowest(ledger)
    assert (eur(1500), False, NOW - 12 * DAY) == (found.price, found.whole, found.known_from)


def test_an_offer_that_was_off_the_channel_all_the_time_had_no_price(ledger):
    history(ledger, row(90, 1500, ended_at=NOW - 40 * DAY))
    assert lowest(ledger) is None
    assert lowest(ledger, days=41) is not None
    assert ledger.read_now(lambda conn: prices.lowest(conn, 1, "NOBODY", NOW)) is None


def test_prices_of_another_currency_are_not_compared(ledger):
    history(ledger, row(20, 100, currency="SEK"), row(10, 1500))
    assert eur(1500) == lowest(ledger).price


def test_what_was_live_at_a_moment_is_found_with_when_it_began_and_ended(ledger):
    sale = {"sale_minor": 800, "sale_from": NOW - 9 * DAY, "sale_until": NOW - 8 * DAY}
    history(ledger, row(20, 1500), row(10, 1000, **sale))
    at = [
        ledger.read_now(lambda conn, d=d: prices.live_at(conn, 1, "A", NOW - d * DAY)) for d in (21, 20, 11, 9, 8, -5)
    ]
    assert [None, 1500, 1500, 800, 1000, 1000] == [one and one.price.minor for one in at]
    assert (NOW - 9 * DAY, NOW - 8 * DAY, eur(1000)) == (at[3].begins, at[3].ends, at[3].instead_of)
    assert at[5].ends is None


ROWS = st.lists(
    st.tuples(
        st.integers(0, 80),
        st.integers(100, 130),
        st.none() | st.tuples(st.integers(80, 120), st.none() | st.integers(0, 80), st.none() | st.integers(0, 80)),
        st.none() | st.integers(0, 80),
    ),
    min_size=1, max_size=6, unique_by=lambda row: row[0],
)  # fmt: skip


def _live(rows, hour):
    """What was live in an hour, by looking at every row: the rule as people say it."""
    begun = [row for row in sorted(rows, key=lambda row: row[0]) if row[0] <= hour]
    if not begun or (begun[-1][3] is not None and begun[-1][3] <= hour):
        return None
    _, minor, sale, _ = begun[-1]
    runs = sale and (sale[1] is None or sale[1] <= hour) and (sale[2] is None or hour < sale[2])
    return min(minor, sale[0]) if runs else minor


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, before=st.integers(1, 90), days=st.integers(1, 3))
def test_the_lowest_price_is_the_least_of_what_was_live_in_any_hour(ledger, rows, before, days):
    ledger.write_now(lambda conn: conn.execute(text("DELETE FROM price_history")))
    at = [
        {"sale_minor": sale and sale[0], "sale_from": _hour(sale and sale[1]), "sale_until": _hour(sale and sale[2]),
         "ended_at": _hour(ended), "live_from": _hour(begins), "minor": minor, "currency": "EUR"}
        for begins, minor, sale, ended in rows
    ]  # fmt: skip
    history(ledger, *[tables.PriceHistory(channel_id=1, sku="A", **one) for one in at])
    found = lowest(ledger, before=_hour(before), days=days)
    live = [_live(rows, hour) for hour in range(before - 24 * days, before)]
    assert min((one for one in live if one is not None), default=None) == (found and found.price.minor)


def _hour(number):
    return None if number is None else NOW + number * HOUR


# ------------------------------------------------------------------ how it is written


def test_an_answer_begins_a_price_and_the_same_price_again_does_not(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, {"A": ("1.00", 5)}, "one")) as e:
            await ready(e)
            first = e.clock.now()
            await reread(e, tmp_path, {"A": ("2.00", 5)})
            e.clock.advance(5)
            await e.run("channel:one", "push")
            begins = e.clock.now()
            await e.house.ledger.write(lambda conn: offers.resend(conn, 1, ["A"], micros(e.clock.now())))
            e.clock.advance(60)
            await e.run("account:one", "orders")
            await e.run("channel:one", "push")
            assert bytes(offer(e, "A", "price_desired")) == bytes(offer(e, "A", "price_acked"))
            found = e.house.ledger.read_now(lambda conn: prices.periods(conn, 1, "A"))
            assert [(100, begins), (200, None)] == [(one.price.minor, one.ends) for one in found]
            assert found[0].begins <= first

    play(run)


def test_a_scheduled_sale_is_kept_with_its_times(ledger):
    price = {
        "amount": {"minor": 2000, "currency": "EUR"}, "gross": True, "sale": {"minor": 1500, "currency": "EUR"},
        "sale_starts": "2026-03-11T00:00:00Z", "sale_ends": "2026-03-12T00:00:00Z",
    }  # fmt: skip
    seen = [SeenAspect(1, Aspect.PRICE, B, True, B, price)]
    ledger.write_now(lambda conn: keep(conn, seen, micros(NOW)))
    begins, ends = NOW.replace(day=11, hour=0), NOW.replace(day=12, hour=0)
    assert [(NOW, begins, 2000), (begins, ends, 1500), (ends, None, 2000)] == told(ledger)


def test_a_price_that_was_on_the_channel_before_adoption_is_live_from_its_first_reading(
    tmp_path: Path, ledger_url: str
) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, {"A": ("1.00", 5)}, "one")) as e:
            await ready(e)
            await e.house.ledger.write(_never_adopted)
            e.clock.advance(3600)
            e.markets["one"].set_prices(
                "main", [{"sku": "A", "price": {"amount": "7.00", "currency": "EUR", "gross": True}}]
            )
            first = e.clock.now()
            for _ in range(2):
                await e.run("channel:one", "reconcile")
                e.clock.advance(3600)
            found = e.house.ledger.read_now(lambda conn: prices.periods(conn, 1, "A"))
            assert [(first, None, 700)] == [(one.begins, one.ends, one.price.minor) for one in found]

    play(run)


def _never_adopted(conn):
    conn.execute(text("DELETE FROM price_history"))
    conn.execute(text("UPDATE channel SET state = 'observing', adopted_at = NULL"))
    conn.execute(text("UPDATE offer SET price_acked = :absent, price_acked_content = NULL"), {"absent": ABSENT})


def test_an_offer_that_vanished_from_the_channel_has_no_price_until_it_is_back(ledger):
    history(ledger, row(60, 1999))
    ledger.write_now(lambda conn: lost(conn, [1], micros(NOW)))
    assert [(NOW - 60 * DAY, NOW, 1999)] == told(ledger)
    price = {"amount": {"minor": 1999, "currency": "EUR"}, "gross": True}
    seen = [SeenAspect(1, Aspect.PRICE, B, True, B, price)]
    ledger.write_now(lambda conn: keep(conn, seen, micros(NOW + HOUR)))
    assert [(NOW - 60 * DAY, NOW, 1999), (NOW + HOUR, None, 1999)] == told(ledger)


def test_what_was_live_outlives_every_journal(ledger):
    history(ledger, row(400, 1500), row(200, 1000))
    before = told(ledger)
    asyncio.run(purge.purge(ledger, NOW + 1000 * DAY, DAY))
    assert 0 == ledger.read_now(
        lambda conn: conn.execute(text("SELECT COUNT(*) FROM push_batch WHERE closed_at IS NOT NULL")).scalar_one()
    )
    assert before == told(ledger) != []
