"""Value-added tax by country and tax class, and the way between net and gross."""

from decimal import ROUND_HALF_UP, Decimal

from pydantic import ConfigDict, RootModel, field_validator

from marketsync.adapter.money import Money
from marketsync.domain.scalars import CountryCode, Percent


class VatTable(RootModel[dict[CountryCode, dict[str, Percent]]]):
    """Percentages by country and tax class: ``{DE: {standard: 19%, reduced: 7%}}``."""

    model_config = ConfigDict(frozen=True)

    root: dict[CountryCode, dict[str, Percent]] = {}

    @field_validator("root")
    @classmethod
    def _possible(cls, table: dict[str, dict[str, Decimal]]) -> dict[str, dict[str, Decimal]]:
        for country, classes in table.items():
            for tax_class, rate in classes.items():
                if not 0 <= rate < 100:
                    raise ValueError(f"{rate}% is no VAT of {country} {tax_class}: write a percentage such as 19%")
        return table

    def rate(self, country: str, tax_class: str) -> Decimal:
        """The percentage, 19 for 19 %. Raises ValueError that names what is missing."""
        classes = self.root.get(country)
        if classes is None:
            raise ValueError(f"no VAT is known for {country}: add it under `vat:`")
        rate = classes.get(tax_class)
        if rate is None:
            known = ", ".join(sorted(classes)) or "none"
            raise ValueError(
                f"no VAT of {country} is known for the tax class {tax_class!r} (known: {known}): add it under `vat:`"
            )
        return rate


def gross_of(net: Money, rate: Decimal) -> Money:
    """What a buyer pays for a net amount at ``rate`` percent, rounded half up to the minor unit."""
    return _rounded(Decimal(net.minor) * (100 + rate) / 100, net.currency)


def net_of(gross: Money, rate: Decimal) -> Money:
    """What remains of a gross amount at ``rate`` percent, rounded half up to the minor unit."""
    return _rounded(Decimal(gross.minor) * 100 / (100 + rate), gross.currency)


def _rounded(minor: Decimal, currency: str) -> Money:
    return Money(int(minor.quantize(Decimal(1), rounding=ROUND_HALF_UP)), currency)
