"""Cancellations and returns through the Post-Order API.

Unconfirmed: no contract of eBay's own is at hand, only one made by hand of its paths. So `post_order` is off by default,
and what eBay answers is read with care.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import orjson

from marketsync.adapter.api import (
    ChannelHttp,
    ChannelReturn,
    Command,
    CommandResult,
    OrderCursor,
    Result,
    ReturnPage,
    ReturnState,
)
from marketsync.adapter.errors import AuthRefused, UnexpectedReply
from marketsync_adapters.ebay.client import Document, document_of, refusal_in
from marketsync_adapters.ebay.orders import Orders, rejected, time_in, time_out

POST_ORDER = "/post-order/v2"
PAGE = 25
WINDOW = timedelta(days=60)  # how long after it was asked for a return still changes

_REFUSALS = frozenset({400, 403, 404, 409})
_REFUSED = "eBay's Post-Order API does not take the token that its other APIs take"
_RECEIVED = frozenset({"ITEM_DELIVERED", "RETURN_DELIVERED"})
REASONS: Mapping[str, str] = MappingProxyType(
    {"buyer": "BUYER_ASKED_CANCEL", "address": "ADDRESS_ISSUES", "stock": "OUT_OF_STOCK_OR_CANNOT_FULFILL"}
)

Sign = Callable[[str, str, bytes], Mapping[str, str]]


class PostOrder:
    def __init__(self, http: ChannelHttp, orders: Orders, marketplace: str) -> None:
        self._http = http
        self._orders = orders
        self._headers = {"X-EBAY-C-MARKETPLACE-ID": marketplace}

    async def cancel(self, command: Command, sign: Sign) -> CommandResult:
        """Cancel a whole order: approve what the buyer asked for, or cancel of our own accord."""
        order = await self._orders.one(command.order_id)
        if not _is_whole(command, order):
            message = "eBay cancels whole orders only: refund the pieces that cannot be sent."
            return CommandResult(result=Result.REJECTED, code="whole_orders_only", message=message)
        requests = (order.get("cancelStatus") or {}).get("cancelRequests") or ()
        asked = [one for one in requests if one.get("cancelRequestState") == "REQUESTED"]
        if asked:
            path = f"{POST_ORDER}/cancellation/{quote(str(asked[0]['cancelRequestId']), safe='')}/approve"
            body: dict[str, Any] = {}
        else:
            path = f"{POST_ORDER}/cancellation"
            body = {"legacyOrderId": command.order_id, "cancelReason": cancel_reason(command.reason)}
        content = orjson.dumps(body)
        headers = {"Content-Type": "application/json", **self._headers, **sign("POST", path, content)}
        try:
            reply = await self._http.request("cancel", "POST", path, content=content, headers=headers, accept=_REFUSALS)
        except AuthRefused as error:  # the order was read with this token: it is this API alone that refuses it
            message = f"{_REFUSED}: cancel in Seller Hub."
            return CommandResult(result=Result.REJECTED, code=error.code, message=message)
        refusal = refusal_in(reply)
        if refusal is not None:
            return rejected(refusal)
        reference = str(document_of(reply).get("cancelId") or "") if reply.content else ""
        return CommandResult(result=Result.APPLIED, reference=reference)

    async def cancelled(self, command: Command) -> CommandResult | None:
        order = await self._orders.one(command.order_id)
        state = (order.get("cancelStatus") or {}).get("cancelState")
        return CommandResult(result=Result.APPLIED) if state == "CANCELED" else None

    async def returns(self, cursor: OrderCursor, now: datetime) -> ReturnPage:
        """A page of the returns that were asked for lately, those that changed since the cursor."""
        since = min(cursor.since or now, now - WINDOW)
        offset = int(cursor.page or 0)
        params: dict[str, str | int] = {
            "creation_date_range_from": time_out(since),
            "creation_date_range_to": time_out(now),
            "role": "SELLER",
            "limit": PAGE,
            "offset": offset,
        }
        path = f"{POST_ORDER}/return/search"
        try:
            reply = await self._http.request("returns", "GET", path, params=params, headers=self._headers)
        except AuthRefused as error:  # it would stop the channel's offers and orders too
            raise UnexpectedReply(f"{_REFUSED}: turn post_order off.", code=error.code) from error
        members = document_of(reply).get("members") or ()
        returns = [await self._return(str(one["returnId"])) for one in members]
        changed = [one for one in returns if cursor.since is None or one.updated >= cursor.since]
        return ReturnPage(returns=changed, next_page=str(offset + PAGE) if len(members) == PAGE else None)

    async def _return(self, return_id: str) -> ChannelReturn:
        path = f"{POST_ORDER}/return/{quote(return_id, safe='')}"
        document = document_of(await self._http.request("returns", "GET", path, headers=self._headers))
        summary = document.get("summary")
        if not isinstance(summary, dict):
            raise UnexpectedReply("eBay tells a return without its summary.")
        item = (summary.get("creationInfo") or {}).get("item") or {}
        order = await self._orders.one(str(summary["orderId"]))
        # A line's id is the transaction's; an order of one line has no other.
        lines = list(order.get("lineItems") or ())
        line = next((one for one in lines if str(one["lineItemId"]) == str(item.get("transactionId"))), lines[0])
        return return_in(summary, document.get("detail") or {}, line)


def return_in(summary: Document, detail: Document, line: Document) -> ChannelReturn:
    creation = summary.get("creationInfo") or {}
    history = [one.get("creationDate") for one in detail.get("responseHistory") or ()]
    times = [time_in(str(one["value"])) for one in (creation.get("creationDate"), *history) if one]
    return ChannelReturn(
        return_id=str(summary["returnId"]),
        order_id=str(summary["orderId"]),
        line_id=str(line["lineItemId"]),
        sku=str(line.get("sku") or ""),
        quantity=int((creation.get("item") or {}).get("returnQuantity") or 1),
        state=return_state(summary),
        updated=max(times, default=datetime.fromtimestamp(0, UTC)),
        reason=str(creation.get("reason") or ""),
        sellable=None,  # eBay does not ask for the condition of what came back
    )


def return_state(summary: Document) -> ReturnState:
    state = str(summary.get("state") or "")
    if (summary.get("sellerTotalRefund") or {}).get("actualRefundAmount"):
        return ReturnState.REFUNDED
    if state in _RECEIVED:
        return ReturnState.RECEIVED
    return ReturnState.REJECTED if state == "CLOSED" else ReturnState.REQUESTED


def cancel_reason(reason: str) -> str:
    """The word of eBay for a reason; its own words are passed on."""
    if reason in REASONS.values():
        return reason
    return next((code for word, code in REASONS.items() if word in reason.lower()), REASONS["stock"])


def _is_whole(command: Command, order: Document) -> bool:
    whole: dict[str, int] = {str(one["lineItemId"]): int(one["quantity"]) for one in order.get("lineItems") or ()}
    asked: Sequence[Any] = command.lines
    return not asked or {line.line_id: line.quantity for line in command.lines} == whole
