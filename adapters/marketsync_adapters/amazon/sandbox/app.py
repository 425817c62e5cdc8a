"""The sandbox Amazon on the web: the operations of the Selling Partner API that the adapter uses, and /admin.

Every call passes: fault on request, access token, usage plan, handler. ``in_process``: no socket is under it, so lost
connections become ``ConnectionLost``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketsync.adapter.api import Clock
from marketsync_adapters.amazon.sandbox.account import Account
from marketsync_adapters.amazon.sandbox.admin import ADMIN
from marketsync_adapters.amazon.sandbox.jobs import Document, Job
from marketsync_adapters.amazon.sandbox.receipts import order_out
from marketsync_adapters.amazon.sandbox.rules import Refused, Rules
from marketsync_adapters.amazon.sandbox.shown import item_out, stamp
from marketsync_adapters.sandbox.faults import FaultKind
from marketsync_adapters.sandbox.faulty import respond

Answer = tuple[int, Any]
ITEM_PATH = "/listings/2021-08-01/items/{seller}/{sku:path}"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API: what a handler sees of it."""

    account: Account
    request: Request
    body: bytes
    fault: FaultKind | None

    @property
    def apply(self) -> bool:
        return self.fault is not FaultKind.NOT_APPLIED

    def document(self) -> dict[str, Any]:
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise Refused(400, "InvalidInput", "The body is no JSON object.")
        return document

    def listed(self, name: str) -> list[str]:
        text = self.request.query_params.get(name, "")
        return text.split(",") if text else []

    def time(self, name: str) -> datetime | None:
        text = self.request.query_params.get(name)
        try:
            return None if text is None else datetime.fromisoformat(text)
        except ValueError:
            raise Refused(400, "InvalidInput", f"{name} is no time.") from None

    def storefront(self) -> str:
        """The one marketplace of a listings call. Raises ``Refused`` for none, several, and for another seller."""
        ids = self.listed("marketplaceIds")
        if len(ids) != 1 or ids[0] not in self.account.rules.marketplaces:
            raise Refused(400, "InvalidInput", "Invalid 'marketplaceIds' provided.")
        if self.request.path_params["seller"] != self.account.rules.seller_id:
            raise Refused(403, "Unauthorized", "Access to requested resource is denied.")
        return ids[0]


def participations(call: Call) -> Answer:
    rules = call.account.rules
    payload = [
        {
            "marketplace": {
                "id": one,
                "name": f"Amazon {number}",
                "countryCode": "DE",
                "defaultCurrencyCode": currency,
                "defaultLanguageCode": "de_DE",
                "domainName": "www.amazon.de",
            },
            "storeName": rules.store,
            "participation": {"isParticipating": True, "hasSuspendedListings": False},
        }
        for number, (one, currency) in enumerate(rules.marketplaces.items(), start=1)
    ]
    return 200, {"payload": payload}


# -------------------------------------------------------------------- listings


def put_item(call: Call) -> Answer:
    call.storefront()
    sku = call.request.path_params["sku"]
    return 200, _submission(sku, *call.account.items.put(sku, call.document(), apply=call.apply))


def patch_item(call: Call) -> Answer:
    call.storefront()
    sku = call.request.path_params["sku"]
    return 200, _submission(sku, *call.account.items.patch(sku, call.document(), apply=call.apply))


def delete_item(call: Call) -> Answer:
    call.storefront()
    sku = call.request.path_params["sku"]
    return 200, _submission(sku, call.account.items.delete(sku, apply=call.apply), [])


def get_item(call: Call) -> Answer:
    marketplace, sku = call.storefront(), call.request.path_params["sku"]
    item = call.account.items.get(sku)
    if item is None or marketplace not in item.marketplaces:
        raise Refused(404, "NOT_FOUND", f"SKU '{sku}' not found in marketplace {marketplace}.")
    return 200, item_out(item, marketplace, call.listed("includedData") or ["summaries"], call.account.clock.now())


def search_items(call: Call) -> Answer:
    """By identifiers, or all of them by age; never more than the first thousand of a search."""
    marketplace, query, rules = call.storefront(), call.request.query_params, call.account.rules
    call.account.items.settle()
    found = [item for item in call.account.items if marketplace in item.marketplaces]
    if (identifiers := call.listed("identifiers")) or "identifiersType" in query:
        if len(identifiers) > 20 or query.get("identifiersType") != "SKU":
            raise Refused(400, "InvalidInput", "Too many 'identifiers' provided.")
        found = [item for item in found if item.sku in identifiers]
    if (after := call.time("createdAfter")) is not None:
        found = [item for item in found if item.created >= after]
    found.sort(key=lambda item: (item.created, item.sku), reverse=query.get("sortOrder", "DESC") == "DESC")
    size, start = int(query.get("pageSize", "10")), int(query.get("pageToken", "0"))
    if not 1 <= size <= 20:
        raise Refused(400, "InvalidInput", "'pageSize' is 1 to 20.")
    page = found[: rules.search_shows][start : start + size]
    more = start + size < min(len(found), rules.search_shows)
    included, now = call.listed("includedData") or ["summaries"], call.account.clock.now()
    return 200, {
        "numberOfResults": len(found),
        "items": [item_out(item, marketplace, included, now) for item in page],
        **({"pagination": {"nextToken": str(start + size)}} if more else {}),
    }


def fba_stock(call: Call) -> Answer:
    skus, query = call.listed("sellerSkus"), call.request.query_params
    if len(skus) > 50 or len(call.listed("marketplaceIds")) != 1:
        raise Refused(400, "InvalidInput", "At most 50 sellerSkus and one marketplace.")
    items = [item for sku in skus if (item := call.account.items.get(sku)) and item.channel != "DEFAULT"]
    summaries = [
        {
            "asin": item.asin,
            "sellerSku": item.sku,
            "totalQuantity": item.quantity or 0,
            "inventoryDetails": {"fulfillableQuantity": item.quantity or 0},
        }
        for item in items
    ]
    granularity = {"granularityType": "Marketplace", "granularityId": query.get("granularityId", "")}
    return 200, {"payload": {"granularity": granularity, "inventorySummaries": summaries}}


def _submission(sku: str, submission: str, issues: list[Any]) -> dict[str, Any]:
    status = "INVALID" if issues else "ACCEPTED"
    return {"sku": sku, "status": status, "submissionId": submission, "issues": issues}


# -------------------------------------------------------------------- feeds and reports


def create_document(call: Call) -> Answer:
    content_type = call.document().get("contentType")
    if not content_type:
        raise Refused(400, "InvalidInput", "contentType is required.")
    return 201, _link(call, call.account.jobs.new_document(content_type), "feedDocumentId")


def create_feed(call: Call) -> Answer:
    return 202, {"feedId": call.account.jobs.submit(call.document(), apply=call.apply).job_id}


def get_feed(call: Call) -> Answer:
    job = call.account.jobs.feed(call.request.path_params["id"])
    result = {"resultFeedDocumentId": job.result} if job.result else {}
    return 200, {"feedId": job.job_id, "feedType": job.kind, **_job(job), **result}


def get_feed_document(call: Call) -> Answer:
    return 200, _link(call, call.account.jobs.link(call.request.path_params["id"]), "feedDocumentId")


def create_report(call: Call) -> Answer:
    job = call.account.jobs.request(call.document(), call.account.sales.report)
    return 202, {"reportId": job.job_id}


def get_report(call: Call) -> Answer:
    return 200, _report(call.account.jobs.report(call.request.path_params["id"]))


def list_reports(call: Call) -> Answer:
    types, states = call.listed("reportTypes"), call.listed("processingStatuses")
    call.account.items.settle()
    jobs = [job for job in call.account.jobs.reports.values() if job.kind in types and job.state in states]
    newest = sorted(jobs, key=lambda job: job.created, reverse=True)
    return 200, {"reports": [_report(job) for job in newest[: int(call.request.query_params.get("pageSize", "10"))]]}


def get_report_document(call: Call) -> Answer:
    return 200, _link(call, call.account.jobs.link(call.request.path_params["id"]), "reportDocumentId")


def _report(job: Job) -> dict[str, Any]:
    window = {name: job.body[name] for name in ("dataStartTime", "dataEndTime") if name in job.body}
    result = {"reportDocumentId": job.result} if job.result else {}
    return {"reportId": job.job_id, "reportType": job.kind, **window, **_job(job), **result}


def _job(job: Job) -> dict[str, Any]:
    return {"createdTime": stamp(job.created), "processingStatus": job.state}


def _link(call: Call, document: Document, name: str) -> dict[str, Any]:
    base = call.account.rules.documents_url or str(call.request.base_url).rstrip("/")
    packed = {"compressionAlgorithm": "GZIP"} if document.packed else {}
    return {
        name: document.document_id,
        "url": f"{base}/documents/{document.document_id}?signature=of-the-link",
        **packed,
    }


async def behind_link(request: Request) -> Response:
    """A presigned link: no token is needed, and on a host of its own none may arrive."""
    account: Account = request.app.state.account
    document = account.jobs.behind(request.path_params["id"])
    leaked = account.rules.documents_url and "x-amz-access-token" in request.headers
    if document is None or leaked:
        return Response("<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", 403)
    if request.method == "GET":
        return Response(document.content, media_type="binary/octet-stream")
    if request.headers.get("content-type") != document.content_type:
        return Response("<Error><Code>SignatureDoesNotMatch</Code></Error>", 403)
    document.content = await request.body()
    return Response(b"")


# -------------------------------------------------------------------- orders


def search_orders(call: Call) -> Answer:
    rules, since, token = call.account.rules, call.time("lastUpdatedAfter"), call.request.query_params
    if since is None:
        raise Refused(400, "InvalidInput", "Exactly one of createdAfter and lastUpdatedAfter is required.")
    page_token, size = token.get("paginationToken", ""), int(token.get("maxResultsPerPage", "100"))
    if not page_token.isdecimal() and page_token:
        raise Refused(400, "InvalidInput", "The paginationToken is invalid.")
    marketplaces = call.listed("marketplaceIds") or list(rules.marketplaces)
    orders, following = call.account.sales.page(since, marketplaces, page_token, min(size, rules.order_page))
    included = frozenset(call.listed("includedData"))
    documents = [order_out(order, included, rules.ship_within) for order in orders]
    if call.fault is FaultKind.DUPLICATED_PAGE:
        documents += documents
    if call.fault is FaultKind.REORDERED_PAGE:
        documents.reverse()
    return 200, {"orders": documents, **({"pagination": {"nextToken": following}} if following else {})}


def get_order(call: Call) -> Answer:
    order = call.account.sales.order(call.request.path_params["id"])
    return 200, {"order": order_out(order, frozenset(call.listed("includedData")), call.account.rules.ship_within)}


def confirm_shipment(call: Call) -> Answer:
    package = call.document()["packageDetail"]
    call.account.sales.confirm_shipment(call.request.path_params["id"], package, apply=call.apply)
    return 204, None


# Each row: the method, the path, the operation of the usage plan and who handles it.
API: tuple[tuple[str, str, str, Callable[[Call], Answer]], ...] = (
    ("GET", "/sellers/v1/marketplaceParticipations", "participations", participations),
    ("GET", "/listings/2021-08-01/items/{seller}", "items", search_items),
    ("PUT", ITEM_PATH, "put", put_item),
    ("PATCH", ITEM_PATH, "patch", patch_item),
    ("DELETE", ITEM_PATH, "withdraw", delete_item),
    ("GET", ITEM_PATH, "item", get_item),
    ("GET", "/fba/inventory/v1/summaries", "fba_stock", fba_stock),
    ("POST", "/feeds/2021-06-30/documents", "feed_document", create_document),
    ("GET", "/feeds/2021-06-30/documents/{id}", "feed_report", get_feed_document),
    ("POST", "/feeds/2021-06-30/feeds", "feed", create_feed),
    ("GET", "/feeds/2021-06-30/feeds/{id}", "feed_state", get_feed),
    ("GET", "/reports/2021-06-30/reports", "report_list", list_reports),
    ("POST", "/reports/2021-06-30/reports", "report_request", create_report),
    ("GET", "/reports/2021-06-30/reports/{id}", "report_state", get_report),
    ("GET", "/reports/2021-06-30/documents/{id}", "report_document", get_report_document),
    ("GET", "/orders/2026-01-01/orders", "orders", search_orders),
    ("GET", "/orders/2026-01-01/orders/{id}", "order", get_order),
    ("POST", "/orders/v0/orders/{id}/shipmentConfirmation", "ship", confirm_shipment),
)


async def token(request: Request) -> Response:
    """Login with Amazon: the seller's refresh token for an access token of an hour."""
    account: Account = request.app.state.account
    form = dict(parse_qsl((await request.body()).decode("ascii", "replace")))
    try:
        access = account.gate.token(*(form.get(name, "") for name in ("client_id", "client_secret", "refresh_token")))
    except Refused as refused:
        document, status = {"error": refused.code, "error_description": refused.message}, refused.status
    else:
        document, status = {"error": "invalid_client", "error_description": "Client authentication failed"}, 401
        if access is not None:
            life = int(account.rules.token_life.total_seconds())
            document, status = {"access_token": access, "token_type": "bearer", "expires_in": str(life)}, 200
    account.requests["token", status] += 1
    return Response(orjson.dumps(document), status, media_type="application/json")


def build_app(account: Account, *, in_process: bool = False) -> Starlette:
    """The ASGI app of one account."""
    numbers = count(1)

    def route(method: str, path: str, operation: str, handler: Callable[[Call], Answer]) -> Route:
        async def endpoint(request: Request) -> Response:
            body = await request.body()

            async def handle(fault: FaultKind | None) -> Response:
                return _handle(Call(account, request, body, fault), operation, handler)

            reply = await respond(
                account.faults, operation, request, handle, clock=account.clock, in_process=in_process
            )
            reply.headers["x-amzn-RequestId"] = f"request-{next(numbers)}"
            account.requests[operation, reply.status_code] += 1
            return reply

        return Route(path, endpoint, methods=[method])

    links = Route("/documents/{id}", behind_link, methods=["GET", "PUT"])
    app = Starlette(
        routes=[*(route(*row) for row in API), Route("/auth/o2/token", token, methods=["POST"]), links, *ADMIN]
    )
    app.state.account = account
    return app


def sandbox_app(clock: Clock | None = None, rules: Rules | None = None) -> Starlette:
    """A fresh account, to be served by any ASGI server."""
    return build_app(Account(rules, clock))


def _handle(call: Call, operation: str, handler: Callable[[Call], Answer]) -> Response:
    account = call.account
    if call.fault is FaultKind.EXPIRED_TOKEN:
        account.gate.expire_tokens()
    try:
        account.gate.authenticate(call.request.headers.get("x-amz-access-token", ""))
        account.gate.admit(operation)
        status, document = handler(call)
    except Refused as refused:
        error = {"code": refused.code, "message": refused.message, "details": refused.details}
        status, document = refused.status, {"errors": [error]}
    except (KeyError, TypeError, ValueError) as error:
        message = f"The request does not fit: {type(error).__name__}"
        status, document = 400, {"errors": [{"code": "InvalidInput", "message": message}]}
    headers = {}
    if operation in account.rules.limits and status < 300:
        headers["x-amzn-RateLimit-Limit"] = str(account.rules.limits[operation][0])
    content = b"" if document is None else orjson.dumps(document)
    return Response(content, status, headers, "application/json")
