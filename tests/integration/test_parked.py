"""What channels refused: grouped by reason, freed by a person, its issue closed once the channel takes it."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from marketsync.adapter.content import Aspect, PushOutcome, PushResult, Result
from marketsync.domain.content import ABSENT
from marketsync.ledger import tables
from marketsync.ledger.offers import resend
from marketsync.ledger.outbox import Lane
from marketsync.ledger.parked import retry
from marketsync.ledger.queries.parked import parked
from marketsync.ledger.types import micros
from tests.engine import engine, play
from tests.integration.engine_acts import configured, offer, ready, reread, shown, sqlite
from tests.integration.ledger_rows import HOUR, NOW, A, B, open_ledger, put, shop
from tests.integration.ledger_rows import offer as row

REFUSED = {"price_desired": B, "price_parked": B}


@pytest.fixture
def ledger(ledger_url):
    """PARKED with a listing refused without a code; P1 to P5 with prices refused as E8, P6 as E9; P7 is not parked any more."""
    with closing(open_ledger(ledger_url)) as ledger:
        ledger.write_now(lambda conn: (shop(conn, ledger.vault), fill(conn)))
        yield ledger


def fill(conn):
    for number in range(1, 8):
        sku = f"P{number}"
        put(conn, row(20 + number, 1, sku, **(REFUSED if number < 7 else {"price_desired": A, "price_parked": B})))
        code = "E9" if number == 6 else "E8"
        put(conn, tables.Issue(
            id=100 + number, scope="channel:rialto-de", sku=sku, code="refused_price", reason=code,
            message=f"{code}: too low for {sku}", hint="raise it", first_seen=NOW - number * HOUR, last_seen=NOW - HOUR,
        ))  # fmt: skip


def groups(ledger, **filters):
    return ledger.read_now(lambda conn: parked(conn, **filters))


def test_parked_offers_are_grouped_by_the_reason_of_the_channel_the_largest_first(ledger):
    found = groups(ledger)
    assert [("rialto-de", Aspect.PRICE, "E8", 5), ("rialto-de", Aspect.LISTING, "", 1), ("rialto-de", Aspect.PRICE, "E9", 1)] == [
        (one.channel, one.aspect, one.reason, one.offers) for one in found
    ]  # fmt: skip
    assert ("P1", "P2", "P3") == found[0].skus
    assert ("too low for P1", "raise it", NOW - 5 * HOUR) == (found[0].message, found[0].hint, found[0].first_seen)
    assert "E17: the title is too long" == found[1].message
    assert [] == groups(ledger, channel="bazaar")
    assert found[:1] == groups(ledger, limit=1)


@pytest.mark.parametrize(
    ("filters", "freed"),
    [
        ({}, {Aspect.LISTING: 1, Aspect.PRICE: 6}),
        ({"reason": "E8"}, {Aspect.PRICE: 5}),
        ({"reason": "E9", "channel": "rialto-de"}, {Aspect.PRICE: 1}),
        ({"sku": "P2"}, {Aspect.PRICE: 1}),
        ({"channel": "bazaar"}, {}),
    ],
)
def test_retry_frees_what_was_asked_for_and_nothing_else(ledger, filters, freed):
    before = sum(one.offers for one in groups(ledger))
    assert freed == ledger.write_now(lambda conn: retry(conn, micros(NOW), **filters))
    assert before - sum(freed.values()) == sum(one.offers for one in groups(ledger))
    assert {} == ledger.write_now(lambda conn: retry(conn, micros(NOW), **filters)), "twice is once"


def test_what_is_freed_is_due_at_once_and_never_more_than_asked_for_in_one_transaction(ledger):
    assert {Aspect.PRICE: 2} == ledger.write_now(lambda conn: retry(conn, micros(NOW), reason="E8", limit=2))
    sql = text("SELECT sku, lane, due_at FROM offer WHERE sku LIKE 'P_' AND due_at IS NOT NULL ORDER BY sku")
    due = ledger.read_now(lambda conn: [tuple(one) for one in conn.execute(sql)])
    assert [("P1", Lane.PRICE, micros(NOW)), ("P2", Lane.PRICE, micros(NOW))] == due


def test_a_listing_that_never_was_on_the_channel_is_freed_too(ledger):
    ledger.write_now(lambda conn: retry(conn, micros(NOW), sku="PARKED"))
    sql = text("SELECT lane, listing_acked FROM offer WHERE sku = 'PARKED'")
    lane, acked = ledger.read_now(lambda conn: conn.execute(sql).one())
    assert (Lane.LISTING, ABSENT) == (lane, bytes(acked))


@pytest.mark.parametrize("way", ["retry", "resync"])
def test_the_issue_of_a_refusal_closes_once_a_second_try_is_taken(tmp_path: Path, way: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), {"A": ("1.00", 5)}, "one")) as e:
            await ready(e)
            adapter = e.house.channels["one"].adapter
            push = adapter.push

            async def refuse(_operation: str, ops: Any) -> PushOutcome:
                return PushOutcome(results=[
                    PushResult(sku=op.sku, aspect=aspect, result=Result.REJECTED, code="E8", message="no")
                    for op in ops for aspect in op.changed
                ])  # fmt: skip

            adapter.push = refuse
            await reread(e, tmp_path, {"A": ("1.10", 5)})
            e.clock.advance(5)
            await e.run("channel:one", "push")
            (group,) = e.house.ledger.read_now(parked)
            assert ("E8", 1, ("A",)) == (group.reason, group.offers, group.skus)
            adapter.push = push
            now = micros(e.clock.now())
            if way == "retry":
                await e.house.ledger.write(lambda conn: retry(conn, now))
            else:
                await e.house.ledger.write(lambda conn: resend(conn, 1, None, now))
            e.clock.advance(60)
            await e.run("account:one", "orders")
            await e.run("channel:one", "push")
            assert "1.10" == shown(e, "A")[0]
            assert [] == e.house.ledger.read_now(parked)
            assert [] == e.rows("SELECT sku FROM issue WHERE closed_at IS NULL")
            assert offer(e, "A", "price_parked") is None

    play(run)
