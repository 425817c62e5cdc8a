"""Requests to Kaufland and its replies: one method per call of its API.

The first request of a push goes out under the name of its door: the engine has reserved a slot for that.
"""

from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from marketsync.adapter.api import ChannelHttp, Reply
from marketsync.adapter.errors import ChannelBlocked, Unavailable, UnexpectedReply
from marketsync_adapters.kaufland.errors import Problem, error_of, problem_of
from marketsync_adapters.kaufland.feeds import PAGE

OVERLAP = 5  # entries of a page that are read again with the next one, to notice when the list has moved
_REFUSALS = frozenset({400, 404})
_OF_THE_COMMAND = frozenset({400, 403, 404})

Document = Mapping[str, Any]
Params = dict[str, str | int | Sequence[str]]


class Client:
    def __init__(self, http: ChannelHttp, storefront: str) -> None:
        self._http = http
        self._storefront = storefront

    # ------------------------------------------------------------------------------------------------ account

    async def storefronts(self) -> list[str]:
        return _list(await self._http.request("account", "GET", "/info/storefront"))

    async def carriers(self) -> list[str]:
        document = _data(await self._http.request("carriers", "GET", "/carriers"))
        return [str(carrier["name"]) for carrier in document["carriers"]]

    async def subscriptions(self) -> list[Document]:
        """All notifications that the storefront is subscribed to."""
        found: list[Document] = []
        while True:
            params: Params = {"storefront": self._storefront, "limit": 30, "offset": len(found)}
            reply = await self._http.request("subscriptions", "GET", "/subscriptions", params=params)
            page = _list(reply)
            found += page
            if not page or not _more(reply, len(found), len(page) == 30):
                return found

    async def subscribe(self, event: str, callback_url: str, email: str) -> None:
        body = {"callback_url": callback_url, "fallback_email": email, "event_name": event}
        params: Params = {"storefront": self._storefront}
        await self._http.request("subscriptions", "POST", "/subscriptions", params=params, json=body)

    async def renew_subscription(self, subscription: int, callback_url: str, email: str) -> None:
        body = {"callback_url": callback_url, "fallback_email": email, "is_active": True}
        await self._http.request("subscriptions", "PATCH", f"/subscriptions/{subscription}", json=body)

    # ------------------------------------------------------------------------------------------------ offers

    async def create_unit(self, door: str, body: Document) -> Document | tuple[int, Problem]:
        """The new unit, or the status and problem of a refusal."""
        return await self._unit(door, "POST", "/units", body)

    async def patch_unit(self, door: str, unit_id: str, body: Document) -> Document | tuple[int, Problem]:
        return await self._unit(door, "PATCH", f"/units/{unit_id}", body)

    async def patch_units(self, door: str, items: Sequence[Document]) -> list[Document]:
        """Kaufland's report per unit."""
        reply = await self._http.request(door, "POST", "/units/bulk", params=self._here, json=items)
        return _list(reply)

    async def delete_unit(self, door: str, unit_id: str) -> None:
        """Take a unit off the storefront. One that is not there is off it already."""
        await self._http.request(door, "DELETE", f"/units/{unit_id}", params=self._here, accept=frozenset({404}))

    async def put_product(self, door: str, locale: str, body: Document) -> Problem | None:
        """Send the product data of an EAN; the problem where Kaufland refuses it."""
        reply = await self._http.request(
            door, "PUT", "/product-data", params={"locale": locale}, json=body, accept=frozenset({400})
        )
        return _problem(reply) if reply.status == 400 else None

    async def product(self, ean: str, locale: str) -> Document | None:
        """The product data that we sent for an EAN; None where we sent none."""
        return await self._found(f"/product-data/{ean}", {"locale": locale}, "read_offers")

    async def product_status(self, ean: str, locale: str) -> Document | None:
        return await self._found(f"/product-data/status/{ean}", {"locale": locale}, "confirm")

    async def find_unit(self, sku: str) -> Document | None:
        """The unit with an `id_offer`; None where the storefront does not list it (yet)."""
        params: Params = {**self._here, "id_offer": sku, "embedded": "products", "limit": PAGE}
        units = _list(await self._http.request("read_offers", "GET", "/units", params=params))
        return next((unit for unit in units if unit["id_offer"] == sku), None)

    async def units(self) -> AsyncIterator[Document]:
        """Every unit of the storefront, once. Raises ``Unavailable`` where the list moved too fast to be read whole."""
        offset = 0
        recent: deque[int] = deque(maxlen=3 * PAGE)
        while True:
            start = max(0, offset - OVERLAP)
            params: Params = {**self._here, "limit": PAGE, "offset": start, "embedded": "products"}
            reply = await self._http.request("read_offers", "GET", "/units", params=params)
            page = _list(reply)
            known = [unit["id_unit"] in recent for unit in page]
            if start and not any(known):
                raise Unavailable("Kaufland's list of units moved while it was read; it is read again later")
            for unit, seen_before in zip(page, known, strict=True):
                if not seen_before:
                    recent.append(unit["id_unit"])
                    yield unit
            offset = start + len(page)
            if not page or not _more(reply, offset, len(page) == PAGE):
                return

    # ------------------------------------------------------------------------------------------------ what is sold

    async def changed(self, operation: str, path: str, storefront: str, since: str, offset: int) -> tuple[Any, bool]:
        """A page of a list, the last updated first, and whether it goes on behind the page."""
        params: Params = {
            "storefront": storefront,
            "sort": "ts_updated:desc",
            "limit": PAGE,
            "offset": offset,
        }
        if since:
            params["ts_updated_from_iso"] = since
        reply = await self._http.request(operation, "GET", path, params=params)
        page = _list(reply)
        return page, bool(page) and _more(reply, offset + len(page), len(page) == PAGE)

    async def placed(self, storefront: str, since: str, offset: int) -> tuple[list[Document], bool]:
        """A page of the summaries of orders placed after a time, and whether the list goes on behind it."""
        params: Params = {"storefront": storefront, "ts_created_from_iso": since, "limit": PAGE, "offset": offset}
        reply = await self._http.request("order_ids", "GET", "/orders", params=params)
        page = _list(reply)
        return page, bool(page) and _more(reply, offset + len(page), len(page) == PAGE)

    async def order(self, order_id: str) -> Document | None:
        """An order with its units; None where there is none."""
        return await self._found(f"/orders/{_part(order_id)}", {}, "order")

    async def order_unit(self, unit_id: int) -> Document:
        return _data(await self._http.request("returns", "GET", f"/order-units/{unit_id}"))

    async def return_units(self, return_id: int) -> list[Document]:
        params: Params = {"embedded": "return_units"}
        document = _data(await self._http.request("returns", "GET", f"/returns/{return_id}", params=params))
        return list(document.get("return_units") or ())

    async def act(self, operation: str, unit_id: int, action: str, body: Document | None = None) -> Problem | None:
        """Do something to one order unit; the problem where Kaufland refuses it."""
        path = f"/order-units/{unit_id}/{action}"
        return self._refusal(await self._http.request(operation, "PATCH", path, json=body, accept=_OF_THE_COMMAND))

    async def add_shipment(self, unit_id: int, tracking: str, carrier: str) -> Problem | None:
        """Tell of a further parcel of a unit that was sent."""
        shipment = {"tracking_number": tracking, "carrier_code": carrier}
        body = {"id_order_unit": unit_id, "shipment_information": shipment}
        return self._refusal(await self._http.request("ship", "POST", "/shipments", json=body, accept=_OF_THE_COMMAND))

    # ------------------------------------------------------------------------------------------------ shared

    @property
    def _here(self) -> Mapping[str, str]:
        return {"storefront": self._storefront}

    async def _unit(self, door: str, method: str, path: str, body: Document) -> Document | tuple[int, Problem]:
        reply = await self._http.request(door, method, path, params=self._here, json=body, accept=_REFUSALS)
        if reply.status in _REFUSALS:
            return reply.status, _problem(reply)
        return _data(reply)

    async def _found(self, path: str, params: Mapping[str, str], operation: str) -> Document | None:
        reply = await self._http.request(operation, "GET", path, params=params, accept=frozenset({404}))
        return None if reply.status == 404 else _data(reply)

    @staticmethod
    def _refusal(reply: Reply) -> Problem | None:
        return _problem(reply) if reply.status in _OF_THE_COMMAND else None


def _problem(reply: Reply) -> Problem:
    """What Kaufland says of one offer or piece. Raises what is said of the whole account or of the moment."""
    error = error_of("", reply)
    if isinstance(error, ChannelBlocked | Unavailable):
        raise error
    return problem_of(reply.json(), reply.status)


def _data(reply: Reply) -> Document:
    document = reply.json()
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict):
        raise UnexpectedReply("Kaufland answered without data", code=str(reply.status))
    return data


def _list(reply: Reply) -> list[Any]:
    document = reply.json()
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        raise UnexpectedReply("Kaufland answered without a list", code=str(reply.status))
    return data


def _more(reply: Reply, read: int, full: bool) -> bool:
    """Whether a list goes on after so many entries; where Kaufland does not count it, a full page says so."""
    pagination = reply.json().get("pagination")
    return bool(read < pagination["total"]) if pagination else full


def _part(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")
