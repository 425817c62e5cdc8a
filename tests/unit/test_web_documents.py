"""Shipments, cancellations and returns as JSON, and what is said about wrong ones."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsync.adapter.money import Money
from marketsync.web.documents import KINDS, BadDocument, Cancellation, Line, Return, Shipment, read_documents

BASE = {"key": "k1", "channel": "kaufland-de", "order": "M1-22"}


def problems(kind: str, content) -> list[str]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(BadDocument) as caught:
        read_documents(kind, body)
    return [str(problem) for problem in caught.value.problems]


def test_a_shipment_is_read_with_its_time_in_utc():
    body = json.dumps(
        BASE
        | {
            "lines": [{"line": "1", "quantity": 2}, {"sku": "A-1", "quantity": 1}],
            "carrier": " DHL ",
            "tracking": "003404",
            "shipped_at": "2026-03-01T12:00:00+01:00",
        }
    )
    expected = Shipment(
        key="k1",
        channel="kaufland-de",
        order="M1-22",
        lines=(Line(line="1", quantity=2), Line(sku="A-1", quantity=1)),
        carrier="DHL",
        tracking="003404",
        shipped_at=datetime(2026, 3, 1, 11, tzinfo=UTC),
    )
    (shipment,) = read_documents("shipments", body.encode())
    assert expected == shipment
    assert UTC == shipment.shipped_at.tzinfo


def test_a_list_is_read_in_its_order():
    documents = read_documents("cancellations", json.dumps([BASE, BASE | {"key": "k2", "reason": "sold out"}]).encode())
    assert [Cancellation(**BASE), Cancellation(**BASE | {"key": "k2"}, reason="sold out")] == list(documents)


@pytest.mark.parametrize("amount", ["12.90", 12.9, "12.9"])
def test_a_refund_is_exact_money_however_it_is_written(amount):
    lines = [{"sku": "A", "quantity": 1, "sellable": True, "refund": {"amount": amount, "currency": "EUR"}}]
    (given_back,) = read_documents("returns", json.dumps(BASE | {"lines": lines}).encode())
    assert isinstance(given_back, Return)
    assert "received" == given_back.state
    assert Money(1290, "EUR") == given_back.lines[0].refund.money
    assert isinstance(given_back.lines[0].refund.amount, Decimal)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"key": ""}, "entry 1: key: must not be empty"),
        ({"key": "x" * 201}, "entry 1: key: is too long, 200 characters are the most"),
        ({"key": 5}, "entry 1: key: must be a text in quotes"),
        ({"key": "a\nb"}, "entry 1: key: holds control characters, such as a line break"),
        ({"key": "a\x00b"}, "entry 1: key: holds control characters, such as a line break"),
        ({"traking": "1"}, "entry 1: traking: is not a field, did you mean tracking?"),
        ({"lines": {}}, "entry 1: lines: must be a list"),
        ({"lines": ["A"]}, "entry 1: lines[0]: must be a JSON object"),
        ({"lines": [{"sku": "A", "quantity": 0}]}, "entry 1: lines[0].quantity: must be 1 or more"),
        ({"lines": [{"sku": "A", "quantity": "2"}]}, "entry 1: lines[0].quantity: must be a whole number without quotes"),
        ({"lines": [{"sku": "A", "quantity": 1.5}]}, "entry 1: lines[0].quantity: must be a whole number without quotes"),
        ({"lines": [{"sku": "A", "quantity": 10**7}]}, "entry 1: lines[0].quantity: must be 1000000 or less"),
        ({"lines": [{"quantity": 1}]}, "entry 1: lines[0]: names no line, write line or sku"),
        ({"lines": [{"sku": "A", "quantity": 1, "qty": 2}]},
         "entry 1: lines[0].qty: is not a field, known are line, sku, quantity"),
        ({"shipped_at": "2026-03-01T12:00:00"},
         "entry 1: shipped_at: has no time zone, write it as 2026-03-01T12:00:00+01:00"),
        ({"shipped_at": "yesterday"}, "entry 1: shipped_at: must be a time such as 2026-03-01T12:00:00+01:00"),
        ({"shipped_at": 1772366400}, "entry 1: shipped_at: must be a time such as 2026-03-01T12:00:00+01:00"),
    ],
)  # fmt: skip
def test_each_mistake_in_a_shipment_is_said_in_plain_words(change, expected):
    assert [expected] == problems("shipments", BASE | change)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "entry 1: lines: is missing"),
        ({"lines": []}, "entry 1: lines: must not be empty"),
        ({"lines": [{"quantity": 1}]}, "entry 1: lines[0]: names no line, write line or sku"),
        ({"state": "gone"}, "entry 1: state: must be 'requested', 'received', 'refunded' or 'rejected'"),
        ({"sellable": 7}, "entry 1: lines[0].sellable: must be true or false"),
        ({"refund": {"amount": "1.005", "currency": "EUR"}}, "entry 1: lines[0].refund: has more decimals than EUR allows"),
        ({"refund": {"amount": 1, "currency": "XXQ"}}, "entry 1: lines[0].refund: 'XXQ' is no ISO 4217 currency code"),
        ({"refund": {"amount": 1, "currency": "€"}}, "entry 1: lines[0].refund.currency: must be a code such as EUR"),
        ({"refund": {"amount": -1, "currency": "EUR"}}, "entry 1: lines[0].refund.amount: must be 0 or more"),
        ({"refund": {"amount": "NaN", "currency": "EUR"}}, "entry 1: lines[0].refund.amount: must be an amount such as 12.90"),
        ({"refund": {"amount": "1,5", "currency": "EUR"}}, "entry 1: lines[0].refund.amount: must be an amount such as 12.90"),
    ],
)  # fmt: skip
def test_each_mistake_in_a_return_is_said_in_plain_words(change, expected):
    document = dict(BASE)
    if change and "lines" not in change:
        line = {"sku": "A", "quantity": 1} | {k: v for k, v in change.items() if k in ("sellable", "refund")}
        document |= {"lines": [line]} | {k: v for k, v in change.items() if k == "state"}
    else:
        document |= change
    assert [expected] == problems("returns", document)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "is no JSON: Expecting value in line 1, column 1"),
        (b"[1", "is no JSON: Expecting ',' delimiter in line 1, column 3"),
        (b"\xff\xfe", "is no JSON in UTF-8, send it in that encoding"),
        (b'{"key": NaN}', "is no JSON: NaN is no JSON number"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"[]", "the list is empty, send at least one entry"),
        (b"5", "entry 1: must be a JSON object"),
    ],
)
def test_what_is_no_document_at_all_is_said_too(body, expected):
    assert [expected] == problems("shipments", body)


def test_every_problem_of_every_entry_is_told_at_once():
    told = problems("shipments", [BASE, {"key": "2"}, 5, BASE | {"lines": [{"sku": "A", "quantity": 0}]}])
    assert [
        "entry 2: channel: is missing",
        "entry 2: order: is missing",
        "entry 3: must be a JSON object",
        "entry 4: lines[0].quantity: must be 1 or more",
    ] == told


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
field_names = sorted({name for model in KINDS.values() for name in model.model_fields})


@given(kind=st.sampled_from(sorted(KINDS)), fields=st.dictionaries(st.sampled_from(field_names), json_values))
def test_any_json_is_either_taken_or_refused_with_reasons(kind, fields):
    told = ()
    documents = ()
    try:
        documents = read_documents(kind, json.dumps(fields).encode())
    except BadDocument as error:
        told = error.problems
    assert bool(told) != bool(documents)
    assert all(problem.message and "pydantic" not in str(problem) for problem in told)


@given(st.binary(max_size=200))
def test_any_bytes_are_either_taken_or_refused_with_reasons(body):
    with pytest.raises(BadDocument):
        read_documents("returns", body)
