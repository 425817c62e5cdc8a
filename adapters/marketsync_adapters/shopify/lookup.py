"""Looking before writing: which variants have a SKU, and what a product has now."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from marketsync_adapters.shopify import documents
from marketsync_adapters.shopify.client import Client, Data, chunks, whole
from marketsync_adapters.shopify.documents import DEAREST
from marketsync_adapters.shopify.ids import OfferId
from marketsync_adapters.shopify.mapping import Family

SEARCHED: Final = 25  # SKUs at once: a query has to stay readable for Shopify


def search(skus: Iterable[str]) -> str:
    """Shopify's search for these SKUs. It ignores case and more, so what it finds is compared letter by letter."""
    return " OR ".join(f'sku:"{_quoted(sku)}"' for sku in skus)


async def find_skus(client: Client, operation: str, skus: Sequence[str]) -> dict[str, list[OfferId]]:
    """The variants that have exactly these SKUs."""
    found: dict[str, list[OfferId]] = {}
    for chunk in chunks(list(dict.fromkeys(skus)), SEARCHED):
        nodes = client.walk(operation, documents.FIND_SKUS, {"query": search(chunk)}, lambda d: d["productVariants"])
        wanted = frozenset(chunk)
        async for node in nodes:
            if node["sku"] in wanted:
                id_ = OfferId(node["product"]["id"], node["id"], node["inventoryItem"]["id"])
                found.setdefault(node["sku"], []).append(id_)
    return found


async def find_products(client: Client, operation: str, families: Sequence[Family]) -> dict[str, Mapping[str, Any]]:
    """The products of these families with all their variants (``nodes``); those that are gone are left out."""
    sizes = {family.product: len(family.ops) + 1 for family in families if family.product is not None}
    return await read_products(client, operation, sizes)


async def read_products(client: Client, operation: str, sizes: Mapping[str, int]) -> dict[str, Mapping[str, Any]]:
    """Products by gid. ``sizes``: how many variants each is expected to have."""
    found: dict[str, Mapping[str, Any]] = {}
    for first, products in _alike(sizes):
        each = documents.PRODUCTS.cost + 3 * first
        for chunk in chunks(products, min(250, max(1, int(DEAREST // each)))):
            data = await client.ask(
                operation, documents.PRODUCTS, {"ids": chunk, "variants": first}, cost=each * len(chunk)
            )
            for node in data["nodes"]:
                if node:
                    found[node["id"]] = {**node, "nodes": await _variants(client, operation, node)}
    return found


async def _variants(client: Client, operation: str, product: Mapping[str, Any]) -> Sequence[Data]:
    """All variants, where the first page did not hold them."""
    if not product["variants"]["pageInfo"]["hasNextPage"]:
        nodes: Sequence[Data] = product["variants"]["nodes"]
        return nodes
    document = documents.PRODUCT_VARIANTS
    return await whole(
        client.walk(operation, document, {"id": product["id"]}, lambda d: d["product"] and d["product"]["variants"])
    )


def _alike(sizes: Mapping[str, int]) -> Iterable[tuple[int, list[str]]]:
    """Products of about the same size, so that a small one is not asked for the variants of a large one."""
    groups: dict[int, list[str]] = {}
    for product, size in sizes.items():
        rounded = next(most for most in (2, 5, 20, 100, 250) if size <= most or most == 250)
        groups.setdefault(rounded, []).append(product)
    return groups.items()


def _quoted(sku: str) -> str:
    return sku.replace("\\", "\\\\").replace('"', '\\"')
