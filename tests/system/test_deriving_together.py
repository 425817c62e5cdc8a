"""Two sources and a sale derive the same offers at the same moment: the offer shows what all of them together mean."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

from marketsync.domain.ownership import LocationPolicy
from marketsync.ledger import items as item_store
from marketsync.ledger.gateway import Rank
from marketsync.ledger.items import SourceSays
from marketsync.ledger.sql import alone
from marketsync.ledger.stock import apply_figures
from marketsync.sync.derive import derive_items, derive_stock
from tests.engine import engine, sandboxes, write_config

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONTENT = {"title": "Tea", "price": {"minor": 300, "currency": "EUR"}}


def test_a_new_item_and_its_first_figure_meet(tmp_path, ledger_url):
    """The catalogue's transaction has made the offer and not committed; the stock's one comes just then."""
    sources = "sources:\n  pim: {file: none.csv, owns: [content, price]}\n  erp: {file: none.csv, owns: [stock]}\n"
    config = write_config(tmp_path, ledger_url, sources + sandboxes("shop"))
    derived, told = threading.Event(), threading.Event()

    async def play():
        async with engine(config) as running:
            house, ledger = running.house, running.house.ledger

            def catalogue(conn):
                alone(conn)
                items = item_store.apply(conn, "pim", [SourceSays("A", b"a" * 16, CONTENT, None)], house.order)
                derive_items(conn, house.rules, items, (), house.order, NOW)
                derived.set()
                told.wait(1.0)  # the other one is let in here, if anything lets it in

            def stock(conn):
                derived.wait(10)
                read = NOW + timedelta(seconds=1)
                moved = apply_figures(
                    conn, [("A", "main", 7, None)], LocationPolicy(), exported=read, read=read, snapshot_id=1
                )
                derive_stock(conn, house.rules, moved, house.order, read)
                told.set()

            await asyncio.gather(ledger.write(catalogue, Rank.BULK), ledger.write(stock, Rank.BULK))
            return running.rows("SELECT stock_quantity FROM offer"), running.rows("SELECT on_hand FROM stock_level")

    assert ([(7,)], [(7,)]) == asyncio.run(play())
