"""Shopify under the contract suite: its sandbox's hands, a plain listing, the referee between the two."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import httpx
from pydantic import SecretStr

from marketsync.adapter.api import Listing, WebhookCall
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness
from marketsync.testing.referee import Referee, RefereedTransport
from marketsync.testing.sandbox import InProcess
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.shopify import Credentials, Settings, ShopifyAdapter
from marketsync_adapters.shopify.documents import API_VERSION
from marketsync_adapters.shopify.sandbox import Rules, Shop, build_app

CONTRACTS = Path(os.environ.get("MARKETSYNC_CONTRACTS", Path(__file__).resolve().parents[3] / "shared" / "contracts"))
HOOK = "https://hooks.example/webhooks/shop"
RULES = Rules(webhook_url="http://127.0.0.1:9/hook", restore=2_000, capacity=40_000, locations={"11": "Berlin"})
SETTINGS = Settings(
    shop="http://shop.test", currency="EUR", locations={"*": 11}, plan="enterprise",
    webhook_secret=SecretStr(RULES.client_secret),
)  # fmt: skip
SECRETS = (RULES.access_token, RULES.client_secret, "wrong-secret")


def contract(version: str = API_VERSION) -> Path:
    return CONTRACTS / "shopify" / f"admin_{version}.json.gz"


@cache
def referee(version: str = API_VERSION) -> Referee:
    """One for all tests: the schema has 3,546 types."""
    return Referee.from_graphql(contract(version))


def transport(shop: Shop) -> httpx.AsyncBaseTransport:
    """Into the sandbox, through the referee where the contract is at hand."""
    inner = InProcess(build_app(shop, in_process=True))
    if not contract().exists():
        return inner
    return RefereedTransport(inner, referee(), free=("/admin/oauth",))


class Hands:
    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def sell(self, lines: Sequence[tuple[str, int]], *, paid: bool = True) -> str:
        return str(self.shop.sales.buy(lines, paid=paid).number)

    def pay(self, order_id: str) -> None:
        self.shop.sales.pay(order_id)

    def cancel(self, order_id: str) -> None:
        self.shop.sales.cancel(order_id)

    def request_return(self, order_id: str, line_id: str, quantity: int) -> str:
        return str(self.shop.sales.request_return(order_id, line_id, quantity).entry)

    def receive_return(self, return_id: str, *, sellable: bool) -> None:
        self.shop.sales.receive_return(return_id, sellable=sellable)

    def shown_stock(self, sku: str) -> int | None:
        variant = self.shop.on_sale(sku)
        return None if variant is None else variant.available

    def fault(self, operation: str, kind: FaultKind, times: int = 1) -> None:
        self.shop.faults.add(Fault(kind, operation, times))

    def end_faults(self) -> None:
        self.shop.faults.clear()

    def webhook(self, order_id: str) -> WebhookCall:
        delivery = next(one for one in self.shop.webhooks.pending if order_id.encode() in one.body)
        headers = {name.lower(): value for name, value in self.shop.webhooks.headers(delivery).items()}
        return WebhookCall(headers=headers, body=delivery.body, received=self.shop.clock.now())


def listing(sku: str) -> Listing:
    return Listing(
        title=f"Garden chair {sku[:20].strip()}",
        description="<p>A chair.</p>",
        brand="Acme",
        gtin="4006381333931",
        category="Garden",
        images=("https://example.com/1.jpg", "https://example.com/2.jpg"),
        attributes={"custom.material": "Oak"},
        options={"Size": "L"},
        weight_grams=4_200,
    )


def harness_for(
    shop: Shop,
    clock: TurnedClock,
    credentials: Credentials | None = None,
    wrong: Credentials | None = None,
    settings: Settings = SETTINGS,
) -> Harness:
    return Harness(
        adapter=ShopifyAdapter,
        settings=settings,
        credentials=credentials or Credentials(access_token=SecretStr(RULES.access_token)),
        wrong_credentials=wrong or Credentials(access_token=SecretStr("wrong-secret")),
        transport=transport(shop),
        hands=Hands(shop),
        clock=clock,
        listing=listing,
        refused=replace(listing("x"), title="y" * 256),
        secrets=SECRETS,
        webhook_url=HOOK,
    )
