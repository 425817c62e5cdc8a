"""Numbers, amounts and dates as people write them."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from marketsync.adapter.money import Money
from marketsync.sources.cells import (
    BadCell,
    read_addresses,
    read_code,
    read_list,
    read_moment,
    read_money,
    read_pieces,
    read_weight,
)
from marketsync.sources.numbers import AmbiguousNumber, NotANumber, decimal_sign, read_number

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"), ("12", "12"), ("1.234,56", "1234.56"), ("1,234.56", "1234.56"), ("1 234,56", "1234.56"),
        ("1\u00a0234,56", "1234.56"), ("1\u202f234\u202f567", "1234567"), ("1'234.50", "1234.50"),
        ("1’234’567,5", "1234567.5"), ("9,99", "9.99"), ("9.99", "9.99"), (".5", "0.5"), (",5", "0.5"),
        ("1.234.567", "1234567"), ("1,234,567", "1234567"), ("0.125", "0.125"), ("0,125", "0.125"),
        ("1234.567", "1234.567"), ("1 234.567", "1234.567"), ("1.2345", "1.2345"), ("-5,00", "-5"), ("5,00-", "-5"),
        ("−3", "-3"), ("+3", "3"),
    ],
)  # fmt: skip
def test_a_number_that_can_only_mean_one_thing_is_read(text, value):
    assert Decimal(value) == read_number(text)


@pytest.mark.parametrize(
    "text",
    ["", "-", "abc", "1e5", "NaN", "Infinity", "1.2.3", "1,2,3", "12,34,567", "1.234,567,8", "1 23", "1,", "٣", "²",
     "0x10", "1_000", "1.234.56", "=1+1", "9" * 40, "--1", "1'234 567"],
)  # fmt: skip
def test_what_is_no_number_is_refused(text):
    with pytest.raises(NotANumber):
        read_number(text)
    assert "" == decimal_sign(text)


@pytest.mark.parametrize("text", ["1.234", "1,234", "12.345", "123,456", "-1.234"])
def test_one_separator_before_three_digits_is_never_guessed(text):
    with pytest.raises(AmbiguousNumber):
        read_number(text)
    assert "" == decimal_sign(text)


def test_a_known_decimal_sign_decides_and_contradicting_numbers_are_refused():
    assert Decimal(1234) == read_number("1.234", ",")
    assert Decimal("1.234") == read_number("1.234", ".")
    assert Decimal("9.99") == read_number("9,99", ",")
    for contradicting, decimal in (("9.99", ","), ("1.234,56", "."), ("1,234,567", ",")):
        with pytest.raises(NotANumber):
            read_number(contradicting, decimal)


def _written(value: Decimal, thousands: str, decimal: str) -> str:
    text = f"{abs(value):,f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)
    return f"-{text}" if value < 0 else text


numbers = st.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False, allow_infinity=False, places=2)
separators = st.sampled_from([("", "."), ("", ","), (".", ","), (",", "."), (" ", ","), ("'", "."), ("\u202f", ",")])


@given(value=st.one_of(numbers, numbers.map(lambda n: n.quantize(Decimal(1)))), signs=separators)
def test_what_was_written_with_a_known_sign_is_read_back(value, signs):
    assert value == read_number(_written(value, *signs), signs[1])


@given(
    value=st.decimals(min_value=0, max_value=10**9, allow_nan=False, allow_infinity=False, places=3),
    places=st.integers(0, 3),
    signs=separators,
)
@example(value=Decimal("1.234"), places=3, signs=("", "."))
@example(value=Decimal("1234.000"), places=0, signs=(".", ","))
def test_without_a_known_sign_a_number_is_read_rightly_or_called_ambiguous(value, places, signs):
    value = value.quantize(Decimal(1).scaleb(-places))
    try:
        assert value == read_number(_written(value, *signs))
    except AmbiguousNumber:
        assert 3 == len(_written(value, *signs).replace(",", ".").split(".")[-1])


@pytest.mark.parametrize(
    ("cell", "money"),
    [
        ("9,99 €", "9.99 EUR"), ("EUR 9.99", "9.99 EUR"), ("9.99 EUR", "9.99 EUR"), ("€9.99", "9.99 EUR"),
        ("£ 1,299.00", "1299.00 GBP"), ("1.299,- €", "1299.00 EUR"), ("9,99", "9.99 EUR"), ("12,-", "12.00 EUR"),
        ("usd 5", "5.00 USD"), ("1 299,00 zł", "1299.00 PLN"), ("0.005", "0.01 EUR"), ("250 JPY", "250 JPY"),
    ],
)  # fmt: skip
def test_an_amount_is_read_with_the_currency_that_its_cell_names(cell, money):
    number, code = money.split()
    assert Money.of(number, code) == read_money(cell, "EUR", "")


@pytest.mark.parametrize(
    "cell", ["free", "9.99 XXQ", "EUR 9.99 €", "-1", "9,99 %", "1e3", "10/2", "99999999999999", "5 $", "1..2", "EUR"]
)
def test_what_is_no_amount_is_a_bad_price_that_says_why(cell):
    with pytest.raises(BadCell) as refused:
        read_money(cell, "EUR", "")
    assert "bad_price" == refused.value.code
    assert cell in str(refused.value)


def test_a_sign_of_several_currencies_means_the_sources_own():
    assert Money.of("5", "CAD") == read_money("$5", "CAD", "")
    assert Money.of("50", "SEK") == read_money("50 kr", "SEK", "")


def test_pieces_are_whole():
    assert [5, 5, 1234567, -3] == [read_pieces(cell, "") for cell in ("5", "5,00", "1.234.567", "-3")]
    for cell in ("2.5", "many", "1e3"):
        with pytest.raises(BadCell, match="no") as refused:
            read_pieces(cell, "")
        assert "bad_stock" == refused.value.code


def test_weights_become_grams_by_the_unit_of_the_cell_or_the_column():
    assert [1500, 227, 28, 2, 1250] == [
        read_weight("1.5 kg", "", ""), read_weight(".5", "", "lbs"), read_weight("1 oz", "", "kg"),
        read_weight("2g", "", ""), read_weight("1,25", "", "kg"),
    ]  # fmt: skip
    for cell in ("5", "5 stone", "kg", "-1 kg"):
        with pytest.raises(BadCell):
            read_weight(cell, "", "")


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2026-03-01", datetime(2026, 2, 28, 23, tzinfo=UTC)),
        ("2026-07-01T12:00", datetime(2026, 7, 1, 10, tzinfo=UTC)),
        ("2026-07-01 12:00:30+00:00", datetime(2026, 7, 1, 12, 0, 30, tzinfo=UTC)),
        ("2016-02-24T11:07+0100", datetime(2016, 2, 24, 10, 7, tzinfo=UTC)),
        ("31.12.2026", datetime(2026, 12, 30, 23, tzinfo=UTC)),
        ("31.12.2026 18:00", datetime(2026, 12, 31, 17, tzinfo=UTC)),
        ("12/31/2026", datetime(2026, 12, 30, 23, tzinfo=UTC)),
        ("31/12/2026", datetime(2026, 12, 30, 23, tzinfo=UTC)),
    ],
)
def test_a_time_without_an_offset_is_of_the_sources_zone(cell, moment):
    assert moment == read_moment(cell, BERLIN)


def test_an_end_without_a_time_is_the_end_of_its_day():
    assert datetime(2026, 3, 1, 22, 59, 59, tzinfo=UTC) == read_moment("2026-03-01", BERLIN, end=True)
    assert datetime(2026, 3, 1, 11, tzinfo=UTC) == read_moment("2026-03-01 12:00", BERLIN, end=True)


@pytest.mark.parametrize("cell", ["soon", "2026-02-30", "1.13.2026", "03/04/2026", "0001-01-01T00:00+23:00", "12:00"])
def test_a_date_that_no_calendar_has_or_that_may_be_two_is_refused(cell):
    with pytest.raises(BadCell) as refused:
        read_moment(cell, BERLIN)
    assert "bad_date" == refused.value.code


def test_a_code_that_a_spreadsheet_damaged_is_refused_and_its_marks_are_taken_off():
    assert "04012345678901" == read_code("'04012345678901")
    with pytest.raises(BadCell, match="cut off by a spreadsheet"):
        read_code("4,01235E+12")


def test_lists_are_split_and_addresses_keep_their_own_commas():
    assert ("a", "b c", "d") == read_list("a, b c ,d,")
    assert ("a,b", "c") == read_list("a,b|c")
    assert ("https://x/w_1,h_2/a.jpg", "https://x/b.jpg") == read_addresses("https://x/w_1,h_2/a.jpg, https://x/b.jpg")
