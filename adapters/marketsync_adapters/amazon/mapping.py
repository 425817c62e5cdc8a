"""Between neutral offers and Amazon's listing attributes. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from marketsync.adapter.api import Aspect, Listing, Money, OfferOp, Price, Seen, Stock
from marketsync.adapter.errors import ItemRefused, UnexpectedReply
from marketsync_adapters.amazon.client import moment, stamp
from marketsync_adapters.amazon.marketplaces import Marketplace

OFFER_TYPE = "PRODUCT"  # what Amazon calls any product where only the terms of sale are written
ASIN = "merchant_suggested_asin"
MERCHANT = "DEFAULT"  # the fulfilment channel of what the seller ships; every other is Amazon's
MOST_IMAGES = 9

CONDITIONS: Mapping[str, str] = {
    "new": "new_new",
    "refurbished": "refurbished_refurbished",
    "used": "used_good",
    "used_like_new": "used_like_new",
    "used_very_good": "used_very_good",
    "used_good": "used_good",
    "used_acceptable": "used_acceptable",
}
# Attributes whose plain text carries a language. All others take what the mapping gives as JSON, or a bare value.
LOCALISED = frozenset(
    {
        "item_name", "product_description", "bullet_point", "brand", "manufacturer", "color", "size", "style", "material",
        "pattern", "generic_keyword", "model_name", "special_feature", "included_components", "care_instructions",
    }
)  # fmt: skip
_GTIN_TYPES = {8: "ean", 12: "upc", 13: "ean", 14: "gtin"}

Attributes = dict[str, list[dict[str, Any]]]


class Terms:
    """How one channel writes: its storefront and what its settings add to every offer."""

    def __init__(self, market: Marketplace, *, handling_days: int | None = None, shipping_group: str = "") -> None:
        self.market = market
        self.handling_days = handling_days
        self.shipping_group = shipping_group


def put_out(op: OfferOp, terms: Terms) -> dict[str, Any]:
    """The whole offer, to create or replace it. Raises ``ItemRefused`` where it is neither an offer nor a product."""
    assert op.listing is not None
    requirements = "LISTING_OFFER_ONLY" if _is_offer(op.listing) else "LISTING"
    attributes = _attributes(op, op.changed, terms)
    return {"productType": product_type(op.listing), "requirements": requirements, "attributes": attributes}


def patch_out(op: OfferOp, terms: Terms) -> dict[str, Any]:
    """The changed aspects of an offer that exists."""
    kind = product_type(op.listing) if Aspect.LISTING in op.changed and op.listing is not None else OFFER_TYPE
    patches = [
        # Merging a quantity leaves the seller's own restock date and handling time alone; a price is replaced whole,
        # so that a sale price which is left out ends.
        {"op": "merge" if name == "fulfillment_availability" else "replace", "path": f"/attributes/{name}", "value": v}
        for name, v in _attributes(op, op.changed, terms).items()
    ]
    return {"productType": kind, "patches": patches}


def product_type(listing: Listing) -> str:
    if _is_offer(listing):
        return OFFER_TYPE
    if not listing.category:
        message = f"give the ASIN to sell on (attribute {ASIN}), or a product type as the channel's category"
        raise ItemRefused(message, code="no_product")
    return listing.category


def _is_offer(listing: Listing) -> bool:
    return bool(listing.attributes.get(ASIN))


def _attributes(op: OfferOp, aspects: frozenset[Aspect], terms: Terms) -> Attributes:
    attributes: Attributes = {}
    if Aspect.LISTING in aspects and op.listing is not None:
        attributes |= listing_out(op, op.listing, terms)
    if Aspect.PRICE in aspects and op.price is not None:
        attributes["purchasable_offer"] = [price_out(op.price, terms.market)]
    if Aspect.STOCK in aspects and op.stock is not None:
        attributes["fulfillment_availability"] = [stock_out(op.stock, terms)]
    return attributes


def stock_out(stock: Stock, terms: Terms) -> dict[str, Any]:
    days = {} if terms.handling_days is None else {"lead_time_to_ship_max_days": terms.handling_days}
    return {"fulfillment_channel_code": MERCHANT, "quantity": stock.quantity} | days


def price_out(price: Price, market: Marketplace) -> dict[str, Any]:
    if price.amount.currency != market.currency:
        message = f"Amazon {market.country} sells in {market.currency}, not {price.amount.currency}"
        raise ItemRefused(message, code="currency")
    offer: dict[str, Any] = {
        "marketplace_id": market.id,
        "currency": market.currency,
        "audience": "ALL",
        "our_price": [{"schedule": [{"value_with_tax": price.amount.decimal}]}],
    }
    if price.sale is not None:
        schedule: dict[str, Any] = {"value_with_tax": price.sale.decimal}
        for name, time in (("start_at", price.sale_starts), ("end_at", price.sale_ends)):
            if time is not None:
                schedule[name] = stamp(time)
        offer["discounted_price"] = [{"schedule": [schedule]}]
    return offer


def listing_out(op: OfferOp, listing: Listing, terms: Terms) -> Attributes:
    """What a listing says. An offer on an existing ASIN says its condition and what the mapping passes through."""
    market = terms.market
    language = listing.language.replace("-", "_") or market.language
    attributes: Attributes = {}
    if not _is_offer(listing):
        attributes |= _product_out(listing, market, language)
        attributes |= _family_out(op, listing, market)
    condition = CONDITIONS.get(listing.condition, listing.condition)
    attributes["condition_type"] = _value(condition, market)
    if terms.shipping_group:
        attributes["merchant_shipping_group"] = _value(terms.shipping_group, market)
    for name, text in listing.attributes.items():
        if text:
            attributes[name] = _passed(name, text, market, language)
    return attributes


def _product_out(listing: Listing, market: Marketplace, language: str) -> Attributes:
    attributes: Attributes = {}
    for name, text in (
        ("item_name", listing.title),
        ("product_description", listing.description),
        ("brand", listing.brand),
        *((option.lower().replace(" ", "_"), text) for option, text in listing.options.items()),
    ):
        if text:
            attributes[name] = _passed(name, text, market, language, plain=True)
    if listing.gtin:
        kind = _GTIN_TYPES.get(len(listing.gtin), "gtin")
        attributes["externally_assigned_product_identifier"] = [{**_value(listing.gtin, market)[0], "type": kind}]
    for number, url in enumerate(listing.images[:MOST_IMAGES]):
        name = f"other_product_image_locator_{number}" if number else "main_product_image_locator"
        attributes[name] = [{"media_location": url, "marketplace_id": market.id}]
    if listing.weight_grams:
        attributes["item_weight"] = [{**_value(listing.weight_grams, market)[0], "unit": "grams"}]
    return attributes


def _family_out(op: OfferOp, listing: Listing, market: Marketplace) -> Attributes:
    """A variant hangs on its parent where the mapping names the theme; the parent is an item of its own."""
    if not op.family or not listing.attributes.get("variation_theme"):
        return {}
    relation = {"child_relationship_type": "variation", "parent_sku": op.family, "marketplace_id": market.id}
    return {"parentage_level": _value("child", market), "child_parent_sku_relationship": [relation]}


def _passed(name: str, text: str, market: Marketplace, language: str, *, plain: bool = False) -> list[dict[str, Any]]:
    """An attribute as the mapping gives it: JSON (a list of objects, or one) as it is, other text as its value."""
    given = None if plain else _json(text)
    if given is not None:
        return [{"marketplace_id": market.id} | one for one in given]
    spoken = {"language_tag": language} if name in LOCALISED else {}
    return [{**_value(text, market)[0], **spoken}]


def _json(text: str) -> list[dict[str, Any]] | None:
    if text[:1] not in "[{":
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    values = value if isinstance(value, list) else [value]
    return values if values and all(isinstance(one, dict) for one in values) else None


def _value(value: Any, market: Marketplace) -> list[dict[str, Any]]:
    return [{"value": value, "marketplace_id": market.id}]


# -------------------------------------------------------------------- reading


def seen(item: Mapping[str, Any], market: Marketplace) -> Seen:
    """What an item shows in one storefront. What the seller has not contributed himself is not told."""
    attributes = item.get("attributes") or {}
    ours = by_merchant(item)
    return Seen(
        sku=item["sku"],
        channel_id=item["sku"],
        listing=_listing_in(attributes, market),
        price=price_in(item, market),
        stock=stock_in(item),
        fulfilled_by="merchant" if ours else "channel",
    )


def by_merchant(item: Mapping[str, Any]) -> bool:
    codes = [one.get("fulfillmentChannelCode") for one in item.get("fulfillmentAvailability") or ()]
    return not codes or MERCHANT in codes


def stock_in(item: Mapping[str, Any]) -> Stock | None:
    for one in item.get("fulfillmentAvailability") or ():
        if one.get("fulfillmentChannelCode") == MERCHANT and one.get("quantity") is not None:
            return Stock(quantity=int(one["quantity"]))
    return None


def price_in(item: Mapping[str, Any], market: Marketplace) -> Price | None:
    """The price as it was contributed, with its sale price; else what buyers pay now."""
    for offer in (item.get("attributes") or {}).get("purchasable_offer", ()):
        same = offer.get("marketplace_id", market.id) == market.id and offer.get("audience", "ALL") == "ALL"
        amount = _scheduled(offer, "our_price") if same else None
        if amount is None:
            continue
        currency = offer.get("currency", market.currency)
        sale = _scheduled(offer, "discounted_price")
        return Price(
            amount=Money.of(_decimal(amount["value_with_tax"]), currency),
            sale=None if sale is None else Money.of(_decimal(sale["value_with_tax"]), currency),
            sale_starts=_time(sale, "start_at"),
            sale_ends=_time(sale, "end_at"),
        )
    for offer in item.get("offers") or ():
        audience = (offer.get("audience") or {}).get("value", "ALL")
        if (offer.get("marketplaceId"), offer.get("offerType"), audience) == (market.id, "B2C", "ALL"):
            return Price(amount=Money.of(offer["price"]["amount"], offer["price"]["currencyCode"]))
    return None


def _scheduled(offer: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    for price in offer.get(name) or ():
        for schedule in price.get("schedule") or ():
            if schedule.get("value_with_tax") is not None:
                found: Mapping[str, Any] = schedule
                return found
    return None


def _time(schedule: Mapping[str, Any] | None, name: str) -> datetime | None:
    text = (schedule or {}).get(name)
    return None if not text else moment(text if "T" in text else f"{text}T00:00:00Z")


def _decimal(value: Any) -> Decimal:
    if not isinstance(value, int | Decimal | str):
        raise UnexpectedReply(f"Amazon answered {type(value).__name__} in the place of an amount")
    return Decimal(value)


def _listing_in(attributes: Mapping[str, Any], market: Marketplace) -> Listing | None:
    title = _text(attributes, "item_name", market)
    if not title:
        return None  # an offer on somebody else's product page: the page is not ours to compare
    names = ["main_product_image_locator", *(f"other_product_image_locator_{n}" for n in range(1, MOST_IMAGES))]
    images = [_of(attributes.get(name), market).get("media_location") for name in names]
    back = {code: name for name, code in reversed(list(CONDITIONS.items()))}
    condition = _text(attributes, "condition_type", market)
    return Listing(
        title=title,
        description=_text(attributes, "product_description", market),
        brand=_text(attributes, "brand", market),
        condition=back.get(condition, condition),
        images=tuple(image for image in images if image),
    )


def _text(attributes: Mapping[str, Any], name: str, market: Marketplace) -> str:
    return str(_of(attributes.get(name), market).get("value", ""))


def _of(values: Sequence[Mapping[str, Any]] | None, market: Marketplace) -> Mapping[str, Any]:
    """The value of an attribute that belongs to a storefront; an attribute may hold one per storefront and language."""
    ours = [value for value in values or () if value.get("marketplace_id", market.id) == market.id]
    spoken = [value for value in ours if value.get("language_tag", market.language) == market.language]
    return next(iter([*spoken, *ours]), {})
