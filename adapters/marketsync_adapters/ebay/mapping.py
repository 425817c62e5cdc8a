"""Between marketsync's neutral content and eBay's items, offers and groups. Pure: no I/O, no clock.

A change in what is written for the same content raises the aspect's ``mapping_version`` in the spec.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from marketsync.adapter.api import Listing, Money, OfferOp, Price, Seen, Stock
from marketsync_adapters.ebay.settings import Settings

Document = Mapping[str, Any]

ITEM_DESCRIPTION = 4_000  # characters that an item's own description takes; the listing's takes 500,000
_ITEM_FIELDS = ("condition", "conditionDescription", "conditionDescriptors", "packageWeightAndSize", "product")
_OFFER_ANSWERS = frozenset({"offerId", "status", "listing", "availableQuantity"})  # in replies, never ours to keep

CONDITIONS: Mapping[str, str] = MappingProxyType(
    {
        "new": "NEW",
        "like_new": "LIKE_NEW",
        "new_other": "NEW_OTHER",
        "open_box": "NEW_OTHER",
        "new_with_defects": "NEW_WITH_DEFECTS",
        "certified_refurbished": "CERTIFIED_REFURBISHED",
        "refurbished": "SELLER_REFURBISHED",
        "used": "USED_EXCELLENT",
        "used_very_good": "USED_VERY_GOOD",
        "used_good": "USED_GOOD",
        "used_acceptable": "USED_ACCEPTABLE",
        "for_parts": "FOR_PARTS_OR_NOT_WORKING",
    }
)
_NEUTRAL = {ebay: neutral for neutral, ebay in reversed(list(CONDITIONS.items()))}


def problem_of(op: OfferOp) -> tuple[str, str] | None:
    """What is certainly wrong with a listing, as (code, message), before a call is spent on it."""
    assert op.listing is not None
    if not op.listing.category.strip().isdecimal():
        return "no_category", "eBay wants the number of one of its categories: map the item's category."
    return None


# -------------------------------------------------------------------- items


def item_out(op: OfferOp, existing: Document | None, quantity: int | None, locale: str) -> dict[str, Any]:
    """The whole inventory item: what eBay has of it, with our content in place. ``quantity`` None: as it stands.

    eBay replaces items whole, so fields that marketsync does not know (dimensions, a description of the condition)
    are sent back as they were read.
    """
    listing = op.listing
    assert listing is not None
    had = existing or {}
    item: dict[str, Any] = {"sku": op.sku, "locale": locale.replace("-", "_")}
    item |= {name: had[name] for name in _ITEM_FIELDS if name in had}
    item["condition"] = condition_out(listing.condition)
    item["product"] = _product_out(listing, had.get("product") or {})
    if listing.weight_grams:
        weight = {"unit": "GRAM", "value": listing.weight_grams}
        item["packageWeightAndSize"] = {**(had.get("packageWeightAndSize") or {}), "weight": weight}
    item["availability"] = _availability_out(had.get("availability") or {}, quantity)
    return item


def _product_out(listing: Listing, had: Document) -> dict[str, Any]:
    ours = {"title", "description", "aspects", "brand", "imageUrls", "ean", "upc", "isbn"}
    product = {name: value for name, value in had.items() if name not in ours}
    product |= {"title": listing.title, "imageUrls": list(listing.images), "aspects": aspects_of(listing)}
    if listing.description and len(listing.description) <= ITEM_DESCRIPTION:
        product["description"] = listing.description
    if listing.brand:
        product["brand"] = listing.brand
    if listing.gtin:
        product[_identifier(listing.gtin)] = [listing.gtin]
    return product


def aspects_of(listing: Listing) -> dict[str, list[str]]:
    """Attributes and options as eBay's aspects: a list of values under each name. Several values: one per line."""
    return {
        name: [one for one in value.splitlines() if one.strip()]
        for name, value in (*listing.attributes.items(), *listing.options.items())
        if value.strip()
    }


def _identifier(gtin: str) -> str:
    if len(gtin) == 13 and gtin.startswith(("978", "979")):
        return "isbn"
    return "upc" if len(gtin) == 12 else "ean"


def condition_out(condition: str) -> str:
    """The word of eBay for a condition; one that we do not know is passed on, for eBay to judge."""
    return CONDITIONS.get(condition.strip().lower().replace(" ", "_").replace("-", "_"), condition.strip().upper())


def _availability_out(had: Document, quantity: int | None) -> dict[str, Any]:
    availability = {name: value for name, value in had.items() if name != "shipToLocationAvailability"}
    shown = had.get("shipToLocationAvailability") or {}
    if quantity is not None:
        shown = {"quantity": quantity}
    kept = {name: shown[name] for name in ("quantity", "availabilityDistributions") if name in shown}
    return {**availability, "shipToLocationAvailability": {"quantity": 0, **kept}}


def quantity_of(item: Document) -> int:
    shown = (item.get("availability") or {}).get("shipToLocationAvailability") or {}
    return int(shown.get("quantity") or 0)


# -------------------------------------------------------------------- offers


def offer_out(op: OfferOp, existing: Document | None, price: Price | None, settings: Settings) -> dict[str, Any]:
    """The whole offer: what eBay has of it, with our content in place. ``price`` None: as it stands.

    It never holds a quantity of its own: the listing then shows what the inventory item has, and no more.
    """
    listing = op.listing
    assert listing is not None
    offer = {name: value for name, value in (existing or {}).items() if name not in _OFFER_ANSWERS}
    offer |= settings.offer
    offer |= {
        "sku": op.sku,
        "marketplaceId": settings.marketplace,
        "format": "FIXED_PRICE",
        "listingDuration": "GTC",
        "categoryId": listing.category.strip(),
        "listingDescription": listing.description or listing.title,
        "merchantLocationKey": settings.merchant_location_key,
    }
    offer["listingPolicies"] = {
        **((existing or {}).get("listingPolicies") or {}),
        **(settings.offer.get("listingPolicies") or {}),
        "fulfillmentPolicyId": settings.fulfillment_policy_id,
        "paymentPolicyId": settings.payment_policy_id,
        "returnPolicyId": settings.return_policy_id,
    }
    if price is not None:
        offer["pricingSummary"] = {**(offer.get("pricingSummary") or {}), "price": amount_out(price.amount)}
    return offer


def repriced(existing: Document, price: Price) -> dict[str, Any]:
    """An offer as eBay told it, whole, with another price."""
    offer = {name: value for name, value in existing.items() if name not in _OFFER_ANSWERS}
    return {**offer, "pricingSummary": {**(offer.get("pricingSummary") or {}), "price": amount_out(price.amount)}}


def same_offer(existing: Document, wanted: Document) -> bool:
    """Whether an offer already is what would be written: then no revision is spent on it."""
    shown = {name: value for name, value in existing.items() if name not in _OFFER_ANSWERS}
    return shown == wanted and "availableQuantity" not in existing


def amount_out(money: Money) -> dict[str, str]:
    return {"value": f"{money.decimal:f}", "currency": money.currency}


def money_in(amount: Any) -> Money | None:
    """An amount of eBay's; None where it tells none."""
    if not isinstance(amount, dict) or amount.get("value") is None:
        return None
    return Money.of(Decimal(str(amount["value"])), str(amount["currency"]))


# -------------------------------------------------------------------- groups


@dataclass(frozen=True, slots=True)
class Member:
    """One SKU of a variation group. ``listing`` None: one that this channel does not write, it stays as it is."""

    sku: str
    listing: Listing | None
    aspects: Mapping[str, Sequence[str]]


def group_out(members: Sequence[Member], existing: Document | None) -> dict[str, Any]:
    """The inventory item group of a family; the first member with a listing speaks for all.

    What the members have in common are the group's aspects; their options are what it varies by.
    """
    listings = [member.listing for member in members if member.listing is not None]
    first = listings[0]
    names = list(dict.fromkeys(name for listing in listings for name in listing.options))
    common = {
        name: values
        for name, values in members[0].aspects.items()
        if name not in names and all(member.aspects.get(name) == values for member in members)
    }
    specifications = [
        {"name": name, "values": list(dict.fromkeys(v for one in members for v in one.aspects.get(name, ())))}
        for name in names
    ]
    shared = [image for image in first.images if all(image in listing.images for listing in listings)]
    had = {name: value for name, value in (existing or {}).items() if name != "inventoryItemGroupKey"}
    return {
        **had,
        "title": first.title,
        "description": first.description or first.title,
        "imageUrls": shared or list(first.images),
        "aspects": common,
        "variantSKUs": [member.sku for member in members],
        "variesBy": {**(had.get("variesBy") or {}), "specifications": specifications},
    }


# -------------------------------------------------------------------- reading back


def seen(item: Document, offer: Document | None, channel_id: str) -> Seen:
    """What eBay shows of a SKU. Without its offer nothing is known of the price."""
    product = item.get("product") or {}
    weight = (item.get("packageWeightAndSize") or {}).get("weight") or {}
    quantity = quantity_of(item)
    if offer is not None and offer.get("availableQuantity") is not None:
        quantity = min(quantity, int(offer["availableQuantity"]))
    price = money_in(((offer or {}).get("pricingSummary") or {}).get("price"))
    condition = str(item.get("condition") or "")
    codes = next((product[name] for name in ("ean", "upc", "isbn") if product.get(name)), [""])
    return Seen(
        sku=str(item["sku"]),
        channel_id=channel_id,
        listing=Listing(
            title=str(product.get("title") or ""),
            brand=str(product.get("brand") or ""),
            gtin=str(codes[0]),
            condition=_NEUTRAL.get(condition, condition.lower()),
            images=tuple(product.get("imageUrls") or ()),
            attributes={name: "\n".join(values) for name, values in (product.get("aspects") or {}).items()},
            weight_grams=int(weight["value"]) if weight.get("unit") == "GRAM" and weight.get("value") else None,
        ),
        price=None if price is None else Price(amount=price),
        stock=Stock(quantity=quantity),
    )
