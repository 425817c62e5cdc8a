"""The shelf: every offer of the market, what it shows, and the log of each stock figure that was ever written."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from marketsync.adapter.api import Clock, Money
from marketsync_adapters.sandbox.checks import Unfit, clean_listing, clean_price, clean_sku, clean_stock
from marketsync_adapters.sandbox.rules import Refused, Rules


@dataclass(slots=True)
class Offer:
    offer_id: str
    storefront: str
    sku: str
    listing: dict[str, Any]
    updated: datetime
    price: dict[str, Any] | None = None
    quantity: int | None = None
    locations: dict[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {
            "offer_id": self.offer_id,
            "sku": self.sku,
            "listing": self.listing,
            "price": self.price,
            "stock": None if self.quantity is None else {"quantity": self.quantity, "locations": self.locations},
            "on_sale": self.price is not None and bool(self.quantity),
            "updated": self.updated.isoformat(),
        }

    def price_at(self, now: datetime) -> Money:
        """What a buyer pays now: the sale price while the sale runs."""
        assert self.price is not None
        amount = self.price["amount"]
        if (sale := self.price.get("sale")) is not None:
            starts, ends = self.price["sale_starts"], self.price["sale_ends"]
            begun = starts is None or datetime.fromisoformat(starts) <= now
            if begun and (ends is None or now < datetime.fromisoformat(ends)):
                amount = sale
        return Money.of(amount, self.price["currency"])


class StockWrite(NamedTuple):
    """One change of a stock figure. ``cause``: write (the seller), sale (a buyer), withdraw."""

    number: int
    at: datetime
    storefront: str
    sku: str
    before: int | None
    quantity: int
    cause: str
    request_id: str


class Shelf:
    """Writes take one raw item each and raise ``Unfit`` where it is refused."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._offers: dict[tuple[str, str], Offer] = {}
        self._order: list[tuple[str, str] | None] = []  # by age; a withdrawn offer leaves a gap, so page tokens hold
        self._places: dict[tuple[str, str], int] = {}
        self._log: deque[StockWrite] = deque(maxlen=rules.log_length)
        self._writes = 0
        self.on_stock_write: list[Callable[[StockWrite], None]] = []

    def __len__(self) -> int:
        return len(self._offers)

    def __iter__(self) -> Iterator[Offer]:
        return iter(self._offers.values())

    def get(self, storefront: str, sku: str) -> Offer | None:
        return self._offers.get((storefront, sku))

    def currency(self, storefront: str) -> str:
        """The storefront's currency. Raises ``Refused`` where there is no such storefront."""
        if storefront not in self._rules.storefronts:
            known = ", ".join(sorted(self._rules.storefronts))
            raise Refused(404, "unknown_storefront", f"There is no storefront {storefront!r}: {known}.")
        return self._rules.storefronts[storefront]

    def put(self, storefront: str, item: dict[str, Any], request_id: str, *, apply: bool = True) -> str:
        """Create or replace a listing, with its price and stock where the item brings them. Returns the offer's id."""
        sku = clean_sku(item.get("sku"), self._rules)
        listing = clean_listing(item.get("listing"), self._rules)
        price = clean_price(item["price"], self.currency(storefront), self._rules) if "price" in item else None
        stock = clean_stock(item["stock"], self._rules) if "stock" in item else None
        offer = self.get(storefront, sku)
        if not apply:
            return offer.offer_id if offer else f"of-{len(self._order) + 1:07d}"
        if offer is None:
            offer = self._add(storefront, sku, listing)
        offer.listing = listing
        offer.updated = self._clock.now()
        if price is not None:
            offer.price = price
        if stock is not None:
            self._set_quantity(offer, *stock, "write", request_id)
        return offer.offer_id

    def set_price(self, storefront: str, item: dict[str, Any], *, apply: bool = True) -> str:
        offer = self._existing(storefront, item)
        price = clean_price(item.get("price"), self.currency(storefront), self._rules)
        if apply:
            offer.price = price
            offer.updated = self._clock.now()
        return offer.offer_id

    def set_stock(self, storefront: str, item: dict[str, Any], request_id: str, *, apply: bool = True) -> str:
        offer = self._existing(storefront, item)
        quantity, locations = clean_stock(item, self._rules)
        if apply:
            self._set_quantity(offer, quantity, locations, "write", request_id)
        return offer.offer_id

    def withdraw(self, storefront: str, sku: str, request_id: str, *, apply: bool = True) -> None:
        """Take an offer off the market. One that is not there is off it already."""
        offer = self.get(storefront, sku)
        if offer is None or not apply:
            return
        self._set_quantity(offer, 0, {}, "withdraw", request_id)
        del self._offers[storefront, sku]
        self._order[self._places.pop((storefront, sku))] = None

    def take(self, offer: Offer, pieces: int, request_id: str) -> None:
        """A sale: lower the stock, at the locations in the order of their names."""
        assert offer.quantity is not None
        assert offer.quantity >= pieces
        locations, open_pieces = {}, pieces
        for name in sorted(offer.locations):
            taken = min(open_pieces, offer.locations[name])
            locations[name] = offer.locations[name] - taken
            open_pieces -= taken
        self._set_quantity(offer, offer.quantity - pieces, locations, "sale", request_id)

    def page(self, storefront: str, token: str | None, size: int) -> tuple[list[Offer], str | None]:
        """Offers of a storefront by age, and the token of the next page."""
        offers: list[Offer] = []
        for place in range(int(token) if token else 0, len(self._order)):
            key = self._order[place]
            if key is None or key[0] != storefront:
                continue
            if len(offers) == size:
                return offers, str(place)
            offers.append(self._offers[key])
        return offers, None

    def log(self, after: int, size: int) -> list[StockWrite]:
        """The stock writes numbered above ``after``. Raises ``Refused`` where the log no longer holds them."""
        first = self._log[0].number if self._log else 1
        if after + 1 < first:
            raise Refused(410, "log_cut", f"The log starts at {first}.")
        start = max(0, after + 1 - first)
        return list(islice(self._log, start, start + size))

    def _add(self, storefront: str, sku: str, listing: dict[str, Any]) -> Offer:
        key = (storefront, sku)
        self._order.append(key)
        self._places[key] = len(self._order) - 1
        offer = Offer(f"of-{len(self._order):07d}", storefront, sku, listing, self._clock.now())
        self._offers[key] = offer
        return offer

    def _existing(self, storefront: str, item: dict[str, Any]) -> Offer:
        sku = clean_sku(item.get("sku"), self._rules)
        offer = self.get(storefront, sku)
        if offer is None:
            raise Unfit("offer_not_found", "There is no offer with this SKU: list it first.", "sku", 404)
        return offer

    def _set_quantity(
        self, offer: Offer, quantity: int, locations: dict[str, int], cause: str, request_id: str
    ) -> None:
        self._writes += 1
        now = self._clock.now()
        write = StockWrite(self._writes, now, offer.storefront, offer.sku, offer.quantity, quantity, cause, request_id)
        offer.quantity, offer.locations, offer.updated = quantity, locations, now
        self._log.append(write)
        for watch in self.on_stock_write:
            watch(write)
