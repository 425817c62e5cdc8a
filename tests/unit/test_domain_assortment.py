"""Assortments: every condition of include, none of exclude."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from marketsync.adapter.money import Money
from marketsync.domain.assortment import Assortment, compile_assortment, covers
from marketsync.domain.item import Item

HOSE = Item(
    sku="HOSE-1",
    brand="Acme",
    category="Home > Garden > Hoses",
    tags=("Summer", "outlet"),
    price=Money(1999, "EUR"),
)


def covered(available=5, item=HOSE, **rules):
    return covers(item, available, Assortment.model_validate(rules))


def test_without_rules_everything_is_covered():
    assert covered(0) == (True, "covered")


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        ({"skus": ["HOSE-1"]}, True),
        ({"skus": ["HOSE-*", "X"]}, True),
        ({"skus": "HOSE-?"}, True),
        ({"skus": ["hose-*"]}, False),
        ({"skus": ["HOSE"]}, False),
        ({"skus": ["HOSE-[2-9]"]}, False),
        ({"categories": ["Home > Garden"]}, True),
        ({"categories": ["home>garden"]}, True),
        ({"categories": ["Garden"]}, True),
        ({"categories": ["Gard"]}, False),
        ({"categories": ["Garden > Hoses"]}, False),
        ({"brands": ["ACME"]}, True),
        ({"brands": ["Other"]}, False),
        ({"tags": ["summer"]}, True),
        ({"tags": ["winter"]}, False),
        ({"conditions": ["new"]}, True),
        ({"conditions": ["used"]}, False),
        ({"price_from": "19.99 EUR", "price_to": "19.99 EUR"}, True),
        ({"price_from": "20 EUR"}, False),
        ({"price_to": "19.98 EUR"}, False),
        ({"price_to": "99 USD"}, False),
        ({"stock_from": 5, "stock_to": 5}, True),
        ({"stock_from": 6}, False),
        ({"stock_to": 4}, False),
        ({"categories": ["Garden"], "brands": ["Other"]}, False),
        ({"categories": ["Garden"], "brands": ["Other", "Acme"]}, True),
    ],
)
def test_an_item_must_meet_every_condition_of_include(include, expected):
    assert covered(include=include)[0] is expected


def test_one_condition_of_exclude_is_enough_to_stay_out():
    assert covered(exclude={"brands": ["Other"], "tags": ["outlet"]}) == (False, "excluded: tags")
    assert covered(exclude={"brands": ["Other"], "tags": ["winter"]}) == (True, "covered")


def test_the_reason_names_the_condition():
    assert covered(0, include={"stock_from": 1}) == (False, "not included: stock")


def test_exclude_wins_over_include():
    assert covered(include={"skus": ["HOSE-*"]}, exclude={"skus": ["*-1"]}) == (False, "excluded: skus")


def test_what_an_item_does_not_tell_meets_no_condition():
    bare = Item(sku="A")
    for condition in ({"brands": ["Acme"]}, {"categories": ["Garden"]}, {"tags": ["x"]}, {"price_from": "0 EUR"}):
        assert not covered(item=bare, include=condition)[0]


def test_a_compiled_assortment_gives_the_same_answer_for_every_item_of_a_category():
    reason = compile_assortment(Assortment.model_validate({"include": {"categories": ["Garden"]}}))
    other = Item(sku="B", category="Kitchen")
    assert [reason(item, 1) for item in (HOSE, other, HOSE, other)] == [None, "not included: categories"] * 2


@pytest.mark.parametrize(
    ("include", "said"),
    [
        ({"price_from": "2 EUR", "price_to": "1 EUR"}, "no item fits"),
        ({"price_from": "1 EUR", "price_to": "2 USD"}, "use one currency"),
        ({"stock_from": 2, "stock_to": 1}, "no item fits"),
        ({"category": ["Garden"]}, "Extra inputs are not permitted"),
    ],
)
def test_conditions_that_cannot_be_met_are_refused(include, said):
    with pytest.raises(ValidationError, match=said):
        Assortment.model_validate({"include": include})


PATTERNS = st.lists(st.text("AB-*?[]!", min_size=1, max_size=5), min_size=1, max_size=3)


@given(PATTERNS, st.text("AB-[]!\n", min_size=1, max_size=6))
def test_patterns_match_as_the_shell_matches_them(patterns, sku):
    expected = any(fnmatchcase(sku, pattern) for pattern in patterns)
    assert covered(item=Item(sku=sku), include={"skus": patterns})[0] is expected
