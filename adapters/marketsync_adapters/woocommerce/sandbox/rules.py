"""How this shop and its host are set up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


class Refused(Exception):
    """The shop does not do what was asked: WordPress's way to say so."""

    def __init__(self, status: int, code: str, message: str, **data: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.data = {"status": status, **data}

    def document(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "data": self.data}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """``per_second`` and ``burst``: what the host bears; 0: anything. ``plain_permalinks``: there is no REST API."""

    consumer_key: str = "ck_sandbox"
    consumer_secret: str = "cs_sandbox"  # noqa: S105 - the public credential of a shop that sells nothing
    read_only: bool = False
    shop_manager: bool = True  # else the key's user may not read the shop's settings and webhooks
    plain_permalinks: bool = False
    per_second: float = 2.0
    burst: int = 1
    batch: int = 100
    time_zone: str = "Europe/Berlin"
    currency: str = "EUR"
    prices_include_tax: bool = True
    tax_percent: Decimal = Decimal(19)
    shipping: Decimal = Decimal("4.90")  # with tax
    weight_unit: str = "kg"
    manages_stock: bool = True
    refundable: bool = True  # whether the payment provider can refund
    statuses: tuple[str, ...] = ()  # further order statuses, of plugins
    categories: Mapping[str, int] = field(default_factory=lambda: {"Uncategorized": 15, "Garden": 16})
    attributes: Mapping[str, int] = field(default_factory=lambda: {"Size": 6})  # shared by all products
    url: str = "https://shop.example"


@dataclass(slots=True)
class Limiter:
    """GCRA over everything that the host is asked."""

    per_second: float
    burst: int
    arrival: float = 0.0
    refused: int = 0

    def admits(self, now: float) -> bool:
        if not self.per_second:
            return True
        arrival = max(now, self.arrival)
        if arrival - now - (self.burst - 1) / self.per_second > 1e-9:  # rounding of the sums is no offence
            self.refused += 1
            return False
        self.arrival = arrival + 1 / self.per_second
        return True
