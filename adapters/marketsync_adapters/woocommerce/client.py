"""Requests to the shop's REST API and its replies: one method per call."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from marketsync.adapter.api import ChannelHttp, Reply, Result
from marketsync.adapter.errors import ItemRefused, OutcomeUnknown, RateLimited, Retryable, Unavailable, UnexpectedReply
from marketsync_adapters.woocommerce.errors import Refusal, refusal
from marketsync_adapters.woocommerce.mapping import Document, new_images, storable
from marketsync_adapters.woocommerce.settings import Settings

PAGE = 100
SEARCH_LENGTH = 1_500  # of the SKUs in an address; servers refuse addresses beyond 8,000

_VARIATION = (
    "id,status,sku,description,global_unique_id,attributes,weight,regular_price,sale_price,"
    "date_on_sale_from_gmt,date_on_sale_to_gmt,manage_stock,stock_quantity,meta_data"
)
_FIELDS = {"context": "edit", "_fields": f"{_VARIATION},parent_id,type,name,categories,images,variations"}
_VARIATION_FIELDS = {"context": "edit", "_fields": f"{_VARIATION},image"}

Outcome = Mapping[str, Any] | Refusal


@dataclass(frozen=True, slots=True)
class Write:
    """One object of a batch. ``verb``: create or update with a document, delete with ``{"id": ...}``."""

    verb: str
    document: Document


class Client:
    def __init__(self, http: ChannelHttp, settings: Settings) -> None:
        self._http = http
        self._settings = settings

    # What is there.

    async def get(self, operation: str, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        return document(await self.reply(operation, path, params or {}))

    async def send(
        self, operation: str, method: str, path: str, body: Mapping[str, Any], accept: frozenset[int] = frozenset()
    ) -> Reply:
        return await self._http.request(operation, method, path, json=body, accept=accept)

    async def reply(
        self, operation: str, path: str, params: Mapping[str, str | int], accept: frozenset[int] = frozenset()
    ) -> Reply:
        """A GET. It changes nothing, whatever operation it belongs to: without an answer nothing is unknown."""
        try:
            return await self._http.request(operation, "GET", path, params=params, accept=accept)
        except OutcomeUnknown as error:
            raise Unavailable(error.message, retry_after=error.retry_after, code=error.code) from error

    async def page(self, operation: str, path: str, params: Mapping[str, str | int]) -> tuple[list[Any], int]:
        """One page of a list, and how many pages there are."""
        reply = await self.reply(operation, path, params)
        items = document(reply)
        if not isinstance(items, list):
            raise UnexpectedReply(f"The shop answered {path} with something that is no list.")
        pages = reply.headers.get("x-wp-totalpages", "")
        size = int(params.get("per_page", PAGE))
        return items, int(pages) if pages.isdecimal() else int(params.get("page", 1)) + (len(items) >= size)

    async def all(self, operation: str, path: str, params: Mapping[str, str | int]) -> AsyncIterator[Any]:
        """Every item of a list, page by page."""
        number, pages = 1, 1
        while number <= pages:
            items, pages = await self.page(operation, path, {**params, "per_page": self._page_size, "page": number})
            for item in items:
                yield item
            number += 1

    def products(self) -> AsyncIterator[Any]:
        return self.all("read_products", "/products", {**_FIELDS, "orderby": "id", "order": "asc"})

    def variations(self, product_id: int, ids: Iterable[int] = ()) -> AsyncIterator[Any]:
        params = {**_VARIATION_FIELDS, "orderby": "id", "order": "asc"}
        if some := ",".join(map(str, ids)):
            params["include"] = some
        return self.all("read_products", f"/products/{product_id}/variations", params)

    async def products_by_id(self, ids: Iterable[int], operation: str = "read_products") -> dict[int, Any]:
        found: dict[int, Any] = {}
        wanted = sorted(set(ids))
        for start in range(0, len(wanted), self._page_size):
            some = wanted[start : start + self._page_size]
            params = {**_FIELDS, "include": ",".join(map(str, some)), "orderby": "id", "order": "asc"}
            async for product in self.all(operation, "/products", params):
                found[product["id"]] = product
        return found

    async def find(self, skus: Iterable[str], operation: str = "read_products") -> dict[str, Any]:
        """Products and variations by SKU, letter by letter: the shop's own search takes case and accents for equal.

        ``operation``: that of the push it is for. The engine has reserved a slot for a push's first request; a slot
        that were used later, after other requests, would be one request too many at that moment.
        """
        wanted = [sku for sku in dict.fromkeys(skus) if storable(sku)]
        found: dict[str, Any] = {}
        for some in _searches(wanted, self._settings.skus_per_lookup):
            params = {**_FIELDS, "sku": ",".join(some), "orderby": "id", "order": "asc"}
            async for product in self.all(operation, "/products", params):
                if product["sku"] in some:
                    found.setdefault(product["sku"], product)
        return found

    @property
    def _page_size(self) -> int:
        return self._settings.objects_per_request

    # What is written.

    def writer(self, operation: str) -> "Writer":
        return Writer(self._http, self._settings, operation)


class Writer:
    """The batches of one push. Once something was sent, a failure only concerns what it carried."""

    def __init__(self, http: ChannelHttp, settings: Settings, operation: str) -> None:
        self._http = http
        self._settings = settings
        self.operation = operation
        self._sent = False
        self._failures = 0  # in a row
        self._stopped: Refusal | None = None

    async def write(self, path: str, writes: Sequence[Write]) -> list[Outcome]:
        """One outcome per write, in their order: the object as the shop shows it now, or why not.

        Raises what the request raises while nothing was sent, and later what stops the whole channel.
        """
        outcomes: list[Outcome] = []
        for some in self._chunks(writes):
            if self._stopped is not None:  # the host is in trouble: what is left waits for the next push
                outcomes += [self._stopped] * len(some)
                continue
            try:
                outcomes += _matched(some, document(await self._request(path, some)))
                self._failures = 0
            except (ItemRefused, Retryable) as error:
                if not self._sent:
                    raise
                outcomes += [self._failed(error)] * len(some)
            self._sent = True
        return outcomes

    def _failed(self, error: ItemRefused | Retryable) -> Refusal:
        if isinstance(error, ItemRefused):
            return Refusal(error.code, error.message)
        self._failures += 1
        if self._failures > 1 or isinstance(error, RateLimited):
            self._stopped = Refusal(error.code, error.message, Result.RETRY)
        unknown = isinstance(error, OutcomeUnknown)
        return Refusal(error.code, error.message, Result.UNKNOWN if unknown else Result.RETRY)

    async def _request(self, path: str, writes: Sequence[Write]) -> Reply:
        body: dict[str, list[Any]] = {}
        for write in writes:
            entry = write.document["id"] if write.verb == "delete" else write.document
            body.setdefault(write.verb, []).append(entry)
        return await self._http.request(self.operation, "POST", f"{path}/batch", json=body)

    def _chunks(self, writes: Sequence[Write]) -> list[list[Write]]:
        chunks: list[list[Write]] = []
        images = 0
        for write in writes:
            images += new_images(write.document)
            full = not chunks or len(chunks[-1]) >= self._settings.objects_per_request
            if full or images > self._settings.images_per_request:
                chunks.append([])
                images = new_images(write.document)
            chunks[-1].append(write)
        return chunks


def document(reply: Reply) -> Any:
    """The reply's JSON; a byte order mark that some theme prints in front of it does no harm."""
    return reply.json_loads(reply.content.removeprefix(b"\xef\xbb\xbf"))


def _matched(writes: Sequence[Write], reply: Any) -> list[Outcome]:
    """The reply's items come by verb, in the order in which they were sent."""
    reported = reply if isinstance(reply, dict) else {}
    items = {verb: iter(reported.get(verb) or ()) for verb in ("create", "update", "delete")}
    missing = Refusal("not_mentioned", "The shop does not mention it.", Result.UNKNOWN)
    outcomes: list[Outcome] = []
    for write in writes:
        item = next(items[write.verb], None)
        if not isinstance(item, dict):
            outcomes.append(missing)
        else:
            outcomes.append(refusal(item["error"]) if "error" in item else item)
    return outcomes


def _searches(skus: Sequence[str], most: int) -> list[list[str]]:
    """SKUs in searches of at most ``most``, and of a length that fits into an address. One with a comma goes alone."""
    searches: list[list[str]] = []
    length, alone = 0, True
    for sku in skus:
        length += len(quote(sku, safe="")) + 3
        if alone or "," in sku or length > SEARCH_LENGTH or len(searches[-1]) >= most:
            searches.append([])
            length = len(quote(sku, safe="")) + 3
        searches[-1].append(sku)
        alone = "," in sku
    return searches
