"""Orders of the sandbox Amazon: buyers buy, pay and cancel; the seller confirms shipments."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from marketsync.adapter.api import Clock, Money
from marketsync_adapters.amazon.sandbox.items import Items
from marketsync_adapters.amazon.sandbox.rules import Refused, Rules
from marketsync_adapters.amazon.sandbox.shown import stamp


@dataclass(slots=True)
class Line:
    line_id: str
    sku: str
    asin: str
    title: str
    quantity: int
    unit_price: Money
    shipped: int = 0


@dataclass(slots=True)
class Order:
    order_id: str
    marketplace: str
    placed: datetime
    updated: datetime
    status: str
    lines: list[Line]
    by_amazon: bool = False
    other_shop: bool = False
    address: Mapping[str, str] = field(default_factory=dict)
    packages: dict[str, dict[str, Any]] = field(default_factory=dict)


ADDRESS: Mapping[str, str] = {
    "name": "Erika Mustermann",
    "addressLine1": "Heidestraße 17",
    "addressLine2": "Hinterhaus",
    "city": "Köln",
    "postalCode": "51147",
    "countryCode": "DE",
    "addressType": "RESIDENTIAL",
}


class Sales:
    def __init__(self, rules: Rules, clock: Clock, items: Items) -> None:
        self._rules = rules
        self._clock = clock
        self._items = items
        self.orders: dict[str, Order] = {}
        self._changes: list[tuple[datetime, str]] = []  # oldest first; an order stands at its last change
        self._newest: dict[str, int] = {}
        self.on_order: list[Callable[[Order], None]] = []

    def buy(
        self, lines: Sequence[tuple[str, int]], *, paid: bool = True, marketplace: str = "", other_shop: bool = False
    ) -> Order:
        self._items.settle()
        marketplace = marketplace or next(iter(self._rules.marketplaces))
        number, now = len(self.orders) + 1, self._clock.now()
        bought = [self._line(f"{number:010d}{place:03d}", sku, n, marketplace) for place, (sku, n) in enumerate(lines)]
        order = Order(
            order_id=f"305-{number // 10**7:07d}-{number % 10**7:07d}",
            marketplace=marketplace,
            placed=now,
            updated=now,
            status="UNSHIPPED" if paid else "PENDING",
            lines=bought,
            by_amazon=self._is_fba(bought[0].sku),
            other_shop=other_shop,
            address=ADDRESS,
        )
        self.orders[order.order_id] = order
        self._touch(order)
        for watch in self.on_order:
            watch(order)
        return order

    def pay(self, order_id: str) -> Order:
        order = self.order(order_id)
        if order.status != "PENDING":
            raise Refused(400, "InvalidInput", "The order is not pending.")
        order.status = "UNSHIPPED"
        return self._touch(order)

    def cancel(self, order_id: str) -> Order:
        order = self.order(order_id)
        if any(line.shipped for line in order.lines):
            raise Refused(400, "InvalidInput", "A part of the order has left.")
        order.status = "CANCELLED"
        return self._touch(order)

    def order(self, order_id: str) -> Order:
        if order_id not in self.orders:
            raise Refused(404, "NotFound", "The order does not exist.")
        return self.orders[order_id]

    def confirm_shipment(self, order_id: str, package: Mapping[str, Any], *, apply: bool = True) -> None:
        order = self.order(order_id)
        if order.status not in {"UNSHIPPED", "PARTIALLY_SHIPPED", "SHIPPED"} or order.by_amazon:
            raise Refused(400, "InvalidInput", f"The order cannot be shipped: it is {order.status.lower()}.")
        reference = str(package["packageReferenceId"])
        if not reference.isdecimal() or int(reference) < 1:
            raise Refused(400, "InvalidInput", "packageReferenceId is a positive number.")
        pieces = {str(one["orderItemId"]): int(one["quantity"]) for one in package["orderItems"]}
        known = {line.line_id: line for line in order.lines}
        before = order.packages.get(reference, {}).get("pieces", {})  # the same package again corrects it
        for line_id, count in pieces.items():
            line = known.get(line_id)
            if line is None or not 0 < count <= line.quantity - line.shipped + before.get(line_id, 0):
                raise Refused(400, "InvalidInput", f"Of item {line_id} {count} pieces cannot be shipped.")
        if not apply:
            return
        for line_id, count in pieces.items():
            known[line_id].shipped += count - before.get(line_id, 0)
        order.packages[reference] = {"package": dict(package), "pieces": pieces, "at": self._clock.now()}
        whole = all(line.shipped == line.quantity for line in order.lines)
        order.status = "SHIPPED" if whole else "PARTIALLY_SHIPPED"
        self._touch(order)

    def page(self, since: datetime, marketplaces: Sequence[str], token: str, size: int) -> tuple[list[Order], str]:
        """Orders changed at or after a time, the oldest change first, and the token of the next page."""
        start = max(bisect_left(self._changes, (since, "")), int(token) if token else 0)
        found: list[Order] = []
        for place in range(start, len(self._changes)):
            order = self.orders[self._changes[place][1]]
            if self._newest[order.order_id] != place or order.marketplace not in marketplaces:
                continue
            if len(found) == size:
                return found, str(place)
            found.append(order)
        return found, ""

    def report(self, start: datetime, end: datetime) -> bytes:
        """GET_FLAT_FILE_ALL_ORDERS_DATA_BY_ORDER_DATE_GENERAL: a row per item."""
        columns = (
            "amazon-order-id",
            "merchant-order-id",
            "purchase-date",
            "order-status",
            "sales-channel",
            "sku",
            "quantity",
        )
        rows = [
            (order.order_id, "", stamp(order.placed), order.status, "Non-Amazon" if order.other_shop else "Amazon.de",
             line.sku, str(line.quantity))
            for order in self.orders.values()
            if start <= order.placed <= end
            for line in order.lines
        ]  # fmt: skip
        return "".join("\t".join(row) + "\r\n" for row in (columns, *rows)).encode("cp1252", "replace")

    def _line(self, line_id: str, sku: str, pieces: int, marketplace: str) -> Line:
        item = self._items.get(sku)
        price = None if item is None else item.price(marketplace, self._clock.now())
        if item is None or price is None or pieces < 1:
            raise Refused(404, "NotFound", f"{sku} is not on sale here.")
        if (item.quantity or 0) < pieces:
            raise Refused(409, "SoldOut", f"Of {sku} there are {item.quantity or 0} pieces.")
        self._items.take(item, pieces)
        names = item.attributes.get("item_name") or [{"value": item.asin}]
        return Line(line_id, sku, item.asin, str(names[0]["value"]), pieces, price)

    def _is_fba(self, sku: str) -> bool:
        item = self._items.get(sku)
        return item is not None and item.channel != "DEFAULT"

    def _touch(self, order: Order) -> Order:
        order.updated = max(self._clock.now(), self._changes[-1][0]) if self._changes else self._clock.now()
        self._newest[order.order_id] = len(self._changes)
        self._changes.append((order.updated, order.order_id))
        return order
