"""How the cell of a column becomes part of a record: one small function per field, chosen once per header."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from marketsync.sources.api import SourceSettings
from marketsync.sources.cells import (
    LIST_SIGN,
    BadCell,
    read_addresses,
    read_code,
    read_list,
    read_moment,
    read_money,
    read_pieces,
    read_truth,
    read_weight,
    shown,
)
from marketsync.sources.columns import Column

# Called for cells that are not empty, and for empty ones of SPEAKING fields.
# (record, trimmed cell, currency of amounts that name none, decimal sign where it is known)
Put = Callable[[dict[str, Any], str, str, str], None]

SALE = frozenset({"sale_price", "sale_starts", "sale_ends", "sale_interval"})
TEXTS = frozenset({"title", "description", "brand", "category"})
_OPTIONAL_TEXTS = frozenset({"condition", "parent", "tax_class"})
_MONEY = frozenset({"price", "sale_price", "reference_price", "cost", "prices"})
_MAPS = frozenset({"attributes", "options", "property"})

# Cells that an empty cell says something for: that there are none of it, or that a figure is missing.
SPEAKING = frozenset({"tags", "images", "videos", "gtin", "stock", "availability"})

# The same few cells come again and again; reading one costs more than finding it.
_cached_money = lru_cache(maxsize=1 << 15)(read_money)
_cached_weight = lru_cache(maxsize=1 << 12)(read_weight)
_LISTS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "tags": lru_cache(maxsize=1 << 12)(read_list),
    "images": read_addresses,
    "videos": read_addresses,
}


def putter(column: Column, settings: SourceSettings) -> Put | None:
    """The function for this column; None where the source does not own its field, or it is plain text (``TEXTS``)."""
    base, _, rest = column.field.partition(".")
    if not owned(base, settings):
        return None
    zone = settings.time_zone or ZoneInfo("UTC")
    makers: dict[str, Callable[[], Put]] = {
        **{name: lambda: _optional_text(base) for name in _OPTIONAL_TEXTS},
        **{name: lambda: _list(base) for name in _LISTS},
        **{name: lambda: _money(base, rest, column, settings) for name in _MONEY},
        **{name: lambda: _entry(base, rest or column.name) for name in _MAPS},
        "texts": lambda: _translation(*rest.partition(".")[::2]),
        "stock": lambda: _stock(rest or settings.location, settings),
        "availability": lambda: _availability(settings.location),
        "gtin": lambda: _gtin,
        "weight_grams": lambda: _weight(column, settings),
        "sale_starts": lambda: _moment(base, zone),
        "sale_ends": lambda: _moment(base, zone),
        "sale_interval": lambda: _interval(zone),
        "gross": lambda: _truth(base),
        "cost_gross": lambda: _truth(base),
    }
    return makers[base]() if base in makers else None


def owned(base: str, settings: SourceSettings) -> bool:
    """Whether the source owns what a column of this field tells."""
    fields = settings.owned_fields()
    if base in ("stock", "availability"):
        return "stock" in settings.owns
    if base == "property":
        return "options" in fields
    return ("sale_price" if base == "sale_interval" else base) in fields


def _optional_text(name: str) -> Put:
    def put(record: dict[str, Any], cell: str, _currency: str, _decimal: str) -> None:
        record[name] = cell

    return put


def _list(name: str) -> Put:
    read = _LISTS[name]

    def put(record: dict[str, Any], cell: str, _currency: str, _decimal: str) -> None:
        values = read(cell) if cell else ()
        before = record.get(name)
        record[name] = tuple(dict.fromkeys((*before, *values))) if before else values

    return put


def _money(base: str, rest: str, column: Column, settings: SourceSettings) -> Put:
    code = "bad_price"
    fixed_decimal = settings.decimal or ""
    sold = base in ("price", "sale_price")
    spare = base == "reference_price"

    def put(record: dict[str, Any], cell: str, currency: str, decimal: str) -> None:
        if not currency:  # a wrong currency was reported once for the row
            return
        amount = _cached_money(cell, column.unit or currency, fixed_decimal or decimal, code)
        if amount.minor == 0 and sold:
            raise BadCell(
                code, f"{shown(cell)} is no price that anything is sold for: leave it empty where there is none"
            )
        if amount.minor == 0 and spare:
            return
        if rest:
            record.setdefault(base, {})[rest] = amount
        else:
            record[base] = amount

    return put


def _entry(base: str, name: str) -> Put:
    def put(record: dict[str, Any], cell: str, _currency: str, _decimal: str) -> None:
        record.setdefault(base, {})[name] = cell.replace(LIST_SIGN, ", ")

    return put


def _translation(language: str, name: str) -> Put:
    def put(record: dict[str, Any], cell: str, _currency: str, _decimal: str) -> None:
        record.setdefault("texts", {}).setdefault(language, {})[name] = cell

    return put


def _stock(location: str, settings: SourceSettings) -> Put:
    fixed_decimal = settings.decimal or ""

    def put(record: dict[str, Any], cell: str, _currency: str, decimal: str) -> None:
        if cell.isdigit() and cell.isascii() and len(cell) <= 12:
            record["stock"][location] = int(cell)
            return
        if not cell:
            raise BadCell("bad_stock", "it is empty: write 0 where there are no pieces")
        pieces = read_pieces(cell, fixed_decimal or decimal)
        record["stock"][location] = max(0, pieces)
        if pieces < 0:
            raise BadCell("negative_stock", f"{shown(cell)} is less than nothing: it counts as 0, count again")

    return put


def _availability(location: str) -> Put:
    """Only says yes or no: without a number, no is 0 and yes is unknown."""

    def put(record: dict[str, Any], cell: str, _currency: str, _decimal: str) -> None:
        if location in record["stock"]:
            return
        word = cell.casefold().replace("_", " ")
        if word in ("out of stock", "preorder", "pre-order", "backorder", "sold out", "ausverkauft", "nicht verfügbar"):
            record["stock"][location] = 0
        else:
            raise BadCell("bad_stock", f"{shown(cell)} does not say how many: add a column with the number of pieces")

    return put


def _gtin(record: dict[str, Any], cell: str, _currency: str, _decimal: str) -> None:
    record["gtin"] = read_code(cell)


def _weight(column: Column, settings: SourceSettings) -> Put:
    told = False

    def put(record: dict[str, Any], cell: str, _currency: str, decimal: str) -> None:
        nonlocal told
        if not column.unit and cell[-1:].isdigit():
            if told:
                return  # it is the column that lacks a unit: one report says it for all rows
            told = True
        if grams := _cached_weight(cell, settings.decimal or decimal, column.unit):
            record["weight_grams"] = grams

    return put


def _moment(name: str, zone: ZoneInfo) -> Put:
    ends = name == "sale_ends"

    def put(record: dict[str, Any], cell: str, _currency: str, _decimal: str) -> None:
        record[name] = read_moment(cell, zone, end=ends)

    return put


def _interval(zone: ZoneInfo) -> Put:
    def put(record: dict[str, Any], cell: str, _currency: str, _decimal: str) -> None:
        starts, slash, ends = cell.partition("/")
        if not slash:
            raise BadCell("bad_date", f"{shown(cell)} is no interval: write its start, a slash and its end")
        record["sale_starts"] = read_moment(starts.strip(), zone)
        record["sale_ends"] = read_moment(ends.strip(), zone, end=True)

    return put


def _truth(name: str) -> Put:
    def put(record: dict[str, Any], cell: str, _currency: str, _decimal: str) -> None:
        if (value := read_truth(cell)) is None:
            raise BadCell("bad_row", f"{shown(cell)} is neither yes nor no")
        record[name] = value

    return put
