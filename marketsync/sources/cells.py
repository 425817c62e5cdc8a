"""Cells: what a source writes into one field of one record, read into exact values.

Every reader here takes trimmed, non-empty text and raises BadCell with a bounded code and a sentence for a person.
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel.core import get_global

from marketsync.adapter.money import Money
from marketsync.sources.numbers import AmbiguousNumber, NotANumber, read_number

LIST_SIGN = "\x1f"  # between the values of a list that came as one (a repeated XML element, a JSON array)

_CURRENCIES = frozenset(get_global("all_currencies"))
_SIGNS = {"€": "EUR", "£": "GBP", "zł": "PLN", "Kč": "CZK", "Ft": "HUF", "₺": "TRY", "lei": "RON", "₴": "UAH"}
# Signs of several currencies: they mean the source's own where it is one of them.
_SHARED_SIGNS = {
    "$": frozenset({"USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN"}),
    "kr": frozenset({"SEK", "NOK", "DKK", "ISK"}),
    "¥": frozenset({"JPY", "CNY"}),
    "Fr.": frozenset({"CHF"}),
}
_UNIT = re.compile(r"([^\d.,+\-−]{0,4}?)\s*([+\-−]?\s*[\d.,][\d.,'’ \u00a0\u202f\u2009]*?-?)\s*([^\d.,\s]{0,8}\.?)")
_ROUND_PRICE = re.compile(r"(?<=[0-9]),(?:--|[-–—])(?=[^0-9]*$)")
_GRAMS = {
    "g": Decimal(1), "gr": Decimal(1), "gramm": Decimal(1), "gram": Decimal(1), "grams": Decimal(1),
    "kg": Decimal(1000), "kilogramm": Decimal(1000), "kgs": Decimal(1000), "mg": Decimal("0.001"),
    "lb": Decimal("453.59237"), "lbs": Decimal("453.59237"), "oz": Decimal("28.349523125"),
}  # fmt: skip
_GERMAN_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[ T,]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?", re.ASCII)
_SLASHED_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?:[ T,]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?", re.ASCII)
_ADDRESSES = re.compile(r"[\s,;|]+(?=https?://)")
_DAMAGED_CODE = re.compile(r"\d[.,]\d+[eE]\+\d+")


class BadCell(ValueError):
    """A cell that cannot be read. ``code`` is one of RowProblem's."""

    def __init__(self, code: str, message: str, *, ambiguous: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.ambiguous = ambiguous  # it can be read once the decimal sign is known


def shown(cell: str) -> str:
    """A cell as a message quotes it: short, on one line."""
    return repr(cell if len(cell) <= 40 else f"{cell[:40]}…")


def is_currency(code: str) -> bool:
    """Whether this is an ISO 4217 code."""
    return code in _CURRENCIES


def read_money(cell: str, currency: str, decimal: str, code: str = "bad_price") -> Money:
    """An amount, with or without its currency ("9,99 €", "EUR 9.99", "1.299,- €"); ``currency`` where it names none."""
    text = _ROUND_PRICE.sub(",00", cell)
    parts = _UNIT.fullmatch(text)
    if parts is None:
        raise BadCell(code, f"{shown(cell)} is no amount: write a number such as 9.99 or 9,99 EUR")
    before, number, after = parts.groups()
    if before.strip() and after:
        raise BadCell(code, f"{shown(cell)} names two currencies: write one")
    sign = before.strip() or after
    value = _number(number, decimal, code, cell)
    if value < 0:
        raise BadCell(code, f"{shown(cell)} is negative: write what a buyer or you pay, 0 or more")
    if abs(value) >= 10**13:
        raise BadCell(code, f"{shown(cell)} is larger than any price: check the decimal sign")
    return Money.of(value, _currency(sign, currency, cell, code) if sign else currency)


def _currency(sign: str, currency: str, cell: str, code: str) -> str:
    if sign.upper() in _CURRENCIES:
        return sign.upper()
    if sign in _SIGNS:
        return _SIGNS[sign]
    if currency in _SHARED_SIGNS.get(sign, ()):
        return currency
    if sign in _SHARED_SIGNS:
        raise BadCell(code, f"{shown(cell)}: {sign} is not {currency}: set the source's `currency:`")
    raise BadCell(code, f"{shown(cell)}: {shown(sign)} is no currency: write its ISO code, such as EUR")


def _number(text: str, decimal: str, code: str, cell: str) -> Decimal:
    try:
        return read_number(text, decimal)
    except AmbiguousNumber:
        message = f'{shown(cell)} may have three decimals or be thousands: set the source\'s `decimal:` to "," or "."'
        raise BadCell(code, message, ambiguous=True) from None
    except NotANumber:
        raise BadCell(code, f"{shown(cell)} is no number: write it such as 1234.56 or 1.234,56") from None


def read_pieces(cell: str, decimal: str) -> int:
    """A whole number of pieces; may be negative."""
    value = _number(cell, decimal, "bad_stock", cell)
    if value != value.to_integral_value() or abs(value) >= 10**12:
        raise BadCell("bad_stock", f"{shown(cell)} is no whole number of pieces")
    return int(value)


def read_weight(cell: str, decimal: str, unit: str) -> int:
    """Grams, rounded. ``unit`` is that of the column, "" where only the cell can name it."""
    parts = _UNIT.fullmatch(cell)
    if parts is None or parts[1].strip():
        raise BadCell("bad_number", f"{shown(cell)} is no weight: write it such as 1.5 kg")
    factor = _GRAMS.get((parts[3] or unit).lower())
    if factor is None:
        raise BadCell(
            "bad_number", f"{shown(cell)} has no unit: name the column such as 'Weight (kg)', or write 1.5 kg"
        )
    grams = _number(parts[2], decimal, "bad_number", cell) * factor
    if not 0 <= grams < 10**9:
        raise BadCell("bad_number", f"{shown(cell)} is no weight")
    return int(grams.quantize(Decimal(1)))


def is_weight_unit(unit: str) -> bool:
    return unit.lower() in _GRAMS


def read_moment(cell: str, zone: ZoneInfo, *, end: bool = False) -> datetime:
    """A date or time, in UTC. Without an offset it is of ``zone``; a bare date is its first or (``end``) last second."""
    text = cell.strip()
    try:
        local = _calendar(text) or datetime.fromisoformat(text)
    except ValueError:
        raise BadCell(
            "bad_date", f"{shown(cell)} is no date: write it such as 2026-12-31 or 2026-12-31T18:00"
        ) from None
    if end and len(text) <= 10 and local.time() == time(0):
        local += timedelta(days=1, seconds=-1)
    aware = local if local.tzinfo else local.replace(tzinfo=zone)
    try:
        return aware.astimezone(UTC)
    except OverflowError:
        raise BadCell("bad_date", f"{shown(cell)} is no date that a calendar has") from None


def _calendar(text: str) -> datetime | None:
    if parts := _GERMAN_DATE.fullmatch(text):
        day, month = int(parts[1]), int(parts[2])
    elif parts := _SLASHED_DATE.fullmatch(text):
        first, second = int(parts[1]), int(parts[2])
        if first <= 12 and second <= 12 and first != second:
            raise BadCell("bad_date", f"{shown(text)} may be in either of two months: write it such as 2026-12-31")
        day, month = (first, second) if first > 12 else (second, first)
    else:
        return None
    hour, minute, second_ = (int(part or 0) for part in parts.groups()[3:])
    return datetime.combine(date(int(parts[3]), month, day), time(hour, minute, second_))


def read_list(cell: str) -> tuple[str, ...]:
    """Values of one cell: between | where there is one, else between ; or commas."""
    for sign in (LIST_SIGN, "|", ";", ","):
        if sign in cell:
            return tuple(value for part in cell.split(sign) if (value := part.strip()))
    return (cell,)


def read_addresses(cell: str) -> tuple[str, ...]:
    """Addresses of pictures or videos; what separates two of them may also be part of one."""
    if LIST_SIGN in cell or "://" not in cell:
        return read_list(cell)
    return tuple(_ADDRESSES.split(cell.strip(" ,;|\n\t")))


@lru_cache(maxsize=1024)
def read_truth(cell: str) -> bool | None:
    """Yes or no in English and German; None where it is neither."""
    if cell.casefold() in ("1", "true", "yes", "ja", "wahr", "y", "j", "x"):
        return True
    return False if cell.casefold() in ("0", "-1", "false", "no", "nein", "falsch", "n", "") else None


def read_code(cell: str) -> str:
    """A GTIN, without the marks that keep spreadsheets from damaging it."""
    code = cell.lstrip("'").replace(" ", "").replace("\u00a0", "")
    if _DAMAGED_CODE.fullmatch(code):
        raise BadCell("bad_number", f"{shown(cell)} was cut off by a spreadsheet: export the column as text")
    return code
