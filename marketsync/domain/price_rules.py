"""How a channel's prices are made, as its user writes it under ``price:``."""

from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, Field, field_validator, model_validator

from marketsync.domain.endings import Direction, ending_grid, parse_ending, step_grid
from marketsync.domain.scalars import RULES, Amount, CountryCode, CurrencyCode, MoneyText, Percent

BASE_FIELDS = ("price", "sale_price", "reference_price", "cost")


def _as_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


def _ending(value: object) -> object:
    """A number that the loader has already read as one is text again."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Ending = Annotated[str, BeforeValidator(_ending), Field(examples=[".99", ".95", "9"])]


class Rounding(BaseModel):
    """Amounts are rounded to multiples of a step, before the ending and the floor."""

    model_config = RULES

    mode: Direction = "nearest"
    """up, nearest (halves go up) or down."""
    step: Amount | None = None
    """The step, such as 0.05 or 1; the currency's smallest unit if left out."""

    @field_validator("step")
    @classmethod
    def _positive(cls, step: Decimal | None) -> Decimal | None:
        if step is not None and step <= 0:
            raise ValueError("the step must be above 0: write an amount such as 0.05")
        return step


class PriceRules(BaseModel):
    """From a price of the catalogue to the price of the channel; the floor holds after everything else."""

    model_config = RULES

    base: str = Field(default="price", alias="from")
    """The field that the price starts from: price, sale_price, reference_price, cost or prices.<name>."""
    markup: Percent = Decimal(0)
    """Added to the base, in percent; negative lowers it."""
    plus: MoneyText | None = None
    """Added after the markup."""
    rounding: Rounding = Rounding()
    """How the sum is rounded."""
    ending: Annotated[tuple[Ending, ...], BeforeValidator(_as_list)] = ()
    """How prices end: .99, or several: [.49, .99]; 9 means 9, 19, 29."""
    ending_direction: Direction = "nearest"
    """Whether a price moves up, down or to the nearest ending."""
    margin: Percent = Decimal(0)
    """The least margin, in percent of the net selling price, that the floor leaves after cost, commission, shipping."""
    commission: Percent = Decimal(0)
    """The channel's share of the gross price, in percent; raises the floor."""
    shipping: MoneyText | None = None
    """What sending one piece costs, net; raises the floor."""
    floor: MoneyText | None = None
    """Never below this amount."""
    ceiling: MoneyText | None = None
    """Never above this amount; an item whose floor lies higher gets no price."""
    currency: CurrencyCode | None = None
    """The channel's currency; that of the base if left out."""
    country: CountryCode | None = None
    """The country whose VAT applies."""
    gross: bool = True
    """Whether the channel shows prices with VAT."""
    sale: bool | None = None
    """Whether the item's sale price is shown too; if left out, yes where `from` is price."""
    sale_markup: Percent | None = None
    """The markup of sale prices; that of prices if left out."""
    reference: bool = False
    """Whether the item's reference price is shown struck through; it gets no markup."""

    @property
    def shows_sale(self) -> bool:
        return self.base == "price" if self.sale is None else self.sale

    @field_validator("base")
    @classmethod
    def _known_base(cls, base: str) -> str:
        if base in BASE_FIELDS or (base.startswith("prices.") and base != "prices."):
            return base
        nearest = get_close_matches(base, BASE_FIELDS, 1)
        meant = f"did you mean {nearest[0]}?" if nearest else f"write {', '.join(BASE_FIELDS)} or prices.<name>"
        raise ValueError(f"{base!r} is no price field: {meant}")

    @field_validator("ending")
    @classmethod
    def _endings(cls, endings: tuple[str, ...]) -> tuple[str, ...]:
        for text in endings:
            parse_ending(text)
        return endings

    @field_validator("markup", "sale_markup")
    @classmethod
    def _markup_above_minus_100(cls, markup: Decimal | None) -> Decimal | None:
        if markup is not None and markup <= -100:
            raise ValueError(f"a markup of {markup}% leaves no price: write a percentage above -100%")
        return markup

    @field_validator("margin", "commission")
    @classmethod
    def _share(cls, share: Decimal) -> Decimal:
        if not 0 <= share < 100:
            raise ValueError(f"{share}% is not possible: write a percentage from 0% to below 100%")
        return share

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.margin + self.commission >= 100:
            raise ValueError("margin and commission together take the whole price: they must stay below 100%")
        for name in ("shipping", "floor", "ceiling"):
            money = getattr(self, name)
            if money is not None and money.minor < 0:
                raise ValueError(f"{name} is {money}: write an amount that is not negative")
        if (
            self.floor
            and self.ceiling
            and self.floor.currency == self.ceiling.currency
            and self.floor.minor > self.ceiling.minor
        ):
            raise ValueError(
                f"the floor {self.floor} lies above the ceiling {self.ceiling}: lower one or raise the other"
            )
        if self.currency:
            ending_grid(self.ending, self.currency)
            step_grid(self.rounding.step, self.currency)
        return self
