"""The shop on the web: WordPress's REST API under /wp-json/wc/v3, and the hands of buyers and tests under /admin.

Every call passes: fault on request, the host's limit, authentication, handler, fault on request.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, TypeVar

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketsync.adapter.api import Clock
from marketsync_adapters.sandbox.faults import FaultKind
from marketsync_adapters.sandbox.faulty import respond
from marketsync_adapters.woocommerce.sandbox.admin import ADMIN
from marketsync_adapters.woocommerce.sandbox.catalogue import each
from marketsync_adapters.woocommerce.sandbox.rules import Refused, Rules
from marketsync_adapters.woocommerce.sandbox.shop import Shop
from marketsync_adapters.woocommerce.sandbox.text import compared, gmt, local

T = TypeVar("T")

API = "/wp-json/wc/v3"
PAGE = "<!doctype html><html><head><title>Page not found</title></head><body>My shop</body></html>"

Answer = tuple[int, Any, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API: what a handler sees of it."""

    shop: Shop
    request: Request
    body: bytes
    fault: FaultKind | None

    @property
    def apply(self) -> bool:
        return self.fault is not FaultKind.NOT_APPLIED

    @property
    def dp(self) -> int:
        return int(self.param("dp") or 2)

    def number(self, name: str) -> int:
        return int(self.request.path_params[name])

    def param(self, name: str) -> str:
        return self.request.query_params.get(name, "")

    def numbers(self, name: str) -> list[int]:
        return [int(one) for one in self.param(name).split(",") if one]

    def document(self) -> dict[str, Any]:
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise Refused(400, "rest_invalid_json", "Invalid JSON body passed.")
        return document


def ok(document: Any, status: int = 200) -> Answer:
    return status, document, {}


def paged(call: Call, rows: Sequence[T], show: Callable[[T], dict[str, Any]]) -> Answer:
    """A page of a list, with WordPress's headers, cut to the fields that were asked for."""
    page, size = int(call.param("page") or 1), int(call.param("per_page") or 10)
    if not 1 <= size <= 100:
        message = "Invalid parameter(s): per_page"
        raise Refused(400, "rest_invalid_param", message, params={"per_page": "must be between 1 and 100"})
    fields = {name for name in call.param("_fields").split(",") if name}
    documents = [show(row) for row in rows[(page - 1) * size : page * size]]
    if fields:
        documents = [{name: value for name, value in one.items() if name in fields} for one in documents]
    return 200, documents, {"X-WP-Total": str(len(rows)), "X-WP-TotalPages": str(ceil(len(rows) / size))}


def list_products(call: Call) -> Answer:
    catalogue = call.shop.catalogue
    sku = call.param("sku")
    rows = catalogue.search({*sku.split(","), sku}) if sku else list(catalogue.products.values())
    include = call.numbers("include")
    chosen = [row for row in rows if not include or row["id"] in include]
    return paged(call, sorted(chosen, key=lambda row: row["id"]), catalogue.shown)


def batch_products(call: Call) -> Answer:
    catalogue = call.shop.catalogue
    return _batch(
        call,
        lambda one: catalogue.shown(catalogue.create(one, apply=call.apply)),
        lambda one: catalogue.shown(catalogue.update(one, apply=call.apply)),
        lambda one: catalogue.shown(catalogue.delete(one, apply=call.apply)),
    )


def list_variations(call: Call) -> Answer:
    catalogue, include = call.shop.catalogue, call.numbers("include")
    rows = [row for row in catalogue.children(call.number("product")) if not include or row["id"] in include]
    return paged(call, rows, lambda row: catalogue.shown(row, as_variation=True))


def batch_variations(call: Call) -> Answer:
    catalogue, parent = call.shop.catalogue, call.number("product")

    def shown(row: dict[str, Any]) -> dict[str, Any]:
        return catalogue.shown(row, as_variation=True)

    return _batch(
        call,
        lambda one: shown(catalogue.create(one, parent, apply=call.apply)),
        lambda one: shown(catalogue.update(one, parent, apply=call.apply)),
        lambda one: shown(catalogue.delete(one, parent, apply=call.apply)),
    )


def list_categories(call: Call) -> Answer:
    return paged(
        call, call.shop.catalogue.categories, lambda row: row | {"name": str(row["name"]).replace("&", "&amp;")}
    )


def add_category(call: Call) -> Answer:
    return ok(call.shop.catalogue.add_category(call.document()), 201)


def list_attributes(call: Call) -> Answer:
    return ok(call.shop.catalogue.attributes)


def list_orders(call: Call) -> Answer:
    sales = call.shop.sales
    rows = [order for order in sales.orders.values() if _in_window(call, order)]
    rows = [order for order in rows if order["id"] not in call.numbers("exclude")]
    key = "$modified" if call.param("orderby") == "modified" else "id"
    rows.sort(key=lambda order: (gmt(order[key]) if key == "$modified" else "", order["id"]))
    if call.param("order") != "asc":
        rows.reverse()
    status, documents, headers = paged(call, rows, lambda order: sales.shown(order, call.dp))
    if call.fault is FaultKind.DUPLICATED_PAGE:
        documents += documents
    if call.fault is FaultKind.REORDERED_PAGE:
        documents.reverse()
    return status, documents, headers


def read_order(call: Call) -> Answer:
    return ok(call.shop.sales.shown(call.shop.sales.order(call.number("order")), call.dp))


def update_order(call: Call) -> Answer:
    sales = call.shop.sales
    return ok(sales.shown(sales.update(call.number("order"), call.document(), apply=call.apply)))


def list_refunds(call: Call) -> Answer:
    sales, number = call.shop.sales, call.number("order")
    sales.order(number)
    return paged(call, sales.refunds[number], lambda one: sales.shown_refund(one, call.dp))


def add_refund(call: Call) -> Answer:
    sales = call.shop.sales
    return ok(sales.shown_refund(sales.refund(call.number("order"), call.document(), apply=call.apply)), 201)


def list_notes(call: Call) -> Answer:
    sales, number = call.shop.sales, call.number("order")
    sales.order(number)
    return ok([sales.shown_note(note) for note in reversed(sales.notes[number])])


def add_note(call: Call) -> Answer:
    sales = call.shop.sales
    return ok(sales.shown_note(sales.note(call.number("order"), call.document(), apply=call.apply)), 201)


def read_settings(call: Call) -> Answer:
    return ok(call.shop.settings(call.request.path_params["group"]))


def list_webhooks(call: Call) -> Answer:
    if not call.shop.rules.shop_manager:
        raise Refused(401, "woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")
    return paged(call, list(call.shop.hooks.hooks.values()), call.shop.hooks.shown)


def add_webhook(call: Call) -> Answer:
    return ok(call.shop.hooks.shown(call.shop.hooks.add(call.document())), 201)


def update_webhook(call: Call) -> Answer:
    return ok(call.shop.hooks.shown(call.shop.hooks.update(call.number("webhook"), call.document())))


# Each row: the method, the path, the operation and who handles it.
ROUTES: tuple[tuple[str, str, str, Callable[[Call], Answer]], ...] = (
    ("GET", "/products", "list_products", list_products),
    ("POST", "/products/batch", "batch_products", batch_products),
    ("GET", "/products/{product:int}/variations", "list_variations", list_variations),
    ("POST", "/products/{product:int}/variations/batch", "batch_variations", batch_variations),
    ("GET", "/products/categories", "list_categories", list_categories),
    ("POST", "/products/categories", "add_category", add_category),
    ("GET", "/products/attributes", "list_attributes", list_attributes),
    ("GET", "/orders", "list_orders", list_orders),
    ("GET", "/orders/{order:int}", "read_order", read_order),
    ("PUT", "/orders/{order:int}", "update_order", update_order),
    ("GET", "/orders/{order:int}/refunds", "list_refunds", list_refunds),
    ("POST", "/orders/{order:int}/refunds", "add_refund", add_refund),
    ("GET", "/orders/{order:int}/notes", "list_notes", list_notes),
    ("POST", "/orders/{order:int}/notes", "add_note", add_note),
    ("GET", "/settings/{group}", "read_settings", read_settings),
    ("GET", "/webhooks", "list_webhooks", list_webhooks),
    ("POST", "/webhooks", "add_webhook", add_webhook),
    ("PUT", "/webhooks/{webhook:int}", "update_webhook", update_webhook),
)


def sandbox_app(clock: Clock | None = None, rules: Rules | None = None) -> Starlette:
    """A shop of its own, ready to be served."""
    return build_app(Shop(rules, clock))


def build_app(shop: Shop, *, in_process: bool = False) -> Starlette:
    """The ASGI app. ``in_process``: no socket is under it, so lost connections become ``ConnectionLost``."""

    def route(method: str, path: str, operation: str, handler: Callable[[Call], Answer]) -> Route:
        async def endpoint(request: Request) -> Response:
            body = await request.body()

            async def handle(fault: FaultKind | None) -> Response:
                return _handle(Call(shop, request, body, fault), handler)

            reply = await respond(shop.faults, operation, request, handle, clock=shop.clock, in_process=in_process)
            shop.requests[operation, reply.status_code] += 1
            return reply

        return Route(API + path, endpoint, methods=[method])

    async def nothing(_request: Request) -> Response:
        document = Refused(404, "rest_no_route", "No route was found matching the URL and request method.").document()
        return Response(orjson.dumps(document), 404, media_type="application/json")

    routes = [*(route(*row) for row in ROUTES), *ADMIN]
    if shop.rules.plain_permalinks:
        routes = list(ADMIN)
    else:
        routes.append(Route("/wp-json/{rest:path}", nothing))

    async def page(_request: Request, _error: Exception) -> Response:
        return Response(PAGE, 404, media_type="text/html")

    app = Starlette(routes=routes, exception_handlers={404: page})
    app.state.shop = shop
    return app


def _handle(call: Call, handler: Callable[[Call], Answer]) -> Response:
    shop, request = call.shop, call.request
    if not shop.limiter.admits(shop.clock.monotonic()):
        return Response("<html><body>429 Too Many Requests</body></html>", 429, media_type="text/html")
    try:
        shop.authenticate(request.headers.get("authorization", ""), write=request.method != "GET")
        status, document, headers = handler(call)
    except Refused as refused:
        status, document, headers = refused.status, refused.document(), {}
    return Response(orjson.dumps(document), status, headers, "application/json; charset=UTF-8")


def _batch(
    call: Call,
    create: Callable[[Any], dict[str, Any]],
    update: Callable[[Any], dict[str, Any]],
    delete: Callable[[Any], dict[str, Any]],
) -> Answer:
    sent = call.document()
    verbs: Iterable[tuple[str, Callable[[Any], dict[str, Any]]]] = (
        ("create", create),
        ("update", update),
        ("delete", delete),
    )
    if sum(len(sent.get(verb) or ()) for verb, _ in verbs) > call.shop.rules.batch:
        message = f"Unable to accept more than {call.shop.rules.batch} items for this request."
        raise Refused(413, "woocommerce_rest_request_entity_too_large", message)
    return ok({verb: each(sent[verb], write) for verb, write in verbs if sent.get(verb)} or [])


def _in_window(call: Call, order: dict[str, Any]) -> bool:
    zone, use_gmt = call.shop.rules.time_zone, call.param("dates_are_gmt") == "true"
    for name, key in (("modified_after", "$modified"), ("after", "$created"), ("before", "$created")):
        if value := call.param(name):
            bound = compared(value, zone).isoformat()
            time = gmt(order[key]) if use_gmt else local(order[key], zone)
            assert time is not None
            if not (time < bound if name == "before" else time > bound):
                return False
    return True
