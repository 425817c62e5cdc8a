"""Shopify's product export: the rows of a handle are one product; some rows only add a picture.

Shopify's price is what a buyer pays now: it becomes the price, Compare At Price the reference. A quantity counts as it
stands, also where Shopify itself does not track it. With ``make_skus`` a variant without a SKU gets its product's handle
and its option values, in lower case, everything but letters and digits a hyphen: "chain-bracelet-blue". Renaming a
handle or an option value then makes a new SKU.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from marketsync.domain.item import RowProblem, SourceRow
from marketsync.sources.api import Record, SourceError
from marketsync.sources.cells import read_truth
from marketsync.sources.rows import Reading
from marketsync.sources.shop_cells import ShopColumns, ShopRow
from marketsync.sources.table import Row, Table

# The names of the columns: of exports until 2024, and of the template that Shopify hands out since.
_HANDLE = ("Handle", "URL handle")
_BODY = ("Body (HTML)", "Description")
_SKU = ("Variant SKU", "SKU")
_PRICE = ("Variant Price", "Price")
_COMPARE_AT = ("Variant Compare At Price", "Compare-at price")
_QUANTITY = ("Variant Inventory Qty", "Inventory quantity")
_GRAMS = ("Variant Grams", "Weight value (grams)")
_BARCODE = ("Variant Barcode", "Barcode")
_TAXABLE = ("Variant Taxable", "Charge tax")
_COST = ("Cost per item",)
_IMAGE = ("Image Src", "Product image URL")
_POSITION = ("Image Position",)
_VARIANT_IMAGE = ("Variant Image", "Variant image URL")
_PUBLISHED = ("Published", "Published on online store")
_CATEGORY = ("Type", "Product Category")
_ATTRIBUTES = {
    "Gender": ("Google Shopping / Gender",),
    "Age Group": ("Google Shopping / Age Group",),
    "MPN": ("Google Shopping / MPN",),
}


def is_shopify(header: Sequence[str]) -> bool:
    """Whether these are the columns of a Shopify product export."""
    names = {name.casefold() for name in header}
    return bool(
        names & {"handle", "url handle"}
        and names & {"variant price", "price"}
        and {"title", "option1 name", "option1 value"} <= names
    )


def shopify_records(table: Table, reading: Reading, decimal: Callable[[int], str]) -> Iterator[Record]:
    """The variants of the export. Raises SourceError where it lacks a column that the source is to own."""
    columns = ShopColumns(table.header, reading, decimal)
    for group, names in (("price", _PRICE), ("cost", _COST), ("stock", _QUANTITY)):
        if group in reading.settings.owns and columns.find(*names) is None:
            raise SourceError(f"the Shopify export has no column {names[0]!r}, but the source owns {group}")
    return _records(table, columns)


def _records(table: Table, columns: ShopColumns) -> Iterator[Record]:
    problems = columns.reading.problems
    for problem, rows in _products(table.rows(), columns):
        if problem:
            yield problem
        if rows:
            found = list(_Product(rows).variants())
            yield from problems
            problems.clear()
            yield from found


def _products(
    rows: Iterator[Row | RowProblem], columns: ShopColumns
) -> Iterator[tuple[RowProblem | None, list[ShopRow]]]:
    """The rows of each handle, which an export keeps together; rows that cannot be read as they come."""
    product: list[ShopRow] = []
    handle = ""
    for row in rows:
        if isinstance(row, RowProblem):
            yield row, []
            continue
        shop_row = ShopRow(row[0], row[1], columns)
        if not any(map(str.strip, row[1])):
            continue
        if (this := shop_row.text(*_HANDLE)) != handle:
            yield None, product
            product, handle = [], this
        product.append(shop_row)
    yield None, product


class _Product:
    def __init__(self, rows: list[ShopRow]) -> None:
        self._rows = rows
        self._first = rows[0]
        self._reading = rows[0].columns.reading
        self._settings = self._reading.settings
        self._owned = self._settings.owned_fields()
        self._handle = self._first.text(*_HANDLE)
        self._options = [name for n in (1, 2, 3) if (name := self._first.text(f"Option{n} Name"))]

    def variants(self) -> Iterator[SourceRow]:
        variants = [row for row in self._rows if any(map(row.text, (*_SKU, *_PRICE, "Option1 Value")))]
        if not self._usable():
            return
        family = self._handle if len(variants) > 1 else None
        pictures = self._pictures()
        for row in variants:
            options = self._row_options(row)
            row.sku = row.text(*_SKU).removeprefix("'") or self._made_sku(row, options)
            if self._new(row):
                values = self._values(row, family, options, pictures)
                yield SourceRow(sku=row.sku, row=row.row, values=values, stock=self._stock(row))

    def _usable(self) -> bool:
        first = self._first
        if not self._handle:
            first.report(first.columns.find(*_HANDLE), "bad_row", "it has no handle: it belongs to no product")
        elif not first.text("Title"):
            first.report(
                first.columns.find("Title"),
                "bad_row",
                f"the product {self._handle!r} does not begin here: keep its rows together",
            )
        elif read_truth(first.text("Gift Card")):
            first.not_sellable("Gift Card", f"{self._handle!r} is a gift card")
        elif first.text(*_PUBLISHED) and not read_truth(first.text(*_PUBLISHED)):
            first.report(
                first.columns.find(*_PUBLISHED), "not_sellable", f"{self._handle!r} is not published in the shop"
            )
        elif (status := first.text("Status")) and status.casefold() != "active":
            first.not_sellable("Status", f"{self._handle!r} is {status.casefold()} in the shop")
        else:
            return True
        return False

    def _pictures(self) -> list[str]:
        told = [(row.text(*_POSITION), n, row.text(*_IMAGE)) for n, row in enumerate(self._rows) if row.text(*_IMAGE)]
        # A picture without a position stays where it is, behind those that have one.
        told.sort(key=lambda picture: (int(picture[0]) if picture[0].isdecimal() else 10**6, picture[1]))
        return [address for _, _, address in told]

    def _row_options(self, row: ShopRow) -> dict[str, str]:
        """What tells this variant from its siblings; Shopify's "Title: Default Title" stands for nothing."""
        options = {name: value for n, name in enumerate(self._options, 1) if (value := row.text(f"Option{n} Value"))}
        return {} if options == {"Title": "Default Title"} else options

    def _made_sku(self, row: ShopRow, options: dict[str, str]) -> str:
        if self._settings.make_skus:
            return "-".join([self._handle, *map(_slug, options.values())])
        message = "the variant has no SKU: give it one in the shop, or set `make_skus: true`"
        row.report(row.columns.find(*_SKU), "no_sku", message)
        return ""

    def _new(self, row: ShopRow) -> bool:
        index = row.columns.find(*_SKU)
        return bool(row.sku) and self._reading.new_sku(
            row.row, "" if index is None else row.columns.header[index], row.sku
        )

    def _values(self, row: ShopRow, family: str | None, options: dict[str, str], pictures: list[str]) -> dict[str, Any]:
        first, own = self._first, [image] if (image := row.text(*_VARIANT_IMAGE)) else []
        price = row.money(*_PRICE, sold=True) if "price" in self._owned else None
        reference = row.money(*_COMPARE_AT) if "reference_price" in self._owned else None
        values: dict[str, Any] = {
            "title": first.text("Title"),
            "description": first.text(*_BODY),
            "brand": first.text("Vendor"),
            "gtin": row.code(*_BARCODE) if "gtin" in self._owned else None,
            "category": next(filter(None, map(first.text, _CATEGORY)), ""),
            "tags": tuple(tag for part in first.text("Tags").split(",") if (tag := part.strip())),
            "condition": first.text("Google Shopping / Condition") or None,
            "parent": family,
            "options": options or None,
            "attributes": {n: text for n, names in _ATTRIBUTES.items() if (text := first.text(*names))} or None,
            "images": tuple(dict.fromkeys([*own, *pictures])),
            "weight_grams": row.grams(*_GRAMS, unit="g") if "weight_grams" in self._owned else None,
            "price": price,
            "gross": self._settings.prices == "gross",
            # Shopify too strikes nothing through that is not higher than the price.
            "reference_price": reference if reference and price and reference > price else None,
            "tax_class": "none" if read_truth(row.text(*_TAXABLE) or "true") is False else None,
            "cost": row.money(*_COST) if "cost" in self._owned else None,
            "cost_gross": self._settings.costs == "gross",
        }
        return {name: value for name, value in values.items() if name in self._owned and value is not None}

    def _stock(self, row: ShopRow) -> dict[str, int]:
        if "stock" not in self._settings.owns:
            return {}
        if (pieces := row.pieces(*_QUANTITY)) is None:
            if not row.text(*_QUANTITY):
                row.report(
                    row.columns.find(*_QUANTITY),
                    "bad_stock",
                    "it is empty: write 0 where there are no pieces",
                    usable=True,
                )
            return {}
        return {self._settings.location: pieces}


def _slug(value: str) -> str:
    words = "".join(letter if letter.isalnum() else " " for letter in value.casefold()).split()
    return "-".join(words)
