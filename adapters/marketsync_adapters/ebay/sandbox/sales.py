"""Buyers: orders, payments, shipments, refunds, cancellations and returns, as the Fulfillment and Post-Order APIs tell."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from marketsync.adapter.api import Clock, Money
from marketsync_adapters.ebay.sandbox.rules import Refused, Rules
from marketsync_adapters.ebay.sandbox.shelf import Shelf

Document = dict[str, Any]
MILLISECOND = timedelta(milliseconds=1)
ADDRESS = {
    "fullName": "Erika Mustermann",
    "contactAddress": {
        "addressLine1": "Heidestraße 17",
        "city": "Köln",
        "postalCode": "51147",
        "countryCode": "DE",
    },
    "primaryPhone": {"phoneNumber": "0221 000000"},
    "email": "erika@example.com",
}


@dataclass(slots=True)
class Line:
    line_id: str
    sku: str
    title: str
    item_id: str
    quantity: int
    cost: Money
    shipped: int = 0
    refunded: list[tuple[str, Money]] = field(default_factory=list)

    @property
    def status(self) -> str:
        if not self.shipped:
            return "NOT_STARTED"
        return "FULFILLED" if self.shipped == self.quantity else "IN_PROGRESS"


@dataclass(slots=True)
class Order:
    order_id: str
    created: datetime
    modified: datetime
    lines: list[Line]
    shipping: Money
    ship_by: datetime
    payment: str = "PENDING"
    cancel_state: str = "NONE_REQUESTED"
    cancel_requests: list[Document] = field(default_factory=list)
    shipments: list[Document] = field(default_factory=list)
    refunds: list[tuple[str, Money]] = field(default_factory=list)

    @property
    def status(self) -> str:
        states = {line.status for line in self.lines}
        return states.pop() if len(states) == 1 else "IN_PROGRESS"

    @property
    def total(self) -> Money:
        return Money(sum(line.cost.minor for line in self.lines) + self.shipping.minor, self.shipping.currency)

    @property
    def paid_back(self) -> int:
        return sum(money.minor for _, money in [*self.refunds, *(one for line in self.lines for one in line.refunded)])


@dataclass(slots=True)
class Sales:
    rules: Rules
    clock: Clock
    shelf: Shelf
    orders: dict[str, Order] = field(default_factory=dict)
    returns: dict[str, Document] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _latest: datetime | None = None

    def buy(self, lines: list[tuple[str, int]], *, paid: bool = True) -> Order:
        """A buyer commits to buy (SKU, pieces). Raises ``Refused`` where there is not enough."""
        bought = [self._line(sku, pieces) for sku, pieces in lines]
        now, number = self._moment(), next(self._numbers)
        order = Order(
            order_id=f"12-{number // 100_000:05d}-{number % 100_000:05d}",
            created=now,
            modified=now,
            lines=bought,
            shipping=Money(self.rules.shipping, self.rules.currency),
            ship_by=now + self.rules.ship_within,
            payment="PAID" if paid else "PENDING",
        )
        self.orders[order.order_id] = order
        return order

    def _line(self, sku: str, pieces: int) -> Line:
        offer = self.shelf.take(sku, pieces)
        price = offer.document["pricingSummary"]["price"]
        each = Money.of(Decimal(price["value"]), price["currency"])
        title = (self.shelf.items[sku].get("product") or {}).get("title", "")
        line_id = f"{10_000_000_000_000 + next(self._numbers)}"
        cost = Money(each.minor * pieces, each.currency)
        return Line(line_id, sku, title, offer.listing_id or offer.offer_id, pieces, cost)

    def order(self, order_id: str) -> Order:
        if order_id not in self.orders:
            raise Refused(404, 32100, f"Invalid order ID: {order_id}")
        return self.orders[order_id]

    def pay(self, order_id: str) -> Order:
        order = self.order(order_id)
        order.payment = "PAID"
        return self._touched(order)

    def cancel(self, order_id: str) -> Order:
        order = self.order(order_id)
        if order.status != "NOT_STARTED":
            raise Refused(409, 1616, "The order cannot be cancelled: it is shipped.")
        order.cancel_state = "CANCELED"
        for request in order.cancel_requests:
            request["cancelRequestState"] = "COMPLETED"
        if order.payment == "PAID":
            order.payment = "FULLY_REFUNDED"
        return self._touched(order)

    def request_cancel(self, order_id: str) -> Order:
        """The buyer asks for the order to be cancelled."""
        order = self.order(order_id)
        order.cancel_state = "IN_PROGRESS"
        order.cancel_requests.append(
            {
                "cancelRequestId": f"{5_000_000_000 + next(self._numbers)}",
                "cancelInitiator": "BUYER",
                "cancelRequestState": "REQUESTED",
                "cancelRequestedDate": text(self.clock.now()),
            }
        )
        return self._touched(order)

    def approve(self, cancel_id: str) -> Order:
        for order in self.orders.values():
            if any(one["cancelRequestId"] == cancel_id for one in order.cancel_requests):
                return self.cancel(order.order_id)
        raise Refused(404, 1614, f"There is no cancellation {cancel_id}.")

    # ---------------------------------------------------------------- the seller

    def ship(self, order_id: str, body: Document, *, apply: bool) -> str:
        """A parcel. Returns its id: the tracking number, where there is one."""
        if order_id not in self.orders:
            raise Refused(400, 32100, f"Invalid Order Id: {order_id}")
        order = self.orders[order_id]
        tracking = body.get("trackingNumber") or ""
        if bool(tracking) != bool(body.get("shippingCarrierCode")) or not (tracking.isalnum() or not tracking):
            raise Refused(400, 32300, "Invalid shipment tracking number or carrier")
        same = [one for one in order.shipments if one["fulfillmentId"] == tracking]
        if any(one["lineItems"] == body.get("lineItems") for one in same):
            raise Refused(409, 32600, "The order has a fulfillment with this tracking number.")
        if order.payment == "PENDING" or order.cancel_state == "CANCELED":
            raise Refused(400, 32600, "Invalid input data. The order is not paid, or cancelled.")
        pieces = self._pieces(order, body.get("lineItems") or [])
        fulfillment_id = tracking or str(998 + next(self._numbers))
        if not apply:
            return fulfillment_id
        for line, number in pieces:
            line.shipped += number
        shipment: Document = {
            "fulfillmentId": fulfillment_id,
            "shippedDate": body.get("shippedDate") or text(self.clock.now()),
            "lineItems": [{"lineItemId": line.line_id, "quantity": number} for line, number in pieces],
        }
        if tracking:
            shipment |= {"shipmentTrackingNumber": tracking, "shippingCarrierCode": body["shippingCarrierCode"]}
        order.shipments.append(shipment)
        self._touched(order)
        return fulfillment_id

    def _pieces(self, order: Order, asked: list[Document]) -> list[tuple[Line, int]]:
        lines = {line.line_id: line for line in order.lines}
        if not asked:
            raise Refused(400, 32600, "Invalid input data. lineItems is empty.")
        if len({one.get("lineItemId") for one in asked}) < len(asked):
            raise Refused(400, 32210, "Duplicate line item in the request")
        found = []
        for one in asked:
            line, number = lines.get(str(one.get("lineItemId"))), int(one.get("quantity", 1))
            if line is None:
                raise Refused(400, 32200, f"Invalid line item id: {one.get('lineItemId')}")
            if not 0 < number <= line.quantity - line.shipped:
                raise Refused(400, 32600, "Invalid input data. There are not as many pieces to ship.")
            found.append((line, number))
        return found

    def refund(self, order_id: str, body: Document, *, apply: bool) -> Document:
        if order_id not in self.orders:
            raise Refused(404, 34913, "Can not find the order.")
        order = self.orders[order_id]
        if not body.get("reasonForRefund"):
            raise Refused(400, 34903, "The refund reason must be specified.")
        if order.payment == "PENDING":
            raise Refused(409, 34929, "You cannot refund this order yet since the payment has not been processed.")
        if order.payment == "FULLY_REFUNDED":
            raise Refused(400, 34917, "This order was already refunded.")
        refund_id = str(next(self._numbers))
        whole = body.get("orderLevelRefundAmount")
        parts = [(None, whole)] if whole else self._refund_parts(order, body.get("refundItems") or [])
        amounts = [(line, Money.of(amount["value"], amount["currency"])) for line, amount in parts]
        if order.paid_back + sum(money.minor for _, money in amounts) > order.total.minor:
            raise Refused(400, 34915, "The refund amount exceeds order amount.")
        for line, money in amounts if apply else ():
            (order.refunds if line is None else line.refunded).append((refund_id, money))
        if apply:
            order.payment = "FULLY_REFUNDED" if order.paid_back == order.total.minor else "PARTIALLY_REFUNDED"
            self._touched(order)
        return {"refundId": refund_id, "refundStatus": "PENDING"}

    def _refund_parts(self, order: Order, items: list[Document]) -> list[tuple[Line | None, Document]]:
        if not items:
            raise Refused(400, 34905, "Either orderLevelRefundAmount or refundItems must be specified.")
        lines = {line.line_id: line for line in order.lines}
        parts: list[tuple[Line | None, Document]] = []
        for one in items:
            if one.get("lineItemId") not in lines:
                raise Refused(400, 34914, "Can't find the item in the order.")
            parts.append((lines[one["lineItemId"]], one["refundAmount"]))
        return parts

    # ---------------------------------------------------------------- what comes back

    def request_return(self, order_id: str, line_id: str, quantity: int) -> str:
        order = self.order(order_id)
        line = next(line for line in order.lines if line.line_id == line_id)
        return_id = f"{5_300_000_000 + next(self._numbers)}"
        self.returns[return_id] = {
            "summary": {
                "returnId": return_id,
                "orderId": order_id,
                "state": "RETURN_REQUESTED",
                "creationInfo": {
                    "item": {"itemId": line.item_id, "transactionId": line.line_id, "returnQuantity": quantity},
                    "reason": "NO_LONGER_NEED_ITEM",
                    "creationDate": {"value": text(self.clock.now())},
                },
            },
            "detail": {"responseHistory": []},
        }
        return return_id

    def receive_return(self, return_id: str) -> Document:
        found = self.returns[return_id]
        found["summary"]["state"] = "ITEM_DELIVERED"
        found["detail"]["responseHistory"].append({"creationDate": {"value": text(self.clock.now())}})
        return found

    # ---------------------------------------------------------------- reading

    def page(self, by: str, start: datetime | None, end: datetime | None) -> list[Order]:
        """Orders in a window, both ends included, oldest first. ``by``: created or modified."""
        if start is None:
            start = self.clock.now() - timedelta(days=90)
        found = [
            one
            for one in self.orders.values()
            if start <= getattr(one, by) and (end is None or getattr(one, by) <= end)
        ]
        return sorted(found, key=lambda one: getattr(one, by))

    def document(self, order: Order, *, whole: bool = False) -> Document:
        """An order as eBay tells it; only ``whole`` with its cancellation requests."""
        currency = order.shipping.currency
        status: Document = {"cancelState": order.cancel_state, "cancelRequests": order.cancel_requests if whole else []}
        subtotal = Money(sum(line.cost.minor for line in order.lines), currency)
        return {
            "orderId": order.order_id,
            "creationDate": text(order.created),
            "lastModifiedDate": text(order.modified),
            "orderFulfillmentStatus": order.status,
            "orderPaymentStatus": order.payment,
            "sellerId": self.rules.seller,
            "buyer": {"username": "rehearsal-buyer"},
            "cancelStatus": status,
            "pricingSummary": {
                "priceSubtotal": amount(subtotal),
                "deliveryCost": amount(order.shipping),
                "total": amount(order.total),
            },
            "paymentSummary": {
                "totalDueSeller": amount(order.total),
                "payments": [],
                "refunds": [{"refundId": i, "amount": amount(m), "refundStatus": "REFUNDED"} for i, m in order.refunds],
            },
            "fulfillmentStartInstructions": [
                {"fulfillmentInstructionsType": "SHIP_TO", "shippingStep": {"shipTo": ADDRESS}}
            ],
            "fulfillmentHrefs": [f"/{one['fulfillmentId']}" for one in order.shipments],
            "lineItems": [self._line_document(order, line) for line in order.lines],
        }

    def _line_document(self, order: Order, line: Line) -> Document:
        return {
            "lineItemId": line.line_id,
            "legacyItemId": line.item_id,
            "sku": line.sku,
            "title": line.title,
            "quantity": line.quantity,
            "soldFormat": "FIXED_PRICE",
            "listingMarketplaceId": self.rules.marketplace,
            "purchaseMarketplaceId": self.rules.marketplace,
            "lineItemFulfillmentStatus": line.status,
            "lineItemCost": amount(line.cost),
            "total": amount(line.cost),
            "taxes": [],
            "appliedPromotions": [],
            "refunds": [
                {"refundId": i, "amount": amount(m), "refundDate": text(order.modified)} for i, m in line.refunded
            ],
            "lineItemFulfillmentInstructions": {"shipByDate": text(order.ship_by)},
        }

    def _touched(self, order: Order) -> Order:
        order.modified = self._moment()
        return order

    def _moment(self) -> datetime:
        """Now, to the millisecond as eBay tells times, never before what was told last."""
        now = self.clock.now()
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._latest = now if self._latest is None else max(now, self._latest)
        return self._latest


def amount(money: Money) -> Document:
    return {"value": f"{money.decimal:f}", "currency": money.currency}


def text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
