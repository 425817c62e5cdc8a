"""The sample catalogue that `marketsync demo` sells from."""

import asyncio
import csv
from collections import defaultdict
from contextlib import closing
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

import pytest

from marketsync.config.source_settings import SourceSettings
from marketsync.domain.item import RowProblem
from marketsync.sources.api import open_source
from marketsync.testing.clock import TurnedClock

CATALOGUE = Path(str(files("marketsync") / "demo" / "products.csv"))


@pytest.fixture(scope="module")
def items():
    with CATALOGUE.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_it_holds_a_few_hundred_items_each_with_an_sku_of_its_own_whatever_its_case(items):
    assert 250 <= len(items) <= 400
    assert len(items) == len({item["sku"].casefold() for item in items})


def test_every_gtin_is_an_in_store_number_with_a_right_check_digit(items):
    numbers = [item["gtin"] for item in items]
    assert len(items) == len(set(numbers))
    assert {13} == {len(number) for number in numbers}
    assert {"2"} == {number[0] for number in numbers}
    assert [] == [n for n in numbers if sum(int(digit) * (3 if i % 2 else 1) for i, digit in enumerate(n)) % 10]


def test_members_of_a_family_differ_in_their_options_and_nobody_else_has_any(items):
    families = defaultdict(list)
    for item in items:
        families[item["parent"]].append((item["options.Size"], item["options.Colour"]))
    alone = families.pop("")
    assert {("", "")} == set(alone)
    assert len(families) + len(alone) >= 80
    for members in families.values():
        assert len(members) == len(set(members)) >= 2
    assert {item["sku"] for item in items}.isdisjoint(families)


def test_every_price_leaves_a_margin_over_cost_also_at_its_sale_price(items):
    for item in items:
        vat = {"standard": Decimal("1.19"), "reduced": Decimal("1.07")}[item["tax_class"]]
        lowest = Decimal(item["sale_price"] or item["price"])
        assert lowest <= Decimal(item["price"])
        assert Decimal(item["cost"]) < lowest / vat
    assert 10 <= sum(bool(item["sale_price"]) for item in items) <= 50


def test_some_items_are_scarce_so_that_several_buyers_want_the_last_piece(items):
    stock = [int(item["stock"]) for item in items]
    assert min(stock) >= 1
    assert 20 <= sum(pieces <= 3 for pieces in stock) <= 30


def test_everything_a_buyer_reads_is_there_in_english_and_in_german(items):
    for item in items:
        assert all(item[column].strip() for column in ("title", "texts.de.title", "description", "brand", "category"))
        assert int(item["weight_g"]) > 0
        assert all(address.startswith("https://example.com/") for address in item["images"].split(","))


def test_the_file_source_reads_every_row_without_a_problem(items):
    settings = SourceSettings.model_validate(
        {
            "file": str(CATALOGUE),
            "owns": ["content", "price", "cost", "stock"],
            "prices": "gross",
            "currency": "EUR",
            "time_zone": "Europe/Berlin",
            "location": "main",
        }
    )
    snapshot = asyncio.run(open_source("catalogue", settings, CATALOGUE.parent, TurnedClock()).open(None))
    assert snapshot is not None
    with closing(snapshot):
        records = list(snapshot.records)
    assert [] == [record for record in records if isinstance(record, RowProblem)]
    read = {record.sku: record for record in records}
    assert {item["sku"]: int(item["weight_g"]) for item in items} == {
        sku: record.values["weight_grams"] for sku, record in read.items()
    }
    assert {item["sku"]: int(item["stock"]) for item in items} == {
        sku: record.stock["main"] for sku, record in read.items()
    }
    assert {"de"} == {language for record in read.values() for language in record.values["texts"]}
