"""Numbers as people and programs write them: 1.234,56 · 1,234.56 · 1 234,56 · 1'234.50 · 9,99.

A single separator before exactly three digits ("1.234") can mean either. It is never guessed: what the same column
shows elsewhere decides, or the user's ``decimal:``, else the cell is refused.
"""

import re
from decimal import Decimal

_SPACES = "'\u2019 \u00a0\u202f\u2009"  # apostrophes; space, no-break, narrow no-break and thin space
_REMOVE_SPACES = {ord(space): None for space in _SPACES}
_SPACED = re.compile(rf"[0-9]{{1,3}}([{_SPACES}])[0-9]{{3}}(?:\1[0-9]{{3}})*(?:[.,][0-9]+)?")
_ONE_SEPARATOR = re.compile(r"([0-9]*)([.,])([0-9]+)")
_POINTS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+(?:,[0-9]+)?")
_COMMAS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_OTHER = {",": ".", ".": ","}
_MINUS = ("-", "\u2212")
_LONGEST = 30  # characters; what is longer is no price, weight or count


class NotANumber(ValueError):
    """The text is no number."""


class AmbiguousNumber(ValueError):
    """The text is one number with a decimal comma and another with a decimal point."""


def read_number(text: str, decimal: str = "") -> Decimal:
    """The number that ``text`` (trimmed, without a unit) writes.

    ``decimal`` is the sign before the decimals, "," or ".", where it is known. Raises NotANumber, AmbiguousNumber.
    """
    negative, digits = _digits(text)
    if digits.isdigit():
        value = Decimal(digits)
    else:
        plain, sign = _shape(digits)
        if sign and decimal and sign != decimal:
            raise NotANumber
        if not sign:
            if not decimal:
                raise AmbiguousNumber
            plain = digits.replace(decimal, ".") if decimal in digits else digits.replace(_OTHER[decimal], "")
        value = Decimal(plain)
    return -value if negative else value


def decimal_sign(text: str) -> str:
    """The decimal sign that this number proves, "," or "."; "" where it proves none or is no number."""
    try:
        _, digits = _digits(text)
        return "" if digits.isdigit() else _shape(digits)[1]
    except NotANumber:
        return ""


def _digits(text: str) -> tuple[bool, str]:
    """Whether it is negative, and its ASCII digits and separators without the spaces between thousands."""
    if len(text) > _LONGEST:
        raise NotANumber
    if text[:1] in _MINUS:
        negative, digits = True, text[1:].lstrip()
    elif text[-1:] in _MINUS:  # as SAP writes it
        negative, digits = True, text[:-1].rstrip()
    else:
        negative, digits = False, text.removeprefix("+")
    if _SPACED.fullmatch(digits):
        digits = digits.translate(_REMOVE_SPACES)
    if not digits.isascii() or not digits:
        raise NotANumber
    return negative, digits


def _shape(digits: str) -> tuple[str, str]:
    """The number with a point before its decimals and the decimal sign it proves ("" where it may be either)."""
    if parts := _ONE_SEPARATOR.fullmatch(digits):
        whole, sign, fraction = parts.groups()
        either = len(fraction) == 3 and 1 <= len(whole) <= 3 and whole[0] != "0"
        return f"{whole or 0}.{fraction}", "" if either else sign
    if _POINTS.fullmatch(digits):
        return digits.replace(".", "").replace(",", "."), ","
    if _COMMAS.fullmatch(digits):
        return digits.replace(",", ""), "."
    raise NotANumber
