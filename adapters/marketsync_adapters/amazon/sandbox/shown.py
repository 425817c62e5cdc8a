"""Items as getListingsItem and searchListingsItems show them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from marketsync_adapters.amazon.sandbox.items import Item


def item_out(item: Item, marketplace: str, included: Iterable[str], now: datetime) -> dict[str, Any]:
    parts: dict[str, Any] = {"sku": item.sku}
    price = item.price(marketplace, now)
    for name in included:
        match name:
            case "summaries":
                parts[name] = [_summary(item, marketplace, on_sale=price is not None and bool(item.quantity))]
            case "attributes":
                parts[name] = item.attributes
            case "issues":
                parts[name] = item.issues
            case "offers":
                parts[name] = [] if price is None else [_offer(marketplace, price)]
            case "fulfillmentAvailability":
                own = item.channel == "DEFAULT" and item.quantity is not None
                quantity = {"quantity": item.quantity} if own else {}
                parts[name] = [{"fulfillmentChannelCode": item.channel, **quantity}]
    return parts


def _summary(item: Item, marketplace: str, *, on_sale: bool) -> Mapping[str, Any]:
    hidden = any(issue["severity"] == "ERROR" for issue in item.issues)
    return {
        "marketplaceId": marketplace,
        "asin": item.asin,
        "productType": item.product_type,
        "conditionType": "new_new",
        "status": [] if hidden else ["BUYABLE", "DISCOVERABLE"] if on_sale else ["DISCOVERABLE"],
        "createdDate": stamp(item.created),
        "lastUpdatedDate": stamp(item.updated),
    }


def _offer(marketplace: str, price: Any) -> Mapping[str, Any]:
    return {
        "marketplaceId": marketplace,
        "offerType": "B2C",
        "price": {"currencyCode": price.currency, "amount": str(price.decimal)},
        "audience": {"value": "ALL", "displayName": "Sell on Amazon"},
    }


def stamp(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
