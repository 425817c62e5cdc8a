"""The backlog that each adapter has to drain: one function per way of writing stock, for the suite and for the bench.

    drained = DRAINS["kaufland"](10_000)
    assert drained.holds, drained

Each builds a marketplace with so many offers on sale, changes the stock of all of them, and looks at the shelf at the end.
No referee stands between: what is sent is checked elsewhere, and ten thousand times would take half a minute.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import httpx

from marketsync.adapter.api import Aspect, Money, OfferOp, Price, Stock
from marketsync.testing.clock import TurnedClock
from marketsync.testing.sandbox import InProcess
from marketsync_adapters.amazon.sandbox import Account
from marketsync_adapters.amazon.sandbox import build_app as amazon_app
from marketsync_adapters.ebay.sandbox import Market as EbayMarket
from marketsync_adapters.ebay.sandbox import build_app as ebay_app
from marketsync_adapters.kaufland.sandbox import Market as KauflandMarket
from marketsync_adapters.kaufland.sandbox import build_app as kaufland_app
from marketsync_adapters.shopify.ids import OfferId
from marketsync_adapters.shopify.sandbox import Shop as ShopifyShop
from marketsync_adapters.shopify.sandbox import build_app as shopify_app
from marketsync_adapters.woocommerce.sandbox import build_app as woocommerce_app
from tests.contract import (
    amazon_harness,
    ebay_harness,
    kaufland_harness,
    shopify_acts,
    shopify_harness,
    woocommerce_harness,
)
from tests.contract.drain import Drained, drain

Offers = dict[str, str]  # SKU -> channel id


def kaufland(changes: int) -> Drained:
    """150 units a request, three requests a second."""
    clock = TurnedClock(auto=True)
    market = KauflandMarket(replace(kaufland_harness.RULES, per_second=3, burst=3), clock)
    transport = InProcess(kaufland_app(market, in_process=True))
    harness = kaufland_harness.harness_for(market, clock, transport, rate=3.0)
    return drain(harness, kaufland_harness.seed(market, changes), per_second=3)


def amazon_patch(changes: int) -> Drained:
    """One SKU a request, five requests a second after a burst of five."""
    return _amazon(changes, "patch", 5, 5, lambda one: one.method == "PATCH")


def amazon_feed(changes: int) -> Drained:
    """25,000 SKUs a feed; a backlog up to that is one request, far inside the burst of 15."""
    is_feed = ("POST", "/feeds/2021-06-30/feeds")
    return _amazon(changes, "feed", 0.0083, 15, lambda one: (one.method, one.url.path) == is_feed)


def _amazon(
    changes: int, door: str, per_second: float, burst: int, counted: Callable[[httpx.Request], bool]
) -> Drained:
    clock = TurnedClock(auto=True)
    account = Account(amazon_harness.RULES, clock)
    offers = {f"drain-{number:05d}": f"drain-{number:05d}" for number in range(changes)}
    price, stock = Price(amount=Money(1_999, "EUR")), Stock(quantity=1)
    for sku in offers:
        listing = amazon_harness.offer(sku)
        op = OfferOp(sku=sku, changed=frozenset(Aspect), revision=1, listing=listing, price=price, stock=stock)
        amazon_harness.shelve(account, op)
    transport = InProcess(amazon_app(account, in_process=True))
    harness = amazon_harness.harness_for(account, clock, transport=transport)
    settles = 600.0  # a feed takes two minutes, a PATCH some seconds
    return drain(harness, offers, per_second=per_second, burst=burst, door=door, counted=counted, settles=settles)


def ebay(changes: int) -> Drained:
    """25 SKUs a call, ten calls a second."""
    clock = TurnedClock(auto=True)
    market = EbayMarket(ebay_harness.RULES, clock)
    offers = ebay_harness.seed(market, changes)
    harness = ebay_harness.harness_for(market, clock, InProcess(ebay_app(market, in_process=True)))
    return drain(harness, offers, per_second=10, door="price_stock", counted=lambda one: "bulk_update" in one.url.path)


def shopify(changes: int) -> Drained:
    """250 quantities a request, which costs 11 of the standard plan's 100 points a second."""
    clock = TurnedClock(auto=True)
    shop = ShopifyShop(replace(shopify_harness.RULES, restore=100, capacity=1_000, points=0), clock)
    offers: Offers = {}
    for number in range(changes):
        product = shopify_acts.made(shop, f"drain-{number}")
        variant = product.variants[0]
        offers[variant.sku] = str(OfferId(product.id, variant.id, variant.item))
    settings = shopify_harness.SETTINGS.model_copy(update={"plan": "standard"})
    harness = replace(
        shopify_harness.harness_for(shop, clock, settings=settings),
        transport=InProcess(shopify_app(shop, in_process=True)),
    )
    return drain(harness, offers, per_second=100 / 11, refuses=lambda response: b"THROTTLED" in response.content)


def woocommerce(changes: int) -> Drained:
    """100 products a request, two requests a second."""
    clock = TurnedClock(auto=True)
    shop = woocommerce_harness.a_shop(clock, per_second=2.0)
    offers: Offers = {}
    for number in range(changes):
        row = shop.catalogue.create({"name": "x", "sku": f"drain-{number}", "manage_stock": True, "stock_quantity": 1})
        offers[row["sku"]] = str(row["id"])
    transport = InProcess(woocommerce_app(shop, in_process=True))
    return drain(woocommerce_harness.harness_for(shop, clock, transport=transport), offers, per_second=2.0)


DRAINS: Mapping[str, Callable[[int], Drained]] = MappingProxyType(
    {
        "kaufland": kaufland,
        "amazon PATCH": amazon_patch,
        "amazon feed": amazon_feed,
        "ebay": ebay,
        "shopify": shopify,
        "woocommerce": woocommerce,
    }
)
