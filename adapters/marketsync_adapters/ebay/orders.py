"""Orders of the Fulfillment API: the calls, and what they become. Shipments and refunds too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Self
from urllib.parse import quote

import orjson

from marketsync.adapter.api import (
    Address,
    ChannelHttp,
    ChannelLine,
    ChannelOrder,
    Command,
    CommandResult,
    Fulfilment,
    Money,
    OrderCursor,
    OrderPage,
    Payment,
    Reply,
    Result,
)
from marketsync.adapter.errors import ItemRefused, UnexpectedReply
from marketsync_adapters.ebay.client import Document, document_of, entries, refusal_in
from marketsync_adapters.ebay.errors import Refusal
from marketsync_adapters.ebay.mapping import amount_out, money_in

FULFILLMENT = "/sell/fulfillment/v1"
PAGE = 200

_REFUSALS = frozenset({400, 404, 409})
_PAYMENT = {
    "PENDING": Payment.PENDING,
    "PAID": Payment.PAID,
    "PARTIALLY_REFUNDED": Payment.PAID,
    "FULLY_REFUNDED": Payment.REFUNDED,
    "FAILED": Payment.FAILED,
}
_FULFILMENT = {
    "NOT_STARTED": Fulfilment.OPEN,
    "IN_PROGRESS": Fulfilment.PARTLY_SHIPPED,
    "FULFILLED": Fulfilment.SHIPPED,
}


class Orders:
    def __init__(self, http: ChannelHttp) -> None:
        self._http = http

    async def page(self, cursor: OrderCursor, now: datetime) -> OrderPage:
        """One page of the orders that changed between the cursor and the first page's moment.

        An order that changes meanwhile falls out of that window (the next pull brings it), and those behind it move
        up. eBay's total tells how many did: the page is read again that much earlier, so that none is skipped.
        """
        place = _Place.of(cursor, now)
        reply = await self._orders(place)
        gone = place.total - _total(reply)
        if place.total and gone > 0:
            place = replace(place, offset=max(0, place.offset - gone))
            reply = await self._orders(place)
        documents = entries(reply, "orders")
        orders = [order_in(document, await self._shipped(document)) for document in documents]
        following = replace(place, offset=place.offset + len(documents), total=_total(reply))
        more = bool(documents) and following.offset < following.total
        return OrderPage(orders=orders, next_page=following.token if more else None)

    async def _orders(self, place: "_Place") -> Reply:
        params: dict[str, str | int] = {"limit": PAGE, "offset": place.offset}
        if place.since is not None:
            until = "" if place.until is None else time_out(place.until)
            params["filter"] = f"lastmodifieddate:[{time_out(place.since)}..{until}]"
        return await self._http.request("orders", "GET", f"{FULFILLMENT}/order", params=params)

    async def ids(self, placed_from: datetime, placed_to: datetime, now: datetime) -> list[str]:
        ids: list[str] = []
        until = min(placed_to, now)  # eBay refuses times to come
        offset: int | None = 0
        while offset is not None:
            window = f"creationdate:[{time_out(placed_from)}..{time_out(until)}]"
            params: dict[str, str | int] = {"filter": window, "limit": PAGE, "offset": offset}
            reply = await self._http.request("order_ids", "GET", f"{FULFILLMENT}/order", params=params)
            documents = entries(reply, "orders")
            # eBay's window holds both its ends.
            ids += [str(one["orderId"]) for one in documents if time_in(one["creationDate"]) < placed_to]
            offset = offset + PAGE if document_of(reply).get("next") else None
        return list(dict.fromkeys(ids))

    async def one(self, order_id: str) -> Document:
        """An order whole, its cancellation requests included. Raises ``ItemRefused`` where eBay does not have it."""
        reply = await self._http.request("order", "GET", f"{FULFILLMENT}/order/{quote(order_id, safe='')}")
        return document_of(reply)

    async def shipments(self, order_id: str) -> list[Document]:
        path = f"{FULFILLMENT}/order/{quote(order_id, safe='')}/shipping_fulfillment"
        return entries(await self._http.request("shipments", "GET", path), "fulfillments")

    async def ship(self, command: Command, now: datetime) -> CommandResult:
        path = f"{FULFILLMENT}/order/{quote(command.order_id, safe='')}/shipping_fulfillment"
        lines = await self._lines_to_ship(command)
        if isinstance(lines, CommandResult):
            return lines
        body: dict[str, Any] = {"lineItems": lines, "shippedDate": time_out(command.shipped_at or now)}
        tracking = "".join(filter(str.isalnum, command.tracking))  # eBay takes letters and digits only
        if tracking and command.carrier:
            body |= {"shippingCarrierCode": command.carrier, "trackingNumber": tracking}
        reply = await self._http.request("ship", "POST", path, json=body, accept=_REFUSALS)
        refusal = refusal_in(reply)
        if refusal is None:  # the id stands only in the address of what was made
            return CommandResult(result=Result.APPLIED, reference=reply.headers.get("location", "").rpartition("/")[2])
        if reply.status == 409:
            return await self.shipped(command) or rejected(refusal)
        return rejected(refusal)

    async def _lines_to_ship(self, command: Command) -> list[dict[str, Any]] | CommandResult:
        if command.lines:
            return [{"lineItemId": line.line_id, "quantity": line.quantity} for line in command.lines]
        order = await self.one(command.order_id)
        sent = shipped_pieces(await self.shipments(command.order_id))
        whole = {str(line["lineItemId"]): int(line["quantity"]) for line in order.get("lineItems") or ()}
        still_open = [
            {"lineItemId": line_id, "quantity": pieces - sent.get(line_id, 0)}
            for line_id, pieces in whole.items()
            if pieces > sent.get(line_id, 0)
        ]
        return still_open or CommandResult(
            result=Result.REJECTED, code="nothing_open", message="The order is shipped already."
        )

    async def shipped(self, command: Command) -> CommandResult | None:
        """The shipment that an earlier attempt of this command made: same parcel number, or the same pieces without."""
        tracking = "".join(filter(str.isalnum, command.tracking))
        wanted = {line.line_id: line.quantity for line in command.lines}
        for one in await self.shipments(command.order_id):
            told = "".join(filter(str.isalnum, str(one.get("shipmentTrackingNumber") or "")))
            pieces = shipped_pieces([one])
            if told == (tracking if command.carrier else "") and (not wanted or pieces == wanted):
                return CommandResult(result=Result.APPLIED, reference=str(one["fulfillmentId"]))
        return None

    async def refund(self, command: Command, sign: Any) -> CommandResult:
        """Refund pieces or the whole order. ``sign(method, path, body)`` gives the headers of a digital signature."""
        order = await self.one(command.order_id)
        path = f"{FULFILLMENT}/order/{quote(command.order_id, safe='')}/issue_refund"
        content = orjson.dumps(refund_out(command, order))
        headers = {"Content-Type": "application/json", **sign("POST", path, content)}
        reply = await self._http.request(
            "refund", "POST", path, content=content, headers=headers, accept=_REFUSALS | {403}
        )
        refusal = refusal_in(reply)
        if refusal is not None:
            return rejected(refusal)
        document = document_of(reply)
        if document.get("refundStatus") == "FAILED":
            return CommandResult(result=Result.REJECTED, code="FAILED", message="eBay could not make the refund.")
        return CommandResult(result=Result.APPLIED, reference=str(document.get("refundId") or ""))

    async def _shipped(self, document: Document) -> Mapping[str, int]:
        """Shipped pieces by line. Only where a line is partly shipped does eBay's order not tell them."""
        lines = document.get("lineItems") or ()
        if all(line.get("lineItemFulfillmentStatus") != "IN_PROGRESS" for line in lines):
            fulfilled = [line for line in lines if line.get("lineItemFulfillmentStatus") == "FULFILLED"]
            return {str(line["lineItemId"]): int(line["quantity"]) for line in fulfilled}
        return shipped_pieces(await self.shipments(str(document["orderId"])))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a pull stands: its window, how many orders it has read, and how many there were."""

    since: datetime | None
    until: datetime | None
    offset: int = 0
    total: int = 0

    @classmethod
    def of(cls, cursor: OrderCursor, now: datetime) -> Self:
        if cursor.page is not None:
            until, offset, total = cursor.page.split("|")
            return cls(cursor.since, datetime.fromisoformat(until) if until else None, int(offset), int(total))
        # eBay refuses a window that ends before it begins: with clocks apart it is left open.
        return cls(cursor.since, now if cursor.since is not None and cursor.since < now else None)

    @property
    def token(self) -> str:
        return f"{'' if self.until is None else self.until.isoformat()}|{self.offset}|{self.total}"


def _total(reply: Reply) -> int:
    return int(document_of(reply).get("total") or 0)


def shipped_pieces(shipments: Sequence[Document]) -> dict[str, int]:
    pieces: dict[str, int] = {}
    for one in shipments:
        for line in one.get("lineItems") or ():
            line_id = str(line["lineItemId"])
            pieces[line_id] = pieces.get(line_id, 0) + int(line.get("quantity") or 1)
    return pieces


def rejected(refusal: Refusal) -> CommandResult:
    hint = f" {refusal.hint}" if refusal.hint else ""
    result = Result.RETRY if refusal.code in {"34922", "34929"} else Result.REJECTED
    return CommandResult(result=result, code=refusal.code, message=f"{refusal.message}{hint}")


def refund_out(command: Command, order: Document) -> dict[str, Any]:
    """A refund of pieces (their share of the line where no amount is given), or of all that the order cost."""
    body: dict[str, Any] = {"reasonForRefund": refund_reason(command.reason)}
    if command.reason:
        body["comment"] = command.reason[:100]
    if not command.lines:
        total = (order.get("pricingSummary") or {}).get("total")
        money = money_in(total)
        if money is None:
            raise UnexpectedReply("eBay does not tell what the order cost.")
        return {**body, "orderLevelRefundAmount": amount_out(money)}
    costs = {str(line["lineItemId"]): line for line in order.get("lineItems") or ()}
    items = []
    for line in command.lines:
        if line.line_id not in costs:
            raise ItemRefused(f"the order has no line {line.line_id}", code="34914")
        amount = line.amount or _share(costs[line.line_id], line.quantity)
        items.append({"lineItemId": line.line_id, "refundAmount": amount_out(amount)})
    return {**body, "refundItems": items}


def _share(line: Document, pieces: int) -> Money:
    cost = money_in(line.get("discountedLineItemCost") or line.get("lineItemCost"))
    assert cost is not None
    share = (Decimal(cost.minor) * pieces / int(line["quantity"])).quantize(Decimal(1), ROUND_HALF_UP)
    return Money(int(share), cost.currency)


def refund_reason(reason: str) -> str:
    """The word of eBay for a reason; its own words are passed on."""
    if reason.isupper() and "_" in reason:
        return reason
    words = {
        "return": "BUYER_RETURN",
        "cancel": "BUYER_CANCEL",
        "stock": "OUT_OF_STOCK",
        "damage": "ITEM_NOT_AS_DESCRIBED",
    }
    return next((code for word, code in words.items() if word in reason.lower()), "OTHER_ADJUSTMENT")


# -------------------------------------------------------------------- what orders become


def order_in(document: Document, shipped: Mapping[str, int]) -> ChannelOrder:
    """``shipped``: pieces by line, see ``Orders``."""
    pricing = document.get("pricingSummary") or {}
    total = money_in(pricing.get("total"))
    lines = list(document.get("lineItems") or ())
    currency = total.currency if total else str(lines[0]["lineItemCost"]["currency"])
    payment = _PAYMENT.get(str(document.get("orderPaymentStatus")), Payment.PENDING)
    state = str((document.get("cancelStatus") or {}).get("cancelState") or "NONE_REQUESTED")
    cancelled = state == "CANCELED"
    refunded = payment is Payment.REFUNDED
    ship_by = [(one.get("lineItemFulfillmentInstructions") or {}).get("shipByDate") for one in lines]
    return ChannelOrder(
        order_id=str(document["orderId"]),
        storefront=str(lines[0].get("listingMarketplaceId") or "") if lines else "",
        placed=time_in(document["creationDate"]),
        updated=time_in(document["lastModifiedDate"]),
        payment=payment,
        fulfilment=Fulfilment.CANCELLED if cancelled else _fulfilment(document, lines, shipped),
        currency=currency,
        lines=tuple(_line(one, shipped, cancelled=cancelled, refunded=refunded) for one in lines),
        ship_by=min((time_in(one) for one in ship_by if one), default=None),
        cancel_requested=state == "IN_PROGRESS",
        shipping=_sum(currency, pricing.get("deliveryCost"), pricing.get("deliveryDiscount")),
        total=total,
        buyer=None if payment is Payment.PENDING else _address(document),
        acknowledged=True,  # eBay's REST API has no acknowledgement
    )


def _fulfilment(document: Document, lines: Sequence[Document], shipped: Mapping[str, int]) -> Fulfilment:
    told = _FULFILMENT.get(str(document.get("orderFulfillmentStatus")), Fulfilment.OPEN)
    if told is Fulfilment.PARTLY_SHIPPED and not any(shipped.values()) and lines:
        return Fulfilment.OPEN
    return told


def _line(document: Document, shipped: Mapping[str, int], *, cancelled: bool, refunded: bool) -> ChannelLine:
    quantity, cost = int(document["quantity"]), money_in(document.get("lineItemCost"))
    reduced = money_in(document.get("discountedLineItemCost"))
    line_id = str(document["lineItemId"])
    remitted = document.get("ebayCollectAndRemitTaxes") or ()
    taxes = [one.get("amount") for one in (*remitted, *(document.get("taxes") or ()))]
    back = [money for one in document.get("refunds") or () if (money := money_in(one.get("amount"))) is not None]
    return ChannelLine(
        line_id=line_id,
        sku=str(document.get("sku") or ""),
        quantity=quantity,
        title=str(document.get("title") or ""),
        cancelled=quantity if cancelled else 0,
        shipped=shipped.get(line_id, 0),
        refunded=quantity if refunded else _pieces_refunded(quantity, reduced or cost, back),
        amount=cost,
        gross=not remitted,  # what eBay collects and remits is on top of the line's cost
        tax=_sum(cost.currency, *taxes) if cost and any(taxes) else None,
        discount=Money(cost.minor - reduced.minor, cost.currency) if cost and reduced else None,
        fulfilled_by="merchant",
    )


def _pieces_refunded(quantity: int, cost: Money | None, back: Sequence[Money]) -> int:
    """Whole pieces that refunds pay for: eBay tells amounts only."""
    if cost is None or cost.minor <= 0:
        return 0
    return min(quantity, sum(one.minor for one in back) * quantity // cost.minor)


def _sum(currency: str, *amounts: Any) -> Money:
    known = [money for one in amounts if (money := money_in(one)) is not None]
    return Money(sum(money.minor for money in known), currency)


def _address(document: Document) -> Address | None:
    for instruction in document.get("fulfillmentStartInstructions") or ():
        contact = (instruction.get("shippingStep") or {}).get("shipTo")
        if contact:
            address = contact.get("contactAddress") or {}
            return Address(
                name=str(contact.get("fullName") or ""),
                company=str(contact.get("companyName") or ""),
                street=str(address.get("addressLine1") or ""),
                street2=str(address.get("addressLine2") or ""),
                postcode=str(address.get("postalCode") or ""),
                city=str(address.get("city") or ""),
                region=str(address.get("stateOrProvince") or ""),
                country=str(address.get("countryCode") or ""),
                phone=str((contact.get("primaryPhone") or {}).get("phoneNumber") or ""),
                email=str(contact.get("email") or ""),
            )
    return None


def time_in(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def time_out(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
