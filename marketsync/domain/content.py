"""Content as documents and hashes: what the ledger stores and compares. Golden vectors in the tests pin every byte.

A document is what JSON holds: text, whole numbers, booleans, lists, dicts. Money is ``{"minor", "currency"}``, a time its
ISO text in UTC. What is None or empty is left out, so a new field changes no hash of content that does not use it.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from hashlib import blake2b
from operator import attrgetter
from typing import Any

import orjson

from marketsync.adapter.content import Listing, Price, Stock
from marketsync.adapter.money import Money
from marketsync.domain.item import Item

Document = dict[str, Any]

ABSENT = bytes(16)  # not on the channel
UNKNOWN = b"\xff" * 16  # nobody can know what the channel shows

_LISTING_TEXTS = ("title", "description", "brand", "gtin", "category", "condition", "language")
_listing_texts = attrgetter(*_LISTING_TEXTS)
_TIMES = ("sale_starts", "sale_ends")


def canonical(document: Document) -> bytes:
    """The one JSON text of a document: sorted keys, no spaces, UTF-8. Raises TypeError for what is no JSON."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def content_hash(document: Document, mapping_version: int) -> bytes:
    """16 bytes that stand for a document as one version of an adapter's mapping writes it; never ABSENT or UNKNOWN."""
    return text_hash(canonical(document), mapping_version)


def text_hash(text: bytes, mapping_version: int) -> bytes:
    """``content_hash`` for whoever has the canonical text already."""
    return _real(b"%d\n%b" % (mapping_version, text))


def _real(text: bytes) -> bytes:
    digest = blake2b(text, digest_size=16).digest()
    return _real(text + b"\n") if digest in (ABSENT, UNKNOWN) else digest


def to_document(content: Listing | Price | Stock) -> Document:
    """Content as a document. Raises ValueError for a time without a zone."""
    if isinstance(content, Price):
        return _price_document(content)
    if isinstance(content, Stock):
        document: Document = {"quantity": content.quantity}
        if content.locations:
            document["locations"] = dict(content.locations)
        return document
    return _listing_document(content)


def _listing_document(listing: Listing) -> Document:
    document: Document = {}
    for name, value in zip(_LISTING_TEXTS, _listing_texts(listing), strict=True):
        if value:
            document[name] = value
    if listing.images:
        document["images"] = list(listing.images)
    if listing.videos:
        document["videos"] = list(listing.videos)
    if listing.attributes:
        document["attributes"] = dict(listing.attributes)
    if listing.options:
        document["options"] = dict(listing.options)
    if listing.weight_grams is not None:
        document["weight_grams"] = listing.weight_grams
    return document


def _price_document(price: Price) -> Document:
    document: Document = {"amount": money_document(price.amount), "gross": price.gross}
    if price.sale is not None:
        document["sale"] = money_document(price.sale)
    if price.sale_starts is not None:
        document["sale_starts"] = time_text(price.sale_starts)
    if price.sale_ends is not None:
        document["sale_ends"] = time_text(price.sale_ends)
    if price.reference is not None:
        document["reference"] = money_document(price.reference)
    return document


def money_document(money: Money) -> Document:
    return {"minor": money.minor, "currency": money.currency}


def money_from(document: Document) -> Money:
    return Money(document["minor"], document["currency"])


def time_text(time: datetime) -> str:
    """Such as 2026-03-01T12:00:00Z; microseconds only where there are some. Raises ValueError for a time without a zone."""
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone")
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def listing_from(document: Document) -> Listing:
    """The listing that ``to_document`` wrote."""
    values = {"title": "", "condition": "", **document}
    for name in ("images", "videos"):
        values[name] = tuple(document.get(name, ()))
    return Listing(**values)


def price_from(document: Document) -> Price:
    """The price that ``to_document`` wrote."""
    return Price(**_read(document, _PRICE_READERS))


def stock_from(document: Document) -> Stock:
    """The stock that ``to_document`` wrote."""
    return Stock(**document)


def item_document(item: Item) -> Document:
    """An item as a document. Empty text stays (a source says that it is empty); defaults are left out."""
    document: Document = {"sku": item.sku}
    for name, default, value in zip(_ITEM_NAMES, _ITEM_DEFAULTS, _item_values(item), strict=True):
        if value is not None and value != default:
            write = _ITEM_WRITERS.get(name)
            document[name] = write(value) if write else value
    return document


def item_from(document: Document) -> Item:
    """The item that ``item_document`` wrote, equal in every field."""
    return Item(**_read(document, _ITEM_READERS))


def _read(document: Document, readers: Mapping[str, Callable[[Any], Any]]) -> Document:
    return {name: readers[name](value) if name in readers else value for name, value in document.items()}


_ITEM_NAMES = tuple(f.name for f in fields(Item) if f.name != "sku")
_item_values = attrgetter(*_ITEM_NAMES)
_ITEM_DEFAULTS = _item_values(Item(sku=""))
_ITEM_WRITERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("price", "sale_price", "reference_price", "cost"), money_document),
    **dict.fromkeys(_TIMES, time_text),
    **dict.fromkeys(("tags", "images", "videos"), list),
    **dict.fromkeys(("options", "attributes"), dict),
    "texts": lambda texts: {language: dict(own) for language, own in texts.items()},
    "prices": lambda prices: {name: money_document(money) for name, money in prices.items()},
}
_PRICE_READERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("amount", "sale", "reference"), money_from),
    **dict.fromkeys(_TIMES, datetime.fromisoformat),
}
_ITEM_READERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("price", "sale_price", "reference_price", "cost"), money_from),
    **dict.fromkeys(_TIMES, datetime.fromisoformat),
    **dict.fromkeys(("tags", "images", "videos"), tuple),
    "prices": lambda prices: {name: money_from(money) for name, money in prices.items()},
}
