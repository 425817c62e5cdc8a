"""The questions that the shop answers."""

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from marketsync_adapters.shopify.sandbox import views
from marketsync_adapters.shopify.sandbox.graphql import connection
from marketsync_adapters.shopify.sandbox.sales import Order
from marketsync_adapters.shopify.sandbox.shop import Shop, Variant

_SKU = re.compile(r'sku:"((?:\\.|[^"\\])*)"')
_TIME = re.compile(r"(created_at|updated_at):(>=|<=|>|<)'([^']*)'")


def app_installation(shop: Shop, _arguments: Any) -> Any:
    return {"accessScopes": [{"handle": scope} for scope in shop.rules.scopes]}


def versions(shop: Shop, _arguments: Any) -> Any:
    return [{"handle": version, "supported": True} for version in shop.rules.versions]


def shop_itself(shop: Shop, _arguments: Any) -> Any:
    rules = shop.rules
    return {
        "name": rules.name,
        "myshopifyDomain": rules.domain,
        "currencyCode": rules.currency,
        "taxesIncluded": rules.taxes_included,
    }


def nodes(shop: Shop, arguments: Any) -> Any:
    return [node(shop, {"id": id_}) for id_ in arguments["ids"]]


def node(shop: Shop, arguments: Any) -> Any:
    id_ = arguments["id"]
    kind, _, number = id_.removeprefix("gid://shopify/").partition("/")
    match kind:
        case "Location":
            name = shop.rules.locations.get(number)
            return None if name is None else {"__typename": kind, "id": id_, "name": name, "isActive": True}
        case "Product":
            return product(shop, arguments)
        case "ProductVariant":
            found = shop.variants.get(id_)
            return None if found is None else views.variant(shop, found)
    return _of_an_order(shop, id_)


def _of_an_order(shop: Shop, id_: str) -> Any:
    for order_ in shop.sales.orders.values():
        for one in (*order_.refunds, *order_.fulfillments):
            if one.id == id_:
                return views.parcel(one)
        for place in order_.to_ship:
            if place.id == id_:
                return views.fulfilment_order(place)
        for returned in order_.returns:
            if returned.id == id_:
                return views.returned(order_, returned)
    return None


def product(shop: Shop, arguments: Any) -> Any:
    found = shop.products.get(arguments["id"])
    return None if found is None else views.product(shop, found)


def product_variants(shop: Shop, arguments: Any) -> Any:
    """All, or those that a search finds. As in the real shop, a search ignores case."""
    query = arguments.get("query") or ""
    found: Iterable[Variant] = shop.variants.values()
    if skus := {re.sub(r"\\(.)", r"\1", sku).casefold() for sku in _SKU.findall(query)}:
        found = (one for one in found if one.sku.casefold() in skus)
    elif beyond := re.fullmatch(r"id:>(\d+)", query):
        found = (one for one in found if one.number > int(beyond[1]))
    return connection(
        sorted(found, key=lambda one: one.number),
        arguments,
        lambda one: f"{one.number:012d}",
        lambda one: views.variant(shop, one),
    )


def product_operation(shop: Shop, arguments: Any) -> Any:
    later = shop.operations.get(arguments["id"])
    if later is None:
        return None
    done = later.payload is not None
    payload = later.payload or {"product": None, "userErrors": []}
    return {
        "__typename": "ProductSetOperation",
        "id": later.id,
        "status": "COMPLETE" if done else "ACTIVE",
        "product": payload["product"],
        "userErrors": payload["userErrors"],
    }


def order(shop: Shop, arguments: Any) -> Any:
    found = shop.sales.orders.get(arguments["id"])
    if found is None:
        return None
    shop.sales.settle(found)
    return views.order(found)


def orders(shop: Shop, arguments: Any) -> Any:
    query, by_update = arguments.get("query") or "", arguments.get("sortKey") == "UPDATED_AT"
    for one in shop.sales.orders.values():
        shop.sales.settle(one)
    found = [one for one in shop.sales.orders.values() if _fits(one, query)]

    def key(one: Order) -> str:
        return f"{views.time(one.updated if by_update else one.placed)} {one.number:012d}"

    return connection(sorted(found, key=key), arguments, key, views.order)


def _fits(one: Order, query: str) -> bool:
    for name, relation, text in _TIME.findall(query):
        at, limit = (one.placed if name == "created_at" else one.updated), datetime.fromisoformat(text)
        fits = {">=": at >= limit, "<=": at <= limit, ">": at > limit, "<": at < limit}
        if not fits[relation]:
            return False
    if "test:false" in query and one.test:
        return False
    return not ("-return_status:no_return" in query and not one.returns)


def webhook_subscriptions(shop: Shop, arguments: Any) -> Any:
    entries = [{"topic": topic, "uri": uri} for topic, uri in shop.webhooks.subscriptions if uri == arguments["uri"]]
    return connection(entries, arguments, lambda entry: entry["topic"], lambda entry: entry)


QUERIES: dict[str, Callable[[Shop, Any], Any]] = {
    "shop": shop_itself,
    "currentAppInstallation": app_installation,
    "publicApiVersions": versions,
    "node": node,
    "nodes": nodes,
    "product": product,
    "productVariants": product_variants,
    "productOperation": product_operation,
    "order": order,
    "orders": orders,
    "webhookSubscriptions": webhook_subscriptions,
}
