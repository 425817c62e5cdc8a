"""The sandbox marketplace on the web: its JSON API under /v1, and the hands of buyers and tests under /admin.

Every call of /v1 passes: fault on request, authentication, rate limit, handler, fault on request. README.md tells
the API call by call.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from math import ceil
from typing import Any, Literal
from urllib.parse import parse_qsl

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketsync_adapters.sandbox import webhooks
from marketsync_adapters.sandbox.admin import ADMIN
from marketsync_adapters.sandbox.faults import FaultKind
from marketsync_adapters.sandbox.faulty import respond
from marketsync_adapters.sandbox.market import Job, Market
from marketsync_adapters.sandbox.rules import Refused
from marketsync_adapters.sandbox.sales import Done

Answer = tuple[int, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API: what a handler sees of it."""

    market: Market
    request: Request
    body: bytes
    request_id: str
    fault: FaultKind | None

    @property
    def apply(self) -> bool:
        return self.fault is not FaultKind.NOT_APPLIED

    @property
    def storefront(self) -> str:
        return self.request.query_params.get("storefront", "main")

    def document(self) -> dict[str, Any]:
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise Refused(400, "bad_json", "The body is no JSON object.")
        return document

    def time(self, name: str, *, required: bool = False) -> datetime | None:
        raw = self.request.query_params.get(name)
        if raw is None and not required:
            return None
        try:
            time = datetime.fromisoformat(raw or "")
        except ValueError:
            time = None
        if time is None or time.tzinfo is None:
            raise Refused(400, "time_invalid", f"{name} is an ISO 8601 time with its offset.")
        return time

    def page(self, name: str = "page") -> str | None:
        token = self.request.query_params.get(name)
        if token is not None and not token.isdecimal():
            raise Refused(400, "page_invalid", f"{name} is not a token of this feed.")
        return token


def token(call: Call) -> Answer:
    form = dict(parse_qsl(call.body.decode("ascii", "replace")))
    if form.get("grant_type") != "client_credentials":
        raise Refused(400, "unsupported_grant_type", "The only grant is client_credentials.")
    access = call.market.gate.token(form.get("client_id", ""), form.get("client_secret", ""))
    life = int(call.market.rules.token_life.total_seconds())
    return 200, {"access_token": access, "token_type": "Bearer", "expires_in": life}


def account(call: Call) -> Answer:
    rules = call.market.rules
    return 200, {"seller": rules.seller, "storefronts": dict(rules.storefronts)}


def submit_offers(call: Call) -> Answer:
    job = call.market.submit(call.storefront, call.document().get("items", []), call.request_id, apply=call.apply)
    return 202, _job(call.market, job)


def read_job(call: Call) -> Answer:
    return 200, _job(call.market, call.market.job(call.request.path_params["job_id"]))


def set_prices(call: Call) -> Answer:
    return 207, {"items": call.market.set_prices(call.storefront, call.document().get("items", []), apply=call.apply)}


def set_stock(call: Call) -> Answer:
    items = call.document().get("items", [])
    return 207, {"items": call.market.set_stock(call.storefront, items, call.request_id, apply=call.apply)}


def withdraw(call: Call) -> Answer:
    skus = call.document().get("skus", [])
    return 207, {"items": call.market.withdraw(call.storefront, skus, call.request_id, apply=call.apply)}


def find_offers(call: Call) -> Answer:
    return 200, {"offers": call.market.find(call.storefront, call.document().get("skus", []))}


def browse_offers(call: Call) -> Answer:
    offers, following = call.market.browse(call.storefront, call.page())
    return 200, {"offers": offers, "next_page": following}


def read_orders(call: Call) -> Answer:
    page, following = call.market.sales.page(call.time("updated_from"), call.page())
    orders = [order.document() for order in page]
    if call.fault is FaultKind.DUPLICATED_PAGE:
        orders += orders
    if call.fault is FaultKind.REORDERED_PAGE:
        orders.reverse()
    return 200, {"orders": orders, "next_page": following}


def read_order_ids(call: Call) -> Answer:
    start, end = call.time("placed_from", required=True), call.time("placed_to", required=True)
    assert start is not None
    assert end is not None
    ids, following = call.market.sales.ids(start, end, call.page())
    return 200, {"order_ids": ids, "next_page": following}


def read_returns(call: Call) -> Answer:
    page, following = call.market.sales.returns_page(call.time("updated_from"), call.page())
    return 200, {"returns": [returned.document() for returned in page], "next_page": following}


def acknowledge(call: Call) -> Answer:
    reports = []
    for item in call.document().get("items", []):
        order_id, key = str(item.get("order_id", "")), str(item.get("key", ""))
        report = {"order_id": order_id, "status": 200, "errors": []}
        try:
            if call.apply:
                call.market.sales.acknowledge(order_id, key)
        except Refused as refused:
            report |= {"status": refused.status, "errors": [{"code": refused.code, "message": refused.message}]}
        reports.append(report)
    return 207, {"items": reports}


def command(kind: Literal["ship", "cancel", "refund"]) -> Callable[[Call], Answer]:
    def handle(call: Call) -> Answer:
        sales = call.market.sales
        order_id = call.request.path_params["order_id"]
        content = call.document()
        _check_lines(content)
        if not call.apply:
            sales.order(order_id)
            return 201, {"kind": kind, "order_id": order_id, "reference": "never"}
        key = call.request.headers.get("idempotency-key", "")
        return 201, _done(getattr(sales, kind)(order_id, key, content))

    return handle


def read_command(call: Call) -> Answer:
    done = call.market.sales.done(call.request.query_params.get("key", ""))
    if done is None:
        raise Refused(404, "command_not_found", "No command took effect under this key.")
    return 200, _done(done)


def _job(market: Market, job: Job) -> dict[str, Any]:
    wait = max(0, ceil((job.done_at - market.clock.now()).total_seconds()))
    state = "done" if job.done else "running"
    return {"job_id": job.job_id, "state": state, "ask_after": wait, "items": job.reports}


def _done(done: Done) -> dict[str, Any]:
    return {"kind": done.kind, "order_id": done.order_id, "reference": done.reference}


def _check_lines(content: dict[str, Any]) -> None:
    lines = content.get("lines", [])
    fit = isinstance(lines, list) and all(
        isinstance(line, dict) and isinstance(line.get("line_id"), str) and type(line.get("quantity")) is int
        for line in lines
    )
    if not fit:
        raise Refused(400, "lines_invalid", "lines is a list of objects with line_id and quantity.")


def list_webhooks(call: Call) -> Answer:
    return 200, {"webhooks": list(call.market.webhooks.subscriptions.values())}


def add_webhook(call: Call) -> Answer:
    url = call.document().get("url")
    if not isinstance(url, str) or "://" not in url:
        raise Refused(400, "url_invalid", "url is the address that notifications are sent to.")
    return 201, {"webhook": call.market.webhooks.subscribe(url)}


def turn_webhook_on(call: Call) -> Answer:
    subscription = call.market.webhooks.subscriptions.get(call.request.path_params["webhook_id"])
    if subscription is None:
        raise Refused(404, "webhook_unknown", "There is no such subscription.")
    subscription.active = True
    return 200, {"webhook": subscription}


# Each row: the method, the path, the operation and who handles it.
API: tuple[tuple[str, str, str, Callable[[Call], Answer]], ...] = (
    ("POST", "/v1/oauth/token", "token", token),
    ("GET", "/v1/account", "account", account),
    ("POST", "/v1/offers/jobs", "offers", submit_offers),
    ("GET", "/v1/offers/jobs/{job_id}", "jobs", read_job),
    ("POST", "/v1/offers/prices", "prices", set_prices),
    ("POST", "/v1/offers/stock", "stock", set_stock),
    ("POST", "/v1/offers/withdrawals", "withdraw", withdraw),
    ("POST", "/v1/offers/search", "read_offers", find_offers),
    ("GET", "/v1/offers", "read_offers", browse_offers),
    ("GET", "/v1/orders", "orders", read_orders),
    ("GET", "/v1/orders/ids", "order_ids", read_order_ids),
    ("POST", "/v1/orders/acknowledgements", "acknowledge", acknowledge),
    ("POST", "/v1/orders/{order_id}/shipments", "ship", command("ship")),
    ("POST", "/v1/orders/{order_id}/cancellations", "cancel", command("cancel")),
    ("POST", "/v1/orders/{order_id}/refunds", "refund", command("refund")),
    ("GET", "/v1/commands", "commands", read_command),
    ("GET", "/v1/returns", "returns", read_returns),
    ("GET", "/v1/webhooks", "read_webhooks", list_webhooks),
    ("POST", "/v1/webhooks", "webhooks", add_webhook),
    ("POST", "/v1/webhooks/{webhook_id}/activate", "webhooks", turn_webhook_on),
)


def build_app(market: Market, *, in_process: bool = False, post: webhooks.Post = webhooks.post) -> Starlette:
    """The ASGI app. ``in_process``: no socket is under it, so lost connections become ``ConnectionLost``."""
    numbers = count(1)

    def route(method: str, path: str, operation: str, handler: Callable[[Call], Answer]) -> Route:
        async def endpoint(request: Request) -> Response:
            body, request_id = await request.body(), f"req-{next(numbers)}"

            async def handle(fault: FaultKind | None) -> Response:
                return _handle(Call(market, request, body, request_id, fault), operation, handler)

            reply = await respond(market.faults, operation, request, handle, clock=market.clock, in_process=in_process)
            reply.headers["X-Request-Id"] = request_id
            market.requests[operation, reply.status_code] += 1
            return reply

        return Route(path, endpoint, methods=[method])

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        deliveries = asyncio.create_task(market.webhooks.run(post))
        yield
        deliveries.cancel()
        with suppress(asyncio.CancelledError):
            await deliveries

    api = [route(*row) for row in API]
    app = Starlette(routes=[*api, *ADMIN], lifespan=lifespan)
    app.state.market = market
    return app


def rehearsal(url: str) -> str:
    """The channel to write into a configuration for a marketplace of this kind that runs at ``url``: YAML."""
    return f"  sandbox:\n    adapter: sandbox\n    credentials: {{api_key: sandbox-key}}\n    settings: {{base_url: '{url}'}}\n"


def sandbox_app() -> Starlette:
    """A marketplace of its own, for `marketsync sandbox`."""
    return build_app(Market())


async def serve(market: Market, host: str = "127.0.0.1", port: int = 8800) -> None:
    """Serve the market until SIGINT or SIGTERM."""
    await server(market, host, port).serve()


def server(market: Market, host: str, port: int) -> uvicorn.Server:
    # Broken-off replies are made on purpose; uvicorn would log each as an error of the app.
    return uvicorn.Server(
        uvicorn.Config(build_app(market), host=host, port=port, log_level="critical", access_log=False)
    )


def _handle(call: Call, operation: str, handler: Callable[[Call], Answer]) -> Response:
    if call.fault is FaultKind.EXPIRED_TOKEN:
        call.market.gate.expire_tokens()
    try:
        if operation != "token":
            headers = call.request.headers
            call.market.gate.authenticate(headers.get("x-api-key", ""), headers.get("authorization", ""))
            call.market.gate.admit(operation)
        status, document = handler(call)
        extra: dict[str, str] = {}
    except Refused as refused:
        status, document = refused.status, {"error": {"code": refused.code, "message": refused.message}}
        extra = refused.headers
    limit = call.market.rules.limits.get(operation)
    if limit is not None:
        extra["X-RateLimit-Limit"] = f"{limit.per_second:g}"
    return Response(orjson.dumps(document), status, extra, "application/json")
