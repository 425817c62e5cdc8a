"""The hands of buyers, of the shop's staff and of tests: /admin, without credentials or limits. Bind it to loopback."""

from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.woocommerce.sandbox.rules import Refused
from marketsync_adapters.woocommerce.sandbox.shop import Shop


def sell(shop: Shop, _request: Request, asked: dict[str, Any]) -> Any:
    """``{"lines": [{"sku", "quantity"}], "paid": true, "status": "", "address": {}}``"""
    lines = [(line["sku"], line["quantity"]) for line in asked["lines"]]
    order = shop.buy(lines, paid=asked.get("paid", True), status=asked.get("status", ""), address=asked.get("address"))
    return shop.sales.shown(order)


def move(shop: Shop, request: Request, _asked: dict[str, Any]) -> Any:
    """A person of the shop gives an order another status."""
    return shop.sales.shown(shop.sales.move(int(request.path_params["order"]), request.path_params["status"]))


def add_fault(shop: Shop, _request: Request, asked: dict[str, Any]) -> Any:
    """``{"kind", "operation": "*", "times": 1, "probability": 1.0, "seconds": 60, "seed": 1}``"""
    fault = Fault(
        FaultKind(asked["kind"]),
        asked.get("operation", "*"),
        asked.get("times", 1),
        asked.get("probability", 1.0),
        asked.get("seconds", 60.0),
    )
    shop.faults.add(fault, seed=asked.get("seed"))
    return {"kind": fault.kind, "operation": fault.operation, "times": fault.times}


def clear_faults(shop: Shop, _request: Request, _asked: dict[str, Any]) -> Any:
    shop.faults.clear()
    return {"happened": dict(shop.faults.happened)}


def state(shop: Shop, _request: Request, _asked: dict[str, Any]) -> Any:
    return shop.state()


def log(shop: Shop, request: Request, _asked: dict[str, Any]) -> Any:
    """Every change of a quantity, from the one numbered ``after`` on."""
    after = int(request.query_params.get("after", "0"))
    return {"writes": [write._asdict() | {"at": write.at.isoformat()} for write in shop.catalogue.log[after:]]}


def route(method: str, path: str, handler: Callable[[Shop, Request, dict[str, Any]], Any]) -> Route:
    async def endpoint(request: Request) -> Response:
        shop: Shop = request.app.state.shop
        body = await request.body()
        try:
            document, status = handler(shop, request, orjson.loads(body) if body else {}), 200
        except Refused as refused:
            document, status = refused.document(), refused.status
        except (KeyError, TypeError, ValueError) as error:
            document, status = {"code": "bad_request", "message": f"{type(error).__name__}: {error}"}, 400
        return Response(orjson.dumps(document), status, media_type="application/json")

    return Route(path, endpoint, methods=[method])


ADMIN = (
    route("POST", "/admin/sales", sell),
    route("POST", "/admin/orders/{order:int}/{status}", move),
    route("POST", "/admin/faults", add_fault),
    route("DELETE", "/admin/faults", clear_faults),
    route("GET", "/admin/state", state),
    route("GET", "/admin/log", log),
)
