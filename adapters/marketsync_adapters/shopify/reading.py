"""What the shop shows: all variants page by page, or some SKUs."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from marketsync.adapter.api import AdapterContext, Seen
from marketsync_adapters.shopify import documents, mapping
from marketsync_adapters.shopify.client import DEEPEST, Client, Data, chunks
from marketsync_adapters.shopify.ids import OfferId, number
from marketsync_adapters.shopify.lookup import find_skus
from marketsync_adapters.shopify.settings import PLANS, Settings

LARGEST_PAGE: Final = 250


class Reading:
    def __init__(self, client: Client, settings: Settings, context: AdapterContext) -> None:
        self._client = client
        self._settings = settings
        self._context = context
        self._locations = {f"l{n}": location for n, location in enumerate(settings.location_ids)}
        self._each = documents.variant_cost(len(self._locations))
        # A request waits a second for its points, no longer: a page must not cost more than a second brings.
        affordable = min(documents.DEAREST, int(0.9 * PLANS[settings.plan])) - 3
        self._page = max(1, min(LARGEST_PAGE, affordable // self._each))

    async def everything(self) -> AsyncIterator[Seen]:
        """Every variant with a SKU that buyers can see. A SKU that several have is left out: nobody knows whose it is."""
        document = documents.variants_page(len(self._locations))
        after: str | None = None
        beyond, walked = "", 0
        while True:
            variables = {"first": self._page, "after": after, "query": beyond or None, **self._locations}
            cost = document.cost + self._each * self._page
            data = await self._client.ask("read_offers", document, variables, cost=cost)
            page = data["productVariants"]
            nodes: Sequence[Data] = page["nodes"]
            twice = await self._twice(nodes)
            for node in nodes:
                if self._shown(node) and node["sku"] not in twice:
                    yield mapping.seen(node, self._settings.currency)
            if not page["pageInfo"]["hasNextPage"]:
                return
            after, walked = page["pageInfo"]["endCursor"], walked + len(nodes)
            if walked >= DEEPEST:  # Shopify goes no deeper: a new walk begins behind the last id
                after, beyond, walked = None, f"id:>{number(nodes[-1]['id'])}", 0

    async def some(self, skus: Sequence[str]) -> AsyncIterator[Seen]:
        """These SKUs: by their known ids, which search cannot lag behind, else by search."""
        wanted = list(dict.fromkeys(skus))
        known: dict[str, OfferId] = {}
        for sku, text in (await self._context.offers.ids(wanted)).items():
            id_ = OfferId.parse(text)
            if id_ is not None:
                known[sku] = id_
        by_search = await find_skus(self._client, "read_offers", [sku for sku in wanted if sku not in known])
        for sku, found in by_search.items():
            if len(found) == 1:
                known[sku] = found[0]
            else:
                self._warn(sku, len(found))
        document = documents.variants_by_id(len(self._locations))
        for chunk in chunks(list(known.items()), self._page):
            ids = [id_.variant for _, id_ in chunk]
            variables = {"ids": ids, **self._locations}
            data = await self._client.ask("read_offers", document, variables, cost=self._each * len(ids))
            nodes = [node for node in data["nodes"] if node]
            twice = await self._twice(nodes)
            asked = {id_.variant: sku for sku, id_ in chunk}
            for node in nodes:
                if self._shown(node) and node["sku"] == asked[node["id"]] and node["sku"] not in twice:
                    yield mapping.seen(node, self._settings.currency)

    async def _twice(self, nodes: Sequence[Data]) -> frozenset[str]:
        """Which of these SKUs several visible variants have. Shopify's own count only says where to look."""
        doubtful = [node["sku"] for node in nodes if node["sku"] and node["inventoryItem"]["duplicateSkuCount"] > 0]
        if not doubtful:
            return frozenset()
        on_page = Counter(node["sku"] for node in nodes)
        found = await find_skus(self._client, "read_offers", doubtful)
        counts = {sku: max(len(found.get(sku, ())), on_page[sku]) for sku in doubtful}
        twice = frozenset(sku for sku, count in counts.items() if count > 1)
        for sku in twice:
            self._warn(sku, counts[sku])
        return twice

    def _shown(self, node: Any) -> bool:
        """Whether buyers can see it: what was withdrawn, each in its way, is not on the channel."""
        product = node["product"]
        if not node["sku"] or product["status"] not in mapping.LISTED:
            return False
        if self._settings.withdraw != "unpublish":
            return True
        count = product["resourcePublicationsCount"]
        return count is None or count["count"] > 0

    def _warn(self, sku: str, variants: int) -> None:
        self._context.log.warning(
            "a SKU of several variants in Shopify is left alone: give each variant its own", sku=sku, variants=variants
        )
