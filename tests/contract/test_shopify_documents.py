"""Every document that goes to Shopify is valid in all versions at hand, costs what we say, and its version still lives."""

import gzip
import json
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import pytest

from marketsync_adapters.shopify import documents
from marketsync_adapters.shopify.documents import API_VERSION, API_VERSIONS, PARTS, Document, all_documents, repeated
from marketsync_adapters.shopify.sandbox.graphql import read, requested_cost
from tests.contract.shopify_harness import contract

graphql = pytest.importorskip("graphql")


@pytest.mark.parametrize("version", sorted(API_VERSIONS))
def test_documents_are_valid_in_every_version(version: str) -> None:
    """Also in the one before and the one after: moving on is a change of one constant."""
    path = contract(version)
    if not path.exists():
        pytest.skip(f"the contract of {version} is not at hand (MARKETSYNC_CONTRACTS)")
    introspection = json.loads(gzip.decompress(path.read_bytes()))
    schema = graphql.build_client_schema(introspection.get("data", introspection), assume_valid=True)
    faults = {
        name: [error.message for error in graphql.validate(schema, graphql.parse(text))]
        for name, text in all_documents().items()
    }
    assert {} == {name: found for name, found in faults.items() if found}
    assert len(faults) > 30


def test_the_pinned_version_is_not_retired() -> None:
    """Reads the real date on purpose: when this fails, the adapter has to move to a newer version."""
    today = datetime.now(UTC).date()
    assert today < date.fromisoformat(API_VERSIONS[API_VERSION])


def test_inventory_and_refunds_carry_an_idempotency_key() -> None:
    """Required since 2026-04, which the schema does not tell."""
    for text in all_documents().values():
        for mutation in ("inventorySetQuantities(", "refundCreate("):
            assert text.count(mutation) == text.count("@idempotent(key: $key)") or mutation not in text


FIXED = [name for name, value in vars(documents).items() if isinstance(value, Document)]


@pytest.mark.parametrize("name", FIXED)
def test_costs_are_not_less_than_shopify_counts(name: str) -> None:
    """Else a request leaves before the bucket holds its points. None costs more than a request may."""
    document: Document = getattr(documents, name)
    variables: dict[str, Any] = {"ids": ["1"], "variants": 0, "first": 0, "input": {}}
    assert requested_cost(read(document.text), variables) == document.cost
    assert document.cost <= documents.DEAREST


@pytest.mark.parametrize(("part", "count"), list(product(PARTS, (1, 7))))
def test_repeated_parts_cost_so_many_times_as_much(part: documents.Part, count: int) -> None:
    """Aliases are counted one by one."""
    variables = {f"input{n}": {} for n in range(count)} | {f"first{n}": 0 for n in range(count)}
    made = repeated(part, count)
    assert requested_cost(read(made.text), variables) == made.cost == count * part.cost


@pytest.mark.parametrize("locations", [1, 3])
def test_a_variant_costs_more_with_every_location(locations: int) -> None:
    """Pages are as large as their points allow."""
    each = documents.variant_cost(locations)
    page = read(documents.variants_page(locations).text)
    assert requested_cost(page, {"first": 10}) == documents.variants_page(locations).cost + 10 * each
    by_id = read(documents.variants_by_id(locations).text)
    assert requested_cost(by_id, {"ids": ["1"] * 10}) == 10 * each


def test_a_product_costs_more_with_every_variant() -> None:
    """The look before a push counts the variants that it asks for."""
    found = requested_cost(read(documents.PRODUCTS.text), {"ids": ["1", "2"], "variants": 20})
    assert found == 2 * (documents.PRODUCTS.cost + 3 * 20)
