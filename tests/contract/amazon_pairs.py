"""Amazon's static sandbox pairs (x-amzn-api-sandbox) played to our client: its requests beside theirs, their answers to it."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

import httpx

from marketsync_adapters.amazon.client import Client
from tests.contract.amazon_harness import MODELS, model

METHODS = ("get", "put", "patch", "post", "delete")


@dataclass(frozen=True, slots=True)
class Pair:
    """``parameters`` are those that Amazon's sandbox recognises the request by, each {"value": ...}."""

    operation: str
    path: str
    number: int
    parameters: Mapping[str, Any]
    status: int
    response: Any

    @property
    def name(self) -> str:
        return f"{self.operation}-{self.number}-{self.status}"

    def value(self, name: str, default: Any = None) -> Any:
        return self.parameters.get(name, {}).get("value", default)


def pairs() -> Iterator[Pair]:
    """All pairs of the operations that the adapter uses."""
    for name, _ in MODELS.values():
        document = json.loads(model(name).read_bytes())
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if method not in METHODS or operation.get("operationId") not in CALLS:
                    continue
                if path.startswith("/orders/v0/") and operation["operationId"] != "confirmShipment":
                    continue  # of the old version only the shipment is used
                for number, (status, static) in enumerate(_static(operation["responses"])):
                    parameters = static["request"].get("parameters", {})
                    yield Pair(operation["operationId"], path, number, parameters, int(status), static.get("response"))


def _static(responses: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for status, response in responses.items():
        for static in (response.get("x-amzn-api-sandbox") or {}).get("static", ()):
            yield status, static


async def call(client: Client, pair: Pair) -> Any:
    return await CALLS[pair.operation](client, pair)


def _window(pair: Pair) -> dict[str, str]:
    return {"createdAfter": pair.value("createdAfter")}


def _query(pair: Pair) -> dict[str, Any]:
    query: dict[str, Any] = {name: pair.value(name) for name in ("identifiersType", "pageSize") if pair.value(name)}
    return query | ({"identifiers": ",".join(pair.value("identifiers"))} if pair.value("identifiers") else {})


async def _report(client: Client, pair: Pair) -> str:
    body = pair.value("body")
    return await client.create_report(body["reportType"], body["marketplaceIds"], dataStartTime=body["dataStartTime"])


CALLS: Mapping[str, Callable[[Client, Pair], Awaitable[Any]]] = {
    "getMarketplaceParticipations": lambda client, _pair: client.participations(),
    "putListingsItem": lambda client, pair: client.put(pair.value("sku", "S"), {"productType": "P", "attributes": {}}),
    "patchListingsItem": lambda client, pair: client.patch(pair.value("sku", "S"), {"productType": "P", "patches": []}),
    "deleteListingsItem": lambda client, pair: client.delete(pair.value("sku", "S")),
    "getListingsItem": lambda client, pair: client.item(pair.value("sku", "S")),
    "searchListingsItems": lambda client, pair: client.items(_query(pair), pair.value("includedData", ["summaries"])),
    "createFeedDocument": lambda client, pair: client.create_feed_document(
        pair.value("body").get("contentType", "application/json; charset=UTF-8")
    ),
    "createFeed": lambda client, pair: client.create_feed(
        "feed", pair.value("body")["inputFeedDocumentId"], pair.value("body").get("feedType", "JSON_LISTINGS_FEED")
    ),
    "getFeed": lambda client, pair: client.feed(pair.value("feedId")),
    "getFeedDocument": lambda client, pair: client.feed_document(pair.value("feedDocumentId")),
    "searchOrders": lambda client, pair: client.orders(
        _window(pair),
        pair.value("marketplaceIds", ["A1PA6795UKMFR9"]),
        page=pair.value("paginationToken"),
        included=pair.value("includedData", ["BUYER"]),
    ),
    "getOrder": lambda client, pair: client.order(pair.value("orderId"), pair.value("includedData", ["BUYER"])),
    "confirmShipment": lambda client, pair: client.confirm_shipment(pair.value("orderId"), pair.value("body")),
    "getReports": lambda client, pair: client.reports(pair.value("reportTypes"), pair.value("processingStatuses")),
    "createReport": _report,
    "getReport": lambda client, pair: client.report(pair.value("reportId")),
    "getReportDocument": lambda client, pair: client.report_document(pair.value("reportDocumentId")),
}

# What our requests never say, and why: the pair's answer is played all the same.
NOT_ASKED: Mapping[str, str] = {
    "mode": "we never ask for a dry run",
    "createFeedDocument-1-400": "we never leave the content type out",
}


class Replay(httpx.AsyncBaseTransport):
    """Answers with the pair's response; notes what of its parameters the request does not say."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.unsaid: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/o2/token":
            return httpx.Response(200, json={"access_token": "Atza|x", "expires_in": 3600})
        path, _, query = request.url.raw_path.decode().partition("?")
        said: dict[str, Any] = dict(parse_qsl(query))
        said |= _in_path(self.pair.path, path)
        body = json.loads(await request.aread() or b"null")
        for name, wanted in self.pair.parameters.items():
            fits = _holds(body, wanted.get("value", {})) if name == "body" else _equal(said.get(name), wanted["value"])
            if not fits:
                self.unsaid.append(name)
        content = b"" if self.pair.response in (None, {}) else json.dumps(self.pair.response).encode()
        return httpx.Response(self.pair.status, content=content)


def _in_path(template: str, path: str) -> dict[str, str]:
    parts = zip(template.split("/"), path.split("/"), strict=True)
    return {name[1:-1]: unquote(value) for name, value in parts if name.startswith("{")}


def _equal(said: str | None, wanted: Any) -> bool:
    return said == (",".join(wanted) if isinstance(wanted, list) else str(wanted))


def _holds(body: Any, wanted: Any) -> bool:
    """A subset match, as Amazon's sandbox makes it; {} is any body."""
    if isinstance(wanted, dict):
        return not wanted or (
            isinstance(body, dict) and all(name in body and _holds(body[name], one) for name, one in wanted.items())
        )
    return bool(body == wanted)
