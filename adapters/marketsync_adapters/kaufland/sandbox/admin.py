"""The hands of buyers, of Kaufland's staff and of tests: /admin, without signatures, limits or faults."""

from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketsync_adapters.kaufland.sandbox.market import Market
from marketsync_adapters.kaufland.sandbox.rules import Refused
from marketsync_adapters.sandbox.faults import Fault, FaultKind


def sell(market: Market, _request: Request, asked: dict[str, Any]) -> Any:
    lines = [(line["sku"], line["quantity"]) for line in asked["lines"]]
    storefront, address = asked.get("storefront", "de"), asked.get("address")
    order = market.sales.buy(lines, paid=asked.get("paid", True), storefront=storefront, address=address)
    return order.document(market.rules)


def act_on_order(market: Market, request: Request, _asked: dict[str, Any]) -> Any:
    actions = {"pay": market.sales.pay, "cancel": market.sales.cancel}
    action = request.path_params["action"]
    if action not in actions:
        raise Refused(404, "not-found", f"An order can be: {', '.join(actions)}.")
    return actions[action](request.path_params["id_order"]).document(market.rules)


def request_return(market: Market, _request: Request, asked: dict[str, Any]) -> Any:
    return market.sales.request_return(asked["id_order_unit"], asked.get("reason", "dislike")).document()


def receive_return(market: Market, request: Request, asked: dict[str, Any]) -> Any:
    return market.sales.receive_return(int(request.path_params["id_return"]), accepted=asked["accepted"]).unit()


def add_fault(market: Market, _request: Request, asked: dict[str, Any]) -> Any:
    if asked["kind"] not in set(FaultKind):
        raise Refused(422, "validation-error", f"A fault is one of: {', '.join(FaultKind)}.")
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


def log(market: Market, request: Request, _asked: dict[str, Any]) -> Any:
    after, size = (
        int(request.query_params.get(name, default)) for name, default in (("after", "0"), ("limit", "1000"))
    )
    return {"writes": [write._asdict() | {"at": write.at.isoformat()} for write in market.shelf.log(after, size)]}


def route(method: str, path: str, handler: Callable[[Market, Request, dict[str, Any]], Any]) -> Route:
    async def endpoint(request: Request) -> Response:
        market: Market = request.app.state.market
        body = await request.body()
        try:
            document, status = handler(market, request, orjson.loads(body) if body else {}), 200
        except Refused as refused:
            document, status = refused.document(), refused.status
        except (KeyError, TypeError, ValueError) as error:
            document, status = {"message": f"The request does not fit: {type(error).__name__}: {error}"}, 400
        return Response(orjson.dumps(document), status, media_type="application/json")

    return Route(path, endpoint, methods=[method])


ADMIN = (
    route("POST", "/admin/sales", sell),
    route("POST", "/admin/orders/{id_order}/{action}", act_on_order),
    route("POST", "/admin/returns", request_return),
    route("POST", "/admin/returns/{id_return}/receive", receive_return),
    route("POST", "/admin/faults", add_fault),
    route("DELETE", "/admin/faults", clear_faults),
    route("GET", "/admin/state", state),
    route("GET", "/admin/log", log),
)
