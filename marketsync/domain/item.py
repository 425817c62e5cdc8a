"""An item: one sellable SKU of the seller's own catalogue, as the sources tell it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from marketsync.adapter.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What all sources together say of one SKU. None: no source tells it. Empty text: a source says it is empty.

    ``parent`` is the SKU (or, in exports that give parents none, the handle) that the variants of a family share; a
    family's members carry their own ``options``. Prices are as their source writes them: ``gross`` says whether they
    include VAT. Times are aware UTC.
    """

    sku: str
    title: str | None = None
    description: str | None = None
    brand: str | None = None
    gtin: str | None = None
    category: str | None = None
    tags: tuple[str, ...] = ()
    condition: str | None = None
    parent: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()
    weight_grams: int | None = None
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # language -> field -> text
    price: Money | None = None
    gross: bool = True
    sale_price: Money | None = None
    sale_starts: datetime | None = None
    sale_ends: datetime | None = None
    reference_price: Money | None = None
    prices: Mapping[str, Money] = field(default_factory=dict)  # further price fields by name
    cost: Money | None = None
    cost_gross: bool = False
    tax_class: str = "standard"


ITEM_FIELDS = frozenset(f.name for f in fields(Item)) - {"sku"}

# Which fields a source owns when its `owns:` names a group.
FIELD_GROUPS: Mapping[str, frozenset[str]] = {
    "content": frozenset(
        {
            "title", "description", "brand", "gtin", "category", "tags", "condition", "parent", "options",
            "attributes", "images", "videos", "weight_grams", "texts",
        }
    ),
    "price": frozenset(
        {"price", "gross", "sale_price", "sale_starts", "sale_ends", "reference_price", "prices", "tax_class"}
    ),
    "cost": frozenset({"cost", "cost_gross"}),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """One usable record of a source: what it says of one SKU. ``values`` holds Item fields by name.

    ``stock`` is pieces by location; a source without locations uses the location of its configuration. ``row`` is
    the line (CSV), sheet row (XLSX) or record number it came from.
    """

    sku: str
    row: int
    values: Mapping[str, Any] = field(default_factory=dict)
    stock: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRow:
    """A value that a person fixed for one SKU on one channel ("*": all). ``value`` as written; ``until`` aware UTC."""

    channel: str
    sku: str
    field: str
    value: str
    row: int
    reason: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProblem:
    """A record that cannot be used, or only in part: where, what is wrong, what to do. The others go on.

    ``code`` is bounded (it becomes part of an issue's key): no_sku, duplicate_sku, case_twin, bad_price,
    negative_stock, bad_stock, bad_date, bad_number, not_sellable, bad_row.
    """

    row: int
    column: str
    code: str
    message: str
    sku: str = ""
    usable: bool = False  # True: the rest of the record is used all the same
