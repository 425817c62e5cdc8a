"""What a person writes in a configuration, read into exact types: durations, percentages, amounts, money, currencies.

Each type takes text (or a whole number), raises one ValueError that says what is accepted, and describes itself in the
JSON Schema. Commas and points both work as the decimal sign; thousands separators do not, they could mean either.
"""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import ConfigDict, PlainSerializer, PlainValidator, WithJsonSchema

from marketsync.adapter.money import Money, exponent

# What every model of a user's rules has in common: unknown keys are refused, keys may be a keyword's alias (`from`), and
# the text under a field is its description in the JSON Schema.
RULES = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_NUMBER = r"[+-]?[0-9]{1,18}(?:[.,][0-9]{1,18})?"
_DURATION = re.compile(r"([0-9]{1,12})\s*([smhdw])")
_PERCENT = re.compile(rf"({_NUMBER})\s*%?")
_AMOUNT = re.compile(_NUMBER)
_MONEY = re.compile(rf"({_NUMBER})\s*([A-Za-z]{{3}})")


def _text(value: Any) -> str:
    """What was written, trimmed; a value that is neither text nor a whole number matches no pattern."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _decimal(text: str) -> Decimal:
    return Decimal(text.replace(",", "."))


def duration(value: Any) -> timedelta:
    """A number and a unit, "90s", "10m", "2h", "1d", "1w". Raises ValueError."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(_text(value))
    if match:
        try:
            return timedelta(**{_UNITS[match[2]]: int(match[1])})
        except OverflowError:
            pass
    raise ValueError(f"{value!r} is no duration: write a whole number and its unit, such as 90s, 10m, 2h, 1d or 1w")


def duration_text(value: timedelta) -> str:
    """The shortest way to write a duration so that ``duration`` reads it again."""
    seconds = int(value.total_seconds())
    for unit, size in (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def percent(value: Any) -> Decimal:
    """A percentage, "12%", "12,5 %", "12" or 12, as the number before the sign. Raises ValueError."""
    if isinstance(value, Decimal) and value.is_finite():
        return value
    match = _PERCENT.fullmatch(_text(value))
    if match is None:
        raise ValueError(f"{value!r} is no percentage: write a number such as 12%, 12.5% or -5%")
    return _decimal(match[1])


def amount(value: Any) -> Decimal:
    """A plain number, "12.34" or "12,34". Raises ValueError."""
    if isinstance(value, Decimal) and value.is_finite():
        return value
    text = _text(value)
    if not _AMOUNT.fullmatch(text):
        raise ValueError(f"{value!r} is no amount: write a number such as 12.34, without thousands separators")
    return _decimal(text)


def currency(value: Any) -> str:
    """An ISO 4217 code in capitals. Raises ValueError for a code that does not exist."""
    code = _text(value).upper()
    try:
        exponent(code)
    except ValueError:
        raise ValueError(f"{value!r} is no currency: write an ISO 4217 code such as EUR, GBP or PLN") from None
    return code


def country(value: Any) -> str:
    """A two-letter country code in capitals. Raises ValueError."""
    code = _text(value).upper()
    if not re.fullmatch("[A-Z]{2}", code):
        raise ValueError(f"{value!r} is no country: write its two-letter code, such as DE, FR or PL")
    return code


def money(value: Any) -> Money:
    """An amount and its currency, "0.95 EUR". Raises ValueError, also where the currency has fewer decimals."""
    if isinstance(value, Money):
        return value
    match = _MONEY.fullmatch(_text(value))
    if match is None:
        raise ValueError(f"{value!r} is no amount of money: write it with its currency, such as 0.95 EUR")
    number, code = _decimal(match[1]), currency(match[2])
    result = Money.of(number, code)
    if result.decimal != number:
        digits = exponent(code)
        raise ValueError(f"{value!r} is no amount of money: {code} has {digits} decimals and no thousands separators")
    return result


def _schema(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "examples": list(examples)})


def _number_schema(pattern: str, *examples: str) -> WithJsonSchema:
    """As editors see YAML: an unquoted number is a number there, though the loader keeps it as written."""
    text = {"type": "string", "pattern": f"^{pattern}$"}
    return WithJsonSchema({"anyOf": [text, {"type": "number"}], "examples": list(examples)})


Duration = Annotated[
    timedelta,
    PlainValidator(duration),
    PlainSerializer(duration_text, return_type=str),
    _schema(r"[0-9]{1,12}\s*[smhdw]", "90s", "10m", "2h", "1d", "1w"),
]
Percent = Annotated[
    Decimal,
    PlainValidator(percent),
    PlainSerializer(lambda value: f"{value:f}%", return_type=str),
    _number_schema(rf"{_NUMBER}\s*%?", "12%", "12.5%", "-5%"),
]
Amount = Annotated[
    Decimal,
    PlainValidator(amount),
    PlainSerializer(lambda value: f"{value:f}", return_type=str),
    _number_schema(_NUMBER, "12.34", "0.95"),
]
MoneyText = Annotated[
    Money,
    PlainValidator(money),
    PlainSerializer(str, return_type=str),
    _schema(rf"{_NUMBER}\s*[A-Za-z]{{3}}", "0.95 EUR", "12 PLN"),
]
CurrencyCode = Annotated[str, PlainValidator(currency), _schema("[A-Za-z]{3}", "EUR", "GBP")]
CountryCode = Annotated[str, PlainValidator(country), _schema("[A-Za-z]{2}", "DE", "FR")]
