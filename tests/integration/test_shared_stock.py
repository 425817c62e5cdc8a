"""Storefronts of one account that show one quantity: a sale on one of them moved it for all."""

from dataclasses import replace
from pathlib import Path

from marketsync.domain.content import UNKNOWN
from marketsync.testing.clock import TurnedClock
from marketsync_adapters.sandbox.market import Market
from marketsync_adapters.sandbox.rules import Rules
from tests.engine import Engine, engine, play, write_config
from tests.integration.engine_acts import catalogue, offer, ready, reread

CHANNELS = """\
sources:
  pim: {file: catalogue.csv, owns: [content, price, stock], falls_at: never}
accounts:
  one: {adapter: sandbox, credentials: {api_key: sandbox-key}}
  two: {adapter: sandbox, credentials: {api_key: sandbox-key}}
channels:
  one-de:
    {account: one, settings: {base_url: 'http://one.test', limits: false, storefront: de}, RULES}
  one-fr:
    {account: one, settings: {base_url: 'http://one.test', limits: false, storefront: fr}, RULES}
  two:
    {account: two, settings: {base_url: 'http://two.test', limits: false}, RULES}
""".replace(
    "RULES", "stock: {show_at_most: 10}, withdraw_after: 1s, schedule: {orders: 1m, listing: 1s, price: 1s, stock: 1s}"
)


def shared(folder: Path, ledger_url: str):
    catalogue(folder, {"A": ("1.00", 500)})
    clock = TurnedClock()
    markets = {"one": Market(Rules(storefronts={"de": "EUR", "fr": "EUR"}), clock), "two": Market(None, clock)}
    return engine(write_config(folder, ledger_url, CHANNELS), markets=markets, clock=clock)


def one_quantity(e: Engine) -> None:
    for channel in e.house.channels.values():
        channel.rules.spec = replace(channel.rules.spec, stock_shared=True)


def unknown(e: Engine) -> list[str]:
    return [name for name in e.house.channels if bytes(offer(e, "A", "stock_acked", channel=name)) == UNKNOWN]


def test_a_sale_makes_the_stock_unknown_on_every_storefront_of_the_account_and_on_no_other_account(
    tmp_path: Path, ledger_url: str
) -> None:
    async def run() -> None:
        async with shared(tmp_path, ledger_url) as e:
            one_quantity(e)
            await ready(e)
            assert [] == unknown(e)
            e.markets["one"].buy([("A", 1)], storefront="de")
            e.markets["one"].buy([("A", 1)], storefront="de")
            await e.run("account:one", "orders")
            assert ["one-de", "one-fr"] == unknown(e)

    play(run)


def test_an_offer_that_was_withdrawn_and_came_back_still_shares_its_quantity(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with shared(tmp_path, ledger_url) as e:
            one_quantity(e)
            await ready(e)
            await reread(e, tmp_path, {"B": ("1.00", 500)})
            await e.settle(30)
            await e.settle(30)
            assert ["B"] == sorted({one.sku for one in e.markets["one"].shelf})
            await reread(e, tmp_path, {"A": ("1.00", 500), "B": ("1.00", 500)})
            await e.settle(30)
            await e.settle(30)
            assert [] == unknown(e)
            e.markets["one"].buy([("A", 1)], storefront="de")
            e.markets["one"].buy([("A", 1)], storefront="de")
            await e.run("account:one", "orders")
            assert ["one-de", "one-fr"] == unknown(e)

    play(run)
