"""What an offer may look like. Pure: a raw item in, the value as the market keeps it out, or what is wrong with it.

The market changes some values without saying so, as real ones do: white space in titles and descriptions is trimmed
and runs of it in titles become one space; an image named twice is kept once; attributes without a value are dropped.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from marketsync.adapter.api import Money
from marketsync_adapters.sandbox.rules import Rules

CONDITIONS = frozenset({"new", "used", "refurbished"})


class Unfit(Exception):
    """One item is refused: which field, the market's code and its sentence."""

    def __init__(self, code: str, message: str, field: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status
        self.report = {"code": code, "message": message, "field": field}


def clean_sku(raw: Any, rules: Rules) -> str:
    if not isinstance(raw, str) or not raw or raw != raw.strip():
        raise Unfit("sku_invalid", "A SKU is a text without white space at its ends.", "sku")
    if len(raw) > rules.sku_length:
        raise Unfit("sku_too_long", f"A SKU has at most {rules.sku_length} characters, this one {len(raw)}.", "sku")
    return raw


def clean_listing(raw: Any, rules: Rules) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise Unfit("listing_invalid", "A listing is an object.", "listing")
    title = " ".join(_text(raw, "title").split())
    if not title:
        raise Unfit("title_missing", "A listing needs a title.", "title")
    if len(title) > rules.title_length:
        message = f"A title has at most {rules.title_length} characters, this one {len(title)}."
        raise Unfit("title_too_long", message, "title")
    description = _text(raw, "description").strip()
    if len(description) > rules.description_length:
        message = f"A description has at most {rules.description_length} characters, this one {len(description)}."
        raise Unfit("description_too_long", message, "description")
    condition = _text(raw, "condition") or "new"
    if condition not in CONDITIONS:
        message = f"{condition!r} is no condition: {', '.join(sorted(CONDITIONS))}."
        raise Unfit("unknown_condition", message, "condition")
    category = _text(raw, "category")
    if rules.categories is not None and category not in rules.categories:
        raise Unfit("unknown_category", f"{category!r} is no category of this market.", "category")
    options = _texts(raw, "options")
    if rules.options is not None and (strange := sorted(set(options) - rules.options)):
        message = f"{strange[0]!r} is no option of this market: {', '.join(sorted(rules.options))}."
        raise Unfit("unknown_option", message, "options")
    return {
        "title": title,
        "description": description,
        "brand": _text(raw, "brand").strip(),
        "gtin": _text(raw, "gtin").strip(),
        "category": category,
        "condition": condition,
        "images": _images(raw),
        "attributes": {name: value for name, value in _texts(raw, "attributes").items() if value},
        "options": options,
        "weight_grams": _weight(raw),
        "family": _text(raw, "family"),
    }


def clean_price(raw: Any, currency: str, rules: Rules) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise Unfit("price_invalid", "A price is an object with amount and currency.", "price")
    amount = _amount(raw.get("amount"), raw.get("currency"), currency, rules)
    price: dict[str, Any] = {"amount": str(amount.decimal), "currency": currency}
    if raw.get("sale") is not None:
        sale = _amount(raw["sale"], raw.get("currency"), currency, rules)
        if sale.minor >= amount.minor:
            raise Unfit("sale_not_lower", "A sale price is lower than the price.", "sale")
        starts, ends = _time(raw, "sale_starts"), _time(raw, "sale_ends")
        if starts and ends and starts >= ends:
            raise Unfit("sale_dates_invalid", "A sale ends after it starts.", "sale_ends")
        price |= {
            "sale": str(sale.decimal),
            "sale_starts": raw.get("sale_starts"),
            "sale_ends": raw.get("sale_ends"),
        }
    if raw.get("reference") is not None:
        price["reference"] = str(_amount(raw["reference"], raw.get("currency"), currency, rules).decimal)
    return price


def clean_stock(raw: Mapping[str, Any], rules: Rules) -> tuple[int, dict[str, int]]:
    quantity = _quantity(raw.get("quantity"), rules)
    locations = raw.get("locations")
    if not locations:
        return quantity, {}
    if not isinstance(locations, dict):
        raise Unfit("locations_invalid", "Locations are an object of quantities by name.", "locations")
    cleaned = {str(name): _quantity(pieces, rules) for name, pieces in locations.items()}
    if sum(cleaned.values()) != quantity:
        message = f"The locations hold {sum(cleaned.values())} pieces, the quantity says {quantity}."
        raise Unfit("locations_mismatch", message, "locations")
    return quantity, cleaned


def _quantity(raw: Any, rules: Rules) -> int:
    if type(raw) is not int or not 0 <= raw <= rules.highest_quantity:
        message = f"A quantity is a whole number from 0 to {rules.highest_quantity}."
        raise Unfit("quantity_out_of_range", message, "quantity")
    return raw


def _amount(raw: Any, named: Any, currency: str, rules: Rules) -> Money:
    if named != currency:
        raise Unfit("wrong_currency", f"This storefront sells in {currency}, not in {named}.", "currency")
    try:
        decimal = Decimal(raw) if isinstance(raw, str) else Decimal("NaN")
    except InvalidOperation:
        decimal = Decimal("NaN")
    if not decimal.is_finite():
        raise Unfit("price_invalid", "An amount is a decimal number in a text, such as '9.99'.", "price")
    amount = Money.of(decimal, currency)
    if amount.decimal != decimal:
        raise Unfit("price_invalid", f"{currency} has no fraction as small as in {raw}.", "price")
    if amount.minor <= 0:
        raise Unfit("price_not_positive", "A price is above zero.", "price")
    if amount.minor > rules.highest_price:
        highest = Money(rules.highest_price, currency)
        raise Unfit("price_too_high", f"A price is at most {highest}.", "price")
    return amount


def _time(raw: Mapping[str, Any], name: str) -> datetime | None:
    if raw.get(name) is None:
        return None
    try:
        time = datetime.fromisoformat(raw[name])
    except (TypeError, ValueError):
        time = None
    if time is None or time.tzinfo is None:
        raise Unfit("time_invalid", "A time is ISO 8601 with its offset.", name)
    return time


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name, "")
    if not isinstance(value, str):
        raise Unfit("field_invalid", f"{name} is a text.", name)
    return value


def _texts(raw: Mapping[str, Any], name: str) -> dict[str, str]:
    value = raw.get(name, {})
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise Unfit("field_invalid", f"{name} is an object of texts.", name)
    return value


def _images(raw: Mapping[str, Any]) -> list[str]:
    images = raw.get("images", [])
    if not isinstance(images, list):
        raise Unfit("field_invalid", "images is a list of addresses.", "images")
    for image in images:
        if not isinstance(image, str) or not image.startswith(("https://", "http://")):
            raise Unfit("image_invalid", f"{str(image)[:80]!r} is no address of an image.", "images")
    return list(dict.fromkeys(images))


def _weight(raw: Mapping[str, Any]) -> int | None:
    weight = raw.get("weight_grams")
    if weight is not None and (type(weight) is not int or weight < 0):
        raise Unfit("field_invalid", "weight_grams is a whole number of grams.", "weight_grams")
    return weight
