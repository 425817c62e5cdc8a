"""The hands of buyers, of the market's staff and of tests: /admin, without credentials, limits or faults."""

from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.sandbox.market import Market
from marketsync_adapters.sandbox.rules import Refused


def sell(market: Market, _request: Request, asked: dict[str, Any]) -> Any:
    lines = asked.get("lines") or [{"sku": asked.get("sku"), "quantity": asked.get("quantity", 1)}]
    order = market.buy(
        [(line["sku"], line["quantity"]) for line in lines],
        paid=asked.get("paid", True),
        address=asked.get("address"),
        storefront=asked.get("storefront", "main"),
        request_id="admin",
    )
    return order.document()


def act_on_order(market: Market, request: Request, _asked: dict[str, Any]) -> Any:
    actions = {
        "pay": market.sales.pay,
        "fail-payment": market.sales.fail_payment,
        "cancel": market.sales.cancel_by_market,
        "request-cancel": market.sales.request_cancel,
    }
    action = request.path_params["action"]
    if action not in actions:
        raise Refused(404, "unknown_action", f"An order can be: {', '.join(actions)}.")
    return actions[action](request.path_params["order_id"]).document()


def request_return(market: Market, _request: Request, asked: dict[str, Any]) -> Any:
    reason = asked.get("reason", "")
    return market.sales.request_return(asked["order_id"], asked["line_id"], asked["quantity"], reason).document()


def receive_return(market: Market, request: Request, asked: dict[str, Any]) -> Any:
    return market.sales.receive_return(request.path_params["return_id"], sellable=asked["sellable"]).document()


def add_fault(market: Market, _request: Request, asked: dict[str, Any]) -> Any:
    try:
        kind = FaultKind(asked["kind"])
    except ValueError:
        raise Refused(422, "unknown_fault", f"A fault is one of: {', '.join(FaultKind)}.") from None
    fault = Fault(
        kind,
        asked.get("operation", "*"),
        asked.get("times", 1),
        asked.get("probability", 1.0),
        asked.get("seconds", 60.0),
    )
    market.faults.add(fault, seed=asked.get("seed"))
    return {"kind": fault.kind, "operation": fault.operation, "times": fault.times}


def clear_faults(market: Market, _request: Request, _asked: dict[str, Any]) -> Any:
    market.faults.clear()
    return {"happened": dict(market.faults.happened)}


def state(market: Market, _request: Request, _asked: dict[str, Any]) -> Any:
    return market.state()


def log(market: Market, request: Request, _asked: dict[str, Any]) -> Any:
    after, size = (
        int(request.query_params.get(name, default)) for name, default in (("after", "0"), ("limit", "1000"))
    )
    market.settle()
    return {"writes": [write._asdict() | {"at": write.at.isoformat()} for write in market.shelf.log(after, size)]}


def route(method: str, path: str, handler: Callable[[Market, Request, dict[str, Any]], Any]) -> Route:
    async def endpoint(request: Request) -> Response:
        market: Market = request.app.state.market
        body = await request.body()
        try:
            document, status = handler(market, request, orjson.loads(body) if body else {}), 200
        except Refused as refused:
            document, status = {"error": {"code": refused.code, "message": refused.message}}, refused.status
        except (KeyError, TypeError, ValueError) as error:
            message = f"The request does not fit: {type(error).__name__}: {error}"
            document, status = {"error": {"code": "bad_request", "message": message}}, 400
        return Response(orjson.dumps(document), status, media_type="application/json")

    return Route(path, endpoint, methods=[method])


ADMIN = (
    route("POST", "/admin/sales", sell),
    route("POST", "/admin/orders/{order_id}/{action}", act_on_order),
    route("POST", "/admin/returns", request_return),
    route("POST", "/admin/returns/{return_id}/receive", receive_return),
    route("POST", "/admin/faults", add_fault),
    route("DELETE", "/admin/faults", clear_faults),
    route("GET", "/admin/state", state),
    route("GET", "/admin/log", log),
)
