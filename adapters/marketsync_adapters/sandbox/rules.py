"""The rules of a sandbox marketplace: what it accepts, how fast it may be called, when it lowers stock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Literal


class Refused(Exception):
    """The market does not do what was asked: an HTTP status, a code of its own and a sentence."""

    def __init__(self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Limit:
    """Calls per second sustained, and how many at once."""

    per_second: float
    burst: int


# What the market allows per operation; an operation without an entry is unlimited.
LIMITS: Mapping[str, Limit] = MappingProxyType(
    {
        "account": Limit(2, 10),
        "offers": Limit(5, 10),
        "jobs": Limit(10, 20),
        "prices": Limit(5, 10),
        "stock": Limit(10, 20),
        "withdraw": Limit(5, 10),
        "read_offers": Limit(10, 20),
        "orders": Limit(5, 20),
        "order_ids": Limit(5, 20),
        "acknowledge": Limit(5, 10),
        "ship": Limit(10, 20),
        "cancel": Limit(10, 20),
        "refund": Limit(10, 20),
        "commands": Limit(10, 20),
        "returns": Limit(5, 10),
        "read_webhooks": Limit(2, 10),
        "webhooks": Limit(2, 10),
    }
)

# The most that one call of a bulk operation may carry.
BATCH: Mapping[str, int] = MappingProxyType(
    {"offers": 100, "prices": 200, "stock": 500, "withdraw": 100, "read_offers": 100, "acknowledge": 100}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How this market behaves. Defaults are those of a strict but friendly channel.

    ``storefronts`` names each storefront's currency. ``job_time`` is how long a listing job takes on the market's
    clock. ``sale_lowers`` says when a sale takes its pieces off the shelf. ``options`` and ``categories`` None: any.
    ``daily_quota`` counts the calls of a UTC day, token and admin calls left out; None: no quota.
    """

    seller: str = "Demo Seller"
    storefronts: Mapping[str, str] = field(default_factory=lambda: {"main": "EUR"})
    api_key: str = "sandbox-key"
    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"  # noqa: S105 - the public credential of a market that sells nothing
    token_life: timedelta = timedelta(minutes=10)
    webhook_url: str = ""
    webhook_secret: str = "sandbox-webhook-secret"  # noqa: S105 - as above
    limits: Mapping[str, Limit] = field(default_factory=lambda: LIMITS)
    daily_quota: int | None = None
    job_time: timedelta = timedelta(seconds=2)
    sale_lowers: Literal["placing", "payment"] = "placing"
    sku_length: int = 200
    title_length: int = 80
    description_length: int = 20_000
    highest_price: int = 10**11  # minor units
    highest_quantity: int = 999_999
    options: frozenset[str] | None = None
    categories: frozenset[str] | None = None
    tax_rate: str = "19"
    fee_percent: str = "10"
    shipping: int = 490  # minor units, per order
    ship_within: timedelta = timedelta(days=2)
    order_page: int = 50
    offer_page: int = 200
    order_window: timedelta = timedelta(days=30)  # what a feed shows when it is asked for no time
    log_length: int = 500_000
