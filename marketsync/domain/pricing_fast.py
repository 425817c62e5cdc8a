"""The same prices as ``pricing.price``, without the steps, for a whole catalogue: integers, prepared once per lane.

A lane is what items share: currency, net or gross, tax class. Whatever is unusual goes the explained way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache
from math import lcm
from operator import attrgetter

from marketsync.adapter.content import Price
from marketsync.adapter.money import Money
from marketsync.domain.endings import Direction, Grid, ending_grid, settle, step_grid
from marketsync.domain.item import Item
from marketsync.domain.price_rules import PriceRules
from marketsync.domain.pricing import exchange, kept_share, needs_vat, price, vat_factor
from marketsync.domain.rates import RateTable
from marketsync.domain.vat import VatTable


@dataclass(frozen=True, slots=True)
class _Line:
    """minor -> (minor * factor + plus) / divisor, rounded to a step."""

    factor: int
    plus: int
    divisor: int
    step: int
    mode: Direction

    @classmethod
    def of(cls, factor: Fraction, plus: Fraction, step: int, mode: Direction) -> "_Line":
        divisor = lcm(factor.denominator, plus.denominator)
        return cls(int(factor * divisor), int(plus * divisor), divisor * step, step, mode)

    def at(self, minor: int) -> int:
        value = minor * self.factor + self.plus
        if self.mode == "nearest":
            return (2 * value + self.divisor) // (2 * self.divisor) * self.step
        if self.mode == "up":
            return -(-value // self.divisor) * self.step
        return value // self.divisor * self.step


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What one target currency allows: the grid of amounts, the absolute floor and the ceiling."""

    grid: Grid
    floor: int
    ceiling: int | None


@dataclass(frozen=True, slots=True)
class _Lanes:
    """Prepares lanes; None where the explained way has to say what is wrong."""

    rules: PriceRules
    vat: VatTable
    rates: RateTable | None
    now: datetime

    def line(self, source: str, gross: bool, tax_class: str, markup: Decimal, to: str) -> _Line | None:
        rules = self.rules
        try:
            factor = exchange(source, to, self.rates, self.now) * (1 + Fraction(markup) / 100)
            if gross != rules.gross:
                vat = vat_factor(rules, self.vat, tax_class)
                factor = factor / vat if gross else factor * vat
            plus = Fraction(0) if rules.plus is None else self._money(rules.plus, to)
            ((step, _),) = step_grid(rules.rounding.step, to).lines
            return _Line.of(factor, plus, step, rules.rounding.mode)
        except ValueError:
            return None

    def reference(self, source: str, gross: bool, tax_class: str, to: str) -> _Line | None:
        """As ``line``, without markup, plus and step."""
        try:
            factor = exchange(source, to, self.rates, self.now)
            if gross != self.rules.gross:
                vat = vat_factor(self.rules, self.vat, tax_class)
                factor = factor / vat if gross else factor * vat
            return _Line.of(factor, Fraction(0), 1, "nearest")
        except ValueError:
            return None

    def floor(self, source: str, gross: bool, tax_class: str, to: str) -> _Line | None:
        """From a cost to the smallest amount that covers it."""
        rules = self.rules
        try:
            vat = vat_factor(rules, self.vat, tax_class) if needs_vat(rules) or gross else Fraction(1)
            kept = kept_share(rules, vat)
            factor = exchange(source, to, self.rates, self.now) / (vat if gross else 1)
            shipping = Fraction(0) if rules.shipping is None else self._money(rules.shipping, to)
            return _Line.of(factor / kept, shipping / kept, 1, "up")
        except ValueError:
            return None

    def bounds(self, to: str) -> _Bounds | None:
        rules = self.rules
        try:
            grid = ending_grid(rules.ending, to) if rules.ending else step_grid(rules.rounding.step, to)
            floor = 1 if rules.floor is None else max(1, -(-self._money(rules.floor, to) // 1))
            ceiling = None if rules.ceiling is None else self._money(rules.ceiling, to) // 1
            return _Bounds(grid, floor, ceiling)
        except ValueError:
            return None

    def _money(self, money: Money, to: str) -> Fraction:
        return money.minor * exchange(money.currency, to, self.rates, self.now)


def _picker(base: str) -> Callable[[Item], Money | None]:
    if base.startswith("prices."):
        name = base.removeprefix("prices.")
        return lambda item: item.prices.get(name)
    return attrgetter(base)


class _Pricing:
    """A catalogue's prices under one set of rules; what it cannot do at once, ``pricing.price`` explains."""

    __slots__ = ("_bounds", "_direction", "_floor", "_lanes", "_line", "_pick", "_reference", "_rules", "_sale_markup")

    def __init__(self, lanes: _Lanes) -> None:
        rules = lanes.rules
        self._lanes, self._rules = lanes, rules
        # Currencies and tax classes are few, so the caches stay small.
        self._line, self._reference = cache(lanes.line), cache(lanes.reference)
        self._floor, self._bounds = cache(lanes.floor), cache(lanes.bounds)
        self._pick = _picker(rules.base)
        self._direction: Direction | None = rules.ending_direction if rules.ending else None
        self._sale_markup = rules.markup if rules.sale_markup is None else rules.sale_markup

    def __call__(self, item: Item) -> Price | str:
        base = self._pick(item)
        if base is None or base.minor <= 0:
            return self._explained(item)
        rules = self._rules
        to = rules.currency or base.currency
        gross = item.cost_gross if rules.base == "cost" else item.gross
        lane, bounds = self._line(base.currency, gross, item.tax_class, rules.markup, to), self._bounds(to)
        if lane is None or bounds is None:
            return self._explained(item)
        wanted, floor = lane.at(base.minor), self._least(item, bounds, to)
        if wanted <= 0 or not floor:
            return self._explained(item)
        amount = settle(wanted, bounds.grid, self._direction, floor, bounds.ceiling)
        if item.sale_price is None and item.reference_price is None:
            return Price(amount=Money(amount, to), gross=rules.gross)
        return self._with_sale(item, to, bounds, floor, amount)

    def _explained(self, item: Item) -> Price | str:
        lanes = self._lanes
        outcome = price(item, lanes.rules, lanes.vat, lanes.rates, lanes.now)
        return outcome.price or outcome.problem or ""

    def _least(self, item: Item, bounds: _Bounds, to: str) -> int:
        """The floor; 0 where the explained way has to say what is wrong with it."""
        floor, cost = bounds.floor, item.cost
        if cost is not None:
            lane = self._floor(cost.currency, item.cost_gross, item.tax_class, to)
            if lane is None or cost.minor < 0:
                return 0
            floor = max(floor, lane.at(cost.minor))
        return 0 if bounds.ceiling is not None and bounds.ceiling < floor else floor

    def _with_sale(self, item: Item, to: str, bounds: _Bounds, floor: int, amount: int) -> Price | str:
        sale, struck = self._sale(item, to, bounds, floor), self._struck(item, to)
        if sale is None or struck is None:
            return self._explained(item)
        on_sale = 0 < sale < amount
        return Price(
            amount=Money(amount, to),
            gross=self._rules.gross,
            sale=Money(sale, to) if on_sale else None,
            sale_starts=item.sale_starts if on_sale else None,
            sale_ends=item.sale_ends if on_sale else None,
            reference=Money(struck, to) if struck > amount else None,
        )

    def _sale(self, item: Item, to: str, bounds: _Bounds, floor: int) -> int | None:
        """The sale amount; 0 where there is none, None where the explained way has to look."""
        sale = item.sale_price
        if sale is None or sale.minor <= 0 or not self._rules.shows_sale:
            return 0
        if item.sale_ends is not None and item.sale_ends <= self._lanes.now:
            return 0
        lane = self._line(sale.currency, item.gross, item.tax_class, self._sale_markup, to)
        wanted = lane.at(sale.minor) if lane else 0
        return settle(wanted, bounds.grid, self._direction, floor, bounds.ceiling) if wanted > 0 else None

    def _struck(self, item: Item, to: str) -> int | None:
        """The reference amount; 0 where there is none, None where the explained way has to look."""
        money = item.reference_price
        if money is None or not self._rules.reference:
            return 0
        lane = self._reference(money.currency, item.gross, item.tax_class, to)
        return lane.at(money.minor) if lane else None


def compile_pricing(
    rules: PriceRules, vat: VatTable, rates: RateTable | None, now: datetime
) -> Callable[[Item], Price | str]:
    """A function that gives an item's price at ``now`` (aware UTC), or the sentence that says why it has none."""
    return _Pricing(_Lanes(rules, vat, rates, now))
