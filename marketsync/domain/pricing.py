"""The price of an item on a channel, with every step that led to it. Exact fractions until the one rounding.

base -> currency -> VAT -> markup -> plus -> rounding -> ending -> floor -> ceiling; then sale and reference price.
``pricing_fast`` computes the same without the steps.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from marketsync.adapter.content import Price
from marketsync.adapter.money import Money, exponent
from marketsync.domain.endings import ending_grid, round_to_step, settle, step_grid
from marketsync.domain.item import Item
from marketsync.domain.price_rules import PriceRules
from marketsync.domain.rates import RateTable
from marketsync.domain.vat import VatTable


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a price: its name, the value after it and, in a sentence, why."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class PriceOutcome:
    """The price, or a problem that says what is wrong and what to do; and the steps so far in both cases."""

    price: Price | None
    steps: tuple[Step, ...]
    problem: str | None = None


def base_of(item: Item, name: str) -> Money | None:
    """The amount of a price field by its configured name, ``prices.<name>`` included."""
    if name.startswith("prices."):
        return item.prices.get(name.removeprefix("prices."))
    amount: Money | None = getattr(item, name)
    return amount


def price(item: Item, rules: PriceRules, vat: VatTable, rates: RateTable | None, now: datetime) -> PriceOutcome:
    """What the channel should show for one piece at ``now`` (aware UTC), explained. Never raises for data."""
    sum_ = Sum(item, rules, vat, rates, now)
    try:
        return PriceOutcome(sum_.price(), tuple(sum_.steps))
    except ValueError as problem:
        return PriceOutcome(None, tuple(sum_.steps), str(problem))


def vat_factor(rules: PriceRules, vat: VatTable, tax_class: str) -> Fraction:
    """Gross per net. Raises ValueError where the rules or the table do not tell it."""
    if rules.country is None:
        raise ValueError("the price depends on VAT and no country is set: set `country` under the channel's `price:`")
    return 1 + Fraction(vat.rate(rules.country, tax_class)) / 100


def exchange(source: str, to: str, rates: RateTable | None, now: datetime) -> Fraction:
    """Minor units of ``to`` per minor unit of ``source``. Raises ValueError where no usable rate is known."""
    if source == to:
        return Fraction(1)
    if rates is None:
        raise ValueError(f"an amount in {source} is needed in {to} and there are no exchange rates: add `rates:`")
    return rates.factor(source, to, now)


def kept_share(rules: PriceRules, factor: Fraction) -> Fraction:
    """What one unit of the shown price leaves for cost and shipping, net, after margin and commission.

    Raises ValueError where it leaves nothing at any price.
    """
    margin, commission = 1 - Fraction(rules.margin) / 100, Fraction(rules.commission) / 100
    kept = margin / factor - commission if rules.gross else margin - commission * factor
    if kept <= 0:
        raise ValueError(
            f"margin {rules.margin}%, commission {rules.commission}% and VAT leave nothing of any price: lower one of them"
        )
    return kept


def needs_vat(rules: PriceRules) -> bool:
    """Whether the floor from the cost depends on VAT, whatever the cost includes."""
    return rules.gross or rules.commission > 0


@dataclass(slots=True)
class Sum:
    """One item's price in the making."""

    item: Item
    rules: PriceRules
    vat: VatTable
    rates: RateTable | None
    now: datetime
    currency: str = ""
    prefix: str = ""
    steps: list[Step] = field(default_factory=list)

    def price(self) -> Price:
        item, rules = self.item, self.rules
        base = base_of(item, rules.base)
        if base is None:
            raise ValueError(f"the item has no {rules.base}: add it to a source or set another `from`")
        self.note("base", base, f"{rules.base}, {'gross' if self.base_gross() else 'net'}")
        if base.minor <= 0:
            raise ValueError(f"{rules.base} is {base}: a price starts from an amount above 0")
        self.currency = rules.currency or base.currency
        wanted = self.wanted(base, self.base_gross(), rules.markup)
        floor, ceiling = self.floor(), self.ceiling()
        if ceiling is not None and ceiling < floor:
            raise ValueError(
                f"the floor {self.money(floor)} lies above the ceiling {self.money(ceiling)}:"
                " raise the ceiling, or lower cost, margin or floor"
            )
        amount = self.settled(wanted, floor, ceiling)
        sale = self.sale(amount, floor, ceiling)
        return Price(
            amount=amount,
            gross=rules.gross,
            sale=sale,
            sale_starts=item.sale_starts if sale else None,
            sale_ends=item.sale_ends if sale else None,
            reference=self.reference(amount),
        )

    def note(self, name: str, value: Money | Fraction | str, note: str = "") -> None:
        text = self.shown(value) if isinstance(value, Fraction) else str(value)
        self.steps.append(Step(self.prefix + name, text, note))

    def shown(self, minor: Fraction) -> str:
        """Four decimals more than the currency has: enough to see what rounding will do."""
        digits = exponent(self.currency)
        value = round(Decimal(minor.numerator) / Decimal(minor.denominator), 4).scaleb(-digits)
        text = f"{value:f}".rstrip("0") if value else "0."
        whole, _, decimals = text.partition(".")
        return f"{whole}{'.' if digits or decimals else ''}{decimals:0<{digits}} {self.currency}"

    def money(self, minor: int) -> Money:
        return Money(minor, self.currency)

    def base_gross(self) -> bool:
        return self.item.cost_gross if self.rules.base == "cost" else self.item.gross

    def in_currency(self, money: Money) -> Fraction:
        return money.minor * exchange(money.currency, self.currency, self.rates, self.now)

    def shown_amount(self, money: Money, gross: bool) -> Fraction:
        """The amount in the channel's currency, net or gross as the channel shows it."""
        value = self.in_currency(money)
        if money.currency != self.currency:
            day = self.rates.date if self.rates else ""
            self.note("currency", value, f"rates of {day}")
        if gross != self.rules.gross:
            factor = vat_factor(self.rules, self.vat, self.item.tax_class)
            value = value / factor if gross else value * factor
            self.note("vat", value, f"{self.rules.country} {self.item.tax_class}, {'gross' if not gross else 'net'}")
        return value

    def wanted(self, money: Money, gross: bool, markup: Decimal) -> int:
        """The price before ending, floor and ceiling, rounded to the step."""
        rules = self.rules
        value = self.shown_amount(money, gross)
        if markup:
            value *= 1 + Fraction(markup) / 100
            self.note("markup", value, f"{markup:+f} %")
        if rules.plus is not None:
            value += self.in_currency(rules.plus)
            self.note("plus", value, str(rules.plus))
        ((step, _),) = step_grid(rules.rounding.step, self.currency).lines
        rounded = round_to_step(value, step, rules.rounding.mode)
        if rounded != value:
            self.note("rounding", self.money(rounded), f"{rules.rounding.mode}, step {self.money(step)}")
        if rounded <= 0:
            raise ValueError(f"the rules make a price of {self.money(rounded)}: check markup, plus and rounding")
        return rounded

    def floor(self) -> int:
        """The smallest amount that the rules allow, in minor units; at least 1."""
        rules, cost = self.rules, self.item.cost
        floor = 1
        if rules.floor is not None:
            floor = max(floor, -(-self.in_currency(rules.floor) // 1))
        if cost is None:
            if rules.floor is not None:
                self.note("floor", self.money(floor), "as configured; the item has no cost")
            return floor
        if cost.minor < 0:
            raise ValueError(f"the cost is {cost}: a cost is never negative, correct it in its source")
        factor = Fraction(1)
        if needs_vat(rules) or self.item.cost_gross:
            factor = vat_factor(rules, self.vat, self.item.tax_class)
        net_cost = self.in_currency(cost) / (factor if self.item.cost_gross else 1)
        if rules.shipping is not None:
            net_cost += self.in_currency(rules.shipping)
        floor = max(floor, -(-net_cost // kept_share(rules, factor)))
        self.note(
            "floor",
            self.money(floor),
            f"cost {cost}, margin {rules.margin}%, commission {rules.commission}%, shipping {rules.shipping or 'none'}",
        )
        return floor

    def ceiling(self) -> int | None:
        if self.rules.ceiling is None:
            return None
        ceiling = self.in_currency(self.rules.ceiling) // 1
        self.note("ceiling", self.money(ceiling), "as configured")
        return ceiling

    def settled(self, wanted: int, floor: int, ceiling: int | None) -> Money:
        rules = self.rules
        if rules.ending:
            grid = ending_grid(rules.ending, self.currency)
            self.note("ending", self.money(grid.move(wanted, rules.ending_direction)), rules.ending_direction)
        else:
            grid = step_grid(rules.rounding.step, self.currency)
        amount = settle(wanted, grid, rules.ending_direction if rules.ending else None, floor, ceiling)
        self.note("price", self.money(amount), "gross" if rules.gross else "net")
        return self.money(amount)

    def sale(self, amount: Money, floor: int, ceiling: int | None) -> Money | None:
        """The sale price, unless it is over, no amount, or not below the price."""
        item, rules = self.item, self.rules
        if not rules.shows_sale or item.sale_price is None:
            return None
        self.prefix = "sale "
        if item.sale_price.minor <= 0:
            self.note("base", item.sale_price, "left out: no amount above 0")
        elif item.sale_ends is not None and item.sale_ends <= self.now:
            self.note("base", item.sale_price, f"left out: ended {item.sale_ends:%Y-%m-%d %H:%M} UTC")
        else:
            self.note("base", item.sale_price, "sale_price")
            markup = rules.markup if rules.sale_markup is None else rules.sale_markup
            sale = self.settled(self.wanted(item.sale_price, item.gross, markup), floor, ceiling)
            if sale.minor < amount.minor:
                return sale
            self.note("left out", sale, "not below the price")
        return None

    def reference(self, amount: Money) -> Money | None:
        """The struck-through price: converted, but with no markup, for nobody ever asked that price."""
        item = self.item
        if not self.rules.reference or item.reference_price is None:
            return None
        self.prefix = "reference "
        self.note("base", item.reference_price, "reference_price")
        reference = self.money(round_to_step(self.shown_amount(item.reference_price, item.gross), 1, "nearest"))
        if reference.minor > amount.minor:
            return reference
        self.note("left out", reference, "not above the price")
        return None
