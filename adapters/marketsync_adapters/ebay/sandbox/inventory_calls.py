"""Calls of the Inventory, Account, Analytics and Notification APIs."""

from collections.abc import Callable
from typing import Any

from marketsync_adapters.ebay.sandbox.call import Answer, Call, each, status_of
from marketsync_adapters.ebay.sandbox.market import KEY_ID
from marketsync_adapters.ebay.sandbox.rules import Refused


def replace_items(call: Call) -> Answer:
    call.language()
    entries = call.entries(25727)
    if len({entry.get("sku") for entry in entries}) < len(entries):
        raise Refused(400, 25728, "InventoryItems should be unique in the request.")
    return each(entries, lambda entry: call.market.shelf.put_item(entry, apply=call.apply), "sku", "locale")


def get_items(call: Call) -> Answer:
    entries = call.entries(25727)
    if len({entry.get("sku") for entry in entries}) < len(entries):
        raise Refused(400, 25734, "SKU should be unique in the request.")

    def read(entry: dict[str, Any]) -> dict[str, Any]:
        item = call.market.shelf.item(str(entry.get("sku")))
        return {"sku": entry["sku"], "statusCode": 200, "inventoryItem": item}

    return each(entries, read, "sku")


def browse_items(call: Call) -> Answer:
    limit, page = call.number("limit", 25, 200, 25706), call.number("offset", 0, 10**9, 25706)
    items, total = call.market.shelf.item_page(page, limit)
    document = {"inventoryItems": items, "limit": limit, "size": -(-total // limit), "total": total}
    if (page + 1) * limit < total:
        document["next"] = f"/sell/inventory/v1/inventory_item?limit={limit}&offset={page + 1}"
    return 200, document


def update(call: Call) -> Answer:
    replies = call.market.shelf.update(call.entries(25709), apply=call.apply)
    return status_of(replies), {"responses": replies}


def create_offers(call: Call) -> Answer:
    call.language()
    entries = call.entries(25730)
    names = ("sku", "marketplaceId", "format")
    return each(entries, lambda entry: call.market.shelf.create_offer(entry, apply=call.apply), *names)


def find_offers(call: Call) -> Answer:
    offer = call.market.shelf.offer_of(call.request.query_params.get("sku", ""))
    if offer is None:
        raise Refused(404, 25713, "This Offer is not available.")
    told = [call.market.shelf.told(offer)]
    return 200, {"href": "/", "limit": 100, "size": 1, "total": 1, "offers": told}


def get_offer(call: Call) -> Answer:
    return 200, call.market.shelf.told(call.market.shelf.get(call.part("offer")))


def put_offer(call: Call) -> Answer:
    call.language()
    call.market.shelf.put_offer(call.part("offer"), call.document(), apply=call.apply)
    return 204, None


def delete_offer(call: Call) -> Answer:
    call.market.shelf.delete_offer(call.part("offer"), apply=call.apply)
    return 204, None


def publish(call: Call) -> Answer:
    entries = call.entries(25730)

    def write(entry: dict[str, Any]) -> dict[str, Any]:
        return call.market.shelf.publish(str(entry.get("offerId")), apply=call.apply)

    return each(entries, write, "offerId")


def withdraw(call: Call) -> Answer:
    return 200, {"listingId": call.market.shelf.withdraw(call.part("offer"), apply=call.apply)}


def put_group(call: Call) -> Answer:
    call.language()
    new = call.market.shelf.put_group(call.part("group"), call.document(), apply=call.apply)
    return (201, {"warnings": []}) if new else (204, None)


def get_group(call: Call) -> Answer:
    return 200, {"inventoryItemGroupKey": call.part("group"), **call.market.shelf.group(call.part("group")).document}


def publish_group(call: Call) -> Answer:
    key = str(call.document().get("inventoryItemGroupKey"))
    return 200, {"listingId": call.market.shelf.publish_group(key, apply=call.apply)}


def withdraw_group(call: Call) -> Answer:
    call.market.shelf.withdraw_group(str(call.document().get("inventoryItemGroupKey")), apply=call.apply)
    return 204, None


def location(call: Call) -> Answer:
    if call.part("key") != call.market.rules.location:
        raise Refused(404, 25805, "merchantLocationKey Not Found.")
    return 200, {"merchantLocationKey": call.part("key"), "merchantLocationStatus": "ENABLED"}


def policy(kind: str) -> Callable[[Call], Answer]:
    def handle(call: Call) -> Answer:
        if call.part("policy") != call.market.rules.policies[kind]:
            raise Refused(404, 20404, f"{kind} policy not found")
        return 200, {f"{kind}PolicyId": call.part("policy"), "marketplaceId": call.market.rules.marketplace}

    return handle


def programs(call: Call) -> Answer:
    return 200, {"programs": [{"programType": name} for name in sorted(call.market.rules.programs)]}


def rate_limits(call: Call) -> Answer:
    return 200, {"rateLimits": call.market.gate.rates()}


def user_rate_limits(_call: Call) -> Answer:
    return 204, None


def public_key(call: Call) -> Answer:
    if call.part("key") != KEY_ID:
        raise Refused(404, 195_021, "The public key ID is not known.")
    return 200, {"algorithm": "ECDSA", "digest": "SHA1", "key": call.market.public_key}
