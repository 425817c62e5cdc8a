"""eBay under the contract suite: its rehearsal behind the referees, its hands, a plain listing, its harness."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from marketsync.adapter.api import Listing, WebhookCall
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness
from marketsync.testing.referee import Referee, RefereedTransport
from marketsync.testing.sandbox import InProcess
from marketsync_adapters.ebay import Credentials, EbayAdapter, Settings
from marketsync_adapters.ebay.sandbox import KEY_ID, Market, Rules, build_app
from marketsync_adapters.sandbox.faults import Fault, FaultKind

CONTRACTS = Path(os.environ.get("MARKETSYNC_CONTRACTS", Path(__file__).resolve().parents[3] / "shared" / "contracts"))
FOLDER = CONTRACTS / "ebay"
RULES = Rules()
HOST = "https://api.ebay.test"

# The published contracts, by the path that their calls begin with; and the maxima that stand only in their prose.
PUBLISHED = {
    "/sell/inventory/v1": "sell_inventory_v1_oas3.json",
    "/sell/fulfillment/v1": "sell_fulfillment_v1_oas3.json",
    "/sell/account/v1": "sell_account_v1_oas3.json",
    "/developer/analytics/v1_beta": "developer_analytics_v1_beta_oas3.json",
}
LIMITS: dict[str, dict[str, dict[str, int]]] = {
    "/sell/inventory/v1": {
        "POST /bulk_create_or_replace_inventory_item": {"requests": 25},
        "POST /bulk_get_inventory_item": {"requests": 25},
        "POST /bulk_update_price_quantity": {"requests": 25},
        "POST /bulk_create_offer": {"requests": 25},
        "POST /bulk_publish_offer": {"requests": 25},
        "GET /inventory_item": {"?limit": 200},
    },
    "/sell/fulfillment/v1": {"GET /order": {"?limit": 200}},
}
_ASPECTS = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}


def contract_file(name: str) -> Path:
    if not (FOLDER / name).exists():
        pytest.skip("eBay's contracts are not at hand (MARKETSYNC_CONTRACTS)")
    return FOLDER / name


@cache
def referee_for(base: str) -> Referee:
    """The referee of one published contract.

    Two things of the contract are put right: it types aspects as a string where its own text and samples show a map
    of lists, and it knows no 401 and no 403 of the gateway in front of all APIs.
    """
    document: dict[str, Any] = json.loads(contract_file(PUBLISHED[base]).read_bytes())
    for name in ("Product", "InventoryItemGroup"):
        if name in document["components"]["schemas"] and base == "/sell/inventory/v1":
            document["components"]["schemas"][name]["properties"]["aspects"] = _ASPECTS
    for item in document["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict) and "responses" in operation:
                for status in ("401", "403"):
                    operation["responses"].setdefault(status, {"description": "refused by the gateway"})
    with TemporaryDirectory() as folder:
        path = Path(folder) / "contract.json"
        path.write_text(json.dumps(document))
        return Referee.from_openapi(path, limits=LIMITS.get(base))


def refereed(market: Market) -> httpx.AsyncBaseTransport:
    """The market behind the referees: every request and reply is held to the contract of its API."""
    transport: httpx.AsyncBaseTransport = InProcess(build_app(market, in_process=True))
    if not FOLDER.is_dir():
        return transport
    for base in PUBLISHED:
        others = tuple(path for path in PUBLISHED if path != base)
        # The token endpoint and the hand-made Post-Order contract are not refereed.
        free = (*others, "/identity", "/post-order", "/commerce", "/admin")
        transport = RefereedTransport(transport, referee_for(base), free=free)
    return transport


class Hands:
    def __init__(self, market: Market) -> None:
        self.market = market

    def sell(self, lines: Sequence[tuple[str, int]], *, paid: bool = True) -> str:
        return self.market.sales.buy(list(lines), paid=paid).order_id

    def pay(self, order_id: str) -> None:
        self.market.sales.pay(order_id)

    def cancel(self, order_id: str) -> None:
        self.market.sales.cancel(order_id)

    def request_return(self, order_id: str, line_id: str, quantity: int) -> str:
        return self.market.sales.request_return(order_id, line_id, quantity)

    def receive_return(self, return_id: str, *, sellable: bool) -> None:
        del sellable  # eBay does not ask
        self.market.sales.receive_return(return_id)

    def shown_stock(self, sku: str) -> int | None:
        return self.market.shelf.shown(sku)

    def fault(self, operation: str, kind: FaultKind, times: int = 1) -> None:
        self.market.faults.add(Fault(kind, operation, times))

    def end_faults(self) -> None:
        self.market.faults.clear()

    def webhook(self, order_id: str) -> WebhookCall:
        headers, body = self.market.notification(order_id)
        lower = {name.lower(): value for name, value in headers.items()}
        return WebhookCall(headers=lower, body=body, received=self.market.clock.now())


def listing(sku: str) -> Listing:
    return Listing(
        title=f"Garden chair {sku[:20].strip()}",
        description="A chair.",
        brand="Acme",
        gtin="4006381333931",
        category="12345",
        language="de-DE",
        images=("https://example.com/1.jpg", "https://example.com/2.jpg"),
        attributes={"Material": "Oak"},
        options={"Size": "L"},
        weight_grams=4_200,
    )


def shown(sent: Listing) -> Listing:
    """Options are aspects like all others, once they are on eBay."""
    return replace(sent, attributes={**sent.attributes, **sent.options}, options={})


def seed(market: Market, count: int) -> dict[str, str]:
    """Live offers, made without a call: SKU -> channel id."""
    ids = {}
    for number in range(count):
        sku = f"seed-{number:05d}"
        market.shelf.items[sku] = {
            "locale": "de_DE",
            "condition": "NEW",
            "product": {"title": sku, "imageUrls": ["https://example.com/1.jpg"]},
            "availability": {"shipToLocationAvailability": {"quantity": 5}},
        }
        offer = {
            "sku": sku,
            "marketplaceId": "EBAY_DE",
            "format": "FIXED_PRICE",
            "categoryId": "1",
            "listingDescription": sku,
            "merchantLocationKey": "berlin",
            "listingPolicies": {f"{kind}PolicyId": id_ for kind, id_ in market.rules.policies.items()},
            "pricingSummary": {"price": {"value": "1.00", "currency": "EUR"}},
        }
        ids[sku] = market.shelf.create_offer(offer, apply=True)["offerId"]
        market.shelf.offers[ids[sku]].listing_id = str(number)
    return ids


def settings(market: Market | None = None, **more: Any) -> Settings:
    keys = {} if market is None else {KEY_ID: market.public_key}
    given = {
        "marketplace": "EBAY_DE",
        "fulfillment_policy_id": "1001",
        "payment_policy_id": "1002",
        "return_policy_id": "1003",
        "merchant_location_key": "berlin",
        "notification_keys": keys,
        "base_url": HOST,
        "post_order": True,
        "refunds": True,
    }
    return Settings(**{**given, **more})


def credentials(secret: str = RULES.client_secret, refresh: str = RULES.refresh_token) -> Credentials:
    return Credentials(client_id=RULES.client_id, client_secret=SecretStr(secret), refresh_token=SecretStr(refresh))


def harness_for(
    market: Market, clock: TurnedClock, transport: httpx.AsyncBaseTransport | None = None, **more: Any
) -> Harness:
    return Harness(
        adapter=EbayAdapter,
        settings=settings(market, **more),
        credentials=credentials(),
        wrong_credentials=credentials("wrong-secret-of-the-test"),
        transport=transport or refereed(market),
        hands=Hands(market),
        clock=clock,
        listing=listing,
        refused=replace(listing("x"), category="not a category"),
        shown=shown,
        secrets=(RULES.client_secret, RULES.refresh_token, "wrong-secret-of-the-test"),
    )
