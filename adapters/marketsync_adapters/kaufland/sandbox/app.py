"""The rehearsal Kaufland on the web: its API under /v2, and the hands of buyers and tests under /admin.

Every call of /v2 passes: fault on request, signature, rate limit, handler, fault on request.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketsync.adapter.api import Clock
from marketsync_adapters.kaufland.sandbox.admin import ADMIN
from marketsync_adapters.kaufland.sandbox.market import Market
from marketsync_adapters.kaufland.sandbox.rules import BULK, Refused, Rules
from marketsync_adapters.sandbox.faults import FaultKind
from marketsync_adapters.sandbox.faulty import respond

Answer = tuple[int, Any]
LOCALES = frozenset({"de-DE", "cs-CZ", "sk-SK", "de-AT", "pl-PL", "fr-FR", "it-IT"})


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API: what a handler sees of it."""

    market: Market
    request: Request
    body: bytes
    fault: FaultKind | None

    @property
    def apply(self) -> bool:
        return self.fault is not FaultKind.NOT_APPLIED

    @property
    def storefront(self) -> str:
        return self.market.storefront(self.request.query_params.get("storefront"))

    @property
    def locale(self) -> str:
        locale = self.request.query_params.get("locale", "")
        if locale not in LOCALES:
            raise Refused(400, "validation-error", "Validation failed", locale="is no locale")
        return locale

    def number(self, name: str) -> int:
        text = str(self.request.path_params[name])
        if not text.isdecimal():
            raise Refused(400, "validation-error", "Validation failed", **{name: "must be an integer"})
        return int(text)

    def document(self, kind: type) -> Any:
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, kind):
            raise Refused(400, "bad-request", "The body is not what this endpoint takes")
        return document

    def after(self, name: str) -> datetime | None:
        text = self.request.query_params.get(name)
        try:
            return datetime.fromisoformat(text) if text else None
        except ValueError:
            raise Refused(400, "validation-error", "Validation failed", **{name: "is no date"}) from None

    def page(self, entries: Sequence[Any], write: Callable[[Any], Any]) -> Answer:
        """A page of a list, in Kaufland's envelope."""
        query = self.request.query_params
        limit, offset = int(query.get("limit", "30")), int(query.get("offset", "0"))
        if limit > 100:
            raise Refused(400, "validation-error", "Validation failed", limit="must be at most 100")
        data = [write(entry) for entry in entries[offset : offset + limit]]
        if self.fault is FaultKind.DUPLICATED_PAGE:
            data += data
        if self.fault is FaultKind.REORDERED_PAGE:
            data.reverse()
        return 200, {"data": data, "pagination": {"offset": offset, "limit": limit, "total": len(entries)}}


def storefronts(call: Call) -> Answer:
    return 200, {"data": list(call.market.rules.storefronts)}


def carriers(_call: Call) -> Answer:
    names = ("DHL", "DPD", "GLS", "Hermes", "UPS", "Österreichische Post", "Other", "Other Hauler")
    return 200, {"data": {"carriers": [{"name": name, "isHauler": "Hauler" in name} for name in names]}}


def list_units(call: Call) -> Answer:
    embedded = "products" in call.request.query_params.get("embedded", "")
    units = call.market.shelf.listed(call.storefront, call.request.query_params.get("id_offer"))
    return call.page(units, lambda unit: unit.document(embedded=embedded))


def create_unit(call: Call) -> Answer:
    unit = call.market.shelf.create(call.storefront, call.document(dict), apply=call.apply)
    return 200, {"data": unit.document()}


def patch_unit(call: Call) -> Answer:
    unit_id, body = call.number("id_unit"), call.document(dict)
    return 200, {"data": call.market.shelf.patch(call.storefront, unit_id, body, apply=call.apply).document()}


def delete_unit(call: Call) -> Answer:
    call.market.shelf.delete(call.storefront, call.number("id_unit"), apply=call.apply)
    return 204, None


def bulk(call: Call) -> Answer:
    """At most 150 units, none twice: else the whole request fails; what is wrong with one unit is told of it alone."""
    storefront, items = call.storefront, call.document(list)
    if len(items) > BULK:
        raise Refused(400, "units/bulk-too-many-units", f"At most {BULK} units are allowed")
    if len({item["id_unit"] for item in items}) < len(items):
        raise Refused(400, "units/bulk-duplicate-units", "The request contains duplicate units")
    reports = []
    for item in items:
        try:
            unit = call.market.shelf.patch(storefront, item["id_unit"], item["unit_data"], apply=call.apply)
            report = {"id_unit": item["id_unit"], "status_code": 200, "unit": unit.document()}
        except Refused as refused:
            report = {"id_unit": item["id_unit"], "status_code": refused.status, "message": refused.message,
                      "errors": refused.errors}  # fmt: skip
        reports.append(report)
    return 207, {"data": reports}


def put_product(call: Call) -> Answer:
    call.market.shelf.put_product(call.locale, call.document(dict), apply=call.apply)
    return 200, {"data": {}}


def get_product(call: Call) -> Answer:
    return 200, {"data": call.market.shelf.product(call.request.path_params["ean"], call.locale)}


def product_status(call: Call) -> Answer:
    return 200, {"data": call.market.shelf.product_status(call.request.path_params["ean"], call.locale)}


def list_orders(call: Call) -> Answer:
    sales = call.market.sales
    return call.page(sales.placed_orders(call.storefront, call.after("ts_created_from_iso")), sales.order_summary)


def get_order(call: Call) -> Answer:
    return 200, {"data": call.market.sales.order(call.request.path_params["id_order"]).document(call.market.rules)}


def list_order_units(call: Call) -> Answer:
    pieces = call.market.sales.changed_pieces(call.storefront, call.after("ts_updated_from_iso"))
    return call.page(pieces, lambda piece: piece.whole(call.market.rules))


def get_order_unit(call: Call) -> Answer:
    return 200, {"data": call.market.sales.piece(call.number("id_order_unit")).whole(call.market.rules)}


def act(action: str) -> Callable[[Call], Answer]:
    def handle(call: Call) -> Answer:
        body = call.document(dict) if call.body else {}
        call.market.sales.act(call.number("id_order_unit"), action, body, apply=call.apply)
        return 204, None

    return handle


def add_shipment(call: Call) -> Answer:
    body = call.document(dict)
    parcel = body["shipment_information"]
    sales = call.market.sales
    sales.add_shipment(body["id_order_unit"], parcel["carrier_code"], parcel["tracking_number"], apply=call.apply)
    return 204, None


def list_returns(call: Call) -> Answer:
    found = call.market.sales.changed_returns(call.storefront, call.after("ts_updated_from_iso"))
    return call.page(found, lambda one: one.document())


def get_return(call: Call) -> Answer:
    returned = call.market.sales.returned(call.number("id_return"))
    return 200, {"data": returned.document() | {"return_units": [returned.unit()]}}


def list_subscriptions(call: Call) -> Answer:
    return call.page(list(call.market.subscriptions.values()), lambda one: one)


def subscribe(call: Call) -> Answer:
    return 201, {"data": call.market.subscribe(call.storefront, call.document(dict))}


def change_subscription(call: Call) -> Answer:
    subscription = call.market.subscriptions.get(call.number("id_subscription"))
    if subscription is None:
        raise Refused(404, "not-found", "Subscription not found")
    subscription |= call.document(dict)
    return 200, {"data": subscription}


# Each row: the method, the path, the adapter's operation and who handles it.
API: tuple[tuple[str, str, str, Callable[[Call], Answer]], ...] = (
    ("GET", "/info/storefront", "account", storefronts),
    ("GET", "/carriers", "carriers", carriers),
    ("GET", "/units", "read_offers", list_units),
    ("POST", "/units", "create", create_unit),
    ("POST", "/units/bulk", "bulk", bulk),
    ("PATCH", "/units/{id_unit}", "listing", patch_unit),
    ("DELETE", "/units/{id_unit}", "withdraw", delete_unit),
    ("PUT", "/product-data", "listing", put_product),
    ("GET", "/product-data/status/{ean}", "confirm", product_status),
    ("GET", "/product-data/{ean}", "read_offers", get_product),
    ("GET", "/orders", "order_ids", list_orders),
    ("GET", "/orders/{id_order}", "order", get_order),
    ("GET", "/order-units", "orders", list_order_units),
    ("GET", "/order-units/{id_order_unit}", "returns", get_order_unit),
    ("PATCH", "/order-units/{id_order_unit}/fulfil", "acknowledge", act("fulfil")),
    ("PATCH", "/order-units/{id_order_unit}/send", "ship", act("send")),
    ("PATCH", "/order-units/{id_order_unit}/cancel", "cancel", act("cancel")),
    ("PATCH", "/order-units/{id_order_unit}/refund", "refund", act("refund")),
    ("POST", "/shipments", "ship", add_shipment),
    ("GET", "/returns", "returns", list_returns),
    ("GET", "/returns/{id_return}", "returns", get_return),
    ("GET", "/subscriptions", "list_subscriptions", list_subscriptions),
    ("POST", "/subscriptions", "subscriptions", subscribe),
    ("PATCH", "/subscriptions/{id_subscription}", "subscriptions", change_subscription),
)


def build_app(market: Market, *, in_process: bool = False) -> Starlette:
    """The ASGI app. ``in_process``: no socket is under it, so lost connections become ``ConnectionLost``."""

    def route(method: str, path: str, operation: str, handler: Callable[[Call], Answer]) -> Route:
        async def endpoint(request: Request) -> Response:
            body = await request.body()

            async def handle(fault: FaultKind | None) -> Response:
                return _handle(Call(market, request, body, fault), handler)

            reply = await respond(market.faults, operation, request, handle, clock=market.clock, in_process=in_process)
            market.requests[operation, reply.status_code] += 1
            return reply

        return Route(f"/v2{path}", endpoint, methods=[method])

    app = Starlette(routes=[*(route(*row) for row in API), *ADMIN])
    app.state.market = market
    return app


def sandbox_app(clock: Clock | None = None, rules: Rules | None = None) -> Starlette:
    """A rehearsal Kaufland of its own; its ``state.market`` holds everything."""
    return build_app(Market(rules, clock))


def _handle(call: Call, handler: Callable[[Call], Answer]) -> Response:
    try:
        request = call.request
        query = f"?{request.url.query}" if request.url.query else ""
        url = f"{request.url.scheme}://{request.headers['host']}{request.scope['raw_path'].decode()}{query}"
        if call.fault is FaultKind.EXPIRED_TOKEN:  # there are no tokens: the nearest thing is a signature refused
            raise Refused(401, "corrupted-signature", "Fault on request: the signature does not match")
        call.market.authenticate(request.method, url, request.headers, call.body)
        call.market.admit()
        status, document = handler(call)
    except Refused as refused:
        status, document = refused.status, refused.document()
    if document is None:
        return Response(status_code=status)
    return Response(orjson.dumps(document), status, media_type="application/json")
