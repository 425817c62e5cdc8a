"""How the rehearsal eBay behaves: credentials, limits, what it lets pass. Data, and the error that a refusal is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any


class Refused(Exception):
    """What was asked is not done: a status, the documented error id and a sentence."""

    def __init__(
        self, status: int, error_id: int, message: str, parameters: Mapping[str, str] | None = None, retry: int = 0
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_id = error_id
        self.message = message
        self.parameters = dict(parameters or {})
        self.retry = retry  # seconds

    def error(self) -> dict[str, Any]:
        domain = {1: "OAuth", 2: "ACCESS", 3: "API_FULFILLMENT"}.get(
            self.error_id // 10 ** (len(str(self.error_id)) - 1)
        )
        error = {
            "errorId": self.error_id,
            "domain": "API_INVENTORY" if 25_000 <= self.error_id < 26_000 else domain or "API",
            "category": "APPLICATION" if self.status >= 500 else "REQUEST",
            "message": self.message,
        }
        if self.parameters:
            error["parameters"] = [{"name": name, "value": value} for name, value in self.parameters.items()]
        return error

    def document(self) -> dict[str, Any]:
        return {"errors": [self.error()]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A seller in Germany with out-of-stock control and 10 calls per second. ``signatures``: refunds must be signed."""

    seller: str = "rehearsal-seller"
    marketplace: str = "EBAY_DE"
    currency: str = "EUR"
    client_id: str = "Rehearsal-App"
    client_secret: str = "rehearsal-cert"  # noqa: S105 - the public credential of a market that sells nothing
    refresh_token: str = "rehearsal-refresh"  # noqa: S105 - as above
    ru_name: str = "Rehearsal-RuName"
    accepted_url: str = "https://seller.example/accepted"  # where the RuName sends a seller who has agreed
    consent_life: timedelta = timedelta(days=547)
    code_life: timedelta = timedelta(minutes=5)
    token_life: timedelta = timedelta(hours=2)
    per_second: float = 10.0
    burst: int = 10
    calls_per_day: Mapping[str, int] = field(
        default_factory=lambda: {"inventory": 2_000_000, "fulfillment": 100_000, "account": 25_000}
    )
    revisions_per_day: int = 250
    programs: frozenset[str] = frozenset({"SELLING_POLICY_MANAGEMENT", "OUT_OF_STOCK_CONTROL"})
    policies: Mapping[str, str] = field(
        default_factory=lambda: {"fulfillment": "1001", "payment": "1002", "return": "1003"}
    )
    location: str = "berlin"
    one_sku_per_update: bool = False  # what one of eBay's two documents on bulkUpdatePriceQuantity says
    signatures: bool = False
    post_order: bool = True  # False: the Post-Order API refuses tokens that the other APIs take
    title_length: int = 80
    images: int = 24
    shipping: int = 490  # minor units, per order
    tax_rate: str = "19"
    ship_within: timedelta = timedelta(days=2)

    @property
    def out_of_stock_control(self) -> bool:
        return "OUT_OF_STOCK_CONTROL" in self.programs
