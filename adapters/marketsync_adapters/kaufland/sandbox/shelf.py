"""Units and product data: what the seller offers, and what it told of its products."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from marketsync.adapter.api import Clock
from marketsync_adapters.kaufland.sandbox.rules import CURRENCIES, HIGHEST_PRICE, Refused, Rules

CONDITIONS = frozenset(
    f"{kind}___{state}"
    for kind in ("USED", "REFURBISHED")
    for state in ("ACCEPTABLE", "GOOD", "VERY_GOOD", "AS_NEW")
) | {"NEW"}  # fmt: skip
PATCHABLE = frozenset(
    {"status", "amount", "handling_time", "listing_price", "minimum_price", "note", "id_shipping_group",
     "id_warehouse", "vat_indicator"}
)  # fmt: skip
INT32 = 2**31 - 1


def iso(time: datetime) -> str:
    """A time as Kaufland writes it: whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class Unit:
    id_unit: int
    storefront: str
    id_offer: str
    id_product: int
    ean: str
    condition: str
    inserted: datetime
    changed: datetime
    values: dict[str, Any] = field(default_factory=dict)  # the fields that may be patched

    @property
    def amount(self) -> int:
        return int(self.values["amount"])

    @property
    def sellable(self) -> bool:
        return bool(self.values["status"] == "AVAILABLE")

    def product(self) -> dict[str, Any]:
        return {
            "id_product": self.id_product,
            "storefront": self.storefront,
            "title": f"Product {self.id_product}",
            "eans": [self.ean] if self.ean else [],
            "id_category": 1,
            "main_picture": "",
            "manufacturer": "",
            "url": f"https://www.kaufland.{self.storefront}/product/{self.id_product}/",
            "age_rating": 0,
            "is_valid": True,
            "dangerous_goods_li_shipping": None,
            "danger_label_9A": None,
        }

    def document(self, *, embedded: bool = False) -> dict[str, Any]:
        values = {name: self.values[name] for name in sorted(PATCHABLE)}
        document = values | {
            "id_unit": self.id_unit,
            "id_offer": self.id_offer,
            "id_product": self.id_product,
            "currency": CURRENCIES[self.storefront],
            "condition": self.condition,
            "price": self.values["listing_price"],
            "date_inserted_iso": iso(self.inserted),
            "date_lastchange_iso": iso(self.changed),
            "shipping_rate": 490,
            "storefront": self.storefront,
            "transport_time_min": 1,
            "transport_time_max": 3,
            "fulfillment_type": "fulfilled_by_merchant",
        }
        return document | ({"product": self.product()} if embedded else {})


class StockWrite(NamedTuple):
    """One change of a quantity. ``cause``: write (the seller), sale (a buyer), withdraw."""

    number: int
    at: datetime
    storefront: str
    sku: str
    before: int | None
    quantity: int
    cause: str


class Shelf:
    """Units of one `id_offer` share their quantity, whatever their storefronts."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._units: dict[int, Unit] = {}
        self._by_offer: dict[tuple[str, str], Unit] = {}
        self._log: deque[StockWrite] = deque(maxlen=rules.log_length)
        self._made = 0
        self._writes = 0
        self.on_stock_write: list[Callable[[StockWrite], None]] = []
        self.products: dict[tuple[str, str], tuple[dict[str, Any], datetime]] = {}  # (EAN, locale) -> body, time

    def __iter__(self) -> Iterator[Unit]:
        return iter(self._units.values())

    def unit(self, storefront: str, id_unit: int) -> Unit:
        unit = self._units.get(id_unit)
        if unit is None or unit.storefront != storefront:
            raise Refused(404, "not-found", "Unit not found")
        return unit

    def by_offer(self, storefront: str, id_offer: str) -> Unit | None:
        return self._by_offer.get((storefront, id_offer))

    def listed(self, storefront: str, id_offer: str | None) -> list[Unit]:
        """The storefront's units by age, without those that are too fresh to be listed."""
        now = self._clock.now()
        found = self._units.values() if id_offer is None else self._connected(id_offer)
        return [
            unit for unit in found if unit.storefront == storefront and unit.inserted + self._rules.listed_after <= now
        ]

    def create(self, storefront: str, body: dict[str, Any], *, apply: bool = True) -> Unit:
        id_offer = body.get("id_offer")
        if not isinstance(id_offer, str) or not id_offer.strip():
            raise Refused(400, "validation-error", "Validation failed", id_offer="must not be empty")
        if (storefront, id_offer) in self._by_offer:
            raise Refused(400, "already-exists", "You have a unit with this id_offer on this storefront")
        ean, id_product = self._product(body)
        condition = body.get("condition", "NEW")
        if condition not in CONDITIONS:
            raise Refused(400, "validation-error", "Validation failed", condition="is no condition")
        for other in self._connected(id_offer):
            if (other.id_product, other.condition) != (id_product, condition):
                raise Refused(400, "validation-error", "Validation failed", id_offer="belongs to another product")
        for name in ("handling_time", "listing_price"):
            if name not in body:
                raise Refused(400, "validation-error", "Validation failed", **{name: "is required"})
        values = {
            "status": "AVAILABLE", "amount": 1, "minimum_price": body["listing_price"], "note": None,
            "id_shipping_group": None, "id_warehouse": None, "vat_indicator": "standard_rate",
        }  # fmt: skip
        given = {name: value for name, value in body.items() if name in PATCHABLE}
        self._check(storefront, given)
        now = self._clock.now()
        unit = Unit(self._made + 1, storefront, id_offer, id_product, ean, condition, now, now, {**values, **given})
        if apply:
            self._made += 1
            self._units[unit.id_unit] = unit
            self._by_offer[storefront, id_offer] = unit
            self._set_amount(unit, unit.amount, "write", before=None)
        return unit

    def patch(self, storefront: str, id_unit: int, body: dict[str, Any], *, apply: bool = True) -> Unit:
        unit = self.unit(storefront, id_unit)
        strange = set(body) - PATCHABLE
        if strange:
            raise Refused(400, "validation-error", "Validation failed", **dict.fromkeys(strange, "is not allowed"))
        self._check(storefront, body)
        if apply:
            before = unit.amount
            unit.values |= body
            if "listing_price" in body:
                unit.values["minimum_price"] = body.get("minimum_price", body["listing_price"])
            unit.changed = self._clock.now()
            if "amount" in body:
                self._set_amount(unit, unit.amount, "write", before=before)
        return unit

    def delete(self, storefront: str, id_unit: int, *, apply: bool = True) -> None:
        unit = self.unit(storefront, id_unit)
        if apply:
            self._note(unit, unit.amount, 0, "withdraw")
            del self._units[id_unit]
            del self._by_offer[storefront, unit.id_offer]

    def take(self, unit: Unit, pieces: int) -> None:
        """A sale."""
        self._set_amount(unit, unit.amount - pieces, "sale", before=unit.amount)

    def log(self, after: int, size: int) -> list[StockWrite]:
        """The writes numbered above ``after``."""
        first = self._log[0].number if self._log else 1
        start = max(0, after + 1 - first)
        return list(islice(self._log, start, start + size))

    def put_product(self, locale: str, body: dict[str, Any], *, apply: bool = True) -> None:
        eans, attributes = body.get("ean"), body.get("attributes")
        if not isinstance(eans, list) or not eans or not all(_is_ean(ean) for ean in eans):
            raise Refused(400, "validation-error", "Validation failed", ean="must have 13 or 14 digits")
        if not isinstance(attributes, dict):
            raise Refused(400, "validation-error", "Validation failed", attributes="must be an object")
        if apply:
            for ean in eans:
                self.products[ean, locale] = (body, self._clock.now())

    def product(self, ean: str, locale: str) -> dict[str, Any]:
        if (ean, locale) not in self.products:
            raise Refused(404, "", "Product Data not found")
        return self.products[ean, locale][0]

    def product_status(self, ean: str, locale: str) -> dict[str, Any]:
        body = self.product(ean, locale)
        waiting = self._clock.now() < self.products[ean, locale][1] + self._rules.product_time
        missing = [name for name in self._rules.required if not body["attributes"].get(name)]
        state = "IN_PROGRESS" if waiting else "FAIL" if missing else "SUCCESS"
        return {
            "product_ready": state == "SUCCESS",
            "update_status": state,
            "id_product": self._id_of(ean) if state == "SUCCESS" else None,
            "product_not_ready_reason": {"IN_PROGRESS": "NOT_YET_PROCESSED", "FAIL": "MISSING_ATTRIBUTES"}.get(state),
            "update_fail_reason": "NOT_ENOUGH_DATA" if state == "FAIL" else None,
            "attribute_values": None,
            "missing_attributes": missing if state == "FAIL" else None,
            "min_one_missing_attributes": None,
        }

    def _product(self, body: dict[str, Any]) -> tuple[str, int]:
        ean, id_product = body.get("ean"), body.get("id_product")
        if ean is None and isinstance(id_product, int):
            return "", id_product
        if not _is_ean(ean):
            raise Refused(400, "validation-error", "Validation failed", ean="must have 13 or 14 digits")
        known = self._rules.known_eans
        made = any(key[0] == ean and self.product_status(*key)["product_ready"] for key in self.products)
        if not made and known is not None and ean not in known:
            raise Refused(400, "validation-error", "Validation failed", ean="was not found")
        return str(ean), self._id_of(str(ean))

    def _id_of(self, ean: str) -> int:
        return int(ean) % 10**9 + 1

    def _check(self, storefront: str, values: dict[str, Any]) -> None:
        highest = HIGHEST_PRICE[CURRENCIES[storefront]]
        bounds = {"amount": (0, INT32), "listing_price": (1, highest), "handling_time": (0, 100)}
        for name, (low, high) in bounds.items():
            value = values.get(name, low)
            if type(value) is not int or not low <= value <= high:
                raise Refused(400, "validation-error", "Validation failed", **{name: f"must be {low} to {high}"})
        if values.get("status", "AVAILABLE") not in {"AVAILABLE", "ONHOLD"}:
            raise Refused(
                400, "validation-error", "Validation failed", **{"unit.status": "must be AVAILABLE or ONHOLD"}
            )

    def _set_amount(self, unit: Unit, amount: int, cause: str, *, before: int | None) -> None:
        for connected in self._connected(unit.id_offer):
            connected.values["amount"] = amount
            connected.changed = self._clock.now()
        self._note(unit, before, amount, cause)

    def _connected(self, id_offer: str) -> list[Unit]:
        """The units of one id_offer on all storefronts."""
        keys = ((storefront, id_offer) for storefront in self._rules.storefronts)
        return [self._by_offer[key] for key in keys if key in self._by_offer]

    def _note(self, unit: Unit, before: int | None, amount: int, cause: str) -> None:
        self._writes += 1
        now = self._clock.now()
        write = StockWrite(self._writes, now, unit.storefront, unit.id_offer, before, amount, cause)
        self._log.append(write)
        for watch in self.on_stock_write:
            watch(write)


def _is_ean(ean: Any) -> bool:
    return isinstance(ean, str) and ean.isascii() and ean.isdecimal() and len(ean) in {13, 14} and int(ean) > 0
