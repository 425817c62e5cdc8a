"""Reading offers back: by SKU, twenty at a time, or all of them through windows of a search that shows a thousand."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from marketsync.adapter.api import Seen, Stock
from marketsync.adapter.errors import UnexpectedReply
from marketsync_adapters.amazon.client import Client, moment, stamp
from marketsync_adapters.amazon.mapping import seen
from marketsync_adapters.amazon.marketplaces import Marketplace

PAGE = 20
FBA_PAGE = 50
SEARCH_SHOWS = 1_000
OVERLAP = timedelta(seconds=1)

Item = Mapping[str, Any]


class Reader:
    def __init__(self, client: Client, market: Marketplace, *, fba_stock: bool) -> None:
        self._client = client
        self._market = market
        self._fba_stock = fba_stock

    async def some(self, skus: Sequence[str]) -> AsyncIterator[Seen]:
        """These SKUs; those that are not there are left out."""
        wanted = list(dict.fromkeys(skus))
        # Amazon cannot tell a comma in a SKU from one between SKUs: those are read one by one.
        plain = [sku for sku in wanted if "," not in sku]
        for start in range(0, len(plain), PAGE):
            asked = plain[start : start + PAGE]
            query: dict[str, str | int] = {"identifiersType": "SKU", "identifiers": ",".join(asked), "pageSize": PAGE}
            page = await self._client.items(query)
            for one in await self._read([item for item in page["items"] if item["sku"] in asked]):
                yield one
        for sku in wanted:
            if "," in sku and (item := await self._client.item(sku)) is not None:
                for one in await self._read([item]):
                    yield one

    async def all(self) -> AsyncIterator[Seen]:
        """Everything that the account has in this storefront, the oldest first, each once.

        Raises ``UnexpectedReply`` where more items were created in one second than the search shows: a reading that
        silently lacks offers would have them created again.
        """
        known: set[str] = set()
        since: datetime | None = None
        while True:
            window: dict[str, str | int] = {"sortBy": "createdDate", "sortOrder": "ASC", "pageSize": PAGE}
            if since is not None:
                window["createdAfter"] = stamp(since - OVERLAP)
            shown, total, newest = 0, 0, since
            async for page in self._pages(window):
                items = page["items"]
                shown += len(items)
                total = max(total, int(page["numberOfResults"]))
                newest = max(
                    [*(at for at in map(self._created, items) if at), *([newest] if newest else [])], default=None
                )
                fresh = [item for item in items if item["sku"] not in known]
                known.update(item["sku"] for item in fresh)
                for one in await self._read(fresh):
                    yield one
            if shown >= total and shown < SEARCH_SHOWS:
                return
            if newest is None or newest == since:
                raise UnexpectedReply(
                    f"Amazon shows {shown} of {total} offers created at the same moment: they cannot all be read"
                )
            since = newest

    async def _pages(self, query: Mapping[str, str | int]) -> AsyncIterator[Item]:
        token = ""
        while True:
            page = await self._client.items({**query, "pageToken": token} if token else query)
            yield page
            following = (page.get("pagination") or {}).get("nextToken", "")
            if following in ("", token):
                return
            token = following

    def _created(self, item: Item) -> datetime | None:
        for summary in item.get("summaries") or ():
            if summary["marketplaceId"] == self._market.id:
                return moment(summary["createdDate"])
        return None

    async def _read(self, items: Sequence[Item]) -> list[Seen]:
        read = [seen(item, self._market) for item in items]
        amazons = [one.sku for one in read if one.fulfilled_by == "channel" and "," not in one.sku]
        if not amazons or not self._fba_stock:
            return read
        stock: dict[str, int] = {}
        for start in range(0, len(amazons), FBA_PAGE):
            for summary in await self._client.fba_stock(amazons[start : start + FBA_PAGE]):
                pieces = (summary.get("inventoryDetails") or {}).get("fulfillableQuantity")
                if pieces is not None:
                    stock[summary["sellerSku"]] = int(pieces)
        return [replace(one, stock=Stock(quantity=stock[one.sku])) if one.sku in stock else one for one in read]
