"""EBay's documented error ids, each as its contract words it: what it does to an offer and what a manager reads."""

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest

from marketsync.adapter.api import Reply, Result
from marketsync.adapter.errors import AuthRefused, ItemRefused, Unavailable
from marketsync_adapters.ebay.errors import HINTS, MEANINGS, entry_refusal, error_of, warnings_of
from tests.contract.ebay_harness import contract_file

INVENTORY, FULFILLMENT = "sell_inventory_v1_oas3.json", "sell_fulfillment_v1_oas3.json"
# The calls of the adapter that write offers, and those that write to orders.
WRITES = (
    "/bulk_create_or_replace_inventory_item",
    "/bulk_update_price_quantity",
    "/bulk_create_offer",
    "/bulk_publish_offer",
    "/offer/{offerId}",
    "/offer/{offerId}/withdraw",
    "/offer/publish_by_inventory_item_group",
    "/offer/withdraw_by_inventory_item_group",
    "/inventory_item_group/{inventoryItemGroupKey}",
)
COMMANDS = ("/order/{orderId}/shipping_fulfillment", "/order/{order_id}/issue_refund")


def documented(name: str, paths: tuple[str, ...]) -> Iterator[tuple[int, str, str]]:
    """(status, id, text) of every error in the responses of these paths."""
    document: dict[str, Any] = json.loads(contract_file(name).read_bytes())
    for path in paths:
        for operation in document["paths"][path].values():
            for status, response in operation["responses"].items():
                for code, told in (response.get("x-response-codes") or {}).get("errors", {}).items():
                    text = unescape(re.sub(r"<[^>]+>", " ", told["description"]))
                    yield int(status), code, " ".join(text.split())


def body(code: str, text: str) -> dict[str, Any]:
    error = {"errorId": int(code), "domain": "API_INVENTORY", "category": "REQUEST", "message": text}
    return {"errors": [error | {"parameters": [{"name": "additionalInfo", "value": "A-1"}]}]}


def reply(status: int, document: Any) -> Reply:
    return Reply(status, {}, json.dumps(document).encode(), json.loads)


def test_every_documented_id_of_a_bulk_entry_becomes_a_result_with_its_code_and_text() -> None:
    """4xx: refused for good or tried later; 5xx: unknown or tried later; never a success."""
    seen = set()
    for status, code, text in documented(INVENTORY, WRITES):
        if status < 400:
            continue
        refusal = entry_refusal({"sku": "A-1", "statusCode": status, **body(code, text)})
        assert refusal is not None
        assert (refusal.code, refusal.message) == (code, text[:1000])
        expected = {Result.REJECTED, Result.RETRY} if status < 500 else {Result.UNKNOWN, Result.RETRY}
        assert refusal.result in expected, code
        seen.add(code)
    assert len(seen) >= 100


def test_documented_warnings_are_no_refusals() -> None:
    """Ids under 200 and 201 come beside a success: they are told, nothing more."""
    warnings = [(code, text) for status, code, text in documented(INVENTORY, WRITES) if status < 400]
    assert warnings
    for code, text in warnings:
        entry = {"sku": "A-1", "statusCode": 200, "warnings": body(code, text)["errors"]}
        assert entry_refusal(entry) is None
        assert warnings_of(entry).startswith(f"{code}: ")


@pytest.mark.parametrize(("name", "paths"), [(INVENTORY, WRITES), (FULFILLMENT, COMMANDS)])
def test_every_documented_id_of_a_whole_call_becomes_the_error_that_the_engine_knows(
    name: str, paths: tuple[str, ...]
) -> None:
    """What is wrong with the request splits the batch; 25025 is tried again; 5xx is left to the status table."""
    for status, code, text in documented(name, paths):
        error = error_of("listing", reply(status, body(code, text)))
        if status < 400:
            assert error is None
        elif status >= 500:
            assert isinstance(error, Unavailable) == (code == "25025"), code
        elif status == 403 or code == "32400":
            assert isinstance(error, AuthRefused), code
        else:
            assert isinstance(error, ItemRefused), code
            assert error.code == code


def test_meanings_and_hints_are_of_documented_ids() -> None:
    """A sentence for an id that eBay does not have helps nobody; the commonest twenty have one."""
    known = {code for _, code, _ in documented(INVENTORY, WRITES)} | {
        code for _, code, _ in documented(FULFILLMENT, COMMANDS)
    }
    assert set(HINTS) | set(MEANINGS) <= known | {"25708"}  # of bulkGetInventoryItem
    assert len(HINTS) >= 20
    for hint in HINTS.values():
        assert hint.endswith(".")


def test_a_listing_made_in_seller_hub_is_told_plainly() -> None:
    """It cannot be revised through this API: the sentence says so, and names the way out."""
    assert "Seller Hub" in HINTS["25019"]
    assert "Migration" in HINTS["25019"]


@pytest.mark.parametrize("document", [None, [], {}, {"errors": []}, {"errors": "x"}, {"errors": [1]}, {"error": {}}])
def test_a_body_that_is_none_of_ebays_is_left_to_the_status_table(document: Any) -> None:
    """A proxy's page, an empty object, another shape."""
    assert error_of("listing", reply(400, document)) is None
    refusal = entry_refusal({"statusCode": 400, **(document if isinstance(document, dict) else {})})
    assert refusal is not None
    assert refusal.result is Result.REJECTED
    assert refusal.message
