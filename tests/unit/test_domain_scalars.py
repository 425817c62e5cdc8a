"""What people write in a configuration becomes exact values, or one clear sentence."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from marketsync.adapter.money import Money
from marketsync.domain.scalars import Amount, CurrencyCode, Duration, MoneyText, Percent, duration, duration_text, money


class Written(BaseModel):
    wait: Duration = timedelta(minutes=10)
    share: Percent = Decimal(0)
    plus: MoneyText = Money(0, "EUR")
    currency: CurrencyCode = "EUR"
    amount: Amount = Decimal(0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("10m", timedelta(minutes=10)),
        ("2 h", timedelta(hours=2)),
        (" 1d ", timedelta(days=1)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text, expected):
    assert expected == Written(wait=text).wait


@pytest.mark.parametrize("text", ["10", 10, "", "-5m", "1.5h", "ten minutes", "1M", "999999999999w", None, True, 1.5])
def test_a_duration_without_a_unit_is_refused_with_examples(text):
    with pytest.raises(ValidationError, match=r"is no duration: write .* 90s, 10m, 2h, 1d or 1w") as caught:
        Written(wait=text)
    assert caught.value.error_count() == 1


@given(st.integers(0, 10**8).map(lambda seconds: timedelta(seconds=seconds)))
def test_a_duration_written_out_reads_back_the_same(value):
    assert value == duration(duration_text(value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("12%", "12"), ("12", "12"), (12, "12"), ("12,5 %", "12.5"), ("-5%", "-5"), ("0.1%", "0.1")],
)
def test_a_percentage_is_the_number_before_the_sign(text, expected):
    assert Decimal(expected) == Written(share=text).share


@pytest.mark.parametrize("text", ["", "%", "12 percent", "1.234,5%", "NaN", "1e5", True, 0.5, "١٢%"])
def test_what_is_no_percentage_is_refused_with_examples(text):
    with pytest.raises(ValidationError, match="is no percentage: write a number such as 12%"):
        Written(share=text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.95 EUR", Money(95, "EUR")),
        ("0,95EUR", Money(95, "EUR")),
        ("1200 jpy", Money(1200, "JPY")),
        ("0.125 KWD", Money(125, "KWD")),
        ("-1.10 EUR", Money(-110, "EUR")),
        ("12.50 EUR", Money(1250, "EUR")),
    ],
)
def test_money_is_an_amount_and_its_currency(text, expected):
    assert expected == Written(plus=text).plus


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.95", "write it with its currency"),
        ("0.95 €", "write it with its currency"),
        ("1.234,50 EUR", "write it with its currency"),
        ("1.234 EUR", "EUR has 2 decimals and no thousands separators"),
        ("1.5 JPY", "JPY has 0 decimals"),
        ("1 EUX", "'EUX' is no currency"),
        (1, "write it with its currency"),
    ],
)
def test_what_is_no_money_is_refused_with_the_reason(text, reason):
    with pytest.raises(ValidationError, match=reason):
        Written(plus=text)


@given(st.integers(-(10**12), 10**12), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_money_written_out_reads_back_the_same(minor, code):
    assert Money(minor, code) == money(str(Money(minor, code)))


@pytest.mark.parametrize(("text", "expected"), [("12.34", "12.34"), ("12,34", "12.34"), (7, "7"), ("-0.5", "-0.5")])
def test_an_amount_is_an_exact_decimal(text, expected):
    assert Decimal(expected) == Written(amount=text).amount


@pytest.mark.parametrize("text", ["", "1.000,5", "Infinity", "1e3", True, 1.5])
def test_what_is_no_amount_is_refused_with_an_example(text):
    with pytest.raises(ValidationError, match=r"is no amount: write a number such as 12\.34"):
        Written(amount=text)


def test_a_currency_is_an_iso_code_in_any_case():
    assert Written(currency="pln").currency == "PLN"


@pytest.mark.parametrize("text", ["EUX", "", "€", None])
def test_an_unknown_currency_is_refused(text):
    with pytest.raises(ValidationError, match="write an ISO 4217 code"):
        Written(currency=text)


def test_the_json_schema_describes_what_may_be_written():
    schema = Written.model_json_schema()["properties"]
    assert {"type": "string", "pattern": r"^[0-9]{1,12}\s*[smhdw]$"}.items() <= schema["wait"].items()
    assert all(schema[name]["examples"] for name in schema)
