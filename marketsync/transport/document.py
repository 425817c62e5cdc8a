"""JSON as channels speak it: fractions are Decimals on both ways, exactly as written."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Never

import orjson


def dumps(value: Any) -> bytes:
    """The document as UTF-8; a Decimal becomes the number it is. Raises ValueError where JSON cannot hold it."""
    try:
        return orjson.dumps(value, default=_default)
    except TypeError as error:  # what orjson raises for a text that is no Unicode and for NaN as well
        raise ValueError(str(error)) from None


def loads(content: bytes) -> Any:
    """The document; numbers with a fraction or an exponent as Decimal. Raises ValueError where it is none."""
    try:
        return json.loads(content, parse_float=Decimal, parse_constant=_no_number)
    except (RecursionError, ArithmeticError) as error:
        raise ValueError(f"no usable JSON: {type(error).__name__}") from None


def _default(value: Any) -> Any:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} cannot be written as JSON")


def _no_number(text: str) -> Never:
    raise ValueError(f"{text} is no number")
