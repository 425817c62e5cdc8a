"""WooCommerce under the contract suite: its rehearsal behind the referee, its hands, a plain listing, its harness."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
from pydantic import SecretStr

from marketsync.adapter.api import Listing, WebhookCall
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness
from marketsync.testing.referee import Referee, RefereedTransport
from marketsync.testing.sandbox import InProcess
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.woocommerce import Credentials, Settings, WooCommerceAdapter
from marketsync_adapters.woocommerce.sandbox import Rules, Shop, build_app
from tests.contract import woocommerce_contract

HOOK = "https://inbound.example/webhooks/shop"
HOOK_SECRET = "hook-secret-of-the-test"
RULES = Rules()

# Which calls of the shop an operation of the adapter's spec makes.
CALLS: Mapping[str, tuple[str, ...]] = {
    "listings": ("batch_products", "batch_variations"),
    "offers": ("batch_products", "batch_variations"),
    "withdraw": ("batch_products", "batch_variations"),
    "orders": ("list_orders",),
    "ship": ("update_order",),
    "cancel": ("update_order",),
    "refund": ("add_refund",),
}


class Hands:
    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def sell(self, lines: Sequence[tuple[str, int]], *, paid: bool = True) -> str:
        return str(self.shop.buy(lines, paid=paid)["id"])

    def pay(self, order_id: str) -> None:
        self.shop.sales.pay(int(order_id))

    def cancel(self, order_id: str) -> None:
        self.shop.sales.move(int(order_id), "cancelled")

    def request_return(self, order_id: str, line_id: str, quantity: int) -> str:
        raise NotImplementedError("WooCommerce knows no returns")

    def receive_return(self, return_id: str, *, sellable: bool) -> None:
        raise NotImplementedError("WooCommerce knows no returns")

    def shown_stock(self, sku: str) -> int | None:
        row = self.shop.catalogue.by_sku(sku)
        return None if row is None or row["status"] != "publish" else row["stock_quantity"]

    def fault(self, operation: str, kind: FaultKind, times: int = 1) -> None:
        for call in CALLS.get(operation, (operation,)):
            self.shop.faults.add(Fault(kind, call, times))

    def end_faults(self) -> None:
        self.shop.faults.clear()

    def webhook(self, order_id: str) -> WebhookCall:
        delivery = next(one for one in self.shop.hooks.pending if f'"id":{order_id},'.encode() in one.body)
        headers = {name.lower(): value for name, value in delivery.headers.items()}
        return WebhookCall(headers=headers, body=delivery.body, received=self.shop.clock.now())


def listing(sku: str) -> Listing:
    return Listing(
        title=f"Garden chair {sku[:20].strip()}",
        description="A chair.",
        brand="Acme",
        category="Garden",
        images=("https://example.com/1.jpg", "https://example.com/2.jpg"),
        attributes={"Material": "Oak"},
        options={"Size": "L"},
        weight_grams=4_200,
    )


def shown(sent: Listing) -> Listing:
    """A simple product has no options: what would tell it from siblings is an attribute like others."""
    return replace(sent, attributes={**sent.attributes, **sent.options}, options={})


def settings(**more: Any) -> Settings:
    given = {"base_url": "https://shop.example", "webhook_secret": SecretStr(HOOK_SECRET)}
    return Settings(**{**given, **more})


def a_shop(clock: TurnedClock, **rules: Any) -> Shop:
    """A shop that has our webhooks already."""
    shop = Shop(replace(RULES, **rules), clock)
    for topic in ("order.created", "order.updated"):
        shop.hooks.add({"topic": topic, "delivery_url": HOOK, "secret": HOOK_SECRET})
    shop.hooks.pending.clear()
    return shop


def refereed(shop: Shop) -> tuple[RefereedTransport, Referee]:
    """The shop behind the referee: every request and reply is held to WooCommerce's contract."""
    referee = woocommerce_contract.referee()
    return RefereedTransport(InProcess(build_app(shop, in_process=True)), referee), referee


def harness_for(
    shop: Shop, clock: TurnedClock, *, transport: httpx.AsyncBaseTransport | None = None, **more: Any
) -> Harness:
    def credentials(secret: str) -> Credentials:
        return Credentials(consumer_key=SecretStr(RULES.consumer_key), consumer_secret=SecretStr(secret))

    return Harness(
        adapter=WooCommerceAdapter,
        settings=settings(**more),
        credentials=credentials(RULES.consumer_secret),
        wrong_credentials=credentials("wrong-secret-of-the-test"),
        transport=transport or refereed(shop)[0],
        hands=Hands(shop),
        clock=clock,
        listing=listing,
        refused=replace(listing("x"), images=("ftp://example.com/1.jpg",)),
        secrets=(RULES.consumer_secret, RULES.consumer_key, HOOK_SECRET, "wrong-secret-of-the-test"),
        shown=shown,
        webhook_url=HOOK,
    )
