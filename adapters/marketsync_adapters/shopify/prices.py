"""The ``price`` door: the variants of each product together, several products in one request."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from marketsync.adapter.api import Aspect, OfferOp, PushOutcome, PushResult, Result
from marketsync_adapters.shopify import documents, mapping
from marketsync_adapters.shopify.client import Client
from marketsync_adapters.shopify.documents import repeated
from marketsync_adapters.shopify.errors import Fault, fault_of, index_in
from marketsync_adapters.shopify.ids import OfferId


async def push_prices(client: Client, ops: Sequence[OfferOp], currency: str, now: datetime) -> PushOutcome:
    """A batch fits into one request: ``Operation.batch`` is the most products that its cost allows."""
    results: list[PushResult] = []
    products: dict[str, list[tuple[OfferOp, OfferId]]] = {}
    for op in ops:
        id_ = OfferId.parse(op.channel_id)
        fault = (
            Fault.of("no_listing", "The offer has no product.") if id_ is None else mapping.price_fault(op, currency)
        )
        if fault is not None:
            results.append(fault.at(op.sku, Aspect.PRICE))
        elif id_ is not None:
            products.setdefault(id_.product, []).append((op, id_))
    if not products:
        return PushOutcome(results=results)
    variables: dict[str, Any] = {}
    for n, (product, members) in enumerate(products.items()):
        variables[f"product{n}"] = product
        variables[f"variants{n}"] = [{"id": id_.variant, **_price(op, now)} for op, id_ in members]
    data = await client.ask("price", repeated(documents.PRICES, len(products)), variables)
    for n, members in enumerate(products.values()):
        payload = data[f"p{n}"]
        errors = payload["userErrors"] if payload is not None else ()
        whole = [fault_of(error) for error in errors if index_in(error, "variants") is None]
        by_index = {index_in(error, "variants"): fault_of(error) for error in errors}
        for index, (op, _) in enumerate(members):
            fault = whole[0] if whole else by_index.get(index)
            if payload is None:
                results.append(PushResult(sku=op.sku, aspect=Aspect.PRICE, result=Result.UNKNOWN))
            elif fault is not None:
                results.append(fault.at(op.sku, Aspect.PRICE))
            else:
                results.append(PushResult(sku=op.sku, aspect=Aspect.PRICE, result=Result.APPLIED))
    return PushOutcome(results=results)


def _price(op: OfferOp, now: datetime) -> dict[str, Any]:
    assert op.price is not None, "an op that changes the price carries it"
    return mapping.price_out(op.price, now)
