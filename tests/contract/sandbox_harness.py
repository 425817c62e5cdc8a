"""The sandbox under the contract suite: its hands, a plain listing, its harness."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import SecretStr

from marketsync.adapter.api import Listing, WebhookCall
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness
from marketsync.testing.sandbox import in_process
from marketsync_adapters.sandbox import Credentials, SandboxAdapter, Settings
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.sandbox.market import Market
from marketsync_adapters.sandbox.rules import Rules

RULES = Rules(webhook_url="http://127.0.0.1:9/hook", webhook_secret="hook-secret-of-the-test")


class Hands:
    def __init__(self, market: Market) -> None:
        self.market = market

    def sell(self, lines: Sequence[tuple[str, int]], *, paid: bool = True) -> str:
        return self.market.buy(lines, paid=paid).order_id

    def pay(self, order_id: str) -> None:
        self.market.sales.pay(order_id)

    def cancel(self, order_id: str) -> None:
        self.market.sales.cancel_by_market(order_id)

    def request_return(self, order_id: str, line_id: str, quantity: int) -> str:
        return self.market.sales.request_return(order_id, line_id, quantity).return_id

    def receive_return(self, return_id: str, *, sellable: bool) -> None:
        self.market.sales.receive_return(return_id, sellable=sellable)

    def shown_stock(self, sku: str) -> int | None:
        offer = self.market.shelf.get("main", sku)
        return None if offer is None else offer.quantity

    def fault(self, operation: str, kind: FaultKind, times: int = 1) -> None:
        self.market.faults.add(Fault(kind, operation, times))

    def end_faults(self) -> None:
        self.market.faults.clear()

    def webhook(self, order_id: str) -> WebhookCall:
        delivery = next(one for one in self.market.webhooks.pending if order_id.encode() in one.body)
        headers = {name.lower(): value for name, value in self.market.webhooks.headers(delivery).items()}
        return WebhookCall(headers=headers, body=delivery.body, received=self.market.clock.now())


def listing(sku: str) -> Listing:
    return Listing(
        title=f"Garden chair {sku[:20].strip()}",
        description="A chair.",
        brand="Acme",
        gtin="4006381333931",
        category="Garden",
        images=("https://example.com/1.jpg", "https://example.com/2.jpg"),
        attributes={"Material": "Oak"},
        options={"Size": "L"},
        weight_grams=4_200,
    )


def harness_for(market: Market, clock: TurnedClock, credentials: Credentials, wrong: Credentials) -> Harness:
    return Harness(
        adapter=SandboxAdapter,
        settings=Settings(base_url="http://sandbox.test", webhook_secret=SecretStr(RULES.webhook_secret)),
        credentials=credentials,
        wrong_credentials=wrong,
        transport=in_process(market),
        hands=Hands(market),
        clock=clock,
        listing=listing,
        refused=replace(listing("x"), title="y" * 81),
        secrets=(RULES.api_key, RULES.client_secret, RULES.webhook_secret, "wrong-secret"),
    )
