"""Documents and hashes: every byte pinned, nothing lost on the way there and back."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsync.adapter.content import Listing, Price, Stock
from marketsync.adapter.money import Money
from marketsync.domain import content
from marketsync.domain.content import (
    ABSENT,
    UNKNOWN,
    canonical,
    content_hash,
    item_document,
    item_from,
    listing_from,
    price_from,
    stock_from,
    to_document,
)
from marketsync.domain.item import Item

LISTING = Listing(
    title="Gießkanne „Grün“ 10 l",
    brand="Acme",
    gtin="4006381333931",
    category="Garten",
    language="de-DE",
    images=("https://img.example/2.jpg", "https://img.example/1.jpg"),
    attributes={"Material": "Zink", "Farbe": "grün"},
    options={"Volumen": "10 l"},
    weight_grams=1250,
)
PRICE = Price(
    amount=Money(2199, "EUR"),
    sale=Money(1599, "EUR"),
    sale_starts=datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    sale_ends=datetime(2026, 3, 8, 22, 30, 15, 500, tzinfo=UTC),
    reference=Money(2999, "EUR"),
)

# Golden vectors: a change here pushes every user's whole catalogue again. Never change one without that intention.
GOLDEN = [
    (
        LISTING,
        (
            '{"attributes":{"Farbe":"grün","Material":"Zink"},"brand":"Acme","category":"Garten","condition":"new",'
            '"gtin":"4006381333931","images":["https://img.example/2.jpg","https://img.example/1.jpg"],"language":"de-DE",'
            '"options":{"Volumen":"10 l"},"title":"Gießkanne „Grün“ 10 l","weight_grams":1250}'
        ),
        "331776533f2034095f60b0675f8c23d1",
    ),
    (
        PRICE,
        (
            '{"amount":{"currency":"EUR","minor":2199},"gross":true,"reference":{"currency":"EUR","minor":2999},'
            '"sale":{"currency":"EUR","minor":1599},"sale_ends":"2026-03-08T22:30:15.000500Z",'
            '"sale_starts":"2026-03-01T00:00:00Z"}'
        ),
        "f000f6387c7b8f152a3116d00d0329cf",
    ),
    (
        Price(amount=Money(1, "JPY"), gross=False),
        '{"amount":{"currency":"JPY","minor":1},"gross":false}',
        "19df3a553810ce9f876bb4315ae6a70e",
    ),
    (Stock(quantity=0), '{"quantity":0}', "d830a170d30bb5c610fd0c6a3ed6c56a"),
    (
        Stock(quantity=7, locations={"berlin": 5, "aachen": 2}),
        '{"locations":{"aachen":2,"berlin":5},"quantity":7}',
        "8a28ea472b57d0ed81a79d0caa423946",
    ),
]


@pytest.mark.parametrize(("thing", "text", "digest"), GOLDEN)
def test_the_canonical_text_and_the_hash_stay_as_they_are(thing, text, digest):
    document = to_document(thing)
    assert canonical(document).decode() == text
    assert content_hash(document, 1).hex() == digest


def test_the_hash_is_blake2b_of_the_mapping_version_and_the_canonical_text():
    assert content_hash({"b": 1, "a": 2}, 7) == blake2b(b'7\n{"a":2,"b":1}', digest_size=16).digest()


def test_another_mapping_version_is_another_hash():
    assert content_hash({"quantity": 1}, 1) != content_hash({"quantity": 1}, 2)


@pytest.mark.parametrize("constant", [ABSENT, UNKNOWN])
def test_no_content_ever_hashes_to_absent_or_unknown(monkeypatch, constant):
    class Unlucky:
        def __init__(self, text, digest_size):
            self._digest = constant if not text.endswith(b"\n") else blake2b(text, digest_size=digest_size).digest()

        def digest(self):
            return self._digest

    monkeypatch.setattr(content, "blake2b", Unlucky)
    assert content_hash({"quantity": 1}, 1) not in (ABSENT, UNKNOWN)


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="has no time zone"):
        to_document(replace(PRICE, sale_ends=datetime(2026, 3, 8)))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
MAPS = st.dictionaries(TEXT, TEXT, max_size=3)
MONEY = st.builds(Money, st.integers(-(10**12), 10**12), st.sampled_from(["EUR", "JPY"]))
TIMES = st.none() | st.datetimes(timezones=st.just(UTC))

LISTINGS = st.builds(
    Listing,
    title=TEXT,
    description=TEXT,
    brand=TEXT,
    condition=st.sampled_from(["new", "used", ""]),
    images=TEXTS,
    videos=TEXTS,
    attributes=MAPS,
    options=MAPS,
    weight_grams=st.none() | st.integers(0, 10**6),
)
PRICES = st.builds(
    Price,
    amount=MONEY,
    gross=st.booleans(),
    sale=st.none() | MONEY,
    sale_starts=TIMES,
    sale_ends=TIMES,
    reference=st.none() | MONEY,
)
STOCKS = st.builds(
    Stock, quantity=st.integers(0, 10**9), locations=st.dictionaries(TEXT, st.integers(0, 99), max_size=3)
)
MAYBE = st.none() | TEXT
ITEMS = st.builds(
    Item,
    sku=TEXT,
    title=MAYBE,
    description=MAYBE,
    brand=MAYBE,
    condition=MAYBE,
    parent=MAYBE,
    tags=TEXTS,
    options=MAPS,
    attributes=MAPS,
    images=TEXTS,
    weight_grams=st.none() | st.integers(0, 10**6),
    texts=st.dictionaries(st.sampled_from(["de", "fr-FR"]), MAPS),
    price=st.none() | MONEY,
    gross=st.booleans(),
    sale_price=st.none() | MONEY,
    sale_starts=TIMES,
    sale_ends=TIMES,
    prices=st.dictionaries(TEXT, MONEY, max_size=2),
    cost=st.none() | MONEY,
    cost_gross=st.booleans(),
    tax_class=st.sampled_from(["standard", "reduced"]),
)


@pytest.mark.parametrize(
    ("things", "read"),
    [(LISTINGS, listing_from), (PRICES, price_from), (STOCKS, stock_from)],
    ids=["listing", "price", "stock"],
)
def test_content_comes_back_from_its_stored_text_as_it_was(things, read):
    @given(things)
    def holds(thing):
        assert read(json.loads(canonical(to_document(thing)))) == thing

    holds()


@given(ITEMS)
def test_an_item_comes_back_from_its_stored_text_as_it_was(item):
    assert item_from(json.loads(canonical(item_document(item)))) == item


def test_an_item_keeps_what_is_empty_apart_from_what_nobody_tells():
    assert item_document(Item(sku="A", brand="", gtin=None)) == {"sku": "A", "brand": ""}


@given(LISTINGS, LISTINGS)
def test_two_listings_hash_alike_only_if_they_are_equal(one, other):
    assert (content_hash(to_document(one), 1) == content_hash(to_document(other), 1)) == (one == other)


@given(MAPS)
def test_the_order_of_keys_never_matters(attributes):
    turned = dict(reversed(attributes.items()))
    one, other = Listing(title="T", attributes=attributes), Listing(title="T", attributes=turned)
    assert content_hash(to_document(one), 1) == content_hash(to_document(other), 1)
