"""The shelf: inventory items, offers, variation groups, and the live listings that they become."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, NamedTuple

from marketsync.adapter.api import Clock
from marketsync_adapters.ebay.sandbox.checks import check_item, check_live, check_price, check_quantity, check_sku
from marketsync_adapters.ebay.sandbox.rules import Refused, Rules

Entry = dict[str, Any]


@dataclass(slots=True)
class Offer:
    offer_id: str
    sku: str
    document: dict[str, Any]
    listing_id: str = ""  # "" while it is a draft
    sold: int = 0

    def shown(self, quantity: int) -> int:
        """The pieces that buyers see: the item's, or the offer's own where those are fewer."""
        own = self.document.get("availableQuantity")
        return quantity if own is None else min(quantity, own)


@dataclass(slots=True)
class Group:
    document: dict[str, Any]
    listing_id: str = ""


class StockWrite(NamedTuple):
    """One change of what buyers can buy of a live SKU. ``cause``: write (the seller), sale."""

    at: datetime
    sku: str
    before: int | None  # None: it was not live
    quantity: int
    cause: str


@dataclass(slots=True)
class Shelf:
    rules: Rules
    clock: Clock
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    revisions: Counter[tuple[str, str]] = field(default_factory=Counter)  # (listing, day)
    on_stock_write: list[Callable[[StockWrite], None]] = field(default_factory=list)
    _index: dict[str, list[Offer]] = field(default_factory=dict)  # by SKU
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    # ---------------------------------------------------------------- items

    def put_item(self, request: Entry, *, apply: bool) -> Entry:
        """Replace one item whole; a live listing shows it at once."""
        sku = check_sku(request.get("sku"))
        check_item(request, self.rules)
        item = {name: value for name, value in request.items() if name != "sku"}
        offer = self.offer_of(sku)
        if offer is not None and offer.listing_id:
            check_live(item, offer.document, self.rules)
            self._check_zero(quantity_of(item))
            self._revise(offer.listing_id)
        if apply:
            with self._watched(sku):
                self.items[sku] = item
        return {"sku": sku, "locale": request["locale"], "statusCode": 200}

    def item(self, sku: str) -> Entry:
        """An item as eBay tells it. Raises ``Refused`` where there is none."""
        if check_sku(sku, 25708) not in self.items:
            raise Refused(404, 25702, f"SKU {sku} is not available in the system")
        keys = [key for key, group in self.groups.items() if sku in group.document["variantSKUs"]]
        return {"sku": sku, **self.items[sku]} | ({"inventoryItemGroupKeys": keys} if keys else {})

    def item_page(self, page: int, limit: int) -> tuple[list[Entry], int]:
        skus = list(self.items)[page * limit : (page + 1) * limit]
        told = [self.item(sku) for sku in skus]
        for one in told:
            if "inventoryItemGroupKeys" in one:
                one["groupIds"] = one["inventoryItemGroupKeys"]
        return told, len(self.items)

    # ---------------------------------------------------------------- offers

    def offer_of(self, sku: str) -> Offer | None:
        return next(iter(self._index.get(sku, ())), None)

    def create_offer(self, request: Entry, *, apply: bool) -> Entry:
        sku = str(request.get("sku"))
        if sku not in self.items:
            raise Refused(400, 25702, f"SKU {sku} is not available in the system")
        if request.get("marketplaceId") != self.rules.marketplace or request.get("format") != "FIXED_PRICE":
            raise Refused(400, 25735, "Invalid SKU, marketplaceId or format.")
        existing = self.offer_of(sku)
        if existing is not None:
            parameters = {"offerId": existing.offer_id}
            raise Refused(400, 25002, "A user error has occurred. Offer entity already exists.", parameters)
        offer = Offer(f"{9_000_000_000 + next(self._numbers)}", sku, dict(request))
        if apply:
            self.offers[offer.offer_id] = offer
            self._index.setdefault(sku, []).append(offer)
        return {
            "offerId": offer.offer_id,
            "sku": sku,
            "marketplaceId": self.rules.marketplace,
            "format": "FIXED_PRICE",
            "statusCode": 200,
        }

    def put_offer(self, offer_id: str, document: Entry, *, apply: bool) -> None:
        """Replace an offer whole: what the document leaves out is gone."""
        offer = self.get(offer_id)
        if offer.listing_id:
            check_live(self.items[offer.sku], document, self.rules)
            self._revise(offer.listing_id)
        if apply:
            with self._watched(offer.sku):
                offer.document = dict(document)

    def get(self, offer_id: str) -> Offer:
        if offer_id not in self.offers:
            raise Refused(404, 25713, f"This Offer is not available : {offer_id}.")
        return self.offers[offer_id]

    def told(self, offer: Offer) -> Entry:
        quantity = quantity_of(self.items[offer.sku])
        document = {"availableQuantity": offer.shown(quantity), **offer.document}
        document |= {"offerId": offer.offer_id, "status": "PUBLISHED" if offer.listing_id else "UNPUBLISHED"}
        if offer.listing_id:
            status = "ACTIVE" if offer.shown(quantity) else "OUT_OF_STOCK"
            document["listing"] = {
                "listingId": offer.listing_id,
                "listingStatus": status,
                "soldQuantity": offer.sold,
            }
        return document

    def publish(self, offer_id: str, *, apply: bool) -> Entry:
        offer = self.get(offer_id)
        if self._group_of(offer.sku):
            message = "Offers associated with SKUs that are part of a variation group cannot be published here."
            raise Refused(400, 25732, message)
        if offer.listing_id:
            raise Refused(400, 25002, "A user error has occurred. The offer has already been published.")
        self._check_publishable(offer)
        if apply:
            with self._watched(offer.sku):
                offer.listing_id = f"{110_000_000_000 + next(self._numbers)}"
        return {"offerId": offer_id, "listingId": offer.listing_id or "0", "statusCode": 200}

    def withdraw(self, offer_id: str, *, apply: bool) -> str:
        offer = self.get(offer_id)
        if not offer.listing_id:
            raise Refused(400, 25002, "A user error has occurred. The offer is not published.")
        listing_id = offer.listing_id
        if apply:
            offer.listing_id = ""
        return listing_id

    def delete_offer(self, offer_id: str, *, apply: bool) -> None:
        """Delete an offer; a variant leaves its listing with it, unless it has sold."""
        offer = self.get(offer_id)
        group = self._group_of(offer.sku)
        if group and offer.listing_id and offer.sold:
            raise Refused(400, 25002, "A user error has occurred. The variation has sales and cannot be removed.")
        if not apply:
            return
        if group and offer.listing_id:
            group.document["variantSKUs"] = [sku for sku in group.document["variantSKUs"] if sku != offer.sku]
        del self.offers[offer_id]
        self._index[offer.sku].remove(offer)

    # ---------------------------------------------------------------- prices and quantities

    def update(self, requests: list[Entry], *, apply: bool) -> list[Entry]:
        """bulkUpdatePriceQuantity: an entry for each SKU and each offer."""
        if self.rules.one_sku_per_update and len(requests) > 1:
            raise Refused(400, 25709, "Invalid request. Invalid value for field requests. Only one SKU is allowed.")
        entries: list[Entry] = []
        for request in requests:
            sku, shown = request.get("sku"), request.get("shipToLocationAvailability")
            if shown is not None:
                entries.append(_entry({"sku": sku}, lambda r=request: self._set_item(r, apply=apply)))  # type: ignore[misc]
            for one in request.get("offers") or ():
                told = {"sku": sku, "offerId": one.get("offerId")}
                entries.append(_entry(told, lambda s=sku, o=one: self._set_offer(s, o, apply=apply)))  # type: ignore[misc]
        return entries

    def _set_item(self, request: Entry, *, apply: bool) -> None:
        sku = str(request.get("sku"))
        if sku not in self.items:
            raise Refused(404, 25702, f"SKU {sku} is not available in the system")
        quantity = check_quantity(request["shipToLocationAvailability"].get("quantity"))
        offer = self.offer_of(sku)
        if offer is not None and offer.listing_id:
            self._check_zero(quantity)
            if not request.get("offers"):
                self._revise(offer.listing_id)
        if apply:
            with self._watched(sku):
                availability = self.items[sku].setdefault("availability", {})
                availability["shipToLocationAvailability"] = {"quantity": quantity}

    def _set_offer(self, sku: str, request: Entry, *, apply: bool) -> None:
        offer = self.get(str(request.get("offerId")))
        if sku is not None and offer.sku != sku:
            raise Refused(400, 25709, "Invalid request. Invalid value for field offerId.")
        if not offer.listing_id:
            raise Refused(400, 25713, f"This Offer is not available : {offer.offer_id}.")
        price, quantity = request.get("price"), request.get("availableQuantity")
        if price is not None:
            check_price(price, self.rules)
        if quantity is not None:
            self._check_zero(check_quantity(quantity))
        self._revise(offer.listing_id)
        if apply and price is not None:
            offer.document["pricingSummary"] = {**offer.document.get("pricingSummary", {}), "price": price}
        if apply and quantity is not None:
            with self._watched(offer.sku):
                offer.document["availableQuantity"] = quantity

    # ---------------------------------------------------------------- groups

    def put_group(self, key: str, document: Entry, *, apply: bool) -> bool:
        """Replace a group whole: a member left out is off sale. Returns whether the group is new."""
        skus, known = document.get("variantSKUs") or [], self.groups.get(key)
        for sku in skus:
            self._check_member(sku, known)
        self._check_variants(document, skus)
        left_out = [sku for sku in known.document["variantSKUs"] if sku not in skus] if known is not None else []
        leaving = [offer for sku in left_out if (offer := self.offer_of(sku)) is not None]
        for offer in leaving:
            if offer.sold and offer.listing_id:
                raise Refused(400, 25013, f"Invalid data in the Inventory Item Group. {offer.sku} has sales.")
        if known is not None and known.listing_id:
            self._revise(known.listing_id)
        if apply:
            self.groups[key] = Group(dict(document), known.listing_id if known is not None else "")
            for offer in leaving:
                offer.listing_id = ""
        return known is None

    def _check_member(self, sku: str, group: Group | None) -> None:
        if sku not in self.items:
            raise Refused(400, 25701, f"These SKU(s) are not in the system: {sku}")
        offer, other = self.offer_of(sku), self._group_of(sku)
        if other is not None and other is not group:
            raise Refused(400, 25703, f"The following SKU is already a member of another group. SKU : {sku}")
        if other is None and offer is not None and offer.listing_id:
            raise Refused(400, 25704, f"The following SKU is already listed as a single SKU listing. SKU : {sku}")

    def group(self, key: str) -> Group:
        if key not in self.groups:
            message = f"The Inventory Item Group named {key} could not be found or is not available in the system."
            raise Refused(404, 25705, message)
        return self.groups[key]

    def publish_group(self, key: str, *, apply: bool) -> str:
        group = self.group(key)
        offers = [offer for sku in group.document["variantSKUs"] if (offer := self.offer_of(sku)) is not None]
        for offer in offers:
            self._check_publishable(offer, alone=False)
        if not any(quantity_of(self.items[offer.sku]) for offer in offers):
            raise Refused(400, 25004, "Invalid quantity. It is missing.")
        listing_id = group.listing_id or f"{110_000_000_000 + next(self._numbers)}"
        if apply:
            group.listing_id = listing_id
            for offer in offers:
                with self._watched(offer.sku):
                    offer.listing_id = listing_id
        return listing_id

    def withdraw_group(self, key: str, *, apply: bool) -> None:
        group = self.group(key)
        if not group.listing_id:
            raise Refused(400, 25002, "A user error has occurred. The group is not published.")
        if apply:
            group.listing_id = ""
            for sku in group.document["variantSKUs"]:
                if (offer := self.offer_of(sku)) is not None:
                    offer.listing_id = ""

    # ---------------------------------------------------------------- buyers

    def shown(self, sku: str) -> int | None:
        """What buyers could buy now; None where the SKU is not live."""
        offer = self.offer_of(sku)
        if offer is None or not offer.listing_id:
            return None
        return offer.shown(quantity_of(self.items[sku]))

    def take(self, sku: str, pieces: int) -> Offer:
        """A sale. Raises ``Refused`` where there is not enough."""
        offer = self.offer_of(sku)
        if offer is None or (self.shown(sku) or 0) < pieces:
            raise Refused(409, 9000, f"There are no {pieces} pieces of {sku}.")
        left = quantity_of(self.items[sku]) - pieces
        with self._watched(sku, "sale"):
            self.items[sku]["availability"]["shipToLocationAvailability"] = {"quantity": left}
            if "availableQuantity" in offer.document:
                offer.document["availableQuantity"] -= pieces
        offer.sold += pieces
        if not self.shown(sku) and not self.rules.out_of_stock_control and not self._group_of(sku):
            offer.listing_id = ""
        return offer

    @contextmanager
    def _watched(self, sku: str, cause: str = "write") -> Iterator[None]:
        """Tell the watchers what became of the pieces that buyers see."""
        before = self.shown(sku)
        yield
        shown = self.shown(sku)
        if shown is None:
            return
        for watch in self.on_stock_write:
            watch(StockWrite(self.clock.now(), sku, before, shown, cause))

    # ---------------------------------------------------------------- rules

    def _check_publishable(self, offer: Offer, *, alone: bool = True) -> None:
        item = self.items[offer.sku]
        check_live(item, offer.document, self.rules)
        if alone and not offer.shown(quantity_of(item)):
            raise Refused(400, 25004, "Invalid quantity. A listing needs at least one piece.")

    def _check_zero(self, quantity: int) -> None:
        if not quantity and not self.rules.out_of_stock_control:
            raise Refused(400, 25004, "Invalid quantity. The account does not use out-of-stock control.")

    def _check_variants(self, document: Entry, skus: list[str]) -> None:
        names = [one["name"] for one in (document.get("variesBy") or {}).get("specifications") or ()]
        seen = set()
        for sku in skus:
            aspects = (self.items[sku].get("product") or {}).get("aspects") or {}
            combination = tuple(tuple(aspects.get(name) or ()) for name in names)
            if not names or () in combination or combination in seen:
                raise Refused(400, 25013, "Invalid data in the Inventory Item Group. Variants differ in nothing.")
            seen.add(combination)

    def _revise(self, listing_id: str) -> None:
        day = listing_id, self.clock.now().date().isoformat()
        if self.revisions[day] >= self.rules.revisions_per_day:
            message = f"Cannot revise the listing. It was revised {self.rules.revisions_per_day} times today."
            raise Refused(400, 25019, message)
        self.revisions[day] += 1

    def _group_of(self, sku: str) -> Group | None:
        return next((group for group in self.groups.values() if sku in group.document["variantSKUs"]), None)


def quantity_of(item: Entry) -> int:
    shown = (item.get("availability") or {}).get("shipToLocationAvailability") or {}
    return int(shown.get("quantity", 0))


def _entry(told: Entry, write: Callable[[], None]) -> Entry:
    try:
        write()
    except Refused as refused:
        return {**told, "statusCode": refused.status, "errors": [refused.error()]}
    return {**told, "statusCode": 200}
