"""Which items a channel offers."""

import re
from collections.abc import Callable
from fnmatch import translate
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from marketsync.adapter.money import Money
from marketsync.domain.item import Item
from marketsync.domain.scalars import RULES, MoneyText


def _as_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


Names = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


class Filter(BaseModel):
    """Conditions on an item. Several values of one condition: any of them."""

    model_config = RULES

    skus: Names = ()
    """SKUs or patterns (`TEST-*`); capitals and small letters differ."""
    categories: Names = ()
    """A path (`Home > Garden`, with all below it) or one category's name (`Garden`)."""
    brands: Names = ()
    """Brands, in any case of letters."""
    tags: Names = ()
    """Tags, in any case of letters."""
    conditions: Names = ()
    """Conditions, such as new or used."""
    price_from: MoneyText | None = None
    """Catalogue price of at least this."""
    price_to: MoneyText | None = None
    """Catalogue price of at most this."""
    stock_from: int | None = Field(default=None, ge=0)
    """At least this many available pieces; 1 for what is in stock."""
    stock_to: int | None = Field(default=None, ge=0)
    """At most this many available pieces."""

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        low, high = self.price_from, self.price_to
        if low and high and low.currency != high.currency:
            raise ValueError(f"price_from is in {low.currency} and price_to in {high.currency}: use one currency")
        if low and high and low.minor > high.minor:
            raise ValueError(f"price_from {low} lies above price_to {high}: no item fits")
        if self.stock_from is not None and self.stock_to is not None and self.stock_from > self.stock_to:
            raise ValueError(f"stock_from {self.stock_from} lies above stock_to {self.stock_to}: no item fits")
        return self


class Assortment(BaseModel):
    """What a channel offers: items that meet every condition of `include` and none of `exclude`."""

    model_config = RULES

    include: Filter = Filter()
    """Every condition given must hold; everything if left out."""
    exclude: Filter = Filter()
    """Each condition alone keeps an item out; nothing if left out."""


Condition = Callable[[Item, int], bool]


def covers(item: Item, available: int, rules: Assortment) -> tuple[bool, str]:
    """Whether the channel offers an item with so many available pieces, and why (not)."""
    reason = compile_assortment(rules)(item, available)
    return reason is None, reason or "covered"


def compile_assortment(rules: Assortment) -> Callable[[Item, int], str | None]:
    """A function from (item, available pieces) to the reason why the item is not offered; None where it is."""
    wanted = [(test, f"not included: {name}") for name, test in _conditions(rules.include)]
    unwanted = [(test, f"excluded: {name}") for name, test in _conditions(rules.exclude)]

    def reason(item: Item, available: int) -> str | None:
        for test, why in wanted:
            if not test(item, available):
                return why
        for test, why in unwanted:
            if test(item, available):
                return why
        return None

    return reason


def _conditions(filter_: Filter) -> list[tuple[str, Condition]]:
    """The conditions that a filter names, each with the words that tell it."""
    conditions: list[tuple[str, Condition]] = []
    if filter_.skus:
        conditions.append(("skus", _skus(filter_.skus)))
    if filter_.categories:
        conditions.append(("categories", _categories(filter_.categories)))
    if filter_.brands:
        brands = frozenset(map(str.casefold, filter_.brands))
        conditions.append(("brands", lambda item, _: item.brand is not None and item.brand.casefold() in brands))
    if filter_.tags:
        tags = frozenset(map(str.casefold, filter_.tags))
        conditions.append(("tags", lambda item, _: any(tag.casefold() in tags for tag in item.tags)))
    if filter_.conditions:
        states = frozenset(map(str.casefold, filter_.conditions))
        conditions.append(("conditions", lambda item, _: (item.condition or "new").casefold() in states))
    if filter_.price_from is not None or filter_.price_to is not None:
        conditions.append(("price", _price(filter_.price_from, filter_.price_to)))
    if filter_.stock_from is not None or filter_.stock_to is not None:
        conditions.append(("stock", _stock(filter_.stock_from or 0, filter_.stock_to)))
    return conditions


def _skus(patterns: tuple[str, ...]) -> Condition:
    exact = frozenset(pattern for pattern in patterns if not re.search(r"[*?\[]", pattern))
    wild = [translate(pattern) for pattern in patterns if pattern not in exact]
    if not wild:
        return lambda item, _: item.sku in exact
    matches = re.compile("|".join(wild)).match
    return lambda item, _: item.sku in exact or matches(item.sku) is not None


def _path(category: str) -> tuple[str, ...]:
    return tuple(part.strip().casefold() for part in category.split(">"))


def _categories(wanted: tuple[str, ...]) -> Condition:
    """A catalogue has far fewer categories than items: each is looked at once."""
    paths = [_path(category) for category in wanted]
    names = {path[0] for path in paths if len(path) == 1}
    longer = [path for path in paths if len(path) > 1]
    known: dict[str, bool] = {}

    def matches(item: Item, _: int) -> bool:
        category = item.category or ""
        answer = known.get(category)
        if answer is None:
            path = _path(category)
            answer = not names.isdisjoint(path) or any(path[: len(prefix)] == prefix for prefix in longer)
            known[category] = answer
        return answer

    return matches


def _price(low: Money | None, high: Money | None) -> Condition:
    """An item without a price, or with one in another currency, is in no range."""
    bound = low or high
    currency = bound.currency if bound else ""
    least, most = low.minor if low else 0, high.minor if high else None

    def matches(item: Item, _: int) -> bool:
        price = item.price
        if price is None or price.currency != currency:
            return False
        return price.minor >= least and (most is None or price.minor <= most)

    return matches


def _stock(least: int, most: int | None) -> Condition:
    return lambda _, available: available >= least and (most is None or available <= most)
