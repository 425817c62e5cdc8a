"""Kaufland under the contract suite: its rehearsal behind the referee, its hands, a plain listing, its harness."""

import os
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from marketsync.adapter.api import Listing, WebhookCall
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness
from marketsync.testing.referee import Referee, RefereedTransport
from marketsync.testing.sandbox import InProcess
from marketsync_adapters.kaufland import Credentials, KauflandAdapter, Settings
from marketsync_adapters.kaufland.sandbox import Market, Rules, build_app
from marketsync_adapters.sandbox.faults import Fault, FaultKind

CONTRACTS = Path(os.environ.get("MARKETSYNC_CONTRACTS", Path(__file__).resolve().parents[3] / "shared" / "contracts"))
CONTRACT = CONTRACTS / "kaufland" / "swagger-2.27.0.json"
CALLBACK = "https://shop.example/webhooks/kaufland-de"
RULES = Rules(callback_url=CALLBACK)

# Maxima that stand in the contract's prose only.
LIMITS = {"POST /units/bulk": {"": 150}, "GET /return-units": {"?limit": 100}}


def contract() -> Path:
    if not CONTRACT.exists():
        pytest.skip("Kaufland's contract is not at hand (MARKETSYNC_CONTRACTS)")
    return CONTRACT


class Hands:
    def __init__(self, market: Market) -> None:
        self.market = market

    def sell(self, lines: Sequence[tuple[str, int]], *, paid: bool = True) -> str:
        return self.market.sales.buy(lines, paid=paid).id_order

    def pay(self, order_id: str) -> None:
        self.market.sales.pay(order_id)

    def cancel(self, order_id: str) -> None:
        self.market.sales.cancel(order_id)

    def request_return(self, order_id: str, line_id: str, quantity: int) -> str:
        assert quantity == 1, "a return unit of Kaufland's is one piece"
        pieces = self.market.sales.orders[order_id].pieces
        piece = next(piece for piece in pieces if piece.unit.id_offer == line_id)
        return str(self.market.sales.request_return(piece.id_order_unit).id_return)

    def receive_return(self, return_id: str, *, sellable: bool) -> None:
        self.market.sales.receive_return(int(return_id.removesuffix("0")), accepted=sellable)

    def shown_stock(self, sku: str) -> int | None:
        unit = self.market.shelf.by_offer("de", sku)
        return None if unit is None else unit.amount

    def fault(self, operation: str, kind: FaultKind, times: int = 1) -> None:
        self.market.faults.add(Fault(kind, operation, times))

    def end_faults(self) -> None:
        self.market.faults.clear()

    def webhook(self, order_id: str) -> WebhookCall:
        notification = next(one for one in self.market.notifications if order_id in one.resource)
        headers = {name.lower(): value for name, value in self.market.signed(notification).items()}
        return WebhookCall(headers=headers, body=notification.body, received=self.market.clock.now())


def ean_of(sku: str) -> str:
    """An EAN of its own for every SKU, with its check digit."""
    digits = f"40{int.from_bytes(blake2b(sku.encode(), digest_size=5).digest()) % 10**10:010d}"
    odd, even = sum(map(int, digits[::2])), sum(map(int, digits[1::2]))
    return f"{digits}{-(odd + 3 * even) % 10}"


def listing(sku: str) -> Listing:
    return Listing(
        title=f"Garden chair {sku[:20].strip()}",
        description="A chair.",
        brand="Acme",
        gtin=ean_of(sku),
        category="Garden",
        language="de-DE",
        images=("https://example.com/1.jpg", "https://example.com/2.jpg"),
        attributes={"material": "Oak"},
        options={"size": "L"},
        weight_grams=4_200,
    )


def settings(**more: Any) -> Settings:
    given = {
        "base_url": "https://kaufland.test/v2",
        "read_product_data": True,
        "accepted_returns_sellable": True,
        "webhook_secret": SecretStr(RULES.secret_key),
        "fallback_email": "shop@example.com",
        "rate": 100.0,
    }
    return Settings(**{**given, **more})


def refereed(market: Market) -> tuple[httpx.AsyncBaseTransport, Referee]:
    """The market behind the referee: every request and reply is held to Kaufland's contract."""
    referee = Referee.from_openapi(contract(), limits=LIMITS)
    return RefereedTransport(InProcess(build_app(market, in_process=True)), referee), referee


def harness_for(market: Market, clock: TurnedClock, transport: httpx.AsyncBaseTransport, **more: Any) -> Harness:
    right = Credentials(client_key=RULES.client_key, secret_key=SecretStr(RULES.secret_key))
    wrong = Credentials(client_key=RULES.client_key, secret_key=SecretStr("wrong-secret-of-the-test"))
    return Harness(
        adapter=KauflandAdapter,
        settings=settings(**more),
        credentials=right,
        wrong_credentials=wrong,
        transport=transport,
        hands=Hands(market),
        clock=clock,
        listing=listing,
        refused=replace(listing("x"), gtin="12345"),
        webhook_url=CALLBACK,
        secrets=(RULES.secret_key, "wrong-secret-of-the-test"),
    )


class Bench:
    """A market behind the referee, and harnesses on it."""

    def __init__(self, **rules: Any) -> None:
        self.clock = TurnedClock(auto=True)
        self.market = Market(replace(RULES, **rules), self.clock)
        self.transport, self.referee = refereed(self.market)

    def harness(self, **settings: Any) -> Harness:
        return harness_for(self.market, self.clock, self.transport, **settings)

    def plain(self, **settings: Any) -> Harness:
        """Without the referee: for what it would stop, and for thousands of units."""
        return harness_for(self.market, self.clock, InProcess(build_app(self.market, in_process=True)), **settings)

    def seed(self, count: int, storefront: str = "de") -> dict[str, str]:
        return seed(self.market, count, storefront)


def seed(market: Market, count: int, storefront: str = "de") -> dict[str, str]:
    """Units that are on sale already: SKU -> channel id."""
    ids = {}
    for number in range(count):
        sku = f"seed-{number:05d}"
        body = {"ean": ean_of(sku), "id_offer": sku, "listing_price": 1_000, "handling_time": 1, "amount": 1}
        ids[sku] = str(market.shelf.create(storefront, body).id_unit)
    return ids
