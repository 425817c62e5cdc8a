"""The orders of the shop: what buyers do, and how statuses move its stock."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from marketsync.adapter.api import Clock
from marketsync_adapters.woocommerce.sandbox.catalogue import Catalogue
from marketsync_adapters.woocommerce.sandbox.rules import Refused, Rules
from marketsync_adapters.woocommerce.sandbox.text import gmt, local

Document = dict[str, Any]

BUYER = {
    "first_name": "Zoë",
    "last_name": "Müller-O'Neill",
    "company": "",
    "address_1": "Große Straße 1",
    "address_2": "",
    "city": "Leipzig",
    "state": "",
    "postcode": "04109",
    "country": "DE",
    "email": "buyer@example.com",
    "phone": "+49 341 0000000",
}
STATUSES = ("pending", "processing", "on-hold", "completed", "cancelled", "refunded", "failed", "checkout-draft")
_REDUCE = frozenset({"processing", "on-hold", "completed"})
_RESTORE = frozenset({"cancelled", "pending"})
_TAX_RATE_ID = 75


class Sales:
    def __init__(self, rules: Rules, clock: Clock, catalogue: Catalogue, told: Callable[[str, int], None]) -> None:
        self._rules = rules
        self._clock = clock
        self._catalogue = catalogue
        self._told = told  # a topic and an order's id
        self._next = 7_000
        self.orders: dict[int, Document] = {}
        self.refunds: dict[int, list[Document]] = {}
        self.notes: dict[int, list[Document]] = {}

    def number(self) -> int:
        self._next += 1
        return self._next

    # Buyers.

    def buy(
        self,
        lines: Sequence[tuple[str, int]],
        *,
        paid: bool = True,
        status: str = "",
        address: Mapping[str, str] | None = None,
        discount: Decimal = Decimal(0),
    ) -> Document:
        """A buyer orders (SKU, pieces); ``discount`` is a coupon's percent. Raises ``Refused`` for what is not on sale."""
        for sku, pieces in lines:
            row = self._catalogue.by_sku(sku)
            if row is None or row["status"] != "publish" or (row["manage_stock"] and row["stock_quantity"] < pieces):
                raise Refused(409, "not_on_sale", f"{pieces} of {sku} cannot be bought.")
        now = self._clock.now()
        items = [self._item(sku, pieces, discount) for sku, pieces in lines]
        factor = 1 + self._rules.tax_percent / 100
        order: Document = {
            "id": self.number(),
            "status": "pending",
            "currency": self._rules.currency,
            "$created": now,
            "$modified": now,
            "$paid": None,
            "$completed": None,
            "$reduced": False,
            "$shipping": (self._rules.shipping / factor, self._rules.shipping - self._rules.shipping / factor),
            "$items": items,
            "meta_data": [],
            "billing": {**BUYER, **(address or {})},
        }
        self.orders[order["id"]], self.refunds[order["id"]], self.notes[order["id"]] = order, [], []
        self._move(order, status or ("processing" if paid else "pending"))
        self._told("order.created", order["id"])
        return order

    def pay(self, number: int) -> Document:
        order = self.order(number)
        if order["status"] not in {"pending", "failed", "on-hold"}:
            raise Refused(409, "not_payable", f"The order is {order['status']}.")
        return self.move(number, "processing")

    def move(self, number: int, status: str) -> Document:
        """A person or a payment provider changes the status."""
        order = self.order(number)
        self._move(order, status)
        self._touch(order)
        return order

    # The API.

    def order(self, number: int) -> Document:
        if number not in self.orders:
            raise Refused(404, "woocommerce_rest_shop_order_invalid_id", "Invalid ID.")
        return self.orders[number]

    def update(self, number: int, sent: Document, *, apply: bool = True) -> Document:
        order = self.order(number)
        status = sent.get("status", order["status"])
        if status not in (*STATUSES, *self._rules.statuses):
            raise Refused(400, "rest_invalid_param", "Invalid parameter(s): status")
        if not apply:
            return order
        for meta in sent.get("meta_data", ()):
            order["meta_data"] = [one for one in order["meta_data"] if one["key"] != meta["key"]]
            order["meta_data"].append({"id": self.number(), **meta})
        self._move(order, status)
        self._touch(order)
        return order

    def note(self, number: int, sent: Document, *, apply: bool = True) -> Document:
        self.order(number)
        note = {"id": self.number(), "author": "system", "note": sent["note"], "$at": self._clock.now()}
        note["customer_note"] = bool(sent.get("customer_note"))
        if apply:
            self.notes[number].append(note)
        return note

    def refund(self, number: int, sent: Document, *, apply: bool = True) -> Document:
        order = self.order(number)
        amount = Decimal(str(sent.get("amount") or 0))
        left = self._total(order) - sum((one["$amount"] for one in self.refunds[number]), Decimal(0))
        if not 0 < amount <= round(left, 2):
            raise Refused(500, "woocommerce_rest_cannot_create_order_refund", "Invalid refund amount.")
        if sent.get("api_refund", True) and not self._rules.refundable:
            message = "The payment gateway for this order does not support automatic refunds."
            raise Refused(500, "woocommerce_rest_cannot_create_order_refund", message)
        refund = {"id": self.number(), "$amount": amount, "reason": sent.get("reason") or "", "$at": self._clock.now()}
        refund["$items"] = [(one["id"], int(one.get("quantity", 0)), one) for one in sent.get("line_items", ())]
        refund["refunded_payment"] = bool(sent.get("api_refund", True))
        if apply:
            self.refunds[number].append(refund)
            if amount == round(left, 2):
                self._move(order, "refunded")
            self._touch(order)
        return refund

    # How an order is shown.

    def shown(self, order: Document, dp: int = 2) -> Document:
        zone = self._rules.time_zone
        shipping, shipping_tax = order["$shipping"]
        taxes = sum((item["$tax"] for item in order["$items"]), Decimal(0))
        document = {key: value for key, value in order.items() if not key.startswith("$")}
        for name in ("created", "modified", "paid", "completed"):
            time = order[f"${name}"]
            document |= {f"date_{name}": local(time, zone), f"date_{name}_gmt": gmt(time)}
        return document | {
            "parent_id": 0,
            "number": str(order["id"]),
            "shipping": {name: value for name, value in order["billing"].items() if name not in {"email", "phone"}},
            "total": _fixed(self._total(order), dp),
            "total_tax": _fixed(taxes + shipping_tax, dp),
            "shipping_total": _fixed(shipping, dp),
            "shipping_tax": _fixed(shipping_tax, dp),
            "prices_include_tax": self._rules.prices_include_tax,
            "line_items": [self._shown_item(item, dp) for item in order["$items"]],
            "tax_lines": [
                {"id": order["id"] * 10, "rate_id": _TAX_RATE_ID, "rate_percent": float(self._rules.tax_percent)}
            ],
            "shipping_lines": [
                {
                    "id": order["id"] * 10 + 1,
                    "method_title": "Flat rate",
                    "total": _fixed(shipping, dp),
                    "total_tax": _fixed(shipping_tax, dp),
                    "taxes": [{"id": _TAX_RATE_ID, "total": str(shipping_tax)}],
                }
            ],
            "fee_lines": [],
            "coupon_lines": [],
            "refunds": [
                {"id": one["id"], "reason": one["reason"], "total": f"-{_fixed(one['$amount'], dp)}"}
                for one in self.refunds[order["id"]]
            ],
        }

    def shown_refund(self, refund: Document, dp: int = 2) -> Document:
        return {
            "id": refund["id"],
            "date_created": local(refund["$at"], self._rules.time_zone),
            "date_created_gmt": gmt(refund["$at"]),
            "amount": _fixed(refund["$amount"], dp),
            "reason": refund["reason"],
            "refunded_payment": refund["refunded_payment"],
            "meta_data": [],
            "line_items": [
                {
                    "id": refund["id"] * 10 + n,
                    "quantity": -quantity,
                    "total": f"-{one.get('refund_total', 0)}",
                    "meta_data": [{"id": refund["id"] * 10 + n, "key": "_refunded_item_id", "value": str(item)}],
                }
                for n, (item, quantity, one) in enumerate(refund["$items"])
                if quantity
            ],
        }

    def shown_note(self, note: Document) -> Document:
        document = {key: value for key, value in note.items() if not key.startswith("$")}
        zone = self._rules.time_zone
        return document | {"date_created": local(note["$at"], zone), "date_created_gmt": gmt(note["$at"])}

    def _shown_item(self, item: Document, dp: int) -> Document:
        row = self._catalogue.products.get(item["$row"]) or self._catalogue.variations.get(item["$row"])
        document = {key: value for key, value in item.items() if not key.startswith("$")}
        return document | {
            "sku": row["sku"] if row else None,
            "subtotal": _fixed(item["$full"] - item["$full_tax"], dp),
            "subtotal_tax": _fixed(item["$full_tax"], dp),
            "total": _fixed(item["$paid"] - item["$tax"], dp),
            "total_tax": _fixed(item["$tax"], dp),
            "taxes": [{"id": _TAX_RATE_ID, "total": str(item["$tax"]), "subtotal": str(item["$full_tax"])}],
            "price": float((item["$paid"] - item["$tax"]) / item["quantity"]),
            "meta_data": [],
        }

    def _item(self, sku: str, pieces: int, discount: Decimal) -> Document:
        row = self._catalogue.by_sku(sku)
        assert row is not None, "buy has looked"
        percent = self._rules.tax_percent
        price = self._catalogue.price(row) * pieces
        full = price if self._rules.prices_include_tax else price * (1 + percent / 100)
        paid = round(full * (1 - discount / 100), 2)
        parent = self._catalogue.products.get(row["parent_id"])
        return {
            "id": self.number(),
            "name": (parent or row)["name"],
            "product_id": row["parent_id"] or row["id"],
            "variation_id": row["id"] if row["parent_id"] else 0,
            "quantity": pieces,
            "$row": row["id"],
            "$full": full,
            "$full_tax": round(full * percent / (100 + percent), 6),
            "$paid": paid,
            "$tax": round(paid * percent / (100 + percent), 6),
        }

    def _total(self, order: Document) -> Decimal:
        return sum((item["$paid"] for item in order["$items"]), sum(order["$shipping"], Decimal(0)))

    def _move(self, order: Document, status: str) -> None:
        """A new status; the shop takes and gives back its stock once, and notes when it was paid and completed."""
        now: datetime = self._clock.now()
        order["status"] = status
        if status in {"processing", "completed"}:
            order["$paid"] = order["$paid"] or now
        if status == "completed":
            order["$completed"] = now
        if status in _REDUCE and not order["$reduced"]:
            self._shift(order, -1, "sale")
        elif status in _RESTORE and order["$reduced"]:
            self._shift(order, 1, "cancel")

    def _shift(self, order: Document, sign: int, cause: str) -> None:
        order["$reduced"] = sign < 0
        for item in order["$items"]:
            row = self._catalogue.products.get(item["$row"]) or self._catalogue.variations.get(item["$row"])
            if row is not None:
                self._catalogue.move(row, sign * item["quantity"], cause)

    def _touch(self, order: Document) -> None:
        order["$modified"] = self._clock.now()
        self._told("order.updated", order["id"])


def _fixed(number: Decimal, dp: int) -> str:
    return f"{number:.{dp}f}"
