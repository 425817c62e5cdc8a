"""One call of the rehearsal eBay: what a handler sees of it, and how a bulk call answers."""

from collections.abc import Callable
from dataclasses import dataclass
from re import fullmatch
from typing import Any

import orjson
from starlette.requests import Request

from marketsync_adapters.ebay.sandbox.market import Market
from marketsync_adapters.ebay.sandbox.rules import Refused
from marketsync_adapters.sandbox.faults import FaultKind

BULK = 25
Answer = tuple[int, Any]


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

    def part(self, name: str) -> str:
        return str(self.request.path_params[name])

    def document(self) -> dict[str, Any]:
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise Refused(400, 25709, "Invalid request. The body is no JSON object.")
        return document

    def entries(self, error_id: int) -> list[dict[str, Any]]:
        entries = self.document().get("requests")
        if not isinstance(entries, list) or not entries:
            raise Refused(400, 25709, "Invalid request. Invalid value for field requests.")
        if len(entries) > BULK:
            raise Refused(400, error_id, f"The number of entries in the request cannot exceed {BULK}.")
        return entries

    def language(self) -> None:
        if not fullmatch(r"[a-z]{2}-[A-Z]{2}", self.request.headers.get("content-language", "")):
            raise Refused(400, 25709, "Invalid request. Invalid value for header Content-Language.")

    def number(self, name: str, usual: int, most: int, error_id: int) -> int:
        value = self.request.query_params.get(name, str(usual))
        if not value.isdecimal() or int(value) > most:
            raise Refused(400, error_id, f"Invalid {name}: {value}")
        return int(value)


def each(entries: list[dict[str, Any]], write: Callable[[dict[str, Any]], dict[str, Any]], *names: str) -> Answer:
    """The reply of a bulk call: 200 where all went well, else 207 with each entry's own errors."""
    replies = []
    for entry in entries:
        try:
            replies.append(write(entry))
        except Refused as refused:
            told = {name: entry[name] for name in names if name in entry}
            replies.append({**told, "statusCode": refused.status, "errors": [refused.error()]})
    return status_of(replies), {"responses": replies}


def status_of(replies: list[dict[str, Any]]) -> int:
    return 200 if all(reply["statusCode"] < 400 for reply in replies) else 207
