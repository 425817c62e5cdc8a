"""Prices: every step exact and told, the floor above all else, the fast way equal to the explained one."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from marketsync.adapter.money import Money
from marketsync.domain.endings import ending_grid
from marketsync.domain.item import Item
from marketsync.domain.price_rules import PriceRules
from marketsync.domain.pricing import price
from marketsync.domain.pricing_fast import compile_pricing
from marketsync.domain.rates import RateTable
from marketsync.domain.vat import VatTable, gross_of, net_of

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
VAT = VatTable.model_validate({"DE": {"standard": "19%", "reduced": "7%"}, "FR": {"standard": "20%"}})
RATES = RateTable.model_validate({"date": date(2026, 3, 1), "rates": {"USD": "1.08", "PLN": "4.3125", "JPY": "161.37"}})


def eur(text):
    return Money.of(text, "EUR")


def rules(**keys):
    return PriceRules.model_validate({"country": "DE", **keys})


def outcome(item, **keys):
    return price(item, rules(**keys), VAT, RATES, NOW)


def amount(item, **keys):
    result = outcome(item, **keys)
    assert result.problem is None
    return result.price.amount


def item(price="10.00", **fields):
    return Item(sku="A", price=eur(price) if price else None, **fields)


def test_without_rules_the_price_is_that_of_the_catalogue():
    assert amount(item("12.34")) == eur("12.34")


def test_markup_then_plus_then_ending_and_every_step_is_told():
    result = outcome(item("10.00"), markup="12%", plus="0.95 EUR", ending=".99")
    told = [(step.name, step.value) for step in result.steps]
    assert told == [
        ("base", "10.00 EUR"),
        ("markup", "11.20 EUR"),
        ("plus", "12.15 EUR"),
        ("ending", "11.99 EUR"),
        ("price", "11.99 EUR"),
    ]


@pytest.mark.parametrize(
    ("base", "ending", "direction", "expected"),
    [
        ("12.15", ".99", "nearest", "11.99"),
        ("12.15", ".99", "up", "12.99"),
        ("12.60", ".99", "down", "11.99"),
        ("12.49", ".99", "nearest", "12.99"),
        ("0.40", ".99", "down", "0.99"),
        ("14.20", "9", "nearest", "19.00"),
        ("13.90", "9", "nearest", "9.00"),
        ("12.15", [".49", ".99"], "nearest", "11.99"),
        ("12.30", [".49", ".99"], "nearest", "12.49"),
        ("12.30", "0,99", "nearest", "11.99"),
        ("96.00", "9.95", "nearest", "99.95"),
        ("12.30", ".9", "nearest", "11.90"),
    ],
)
def test_a_price_moves_to_an_ending(base, ending, direction, expected):
    assert amount(item(base), ending=ending, ending_direction=direction) == eur(expected)


@pytest.mark.parametrize(
    ("mode", "expected"), [("nearest", "10.05"), ("up", "10.05"), ("down", "10.00")], ids=["nearest", "up", "down"]
)
def test_a_price_is_rounded_to_the_step(mode, expected):
    assert amount(item("10.03"), rounding={"mode": mode, "step": "0.05"}) == eur(expected)


def test_a_net_price_becomes_gross_with_the_vat_of_country_and_tax_class():
    assert amount(item("10.00", gross=False)) == eur("11.90")
    assert amount(item("10.00", gross=False, tax_class="reduced")) == eur("10.70")
    assert amount(item("10.00", gross=False), country="FR") == eur("12.00")


def test_a_gross_price_becomes_net_where_the_channel_shows_net():
    result = outcome(item("11.90"), gross="no")
    assert (result.price.amount, result.price.gross) == (eur("10.00"), False)


def test_another_currency_is_converted_by_the_rate_table():
    assert amount(item("10.00"), currency="USD") == Money.of("10.80", "USD")
    assert amount(item("10.00"), currency="JPY") == Money(1614, "JPY")


@pytest.mark.parametrize(
    ("changed", "keys", "said"),
    [
        ({"price": None}, {}, "the item has no price: add it to a source"),
        ({}, {"from": "prices.ebay"}, "the item has no prices.ebay"),
        ({"price": Money(0, "EUR")}, {}, "price is 0.00 EUR"),
        ({"price": Money(-1, "EUR")}, {}, "price is -0.01 EUR"),
        ({}, {"plus": "-10 EUR"}, "the rules make a price of 0.00 EUR"),
        ({}, {"currency": "GBP"}, "no exchange rate of GBP to EUR is known"),
        ({"gross": False}, {"country": "PL"}, "no VAT is known for PL"),
        ({"gross": False, "tax_class": "books"}, {}, r"tax class 'books' \(known: reduced, standard\)"),
        ({"gross": False}, {"country": None}, "no country is set"),
        ({"cost": Money(100, "EUR")}, {"country": None}, "no country is set"),
        ({"cost": Money(-100, "EUR")}, {}, "a cost is never negative"),
        ({"cost": Money(2000, "EUR")}, {"ceiling": "15 EUR"}, "the floor 23.80 EUR lies above the ceiling 15.00 EUR"),
        ({"cost": Money(2000, "EUR")}, {"margin": "60%", "commission": "38%"}, "leave nothing of any price"),
        ({"price": Money(1000, "EU1")}, {}, "'EU1' is no ISO 4217 currency code"),
        ({"price": Money(1000, "JPY")}, {"ending": ".99"}, "no price in JPY ends in .99"),
    ],
)
def test_what_stands_in_the_way_of_a_price_is_said(changed, keys, said):
    odd = replace(item(), **changed)
    result = outcome(odd, **keys)
    assert result.price is None
    assert compile_pricing(rules(**keys), VAT, RATES, NOW)(odd) == result.problem
    with pytest.raises(ValueError, match=said):
        raise ValueError(result.problem)


def test_without_a_rate_table_no_currency_is_converted():
    result = price(item(), rules(currency="USD"), VAT, None, NOW)
    assert (result.price, "there are no exchange rates" in result.problem) == (None, True)


def test_rates_older_than_their_age_are_not_used():
    result = price(item(), rules(currency="USD"), VAT, RATES, NOW + timedelta(days=8))
    assert result.price is None
    assert result.problem == "the exchange rates are of 2026-03-01 and older than 1w: renew `rates:`"


def test_the_floor_covers_cost_shipping_commission_and_margin_after_vat():
    """119.00 gross is 100.00 net; 15 % of 119.00 is 17.85; 10 % margin is 10.00; 4.15 shipping leave 68.00."""
    keys = {"margin": "10%", "commission": "15%", "shipping": "4.15 EUR"}
    assert amount(item("1.00", cost=eur("68.00")), **keys) == eur("119.00")
    assert amount(item("1.00", cost=eur("68.01")), **keys) == eur("119.02")


def test_a_price_below_the_floor_moves_up_to_the_next_ending():
    assert amount(item("10.00", cost=eur("10.00")), ending=".99", ending_direction="down") == eur("11.99")
    assert amount(item("10.00", cost=eur("10.09")), ending=".99", ending_direction="down") == eur("12.99")


def test_an_ending_that_fits_between_no_floor_and_ceiling_gives_way():
    assert amount(item("20.00"), ending=".99", floor="12.10 EUR", ceiling="12.50 EUR") == eur("12.50")
    assert amount(item("5.00"), ending=".99", floor="12.10 EUR", ceiling="12.50 EUR") == eur("12.10")


def test_the_ceiling_lowers_to_the_next_ending_below():
    assert amount(item("20.00"), ending=".99", ceiling="15 EUR") == eur("14.99")


def test_a_sale_price_takes_the_same_rules_and_its_own_markup():
    ends = NOW + timedelta(days=3)
    on_sale = item("20.00", sale_price=eur("15.00"), sale_starts=NOW, sale_ends=ends)
    result = outcome(on_sale, markup="10%", sale_markup="5%", ending=".99").price
    assert (result.amount, result.sale, result.sale_starts, result.sale_ends) == (eur("21.99"), eur("15.99"), NOW, ends)


@pytest.mark.parametrize(
    ("changed", "keys"),
    [
        ({"sale_ends": NOW}, {}),
        ({"sale_price": Money(0, "EUR")}, {}),
        ({"sale_price": Money(2000, "EUR")}, {}),
        ({"cost": Money(2000, "EUR")}, {}),
        ({}, {"sale": "no"}),
        ({}, {"from": "prices.mine"}),
    ],
    ids=["over", "zero", "not lower", "below the floor", "not wanted", "other base"],
)
def test_a_sale_price_is_left_out_where_it_makes_no_sense(changed, keys):
    on_sale = item("20.00", sale_price=eur("15.00"), sale_ends=NOW + timedelta(days=1), prices={"mine": eur("20.00")})
    result = outcome(replace(on_sale, **changed), **keys).price
    assert (result.sale, result.sale_starts, result.sale_ends) == (None, None, None)


def test_a_reference_price_is_shown_without_markup_and_only_above_the_price():
    struck = item("20.00", reference_price=eur("30.00"))
    assert outcome(struck, reference="yes", markup="10%").price.reference == eur("30.00")
    assert outcome(struck, reference="yes", markup="60%").price.reference is None
    assert outcome(struck).price.reference is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"from": "sale_prize"}, "did you mean sale_price?"),
        ({"ending": "ninety-nine"}, "is no price ending"),
        ({"ending": ".99", "currency": "JPY"}, "no price in JPY ends in .99"),
        ({"rounding": {"step": "0.005"}, "currency": "EUR"}, "cannot be rounded to 0.005"),
        ({"rounding": {"step": "0"}}, "the step must be above 0"),
        ({"markup": "-100%"}, "leaves no price"),
        ({"margin": "100%"}, "is not possible"),
        ({"margin": "60%", "commission": "40%"}, "together take the whole price"),
        ({"shipping": "-1 EUR"}, "not negative"),
        ({"floor": "10 EUR", "ceiling": "9 EUR"}, "lies above the ceiling"),
        ({"mark_up": "3%"}, "Extra inputs are not permitted"),
    ],
)
def test_rules_that_cannot_work_are_refused_when_they_are_read(keys, said):
    with pytest.raises(ValidationError, match=said.replace("?", r"\?").replace(".", r"\.")):
        rules(**keys)


# What the generated rules and items are drawn from.
CURRENCIES = st.sampled_from(["EUR", "USD", "PLN", "JPY"])
MONEY = st.builds(Money, st.integers(-5, 30_000), CURRENCIES)
COST = st.builds(Money, st.integers(0, 30_000), CURRENCIES)
ITEMS = st.builds(
    Item,
    sku=st.just("A"),
    price=st.none() | MONEY,
    gross=st.booleans(),
    sale_price=st.none() | MONEY,
    sale_ends=st.sampled_from([None, NOW, NOW + timedelta(days=1)]),
    reference_price=st.none() | MONEY,
    prices=st.dictionaries(st.just("ebay"), MONEY),
    cost=st.none() | COST,
    cost_gross=st.booleans(),
    tax_class=st.sampled_from(["standard", "reduced"]),
)
COSTED = st.builds(
    Item,
    sku=st.just("A"),
    price=st.builds(Money, st.integers(1, 30_000), st.sampled_from(["EUR", "USD", "PLN"])),
    gross=st.booleans(),
    sale_price=st.none() | st.builds(Money, st.integers(1, 30_000), st.just("EUR")),
    cost=COST,
    cost_gross=st.booleans(),
)
ENDINGS = st.lists(st.sampled_from([".99", ".95", "9", ".00", "9.90"]), max_size=2)


@st.composite
def some_rules(draw, **fixed):
    keys = {
        "from": draw(st.sampled_from(["price", "cost", "prices.ebay", "sale_price"])),
        "markup": draw(st.integers(-60, 200)),
        "plus": f"{draw(st.integers(-300, 500)) / Decimal(100)} EUR",
        "rounding": {
            "mode": draw(st.sampled_from(["up", "nearest", "down"])),
            "step": draw(st.sampled_from(["1", "5", "0.05", "0.01"])),
        },
        "ending": draw(ENDINGS),
        "ending_direction": draw(st.sampled_from(["up", "nearest", "down"])),
        "margin": draw(st.integers(0, 40)),
        "commission": draw(st.integers(0, 40)),
        "shipping": f"{draw(st.integers(0, 9))} EUR",
        "floor": draw(st.sampled_from([None, "3.50 EUR", "700 JPY"])),
        "ceiling": draw(st.sampled_from([None, "150 EUR", "99.50 USD"])),
        "currency": draw(st.sampled_from([None, "EUR", "PLN", "JPY"])),
        "country": draw(st.sampled_from(["DE", "DE", "FR", None])),
        "gross": draw(st.booleans()),
        "sale": draw(st.booleans()),
        "sale_markup": draw(st.none() | st.integers(-10, 30)),
        "reference": draw(st.booleans()),
        **fixed,
    }
    if keys["currency"] == "JPY":
        keys |= {"ending": [ending for ending in keys["ending"] if ending == "9"], "rounding": {"step": "5"}}
    return PriceRules.model_validate(keys)


USABLE_RULES = some_rules(country="DE", plus="0.50 EUR", **{"from": "price"})


@given(ITEMS, some_rules())
def test_the_fast_way_equals_the_explained_way(item, rules):
    result = price(item, rules, VAT, RATES, NOW)
    assert compile_pricing(rules, VAT, RATES, NOW)(item) == (result.price or result.problem)


@given(ITEMS, some_rules())
def test_the_same_input_gives_the_same_price(item, rules):
    assert price(item, rules, VAT, RATES, NOW) == price(item, rules, VAT, RATES, NOW)


def left_for_the_seller(shown, rules, item):
    """Net revenue after commission, shipping and margin, minus the net cost, in minor units. An oracle of its own."""
    to = shown.currency
    per_eur = {"EUR": 1, "USD": Decimal("1.08"), "PLN": Decimal("4.3125"), "JPY": Decimal("161.37")}
    scale = {"EUR": 100, "USD": 100, "PLN": 100, "JPY": 1}

    def converted(money):
        major = Fraction(money.minor, scale[money.currency])
        return major / Fraction(per_eur[money.currency]) * Fraction(per_eur[to]) * scale[to]

    percent = {("DE", "standard"): 19, ("DE", "reduced"): 7, ("FR", "standard"): 20}.get(
        (rules.country, item.tax_class), 0
    )
    vat = 1 + Fraction(percent, 100)
    net = Fraction(shown.minor) / vat if rules.gross else Fraction(shown.minor)
    gross = net * vat
    cost = converted(item.cost) / (vat if item.cost_gross else 1)
    after = (
        net - gross * Fraction(rules.commission) / 100 - converted(rules.shipping) - net * Fraction(rules.margin) / 100
    )
    return after - cost


@given(COSTED, USABLE_RULES)
def test_the_floor_holds_after_everything_for_price_and_sale(item, rules):
    result = price(item, rules, VAT, RATES, NOW)
    assume(result.price is not None)
    for shown in filter(None, (result.price.amount, result.price.sale)):
        assert left_for_the_seller(shown, rules, item) >= 0
        assert shown.minor > 0


BARE_RULES = some_rules(
    country="DE", plus=None, markup="-99%", rounding={}, ending=[], floor=None, ceiling=None, **{"from": "price"}
)


@given(COSTED, BARE_RULES)
def test_the_floor_is_the_smallest_amount_that_covers_the_cost(item, rules):
    """One unit less would leave too little, so a floor never takes more than it must."""
    shown = price(item, rules, VAT, RATES, NOW).price
    assume(shown is not None)
    floors = [step.value for step in price(item, rules, VAT, RATES, NOW).steps if step.name == "floor"]
    assume(floors == [str(shown.amount)] and shown.amount.minor > 1)
    assert left_for_the_seller(replace(shown.amount, minor=shown.amount.minor - 1), rules, item) < 0


@given(COSTED, USABLE_RULES)
def test_prices_end_as_configured_unless_floor_and_ceiling_leave_no_such_amount(item, rules):
    result = price(item, rules, VAT, RATES, NOW)
    assume(result.price is not None and rules.ending)
    shown = result.price.amount
    lines = ending_grid(rules.ending, shown.currency).lines
    if not any(shown.minor % modulus == remainder for modulus, remainder in lines):
        bounds = {step.name: Money.of(step.value.split()[0], shown.currency) for step in result.steps if step.note}
        low = bounds["floor"].minor if "floor" in bounds else 1
        fitting = [
            minor
            for minor in range(low, bounds["ceiling"].minor + 1)
            if any(minor % modulus == remainder for modulus, remainder in lines)
        ]
        assert fitting == []


@given(COSTED, USABLE_RULES, st.integers(1, 5_000))
def test_more_cost_never_lowers_the_price(item, rules, more):
    dearer = replace(item, cost=replace(item.cost, minor=item.cost.minor + more))
    before, after = price(item, rules, VAT, RATES, NOW).price, price(dearer, rules, VAT, RATES, NOW).price
    assert after is None or before.amount.minor <= after.amount.minor


@given(st.integers(0, 10**9), st.sampled_from(["0", "5.5", "7", "19", "25", "27"]))
def test_gross_to_net_and_back_differs_by_one_minor_unit_at_most(minor, rate):
    gross = Money(minor, "EUR")
    assert abs(gross_of(net_of(gross, Decimal(rate)), Decimal(rate)).minor - minor) <= 1
    assert net_of(gross_of(gross, Decimal(rate)), Decimal(rate)) == gross


@given(MONEY, CURRENCIES)
def test_a_conversion_rounds_once_and_half_up(money, to):
    exact = money.minor * RATES.factor(money.currency, to, NOW)
    converted = RATES.convert(money, to, NOW).minor
    assert abs(exact - converted) <= Fraction(1, 2)


def test_a_rate_must_be_above_zero():
    with pytest.raises(ValidationError, match="the rate of USD is 0"):
        RateTable.model_validate({"date": "2026-03-01", "rates": {"USD": "0"}})


def test_a_vat_rate_is_a_possible_percentage():
    with pytest.raises(ValidationError, match="1900% is no VAT of DE standard"):
        VatTable.model_validate({"DE": {"standard": "1900"}})


def test_every_set_of_rules_describes_itself_for_editors():
    described = PriceRules.model_json_schema()["properties"]
    assert described["from"]["description"].startswith("The field that the price starts from")
    assert list(VatTable.model_json_schema()["patternProperties"]) == ["^[A-Za-z]{2}$"]
    assert "date" in RateTable.model_json_schema()["required"]
