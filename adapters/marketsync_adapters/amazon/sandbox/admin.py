"""The hands of buyers, of Amazon's staff and of tests: /admin, without tokens, limits or faults."""

from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketsync_adapters.amazon.sandbox.account import Account
from marketsync_adapters.amazon.sandbox.rules import Refused
from marketsync_adapters.sandbox.faults import Fault, FaultKind


def sell(account: Account, _request: Request, asked: dict[str, Any]) -> Any:
    lines = [(line["sku"], line.get("quantity", 1)) for line in asked["lines"]]
    order = account.sales.buy(lines, paid=asked.get("paid", True), marketplace=asked.get("marketplace", ""))
    return {"order_id": order.order_id, "status": order.status}


def act_on_order(account: Account, request: Request, _asked: dict[str, Any]) -> Any:
    actions = {"pay": account.sales.pay, "cancel": account.sales.cancel}
    action = request.path_params["action"]
    if action not in actions:
        raise Refused(404, "NotFound", f"An order can be: {', '.join(actions)}.")
    return {"status": actions[action](request.path_params["order_id"]).status}


def make_fba(account: Account, request: Request, asked: dict[str, Any]) -> Any:
    account.items.stock_by_amazon(request.path_params["sku"], asked["quantity"])
    return {}


def end_feeds(account: Account, _request: Request, asked: dict[str, Any]) -> Any:
    if asked["state"] not in {"DONE", "FATAL", "CANCELLED"}:
        raise Refused(400, "InvalidInput", "A feed ends DONE, FATAL or CANCELLED.")
    account.jobs.ends = asked["state"]
    return {"state": account.jobs.ends}


def add_fault(account: Account, _request: Request, asked: dict[str, Any]) -> Any:
    how = {name: asked[name] for name in ("times", "probability", "seconds") if name in asked}
    fault = Fault(FaultKind(asked["kind"]), asked.get("operation", "*"), **how)
    account.faults.add(fault, seed=asked.get("seed"))
    return {"kind": fault.kind, "operation": fault.operation, "times": fault.times}


def clear_faults(account: Account, _request: Request, _asked: dict[str, Any]) -> Any:
    account.faults.clear()
    return {"happened": dict(account.faults.happened)}


def state(account: Account, _request: Request, _asked: dict[str, Any]) -> Any:
    account.items.settle()
    offers = [
        {
            "sku": item.sku,
            "asin": item.asin,
            "quantity": item.quantity,
            "channel": item.channel,
            "prices": {
                one: str(price) for one in sorted(item.marketplaces) if (price := item.price(one, account.clock.now()))
            },
        }
        for item in account.items
    ]
    orders = [
        {
            "order_id": order.order_id,
            "status": order.status,
            "lines": [{"sku": line.sku, "quantity": line.quantity, "shipped": line.shipped} for line in order.lines],
        }
        for order in account.sales.orders.values()
    ]
    requests = {f"{operation} {status}": number for (operation, status), number in sorted(account.requests.items())}
    return {"offers": offers, "orders": orders, "requests": requests}


def route(method: str, path: str, handler: Callable[[Account, Request, dict[str, Any]], Any]) -> Route:
    async def endpoint(request: Request) -> Response:
        account: Account = request.app.state.account
        body = await request.body()
        try:
            document, status = handler(account, request, orjson.loads(body) if body else {}), 200
        except Refused as refused:
            document, status = {"errors": [{"code": refused.code, "message": refused.message}]}, refused.status
        except (KeyError, TypeError, ValueError) as error:
            message = f"The request does not fit: {type(error).__name__}: {error}"
            document, status = {"errors": [{"code": "InvalidInput", "message": message}]}, 400
        return Response(orjson.dumps(document), status, media_type="application/json")

    return Route(path, endpoint, methods=[method])


ADMIN = (
    route("POST", "/admin/sales", sell),
    route("POST", "/admin/orders/{order_id}/{action}", act_on_order),
    route("POST", "/admin/fba/{sku:path}", make_fba),
    route("POST", "/admin/feeds", end_feeds),
    route("POST", "/admin/faults", add_fault),
    route("DELETE", "/admin/faults", clear_faults),
    route("GET", "/admin/state", state),
)
