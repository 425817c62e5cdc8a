"""Returns: Shopify lists them by order, so orders that have some are walked and each return is read."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from marketsync.adapter.api import AdapterContext, ChannelReturn, OrderCursor, ReturnPage, ReturnState
from marketsync_adapters.shopify import documents
from marketsync_adapters.shopify.client import DEEPEST, Client, Data
from marketsync_adapters.shopify.ids import number
from marketsync_adapters.shopify.orders import iso, position, time_in, token

_REFUSED: Final = frozenset({"DECLINED", "CANCELED"})
_ARRIVED: Final[Mapping[str, bool | None]] = {"RESTOCKED": True, "NOT_RESTOCKED": False, "PROCESSING_REQUIRED": None}


class Returns:
    def __init__(self, client: Client, context: AdapterContext) -> None:
        self._client = client
        self._context = context

    async def page(self, cursor: OrderCursor) -> ReturnPage:
        since, after, walked = position(cursor, self._context.clock.now())
        query = f"updated_at:>='{iso(since)}' -return_status:no_return"
        data = await self._client.ask("returns", documents.RETURNS, {"query": query, "after": after})
        orders: Sequence[Data] = data["orders"]["nodes"]
        found: list[ChannelReturn] = []
        for order in orders:
            if order["returns"]["pageInfo"]["hasNextPage"]:
                self._context.log.warning("an order has more returns than are read", order=number(order["id"]))
            for one in order["returns"]["nodes"]:
                found += await self._return(one["id"], order)
        info = data["orders"]["pageInfo"]
        if not info["hasNextPage"]:
            return ReturnPage(returns=found)
        walked += len(orders)
        if walked >= DEEPEST:
            return ReturnPage(returns=found, next_page=token(time_in(orders[-1]["updatedAt"]), None, 0))
        return ReturnPage(returns=found, next_page=token(since, info["endCursor"], walked))

    async def _return(self, id_: str, order: Data) -> list[ChannelReturn]:
        after: str | None = None
        found: list[ChannelReturn] = []
        while True:
            node = (await self._client.ask("returns", documents.RETURN, {"id": id_, "after": after}))["node"]
            if not node:
                return found
            arrived = _arrived(node)
            lines = node["returnLineItems"]["nodes"]  # those of other kinds were never shipped through Shopify
            found += [_line(n, node["status"], arrived, order) for n in lines if n["__typename"] == "ReturnLineItem"]
            info = node["returnLineItems"]["pageInfo"]
            if not info["hasNextPage"]:
                return found
            after = info["endCursor"]


def _arrived(node: Data) -> dict[str, bool | None]:
    """Whether what came back can be sold again, by the shipped line it belongs to; only what has arrived."""
    found: dict[str, bool | None] = {}
    for order in node["reverseFulfillmentOrders"]["nodes"]:
        for line in order["lineItems"]["nodes"]:
            kinds = [one["type"] for one in line["dispositions"] if one["type"] in _ARRIVED and one["quantity"] > 0]
            if kinds and line["fulfillmentLineItem"] is not None:
                states = {_ARRIVED[kind] for kind in kinds}
                # Some can be sold and some cannot: a person looks.
                found[line["fulfillmentLineItem"]["id"]] = states.pop() if len(states) == 1 else None
    return found


def _line(line: Data, status: str, arrived: Mapping[str, bool | None], order: Data) -> ChannelReturn:
    shipped = line["fulfillmentLineItem"]
    there = shipped["id"] in arrived
    reason = line["returnReasonDefinition"]["name"] if line["returnReasonDefinition"] else ""
    updated: datetime = time_in(order["updatedAt"])
    return ChannelReturn(
        return_id=number(line["id"]),
        order_id=number(order["id"]),
        line_id=number(shipped["lineItem"]["id"]),
        sku=shipped["lineItem"]["sku"] or "",
        quantity=line["quantity"],
        state=_state(line, status, there=there),
        updated=updated,
        reason=line["returnReasonNote"] or reason,
        sellable=arrived.get(shipped["id"]),
    )


def _state(line: Data, status: str, *, there: bool) -> ReturnState:
    if status in _REFUSED:
        return ReturnState.REJECTED
    if line["refundedQuantity"] >= line["quantity"]:
        return ReturnState.REFUNDED
    if there or line["processedQuantity"] >= line["quantity"]:
        return ReturnState.RECEIVED
    return ReturnState.REQUESTED
