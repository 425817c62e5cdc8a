"""The ``stock`` door: absolute quantities, compared with what the shop last had, all or nothing in one request.

What Shopify refuses is left out and the rest is sent again at once, under a key of its own: one guilty item must not
hold up the stock of 249 others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from marketsync.adapter.api import Aspect, OfferOp, PushOutcome, PushResult, Result
from marketsync.adapter.errors import AdapterError, ItemRefused, OutcomeUnknown, UnexpectedReply
from marketsync_adapters.shopify import documents
from marketsync_adapters.shopify.client import Client
from marketsync_adapters.shopify.errors import RESEND, Fault, fault_of, index_in
from marketsync_adapters.shopify.ids import OfferId
from marketsync_adapters.shopify.settings import Settings, UnknownLocation

MOST: Final = 250  # entries of one list of an input
ROUNDS: Final = 3  # how often what was not refused is sent again


@dataclass(frozen=True, slots=True)
class _Entry:
    """One SKU at one location."""

    op: OfferOp
    document: dict[str, Any]


async def push_stock(client: Client, ops: Sequence[OfferOp], settings: Settings) -> PushOutcome:
    """Raises ``AdapterError`` where nothing of the batch is known to be applied."""
    results: dict[str, PushResult] = {}
    requests: list[list[_Entry]] = []
    for op in ops:
        entries = _entries(op, settings)
        if isinstance(entries, Fault):
            results[op.sku] = entries.at(op.sku, Aspect.STOCK)
        elif requests and len(requests[-1]) + len(entries) <= MOST:
            requests[-1] += entries
        else:
            requests.append(entries)
    written = False
    for entries in requests:
        try:
            await _send(client, entries, results)
        except AdapterError as error:
            if not written:
                raise
            _cut_off(entries, error, results)  # what was written before it counts
        written = True
    return PushOutcome(results=list(results.values()))


async def _send(client: Client, entries: list[_Entry], results: dict[str, PushResult]) -> None:
    for attempt in range(ROUNDS):
        if not entries:
            return
        try:
            errors = await _set(client, entries)
        except AdapterError as error:
            if not attempt:
                raise
            _cut_off(entries, error, results)
            return
        if not errors:
            for entry in entries:
                results[entry.op.sku] = PushResult(sku=entry.op.sku, aspect=Aspect.STOCK, result=Result.APPLIED)
            return
        faults = _faults(entries, errors)
        for sku, fault in faults.items():
            results[sku] = fault.at(sku, Aspect.STOCK)
        entries = [entry for entry in entries if entry.op.sku not in faults]
    for entry in entries:
        results[entry.op.sku] = RESEND.at(entry.op.sku, Aspect.STOCK)


async def _set(client: Client, entries: Sequence[_Entry]) -> Sequence[dict[str, Any]]:
    key = _key(entries)
    document = {
        "name": "available",
        "reason": "correction",
        "referenceDocumentUri": f"gid://marketsync/Push/{key}",
        "quantities": [entry.document for entry in entries],
    }
    data = await client.ask("stock", documents.STOCK, {"input": document, "key": key})
    payload = data["inventorySetQuantities"]
    if payload is None:
        raise OutcomeUnknown("Shopify did not say what became of the stock", code="no_payload")
    errors: Sequence[dict[str, Any]] = payload["userErrors"]
    return errors


def _entries(op: OfferOp, settings: Settings) -> list[_Entry] | Fault:
    id_ = OfferId.parse(op.channel_id)
    if id_ is None:
        return Fault.of("no_listing", "The offer has no inventory item.")
    assert op.stock is not None, "an op that changes the stock carries it"
    try:
        quantities = settings.quantities(op.stock)
    except UnknownLocation as unknown:
        return Fault.of("unknown_location", f"The settings name no location of Shopify for {unknown}.")
    # Nothing is always safe to write; and of several locations the ledger keeps only what they hold together.
    compares = op.seen_stock is not None and op.stock.quantity > 0 and len(quantities) == 1
    return [
        _Entry(
            op,
            {
                "inventoryItemId": id_.item,
                "locationId": location,
                "quantity": pieces,
                "changeFromQuantity": op.seen_stock if compares else None,
            },
        )
        for location, pieces in quantities.items()
    ]


def _faults(entries: Sequence[_Entry], errors: Sequence[dict[str, Any]]) -> dict[str, Fault]:
    """Who is guilty, by SKU. Raises ``ItemRefused`` where the errors do not say: the engine finds out by halving."""
    faults: dict[str, Fault] = {}
    for error in errors:
        index = index_in(error, "quantities")
        fault = fault_of(error)
        if index is not None and index < len(entries):
            faults.setdefault(entries[index].op.sku, fault)
        elif fault.result is Result.REJECTED and len({entry.op.sku for entry in entries}) > 1:
            raise ItemRefused(fault.message, code=fault.code)
        else:
            return {entry.op.sku: fault for entry in entries}
    return faults


def _cut_off(entries: Sequence[_Entry], error: AdapterError, results: dict[str, PushResult]) -> None:
    known = not isinstance(error, OutcomeUnknown | UnexpectedReply)
    result = Result.RETRY if known else Result.UNKNOWN
    for entry in entries:
        results[entry.op.sku] = Fault(error.code, error.message, result).at(entry.op.sku, Aspect.STOCK)


def _key(entries: Sequence[_Entry]) -> str:
    """The same for the same ops at every try; a new one for every new revision, and for other company."""
    content = "\n".join(f"{e.op.sku}\t{e.op.revision}\t{sorted(e.document.items(), key=str)}" for e in entries)
    return str(uuid5(NAMESPACE_URL, content))
