"""The changes that the shop makes. Each answers its payload; what is wrong with an input stands in ``userErrors``."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from marketsync_adapters.shopify.sandbox.rules import LIST_MOST
from marketsync_adapters.shopify.sandbox.sales import Order
from marketsync_adapters.shopify.sandbox.setting import product_set
from marketsync_adapters.shopify.sandbox.shop import Product, Shop


def error(path: list[str], message: str, code: str | None = None, **more: Any) -> dict[str, Any]:
    return {"field": path, "message": message, "code": code, **more}


class TooMany(Exception):
    """An input list is longer than the API takes: the whole request is refused."""


def limited(entries: list[Any]) -> list[Any]:
    if len(entries) > LIST_MOST:
        raise TooMany(f"The input array size of {len(entries)} is greater than the maximum allowed of {LIST_MOST}.")
    return entries


def bulk_update(shop: Shop, arguments: Any, *, apply: bool) -> Any:
    """With partial updates: what is wrong with one variant leaves the others alone."""
    product = shop.products.get(arguments["productId"])
    if product is None:
        return {"userErrors": [error(["productId"], "Product does not exist", "PRODUCT_DOES_NOT_EXIST")]}
    errors = []
    for index, given in enumerate(limited(arguments["variants"])):
        variant = shop.variants.get(given["id"])
        path = ["variants", str(index)]
        if variant is None or variant.product is not product:
            message = "Product variant does not exist"
            errors.append(error([*path, "id"], message, "PRODUCT_VARIANT_DOES_NOT_EXIST"))
        elif Decimal(given["price"]) < 0:
            errors.append(error([*path, "price"], "Price must be greater than or equal to 0", "NEGATIVE_PRICE_VALUE"))
        elif apply:
            variant.price = f"{Decimal(given['price']):.2f}"
            struck = given.get("compareAtPrice")
            variant.compare_at = None if struck is None else f"{Decimal(struck):.2f}"
    return {"userErrors": errors}


def set_quantities(shop: Shop, arguments: Any, *, apply: bool) -> Any:
    """All or nothing: one wrong entry, and none is written."""
    entries = limited(arguments["input"]["quantities"])
    errors = []
    for index, entry in enumerate(entries):
        path = ["input", "quantities", str(index)]
        variant = shop.items.get(entry["inventoryItemId"])
        if variant is None:
            message = "The specified inventory item could not be found."
            errors.append(error([*path, "inventoryItemId"], message, "INVALID_INVENTORY_ITEM"))
            continue
        if entry["locationId"] not in shop.locations:
            message = "The specified location could not be found."
            errors.append(error([*path, "locationId"], message, "INVALID_LOCATION"))
            continue
        if entry["quantity"] > shop.rules.highest_quantity:
            message = "The total quantity can't be higher than 1,000,000,000."
            errors.append(error([*path, "quantity"], message, "INVALID_QUANTITY_TOO_HIGH"))
        if "changeFromQuantity" not in entry:
            raise TooMany("InventoryQuantityInput must include the following argument: changeFromQuantity.")
        expected = entry["changeFromQuantity"]
        if expected is not None and expected != variant.levels.get(entry["locationId"], 0):
            message = "The changeFromQuantity value does not match persisted value."
            errors.append(error([*path, "changeFromQuantity"], message, "CHANGE_FROM_QUANTITY_STALE"))
    if not errors and apply:
        for entry in entries:
            variant = shop.items[entry["inventoryItemId"]]
            shop.set_level(variant, entry["locationId"], entry["quantity"], "write")
    return {"userErrors": errors}


def set_metafields(shop: Shop, arguments: Any) -> Any:
    """Atomic; 25 at most."""
    given = arguments["metafields"]
    if len(given) > 25:
        raise TooMany("Exceeded the maximum metafields input limit of 25.")
    errors = []
    for index, one in enumerate(given):
        path = ["metafields", str(index)]
        if not 2 <= len(one["key"]) <= 64:
            message = "Key must be 2 to 64 characters"
            errors.append(error([*path, "key"], message, "TOO_SHORT", elementIndex=index))
        if not one["value"].strip():
            errors.append(error([*path, "value"], "Value can't be blank.", "BLANK", elementIndex=index))
        if one["type"] == "single_line_text_field" and "\n" in one["value"]:
            message = "Value must be a single line text string."
            errors.append(error([*path, "value"], message, "INVALID_VALUE", elementIndex=index))
    for one in given if not errors else ():
        owner = shop.products.get(one["ownerId"]) or shop.variants[one["ownerId"]].product
        owner.metafields[one["ownerId"], one["namespace"], one["key"]] = one["value"]
    return {"userErrors": errors}


def _product(shop: Shop, id_: str) -> tuple[Product | None, list[Any]]:
    product = shop.products.get(id_)
    return product, [] if product else [error(["id"], "Product does not exist", "PRODUCT_DOES_NOT_EXIST")]


def publish(shop: Shop, arguments: Any) -> Any:
    product, errors = _product(shop, arguments["id"])
    if product is not None:
        product.publications |= {one["publicationId"] for one in arguments["input"]}
    return {"userErrors": errors}


def unpublish(shop: Shop, arguments: Any) -> Any:
    product, errors = _product(shop, arguments["id"])
    if product is not None:
        product.publications -= {one["publicationId"] for one in arguments["input"]}
    return {"userErrors": errors}


def update_product(shop: Shop, arguments: Any) -> Any:
    product, errors = _product(shop, arguments["product"]["id"])
    if product is not None:
        product.status = arguments["product"]["status"]
    return {"userErrors": errors}


def delete_variants(shop: Shop, arguments: Any) -> Any:
    for id_ in limited(arguments["variantsIds"]):
        if id_ in shop.variants:
            shop.drop_variant(shop.variants[id_])
    return {"userErrors": []}


def ship(shop: Shop, arguments: Any) -> Any:
    given = arguments["fulfillment"]
    wanted, locations, order = [], set(), None
    for part in given["lineItemsByFulfillmentOrder"]:
        for candidate in shop.sales.orders.values():
            for place in candidate.to_ship:
                if place.id == part["fulfillmentOrderId"]:
                    order = candidate
                    locations.add(place.location)
                    for asked in part["fulfillmentOrderLineItems"]:
                        number = int(asked["id"].rsplit("/", 1)[-1])
                        entry = next(one for one in place.pieces if one[1] == number)
                        if place.status != "OPEN" or not 0 < asked["quantity"] <= entry[3]:
                            message = "Invalid fulfillment order line item quantity requested."
                            return {"fulfillment": None, "userErrors": [error(["fulfillment"], message)]}
                        wanted.append((place, entry, asked["quantity"]))
    if order is None or len(locations) != 1:
        message = "All fulfillment orders must belong to one order and one location."
        return {"fulfillment": None, "userErrors": [error(["fulfillment"], message)]}
    tracking = (given.get("trackingInfo") or {}).get("number") or ""
    return {"fulfillment": {"id": shop.sales.ship(order, wanted, tracking).id}, "userErrors": []}


def cancel(shop: Shop, arguments: Any) -> Any:
    order = shop.sales.orders.get(arguments["orderId"])
    wrong = None
    if order is None:
        wrong = error(["orderId"], "Order does not exist", "NOT_FOUND")
    elif order.cancelled is not None:
        wrong = error(["orderId"], "Order has already been cancelled", "INVALID")
    elif order.fulfillments:
        wrong = error(["orderId"], "Cannot cancel an order with outstanding fulfillments", "INVALID")
    if order is None or wrong is not None:
        return {"job": None, "orderCancelUserErrors": [wrong]}
    shop.sales.cancel_soon(order)
    return {"job": {"id": f"gid://shopify/Job/{next(shop.numbers)}", "done": False}, "orderCancelUserErrors": []}


def refund(shop: Shop, arguments: Any) -> Any:
    given = arguments["input"]
    order = shop.sales.orders.get(given["orderId"])
    if order is None:
        return {"refund": None, "userErrors": [error(["orderId"], "Order does not exist")]}
    by_id = {line.id: line for line in order.lines}
    lines = [(by_id[one["lineItemId"]], one["quantity"]) for one in given.get("refundLineItems") or ()]
    amount = sum((Decimal(one["amount"]) for one in given.get("transactions") or ()), Decimal(0))
    wrong = _cannot_refund(order, lines, amount)
    if wrong:
        return {"refund": None, "userErrors": [error(["input"], wrong)]}
    parcel = shop.sales.refund(order, lines, amount, given.get("note") or "")
    return {"refund": {"id": parcel.id}, "userErrors": []}


def _cannot_refund(order: Order, lines: list[Any], amount: Decimal) -> str:
    if any(not 0 < pieces <= line.current for line, pieces in lines):
        return "Quantity cannot refund more items than were purchased"
    if amount > (order.total - order.refunded if order.paid else 0):
        return "Refund amount is greater than net payment received"
    return ""


def subscribe(shop: Shop, arguments: Any) -> Any:
    entry = arguments["topic"], arguments["webhookSubscription"]["uri"]
    if entry in shop.webhooks.subscriptions:
        message = "Address for this topic has already been taken"
        return {"userErrors": [{"field": ["webhookSubscription", "uri"], "message": message}]}
    shop.webhooks.subscriptions.append(entry)
    return {"userErrors": []}


MUTATIONS: dict[str, Callable[[Shop, Any], Any]] = {
    "productSet": product_set,
    "metafieldsSet": set_metafields,
    "publishablePublish": publish,
    "publishableUnpublish": unpublish,
    "productUpdate": update_product,
    "productVariantsBulkDelete": delete_variants,
    "fulfillmentCreate": ship,
    "orderCancel": cancel,
    "refundCreate": refund,
    "webhookSubscriptionCreate": subscribe,
}
# Those that can be told to apply nothing.
SILENT: dict[str, Callable[..., Any]] = {
    "productVariantsBulkUpdate": bulk_update,
    "inventorySetQuantities": set_quantities,
}
IDEMPOTENT = frozenset({"inventorySetQuantities", "refundCreate"})  # need the directive
