"""The hands of buyers, of the shop's staff and of tests: /admin, without credentials, limits or faults."""

from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.shopify.sandbox.shop import Refused, Shop


def sell(shop: Shop, _request: Request, asked: dict[str, Any]) -> Any:
    lines = asked.get("lines") or [{"sku": asked.get("sku"), "quantity": asked.get("quantity", 1)}]
    pairs = [(line["sku"], line["quantity"]) for line in lines]
    return shop.sales.buy(pairs, paid=asked.get("paid", True), test=asked.get("test", False)).plain()


def act_on_order(shop: Shop, request: Request, _asked: dict[str, Any]) -> Any:
    actions = {"pay": shop.sales.pay, "cancel": shop.sales.cancel}
    action = request.path_params["action"]
    if action not in actions:
        raise Refused(f"an order can be: {', '.join(actions)}")
    actions[action](request.path_params["order_id"])
    return shop.sales.order(request.path_params["order_id"]).plain()


def request_return(shop: Shop, _request: Request, asked: dict[str, Any]) -> Any:
    made = shop.sales.request_return(asked["order_id"], asked["line_id"], asked["quantity"], asked.get("reason", ""))
    return {"return_id": str(made.entry)}


def receive_return(shop: Shop, request: Request, asked: dict[str, Any]) -> Any:
    shop.sales.receive_return(request.path_params["return_id"], sellable=asked["sellable"])
    return {"return_id": request.path_params["return_id"]}


def add_fault(shop: Shop, _request: Request, asked: dict[str, Any]) -> Any:
    try:
        kind = FaultKind(asked["kind"])
    except ValueError:
        raise Refused(f"a fault is one of: {', '.join(FaultKind)}") from None
    operation, times = asked.get("operation", "*"), asked.get("times", 1)
    fault = Fault(kind, operation, times, asked.get("probability", 1.0), asked.get("seconds", 60.0))
    shop.faults.add(fault, seed=asked.get("seed"))
    return {"kind": kind, "operation": operation, "times": times}


def clear_faults(shop: Shop, _request: Request, _asked: dict[str, Any]) -> Any:
    shop.faults.clear()
    return {"happened": dict(shop.faults.happened)}


def state(shop: Shop, _request: Request, _asked: dict[str, Any]) -> Any:
    return shop.state()


def log(shop: Shop, _request: Request, _asked: dict[str, Any]) -> Any:
    return {"writes": [write._asdict() | {"at": write.at.isoformat()} for write in shop.log]}


def route(method: str, path: str, handler: Callable[[Shop, Request, dict[str, Any]], Any]) -> Route:
    async def endpoint(request: Request) -> Response:
        shop: Shop = request.app.state.shop
        body = await request.body()
        try:
            document, status = handler(shop, request, orjson.loads(body) if body else {}), 200
        except Refused as refused:
            document, status = {"error": str(refused)}, 422
        except (KeyError, TypeError, ValueError) as error:
            document, status = {"error": f"the request does not fit: {type(error).__name__}: {error}"}, 400
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
