"""An order of the sandbox, its lines and returns, as the market keeps them and as its API tells them."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from marketsync.adapter.api import Money


@dataclass(slots=True)
class Line:
    line_id: str
    offer_id: str
    sku: str
    title: str
    quantity: int
    unit_price: Money
    tax: Money
    fee: Money
    tax_rate: str
    cancelled: int = 0
    shipped: int = 0
    returned: int = 0
    refunded: int = 0
    refunded_amount: int = 0  # minor units

    @property
    def open(self) -> int:
        """Pieces that are neither shipped nor cancelled."""
        return self.quantity - self.cancelled - self.shipped

    @property
    def amount(self) -> Money:
        return Money(self.unit_price.minor * self.quantity, self.unit_price.currency)

    def document(self) -> dict[str, Any]:
        return {
            "line_id": self.line_id,
            "offer_id": self.offer_id,
            "sku": self.sku,
            "title": self.title,
            "quantity": self.quantity,
            "cancelled": self.cancelled,
            "shipped": self.shipped,
            "returned": self.returned,
            "refunded": self.refunded,
            "unit_price": amount_text(self.unit_price),
            "amount": amount_text(self.amount),
            "tax_rate": self.tax_rate,
            "tax": amount_text(self.tax),
            "fee": amount_text(self.fee),
        }


@dataclass(slots=True)
class Order:
    order_id: str
    storefront: str
    placed: datetime
    updated: datetime
    currency: str
    lines: list[Line]
    shipping: Money
    address: dict[str, str]
    ship_by: datetime
    payment: str = "pending"  # pending, paid, refunded, failed
    acknowledged: bool = False
    cancel_requested: bool = False

    @property
    def state(self) -> str:
        sold = sum(line.quantity - line.cancelled for line in self.lines)
        if not sold:
            return "cancelled"
        shipped = sum(line.shipped for line in self.lines)
        if not shipped:
            return "open"
        return "shipped" if shipped == sold else "partly_shipped"

    @property
    def total(self) -> Money:
        return Money(sum(line.amount.minor for line in self.lines) + self.shipping.minor, self.currency)

    def document(self) -> dict[str, Any]:
        """The order as the API tells it; who bought it only once it is paid."""
        return {
            "order_id": self.order_id,
            "storefront": self.storefront,
            "placed": self.placed.isoformat(),
            "updated": self.updated.isoformat(),
            "payment": self.payment,
            "state": self.state,
            "currency": self.currency,
            "acknowledged": self.acknowledged,
            "cancel_requested": self.cancel_requested,
            "ship_by": self.ship_by.isoformat(),
            "shipping": amount_text(self.shipping),
            "total": amount_text(self.total),
            "buyer": self.address if self.payment in {"paid", "refunded"} else None,
            "lines": [line.document() for line in self.lines],
        }


@dataclass(slots=True)
class Return:
    return_id: str
    order_id: str
    line_id: str
    sku: str
    quantity: int
    updated: datetime
    reason: str
    state: str = "requested"  # requested, received, refunded, rejected
    sellable: bool | None = None

    def document(self) -> dict[str, Any]:
        return asdict(self) | {"updated": self.updated.isoformat()}


def amount_text(money: Money) -> str:
    return f"{money.decimal:f}"
