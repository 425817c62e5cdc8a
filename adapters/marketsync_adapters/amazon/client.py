"""Requests to the Selling Partner API and its replies: one method per operation, named after what it is used for."""

import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from marketsync.adapter.api import ChannelHttp, Reply
from marketsync.adapter.errors import UnexpectedReply

ITEM_DATA = ("summaries", "attributes", "issues", "offers", "fulfillmentAvailability")
ORDER_DATA = ("BUYER", "RECIPIENT", "PROCEEDS", "CANCELLATION", "FULFILLMENT", "PACKAGES")
LISTINGS_FEED = "JSON_LISTINGS_FEED"
FEED_TYPE = "application/json; charset=UTF-8"
MOST_OF_A_DOCUMENT = 512 * 2**20  # unpacked

Document = Mapping[str, Any]


class Client:
    def __init__(self, http: ChannelHttp, seller_id: str, marketplace_ids: Sequence[str], issue_locale: str) -> None:
        self._http = http
        self._items = f"/listings/2021-08-01/items/{quote(seller_id, safe='')}"
        self._marketplaces = ",".join(marketplace_ids)
        self._params = {"marketplaceIds": self._marketplaces} | ({"issueLocale": issue_locale} if issue_locale else {})

    async def participations(self) -> list[Any]:
        reply = await self._http.request("participations", "GET", "/sellers/v1/marketplaceParticipations")
        return _list(_document(reply), "payload")

    # ---------------------------------------------------------------- listings

    async def put(self, sku: str, body: Document) -> Document:
        return await self._submit("put", "PUT", sku, body)

    async def patch(self, sku: str, body: Document) -> Document:
        return await self._submit("patch", "PATCH", sku, body)

    async def delete(self, sku: str) -> Document | None:
        """The submission; None where Amazon has no such item."""
        reply = await self._http.request(
            "withdraw", "DELETE", self._path(sku), params=self._params, accept=frozenset({404})
        )
        return None if reply.status == 404 else _document(reply, "status")

    async def item(self, sku: str) -> Document | None:
        """One item with everything that reading back needs; None where there is none in this storefront."""
        reply = await self._http.request(
            "item", "GET", self._path(sku), params=self._included(ITEM_DATA), accept=frozenset({404})
        )
        return None if reply.status == 404 else _document(reply, "sku")

    async def items(self, query: Mapping[str, str | int], included: Sequence[str] = ITEM_DATA) -> Document:
        """One page of a search."""
        params = {**self._included(included), **query}
        return _document(await self._http.request("items", "GET", self._items, params=params), "items")

    async def fba_stock(self, skus: Sequence[str]) -> list[Any]:
        """Amazon's own stock of up to 50 SKUs, none of them with a comma."""
        params = {
            "details": "true",
            "granularityType": "Marketplace",
            "granularityId": self._marketplaces,
            "sellerSkus": ",".join(skus),
            "marketplaceIds": self._marketplaces,
        }
        reply = await self._http.request("fba_stock", "GET", "/fba/inventory/v1/summaries", params=params)
        return _list(_document(reply, "payload")["payload"], "inventorySummaries")

    # ---------------------------------------------------------------- feeds

    async def create_feed_document(self, content_type: str = FEED_TYPE) -> Document:
        reply = await self._http.request(
            "feed_document", "POST", "/feeds/2021-06-30/documents", json={"contentType": content_type}
        )
        return _document(reply, "url")

    async def upload(self, url: str, content: bytes) -> None:
        """Put a feed's content behind the link that Amazon handed out: it is signed for exactly this content type."""
        await self._http.request("feed_upload", "PUT", url, content=content, headers={"content-type": FEED_TYPE})

    async def create_feed(self, operation: str, document_id: str, feed_type: str = LISTINGS_FEED) -> tuple[str, str]:
        """(feed id, request id)."""
        body = {
            "feedType": feed_type,
            "marketplaceIds": self._marketplaces.split(","),
            "inputFeedDocumentId": document_id,
        }
        reply = await self._http.request(operation, "POST", "/feeds/2021-06-30/feeds", json=body)
        return str(_document(reply, "feedId")["feedId"]), request_id(reply)

    async def feed(self, feed_id: str) -> Document | None:
        """The feed; None where Amazon does not know it."""
        path = f"/feeds/2021-06-30/feeds/{quote(feed_id, safe='')}"
        reply = await self._http.request("feed_state", "GET", path, accept=frozenset({400, 404}))
        return None if reply.status >= 400 else _document(reply, "processingStatus")

    async def feed_document(self, document_id: str) -> Document:
        path = f"/feeds/2021-06-30/documents/{quote(document_id, safe='')}"
        return _document(await self._http.request("feed_report", "GET", path), "url")

    # ---------------------------------------------------------------- orders

    async def orders(
        self,
        window: Mapping[str, str],
        marketplace_ids: Sequence[str],
        *,
        page: str | None = None,
        included: Sequence[str] = ORDER_DATA,
    ) -> tuple[list[Any], str | None]:
        """One page of orders, and the token of the next."""
        params: dict[str, str | int] = {
            **window,
            "marketplaceIds": ",".join(marketplace_ids),
            "maxResultsPerPage": 100,
            "includedData": ",".join(included),
        }
        if page is not None:
            params["paginationToken"] = page
        document = _document(await self._http.request("orders", "GET", "/orders/2026-01-01/orders", params=params))
        following = (document.get("pagination") or {}).get("nextToken")
        return _list(document, "orders"), following

    async def order(self, order_id: str, included: Sequence[str] = ORDER_DATA) -> Document | None:
        """One order; None where Amazon does not know it."""
        path = f"/orders/2026-01-01/orders/{quote(order_id, safe='')}"
        params = {"includedData": ",".join(included)}
        reply = await self._http.request("order", "GET", path, params=params, accept=frozenset({400, 404}))
        if reply.status >= 400:
            return None
        order: Document = _document(reply, "order")["order"]
        return order

    async def confirm_shipment(self, order_id: str, body: Document) -> Reply:
        """The reply, a refusal (400, 404) too."""
        path = f"/orders/v0/orders/{quote(order_id, safe='')}/shipmentConfirmation"
        return await self._http.request("ship", "POST", path, json=body, accept=frozenset({400, 404}))

    # ---------------------------------------------------------------- reports

    async def reports(self, types: Sequence[str], statuses: Sequence[str]) -> list[Any]:
        """The newest hundred reports of these types."""
        params: dict[str, str | int] = {
            "reportTypes": ",".join(types),
            "processingStatuses": ",".join(statuses),
            "pageSize": 100,
        }
        reply = await self._http.request("report_list", "GET", "/reports/2021-06-30/reports", params=params)
        return _list(_document(reply), "reports")

    async def create_report(self, report_type: str, marketplace_ids: Sequence[str], **window: str) -> str:
        body = {"reportType": report_type, "marketplaceIds": list(marketplace_ids), **window}
        reply = await self._http.request("report_request", "POST", "/reports/2021-06-30/reports", json=body)
        return str(_document(reply, "reportId")["reportId"])

    async def report(self, report_id: str) -> Document:
        path = f"/reports/2021-06-30/reports/{quote(report_id, safe='')}"
        return _document(await self._http.request("report_state", "GET", path), "processingStatus")

    async def report_document(self, document_id: str) -> Document:
        path = f"/reports/2021-06-30/documents/{quote(document_id, safe='')}"
        return _document(await self._http.request("report_document", "GET", path), "url")

    async def download(self, operation: str, document: Document) -> bytes:
        """What lies behind a document's link, unpacked. The link lives five minutes: fetch it at once."""
        reply = await self._http.request(operation, "GET", document["url"])
        packed = document.get("compressionAlgorithm") == "GZIP"
        # A client that unpacks by Content-Encoding has done it already.
        return _unpacked(reply.content) if packed and reply.content[:2] == b"\x1f\x8b" else reply.content

    async def _submit(self, operation: str, method: str, sku: str, body: Document) -> Document:
        reply = await self._http.request(operation, method, self._path(sku), params=self._params, json=body)
        return _document(reply, "status")

    def _path(self, sku: str) -> str:
        return f"{self._items}/{quote(sku, safe='')}"

    def _included(self, data: Sequence[str]) -> dict[str, str | int]:
        return {**self._params, "includedData": ",".join(data)}


def stamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """A time of Amazon's, in UTC. Raises ``UnexpectedReply`` where it is none."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as error:
        raise UnexpectedReply(f"Amazon answered {text[:40]!r} in the place of a time") from error


def request_id(reply: Reply) -> str:
    return reply.headers.get("x-amzn-requestid", "")


def _document(reply: Reply, key: str = "") -> dict[str, Any]:
    document = reply.json()
    if not isinstance(document, dict) or (key and key not in document):
        raise UnexpectedReply(f"Amazon answered without {key or 'an object'}")
    return document


def _list(document: Document, key: str) -> list[Any]:
    items = document.get(key)
    if not isinstance(items, list):
        raise UnexpectedReply(f"Amazon answered {key} that is no list")
    return items


def _unpacked(content: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        unpacked = unpacker.decompress(content, MOST_OF_A_DOCUMENT)
    except zlib.error as error:
        raise UnexpectedReply("Amazon's document is no gzip file, though it says so") from error
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise UnexpectedReply("Amazon's document is cut off or larger than fits into memory")
    return unpacked
