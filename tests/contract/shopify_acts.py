"""What the tests of Shopify's offers and orders share: families, handmade products, sold orders."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from marketsync.adapter.api import Aspect, ChannelOrder, Command, CommandLine, PushResult, Result
from marketsync.testing.contract import Session
from marketsync.testing.contract.orders import pull
from marketsync_adapters.shopify.sandbox import Shop
from marketsync_adapters.shopify.sandbox.setting import write
from tests.contract.shopify_harness import listing

LISTING = frozenset({Aspect.LISTING})


def results(found: dict[tuple[str, Aspect], PushResult]) -> dict[str, Result]:
    return {sku: one.result for (sku, _), one in found.items()}


async def set_stock(session: Session, *ops: Any) -> dict[tuple[str, Aspect], PushResult]:
    return await session.push(session.door(Aspect.STOCK), ops)


async def list_family(session: Session, sizes: Sequence[str], **more: Any) -> dict[tuple[str, Aspect], PushResult]:
    ops = [
        session.op(
            f"chair-{size}", *LISTING, family="CHAIR", listing=replace(listing(size), options={"Size": size}, **more)
        )
        for size in sizes
    ]
    return await session.push(session.door(Aspect.LISTING), ops)


def made(shop: Shop, sku: str) -> Any:
    """A product as the merchant would make it, without a request."""
    variant = {
        "sku": sku,
        "price": "1.00",
        "inventoryItem": {"tracked": True},
        "optionValues": [{"optionName": "Title", "name": "Default Title"}],
        "inventoryQuantities": [{"locationId": shop.locations[0], "name": "available", "quantity": 1}],
    }
    made = write(shop, {"input": {"title": sku, "variants": [variant]}})
    return shop.products[made["product"]["id"]]


def command(order_id: str, *lines: tuple[str, int], key: str = "key-1", **more: Any) -> Command:
    named = tuple(CommandLine(line_id=line, sku="", quantity=pieces) for line, pieces in lines)
    return Command(key=key, order_id=order_id, lines=named, **more)


async def sold(session: Session, lines: Sequence[tuple[str, int]], **how: Any) -> ChannelOrder:
    """The newest order, read back."""
    await session.put_on_sale([sku for sku, _ in lines], quantity=50)
    order_id = session.harness.hands.sell(lines, **how)
    return next(order for order in await pull(session) if order.order_id == order_id)


async def again(session: Session, order: ChannelOrder) -> ChannelOrder:
    return next(one for one in await pull(session) if one.order_id == order.order_id)


def pieces(order: ChannelOrder) -> tuple[int, int, int]:
    line = order.lines[0]
    return line.shipped, line.cancelled, line.refunded
