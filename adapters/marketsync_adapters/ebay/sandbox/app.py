"""The rehearsal eBay on the web: its APIs where eBay has them, and the hands of buyers and tests under /admin.

Every call passes: fault on request, token, rate and quota, handler, fault on request.
"""

from collections.abc import Callable
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from marketsync.adapter.api import Clock
from marketsync_adapters.ebay.sandbox import inventory_calls as inventory
from marketsync_adapters.ebay.sandbox import order_calls as orders
from marketsync_adapters.ebay.sandbox.admin import ADMIN
from marketsync_adapters.ebay.sandbox.call import Answer, Call
from marketsync_adapters.ebay.sandbox.gate import TokenRefused
from marketsync_adapters.ebay.sandbox.market import Market
from marketsync_adapters.ebay.sandbox.rules import Refused, Rules
from marketsync_adapters.sandbox.faults import FaultKind
from marketsync_adapters.sandbox.faulty import respond

INVENTORY, FULFILLMENT = "/sell/inventory/v1", "/sell/fulfillment/v1"
# Each row: the method, the path, the adapter's operation, the API whose calls are counted, and who handles it.
API: tuple[tuple[str, str, str, str, Callable[[Call], Answer]], ...] = (
    ("POST", f"{INVENTORY}/bulk_create_or_replace_inventory_item", "listing", "inventory", inventory.replace_items),
    ("POST", f"{INVENTORY}/bulk_get_inventory_item", "read_items", "inventory", inventory.get_items),
    ("GET", f"{INVENTORY}/inventory_item", "read_items", "inventory", inventory.browse_items),
    ("POST", f"{INVENTORY}/bulk_update_price_quantity", "price_stock", "inventory", inventory.update),
    ("POST", f"{INVENTORY}/bulk_create_offer", "listing", "inventory", inventory.create_offers),
    ("POST", f"{INVENTORY}/bulk_publish_offer", "listing", "inventory", inventory.publish),
    ("GET", f"{INVENTORY}/offer", "read_offers", "inventory", inventory.find_offers),
    ("POST", f"{INVENTORY}/offer/publish_by_inventory_item_group", "listing", "inventory", inventory.publish_group),
    ("POST", f"{INVENTORY}/offer/withdraw_by_inventory_item_group", "withdraw", "inventory", inventory.withdraw_group),
    ("GET", f"{INVENTORY}/offer/{{offer}}", "read_offers", "inventory", inventory.get_offer),
    ("PUT", f"{INVENTORY}/offer/{{offer}}", "listing", "inventory", inventory.put_offer),
    ("DELETE", f"{INVENTORY}/offer/{{offer}}", "withdraw", "inventory", inventory.delete_offer),
    ("POST", f"{INVENTORY}/offer/{{offer}}/withdraw", "withdraw", "inventory", inventory.withdraw),
    ("PUT", f"{INVENTORY}/inventory_item_group/{{group}}", "listing", "inventory", inventory.put_group),
    ("GET", f"{INVENTORY}/inventory_item_group/{{group}}", "read_items", "inventory", inventory.get_group),
    ("GET", f"{INVENTORY}/location/{{key}}", "read_items", "inventory", inventory.location),
    ("GET", f"{FULFILLMENT}/order", "orders", "fulfillment", orders.list_orders),
    ("GET", f"{FULFILLMENT}/order/{{order}}", "order", "fulfillment", orders.get_order),
    ("GET", f"{FULFILLMENT}/order/{{order}}/shipping_fulfillment", "shipments", "fulfillment", orders.list_shipments),
    ("POST", f"{FULFILLMENT}/order/{{order}}/shipping_fulfillment", "ship", "fulfillment", orders.ship),
    ("POST", f"{FULFILLMENT}/order/{{order}}/issue_refund", "refund", "fulfillment", orders.refund),
    ("GET", "/sell/account/v1/program/get_opted_in_programs", "account", "account", inventory.programs),
    ("GET", "/sell/account/v1/fulfillment_policy/{policy}", "account", "account", inventory.policy("fulfillment")),
    ("GET", "/sell/account/v1/payment_policy/{policy}", "account", "account", inventory.policy("payment")),
    ("GET", "/sell/account/v1/return_policy/{policy}", "account", "account", inventory.policy("return")),
    ("GET", "/developer/analytics/v1_beta/rate_limit/", "limits", "analytics", inventory.rate_limits),
    ("GET", "/developer/analytics/v1_beta/user_rate_limit/", "limits", "analytics", inventory.user_rate_limits),
    ("GET", "/commerce/notification/v1/public_key/{key}", "notification", "notification", inventory.public_key),
    ("POST", "/post-order/v2/cancellation", "cancel", "post_order", orders.cancel),
    ("POST", "/post-order/v2/cancellation/{cancel}/approve", "cancel", "post_order", orders.approve_cancel),
    ("GET", "/post-order/v2/return/search", "returns", "post_order", orders.search_returns),
    ("GET", "/post-order/v2/return/{return}", "returns", "post_order", orders.get_return),
)


async def token(request: Request) -> Response:
    market: Market = request.app.state.market
    form = dict(parse_qsl((await request.body()).decode("ascii", "replace")))
    try:
        status, document = 200, market.gate.token(request.headers.get("authorization", ""), form)
    except TokenRefused as refused:
        status, document = refused.status, dict(refused.document)
    market.requests["token", status] += 1
    return Response(orjson.dumps(document), status, media_type="application/json")


async def authorize(request: Request) -> Response:
    """The consent page: its seller always agrees."""
    market: Market = request.app.state.market
    try:
        address = market.gate.agree(dict(request.query_params))
    except Refused as refused:
        return Response(orjson.dumps(refused.document()), refused.status, media_type="application/json")
    return RedirectResponse(address)


def build_app(market: Market, *, in_process: bool = False) -> Starlette:
    """The ASGI app. ``in_process``: no socket is under it, so lost connections become ``ConnectionLost``."""

    def route(method: str, path: str, operation: str, api: str, handler: Callable[[Call], Answer]) -> Route:
        async def endpoint(request: Request) -> Response:
            body = await request.body()

            async def handle(fault: FaultKind | None) -> Response:
                return _handle(Call(market, request, body, fault), api, handler)

            reply = await respond(market.faults, operation, request, handle, clock=market.clock, in_process=in_process)
            market.requests[operation, reply.status_code] += 1
            return reply

        return Route(path, endpoint, methods=[method])

    app = Starlette(
        routes=[
            Route("/identity/v1/oauth2/token", token, methods=["POST"]),
            Route("/oauth2/authorize", authorize, methods=["GET"]),
            *(route(*row) for row in API),
            *ADMIN,
        ]
    )
    app.state.market = market
    return app


def sandbox_app(clock: Clock | None = None, rules: Rules | None = None) -> Starlette:
    """A rehearsal eBay of its own; its ``state.market`` holds everything."""
    return build_app(Market(rules, clock))


def _handle(call: Call, api: str, handler: Callable[[Call], Answer]) -> Response:
    headers: dict[str, str] = {}
    if call.fault is FaultKind.EXPIRED_TOKEN:
        call.market.gate.expire_tokens()
    try:
        call.market.gate.authenticate(call.request.headers.get("authorization", ""), api)
        call.market.gate.admit(api)
        status, document = handler(call)
        if status == 201 and isinstance(document, dict) and "Location" in document:
            headers, document = document, {}
    except Refused as refused:
        status, document = refused.status, refused.document()
        if refused.retry:
            headers = {"Retry-After": str(refused.retry)}
    content = b"" if document is None else orjson.dumps(document)
    return Response(content, status, headers, "application/json" if content else None)
