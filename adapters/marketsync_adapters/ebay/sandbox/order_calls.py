"""Calls of the Fulfillment and Post-Order APIs."""

from datetime import datetime, timedelta
from re import fullmatch

from marketsync_adapters.ebay.sandbox.call import Answer, Call
from marketsync_adapters.ebay.sandbox.rules import Refused
from marketsync_adapters.sandbox.faults import FaultKind


def list_orders(call: Call) -> Answer:
    limit, offset = call.number("limit", 50, 200, 31100), call.number("offset", 0, 10**9, 31000)
    by, start, end = _window(call)
    found = call.market.sales.page(by, start, end)
    orders = [call.market.sales.document(order) for order in found[offset : offset + limit]]
    if call.fault is FaultKind.DUPLICATED_PAGE:
        orders += orders
    if call.fault is FaultKind.REORDERED_PAGE:
        orders.reverse()
    document = {"href": "/", "total": len(found), "limit": limit, "offset": offset, "orders": orders}
    if offset + limit < len(found):
        document["next"] = f"/sell/fulfillment/v1/order?limit={limit}&offset={offset + limit}"
    return 200, document


def _window(call: Call) -> tuple[str, datetime | None, datetime | None]:
    told = call.request.query_params.get("filter")
    if told is None:
        return "created", None, None
    match = fullmatch(r"(creationdate|lastmodifieddate):\[(.+?)\.\.(.*)\]", told)
    if match is None:
        raise Refused(400, 30800, f"Invalid filter value {told}")
    try:
        start = datetime.fromisoformat(match[2])
        end = datetime.fromisoformat(match[3]) if match[3] else None
    except ValueError:
        raise Refused(400, 30810, "Invalid date format") from None
    now = call.market.clock.now()
    if start > now or (end is not None and end > now + timedelta(seconds=1)):
        raise Refused(400, 30850, "Start and end dates can't be in the future")
    if end is not None and start > end:
        raise Refused(400, 30840, "Start date should be before end date")
    return {"creationdate": "created", "lastmodifieddate": "modified"}[match[1]], start, end


def get_order(call: Call) -> Answer:
    return 200, call.market.sales.document(call.market.sales.order(call.part("order")), whole=True)


def list_shipments(call: Call) -> Answer:
    order = call.market.sales.orders.get(call.part("order"))
    if order is None:
        raise Refused(400, 32100, f"Invalid order ID: {call.part('order')}")
    return 200, {"fulfillments": order.shipments, "total": len(order.shipments)}


def ship(call: Call) -> Answer:
    fulfillment = call.market.sales.ship(call.part("order"), call.document(), apply=call.apply)
    path = f"/sell/fulfillment/v1/order/{call.part('order')}/shipping_fulfillment/{fulfillment}"
    return 201, {"Location": f"https://api.ebay.com{path}"}  # becomes a header: the body tells nothing


def refund(call: Call) -> Answer:
    _signed(call)
    return 200, call.market.sales.refund(call.part("order"), call.document(), apply=call.apply)


def cancel(call: Call) -> Answer:
    _signed(call)
    order_id = str(call.document().get("legacyOrderId"))
    if call.apply:
        call.market.sales.cancel(order_id)
    return 200, {"cancelId": f"C-{order_id}"}


def approve_cancel(call: Call) -> Answer:
    _signed(call)
    if call.apply:
        call.market.sales.approve(call.part("cancel"))
    return 200, {}


def _signed(call: Call) -> None:
    """Sellers in the EU and UK have to sign what moves money; the signature itself is not verified here."""
    wanted = {"signature", "signature-input", "x-ebay-signature-key", "content-digest"}
    if call.market.rules.signatures and not wanted <= set(call.request.headers):
        raise Refused(403, 215_001, "Missing x-ebay-signature-key header")


def search_returns(call: Call) -> Answer:
    limit, offset = call.number("limit", 25, 200, 1), call.number("offset", 0, 10**9, 1)
    found = [one["summary"] for one in call.market.sales.returns.values()][offset : offset + limit]
    return 200, {"members": found, "total": len(call.market.sales.returns)}


def get_return(call: Call) -> Answer:
    found = call.market.sales.returns.get(call.part("return"))
    if found is None:
        raise Refused(404, 1602, "There is no such return.")
    return 200, found
