"""WooCommerce's product export (its own CSV exporter, column names in English).

Simple products and variations are items. A variable product is not: it gives its content to its variations, wherever in
the file it stands. Dates are of the site's time zone; an end without a time is the end of its day. The shop's "in stock"
without a number says nothing about how many: it is reported, and the stock has to come from elsewhere.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from marketsync.domain.item import RowProblem, SourceRow
from marketsync.sources.api import Record, SourceError
from marketsync.sources.cells import read_addresses
from marketsync.sources.parents import Parents
from marketsync.sources.rows import Reading
from marketsync.sources.shop_cells import ShopColumns, ShopRow
from marketsync.sources.table import Table

_KINDS = ("simple", "variation", "variable")
_WEIGHT = re.compile(r"weight \(([a-z]+)\)", re.IGNORECASE)
_COMMAS = re.compile(r"(?<!\\),")
_ESCAPED = re.compile(r"'[=+\-@\t\r]")  # how the exporter keeps spreadsheets from running a cell
_GTIN = ("GTIN, UPC, EAN, or ISBN",)


def is_woocommerce(header: Sequence[str]) -> bool:
    """Whether these are the columns of a WooCommerce product export."""
    return {"id", "type", "sku", "name", "published", "regular price"} <= {name.casefold() for name in header}


def woocommerce_records(table: Table, reading: Reading, decimal: Callable[[int], str]) -> Iterator[Record]:
    """The sellable rows of the export. Raises SourceError where it lacks a column that the source is to own."""
    columns = ShopColumns(table.header, reading, decimal)
    if "stock" in reading.settings.owns and columns.find("Stock") is None:
        raise SourceError("the WooCommerce export has no column 'Stock', but the source owns stock")
    if "cost" in reading.settings.owns:
        raise SourceError("a WooCommerce export tells no cost: leave `cost` out of what the source owns")
    return _records(table, columns)


def _records(table: Table, columns: ShopColumns) -> Iterator[Record]:
    problems = columns.reading.problems
    parents = _parents(table, columns)
    try:
        for row in table.rows():
            if isinstance(row, RowProblem):
                yield row
                continue
            found = _Product(_unescaped(row[0], row[1], columns), parents).record() if any(row[1]) else None
            yield from problems
            problems.clear()
            if found:
                yield found
    finally:
        parents.close()


def _parents(table: Table, columns: ShopColumns) -> Parents:
    """The variable products, found by SKU or by "id:44"."""
    parents = Parents()
    for row in table.rows():
        if not isinstance(row, RowProblem):
            parent = _unescaped(row[0], row[1], columns)
            if "variable" in _kinds(parent):
                parents.put((parent.text("SKU"), f"id:{parent.text('ID')}"), list(parent.cells))
    return parents


def _unescaped(row: int, cells: Sequence[str], columns: ShopColumns) -> ShopRow:
    return ShopRow(row, [cell[1:] if _ESCAPED.match(cell) else cell for cell in cells], columns)


def _kinds(row: ShopRow) -> list[str]:
    return [kind.strip().casefold() for kind in row.text("Type").split(",")]


class _Product:
    def __init__(self, row: ShopRow, parents: Parents) -> None:
        self._row = row
        self._settings = row.columns.reading.settings
        self._owned = self._settings.owned_fields()
        self._variation = "variation" in _kinds(row)
        cells = parents.get(row.text("Parent")) if self._variation else None
        self._parent = ShopRow(row.row, cells, row.columns) if cells is not None else None

    def record(self) -> SourceRow | None:
        row = self._row
        row.sku = row.text("SKU")
        kinds = _kinds(row)
        if "variable" in kinds or not self._sellable(kinds):
            return None
        if not row.columns.reading.new_sku(row.row, "SKU", row.sku):
            return None
        if self._variation and self._parent is None:
            message = f"its parent {row.text('Parent')!r} is not in the file: it lacks the parent's content"
            row.report(row.columns.find("Parent"), "bad_row", message, usable=True)
        values = {**self._content(), **self._price()}
        return SourceRow(
            sku=row.sku,
            row=row.row,
            values={name: value for name, value in values.items() if name in self._owned and value is not None},
            stock=self._stock(),
        )

    def _sellable(self, kinds: list[str]) -> bool:
        row = self._row
        if not any(kind in _KINDS for kind in kinds):
            why = {
                "grouped": "a grouped product is only a page of other products",
                "external": "an external product is sold on another site",
            }.get(kinds[0], f"products of type {kinds[0]!r} have no place on a marketplace")
            row.not_sellable("Type", why)
        elif row.text("Published") != "1":
            row.not_sellable("Published", "it is not published in the shop")
        elif self._parent and self._parent.text("Published") != "1":
            row.not_sellable("Parent", "its parent is not published in the shop")
        else:
            return True
        return False

    def _inherited(self, *names: str) -> str:
        return self._row.text(*names) or (self._parent.text(*names) if self._parent else "")

    def _content(self) -> dict[str, Any]:
        row = self._row
        told = _attributes(row)
        general = _attributes(self._parent) if self._parent else told
        options = {name: value for name, value in told.items() if value} if self._variation else None
        return {
            "title": self._inherited("Name"),
            "description": self._inherited("Description") or self._inherited("Short description"),
            "brand": self._inherited("Brands"),
            "gtin": row.code(*_GTIN) if "gtin" in self._owned else None,
            "category": _category(self._inherited("Categories")),
            "tags": _parts(self._inherited("Tags")),
            "parent": self._parent.text("SKU") or row.text("Parent") if self._parent else None,
            "options": options or None,
            # A variation's own attributes are its options; those it leaves open ("any size") describe nothing.
            "attributes": {n: v for n, v in general.items() if v and not (self._variation and n in told)} or None,
            "images": self._images(),
            "weight_grams": self._weight() if "weight_grams" in self._owned else None,
        }

    def _images(self) -> tuple[str, ...]:
        rows = [self._row, self._parent] if self._parent else [self._row]
        return tuple(dict.fromkeys(url for row in rows if (cell := row.text("Images")) for url in read_addresses(cell)))

    def _weight(self) -> int | None:
        index = self._row.columns.starting("Weight (")
        unit = _WEIGHT.match(self._row.columns.header[index]) if index is not None else None
        if unit is None:
            return None
        own = self._row.grams_at(index, unit[1])
        return own or (self._parent.grams_at(index, unit[1]) if self._parent else None)

    def _price(self) -> dict[str, Any]:
        if not {"price", "sale_price"} & self._owned:
            return {}
        row = self._row
        sale = {
            "sale_price": row.money("Sale price", sold=True),
            "sale_starts": row.moment("Date sale price starts"),
            "sale_ends": row.moment("Date sale price ends", end=True),
        }
        # Half of a sale would begin too early or never end.
        if any(map(row.bad, ("Sale price", "Date sale price starts", "Date sale price ends"))):
            sale = {}
        tax = self._inherited("Tax class")
        if tax == "parent":
            tax = self._parent.text("Tax class") if self._parent else ""
        return {
            "price": row.money("Regular price", sold=True),
            "gross": self._settings.prices == "gross",
            "tax_class": "none" if self._inherited("Tax status") == "none" else tax or None,
            **sale,
        }

    def _stock(self) -> dict[str, int]:
        if "stock" not in self._settings.owns:
            return {}
        row, index = self._row, self._row.columns.find("Stock")
        if row.text("Stock") == "parent":
            row.report(index, "bad_stock", "its parent counts it with its siblings: count it by itself", usable=True)
            return {}
        if not row.text("Stock"):
            if row.text("In stock?") == "1":
                message = "the shop does not count it: let the shop manage its stock, or bring the stock from elsewhere"
                row.report(index, "bad_stock", message, usable=True)
                return {}
            return {self._settings.location: 0}
        pieces = row.pieces("Stock")
        return {} if pieces is None else {self._settings.location: pieces}


def _attributes(row: ShopRow) -> dict[str, str]:
    """Name -> values of the attributes that the row names; empty values stay."""
    told = {}
    number = 1
    while row.columns.find(f"Attribute {number} name") is not None:
        if name := row.text(f"Attribute {number} name"):
            told[name] = ", ".join(_parts(row.text(f"Attribute {number} value(s)")))
        number += 1
    return told


def _parts(cell: str) -> tuple[str, ...]:
    """Values between commas; a comma of a value has a backslash before it."""
    return tuple(value for part in _COMMAS.split(cell) if (value := part.strip().replace("\\,", ",")))


def _category(cell: str) -> str:
    """The most exact of the categories: the first of those with the longest path."""
    return max(_parts(cell), key=lambda path: path.count(">"), default="")
