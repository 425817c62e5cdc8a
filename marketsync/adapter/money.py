"""Money: integer minor units and an ISO 4217 code. Never a float."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cache
from typing import Self

from babel.core import get_global


@cache
def exponent(currency: str) -> int:
    """How many decimals a currency has (EUR 2, JPY 0, KWD 3); raises ValueError for a code that does not exist."""
    if currency not in get_global("all_currencies"):
        message = f"{currency!r} is no ISO 4217 currency code"
        raise ValueError(message)
    fractions = get_global("currency_fractions")
    digits: int = fractions.get(currency, fractions["DEFAULT"])[0]
    return digits


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount in minor units (cents) of one currency."""

    minor: int
    currency: str

    @classmethod
    def of(cls, amount: Decimal | int | str, currency: str, *, rounding: str = ROUND_HALF_UP) -> Self:
        """Money from a decimal amount in major units ("9.99"), rounded to the currency's minor unit.

        Raises ValueError where the amount is no finite number or the currency does not exist.
        """
        if isinstance(amount, float):
            message = "money is never a float"
            raise TypeError(message)
        try:
            value = Decimal(amount)
            if not value.is_finite():
                raise InvalidOperation
        except InvalidOperation:
            message = f"{amount!r} is no amount"
            raise ValueError(message) from None
        scaled = value.scaleb(exponent(currency)).quantize(Decimal(1), rounding=rounding)
        return cls(int(scaled), currency)

    @property
    def decimal(self) -> Decimal:
        """The amount in major units, with exactly the currency's decimals."""
        return Decimal(self.minor).scaleb(-exponent(self.currency))

    def __str__(self) -> str:
        return f"{self.decimal:f} {self.currency}"
