"""Requests to the Inventory, Account and Analytics APIs, and their replies: one method per call."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from marketsync.adapter.api import ChannelHttp, Reply
from marketsync.adapter.errors import UnexpectedReply
from marketsync_adapters.ebay.errors import Refusal, refusal_of

INVENTORY = "/sell/inventory/v1"
ACCOUNT = "/sell/account/v1"
ANALYTICS = "/developer/analytics/v1_beta"

BULK = 25  # entries that any bulk call takes
ITEM_PAGE = 200

_REFUSALS = frozenset({400, 404, 409})
_NOT_THERE = frozenset({404})

Document = Mapping[str, Any]


class Client:
    def __init__(self, http: ChannelHttp, marketplace: str, language: str) -> None:
        self._http = http
        self._marketplace = marketplace
        self._language = {"Content-Language": language}

    # ---------------------------------------------------------------- inventory items

    async def items(self, skus: Sequence[str]) -> dict[str, Document]:
        """Up to 25 inventory items by SKU; those that eBay does not have are left out."""
        body = {"requests": [{"sku": sku} for sku in skus]}
        reply = await self._http.request("read_items", "POST", f"{INVENTORY}/bulk_get_inventory_item", json=body)
        found: dict[str, Document] = {}
        for entry in entries(reply, "responses"):
            item = entry.get("inventoryItem")
            if entry.get("statusCode") == 200 and isinstance(item, dict):
                found[str(entry["sku"])] = {**item, "sku": str(entry["sku"])}
        return found

    async def item_page(self, page: int) -> tuple[list[Document], bool]:
        """A page of all inventory items, counted from 0, and whether another follows."""
        params = {"limit": ITEM_PAGE, "offset": page}  # for items an offset is a page number
        reply = await self._http.request("read_items", "GET", f"{INVENTORY}/inventory_item", params=params)
        document = document_of(reply)
        items = document.get("inventoryItems") or []
        return list(items), bool(document.get("next")) and bool(items)

    async def replace_items(self, requests: Sequence[Document]) -> list[Document]:
        """Create or replace up to 25 items whole. Returns an entry per item."""
        path = f"{INVENTORY}/bulk_create_or_replace_inventory_item"
        reply = await self._write("POST", path, {"requests": requests})
        return entries(reply, "responses")

    async def update(self, requests: Sequence[Document]) -> list[Document] | Refusal:
        """Set prices and quantities: an entry per SKU and offer, or the refusal of the whole call."""
        path = f"{INVENTORY}/bulk_update_price_quantity"
        body = {"requests": requests}
        reply = await self._http.request("price_stock", "POST", path, json=body, accept=frozenset({400}))
        return refusal_in(reply) or entries(reply, "responses")

    # ---------------------------------------------------------------- offers

    async def offer(self, offer_id: str) -> Document | None:
        """The offer; None where eBay does not have it."""
        path = f"{INVENTORY}/offer/{quote(offer_id, safe='')}"
        reply = await self._http.request("read_offers", "GET", path, accept=_REFUSALS)
        refusal = refusal_in(reply)
        if refusal is None:
            return document_of(reply)
        if reply.status == 404 or refusal.code in {"25713", "25709"}:
            return None
        raise UnexpectedReply(f"eBay does not tell offer {offer_id}: {refusal.message}", code=refusal.code)

    async def offer_of(self, sku: str) -> Document | None:
        """The fixed-price offer of a SKU on this marketplace; None where there is none."""
        params = {"sku": sku, "marketplace_id": self._marketplace, "format": "FIXED_PRICE"}
        reply = await self._http.request("read_offers", "GET", f"{INVENTORY}/offer", params=params, accept=_NOT_THERE)
        if reply.status == 404:
            return None
        for offer in document_of(reply).get("offers") or ():
            # The marketplace of the query has no effect while a SKU can only be offered on one.
            if offer.get("marketplaceId") == self._marketplace and offer.get("format") == "FIXED_PRICE":
                return dict(offer)
        return None

    async def create_offers(self, requests: Sequence[Document]) -> list[Document]:
        reply = await self._write("POST", f"{INVENTORY}/bulk_create_offer", {"requests": requests})
        return entries(reply, "responses")

    async def replace_offer(self, offer_id: str, offer: Document) -> Refusal | None:
        path = f"{INVENTORY}/offer/{quote(offer_id, safe='')}"
        return refusal_in(await self._write("PUT", path, offer, accept=_REFUSALS))

    async def publish(self, offer_ids: Sequence[str]) -> list[Document]:
        """Make up to 25 offers live. Returns an entry per offer."""
        body = {"requests": [{"offerId": offer_id} for offer_id in offer_ids]}
        return entries(await self._write("POST", f"{INVENTORY}/bulk_publish_offer", body), "responses")

    async def end(self, operation: str, offer_id: str) -> Refusal | None:
        """End the listing of an offer; the offer stays."""
        path = f"{INVENTORY}/offer/{quote(offer_id, safe='')}/withdraw"
        return refusal_in(await self._http.request(operation, "POST", path, accept=_REFUSALS))

    async def delete_offer(self, offer_id: str) -> Refusal | None:
        path = f"{INVENTORY}/offer/{quote(offer_id, safe='')}"
        return refusal_in(await self._http.request("withdraw", "DELETE", path, accept=_REFUSALS))

    # ---------------------------------------------------------------- variation groups

    async def group(self, key: str) -> Document | None:
        path = f"{INVENTORY}/inventory_item_group/{quote(key, safe='')}"
        reply = await self._http.request("read_items", "GET", path, accept=_REFUSALS)
        refusal = refusal_in(reply)
        if refusal is None:
            return document_of(reply)
        if reply.status == 404 or refusal.code in {"25705", "25710"}:
            return None
        raise UnexpectedReply(f"eBay does not tell group {key}: {refusal.message}", code=refusal.code)

    async def replace_group(self, key: str, group: Document) -> Refusal | None:
        path = f"{INVENTORY}/inventory_item_group/{quote(key, safe='')}"
        return refusal_in(await self._write("PUT", path, group, accept=_REFUSALS))

    async def publish_group(self, key: str) -> Refusal | None:
        return await self._group_call("listing", "publish_by_inventory_item_group", key)

    async def end_group(self, key: str) -> Refusal | None:
        return await self._group_call("withdraw", "withdraw_by_inventory_item_group", key)

    async def _group_call(self, operation: str, call: str, key: str) -> Refusal | None:
        body = {"inventoryItemGroupKey": key, "marketplaceId": self._marketplace}
        path = f"{INVENTORY}/offer/{call}"
        return refusal_in(await self._http.request(operation, "POST", path, json=body, accept=_REFUSALS))

    # ---------------------------------------------------------------- the account

    async def programs(self) -> set[str]:
        """The seller programs that the account takes part in."""
        reply = await self._http.request("account", "GET", f"{ACCOUNT}/program/get_opted_in_programs")
        return {str(one.get("programType")) for one in document_of(reply).get("programs") or ()}

    async def policy(self, kind: str, policy_id: str) -> Document | None:
        """A business policy: ``kind`` is fulfillment, payment or return. None where the account has none such."""
        path = f"{ACCOUNT}/{kind}_policy/{quote(policy_id, safe='')}"
        reply = await self._http.request("account", "GET", path, accept=_REFUSALS)
        return None if reply.status in _REFUSALS else document_of(reply)

    async def location(self, key: str) -> Document | None:
        path = f"{INVENTORY}/location/{quote(key, safe='')}"
        reply = await self._http.request("read_items", "GET", path, accept=_REFUSALS)
        return None if reply.status in _REFUSALS else document_of(reply)

    async def rate_limits(self) -> list[Document]:
        """What eBay counts of our calls to the Sell APIs: per application and, where it limits them, per user."""
        found: list[Document] = []
        for call in ("rate_limit", "user_rate_limit"):
            params = {"api_context": "sell"}
            # It only informs: an application that may not ask is no reason to stop.
            path, refused = f"{ANALYTICS}/{call}/", _REFUSALS | {403}
            reply = await self._http.request("limits", "GET", path, params=params, accept=refused)
            if reply.status == 200:
                found += document_of(reply).get("rateLimits") or []
        return found

    async def _write(self, method: str, path: str, body: Any, *, accept: frozenset[int] = frozenset()) -> Reply:
        return await self._http.request("listing", method, path, json=body, headers=self._language, accept=accept)


def document_of(reply: Reply) -> Document:
    document = reply.json()
    if not isinstance(document, dict):
        raise UnexpectedReply("eBay answered something that is no object.")
    return document


def entries(reply: Reply, key: str) -> list[Document]:
    """The entries of a bulk reply. Raises ``UnexpectedReply`` where they are none."""
    found = document_of(reply).get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UnexpectedReply(f"eBay answered without a list of {key}.")
    return found


def refusal_in(reply: Reply) -> Refusal | None:
    """The refusal of a call as a whole; None where eBay did what was asked."""
    if reply.status < 400:
        return None
    return (refusal_of(reply.json()) if reply.content else None) or Refusal(str(reply.status), "No reason given.", {})
