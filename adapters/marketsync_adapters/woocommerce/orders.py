"""Orders as the shop tells them -> orders as marketsync knows them. Pure: no I/O, no clock."""

import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from marketsync.adapter.api import Address, ChannelLine, ChannelOrder, Fulfilment, Money, Payment
from marketsync_adapters.woocommerce.mapping import Document, time_in
from marketsync_adapters.woocommerce.settings import Meaning, Settings

SHIPMENT_KEY = "_marketsync_shipment_"  # an order's meta field per shipment: its key, the pieces by line

# Statuses of a stock installation. A checkout draft is a cart that somebody has not sent off.
STATUSES: Mapping[str, Meaning] = {
    "pending": "unpaid",
    "on-hold": "unpaid",
    "processing": "paid",
    "completed": "shipped",
    "cancelled": "cancelled",
    "refunded": "refunded",
    "failed": "failed",
    "checkout-draft": "ignore",
    "auto-draft": "ignore",
    "draft": "ignore",
    "trash": "ignore",
}


@dataclass(frozen=True, slots=True)
class Pieces:
    """What became of a line's pieces."""

    cancelled: int
    shipped: int
    refunded: int


def meaning(document: Document, settings: Settings) -> Meaning:
    """What the order's status means. One that nobody has explained is paid or unpaid by the order's own payment date."""
    status = document["status"].removeprefix("wc-")
    known = settings.statuses.get(status) or STATUSES.get(status)
    return known or ("paid" if document.get("date_paid_gmt") else "unpaid")


def explained(document: Document, settings: Settings) -> bool:
    status = document["status"].removeprefix("wc-")
    return status in settings.statuses or status in STATUSES


def order(document: Document, refunds: Sequence[Document], settings: Settings, skus: Mapping[str, str]) -> ChannelOrder:
    """``refunds``: in full, where the order names any. ``skus``: by channel id, for products that are gone."""
    means, currency = meaning(document, settings), document["currency"]
    pieces = pieces_by_line(document, refunds, settings)
    payment, paid = _payment(means, document), means in {"paid", "shipped", "refunded"}
    return ChannelOrder(
        order_id=str(document["id"]),
        placed=_time(document, "date_created_gmt"),
        updated=_time(document, "date_modified_gmt"),
        payment=payment,
        fulfilment=_fulfilment(means, document, pieces),
        currency=currency,
        lines=tuple(_line(line, document, pieces[line["id"]], skus) for line in document["line_items"]),
        shipping=money(currency, document["shipping_total"], document["shipping_tax"]),
        total=money(currency, document["total"]),
        buyer=_recipient(document) if paid else None,
        billing=_address(document["billing"], document["billing"]) if paid else None,
        extra={"number": str(document.get("number") or document["id"])},
    )


def pieces_by_line(document: Document, refunds: Sequence[Document], settings: Settings) -> dict[int, Pieces]:
    """Pieces by line id. What was refunded before the order was completed is not sent any more: it is cancelled.

    The shop itself only knows an order as a whole; parts that were sent are ours to remember, in the order's meta.
    """
    means = meaning(document, settings)
    completed = time_in(document.get("date_completed_gmt"))
    sent = means == "shipped" or (means == "refunded" and completed is not None)
    told = shipments(document)
    found = {}
    for line in document["line_items"]:
        quantity, line_id = int(line["quantity"]), line["id"]
        parts = min(quantity, sum(lines.get(str(line_id), 0) for lines in told.values()))
        early = sum(
            count for at, count in _refunded(refunds, line_id) if not sent or (completed is not None and at < completed)
        )
        cancelled = min(early, quantity - parts)
        shipped = quantity - cancelled if sent else parts
        if means in {"cancelled", "refunded"}:
            cancelled = quantity - shipped
        refunded = quantity if means == "refunded" else sum(count for _, count in _refunded(refunds, line_id))
        found[line_id] = Pieces(cancelled, shipped, min(refunded, quantity))
    return found


def shipments(document: Document) -> dict[str, dict[str, int]]:
    """Shipments that we told the shop of: by command key, pieces by line id."""
    found = {}
    for meta in document.get("meta_data", ()):
        key = str(meta.get("key", ""))
        if key.startswith(SHIPMENT_KEY):
            try:
                lines = json.loads(meta["value"])["lines"]
                found[key.removeprefix(SHIPMENT_KEY)] = {str(line): int(count) for line, count in lines.items()}
            except (TypeError, ValueError, KeyError, AttributeError):
                continue  # a person or a plugin has written there: not our shipment
    return found


def refund_mark(key: str) -> str:
    """What tells a refund of ours in its reason: the command's key, made short."""
    return f"[ms-{hashlib.sha256(key.encode()).hexdigest()[:12]}]"


def money(currency: str, *amounts: str | float | Decimal | None) -> Money:
    """The sum of decimal texts: rounded once, at its end."""
    return Money.of(sum((Decimal(str(amount or 0)) for amount in amounts), Decimal(0)), currency)


def _line(line: Document, document: Document, pieces: Pieces, skus: Mapping[str, str]) -> ChannelLine:
    currency = document["currency"]
    full = money(currency, line["subtotal"], line["subtotal_tax"])
    paid = money(currency, line["total"], line["total_tax"])
    return ChannelLine(
        line_id=str(line["id"]),
        sku=line.get("sku") or skus.get(product_of(line), product_of(line)),
        quantity=int(line["quantity"]),
        title=html.unescape(line["name"]),
        cancelled=pieces.cancelled,
        shipped=pieces.shipped,
        refunded=pieces.refunded,
        amount=full,
        tax=money(currency, line["total_tax"]),
        tax_rate=_tax_rate(line, document),
        discount=Money(full.minor - paid.minor, currency) if full != paid else None,
    )


def product_of(line: Document) -> str:
    """The channel id of what a line sold."""
    return f"{line['product_id']}:{line['variation_id']}" if line.get("variation_id") else str(line["product_id"])


def _tax_rate(line: Document, document: Document) -> str:
    """The one rate of a line, as the order's tax lines tell it; "" where there are none or several."""
    rates = {tax["rate_id"]: tax.get("rate_percent") for tax in document.get("tax_lines", ())}
    used = [tax["id"] for tax in line.get("taxes", ()) if tax.get("total")]
    percent = rates.get(used[0]) if len(used) == 1 else None
    return "" if percent is None else f"{Decimal(str(percent)).normalize():f}"


def _payment(means: Meaning, document: Document) -> Payment:
    if means in {"paid", "shipped"}:
        return Payment.PAID
    if means == "refunded":
        return Payment.REFUNDED
    if means == "failed":
        return Payment.FAILED
    return Payment.PAID if means == "cancelled" and document.get("date_paid_gmt") else Payment.PENDING


def _fulfilment(means: Meaning, document: Document, pieces: Mapping[int, Pieces]) -> Fulfilment:
    if means == "shipped" or (means == "refunded" and document.get("date_completed_gmt")):
        return Fulfilment.SHIPPED
    if means in {"cancelled", "refunded"}:
        return Fulfilment.CANCELLED
    quantities = {line["id"]: int(line["quantity"]) for line in document["line_items"]}
    left = [quantities[line_id] - part.cancelled - part.shipped for line_id, part in pieces.items()]
    if any(part.shipped for part in pieces.values()):
        return Fulfilment.PARTLY_SHIPPED if any(left) else Fulfilment.SHIPPED
    return Fulfilment.CANCELLED if pieces and not any(left) else Fulfilment.OPEN


def _refunded(refunds: Iterable[Document], line_id: int) -> list[tuple[datetime, int]]:
    """When how many pieces of a line were refunded. A refund's lines have ids of their own, and negative quantities."""
    return [
        (_time(refund, "date_created_gmt"), -int(line["quantity"]))
        for refund in refunds
        for line in refund.get("line_items", ())
        if any(
            meta.get("key") == "_refunded_item_id" and str(meta.get("value")) == str(line_id)
            for meta in line["meta_data"]
        )
    ]


def _recipient(document: Document) -> Address:
    """Where it goes: the shipping address, or the billing address where the buyer gave one for both."""
    shipping, billing = document["shipping"], document["billing"]
    return _address(shipping if shipping.get("address_1") or shipping.get("city") else billing, billing)


def _address(where: Mapping[str, Any], contact: Mapping[str, Any]) -> Address:
    def text(name: str) -> str:
        return str(where.get(name) or "")

    return Address(
        name=f"{text('first_name')} {text('last_name')}".strip(),
        company=text("company"),
        street=text("address_1"),
        street2=text("address_2"),
        postcode=text("postcode"),
        city=text("city"),
        region=text("state"),
        country=text("country"),
        phone=text("phone") or str(contact.get("phone") or ""),
        email=str(contact.get("email") or ""),
    )


def _time(document: Document, name: str) -> datetime:
    time = time_in(document.get(name)) or time_in(document.get("date_created_gmt"))
    assert time is not None, "every order has a time of creation"
    return time
