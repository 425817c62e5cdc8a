"""The whole engine on the rehearsal eBay: what the engine hands an adapter is not always what a unit test would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from marketsync.daemon.house import open_house
from marketsync.ledger import migrate
from marketsync.testing.clock import TurnedClock
from marketsync_adapters.ebay.sandbox import Market, Rules
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from tests.contract.ebay_harness import HOST, RULES, refereed
from tests.engine import Engine, load_config, play, write_config

CATALOGUE = """sku,title,price,stock,parent,options.Size,category,image,brand
A-1,Apple,1.00,5,,,Fruit,https://example.com/a.jpg,Acme
B-1,Berry,2.00,0,,,Fruit,https://example.com/b.jpg,Acme
SHIRT,Shirt,9.00,0,,,Clothes,https://example.com/s.jpg,Acme
SHIRT-S,Shirt,9.00,3,SHIRT,S,Clothes,https://example.com/s.jpg,Acme
SHIRT-M,Shirt,9.00,4,SHIRT,M,Clothes,https://example.com/s.jpg,Acme
"""
CHANNEL = f"""
sources:
  pim: {{file: catalogue.csv, owns: [content, price, stock], on_hand: source, falls_at: shipment}}
channels:
  ebay-de:
    adapter: ebay
    credentials:
      client_id: {RULES.client_id}
      client_secret: {RULES.client_secret}
      refresh_token: {RULES.refresh_token}
    settings:
      base_url: {HOST}
      marketplace: EBAY_DE
      fulfillment_policy_id: "1001"
      payment_policy_id: "1002"
      return_policy_id: "1003"
      merchant_location_key: berlin
    schedule: {{listing: 1m, price: 1m}}
    guards: {{price_change: off}}
    listing: {{categories: {{Fruit: "1", Clothes: "2"}}}}
    assortment: {{exclude: {{skus: [SHIRT]}}}}
"""


@asynccontextmanager
async def at_ebay(folder: Path) -> AsyncIterator[tuple[Engine, Market]]:
    (folder / "catalogue.csv").write_text(CATALOGUE)
    path = write_config(folder, f"sqlite:///{folder / 'ledger.db'}", CHANNEL)
    clock = TurnedClock()
    market = Market(Rules(), clock)
    config = load_config(path)
    migrate.upgrade(config.ledger.get_secret_value())
    async with open_house(config, path.parent, clock, transports=lambda _name: refereed(market)) as house:
        running = Engine(house, {}, clock)
        try:
            yield running, market
        finally:
            await running.dispatcher.close(5)


def shown(market: Market) -> dict[str, int | None]:
    return {sku: market.shelf.shown(sku) for sku in sorted(market.shelf.items)}


def test_a_catalogue_goes_live_sells_and_is_filled_again(tmp_path: Path) -> None:
    """Singles, a family and an item without stock; a sale, a new text, a restock: eBay shows what it should."""

    async def run() -> None:
        async with at_ebay(tmp_path) as (engine, market):
            await engine.activate()
            for _ in range(3):
                await engine.settle(60)
            assert {"A-1": 5, "B-1": None, "SHIRT-M": 4, "SHIRT-S": 3} == shown(market)
            assert ["SHIRT-M", "SHIRT-S"] == sorted(market.shelf.groups["SHIRT"].document["variantSKUs"])
            market.sales.buy([("A-1", 2)])
            changed = CATALOGUE.replace("Apple,1.00", "Red apple,1.50").replace("Berry,2.00,0", "Berry,2.00,6")
            (tmp_path / "catalogue.csv").write_text(changed.replace("S,Shirt,9.00,3", "S,Shirt,9.00,1"))
            for _ in range(4):
                await engine.settle(60)
            assert {"A-1": 3, "B-1": 6, "SHIRT-M": 4, "SHIRT-S": 1} == shown(market)
            assert market.shelf.items["A-1"]["product"]["title"] == "Red apple"
            offer = market.shelf.offer_of("A-1")
            assert offer is not None
            assert offer.document["pricingSummary"]["price"]["value"] == "1.50"
            await engine.turn(600, step=60)
            await engine.run("channel:ebay-de", "reconcile")
            for _ in range(2):
                await engine.settle(60)
            assert {"A-1": 3, "B-1": 6, "SHIRT-M": 4, "SHIRT-S": 1} == shown(market)
            assert not engine.rows("SELECT * FROM issue WHERE closed_at IS NULL")

    play(run)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_converges_through_faults_and_brings_every_order_once(tmp_path: Path, seed: int) -> None:
    """Lost answers, broken replies, expired tokens, 429 and 5xx on every call; afterwards all is as it should be."""
    kinds = (
        FaultKind.TIMEOUT_AFTER, FaultKind.TIMEOUT_BEFORE, FaultKind.TRUNCATED, FaultKind.ERROR, FaultKind.ERROR_AFTER,
        FaultKind.UNAVAILABLE, FaultKind.RATE_LIMITED, FaultKind.HTML, FaultKind.DUPLICATED_PAGE,
    )  # fmt: skip

    async def run() -> None:
        async with at_ebay(tmp_path) as (engine, market):
            await engine.activate()
            for kind in kinds:
                market.faults.add(Fault(kind, "*", times=1_000, probability=0.06), seed=seed)
            sold = []
            for round_ in range(12):
                await engine.settle(60, step=2)
                if (market.shelf.shown("A-1") or 0) > 0 and round_ % 3 == 0:
                    sold.append(market.sales.buy([("A-1", 1)]).order_id)
            market.faults.clear()
            for _ in range(8):
                await engine.settle(600, step=10)
            assert sum(market.faults.happened.values()) > 10
            assert sorted(sold) == sorted(one[0] for one in engine.rows("SELECT channel_order_id FROM sales_order"))
            assert {"A-1": 5 - len(sold), "B-1": None, "SHIRT-M": 4, "SHIRT-S": 3} == shown(market)
            assert {"A-1", "B-1", "SHIRT-M", "SHIRT-S"} == {offer.sku for offer in market.shelf.offers.values()}
            assert len(market.shelf.offers) == 4

    play(run)
