"""Pulling orders: nothing is lost between two pulls or two pages, whatever fails in between, and nothing comes twice."""

from datetime import timedelta

import pytest

from marketsync.adapter.api import OrderPage
from marketsync.adapter.errors import ItemRefused, Unavailable, UnexpectedReply
from marketsync.ledger import tasks
from marketsync.sync import orders as orders_task
from marketsync.sync.completeness import check_completeness
from marketsync.sync.orders import pull_orders, resolve_lines
from tests.order_desk import START, later, line, order
from tests.order_house import OVERLAP, Silent, play


class Feed(Silent):
    """A channel whose order feed is by time of update, two orders a page."""

    def __init__(self) -> None:
        self.orders_by_id = {}
        self.asked = []
        self.trouble = {}  # number of the call -> what happens
        self.hidden = set()

    def put(self, *read) -> None:
        self.orders_by_id |= {one.order_id: one for one in read}

    async def orders(self, cursor):
        self.asked.append((cursor.since, cursor.page))
        trouble = self.trouble.get(len(self.asked))
        if isinstance(trouble, BaseException):
            raise trouble
        start = int(cursor.page or 0)
        found = sorted(
            (one for one in self.orders_by_id.values() if cursor.since is None or one.updated >= cursor.since),
            key=lambda one: (one.updated, one.order_id),
        )
        seen = [one for one in found if one.order_id not in self.hidden]
        following = str(start + 2) if start + 2 < len(seen) else None
        return OrderPage(orders=seen[start : start + 2], next_page=trouble or following)

    async def order_ids(self, placed_from, placed_to):
        return [one.order_id for one in self.orders_by_id.values() if placed_from <= one.placed < placed_to]


def ids(running):
    return sorted(row[0] for row in running.rows("SELECT channel_order_id FROM sales_order"))


def state(running):
    return running.house.ledger.read_now(lambda conn: tasks.load(conn, "account:shop", "orders"))


def five() -> Feed:
    shop = Feed()
    shop.put(*(order(f"{n}", line("A"), at=n * 60, storefront="main") for n in range(1, 6)))
    return shop


def test_all_pages_come_home_and_the_next_pull_begins_a_little_before_the_newest(tmp_path, ledger_url):
    shop = five()

    async def test(running):
        pulled = await pull_orders(running.house, running.account)
        assert (3, 5) == (pulled.pages, pulled.stored.new)
        assert running.clock.now() == state(running).pulled_from
        again = await pull_orders(running.house, running.account)
        assert {"same": 5} == again.totals
        newest = START + timedelta(seconds=300)
        assert [None, None, None, newest - OVERLAP] == [since for since, _ in shop.asked[:4]]

    play(test, tmp_path, ledger_url, shop)


def test_an_order_that_shows_up_late_with_an_earlier_time_is_found_by_the_next_pull(tmp_path, ledger_url):
    shop = five()
    shop.hidden = {"1"}

    async def test(running):
        await pull_orders(running.house, running.account)
        assert "1" not in ids(running)
        shop.hidden = set()
        await pull_orders(running.house, running.account)
        assert ["1", "2", "3", "4", "5"] == ids(running)

    play(test, tmp_path, ledger_url, shop)


def test_a_pull_that_breaks_off_goes_on_at_its_page_and_counts_from_its_own_beginning(tmp_path, ledger_url):
    shop = five()
    shop.trouble[2] = Unavailable("down")

    async def test(running):
        began = running.clock.now()
        with pytest.raises(Unavailable):
            await pull_orders(running.house, running.account)
        assert ["1", "2"] == ids(running)
        assert state(running).pulled_from is None, "an incomplete pull is no ground to raise stock on"
        running.clock.advance(100)
        pulled = await pull_orders(running.house, running.account)
        assert 3 == pulled.stored.new
        assert ["2", "4"] == [page for _, page in shop.asked[2:]]
        assert began == state(running).pulled_from

    play(test, tmp_path, ledger_url, shop)


def test_a_crash_between_a_page_and_its_commit_loses_neither_the_page_nor_its_cursor(tmp_path, ledger_url, monkeypatch):
    shop = five()
    store, calls = orders_task.store_orders, []

    def crashing(*args):
        stored = store(*args)
        calls.append(stored)
        if len(calls) == 2:
            raise RuntimeError("killed")
        return stored

    async def test(running):
        monkeypatch.setattr(orders_task, "store_orders", crashing)
        with pytest.raises(RuntimeError):
            await pull_orders(running.house, running.account)
        assert ["1", "2"] == ids(running)
        assert "2" == state(running).cursor["page"]
        await pull_orders(running.house, running.account)
        assert ["1", "2", "3", "4", "5"] == ids(running)
        assert [(5, 5)] == running.rows("SELECT COUNT(*), COUNT(DISTINCT channel_order_id) FROM sales_order")

    play(test, tmp_path, ledger_url, shop)


def test_a_page_that_the_channel_has_forgotten_begins_the_pull_anew(tmp_path, ledger_url):
    shop = five()
    shop.trouble = {2: Unavailable("down"), 3: ItemRefused("the token is too old")}

    async def test(running):
        with pytest.raises(Unavailable):
            await pull_orders(running.house, running.account)
        running.clock.advance(100)
        await pull_orders(running.house, running.account)
        assert ["1", "2", "3", "4", "5"] == ids(running)
        assert running.clock.now() == state(running).pulled_from
        assert ["2", None, "2", "4"] == [page for _, page in shop.asked[2:]]

    play(test, tmp_path, ledger_url, shop)


def test_an_order_from_the_future_does_not_silence_the_channel(tmp_path, ledger_url):
    shop = five()
    shop.put(order("later", line("A"), at=10, updated=10**8, storefront="main"))

    async def test(running):
        await pull_orders(running.house, running.account)
        shop.put(order("6", line("A"), at=3600, storefront="main"))
        await pull_orders(running.house, running.account)
        assert "6" in ids(running)

    play(test, tmp_path, ledger_url, shop)


def test_a_pull_that_brings_nothing_leaves_the_cursor_and_counts_as_complete(tmp_path, ledger_url):
    shop = five()

    async def test(running):
        await pull_orders(running.house, running.account)
        before = state(running).cursor["since"]
        shop.orders_by_id = {}
        running.clock.advance(1000)
        await pull_orders(running.house, running.account)
        assert before == state(running).cursor["since"]
        assert running.clock.now() == state(running).pulled_from

    play(test, tmp_path, ledger_url, shop)


def test_pages_that_go_round_in_a_circle_end_the_pull(tmp_path, ledger_url):
    shop = five()
    shop.trouble = dict.fromkeys(range(1, 50), "2")

    async def test(running):
        with pytest.raises(UnexpectedReply, match="circle"):
            await pull_orders(running.house, running.account)
        assert len(shop.asked) < 5

    play(test, tmp_path, ledger_url, shop)


def test_an_order_that_got_lost_is_counted_raised_and_read_again(tmp_path, ledger_url):
    shop = five()
    shop.put(order("new", line("A"), at=2900, storefront="main"))
    shop.hidden = {"1"}
    opened = "SELECT code FROM issue WHERE closed_at IS NULL AND code = 'orders_missing'"

    async def test(running):
        await pull_orders(running.house, running.account)
        gap = await check_completeness(running.house, running.account)
        assert (6, ("1",)) == (gap.counted, gap.missing)
        assert [("orders_missing",)] == running.rows(opened)
        shop.hidden = set()
        await pull_orders(running.house, running.account)
        assert "1" in ids(running), "its time is long before the overlap"
        assert () == (await check_completeness(running.house, running.account)).missing
        assert [] == running.rows(opened)
        shop.asked.clear()
        await pull_orders(running.house, running.account)
        assert START + timedelta(seconds=2900) - OVERLAP == shop.asked[0][0], "the window is read again once"

    play(test, tmp_path, ledger_url, shop)


def test_a_sale_lowers_the_ledgers_pieces_and_a_line_mapped_later_too(tmp_path, ledger_url):
    shop = Feed()
    first = order("1", line("NEW", 2), at=1, storefront="main")
    shop.put(first)

    async def test(running):
        await pull_orders(running.house, running.account)
        insert = "INSERT INTO item (sku, content) VALUES ('NEW', '{}')"
        await running.house.ledger.write(lambda conn: conn.exec_driver_sql(insert))
        done = await resolve_lines(running.house, running.account)
        assert 1 == done.changed
        assert [("NEW", "main", 0, 2)] == running.rows("SELECT sku, location, on_hand, reserved FROM stock_level")
        shop.put(later(first, lines={"l-NEW": {"shipped": 2}}))
        pulled = await pull_orders(running.house, running.account)
        assert 1 == pulled.stored.changed
        assert [(-2, 0)] == running.rows("SELECT on_hand, reserved FROM stock_level")

    play(test, tmp_path, ledger_url, shop)
