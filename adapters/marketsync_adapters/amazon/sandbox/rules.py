"""How the sandbox Amazon behaves, as data: limits, lengths, how long things take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType


class Refused(Exception):
    """Amazon does not do what was asked: an HTTP status, a code and a sentence of its own."""

    def __init__(self, status: int, code: str, message: str, *, details: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details


# (calls per second sustained, at once) as the models print them; what has no entry is unlimited.
LIMITS: Mapping[str, tuple[float, int]] = MappingProxyType(
    {
        "participations": (0.016, 15),
        "put": (5, 10),
        "patch": (5, 5),
        "withdraw": (5, 5),
        "item": (5, 10),
        "items": (5, 5),
        "fba_stock": (2, 2),
        "feed_document": (0.5, 15),
        "feed": (0.0083, 15),
        "feed_state": (2, 15),
        "feed_report": (0.0222, 10),
        "orders": (0.0056, 20),
        "order": (0.5, 30),
        "ship": (2, 10),
        "report_list": (0.0222, 10),
        "report_request": (0.0167, 15),
        "report_state": (2, 15),
        "report_document": (0.0167, 15),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """``marketplaces``: id -> currency. Times are those that a submission, a feed and a report take."""

    seller_id: str = "A2SANDBOXSELLER"
    store: str = "Demo Store"
    client_id: str = "amzn1.application-oa2-client.sandbox"
    client_secret: str = "sandbox-client-secret"  # noqa: S105 - the public credential of an Amazon that sells nothing
    refresh_token: str = "Atzr|sandbox-refresh-token"  # noqa: S105 - as above
    token_life: timedelta = timedelta(hours=1)
    marketplaces: Mapping[str, str] = field(
        default_factory=lambda: {"A1PA6795UKMFR9": "EUR", "A13V1IB3VIYZZH": "EUR", "A1F83G8C2ARO7P": "GBP"}
    )
    limits: Mapping[str, tuple[float, int]] = field(default_factory=lambda: LIMITS)
    feeds_per_window: int = 5
    feed_window: timedelta = timedelta(minutes=5)
    feed_messages: int = 25_000
    apply_time: timedelta = timedelta(seconds=3)
    feed_time: timedelta = timedelta(minutes=2)
    report_time: timedelta = timedelta(0)
    link_life: timedelta = timedelta(minutes=5)
    documents_url: str = ""  # where presigned links point; empty: to this server itself
    sku_length: int = 40
    title_length: int = 200
    description_length: int = 2_000
    search_shows: int = 1_000
    order_page: int = 100
    ship_within: timedelta = timedelta(days=2)
