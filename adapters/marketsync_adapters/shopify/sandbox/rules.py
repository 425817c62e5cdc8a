"""How a sandbox shop behaves, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """``restore`` points per second and ``capacity`` at most, ``points`` at the start (None: full).

    ``operation_time`` is how long a product takes that is written asynchronously, ``cancel_time`` a cancellation.
    ``locations``, ``publications``: names by the number of their id. ``page`` caps what one page of orders holds.
    """

    name: str = "Demo Shop"
    domain: str = "demo-shop.myshopify.com"
    currency: str = "EUR"
    taxes_included: bool = True
    access_token: str = "shpat_sandbox"  # noqa: S105 - the public credential of a shop that sells nothing
    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"  # noqa: S105 - as above
    token_life: timedelta = timedelta(hours=24)
    scopes: tuple[str, ...] = (
        "write_products",
        "write_inventory",
        "read_locations",
        "write_orders",
        "read_all_orders",
        "write_merchant_managed_fulfillment_orders",
        "read_returns",
        "write_publications",
    )
    versions: tuple[str, ...] = ("2026-04", "2026-07", "2026-10")
    restore: float = 100.0
    capacity: float = 2_000.0
    points: float | None = None
    locations: Mapping[str, str] = field(default_factory=lambda: {"11": "Berlin", "12": "Wien"})
    publications: Mapping[str, str] = field(default_factory=lambda: {"71": "Online Store"})
    operation_time: timedelta = timedelta(seconds=2)
    cancel_time: timedelta = timedelta(0)
    title_length: int = 255
    most_variants: int = 2_048
    highest_quantity: int = 10**9
    tax_rate: str = "19"
    shipping: str = "4.90"
    webhook_url: str = ""


LIST_MOST = 250  # entries of one list of an input
DEAREST = 1_000  # points of one request
