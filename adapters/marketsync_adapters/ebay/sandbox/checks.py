"""What an item and an offer have to be before eBay takes them, and before it makes them live."""

import re
from typing import Any

from marketsync_adapters.ebay.sandbox.rules import Refused, Rules

SKU = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,49}")  # "alphanumeric", and what sellers get away with
CONDITIONS = frozenset(
    {
        "NEW", "LIKE_NEW", "NEW_OTHER", "NEW_WITH_DEFECTS", "MANUFACTURER_REFURBISHED", "CERTIFIED_REFURBISHED",
        "EXCELLENT_REFURBISHED", "VERY_GOOD_REFURBISHED", "GOOD_REFURBISHED", "SELLER_REFURBISHED", "USED_EXCELLENT",
        "USED_VERY_GOOD", "USED_GOOD", "USED_ACCEPTABLE", "FOR_PARTS_OR_NOT_WORKING",
    }
)  # fmt: skip
LARGEST = 2**31 - 1


def check_sku(sku: Any, error_id: int = 25707) -> str:
    if not isinstance(sku, str) or not SKU.fullmatch(sku):
        raise Refused(400, error_id, "Invalid sku. sku has to be alphanumeric with upto 50 characters in length")
    return sku


def check_item(item: dict[str, Any], rules: Rules) -> None:
    """What is refused at once, whether the item is live or not."""
    if not item.get("locale"):
        raise Refused(400, 25733, "Valid SKU and locale information are required for all the InventoryItems.")
    if (condition := item.get("condition")) is not None and condition not in CONDITIONS:
        raise Refused(400, 25021, f"Invalid condition information. {condition}")
    _check_product(item.get("product") or {}, rules)
    check_quantity((item.get("availability") or {}).get("shipToLocationAvailability", {}).get("quantity", 0))


def _check_product(product: dict[str, Any], rules: Rules) -> None:
    if len(product.get("title") or "") > rules.title_length:
        raise Refused(400, 25016, f"Invalid title. At most {rules.title_length} characters are allowed.")
    if len(product.get("description") or "") > 4_000:
        raise Refused(400, 25016, "Invalid description. At most 4000 characters are allowed.")
    for image in product.get("imageUrls") or ():
        if not str(image).startswith("https://"):
            raise Refused(400, 25015, f"Invalid picture URL. {image}")
    if len(product.get("imageUrls") or ()) > rules.images:
        raise Refused(400, 25014, f"Invalid pictures. At most {rules.images} are allowed.")
    for code in (product.get("ean") or []) + (product.get("upc") or []) + (product.get("isbn") or []):
        if not str(code).isdecimal() or not int(code):
            raise Refused(400, 25503, f"Invalid product information. {code}")
    for values in (product.get("aspects") or {}).values():
        if not isinstance(values, list) or any(len(str(value)) > 65 for value in values):
            raise Refused(400, 25502, "Invalid attribute information. A value has 65 characters at most.")


def check_quantity(quantity: Any) -> int:
    if type(quantity) is not int or not 0 <= quantity <= LARGEST:
        raise Refused(400, 25004, "Invalid quantity. It is 0 or more.")
    return quantity


def check_price(price: Any, rules: Rules) -> None:
    if not isinstance(price, dict) or not re.fullmatch(r"\d+(\.\d{1,2})?", str(price.get("value"))):
        raise Refused(400, 25003, "Invalid price. It is a positive amount with two decimals.")
    if price.get("currency") != rules.currency:
        raise Refused(400, 25003, f"Invalid price. The currency of {rules.marketplace} is {rules.currency}.")
    if not float(price["value"]):
        raise Refused(400, 25003, "Invalid price. It is above zero.")


def check_live(item: dict[str, Any], offer: dict[str, Any], rules: Rules) -> None:
    """What an offer needs to be live."""
    product = item.get("product") or {}
    if not (product.get("title") or "").strip():
        raise Refused(400, 25017, "Missing information in fields: title.")
    if not product.get("imageUrls"):
        raise Refused(400, 25002, "A user error has occurred. Add at least 1 photo.")
    if not item.get("condition"):
        raise Refused(400, 25021, "Invalid condition information. It is missing.")
    if not str(offer.get("categoryId") or "").isdecimal():
        raise Refused(400, 25005, "Invalid category. It is no leaf category.")
    if not (offer.get("listingDescription") or product.get("description") or "").strip():
        raise Refused(400, 25016, "Invalid description. It is missing.")
    policies = offer.get("listingPolicies") or {}
    for error_id, kind in ((25007, "fulfillment"), (25008, "payment"), (25009, "return")):
        if policies.get(f"{kind}PolicyId") != rules.policies[kind]:
            raise Refused(400, error_id, f"Invalid {kind} policy information.")
    if offer.get("merchantLocationKey") != rules.location:
        raise Refused(400, 25012, "Invalid location. The inventory location is not known.")
    check_price((offer.get("pricingSummary") or {}).get("price"), rules)
