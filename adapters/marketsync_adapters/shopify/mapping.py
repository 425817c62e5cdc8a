"""Between neutral content and Shopify's inputs: products with their variants, prices, stock, metafields. Pure.

A change in what is written for the same content raises the aspect's ``mapping_version`` in the spec.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

from marketsync.adapter.api import Aspect, Listing, Money, OfferOp, Price, Seen, Stock
from marketsync_adapters.shopify.errors import Fault
from marketsync_adapters.shopify.ids import OfferId

DEFAULT_OPTION: Final = {"Title": "Default Title"}  # what Shopify calls the one variant of a product without options
MOST_OPTIONS: Final = 3
MOST_FILES: Final = 250
IMAGES_KEY: Final = {"namespace": "$app:marketsync", "key": "images"}
LISTED: Final = frozenset({"ACTIVE", "UNLISTED"})  # UNLISTED can be bought by whoever has its link


@dataclass(frozen=True, slots=True)
class Existing:
    """A variant that a product has in Shopify."""

    variant: str
    item: str
    sku: str
    options: Mapping[str, str]

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> "Existing":
        options = {one["name"]: one["value"] for one in node["selectedOptions"]}
        return cls(node["id"], node["inventoryItem"]["id"], node["sku"] or "", options)


@dataclass(slots=True)
class Family:
    """What becomes one product: the ops of all its variants, by SKU, and what Shopify has of it."""

    key: str
    ops: list[OfferOp]
    product: str | None = None
    images: str = ""  # the fingerprint of the pictures that were written last
    existing: dict[str, Existing] = field(default_factory=dict)  # by SKU of the op

    @property
    def head(self) -> Listing:
        """Whose text the product shows: the first member's, by SKU, that brings its own."""
        return next(op.listing for op in self.ops if op.listing is not None)

    @property
    def changed(self) -> list[OfferOp]:
        return [op for op in self.ops if op.changed]

    @property
    def fingerprint(self) -> str:
        """Stands for the pictures: they are written only when it changes, as Shopify fetches each anew."""
        return blake2b("\n".join(_media(self)).encode(), digest_size=8).hexdigest()


def families(ops: Sequence[OfferOp]) -> list[Family]:
    groups: dict[tuple[bool, str], list[OfferOp]] = {}
    for op in sorted(ops, key=lambda op: op.sku):
        groups.setdefault((op.family is not None, op.family or op.sku), []).append(op)
    return [Family(f"{'family' if grouped else 'sku'}:{name}", members) for (grouped, name), members in groups.items()]


def handle(key: str) -> str:
    """The address that a product is created under: the same for the same family or SKU, so that it is made once."""
    plain = unicodedata.normalize("NFKD", key.partition(":")[2]).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:80].strip("-")
    return "-".join(filter(None, [slug, blake2b(key.encode(), digest_size=5).hexdigest()]))


def options_of(family: Family) -> dict[str, Mapping[str, str]] | Fault:
    """Each SKU's options, complete and different from each other; else what is wrong with the family."""
    found: dict[str, Mapping[str, str]] = {}
    for op in family.ops:
        known = family.existing.get(op.sku)
        own = op.listing.options if op.listing is not None else known.options if known else {}
        found[op.sku] = dict(own) or DEFAULT_OPTION
    names = next(iter(found.values())).keys()
    different = {tuple(options.get(name, "") for name in names) for options in found.values()}
    wrong = next((sku for sku, options in found.items() if options.keys() != names or not all(options.values())), None)
    if wrong is not None or len(different) < len(found) or len(names) > MOST_OPTIONS:
        return Fault.of("options_missing", f"The options of {wrong or family.key.partition(':')[2]} do not fit.")
    return found


def product_out(family: Family, options: Mapping[str, Mapping[str, str]], locations: Sequence[str]) -> dict[str, Any]:
    """The input of productSet: the product's own text, and every one of its variants."""
    head = family.head
    taxonomy = head.category.startswith("gid://")
    document: dict[str, Any] = {
        "title": head.title,
        "descriptionHtml": head.description,
        "vendor": head.brand,
        **({"category": head.category} if taxonomy else {"productType": head.category}),
        "status": "ACTIVE",
        "productOptions": _product_options(options),
    }
    writes_files = family.product is None or family.fingerprint != family.images
    if writes_files:
        document["files"] = [_file(source) for source in _media(family)]
    document["variants"] = [
        _variant(op, family, options[op.sku], locations, with_file=writes_files) for op in family.ops
    ]
    if family.product is None:
        document["handle"] = handle(family.key)
    return document


def product_cost(family: Family, document: Mapping[str, Any]) -> float:
    """What the input adds to the cost, as Shopify's contract says."""
    return 0.2 * len(family.ops) + 1.9 * len(document.get("files", ()))


def price_out(price: Price, now: datetime) -> dict[str, Any]:
    """Shopify knows no scheduled sale: while one runs, its price is the price and the regular one is struck through."""
    shown = price.at(now)
    return {
        "price": _decimal(shown.amount),
        "compareAtPrice": None if shown.reference is None else _decimal(shown.reference),
    }


def metafields(family: Family, owners: Mapping[str, OfferId]) -> list[tuple[str, dict[str, Any]]]:
    """(SKU, metafield) of all attributes: on the product what all variants share, on the variant what is its own."""
    listed = [op for op in family.ops if op.listing is not None and op.sku in owners]
    product = next(iter(owners.values())).product
    shared = dict(listed[0].listing.attributes) if listed[0].listing else {}
    for op in listed[1:]:
        assert op.listing is not None
        shared = {name: value for name, value in shared.items() if op.listing.attributes.get(name) == value}
    found = [(listed[0].sku, _metafield(product, name, value)) for name, value in shared.items() if value.strip()]
    for op in listed:
        assert op.listing is not None
        own = {name: value for name, value in op.listing.attributes.items() if name not in shared and value.strip()}
        found += [(op.sku, _metafield(owners[op.sku].variant, name, value)) for name, value in own.items()]
    if family.product is None or family.fingerprint != family.images:
        found.append((listed[0].sku, images_metafield(product, family.fingerprint)))
    return found


def images_metafield(product: str, fingerprint: str) -> dict[str, Any]:
    return {"ownerId": product, **IMAGES_KEY, "type": "single_line_text_field", "value": fingerprint}


def seen(node: Mapping[str, Any], currency: str) -> Seen:
    """An offer from a variant as the document ``Shown`` reads it."""
    product, item = node["product"], node["inventoryItem"]
    options = {one["name"]: one["value"] for one in node["selectedOptions"]}
    levels = [item[key] for key in item if key.startswith("l") and item[key] is not None]
    available = sum(max(0, level["quantities"][0]["quantity"]) for level in levels)
    return Seen(
        sku=node["sku"],
        channel_id=str(OfferId(product["id"], node["id"], item["id"])),
        listing=Listing(
            title=product["title"],
            description=product["descriptionHtml"],
            brand=product["vendor"],
            gtin=node["barcode"] or "",
            category=product["productType"],
            options={} if options == DEFAULT_OPTION else options,
        ),
        price=_price_in(node, currency),
        stock=Stock(quantity=available),
    )


def offer_id(product: str, node: Mapping[str, Any]) -> OfferId:
    return OfferId(product, node["id"], node["inventoryItem"]["id"])


def wants_price(op: OfferOp) -> bool:
    return Aspect.PRICE in op.changed


def price_fault(op: OfferOp, currency: str) -> Fault | None:
    """Shopify's prices name no currency: one in another must never be written."""
    assert op.price is not None, "an op that changes the price carries it"
    if op.price.amount.currency == currency:
        return None
    return Fault.of("wrong_currency", f"The shop sells in {currency}, the price is {op.price.amount}.")


def _variant(
    op: OfferOp, family: Family, options: Mapping[str, str], locations: Sequence[str], *, with_file: bool
) -> dict[str, Any]:
    known = family.existing.get(op.sku)
    document: dict[str, Any] = {"sku": op.sku}
    if known is not None:
        document["id"] = known.variant
    else:  # stocked at every location from the start, with nothing: the stock comes through its own door
        document["inventoryQuantities"] = [
            {"locationId": location, "name": "available", "quantity": 0} for location in locations
        ]
    document["optionValues"] = [{"optionName": name, "name": value} for name, value in options.items()]
    listing = op.listing
    if listing is not None:
        document["barcode"] = listing.gtin or None
        item: dict[str, Any] = {"tracked": True}
        if listing.weight_grams is not None:
            item["measurement"] = {"weight": {"value": listing.weight_grams, "unit": "GRAMS"}}
        document["inventoryItem"] = item
        if with_file and len(family.ops) > 1 and listing.images:
            document["file"] = _file(listing.images[0])
    return document


def _product_options(options: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    values: dict[str, dict[str, None]] = {}
    for own in options.values():
        for name, value in own.items():
            values.setdefault(name, {})[value] = None
    return [{"name": name, "values": [{"name": value} for value in known]} for name, known in values.items()]


def _media(family: Family) -> list[str]:
    sources = [source for op in family.ops if op.listing for source in (*op.listing.images, *op.listing.videos)]
    return list(dict.fromkeys(sources))[:MOST_FILES]


def _file(source: str) -> dict[str, Any]:
    video = re.match(r"https?://(www\.)?(youtube\.com|youtu\.be|vimeo\.com)/", source)
    return {"originalSource": source, "contentType": "EXTERNAL_VIDEO" if video else "IMAGE"}


def _metafield(owner: str, name: str, value: str) -> dict[str, Any]:
    """``name`` is "namespace.key", with ":type" behind it where the metafield is no text; a bare name is custom.name."""
    path, _, kind = name.partition(":")
    namespace, _, key = path.rpartition(".")
    text = "multi_line_text_field" if "\n" in value or "\r" in value else "single_line_text_field"
    return {
        "ownerId": owner,
        "namespace": namespace or "custom",
        "key": re.sub(r"[^A-Za-z0-9_-]", "_", key if namespace else key.lower()),
        "type": kind or text,
        "value": value,
    }


def _price_in(node: Mapping[str, Any], currency: str) -> Price:
    amount = Money.of(node["price"], currency)
    struck = None if node["compareAtPrice"] is None else Money.of(node["compareAtPrice"], currency)
    return Price(amount=amount, reference=struck if struck is not None and struck.minor > amount.minor else None)


def _decimal(money: Money) -> str:
    return f"{money.decimal:f}"
