"""Exchange rates of one day. Amounts in different currencies meet only here."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction

from pydantic import BaseModel, field_validator

from marketsync.adapter.money import Money, exponent
from marketsync.domain.scalars import RULES, Amount, CurrencyCode, Duration, duration_text


class RateTable(BaseModel):
    """How many units of each currency one unit of ``base`` buys, as the ECB publishes them."""

    model_config = RULES

    date: date
    """The day of these rates."""
    base: CurrencyCode = "EUR"
    """The currency that one unit of is exchanged."""
    rates: dict[CurrencyCode, Amount]
    """Units of each currency for one unit of the base: `{USD: 1.08, PLN: 4.31}`."""
    max_age: Duration = timedelta(days=7)
    """Older rates are not used: no price is better than a wrong one."""

    @field_validator("rates")
    @classmethod
    def _positive(cls, rates: dict[str, Decimal]) -> dict[str, Decimal]:
        for code, rate in rates.items():
            if rate <= 0:
                raise ValueError(f"the rate of {code} is {rate}: write how much of it one unit of the base buys")
        return rates

    def factor(self, source: str, to: str, now: datetime) -> Fraction:
        """Minor units of ``to`` for one minor unit of ``source``, exactly.

        Raises ValueError where a rate is missing or the table is older than ``max_age`` at ``now`` (aware UTC).
        """
        if source == to:
            return Fraction(1)
        if now - datetime.combine(self.date, time(), UTC) > self.max_age + timedelta(days=1):
            raise ValueError(
                f"the exchange rates are of {self.date} and older than {duration_text(self.max_age)}: renew `rates:`"
            )
        scale = Fraction(10) ** (exponent(to) - exponent(source))
        return self._per_base(to) / self._per_base(source) * scale

    def _per_base(self, currency: str) -> Fraction:
        if currency == self.base:
            return Fraction(1)
        rate = self.rates.get(currency)
        if rate is None:
            raise ValueError(f"no exchange rate of {currency} to {self.base} is known: add it under `rates:`")
        return Fraction(rate)

    def convert(self, money: Money, to: str, now: datetime) -> Money:
        """The same value in another currency, rounded half up once, at the end. Raises as ``factor`` does."""
        value = money.minor * self.factor(money.currency, to, now)
        half_up = (abs(value) + Fraction(1, 2)) // 1
        return Money(half_up if value >= 0 else -half_up, to)
