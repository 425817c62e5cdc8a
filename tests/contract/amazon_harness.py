"""Amazon under the contract suite: its sandbox behind seven contracts, its hands, a plain listing, its harness."""

import gzip
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft7Validator
from pydantic import SecretStr

from marketsync.adapter.api import Adapter, Listing, OfferOp, WebhookCall
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness
from marketsync.testing.referee import Referee, RefereedTransport
from marketsync.testing.sandbox import InProcess
from marketsync_adapters.amazon import AmazonAdapter, Credentials, Settings
from marketsync_adapters.amazon.mapping import Terms, put_out
from marketsync_adapters.amazon.marketplaces import MARKETPLACES
from marketsync_adapters.amazon.sandbox import Account, Rules, build_app
from marketsync_adapters.sandbox.faults import Fault, FaultKind

CONTRACTS = Path(os.environ.get("MARKETSYNC_CONTRACTS", Path(__file__).resolve().parents[3] / "shared" / "contracts"))
FOLDER = CONTRACTS / "amazon-sp-api"
DE, FR = "A1PA6795UKMFR9", "A13V1IB3VIYZZH"
API = "https://amazon.test"
RULES = Rules(documents_url="https://documents.test")
COVERED: Counter[str] = Counter()  # operations of the contracts that any test of this run has exercised

# What begins a path, and the model it belongs to; beside it the maxima that stand in prose only.
MODELS: dict[str, tuple[str, dict[str, dict[str, int]]]] = {
    "/listings/": ("listings-items-api-model/listingsItems_2021-08-01.json", {}),
    "/feeds/": ("feeds-api-model/feeds_2021-06-30.json", {}),
    "/reports/": ("reports-api-model/reports_2021-06-30.json", {"GET /reports/2021-06-30/reports": {"?pageSize": 100}}),
    "/orders/2026-01-01/": (
        "orders-api-model/orders_2026-01-01.json",
        {"GET /orders/2026-01-01/orders": {"?maxResultsPerPage": 100}},
    ),
    "/orders/v0/": ("orders-api-model/ordersV0.json", {}),
    "/fba/inventory/": ("fba-inventory-api-model/fbaInventory.json", {}),
    "/sellers/": ("sellers-api-model/sellers.json", {}),
}


def model(name: str) -> Path:
    path = FOLDER / "models" / name
    if not path.exists():
        pytest.skip("Amazon's models are not at hand (MARKETSYNC_CONTRACTS)")
    return path


@cache
def referee(prefix: str) -> Referee:
    name, limits = MODELS[prefix]
    made = Referee.from_swagger2(model(name), limits=limits)
    made.coverage = COVERED
    return made


@cache
def schema(name: str) -> Draft7Validator:
    return Draft7Validator(json.loads((FOLDER / "schemas" / "feeds" / name).read_bytes()))


def refereed(transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    """Every request and reply is held to the model of its API; tokens and presigned links belong to none."""
    for prefix in MODELS:
        others = ("/auth/", *(one for one in MODELS if one != prefix))
        transport = RefereedTransport(transport, referee(prefix), host="amazon.test", free=others)
    return transport


def check_documents(account: Account) -> int:
    """Hold every listings feed and processing report to Amazon's schemas. Returns how many there were."""
    checked = 0
    for document in account.jobs.documents.values():
        if not document.content or document.content_type == "text/tab-separated-values":
            continue
        content = gzip.decompress(document.content) if document.packed else document.content
        kind = "processing-report-" if document.packed else ""
        faults = [
            error.message[:300]
            for error in schema(f"listings-feed-{kind}schema-v2.json").iter_errors(json.loads(content))
        ]
        assert faults == []
        checked += 1
    return checked


class Hands:
    def __init__(self, account: Account) -> None:
        self.account = account

    def sell(self, lines: Sequence[tuple[str, int]], *, paid: bool = True) -> str:
        return self.account.sales.buy(lines, paid=paid).order_id

    def pay(self, order_id: str) -> None:
        self.account.sales.pay(order_id)

    def cancel(self, order_id: str) -> None:
        self.account.sales.cancel(order_id)

    def request_return(self, order_id: str, line_id: str, quantity: int) -> str:
        raise NotImplementedError("Amazon's returns are not in this API")

    def receive_return(self, return_id: str, *, sellable: bool) -> None:
        raise NotImplementedError("Amazon's returns are not in this API")

    def shown_stock(self, sku: str) -> int | None:
        item = self.account.items.get(sku)
        return None if item is None else item.quantity

    def fault(self, operation: str, kind: FaultKind, times: int = 1) -> None:
        self.account.faults.add(Fault(kind, operation.removesuffix("_create"), times))

    def end_faults(self) -> None:
        self.account.faults.clear()

    def webhook(self, order_id: str) -> WebhookCall:
        raise NotImplementedError("Amazon notifies through SQS and EventBridge only")


def listing(sku: str) -> Listing:
    return Listing(
        title=f"Garden chair {sku[:20].strip()}",
        description="A chair.",
        brand="Acme",
        gtin="4006381333931",
        category="CHAIR",
        images=("https://example.com/1.jpg", "https://example.com/2.jpg"),
        attributes={"material": "Oak", "number_of_items": '[{"value": 1}]'},
        options={"Size": "L"},
        weight_grams=4_200,
    )


def offer(sku: str) -> Listing:
    """An offer on a product that Amazon already has."""
    return Listing(title=f"Chair {sku}", attributes={"merchant_suggested_asin": "B0CHAIR001"})


def shelve(account: Account, op: OfferOp) -> None:
    """Put an offer on sale without any request, as if it had been there for long."""
    body = put_out(op, Terms(MARKETPLACES["DE"]))
    account.items.apply_put(op.sku, json.loads(json.dumps(body, default=float)))


def credentials(**more: Any) -> Credentials:
    given = {
        "client_id": RULES.client_id,
        "client_secret": SecretStr(RULES.client_secret),
        "refresh_token": SecretStr(RULES.refresh_token),
    }
    return Credentials(**{**given, **more})


def settings(**more: Any) -> Settings:
    return Settings(**{"seller_id": RULES.seller_id, "marketplace": "DE", "base_url": API, **more})


def harness_for(
    account: Account,
    clock: TurnedClock,
    *,
    adapter: type[Adapter] = AmazonAdapter,
    transport: httpx.AsyncBaseTransport | None = None,
    **more: Any,
) -> Harness:
    return Harness(
        adapter=adapter,
        settings=settings(**more),
        credentials=credentials(),
        wrong_credentials=credentials(client_secret=SecretStr("wrong-secret")),
        transport=transport or refereed(InProcess(build_app(account, in_process=True))),
        hands=Hands(account),
        clock=clock,
        listing=listing,
        refused=replace(listing("x"), title="y" * 201),
        secrets=(RULES.client_secret, RULES.refresh_token, "wrong-secret"),
    )
