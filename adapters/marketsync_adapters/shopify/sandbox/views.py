"""Products and orders as the API shows them: dicts by field name."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from marketsync_adapters.shopify.sandbox.graphql import connection
from marketsync_adapters.shopify.sandbox.sales import ADDRESS, Order, Parcel, Return, ToShip
from marketsync_adapters.shopify.sandbox.shop import Product, Shop, Variant

View = dict[str, Any]


def paged(entries: list[Any], view: Callable[[Any], View]) -> Callable[[Any], View]:
    """A connection of entries in their own order."""
    numbered = list(enumerate(entries))
    return lambda arguments: connection(numbered, arguments, lambda one: f"{one[0]:09d}", lambda one: view(one[1]))


def product(shop: Shop, one: Product) -> View:
    def metafield(arguments: View) -> View | None:
        value = one.metafields.get((one.id, arguments["namespace"], arguments["key"]))
        return None if value is None else {"__typename": "Metafield", "value": value}

    return {
        "__typename": "Product",
        "id": one.id,
        "handle": one.handle,
        "title": one.title,
        "descriptionHtml": one.description,
        "vendor": one.vendor,
        "productType": one.product_type,
        "status": one.status,
        "metafield": metafield,
        "resourcePublicationsCount": {"count": len(one.publications)},
        "variants": paged(one.variants, lambda variant_: variant(shop, variant_, deep=False)),
    }


def variant(shop: Shop, one: Variant, *, deep: bool = True) -> View:
    def level(arguments: View) -> View | None:
        quantity = one.levels.get(arguments["locationId"])
        if quantity is None:
            return None
        return {"quantities": lambda asked: [{"name": name, "quantity": quantity} for name in asked["names"]]}

    return {
        "__typename": "ProductVariant",
        "id": one.id,
        "sku": one.sku,
        "price": one.price,
        "compareAtPrice": one.compare_at,
        "barcode": one.barcode,
        "selectedOptions": [{"name": name, "value": value} for name, value in one.options.items()],
        "product": product(shop, one.product) if deep else None,
        "inventoryItem": {
            "id": one.item,
            "duplicateSkuCount": len(shop.by_sku(one.sku)) - 1,
            "inventoryLevel": level,
        },
    }


def money(amount: Decimal, currency: str) -> View:
    value = {"amount": f"{amount:f}", "currencyCode": currency}
    return {"shopMoney": value, "presentmentMoney": value}


def time(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def order(one: Order) -> View:
    return {
        "__typename": "Order",
        "id": one.id,
        "name": f"#{one.number}",
        "createdAt": time(one.placed),
        "updatedAt": time(one.updated),
        "cancelledAt": time(one.cancelled),
        "currencyCode": one.currency,
        "presentmentCurrencyCode": one.currency,
        "taxesIncluded": True,
        "email": one.email,
        "displayFinancialStatus": one.financial,
        "displayFulfillmentStatus": one.fulfilment,
        "totalPriceSet": money(one.total, one.currency),
        "totalShippingPriceSet": money(one.shipping, one.currency),
        "shippingAddress": dict(ADDRESS),
        "billingAddress": dict(ADDRESS),
        "lineItems": paged(one.lines, lambda line: _line(one, line)),
        "fulfillmentOrders": paged(one.to_ship, fulfilment_order),
        "fulfillments": lambda arguments: [parcel(each) for each in one.fulfillments[: arguments["first"]]],
        "refunds": lambda arguments: [parcel(each) for each in one.refunds[: arguments["first"]]],
        "suggestedRefund": lambda arguments: _suggested(one, arguments),
        "returns": paged(one.returns, lambda each: returned(one, each)),
    }


def _line(order_: Order, line: Any) -> View:
    rate = line.tax_rate
    return {
        "id": line.id,
        "sku": line.sku,
        "title": line.title,
        "quantity": line.quantity,
        "currentQuantity": line.current,
        "refundableQuantity": line.current,
        "unfulfilledQuantity": order_.open_pieces(line),
        "originalTotalSet": money(line.total, order_.currency),
        "discountedTotalSet": lambda _arguments: money(line.total, order_.currency),
        "taxLines": [{"ratePercentage": float(rate), "priceSet": money(line.tax, order_.currency)}],
    }


def fulfilment_order(one: ToShip) -> View:
    actions = ["CREATE_FULFILLMENT", "HOLD"] if one.status == "OPEN" else ["RELEASE_HOLD"]
    return {
        "__typename": "FulfillmentOrder",
        "id": one.id,
        "status": one.status,
        "supportedActions": [{"action": action} for action in (actions if one.status != "CLOSED" else [])],
        "assignedLocation": {"location": {"id": one.location}},
        "lineItems": paged(
            one.pieces,
            lambda entry: {
                "id": f"gid://shopify/FulfillmentOrderLineItem/{entry[1]}",
                "remainingQuantity": entry[3],
                "lineItem": {"id": entry[0].id, "sku": entry[0].sku},
            },
        ),
    }


def parcel(one: Parcel) -> View:
    entries = paged(
        one.pieces,
        lambda entry: {
            "id": f"gid://shopify/FulfillmentLineItem/{entry[2]}",
            "quantity": entry[1],
            "lineItem": {"id": entry[0].id, "sku": entry[0].sku},
        },
    )
    return {
        "__typename": one.kind,
        "id": one.id,
        "status": "SUCCESS",
        "note": one.note,
        "trackingInfo": lambda _arguments: [{"number": one.tracking or None}],
        "fulfillmentLineItems": entries,
        "refundLineItems": entries,
    }


def returned(order_: Order, one: Return) -> View:
    shipped = f"gid://shopify/FulfillmentLineItem/{one.shipped_entry}"
    line = {
        "__typename": "ReturnLineItem",
        "id": f"gid://shopify/ReturnLineItem/{one.entry}",
        "quantity": one.quantity,
        "processedQuantity": one.quantity if one.arrived else 0,
        "refundedQuantity": one.refunded,
        "returnReasonNote": one.reason,
        "returnReasonDefinition": {"name": "Other"},
        "fulfillmentLineItem": {"id": shipped, "lineItem": {"id": one.line.id, "sku": one.line.sku}},
    }
    dispositions = [{"type": one.arrived, "quantity": one.quantity}] if one.arrived else []
    back = {"fulfillmentLineItem": {"id": shipped}, "dispositions": dispositions}
    return {
        "__typename": "Return",
        "id": one.id,
        "status": "CLOSED" if one.arrived else "OPEN",
        "order": lambda _arguments: order(order_),
        "returnLineItems": paged([line], lambda each: each),
        "reverseFulfillmentOrders": paged([back], lambda each: {"lineItems": paged([each], lambda entry: entry)}),
    }


def suggested_amount(one: Order, arguments: View) -> Decimal:
    """What the shop would give back for these pieces."""
    by_id = {line.id: line for line in one.lines}
    amount = sum(
        (by_id[entry["lineItemId"]].unit * entry["quantity"] for entry in arguments.get("refundLineItems") or ()),
        Decimal(0),
    )
    if arguments.get("refundShipping"):
        amount += one.shipping
    return min(amount, one.total - one.refunded)


def _suggested(one: Order, arguments: View) -> View:
    amount = suggested_amount(one, arguments)
    transaction = {
        "gateway": "shopify_payments",
        "amountSet": money(amount, one.currency),
        "maximumRefundableSet": money(one.total - one.refunded, one.currency),
        "parentTransaction": {"id": f"gid://shopify/OrderTransaction/{one.number}"},
    }
    return {
        "amountSet": money(amount, one.currency),
        "suggestedTransactions": [transaction] if one.paid else [],
    }
