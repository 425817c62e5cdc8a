"""What a claim hands to an adapter, and how it leaves the offers, on real ledgers."""

from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import text

from marketsync.adapter.content import Aspect
from marketsync.adapter.spec import Operation
from marketsync.domain.content import ABSENT, UNKNOWN
from marketsync.ledger import outbox, tables
from marketsync.ledger.claims import Claim, ClaimRequest, Door, claim
from marketsync.ledger.outbox import Lane
from marketsync.ledger.types import micros
from tests.integration.ledger_rows import DAY, NOW, B, offer, open_ledger, put

WHOLE = Operation(name="listings", aspects=frozenset(Aspect), batch=100, creates=True)


def claimed(ledger_url: str, *offers: tables.Offer, operation: Operation = WHOLE, **request) -> Claim | None:
    """Claim from a channel that has these offers; its orders were read a minute ago."""
    with closing(open_ledger(ledger_url)) as ledger:

        def write(conn):
            put(conn, tables.Account(id=1, name="one", adapter="sandbox", changed_at=NOW - DAY))
            channel = {"name": "one", "state": "active", "adopted_at": NOW - DAY, "changed_at": NOW - DAY}
            put(conn, tables.Channel(id=1, account_id=1, **channel))
            for row in offers:
                put(conn, tables.Item(sku=row.sku, content={}))
                put(conn, row)
            conn.execute(text(outbox.refresh(conn.dialect.name, "1 = 1")))
            door = Door(operation, (Lane.ZERO, Lane.LOWER, Lane.RAISE, Lane.PRICE, Lane.LISTING))
            pulled = micros(NOW - timedelta(minutes=1))
            return claim(conn, ClaimRequest(channel_id=1, door=door, now=micros(NOW), pulled_from=pulled, **request))

        return ledger.write_now(write)


def test_every_member_of_a_family_whose_listing_is_written_brings_its_own(ledger_url):
    found = claimed(
        ledger_url,
        offer(1, 1, "S", family="shirt", listing_desired=B),
        offer(2, 1, "M", family="shirt", price_desired=B),
        offer(3, 1, "L", family="shirt"),
        offer(4, 1, "MUG", price_desired=B),
        groups_variants=True,
    )
    assert {"S": (1, "The S"), "M": (2, "The M"), "L": (0, "The L"), "MUG": (2, None)} == {
        op.sku: (op.bits, op.listing and op.listing["title"]) for op in found.ops
    }


HELD = {"held": 2, "price_desired": B, "price_content": {"amount": {"minor": 99, "currency": "EUR"}, "gross": True}}
CONFIRMED = {"amount": {"minor": 1999, "currency": "EUR"}, "gross": True}


def test_an_op_brings_nothing_that_it_may_not_write(ledger_url):
    """A write that replaces the whole offer sends the price that the channel confirmed, never one that is held, and
    no stock: by now the channel may have sold of what it confirmed.
    """
    found = claimed(
        ledger_url,
        offer(1, 1, "TEXT", listing_desired=B, price_acked_content=CONFIRMED, **HELD),
        offer(2, 1, "LOST", listing_desired=B, price_acked_content=CONFIRMED, **{**HELD, "price_acked": UNKNOWN}),
        offer(3, 1, "STOCK", stock_desired=B, stock_quantity=3, stock_content={"quantity": 3}),
        offer(4, 1, "PRICE", price_desired=B, price_acked_content={}),
    )
    assert {
        "TEXT": (1, CONFIRMED, None),
        "LOST": (1, None, None),
        "STOCK": (4, None, {"quantity": 3}),
        "PRICE": (2, CONFIRMED, None),
    } == {op.sku: (op.bits, op.price, op.stock) for op in found.ops}


def test_what_is_there_to_complete_a_family_brings_neither_a_held_price_nor_stock(ledger_url):
    found = claimed(
        ledger_url,
        offer(1, 1, "S", family="shirt", listing_desired=B),
        offer(2, 1, "M", family="shirt", price_acked_content=CONFIRMED, **HELD),
        groups_variants=True,
    )
    (member,) = [op for op in found.ops if op.sku == "M"]
    assert (0, CONFIRMED, None) == (member.bits, member.price, member.stock)


@pytest.mark.parametrize(("looks_up", "expected"), [(True, {"NEW"}), (False, {"NEW", "LOST"})])
def test_a_creation_without_an_answer_is_repeated_only_after_it_was_looked_up(ledger_url, looks_up, expected):
    """It may have come due while a long push runs: then the next push looks it up first."""
    unanswered = {"remote_id": None, "listing_desired": B, "listing_acked": UNKNOWN}
    found = claimed(
        ledger_url,
        offer(1, 1, "LOST", **unanswered),
        offer(2, 1, "NEW", **{**unanswered, "listing_acked": ABSENT}),
        looks_up=looks_up,
    )
    assert expected == {op.sku for op in found.ops}
