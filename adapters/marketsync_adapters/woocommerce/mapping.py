"""Between marketsync's neutral content and WooCommerce's products. Pure: no I/O, no clock.

A change in what is written for the same content raises the aspect's ``mapping_version`` in the spec.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from marketsync.adapter.api import Aspect, Listing, Money, OfferOp, Price, Seen, Stock
from marketsync_adapters.woocommerce.errors import Refusal
from marketsync_adapters.woocommerce.settings import Settings

Document = Mapping[str, Any]

IMAGES_KEY = "_marketsync_images"  # the addresses that a product's images were made of, in their order
SKU_LENGTH = 100
HIDDEN = "private"
SEPARATOR = " | "

_GRAMS = {"kg": Decimal(1000), "g": Decimal(1), "lbs": Decimal("453.59237"), "oz": Decimal("28.349523125")}
_STRIPPED = re.compile(r"<|%[0-9a-fA-F]{2}|[\x00-\x1f\x7f]|  ")


@dataclass(frozen=True, slots=True)
class Shop:
    """What a push has to know of the shop: its categories and shared attributes, by name."""

    categories: Mapping[str, int] = field(default_factory=dict)  # "a > b" in lower case -> id
    attributes: Mapping[str, int] = field(default_factory=dict)  # name in lower case -> id


def storable(sku: str) -> bool:
    """Whether the shop keeps this SKU letter by letter: what it would change could never be found again."""
    return 0 < len(sku) <= SKU_LENGTH and sku == sku.strip() and not _STRIPPED.search(sku)


def faults(op: OfferOp, settings: Settings) -> Refusal | None:
    """Why an op cannot be sent as it is; None where it can."""
    if not storable(op.sku):
        return Refusal("sku_not_storable", f"WooCommerce cannot keep the SKU {op.sku!r} as it is.")
    if Aspect.LISTING in op.changed and op.listing is not None and not op.listing.title.strip():
        return Refusal("title_missing", "The product has no title.")
    if Aspect.PRICE in op.changed and op.price is not None:
        if op.price.amount.currency != settings.currency:
            message = f"The price is in {op.price.amount.currency}, the shop sells in {settings.currency}."
            return Refusal("wrong_currency", message)
        if op.price.gross != (settings.prices == "gross"):
            return Refusal("gross_net", f"The shop's prices are {settings.prices}, this one is not.")
    return None


# Neutral content -> the shop's.


def simple_out(op: OfferOp, shop: Shop, settings: Settings, known: Document | None) -> dict[str, Any]:
    """A simple product, with the aspects that changed. ``known``: what the shop has; None creates it."""
    document = _start(op.sku, settings, known)
    if known is None:
        document["type"] = "simple"
    if Aspect.LISTING in op.changed:
        listing = _listing(op)
        document |= _text(listing, shop) | images_out(listing.images, known)
        document |= _weight(listing, settings) | _gtin(listing, settings)
        own = {**_own_attributes(listing, settings), **listing.options}
        if attributes := [_attribute(name, [value], shop) for name, value in own.items() if value.strip()]:
            document["attributes"] = attributes
    return document | commerce_out(op)


def family_out(
    sku: str, members: Sequence[OfferOp], shop: Shop, settings: Settings, known: Document | None
) -> dict[str, Any]:
    """The variable product of a family: what its members share, and the union of what tells them apart."""
    listings = [member.listing for member in members if member.listing is not None]
    whole = len(listings) == len(members)
    options: dict[str, list[str]] = {}
    if known is not None:
        options = {one["name"]: list(one["options"]) for one in known["attributes"] if one.get("variation")}
    own: dict[str, list[str]] = {}
    for listing in listings:
        _gather(options, listing.options)
        _gather(own, _own_attributes(listing, settings))
    names = {name.lower() for name in options}
    attributes = [_attribute(name, values, shop, variation=True) for name, values in options.items()]
    attributes += [_attribute(name, values, shop) for name, values in own.items() if name.lower() not in names]
    images = [image for listing in listings for image in listing.images]
    if not whole:
        images += sources(known)
    document = _start(sku, settings, known) | {"type": "variable", "attributes": attributes}
    return document | _text(listings[0], shop) | images_out(images, known)


def variation_out(
    op: OfferOp, shop: Shop, settings: Settings, known: Document | None, parent: Document
) -> dict[str, Any]:
    """A variation, with the aspects that changed. Its picture is one of its parent's, uploaded once."""
    document = _start(op.sku, settings, known)
    if Aspect.LISTING in op.changed:
        listing = _listing(op)
        document["description"] = "" if listing.description == parent.get("description") else listing.description
        document |= _weight(listing, settings) | _gtin(listing, settings)
        document["attributes"] = [
            {**_attribute_name(name, shop), "option": value} for name, value in listing.options.items()
        ]
        if listing.images:
            ids = image_ids(parent)
            first = listing.images[0]
            document["image"] = {"id": ids[first]} if first in ids else {"src": first}
            document["meta_data"] = [_sources_meta(listing.images)]
    return document | commerce_out(op)


def commerce_out(op: OfferOp) -> dict[str, Any]:
    """Price and stock, where they changed. ``manage_stock`` goes with every quantity: without it the shop ignores it."""
    document: dict[str, Any] = {}
    if Aspect.PRICE in op.changed:
        assert op.price is not None, "an op that changes the price carries it"
        document |= {
            "regular_price": _decimal(op.price.amount),
            "sale_price": "" if op.price.sale is None else _decimal(op.price.sale),
            "date_on_sale_from_gmt": _time_out(op.price.sale_starts if op.price.sale else None),
            "date_on_sale_to_gmt": _time_out(op.price.sale_ends if op.price.sale else None),
        }
    if Aspect.STOCK in op.changed:
        assert op.stock is not None, "an op that changes the stock carries it"
        document |= {"manage_stock": True, "stock_quantity": op.stock.quantity}
    return document


def images_out(wanted: Iterable[str], known: Document | None) -> dict[str, Any]:
    """Images that are in the shop already by their ids: each address that is sent is downloaded and stored again.

    Nothing where nothing changes, and where we have no images and did not upload those that are there.
    """
    images = list(dict.fromkeys(wanted))
    have = sources(known)
    if images == have:
        return {}
    ids = image_ids(known)
    documents = [{"id": ids[image]} if image in ids else {"src": image} for image in images]
    return {"images": documents, "meta_data": [_sources_meta(images)]}


def new_images(document: Document) -> int:
    """How many images the shop downloads for a document that we send."""
    images = [*document.get("images", ()), *([document["image"]] if document.get("image") else ())]
    return sum("src" in image for image in images)


def sources(document: Document | None) -> list[str]:
    """The addresses that the images of a product were made of; none where we did not upload them."""
    for meta in document.get("meta_data", ()) if document else ():
        if meta.get("key") == IMAGES_KEY:
            try:
                addresses = json.loads(meta["value"])
            except (TypeError, ValueError):
                return []
            return [str(one) for one in addresses] if isinstance(addresses, list) else []
    return []


def image_ids(document: Document | None) -> dict[str, int]:
    """Media ids by address; none where somebody changed the pictures in the shop."""
    images, addresses = (document or {}).get("images") or (), sources(document)
    if len(images) != len(addresses):
        return {}
    return {address: image["id"] for address, image in zip(addresses, images, strict=True)}


# The shop's products -> neutral content.


def channel_id(document: Document, parent_id: int | None = None) -> str:
    """What the engine keeps: the product's id, or "product:variation"."""
    return f"{parent_id}:{document['id']}" if parent_id else str(document["id"])


def shown(document: Document) -> bool:
    """Whether the shop shows it, or will once a person publishes it. What we withdrew is private."""
    return bool(document.get("sku")) and document.get("status") not in {HIDDEN, "trash", "auto-draft"}


def seen_product(document: Document, settings: Settings) -> Seen:
    return Seen(
        sku=document["sku"],
        channel_id=channel_id(document),
        listing=_seen_listing(document, document, settings, {}),
        price=_seen_price(document, settings),
        stock=_seen_stock(document),
    )


def seen_variation(document: Document, parent: Document, settings: Settings) -> Seen:
    options = {one["name"]: one["option"] for one in document.get("attributes", ()) if one.get("option")}
    return Seen(
        sku=document["sku"],
        channel_id=channel_id(document, parent["id"]),
        listing=_seen_listing(document, parent, settings, options),
        price=_seen_price(document, settings),
        stock=_seen_stock(document),
    )


def _seen_listing(document: Document, parent: Document, settings: Settings, options: Mapping[str, str]) -> Listing:
    attributes = {
        one["name"]: SEPARATOR.join(one["options"]) for one in parent.get("attributes", ()) if not one.get("variation")
    }
    brand = attributes.pop(settings.brand_attribute, "")
    categories = [str(category["name"]) for category in parent.get("categories", ())]
    return Listing(
        title=parent["name"],
        description=document.get("description") or parent.get("description") or "",
        brand=brand,
        gtin=document.get("global_unique_id") or "",
        category=categories[0] if categories else "",
        images=tuple(_seen_images(document)),
        attributes=attributes,
        options=dict(options),
        weight_grams=_grams(document.get("weight") or "", settings),
    )


def _seen_images(document: Document) -> list[str]:
    images = document.get("images")
    if images is None:  # a variation has one
        return sources(document) if document.get("image") else []
    return sources(document) if image_ids(document) else [image["src"] for image in images]


def _seen_price(document: Document, settings: Settings) -> Price | None:
    if not document.get("regular_price"):
        return None
    sale = document.get("sale_price")
    return Price(
        amount=Money.of(document["regular_price"], settings.currency),
        gross=settings.prices == "gross",
        sale=Money.of(sale, settings.currency) if sale else None,
        sale_starts=time_in(document.get("date_on_sale_from_gmt")) if sale else None,
        sale_ends=time_in(document.get("date_on_sale_to_gmt")) if sale else None,
    )


def _seen_stock(document: Document) -> Stock | None:
    """None where the shop does not count this one, or counts its parent ("parent")."""
    if document.get("manage_stock") is not True or document.get("stock_quantity") is None:
        return None
    return Stock(quantity=int(document["stock_quantity"]))


def time_in(text: str | None) -> datetime | None:
    """A ``*_gmt`` time: the shop writes UTC without saying so."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


def _start(sku: str, settings: Settings, known: Document | None) -> dict[str, Any]:
    if known is None:
        return {"sku": sku, "status": settings.new_products}
    document: dict[str, Any] = {"id": known["id"]}
    if known.get("status") == HIDDEN:  # it was withdrawn
        document["status"] = settings.new_products
    return document


def _listing(op: OfferOp) -> Listing:
    assert op.listing is not None, "an op that changes the listing carries it"
    return op.listing


def _text(listing: Listing, shop: Shop) -> dict[str, Any]:
    document: dict[str, Any] = {"name": listing.title, "description": listing.description}
    if listing.category:
        document["categories"] = [{"id": category_id(listing.category, shop)}]
    return document


def category_id(category: str, shop: Shop) -> int | None:
    """A category by its id, or by its name or path ("Home > Kitchen")."""
    return shop.categories.get(category_key(category)) or (int(category) if category.isdecimal() else None)


def category_key(category: str) -> str:
    return ">".join(part.strip().lower() for part in category.split(">"))


def category_keys(documents: Sequence[Document]) -> dict[str, int]:
    """Ids by path and, where it is the only one of its name, by name. The shop escapes "&" in names."""
    by_id = {document["id"]: document for document in documents}
    found: dict[str, list[int]] = {}
    for document in documents:
        name = _unescaped(document["name"])
        names, above = [name], document.get("parent")
        while above in by_id and len(names) < 20:
            names.insert(0, _unescaped(by_id[above]["name"]))
            above = by_id[above].get("parent")
        for key in {category_key(" > ".join(names)), category_key(name)}:
            found.setdefault(key, []).append(document["id"])
    return {key: ids[0] for key, ids in found.items() if len(ids) == 1}


def _unescaped(name: str) -> str:
    return name.replace("&amp;", "&")


def _own_attributes(listing: Listing, settings: Settings) -> dict[str, str]:
    brand = {settings.brand_attribute: listing.brand} if settings.brand_attribute and listing.brand else {}
    return {name: value for name, value in {**brand, **listing.attributes}.items() if value.strip()}


def _gather(values: dict[str, list[str]], more: Mapping[str, str]) -> None:
    for name, value in more.items():
        known = values.setdefault(next((one for one in values if one.lower() == name.lower()), name), [])
        if value.strip() and value not in known:
            known.append(value)


def _attribute(name: str, options: Sequence[str], shop: Shop, *, variation: bool = False) -> dict[str, Any]:
    return {**_attribute_name(name, shop), "visible": True, "variation": variation, "options": list(options)}


def _attribute_name(name: str, shop: Shop) -> dict[str, Any]:
    shared = shop.attributes.get(name.lower())
    return {"id": shared} if shared else {"name": name}


def _weight(listing: Listing, settings: Settings) -> dict[str, Any]:
    if listing.weight_grams is None:
        return {}
    return {"weight": _plain(round(Decimal(listing.weight_grams) / _GRAMS[settings.weight_unit], 4))}


def _grams(weight: str, settings: Settings) -> int | None:
    return round(Decimal(weight) * _GRAMS[settings.weight_unit]) if weight else None


def _gtin(listing: Listing, settings: Settings) -> dict[str, Any]:
    return {"global_unique_id": listing.gtin} if settings.gtin else {}


def _sources_meta(images: Iterable[str]) -> dict[str, str]:
    return {"key": IMAGES_KEY, "value": json.dumps(list(images))}


def _time_out(time: datetime | None) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S") if time else ""


def _decimal(money: Money) -> str:
    return f"{money.decimal:f}"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
