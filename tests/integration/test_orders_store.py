"""Storing orders: each once, in its newest version, with everything that follows from it in the same transaction."""

import json
from dataclasses import replace
from datetime import timedelta
from random import Random
from threading import Barrier, Thread

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from marketsync.adapter.api import (
    Address,
    ChannelReturn,
    Fulfilment,
    Money,
    Payment,
    ReturnState,
    SaleLowers,
)
from marketsync.domain.ownership import FallsAt, LocationPolicy, Owner
from marketsync.ledger.buyers import expire_buyers, open_buyers
from marketsync.ledger.deliveries import Delivered, due_deliveries, record_deliveries
from marketsync.ledger.lines import set_listing_map
from marketsync.ledger.orders import resolve_unmapped, store_orders
from marketsync.ledger.returns import store_returns
from marketsync.ledger.stock import apply_figures
from tests.order_desk import BUYER, START, Desk, later, line, order

SHIPPED = Fulfilment.SHIPPED


@pytest.fixture
def desk(ledger_url):
    desk = Desk(ledger_url)
    desk.items(A=10, B=5)
    yield desk
    assert [] == desk.problems()
    desk.close()


def count(desk: Desk, table: str) -> int:
    return desk.rows(f"SELECT COUNT(*) FROM {table}")[0][0]


def issues(desk: Desk) -> list[tuple]:
    return desk.rows("SELECT scope, sku, code, hint FROM issue WHERE closed_at IS NULL ORDER BY id")


def listing_map(desk: Desk, **wanted: dict[str, int]) -> None:
    desk.write(lambda conn: set_listing_map(conn, desk.ids["de"], wanted))


# ------------------------------------------------------------------ once


def test_an_order_is_stored_once_however_often_it_is_read(desk):
    first = order("1", line("A", 2))
    assert 1 == desk.store(first).new
    again = desk.store(first, first)
    assert (0, 0, 1) == (again.new, again.changed, again.same)
    assert (1, 1) == (count(desk, "sales_order"), count(desk, "order_line"))
    assert (10, 2) == desk.level("A")
    assert 1 == count(desk, "delivery") == count(desk, "order_command")


def test_an_unchanged_repeat_writes_nothing_but_its_time(desk):
    first = order("1", line("A", 2))
    desk.store(first)
    events = count(desk, "order_event")
    stored = desk.store(later(first, 5))
    assert (0, 0, 1) == (stored.new, stored.changed, stored.same)
    assert events == count(desk, "order_event")
    assert [(1,)] == desk.rows("SELECT revision FROM sales_order")
    assert 1 == desk.store(first).older


def test_two_rows_of_one_order_cannot_stand_in_the_ledger(desk):
    desk.store(order("1", line("A")))
    names = desk.rows("SELECT * FROM sales_order")
    assert names
    columns = "account_id, channel_id, channel_order_id, revision, payment, fulfilment, placed_at, updated_at, stored_at, cancel_requested, acknowledged, currency, has_address, before_adoption, unmapped, content_hash"
    sql = f"INSERT INTO sales_order (key, {columns}) SELECT 'another', {columns} FROM sales_order"
    with pytest.raises(IntegrityError):
        desk.write(lambda conn: conn.execute(text(sql)))


def test_two_workers_that_store_the_same_page_at_once_store_it_once(desk):
    page = [replace(order(f"{number}", line("A"), at=number), storefront="de") for number in range(5)]
    together, errors = Barrier(2), []

    def store() -> None:
        together.wait()
        try:
            desk.write(lambda conn: store_orders(conn, desk.account_id, desk.ids, page, desk.ctx()))
        except IntegrityError as error:  # the slower one on PostgreSQL: its page is rolled back and read again
            errors.append(error)

    threads = [Thread(target=store) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 5 == count(desk, "sales_order")
    assert (10, 5) == desk.level("A")
    assert len(errors) <= 1


def test_an_older_version_changes_nothing(desk):
    first = order("1", line("A", 2))
    shipped = later(first, 60, lines={"l-A": {"shipped": 2}}, fulfilment=SHIPPED)
    desk.store(shipped)
    assert 1 == desk.store(first).older
    assert (8, 0) == desk.level("A")


def test_of_one_page_the_newest_version_counts_whatever_their_order(desk):
    first = order("1", line("A", 2))
    desk.store(later(first, 60, lines={"l-A": {"cancelled": 1}}), first)
    assert (10, 1) == desk.level("A")


def test_a_crash_in_the_transaction_leaves_nothing(desk):
    page = [replace(order("1", line("A", 2)), storefront="de")]

    def run(conn):
        store_orders(conn, desk.account_id, desk.ids, page, desk.ctx())
        raise RuntimeError("crash")

    with pytest.raises(RuntimeError):
        desk.write(run)
    assert 0 == count(desk, "sales_order") == count(desk, "reservation") == count(desk, "delivery")
    assert (10, 0) == desk.level("A")
    desk.store(*page)
    assert (10, 2) == desk.level("A")


def test_one_order_that_cannot_be_stored_does_not_keep_the_others_out(desk):
    twice = order("bad", line("A", line_id="x"), line("A", line_id="x"))
    stored = desk.store(order("good", line("A")), twice, replace(order("lost", line("A")), storefront="xx"))
    assert (1, 2) == (stored.new, stored.refused)
    assert [("good",)] == desk.rows("SELECT channel_order_id FROM sales_order")
    assert [("account:shop", "order:bad", "unstorable_order"), ("account:shop", "order:lost", "unstorable_order")] == [
        issue[:3] for issue in issues(desk)
    ]


def test_texts_that_no_database_stores_are_cleaned(desk):
    desk.store(order("1", line("A\0", title="half \ud800 a character")))
    assert [("A", "half ? a character")] == desk.rows("SELECT channel_sku, title FROM order_line")


# ------------------------------------------------------------------ stock


def test_an_unpaid_order_reserves_and_is_not_delivered(desk):
    first = order("1", line("A", 2), payment=Payment.PENDING, buyer=None)
    desk.store(first)
    assert (10, 2) == desk.level("A")
    assert 0 == count(desk, "delivery")
    desk.store(later(first, payment=Payment.PAID, buyer=BUYER))
    assert [(2, "due")] == desk.rows("SELECT revision, state FROM delivery")
    assert (10, 2) == desk.level("A")


def test_cancelled_pieces_are_free_at_once(desk):
    first = order("1", line("A", 3))
    desk.store(first)
    stored = desk.store(later(first, lines={"l-A": {"cancelled": 2}}))
    assert (10, 1) == desk.level("A")
    assert {"de": 2} == dict(stored.cancelled)


def test_an_order_cancelled_as_a_whole_releases_everything_whatever_its_lines_say(desk):
    first = order("1", line("A", 3))
    desk.store(first)
    desk.store(later(first, fulfilment=Fulfilment.CANCELLED))
    assert (10, 0) == desk.level("A")


def test_cancelled_pieces_that_must_not_be_sold_again_leave_the_shelf(desk):
    desk.change("de", restocks_cancelled=False)
    first = order("1", line("A", 3))
    desk.store(first)
    desk.store(later(first, lines={"l-A": {"cancelled": 1, "shipped": 1}}))
    assert (8, 1) == desk.level("A")


def test_shipped_pieces_leave_the_ledgers_stock_once(desk):
    first = order("1", line("A", 3))
    desk.store(first)
    part = later(first, lines={"l-A": {"shipped": 1}})
    desk.store(part)
    assert (9, 2) == desk.level("A")
    desk.store(later(part, lines={"l-A": {"shipped": 3}}, fulfilment=SHIPPED))
    assert (7, 0) == desk.level("A")
    references = {row[0] for row in desk.rows("SELECT reference FROM stock_movement WHERE kind = 'shipment'")}
    assert {"ship:1:A:1", "ship:1:A:3"} == references


def test_counts_never_fall_so_a_page_read_before_a_shipment_changes_nothing(desk):
    first = order("1", line("A", 3))
    desk.store(later(first, 60, lines={"l-A": {"shipped": 2}}))
    desk.store(later(first, 90, cancel_requested=True))
    assert (8, 1) == desk.level("A")


def test_a_kit_holds_its_components(desk):
    listing_map(desk, KIT={"A": 2, "B": 1})
    desk.store(order("1", line("KIT", 2)))
    assert [(10, 4), (5, 2)] == [desk.level("A"), desk.level("B")]
    assert [({"A": 2, "B": 1},)] == [
        (json.loads(row[0]) if isinstance(row[0], str) else row[0],)
        for row in desk.rows("SELECT components FROM order_line")
    ]


def test_the_first_location_that_has_all_of_a_line_is_taken_else_the_first(desk):
    desk.change("de", locations=("far", "main"))
    desk.store(order("1", line("A", 4)), order("2", line("A", 9), at=1))
    assert [(10, 4), (0, 9)] == [desk.level("A"), desk.level("A", "far")]


def test_what_the_channel_fulfils_moves_nothing_of_ours(desk):
    stored = desk.store(order("1", line("A", 2, fulfilled_by="channel")))
    assert (10, 0) == desk.level("A")
    assert 0 == count(desk, "delivery")
    assert not stored.push
    assert [] == desk.forgotten


def test_what_the_channel_fulfils_is_delivered_to_a_sink_that_asks_for_it(desk):
    desk.sinks = {"erp": False, "books": True}
    desk.store(order("1", line("A", 2, fulfilled_by="channel")))
    assert [("books",)] == desk.rows("SELECT sink FROM delivery")


def test_a_failed_payment_releases(desk):
    first = order("1", line("A", 2), payment=Payment.PENDING)
    desk.store(first)
    desk.store(later(first, payment=Payment.FAILED))
    assert (10, 0) == desk.level("A")


def test_the_pieces_that_were_not_there_are_counted_with_their_cause(desk):
    stored = desk.store(order("1", line("B", 4)), order("2", line("B", 3), at=1))
    assert {"de": 2} == dict(stored.oversold)
    assert [("1", 0), ("2", 2)] == desk.rows(
        "SELECT o.channel_order_id, l.oversold FROM order_line l JOIN sales_order o ON o.id = l.order_id ORDER BY o.id"
    )
    details = desk.rows("SELECT details FROM order_event WHERE kind = 'oversold'")[0][0]
    assert "2 pieces were not there; the others are held by 1" in str(details)
    assert {} == dict(desk.store(order("1", line("B", 4))).oversold)


def test_a_sale_makes_the_offers_elsewhere_due_and_forgets_what_the_channel_shows(desk):
    stored = desk.store(order("1", line("A", 1)))
    assert {"elsewhere", "de"} == stored.push
    assert [(desk.ids["de"], ("A",))] == desk.forgotten
    assert [("A",)] == desk.restocked


def test_where_stock_falls_at_the_payment_the_channels_figure_is_forgotten_then(desk):
    desk.change("de", sale_lowers=SaleLowers.AT_PAYMENT)
    first = order("1", line("A", 1), payment=Payment.PENDING)
    desk.store(first)
    assert [] == desk.forgotten
    paid = later(first, payment=Payment.PAID)
    desk.store(paid)
    assert 1 == len(desk.forgotten)
    desk.store(later(paid, lines={"l-A": {"cancelled": 1}}))
    assert 2 == len(desk.forgotten)
    desk.store(order("2", line("B", 1), at=100))
    assert 3 == len(desk.forgotten)


def test_where_nobody_tells_which_of_both_lowers_it_the_channels_figure_is_forgotten_at_each(desk):
    desk.change("de", sale_lowers=SaleLowers.AT_EITHER)
    first = order("1", line("A", 1), payment=Payment.PENDING)
    desk.store(first)
    assert 1 == len(desk.forgotten)
    desk.store(later(first, payment=Payment.PAID))
    assert 2 == len(desk.forgotten)


# ------------------------------------------------------------------ adoption


def test_orders_from_before_the_adoption_reserve_and_are_neither_told_nor_delivered(desk):
    desk.change("de", adopted_at=START + timedelta(seconds=50))
    stored = desk.store(order("old", line("A", 2)), order("new", line("B", 1), at=60))
    assert [(10, 2), (5, 1)] == [desk.level("A"), desk.level("B")]
    assert stored.new == 2
    delivered = desk.rows("SELECT o.channel_order_id FROM delivery d JOIN sales_order o ON o.id = d.order_id")
    told = desk.rows("SELECT o.channel_order_id FROM order_command c JOIN sales_order o ON o.id = c.order_id")
    assert [("new",)] == delivered == told


def test_a_channel_that_only_observes_reserves(desk):
    desk.change("de", adopted_at=None)
    desk.store(order("1", line("A", 2)))
    assert (10, 2) == desk.level("A")
    assert 0 == count(desk, "delivery") == count(desk, "order_command")


def test_what_was_shipped_before_the_adoption_moves_nothing_and_the_rest_counts_from_there(desk):
    desk.change("de", adopted_at=START + timedelta(days=1))
    closed = later(order("closed", line("A", 2)), lines={"l-A": {"shipped": 2}}, fulfilment=SHIPPED)
    part = later(order("part", line("A", 3)), lines={"l-A": {"shipped": 1}})
    desk.store(closed, part)
    assert (10, 2) == desk.level("A")
    assert [(desk.ids["de"], ("A",))] == desk.forgotten
    desk.store(later(part, lines={"l-A": {"shipped": 3}}, fulfilment=SHIPPED))
    assert (8, 0) == desk.level("A")


# ------------------------------------------------------------------ unmapped lines


def test_a_line_that_nobody_knows_is_stored_delivered_and_raised(desk):
    desk.store(order("1", line("a", 2), line("POST", 1)))
    assert [(True,)] == [(bool(row[0]),) for row in desk.rows("SELECT unmapped FROM sales_order")]
    assert [(None,), (None,)] == desk.rows("SELECT components FROM order_line")
    assert 1 == count(desk, "delivery")
    assert [
        ("channel:de", "POST", "unmapped_line", "add POST to the listing map of de, or to a source"),
        ("channel:de", "a", "unmapped_line", "the item A differs only in case: map a to it in the listing map of de"),
    ] == sorted(issues(desk))


def test_a_line_that_is_mapped_later_holds_its_pieces_and_closes_its_issue(desk):
    desk.store(order("1", line("a", 2), line("POST", 1)))
    listing_map(desk, a={"A": 1})
    done = desk.write(lambda conn: resolve_unmapped(conn, desk.account_id, desk.ctx()))
    assert (1, {"elsewhere"}) == (done.changed, done.push)
    assert (10, 2) == desk.level("A")
    assert ["POST"] == [issue[1] for issue in issues(desk)]
    assert [(2,)] == desk.rows("SELECT revision FROM delivery")
    assert 0 == desk.write(lambda conn: resolve_unmapped(conn, desk.account_id, desk.ctx())).changed
    listing_map(desk, a={"A": 1}, POST={"B": 1})
    desk.write(lambda conn: resolve_unmapped(conn, desk.account_id, desk.ctx()))
    assert [False] == [bool(row[0]) for row in desk.rows("SELECT unmapped FROM sales_order")]


def test_pieces_shipped_while_a_line_was_unmapped_are_booked_once_it_is_known(desk):
    first = order("1", line("a", 3))
    desk.store(first)
    desk.store(later(first, lines={"l-a": {"shipped": 1}}))
    listing_map(desk, a={"A": 1})
    desk.write(lambda conn: resolve_unmapped(conn, desk.account_id, desk.ctx()))
    assert (9, 2) == desk.level("A")


def test_a_listing_map_is_replaced_and_stored_lines_keep_what_they_stood_for(desk):
    listing_map(desk, X={"A": 2})
    first = order("1", line("X", 1))
    desk.store(first)
    listing_map(desk, X={"A": 1}, Y={"B": 1})
    assert [("X", "A", 1), ("Y", "B", 1)] == desk.rows(
        "SELECT channel_sku, item_sku, quantity FROM listing_map ORDER BY channel_sku"
    )
    desk.store(later(first, lines={"l-X": {"shipped": 1}}, fulfilment=SHIPPED))
    assert (8, 0) == desk.level("A")


# ------------------------------------------------------------------ sinks and buyers


def test_a_change_of_what_a_sink_was_told_makes_its_delivery_due_again_under_the_same_key(desk):
    first = order("1", line("A", 2))
    desk.store(first)
    arrived(desk, 1)
    changes = [
        {"cancel_requested": True},
        {"lines": {"l-A": {"cancelled": 1}}},
        {"buyer": replace(BUYER, street="Elsewhere 2")},
        {"total": Money(1, "EUR")},
    ]
    newest = first
    for revision, change in enumerate(changes, 2):
        newest = later(newest, **change)
        desk.store(newest)
        assert [(revision, revision - 1, "due")] == desk.rows("SELECT revision, delivered, state FROM delivery")
        arrived(desk, revision)
    assert [("shop:1",)] == desk.rows("SELECT key FROM sales_order")


def arrived(desk: Desk, revision: int, sink: str = "erp") -> None:
    row = desk.rows("SELECT order_id FROM delivery")[0][0]
    outcome = Delivered(row, revision)
    desk.write(lambda conn: record_deliveries(conn, sink, [outcome], desk.stock, desk.now))


def test_what_a_sink_is_not_told_of_makes_no_new_revision(desk):
    first = order("1", line("A", 2))
    desk.store(first)
    desk.store(later(first, acknowledged=True, extra={"package": "7"}))
    assert [(1,)] == desk.rows("SELECT revision FROM sales_order")
    assert [("done",)] == desk.rows("SELECT state FROM order_command")


def test_a_cancelled_order_is_delivered_only_to_whom_it_may_have_been_told_before(desk):
    desk.store(order("1", line("A"), fulfilment=Fulfilment.CANCELLED))
    assert 0 == count(desk, "delivery")
    second = order("2", line("A"))
    desk.store(second)
    desk.store(later(second, fulfilment=Fulfilment.CANCELLED))
    assert [(2, "due")] == desk.rows("SELECT revision, state FROM delivery")


def test_an_answer_for_an_older_revision_leaves_the_newer_one_due(desk):
    first = order("1", line("A", 2))
    desk.store(first)
    desk.store(later(first, cancel_requested=True))
    arrived(desk, 1)
    assert [(2, 1, "due")] == desk.rows("SELECT revision, delivered, state FROM delivery")
    assert 1 == len(desk.ledger.read_now(lambda conn: due_deliveries(conn, "erp", desk.now, 10)))


def test_where_figures_fall_at_delivery_pieces_fall_once_every_sink_has_the_order(desk):
    desk.stock.locations["main"] = LocationPolicy(Owner.SOURCE, FallsAt.DELIVERY, "erp")
    desk.sinks = {"erp": False, "books": False}
    desk.store(order("1", line("A", 2)))
    fallen = "SELECT quantity, fallen FROM reservation"
    arrived(desk, 1, "books")
    assert [(2, 0)] == desk.rows(fallen)
    arrived(desk, 1, "erp")
    assert [(2, 2)] == desk.rows(fallen)


def test_without_sinks_a_figure_that_falls_at_delivery_falls_at_the_shipment(desk):
    desk.stock.locations["main"] = LocationPolicy(Owner.SOURCE, FallsAt.DELIVERY, "erp")
    desk.sinks = {}
    first = order("1", line("A", 2))
    desk.store(first)
    desk.store(later(first, lines={"l-A": {"shipped": 1}}))
    assert [(2, 1)] == desk.rows("SELECT quantity, fallen FROM reservation")


def test_buyers_are_sealed_kept_while_the_order_is_open_and_gone_when_their_time_is_over(desk):
    first = order("1", line("A", 2), billing=Address(name="Office"))
    desk.store(first)
    sealed, expires = desk.rows("SELECT sealed, expires_at FROM buyer")[0]
    assert b"Leipzig" not in bytes(sealed)
    assert expires is None
    opened = desk.ledger.read_now(lambda conn: open_buyers(conn, desk.ledger.vault, [1]))
    assert ("Leipzig", "Office") == (opened[1]["buyer"]["city"], opened[1]["billing"]["name"])
    shipped = later(first, 0, lines={"l-A": {"shipped": 2}}, fulfilment=SHIPPED)
    desk.store(shipped)
    over = START + timedelta(days=90)
    assert 0 == desk.write(lambda conn: expire_buyers(conn, over - timedelta(seconds=1)))
    assert 1 == desk.write(lambda conn: expire_buyers(conn, over))
    desk.store(later(shipped, lines={"l-A": {"returned": 1}}))
    assert 0 == count(desk, "buyer"), "what was purged does not come back with a later version"
    assert [True] == [bool(row[0]) for row in desk.rows("SELECT has_address FROM sales_order")]


def test_a_version_without_an_address_takes_the_known_one_not_back(desk):
    first = order("1", line("A", 2))
    desk.store(first)
    desk.store(later(first, buyer=None))
    assert 1 == count(desk, "buyer")
    assert [(1,)] == desk.rows("SELECT revision FROM sales_order")


def test_nothing_personal_stands_anywhere_but_in_the_sealed_table(desk):
    first = order("1", line("A", 2))
    desk.store(first)
    desk.store(later(first, buyer=replace(BUYER, name="Somebody Else")))
    for table in ("sales_order", "order_line", "order_event", "delivery", "order_command"):
        said = str(desk.rows(f"SELECT * FROM {table}"))
        assert "Müller" not in said
        assert "Somebody" not in said


# ------------------------------------------------------------------ returns


def told(state: ReturnState, *, sellable: bool | None = True, quantity: int = 1, key: str = "R", at: float = 100.0):
    return ChannelReturn(
        return_id=key, order_id="1", line_id="l-A", sku="A", quantity=quantity, state=state, sellable=sellable,
        updated=START + timedelta(seconds=at),
    )  # fmt: skip


def returned(desk: Desk, *returns: ChannelReturn):
    return desk.write(lambda conn: store_returns(conn, desk.account_id, returns, desk.ctx()))


@pytest.fixture
def sent(desk):
    desk.change("de", restocks_returned=True)
    first = order("1", line("A", 2))
    desk.store(later(first, lines={"l-A": {"shipped": 2}}, fulfilment=SHIPPED))
    assert (8, 0) == desk.level("A")
    return desk


def test_a_return_is_put_back_once_when_it_is_received_and_sellable(sent):
    returned(sent, told(ReturnState.REQUESTED, sellable=None))
    assert (8, 0) == sent.level("A")
    stored = returned(sent, told(ReturnState.RECEIVED, at=110))
    assert (9, 0) == sent.level("A")
    assert {"de": 1} == dict(stored.returned)
    returned(sent, told(ReturnState.RECEIVED, at=110))
    returned(sent, told(ReturnState.REFUNDED, at=120))
    assert 1 == returned(sent, told(ReturnState.REQUESTED, at=90)).older
    assert (9, 0) == sent.level("A")
    assert [("refunded", 1)] == [
        (state, int(done)) for state, done in sent.rows("SELECT state, restocked FROM return_item")
    ]


@pytest.mark.parametrize("change", [{"restocks_returned": False}, {}])
def test_what_is_not_sellable_or_not_to_be_restocked_stays_away(sent, change):
    sent.change("de", **change)
    returned(sent, told(ReturnState.RECEIVED, sellable=bool(change)))
    assert (8, 0) == sent.level("A")


def test_never_more_comes_back_than_was_sold(sent):
    returned(sent, told(ReturnState.RECEIVED, key="by the channel", quantity=2))
    returned(sent, told(ReturnState.RECEIVED, key="by the warehouse", quantity=2))
    assert (10, 0) == sent.level("A")


def test_a_source_that_owns_its_figure_counts_returns_itself(sent):
    sent.stock.locations["main"] = LocationPolicy(Owner.SOURCE, FallsAt.SHIPMENT, "erp")
    returned(sent, told(ReturnState.RECEIVED))
    assert (8, 0) == sent.level("A")


def test_a_return_of_an_order_that_is_not_in_the_ledger_is_kept_and_raised(desk):
    returned(desk, told(ReturnState.RECEIVED))
    assert [("account:shop", "order:1", "return_without_order")] == [issue[:3] for issue in issues(desk)]
    assert 1 == count(desk, "return_item")


# ------------------------------------------------------------------ at the same time


def test_pages_and_figures_that_want_the_same_pieces_at_once_neither_block_each_other_nor_lose_any(ledger_url):
    desk = Desk(ledger_url)
    skus = [f"S{number}" for number in range(8)]
    desk.items(**dict.fromkeys(skus, 1000))
    policy = LocationPolicy(Owner.SOURCE, FallsAt.NEVER, "erp")
    errors: list[BaseException] = []

    def sell(worker: int) -> None:
        chance = Random(worker)
        for page in range(10):
            lines = [[line(sku, 1) for sku in chance.sample(skus, 3)] for _ in range(5)]
            orders = [
                replace(order(f"{worker}-{page}-{n}", *some, at=n), storefront="de") for n, some in enumerate(lines)
            ]
            shipped = [later(one, lines={part.line_id: {"shipped": 1} for part in one.lines}) for one in orders[:2]]
            for batch in (orders, shipped):
                desk.write(lambda conn, batch=batch: store_orders(conn, desk.account_id, desk.ids, batch, desk.ctx()))

    def count_again() -> None:
        chance = Random(99)
        for number in range(20):
            rows = [(sku, "main", 1001 + number, 1000 + number) for sku in chance.sample(skus, len(skus))]
            desk.write(
                lambda conn, rows=rows, number=number: apply_figures(
                    conn, rows, policy, exported=START, read=START, snapshot_id=number
                )
            )

    def guarded(work) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (a thread's error is the test's)
            errors.append(error)

    threads = [Thread(target=guarded, args=(lambda worker=worker: sell(worker),)) for worker in range(3)]
    threads.append(Thread(target=guarded, args=(count_again,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == errors
    assert [] == desk.problems()
    pieces = [desk.level(sku) for sku in skus]
    assert 8 * 1020 - 3 * 10 * 2 * 3 == sum(on_hand for on_hand, _ in pieces)
    assert 3 * 10 * 3 * 3 == sum(reserved for _, reserved in pieces)
    desk.close()
