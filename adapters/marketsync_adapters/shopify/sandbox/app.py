"""The shop on the web: one GraphQL endpoint, the token endpoint, and /admin for buyers and tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketsync_adapters.sandbox.faults import FaultKind
from marketsync_adapters.sandbox.faulty import respond
from marketsync_adapters.shopify.sandbox import setting, webhooks
from marketsync_adapters.shopify.sandbox.admin import ADMIN
from marketsync_adapters.shopify.sandbox.graphql import (
    BadDocument,
    Document,
    Selected,
    actual_cost,
    bind,
    cut,
    read,
    requested_cost,
)
from marketsync_adapters.shopify.sandbox.mutations import IDEMPOTENT, MUTATIONS, SILENT, TooMany
from marketsync_adapters.shopify.sandbox.queries import QUERIES
from marketsync_adapters.shopify.sandbox.rules import DEAREST
from marketsync_adapters.shopify.sandbox.shop import Shop

# What a fault is asked for by: the first field of the request -> the operation that an adapter would call it.
OPERATIONS = {
    "productSet": "product",
    "productVariantsBulkUpdate": "price",
    "inventorySetQuantities": "stock",
    "productUpdate": "withdraw",
    "publishableUnpublish": "withdraw",
    "productVariantsBulkDelete": "withdraw",
    "metafieldsSet": "dress",
    "publishablePublish": "dress",
    "fulfillmentCreate": "ship",
    "orderCancel": "cancel",
    "refundCreate": "refund",
    "productOperation": "confirm",
    "webhookSubscriptionCreate": "subscribe",
    "webhookSubscriptions": "webhooks",
    "shop": "account",
    "orders": "orders",
    "order": "order",
    "productVariants": "read_offers",
    "nodes": "nodes",
    "node": "nodes",
}

UNAUTHORISED = {"errors": "[API] Invalid API key or access token (unrecognized login or wrong password)"}


def build_app(shop: Shop, *, in_process: bool = False, post: webhooks.Post = webhooks.post) -> Starlette:
    """The ASGI app. ``in_process``: no socket is under it, so lost connections become ``ConnectionLost``."""

    async def graphql(request: Request) -> Response:
        body = await request.body()
        if request.path_params["version"] not in shop.rules.versions:
            return _json({"errors": "Not Found"}, 404)
        try:
            asked = orjson.loads(body)
            document = read(asked["query"])
        except (orjson.JSONDecodeError, KeyError, TypeError, BadDocument) as error:
            return _json(_failed(f"Parse error: {error}", "BAD_REQUEST"))
        operation = OPERATIONS.get(document.fields[0].name, document.fields[0].name)

        async def handle(fault: FaultKind | None) -> Response:
            return _handle(shop, request, document, asked.get("variables") or {}, fault)

        reply = await respond(shop.faults, operation, request, handle, clock=shop.clock, in_process=in_process)
        shop.requests[operation, reply.status_code] += 1
        return reply

    async def token(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("ascii", "replace")))
        access = None
        if form.get("grant_type") == "client_credentials":
            access = shop.gate.token(form.get("client_id", ""), form.get("client_secret", ""))
        shop.requests["token", 200 if access else 401] += 1
        if access is None:
            return _json({"error": "invalid_client", "error_description": "client credentials are invalid"}, 401)
        life = int(shop.rules.token_life.total_seconds()) - 1
        return _json({"access_token": access, "scope": ",".join(shop.rules.scopes), "expires_in": life})

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        deliveries = asyncio.create_task(shop.webhooks.run(post))
        yield
        deliveries.cancel()
        with suppress(asyncio.CancelledError):
            await deliveries

    routes = [
        Route("/admin/api/{version}/graphql.json", graphql, methods=["POST"]),
        Route("/admin/oauth/access_token", token, methods=["POST"]),
        *ADMIN,
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.shop = shop
    return app


async def serve(shop: Shop, host: str = "127.0.0.1", port: int = 8801) -> None:
    """Serve the shop until SIGINT or SIGTERM."""
    await server(shop, host, port).serve()


def server(shop: Shop, host: str, port: int) -> uvicorn.Server:
    # Broken-off replies are made on purpose; uvicorn would log each as an error of the app.
    return uvicorn.Server(uvicorn.Config(build_app(shop), host=host, port=port, log_level="critical", access_log=False))


def _handle(
    shop: Shop, request: Request, document: Document, variables: dict[str, Any], fault: FaultKind | None
) -> Response:
    if fault is FaultKind.EXPIRED_TOKEN:
        shop.gate.expire_tokens()
    if not shop.gate.knows(request.headers.get("x-shopify-access-token", "")):
        return _json(UNAUTHORISED, 401)
    requested = requested_cost(document, variables)
    if requested > DEAREST:
        return _json(
            _failed(f"Query cost is {requested}, which exceeds the single query max cost limit", "MAX_COST_EXCEEDED")
        )
    if not shop.points.take(requested):
        throttled = _failed("Throttled", "THROTTLED")
        return _json(throttled | {"extensions": {"cost": shop.points.document(requested, None)}})
    setting.settle(shop)
    try:
        data = _run(shop, document, variables, fault)
    except (BadDocument, TooMany) as error:
        return _json(_failed(str(error), "BAD_REQUEST"))
    actual = min(requested, actual_cost(document, data))
    shop.points.give_back(requested - actual)
    return _json({"data": data, "extensions": {"cost": shop.points.document(requested, actual)}})


def _run(shop: Shop, document: Document, variables: dict[str, Any], fault: FaultKind | None) -> dict[str, Any]:
    data = {}
    for field in document.fields:
        arguments = bind(dict(field.arguments), variables)
        if document.kind == "query":
            value = QUERIES[field.name](shop, arguments)
        else:
            value = _once(shop, field, arguments, variables, apply=fault is not FaultKind.NOT_APPLIED)
        data[field.key] = cut(value, field.fields, variables)
    for name in data if fault in {FaultKind.DUPLICATED_PAGE, FaultKind.REORDERED_PAGE} else ():
        entries = data[name]["nodes"]
        data[name]["nodes"] = entries[::-1] if fault is FaultKind.REORDERED_PAGE else entries * 2
    return data


def _once(shop: Shop, field: Selected, arguments: Any, variables: dict[str, Any], *, apply: bool) -> Any:
    """A mutation takes effect once per idempotency key."""

    def run() -> Any:
        if field.name in SILENT:
            return SILENT[field.name](shop, arguments, apply=apply)
        mutation: Callable[[Shop, Any], Any] = MUTATIONS[field.name]
        return mutation(shop, arguments)

    if field.name not in IDEMPOTENT:
        return run()
    key = bind(dict(field.directives.get("idempotent", {})), variables).get("key")
    if not key:
        raise TooMany("The @idempotent directive is required for this mutation but was not provided.")
    parameters = repr(arguments)
    if key in shop.keys:
        earlier, payload = shop.keys[key]
        if earlier == parameters:
            return payload
        mismatch = {"field": None, "message": "The same key with other parameters.", "code": None}
        return {"refund": None, "userErrors": [mismatch | {"code": "IDEMPOTENCY_KEY_PARAMETER_MISMATCH"}]}
    payload = run()
    if not payload["userErrors"]:
        shop.keys[key] = (parameters, payload)
    return payload


def _failed(message: str, code: str) -> dict[str, Any]:
    return {"errors": [{"message": message, "extensions": {"code": code}}]}


def _json(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")
