"""Orders: pages that come twice, late or out of order change nothing twice and take nothing back."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsync.adapter.money import Money
from marketsync.adapter.orders import Address, ChannelLine, ChannelOrder, Fulfilment, Payment
from marketsync.domain.orders import (
    COUNTS,
    LineChange,
    StoredLine,
    Verdict,
    as_stored,
    compare,
    deliverable,
    is_cancelled,
    open_quantity,
    order_hash,
    reserved_quantity,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEY = b"the ledger's secret"


def line(line_id="1", **changed):
    return ChannelLine(**{"line_id": line_id, "sku": "A", "quantity": 3, **changed})


def order(*lines, minutes=0, **changed):
    fields = {
        "order_id": "O-1",
        "placed": NOON - timedelta(days=1),
        "updated": NOON + timedelta(minutes=minutes),
        "payment": Payment.PAID,
        "fulfilment": Fulfilment.OPEN,
        "currency": "EUR",
        "lines": lines or (line(),),
        "buyer": Address(name="Ada", city="London"),
        "total": Money(1999, "EUR"),
    }
    return ChannelOrder(**{**fields, **changed})


def take(stored, read):
    return compare(stored, read, order_hash(read, KEY))


def stored_as(read):
    return take(None, read).order


def codes(change):
    return [event.code for event in change.events]


def test_a_new_order_brings_all_of_its_quantities():
    change = take(None, order(line(cancelled=1), line("2", sku="B", quantity=1)))
    assert change.verdict is Verdict.NEW
    assert change.lines == (
        LineChange(line_id="1", sku="A", quantity=3, cancelled=1),
        LineChange(line_id="2", sku="B", quantity=1),
    )


def test_the_same_order_again_changes_nothing():
    change = take(stored_as(order()), order())
    assert (change.verdict, change.lines, change.events) == (Verdict.SAME, (), ())


def test_a_newer_time_alone_moves_only_the_time():
    change = take(stored_as(order()), order(minutes=5))
    assert (change.verdict, change.order.updated) == (Verdict.SAME, NOON + timedelta(minutes=5))


def test_an_older_version_after_a_newer_is_ignored_and_told():
    stored = stored_as(order(line(shipped=3), minutes=5, fulfilment=Fulfilment.SHIPPED))
    change = take(stored, order())
    assert (change.verdict, change.order, change.lines) == (Verdict.OLDER, stored, ())
    assert codes(change) == ["older_ignored"]


def test_other_content_of_the_same_time_is_taken():
    change = take(stored_as(order()), order(line(cancelled=2)))
    assert change.verdict is Verdict.CHANGED
    assert change.lines == (LineChange(line_id="1", sku="A", cancelled=2),)


def test_a_changed_address_is_a_change_without_line_changes():
    change = take(stored_as(order()), order(minutes=1, buyer=Address(name="Ada", city="Paris")))
    assert (change.verdict, change.lines) == (Verdict.CHANGED, ())


def test_a_count_that_falls_is_kept_and_told():
    change = take(stored_as(order(line(shipped=2))), order(line(shipped=1), minutes=1))
    assert change.order.lines[0].shipped == 2
    assert change.lines == ()
    assert [event.message for event in change.events] == ["line 1: the channel counts 1 shipped after 2; 2 is kept"]


def test_a_line_that_vanishes_is_kept_and_told():
    change = take(stored_as(order(line(), line("2", sku="B"))), order(line(), minutes=1))
    assert [kept.line_id for kept in change.order.lines] == ["1", "2"]
    assert codes(change) == ["line_missing"]


def test_a_lowered_quantity_releases_and_is_told():
    change = take(stored_as(order()), order(line(quantity=1), minutes=1))
    assert change.lines == (LineChange(line_id="1", sku="A", quantity=-2),)
    assert codes(change) == ["quantity_lowered"]


def test_a_cancelled_order_cancels_what_was_not_sent_on_its_lines():
    change = take(stored_as(order(line(shipped=1))), order(line(shipped=1), minutes=1, fulfilment=Fulfilment.CANCELLED))
    assert change.lines == (LineChange(line_id="1", sku="A", cancelled=2),)
    assert codes(change) == ["fulfilment", "cancelled"]
    assert open_quantity(change.order.lines[0]) == 0


def test_payment_address_and_cancellation_requests_are_told():
    pending = order(payment=Payment.PENDING, buyer=None)
    change = take(stored_as(pending), order(minutes=1, cancel_requested=True))
    assert codes(change) == ["payment", "address_known", "cancel_requested"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"payment": Payment.PENDING}, False),
        ({"payment": Payment.REFUNDED}, False),
        ({"buyer": None}, False),
        ({"fulfilment": Fulfilment.CANCELLED}, False),
        ({"lines": (line(cancelled=3),)}, False),
        ({"lines": (line(cancelled=3), line("2"))}, True),
    ],
)
def test_an_order_is_deliverable_when_paid_with_an_address_and_not_cancelled(changed, expected):
    assert deliverable(stored_as(order(**changed))) is expected


@pytest.mark.parametrize(
    ("changed", "line_changed", "expected"),
    [
        ({}, {}, 3),
        ({}, {"cancelled": 1, "shipped": 1}, 1),
        ({"payment": Payment.PENDING}, {}, 3),
        ({"payment": Payment.FAILED}, {}, 0),
        ({}, {"fulfilled_by": "channel"}, 0),
        ({"fulfilment": Fulfilment.CANCELLED}, {}, 0),
    ],
)
def test_open_pieces_are_reserved_unless_the_channel_sends_them_or_the_payment_failed(changed, line_changed, expected):
    stored = stored_as(order(line(**line_changed), **changed))
    assert reserved_quantity(stored, stored.lines[0]) == expected


def test_more_shipped_than_ordered_leaves_nothing_open():
    assert open_quantity(StoredLine(line_id="1", sku="A", quantity=1, shipped=2)) == 0


def test_an_order_without_lines_is_not_cancelled():
    assert not is_cancelled(replace(stored_as(order()), lines=()))


def test_the_hash_covers_the_buyer_but_tells_nothing_without_the_key():
    moved = order(buyer=Address(name="Ada", city="Paris"))
    assert order_hash(order(), KEY) != order_hash(moved, KEY)
    assert order_hash(order(), KEY) != order_hash(order(), b"another")


LINES = st.builds(
    line,
    st.sampled_from(["1", "2"]),
    quantity=st.integers(1, 4),
    cancelled=st.integers(0, 4),
    shipped=st.integers(0, 4),
    returned=st.integers(0, 2),
)
VERSIONS = st.lists(
    st.builds(
        lambda lines, minutes, fulfilment: order(*lines, minutes=minutes, fulfilment=fulfilment),
        st.lists(LINES, min_size=1, max_size=2, unique_by=lambda one: one.line_id),
        st.integers(0, 3),
        st.sampled_from(Fulfilment),
    ),
    min_size=1,
    max_size=6,
)


@given(VERSIONS)
def test_whatever_pages_arrive_changes_add_up_to_what_is_stored_and_no_count_falls(versions):
    stored, sums = None, {}
    for version in versions:
        change = take(stored, version)
        if stored is not None:
            assert change.order.updated >= stored.updated
            before = {one.line_id: one for one in stored.lines}
            for now in change.order.lines:
                old = before.pop(now.line_id, None)
                assert old is None or all(getattr(now, name) >= getattr(old, name) for name in COUNTS)
            assert not before
        for moved in change.lines:
            for name in ("quantity", *COUNTS):
                sums[moved.line_id, name] = sums.get((moved.line_id, name), 0) + getattr(moved, name)
        stored = change.order
    for one in stored.lines:
        assert [sums[one.line_id, name] for name in ("quantity", *COUNTS)] == [
            getattr(one, name) for name in ("quantity", *COUNTS)
        ]


@given(VERSIONS)
def test_a_page_delivered_twice_is_the_same_as_once(versions):
    once = twice = None
    for version in versions:
        once = take(once, version).order
        twice = take(take(twice, version).order, version).order
    assert once == twice


def test_events_hold_nothing_personal():
    change = take(stored_as(order(buyer=None)), order(minutes=1))
    assert "Ada" not in json.dumps([event.message for event in change.events])
    assert as_stored(order(), b"").address_known
