"""The ``withdraw`` door: a product is hidden when all its variants go; of a product that stays, single variants go."""

from collections.abc import Sequence
from typing import Any

from marketsync.adapter.api import Aspect, OfferOp, PushOutcome, PushResult, Result
from marketsync_adapters.shopify import documents
from marketsync_adapters.shopify.client import Client, chunks
from marketsync_adapters.shopify.documents import repeated
from marketsync_adapters.shopify.errors import Fault, fault_of
from marketsync_adapters.shopify.ids import OfferId
from marketsync_adapters.shopify.lookup import read_products
from marketsync_adapters.shopify.settings import Settings

_STATUS = {"draft": "DRAFT", "archive": "ARCHIVED"}
_GONE = frozenset({"PRODUCT_DOES_NOT_EXIST", "PRODUCT_VARIANT_DOES_NOT_EXIST"})

Members = list[tuple[OfferOp, OfferId]]


async def withdraw(client: Client, ops: Sequence[OfferOp], settings: Settings) -> PushOutcome:
    """What is not in Shopify any more is withdrawn already."""
    results: dict[str, PushResult] = {}
    products: dict[str, Members] = {}
    for op in ops:
        id_ = OfferId.parse(op.channel_id)
        if not op.withdraw:  # a sibling that stays
            _tell(results, op, Fault("stays", "This variant is not withdrawn.", Result.RETRY) if op.changed else None)
        elif id_ is None:
            _tell(results, op, None)
        else:
            products.setdefault(id_.product, []).append((op, id_))
    shown = await read_products(client, "withdraw", {product: len(members) for product, members in products.items()})
    hidden: dict[str, Members] = {}
    thinned: dict[str, Members] = {}
    for product, members in products.items():
        there = {node["id"] for node in shown[product]["nodes"]} if product in shown else set()
        leaving = {id_.variant for _, id_ in members}
        going = [(op, id_) for op, id_ in members if id_.variant in there]
        for op, id_ in members:
            if id_.variant not in there:
                _tell(results, op, None)
        if going:
            (thinned if there - leaving else hidden)[product] = going
    await _hide(client, hidden, settings, results)
    await _thin(client, thinned, results)
    return PushOutcome(results=list(results.values()))


async def _hide(
    client: Client, products: dict[str, Members], settings: Settings, results: dict[str, PushResult]
) -> None:
    if not products:
        return
    variables: dict[str, Any]
    if settings.withdraw == "unpublish":
        part = documents.UNPUBLISH
        variables = {f"id{n}": product for n, product in enumerate(products)}
        variables["publications"] = [{"publicationId": one} for one in settings.publication_ids]
    else:
        part = documents.STATUS
        status = _STATUS[settings.withdraw]
        variables = {f"product{n}": {"id": product, "status": status} for n, product in enumerate(products)}
    data = await client.ask("withdraw", repeated(part, len(products)), variables)
    for n, members in enumerate(products.values()):
        _settle(results, members, data[f"p{n}"])


async def _thin(client: Client, products: dict[str, Members], results: dict[str, PushResult]) -> None:
    for chunk in chunks(list(products.items()), 50):
        variables: dict[str, Any] = {}
        for n, (product, members) in enumerate(chunk):
            variables |= {f"product{n}": product, f"variants{n}": [id_.variant for _, id_ in members]}
        data = await client.ask("withdraw", repeated(documents.DELETE_VARIANTS, len(chunk)), variables)
        for n, (_, members) in enumerate(chunk):
            _settle(results, members, data[f"p{n}"])


def _settle(results: dict[str, PushResult], members: Members, payload: Any) -> None:
    errors = [] if payload is None else payload["userErrors"]
    for op, _ in members:
        if payload is None:
            results[op.sku] = PushResult(sku=op.sku, aspect=Aspect.LISTING, result=Result.UNKNOWN)
        elif errors and errors[0].get("code") not in _GONE:
            _tell(results, op, fault_of(errors[0]))
        else:
            _tell(results, op, None)


def _tell(results: dict[str, PushResult], op: OfferOp, fault: Fault | None) -> None:
    if Aspect.LISTING in op.changed:
        applied = PushResult(sku=op.sku, aspect=Aspect.LISTING, result=Result.APPLIED)
        results[op.sku] = applied if fault is None else fault.at(op.sku, Aspect.LISTING)
