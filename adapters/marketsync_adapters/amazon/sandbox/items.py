"""The listings items of the account: what was submitted, when it takes effect, what buyers see."""

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from heapq import heappop, heappush
from typing import Any, NamedTuple

from marketsync.adapter.api import Clock, Money
from marketsync_adapters.amazon.sandbox.rules import Refused, Rules

ASIN = re.compile(r"B0[0-9A-Z]{8}")
Attributes = dict[str, list[dict[str, Any]]]
Issue = dict[str, Any]


@dataclass(slots=True)
class Item:
    """``attributes`` as the seller contributed them; ``quantity`` as sales leave it, one for all storefronts."""

    sku: str
    created: datetime
    updated: datetime
    product_type: str
    asin: str
    attributes: Attributes = field(default_factory=dict)
    quantity: int | None = None
    channel: str = "DEFAULT"
    issues: list[Issue] = field(default_factory=list)

    @property
    def marketplaces(self) -> set[str]:
        offers = {one["marketplace_id"] for one in self.attributes.get("purchasable_offer", ())}
        return offers | {one["marketplace_id"] for one in self.attributes.get("condition_type", ())}

    def price(self, marketplace: str, now: datetime) -> Money | None:
        """What a buyer pays now: the sale price while the sale runs."""
        for offer in self.attributes.get("purchasable_offer", ()):
            if offer["marketplace_id"] != marketplace:
                continue
            amount = offer["our_price"][0]["schedule"][0]["value_with_tax"]
            for sale in offer.get("discounted_price", ()):
                schedule = sale["schedule"][0]
                if _begun(schedule, now):
                    amount = schedule["value_with_tax"]
            return Money.of(str(amount), offer["currency"])
        return None


class StockWrite(NamedTuple):
    """One change of a quantity. ``cause``: write (the seller, when it takes effect), sale, withdraw, amazon (FBA)."""

    at: datetime
    sku: str
    before: int | None
    quantity: int
    cause: str


class Items:
    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._items: dict[str, Item] = {}
        self._coming: set[str] = set()  # created by a submission that has not taken effect yet
        self._later: list[tuple[datetime, int, Callable[[], None]]] = []
        self._submissions = 0
        self._products = 0
        self.on_stock_write: list[Callable[[StockWrite], None]] = []

    def __iter__(self) -> Any:
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def get(self, sku: str) -> Item | None:
        self.settle()
        return self._items.get(sku)

    def later(self, at: datetime, act: Callable[[], None]) -> str:
        """Do something when its time has come, after all that comes before. Returns the submission's id."""
        self._submissions += 1
        heappush(self._later, (at, self._submissions, act))
        return f"submission-{self._submissions:08d}"

    def settle(self) -> None:
        while self._later and self._later[0][0] <= self._clock.now():
            heappop(self._later)[2]()

    # ---------------------------------------------------------------- submissions

    def put(self, sku: str, body: Mapping[str, Any], *, apply: bool = True) -> tuple[str, list[Issue]]:
        """(submission id, issues); with an error among the issues nothing will be applied."""
        issues = self.faults_of_put(sku, body)
        if issues or not apply:
            return self.later(self._clock.now(), lambda: None), issues
        self._coming.add(sku)
        return self.later(self._soon(), lambda: self.apply_put(sku, body)), issues

    def patch(self, sku: str, body: Mapping[str, Any], *, apply: bool = True) -> tuple[str, list[Issue]]:
        self.settle()
        issues = self.faults_of_patch(sku, body)
        if issues or not apply:
            return self.later(self._clock.now(), lambda: None), issues
        return self.later(self._soon(), lambda: self.apply_patch(sku, body)), issues

    def delete(self, sku: str, *, apply: bool = True) -> str:
        self.check_sku(sku)
        return self.later(self._soon(), (lambda: self._drop(sku)) if apply else lambda: None)

    def faults_of_put(self, sku: str, body: Mapping[str, Any]) -> list[Issue]:
        self.check_sku(sku)
        attributes = body["attributes"]
        issues = self._faults(attributes)
        if body.get("requirements") == "LISTING_OFFER_ONLY":
            asin = _first(attributes, "merchant_suggested_asin")
            if not ASIN.fullmatch(str(asin)):
                issues.append(_issue("90220", "'merchant_suggested_asin' is required.", "merchant_suggested_asin"))
        else:
            issues += [
                _issue("90220", f"'{name}' is required but not supplied.", name)
                for name in ("item_name", "brand")
                if not _first(attributes, name)
            ]
        return issues

    def faults_of_patch(self, sku: str, body: Mapping[str, Any]) -> list[Issue]:
        self.check_sku(sku)
        if sku not in self._items and sku not in self._coming:
            return [_issue("13013", "This SKU does not exist in the Amazon catalog.")]
        return self._faults({patch["path"].rsplit("/", 1)[-1]: patch["value"] for patch in body["patches"]})

    def apply_put(self, sku: str, body: Mapping[str, Any]) -> None:
        self._coming.discard(sku)
        now, item = self._clock.now(), self._items.get(sku)
        attributes = deepcopy(body["attributes"])
        if item is None:
            self._products += 1
            asin = _first(attributes, "merchant_suggested_asin") or f"B0{self._products:08d}"
            item = Item(sku, now, now, body["productType"], str(asin))
            self._items[sku] = item
        item.attributes, item.updated, item.product_type = attributes, now, body["productType"]
        self._take_quantity(item, attributes)

    def apply_patch(self, sku: str, body: Mapping[str, Any]) -> None:
        item = self._items.get(sku)
        if item is None:
            return
        for patch in body["patches"]:
            name, values = patch["path"].rsplit("/", 1)[-1], deepcopy(patch["value"])
            kept = [one for one in item.attributes.get(name, ()) if not any(_same(one, new) for new in values)]
            item.attributes[name] = kept + values
            self._take_quantity(item, {name: values})
        item.updated = self._clock.now()

    def check_sku(self, sku: str) -> None:
        if not 0 < len(sku) <= self._rules.sku_length or sku != sku.strip():
            raise Refused(400, "InvalidInput", f"'sku' has to have 1 to {self._rules.sku_length} characters.")

    # ---------------------------------------------------------------- stock

    def take(self, item: Item, pieces: int) -> None:
        assert item.quantity is not None
        self._set(item, item.quantity - pieces, "sale")

    def stock_by_amazon(self, sku: str, pieces: int) -> None:
        """The offer becomes FBA: its pieces lie with Amazon."""
        item = self._items[sku]
        item.channel = "AMAZON_EU"
        self._set(item, pieces, "amazon")

    def _take_quantity(self, item: Item, attributes: Attributes) -> None:
        for one in attributes.get("fulfillment_availability", ()):
            if one["fulfillment_channel_code"] == "DEFAULT" and item.channel == "DEFAULT":
                self._set(item, int(one["quantity"]), "write")

    def _set(self, item: Item, quantity: int, cause: str) -> None:
        write = StockWrite(self._clock.now(), item.sku, item.quantity, quantity, cause)
        item.quantity = quantity
        for watch in self.on_stock_write:
            watch(write)

    def _drop(self, sku: str) -> None:
        item = self._items.pop(sku, None)
        if item is not None:
            self._set(item, 0, "withdraw")

    def _soon(self) -> datetime:
        return self._clock.now() + self._rules.apply_time

    # ---------------------------------------------------------------- checks

    def _faults(self, attributes: Mapping[str, Any]) -> list[Issue]:
        issues = []
        for name, most in (
            ("item_name", self._rules.title_length),
            ("product_description", self._rules.description_length),
        ):
            text = str(_first(attributes, name) or "")
            if len(text) > most or any(ord(letter) < 32 and letter not in "\t\r\n" for letter in text):
                issues.append(_issue("90244", f"'{name}' is longer than {most} characters or has invalid ones.", name))
        for offer in attributes.get("purchasable_offer", ()):
            issues += self._price_faults(offer)
        for one in attributes.get("fulfillment_availability", ()):
            if type(one.get("quantity")) is not int or one["quantity"] < 0:
                issues.append(_issue("90244", "'quantity' is a whole number.", "fulfillment_availability"))
        return issues

    def _price_faults(self, offer: Mapping[str, Any]) -> list[Issue]:
        name = "purchasable_offer"
        if offer.get("currency") != self._rules.marketplaces.get(offer.get("marketplace_id", "")):
            return [_issue("90244", "The currency is not that of the store.", name)]
        prices = {}
        for kind in ("our_price", "discounted_price"):
            for price in offer.get(kind, ()):
                if not price.get("schedule"):
                    return [
                        _issue("99022", f"The field 'schedule' of '{name}.{kind}' does not have enough values.", name)
                    ]
                prices[kind] = Decimal(str(price["schedule"][0].get("value_with_tax", 0)))
        if prices.get("our_price", Decimal(0)) <= 0:
            return [_issue("99022", f"The attribute '{name}.our_price' does not have enough values.", name)]
        if prices.get("discounted_price", Decimal(0)) > prices["our_price"]:
            return [_issue("90244", "The sale price is above the price.", name)]
        return []


def _issue(code: str, message: str, attribute: str = "") -> Issue:
    categories = ["MISSING_ATTRIBUTE" if code in {"90220", "99022"} else "INVALID_ATTRIBUTE"]
    named = {"attributeNames": [attribute]} if attribute else {}
    return {"code": code, "message": message, "severity": "ERROR", "categories": categories, **named}


def _first(attributes: Mapping[str, Any], name: str) -> Any:
    values = attributes.get(name) or [{}]
    value = values[0].get("value")
    return value.strip() if isinstance(value, str) else value


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two values of an attribute have the same selectors: the later replaces the earlier."""
    selectors = ("marketplace_id", "language_tag", "audience", "currency", "fulfillment_channel_code")
    return all(one.get(name) == other.get(name) for name in selectors)


def _begun(schedule: Mapping[str, Any], now: datetime) -> bool:
    starts, ends = schedule.get("start_at"), schedule.get("end_at")
    begun = starts is None or datetime.fromisoformat(starts) <= now
    return begun and (ends is None or now < datetime.fromisoformat(ends))
