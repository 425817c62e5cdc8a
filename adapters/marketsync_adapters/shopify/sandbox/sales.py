"""Buyers and their orders: what is bought, shipped, refunded, cancelled and sent back."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from marketsync_adapters.shopify.sandbox.shop import Refused, Variant

if TYPE_CHECKING:
    from marketsync_adapters.shopify.sandbox.shop import Shop

ADDRESS: dict[str, str | None] = {
    "name": "Zoë Müller-O'Neill",
    "company": None,
    "address1": "Große Straße 1",
    "address2": None,
    "zip": "04109",
    "city": "Leipzig",
    "province": None,
    "countryCodeV2": "DE",
    "phone": "+49 341 0000000",
}
CENT = Decimal("0.01")


@dataclass(slots=True)
class Line:
    number: int
    sku: str
    title: str
    quantity: int
    unit: Decimal
    tax_rate: str
    removed: Counter[str] = field(default_factory=Counter)  # "unshipped", "shipped": pieces refunded or taken out

    @property
    def id(self) -> str:
        return f"gid://shopify/LineItem/{self.number}"

    @property
    def current(self) -> int:
        return self.quantity - self.removed.total()

    @property
    def total(self) -> Decimal:
        return self.unit * self.quantity

    @property
    def tax(self) -> Decimal:
        rate = Decimal(self.tax_rate)
        return (self.total * rate / (100 + rate)).quantize(CENT)


@dataclass(slots=True)
class ToShip:
    """A fulfilment order: what one location has to send. ``pieces``: (line, its own number, total, remaining)."""

    number: int
    location: str
    pieces: list[list[Any]]
    status: str = "OPEN"

    @property
    def id(self) -> str:
        return f"gid://shopify/FulfillmentOrder/{self.number}"


@dataclass(slots=True)
class Parcel:
    """A fulfilment or a refund: pieces by line."""

    number: int
    kind: str
    pieces: list[tuple[Line, int, int]]  # line, pieces, number of the entry
    tracking: str = ""
    note: str = ""
    amount: Decimal = Decimal(0)

    @property
    def id(self) -> str:
        return f"gid://shopify/{self.kind}/{self.number}"


@dataclass(slots=True)
class Return:
    number: int
    entry: int  # number of the return's one line
    line: Line
    shipped_entry: int
    quantity: int
    reason: str
    arrived: str = ""  # RESTOCKED, NOT_RESTOCKED
    refunded: int = 0

    @property
    def id(self) -> str:
        return f"gid://shopify/Return/{self.number}"


@dataclass(slots=True)
class Order:
    number: int
    placed: datetime
    updated: datetime
    currency: str
    lines: list[Line]
    to_ship: list[ToShip]
    shipping: Decimal
    paid: bool
    email: str = "buyer@example.com"
    test: bool = False
    cancelled: datetime | None = None
    cancels_at: datetime | None = None
    voided: bool = False
    fulfillments: list[Parcel] = field(default_factory=list)
    refunds: list[Parcel] = field(default_factory=list)
    returns: list[Return] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"gid://shopify/Order/{self.number}"

    @property
    def total(self) -> Decimal:
        return sum((line.total for line in self.lines), Decimal(0)) + self.shipping

    @property
    def refunded(self) -> Decimal:
        return sum((refund.amount for refund in self.refunds), Decimal(0))

    @property
    def financial(self) -> str:
        if not self.paid:
            return "VOIDED" if self.voided else "PENDING"
        if not self.refunded:
            return "PAID"
        return "REFUNDED" if self.refunded >= self.total else "PARTIALLY_REFUNDED"

    def open_pieces(self, line: Line) -> int:
        return sum(entry[3] for one in self.to_ship for entry in one.pieces if entry[0] is line)

    def shipped_pieces(self, line: Line) -> int:
        return sum(pieces for one in self.fulfillments for known, pieces, _ in one.pieces if known is line)

    @property
    def fulfilment(self) -> str:
        shipped = sum(self.shipped_pieces(line) for line in self.lines)
        still = sum(self.open_pieces(line) for line in self.lines)
        if not shipped:
            return "UNFULFILLED"
        return "PARTIALLY_FULFILLED" if still else "FULFILLED"

    def plain(self) -> dict[str, Any]:
        lines = [{"sku": line.sku, "quantity": line.quantity, "current": line.current} for line in self.lines]
        return {"id": str(self.number), "financial": self.financial, "fulfilment": self.fulfilment, "lines": lines}


class Sales:
    def __init__(self, shop: "Shop") -> None:
        self._shop = shop
        self.orders: dict[str, Order] = {}

    def buy(self, lines: Sequence[tuple[str, int]], *, paid: bool = True, test: bool = False) -> Order:
        """A buyer orders (SKU, pieces); the shop lowers what is available at once. Raises ``Refused``."""
        wanted: Counter[str] = Counter()
        for sku, pieces in lines:
            wanted[sku] += pieces
        variants = [(self._sellable(sku, pieces), pieces) for sku, pieces in wanted.items()]
        now, number = self._now(), next(self._shop.numbers)
        order = Order(number, now, now, self._shop.rules.currency, [], [], Decimal(self._shop.rules.shipping), paid)
        order.test = test
        places: dict[str, ToShip] = {}
        for variant, pieces in variants:
            rate = self._shop.rules.tax_rate
            line = Line(
                next(self._shop.numbers), variant.sku, variant.product.title, pieces, Decimal(variant.price), rate
            )
            order.lines.append(line)
            for location, taken in self._take(variant, pieces):
                place = places.setdefault(location, ToShip(next(self._shop.numbers), location, []))
                place.pieces.append([line, next(self._shop.numbers), taken, taken])
        order.to_ship = list(places.values())
        self.orders[order.id] = order
        self._shop.webhooks.notify("orders/create", order.id)
        return order

    def order(self, id_: str) -> Order:
        """By gid or number. Raises ``Refused``."""
        known = self.orders.get(id_) or self.orders.get(f"gid://shopify/Order/{id_}")
        if known is None:
            raise Refused(f"there is no order {id_}")
        self.settle(known)
        return known

    def pay(self, id_: str) -> None:
        order = self.order(id_)
        order.paid = True
        self.touch(order)

    def cancel(self, id_: str, *, refund: bool = True) -> None:
        """Take out whatever is not shipped. Stock stays as it is: the seller says what there is."""
        order = self.order(id_)
        order.cancelled, order.cancels_at = self._now(), None
        pieces = []
        for line in order.lines:
            left = order.open_pieces(line)
            line.removed["unshipped"] += left
            if left and order.paid:
                pieces.append((line, left, next(self._shop.numbers)))
        for one in order.to_ship:
            one.status = "CLOSED"
            for entry in one.pieces:
                entry[3] = 0
        if order.paid and refund:
            amount = order.total - order.refunded
            order.refunds.append(Parcel(next(self._shop.numbers), "Refund", pieces, note="", amount=amount))
        order.voided = not order.paid
        self.touch(order)

    def settle(self, order: Order) -> None:
        """Do the cancellation whose time has come."""
        if order.cancels_at is not None and order.cancels_at <= self._shop.clock.now():
            order.cancels_at = None
            self.cancel(order.id)

    def cancel_soon(self, order: Order) -> None:
        order.cancels_at = self._shop.clock.now() + self._shop.rules.cancel_time
        self.settle(order)

    def ship(self, order: Order, wanted: Sequence[tuple[ToShip, list[Any], int]], tracking: str) -> Parcel:
        parcel = Parcel(next(self._shop.numbers), "Fulfillment", [], tracking=tracking)
        for place, entry, pieces in wanted:
            entry[3] -= pieces
            parcel.pieces.append((entry[0], pieces, next(self._shop.numbers)))
            if not any(one[3] for one in place.pieces):
                place.status = "CLOSED"
        order.fulfillments.append(parcel)
        self.touch(order)
        return parcel

    def refund(self, order: Order, lines: Sequence[tuple[Line, int]], amount: Decimal, note: str) -> Parcel:
        """Refunded pieces leave the order: first those that are not shipped yet."""
        parcel = Parcel(next(self._shop.numbers), "Refund", [], note=note, amount=amount)
        for line, pieces in lines:
            left = pieces
            for entry in (entry for place in order.to_ship for entry in place.pieces if entry[0] is line):
                taken = min(left, entry[3])
                entry[3] -= taken
                left -= taken
            line.removed["unshipped"] += pieces - left
            line.removed["shipped"] += left
            parcel.pieces.append((line, pieces, next(self._shop.numbers)))
            for returned in order.returns:
                if returned.line is line and returned.arrived:
                    returned.refunded = min(returned.quantity, pieces)
        order.refunds.append(parcel)
        self.touch(order)
        return parcel

    def request_return(self, id_: str, line_number: str, quantity: int, reason: str = "") -> Return:
        order = self.order(id_)
        sent = [(line, entry) for one in order.fulfillments for line, _, entry in one.pieces]
        for line, entry in sent:
            if str(line.number) == line_number and quantity <= order.shipped_pieces(line):
                returned = Return(next(self._shop.numbers), next(self._shop.numbers), line, entry, quantity, reason)
                order.returns.append(returned)
                self.touch(order)
                return returned
        raise Refused(f"line {line_number} was not shipped")

    def receive_return(self, entry: str, *, sellable: bool) -> None:
        for order in self.orders.values():
            for returned in order.returns:
                if str(returned.entry) == entry:
                    returned.arrived = "RESTOCKED" if sellable else "NOT_RESTOCKED"
                    self.touch(order)
                    return
        raise Refused(f"there is no return {entry}")

    def touch(self, order: Order) -> None:
        order.updated = max(self._now(), order.updated)
        self._shop.webhooks.notify("orders/updated", order.id)

    def _sellable(self, sku: str, pieces: int) -> Variant:
        variant = self._shop.on_sale(sku)
        if variant is None or pieces < 1:
            raise Refused(f"{sku} is not on sale here")
        if variant.tracked and variant.available < pieces:
            raise Refused(f"of {sku} there are {variant.available} pieces")
        return variant

    def _take(self, variant: Variant, pieces: int) -> list[tuple[str, int]]:
        taken = []
        for location in list(variant.levels):
            here = min(pieces, max(0, variant.levels[location]))
            if here:
                self._shop.set_level(variant, location, variant.levels[location] - here, "sale")
                taken.append((location, here))
                pieces -= here
        return taken

    def _now(self) -> datetime:
        """The shop's clock shows whole seconds."""
        now = self._shop.clock.now()
        return now - timedelta(microseconds=now.microsecond)
