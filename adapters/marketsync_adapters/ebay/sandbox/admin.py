"""The hands of buyers, of eBay's staff and of tests: /admin, without tokens, limits or faults."""

from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketsync_adapters.ebay.sandbox.market import Market
from marketsync_adapters.ebay.sandbox.rules import Refused
from marketsync_adapters.sandbox.faults import Fault, FaultKind


def sell(market: Market, _request: Request, asked: dict[str, Any]) -> Any:
    lines = [(line["sku"], line["quantity"]) for line in asked["lines"]]
    return market.sales.document(market.sales.buy(lines, paid=asked.get("paid", True)), whole=True)


def act_on_order(market: Market, request: Request, _asked: dict[str, Any]) -> Any:
    actions = {"pay": market.sales.pay, "cancel": market.sales.cancel, "request-cancel": market.sales.request_cancel}
    action = request.path_params["action"]
    if action not in actions:
        raise Refused(404, 9000, f"An order can be: {', '.join(actions)}.")
    return market.sales.document(actions[action](request.path_params["order"]), whole=True)


def request_return(market: Market, _request: Request, asked: dict[str, Any]) -> Any:
    return {"returnId": market.sales.request_return(asked["orderId"], asked["lineItemId"], asked["quantity"])}


def receive_return(market: Market, request: Request, _asked: dict[str, Any]) -> Any:
    return market.sales.receive_return(request.path_params["return"])


def end_consent(market: Market, _request: Request, _asked: dict[str, Any]) -> Any:
    market.gate.consent = False
    market.gate.expire_tokens()
    return {"consent": False}


def add_fault(market: Market, _request: Request, asked: dict[str, Any]) -> Any:
    if asked["kind"] not in set(FaultKind):
        raise Refused(422, 9000, f"A fault is one of: {', '.join(FaultKind)}.")
    fault = Fault(
        FaultKind(asked["kind"]),
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


def route(method: str, path: str, handler: Callable[[Market, Request, dict[str, Any]], Any]) -> Route:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        try:
            document, status = handler(request.app.state.market, request, orjson.loads(body) if body else {}), 200
        except Refused as refused:
            document, status = refused.document(), refused.status
        except (KeyError, TypeError, ValueError, StopIteration) as error:
            message = f"The request does not fit: {type(error).__name__}: {error}"
            document, status = {"errors": [{"errorId": 9000, "message": message}]}, 400
        return Response(orjson.dumps(document), status, media_type="application/json")

    return Route(path, endpoint, methods=[method])


ADMIN = (
    route("POST", "/admin/sales", sell),
    route("POST", "/admin/orders/{order}/{action}", act_on_order),
    route("POST", "/admin/returns", request_return),
    route("POST", "/admin/returns/{return}/receive", receive_return),
    route("POST", "/admin/consent/end", end_consent),
    route("POST", "/admin/faults", add_fault),
    route("DELETE", "/admin/faults", clear_faults),
    route("GET", "/admin/state", state),
)
