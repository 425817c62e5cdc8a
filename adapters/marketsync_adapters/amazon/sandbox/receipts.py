"""Orders as the Orders API 2026-01-01 shows them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from marketsync.adapter.api import Money
from marketsync_adapters.amazon.sandbox.sales import Line, Order
from marketsync_adapters.amazon.sandbox.shown import stamp


def order_out(order: Order, included: frozenset[str], ship_within: timedelta) -> dict[str, Any]:
    """A pending order shows neither its buyer nor what it brings."""
    pending = order.status == "PENDING"
    document: dict[str, Any] = {
        "orderId": order.order_id,
        "createdTime": stamp(order.placed),
        "lastUpdatedTime": stamp(order.updated),
        "salesChannel": {
            "channelName": "NON_AMAZON" if order.other_shop else "AMAZON",
            "marketplaceId": order.marketplace,
        },
        "orderItems": [_line_out(line, order, included, pending=pending) for line in order.lines],
    }
    if "FULFILLMENT" in included:
        document["fulfillment"] = {
            "fulfillmentStatus": order.status,
            "fulfilledBy": "AMAZON" if order.by_amazon else "MERCHANT",
            "shipByWindow": {
                "earliestDateTime": stamp(order.placed),
                "latestDateTime": stamp(order.placed + ship_within),
            },
        }
    if "PACKAGES" in included:
        document["packages"] = [_package_out(reference, one) for reference, one in order.packages.items()]
    if pending:
        return document
    if "BUYER" in included:
        document["buyer"] = {"buyerName": order.address["name"], "buyerEmail": "x1@marketplace.amazon.de"}
    if "RECIPIENT" in included:
        document["recipient"] = {"deliveryAddress": dict(order.address)}
    if "PROCEEDS" in included:
        total = sum(line.unit_price.minor * line.quantity for line in order.lines)
        document["proceeds"] = {"grandTotal": _money(Money(total, order.lines[0].unit_price.currency))}
    return document


def _line_out(line: Line, order: Order, included: frozenset[str], *, pending: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "orderItemId": line.line_id,
        "quantityOrdered": line.quantity,
        "product": {"asin": line.asin, "title": line.title, "sellerSku": line.sku},
    }
    if "FULFILLMENT" in included:
        still_open = 0 if order.status == "CANCELLED" else line.quantity - line.shipped
        document["fulfillment"] = {"quantityFulfilled": line.shipped, "quantityUnfulfilled": still_open}
    if "CANCELLATION" in included and order.status == "CANCELLED":
        document["cancellation"] = {"cancellationExecution": {"cancelledBy": "AMAZON", "cancelReason": "Buyer"}}
    if not pending and "PROCEEDS" in included:
        amount = _money(Money(line.unit_price.minor * line.quantity, line.unit_price.currency))
        document["product"]["price"] = {"unitPrice": _money(line.unit_price)}
        document["proceeds"] = {"proceedsTotal": amount, "breakdowns": [{"type": "ITEM", "subtotal": amount}]}
    return document


def _package_out(reference: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    package = kept["package"]
    return {
        "packageReferenceId": reference,
        "createdTime": stamp(kept["at"]),
        "packageStatus": {"status": "SHIPPED"},
        "carrier": package.get("carrierName", package["carrierCode"]),
        "trackingNumber": package["trackingNumber"],
        "packageItems": [{"orderItemId": line, "quantity": count} for line, count in kept["pieces"].items()],
    }


def _money(amount: Money) -> dict[str, str]:
    return {"amount": str(amount.decimal), "currencyCode": amount.currency}
