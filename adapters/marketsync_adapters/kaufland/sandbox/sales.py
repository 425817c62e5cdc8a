"""Orders and returns: one order unit per piece; what buyers do, and what the seller tells piece by piece."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from marketsync.adapter.api import Clock
from marketsync_adapters.kaufland.sandbox.rules import CURRENCIES, Refused, Rules
from marketsync_adapters.kaufland.sandbox.shelf import Shelf, Unit, iso

ADDRESS: dict[str, Any] = {
    "first_name": "Zoë",
    "last_name": "Müller-O'Neill",
    "company_name": None,
    "street": "Große Straße",
    "house_number": "1",
    "postcode": "04109",
    "additional_field": None,
    "city": "Leipzig",
    "phone": None,
    "country": "DE",
}
FROM: dict[str, frozenset[str]] = {
    "fulfil": frozenset({"open"}),
    "send": frozenset({"need_to_be_sent"}),
    "cancel": frozenset({"open", "need_to_be_sent"}),
    "refund": frozenset({"need_to_be_sent", "sent", "sent_and_autopaid", "received", "returned"}),
}
TO = {"fulfil": "need_to_be_sent", "send": "sent", "cancel": "cancelled"}


@dataclass(slots=True)
class Piece:
    """An order unit."""

    id_order_unit: int
    order: "Order"
    unit: Unit
    price: int
    updated: datetime
    changes: int  # counts every change of any piece: what sorts equal times
    status: str = "open"
    parcels: list[tuple[str, str]] = field(default_factory=list)  # carrier, tracking
    refunds: list[int] = field(default_factory=list)
    cancel_reason: str | None = None

    def document(self, rules: Rules) -> dict[str, Any]:
        return {
            "id_order_unit": self.id_order_unit,
            "id_order": self.order.id_order,
            "ts_created_iso": iso(self.order.created),
            "is_marketplace_deemed_supplier": False,
            "ts_updated_iso": iso(self.updated),
            "status": self.status,
            "price": self.price,
            "id_offer": self.unit.id_offer,
            "revenue_gross": self.price,
            "revenue_net": self.price,
            "note": None,
            "unit_condition": "new",
            "storefront": self.order.storefront,
            "currency": CURRENCIES[self.order.storefront],
            "delivery_time_min": 1,
            "delivery_time_max": 5,
            "delivery_time_expires_iso": iso(self.order.created + timedelta(days=5)),
            "order_received_timestamp_iso": None,
            "shipping_rate": rules.shipping,
            "cancel_reason": self.cancel_reason,
            "product": self.unit.product(),
            "vat": rules.vat,
        }

    def whole(self, rules: Rules) -> dict[str, Any]:
        """The order unit as it stands alone, with its buyer."""
        return self.document(rules) | {"fulfillment_type": "fulfilled_by_merchant"} | self.order.people()


@dataclass(slots=True)
class Order:
    id_order: str
    storefront: str
    created: datetime
    paid: bool
    address: dict[str, Any]
    pieces: list[Piece] = field(default_factory=list)

    def people(self) -> dict[str, Any]:
        """Who bought; told once it is paid."""
        address = self.address if self.paid else None
        buyer = {"id_buyer": 1, "email": "buyer@example.com"} if self.paid else None
        return {"buyer": buyer, "billing_address": address, "shipping_address": address}

    def summary(self) -> dict[str, Any]:
        return {
            "id_order": self.id_order,
            "ts_created_iso": iso(self.created),
            "is_marketplace_deemed_supplier": False,
            "storefront": self.storefront,
            "fulfillment_type": "fulfilled_by_merchant",
        }

    def document(self, rules: Rules) -> dict[str, Any]:
        units = [piece.document(rules) | {"tickets": None} for piece in self.pieces]
        return self.summary() | {"order_units": units} | self.people()


@dataclass(slots=True)
class Return:
    id_return: int
    piece: Piece
    created: datetime
    updated: datetime
    reason: str
    status: str = "need_to_be_returned"  # that of its one unit

    def document(self) -> dict[str, Any]:
        arrived = self.status != "need_to_be_returned"
        return {
            "id_return": self.id_return,
            "ts_created_iso": iso(self.created),
            "ts_updated_iso": iso(self.updated),
            "storefront": self.piece.order.storefront,
            "tracking_provider": None,
            "tracking_code": None,
            "status": "package_received" if arrived else "return_requested",
            "fulfillment_type": "fulfilled_by_merchant",
        }

    def unit(self) -> dict[str, Any]:
        return {
            "id_return_unit": self.id_return * 10,
            "id_return": self.id_return,
            "id_order_unit": self.piece.id_order_unit,
            "ts_created_iso": iso(self.created),
            "status": self.status,
            "note": None,
            "reason": self.reason,
            "storefront": self.piece.order.storefront,
            "fulfillment_type": "fulfilled_by_merchant",
        }


class Sales:
    def __init__(self, rules: Rules, clock: Clock, shelf: Shelf, told: Callable[[str, str, str], None]) -> None:
        self._rules = rules
        self._clock = clock
        self._shelf = shelf
        self._told = told  # event, resource, storefront
        self._changes = 0
        self.orders: dict[str, Order] = {}
        self.pieces: dict[int, Piece] = {}
        self.returns: dict[int, Return] = {}

    def buy(
        self,
        lines: Sequence[tuple[str, int]],
        *,
        paid: bool = True,
        storefront: str = "de",
        address: dict[str, Any] | None = None,
    ) -> Order:
        """A buyer orders (id_offer, pieces) pairs. Raises ``Refused`` for what is not for sale."""
        units = [(self._sellable(storefront, id_offer, pieces), pieces) for id_offer, pieces in lines]
        now = self._clock.now()
        order = Order(f"M{len(self.orders) + 1:07d}", storefront, now, paid, ADDRESS | (address or {}))
        for unit, pieces in units:
            self._shelf.take(unit, pieces)
            for _ in range(pieces):
                number = len(self.pieces) + 1
                piece = Piece(number, order, unit, unit.values["listing_price"], now, 0)
                self.pieces[number] = piece
                order.pieces.append(piece)
                self._touch(piece)
        self.orders[order.id_order] = order
        self._told("order_new", f"/v2/orders/{order.id_order}/", storefront)
        return order

    def pay(self, id_order: str) -> Order:
        order = self.order(id_order)
        order.paid = True
        return self._changed(order, order.pieces)

    def cancel(self, id_order: str) -> Order:
        """Kaufland cancels what is not sent. The quantity is not raised."""
        order = self.order(id_order)
        pieces = [piece for piece in order.pieces if piece.status in FROM["cancel"]]
        for piece in pieces:
            piece.status, piece.cancel_reason = "cancelled", "BuyerCancelled"
        return self._changed(order, pieces)

    def act(self, id_order_unit: int, action: str, body: dict[str, Any], *, apply: bool = True) -> None:
        """What the seller tells of one piece: fulfil, send, cancel, refund."""
        piece = self.piece(id_order_unit)
        status = 400 if action == "refund" else 403  # refunds know no 403
        if not piece.order.paid and action != "cancel":
            raise Refused(status, "order-units/missing-payment", "The order unit is not paid")
        if piece.status not in FROM[action]:
            kind = "order-units/cancel-not-possible" if action == "cancel" else "action-not-allowed"
            raise Refused(status, kind, f"Not possible in status {piece.status}")
        if action == "send" and not body["tracking_numbers"] and not body["carrier_code"].startswith("Other"):
            message = "Validation failed"
            raise Refused(400, "validation-error", message, tracking_numbers="is required for this carrier")
        if action == "refund" and not 0 < body["amount"] <= piece.price + self._rules.shipping - sum(piece.refunds):
            raise Refused(400, "validation-error", "Validation failed", amount="is more than was paid")
        if not apply:
            return
        if action == "send":
            piece.parcels += [(body["carrier_code"], number) for number in body["tracking_numbers"].split(",")]
        elif action == "refund":
            piece.refunds.append(body["amount"])
        elif action == "cancel":
            piece.cancel_reason = body["reason"]
        piece.status = TO.get(action, piece.status)
        self._changed(piece.order, [piece])

    def add_shipment(self, id_order_unit: int, carrier: str, tracking: str, *, apply: bool = True) -> None:
        piece = self.piece(id_order_unit)
        if not piece.parcels:
            raise Refused(403, "action-not-allowed", "The order unit is not marked as sent")
        if apply:
            piece.parcels.append((carrier, tracking))

    def request_return(self, id_order_unit: int, reason: str = "dislike") -> Return:
        piece = self.piece(id_order_unit)
        if piece.status not in {"sent", "sent_and_autopaid", "received"}:
            raise Refused(403, "returns/unit-wrong-status", f"Not possible in status {piece.status}")
        now = self._clock.now()
        returned = Return(len(self.returns) + 1, piece, now, now, reason)
        self.returns[returned.id_return] = returned
        self._told("return_new", f"/v2/returns/{returned.id_return}/", piece.order.storefront)
        return returned

    def receive_return(self, id_return: int, *, accepted: bool) -> Return:
        """The piece arrives, and the seller's staff accept it or ask back."""
        returned = self.returns.get(id_return)
        if returned is None or returned.status != "need_to_be_returned":
            raise Refused(404, "not-found", "Return not found")
        returned.status = "return_accepted" if accepted else "return_in_clarification"
        returned.updated = self._clock.now()
        returned.piece.status = "returned"
        self._changed(returned.piece.order, [returned.piece])
        return returned

    def order(self, id_order: str) -> Order:
        if id_order not in self.orders:
            raise Refused(404, "not-found", "Order not found")
        return self.orders[id_order]

    def piece(self, id_order_unit: int) -> Piece:
        if id_order_unit not in self.pieces:
            raise Refused(404, "not-found", "Order unit not found")
        return self.pieces[id_order_unit]

    def returned(self, id_return: int) -> Return:
        if id_return not in self.returns:
            raise Refused(404, "not-found", "Return not found")
        return self.returns[id_return]

    def changed_pieces(self, storefront: str, after: datetime | None) -> list[Piece]:
        """Order units updated after a time, the newest first."""
        found = [
            piece
            for piece in self.pieces.values()
            if piece.order.storefront == storefront and (after is None or piece.updated > after)
        ]
        return sorted(found, key=lambda piece: (piece.updated.replace(microsecond=0), piece.changes), reverse=True)

    def changed_returns(self, storefront: str, after: datetime | None) -> list[Return]:
        found = [
            one
            for one in self.returns.values()
            if one.piece.order.storefront == storefront and (after is None or one.updated > after)
        ]
        return sorted(found, key=lambda one: (one.updated, one.id_return), reverse=True)

    def placed_orders(self, storefront: str, after: datetime | None) -> list[Order]:
        return [
            order
            for order in self.orders.values()
            if order.storefront == storefront and (after is None or order.created > after)
        ]

    def order_summary(self, order: Order) -> dict[str, Any]:
        newest = max(piece.updated for piece in order.pieces)
        counted = {"order_units_count": len(order.pieces), "ts_units_updated_iso": iso(newest)}
        return order.summary() | counted

    def _changed(self, order: Order, pieces: Sequence[Piece]) -> Order:
        for piece in pieces:
            piece.updated = max(piece.updated, self._clock.now())
            self._touch(piece)
            resource = f"/v2/order-units/{piece.id_order_unit}/"
            self._told("order_unit_status_changed", resource, order.storefront)
        return order

    def _touch(self, piece: Piece) -> None:
        self._changes += 1
        piece.changes = self._changes

    def _sellable(self, storefront: str, id_offer: str, pieces: int) -> Unit:
        unit = self._shelf.by_offer(storefront, id_offer)
        if unit is None or not unit.sellable or pieces < 1:
            raise Refused(404, "not-found", f"{id_offer} is not for sale here")
        if unit.amount < pieces:
            raise Refused(400, "action-not-allowed", f"Of {id_offer} there are {unit.amount} pieces")
        return unit
