"""Requests to the sandbox and its replies: one method per call of its API, one function for its errors."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from marketsync.adapter.api import ChannelHttp, Command, CommandResult, OrderCursor, Reply, Result
from marketsync.adapter.errors import AdapterError, ChannelBlocked, ItemRefused, QuotaSpent, UnexpectedReply
from marketsync_adapters.sandbox import mapping

# Refusals that concern this one command: its result, not an error of the channel.
_OF_THE_COMMAND = frozenset({404, 409, 422})


class Client:
    def __init__(self, http: ChannelHttp, storefront: str) -> None:
        self._http = http
        self._params = {"storefront": storefront}

    async def account(self) -> Mapping[str, Any]:
        return _document(await self._http.request("account", "GET", "/v1/account"), "storefronts")

    async def submit_offers(self, items: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], str]:
        """Submit a listing job. Returns the job and the request's id."""
        reply = await self._write("offers", "/v1/offers/jobs", {"items": items})
        return _document(reply, "job_id"), _request_id(reply)

    async def job(self, job_id: str) -> Mapping[str, Any] | None:
        """The job; None where the market has forgotten it."""
        reply = await self._http.request("jobs", "GET", f"/v1/offers/jobs/{job_id}", accept=frozenset({404}))
        return None if reply.status == 404 else _document(reply, "state")

    async def write(self, operation: str, items: Sequence[Mapping[str, Any]]) -> tuple[list[Any], str]:
        """Write prices or stock. Returns the market's report per item and the request's id."""
        reply = await self._write(operation, f"/v1/offers/{operation}", {"items": items})
        return _list(reply, "items"), _request_id(reply)

    async def withdraw(self, skus: Sequence[str]) -> tuple[list[Any], str]:
        reply = await self._write("withdraw", "/v1/offers/withdrawals", {"skus": skus})
        return _list(reply, "items"), _request_id(reply)

    async def find_offers(self, skus: Sequence[str]) -> list[Any]:
        return _list(await self._write("read_offers", "/v1/offers/search", {"skus": skus}), "offers")

    async def browse_offers(self, page: str | None) -> tuple[list[Any], str | None]:
        params = self._params | ({"page": page} if page else {})
        reply = await self._http.request("read_offers", "GET", "/v1/offers", params=params)
        return _list(reply, "offers"), _document(reply)["next_page"]

    async def feed(self, operation: str, cursor: OrderCursor) -> tuple[list[Any], str | None]:
        """A page of orders or of returns, by time of update."""
        params = {}
        if cursor.since is not None:
            params["updated_from"] = cursor.since.isoformat()
        if cursor.page is not None:
            params["page"] = cursor.page
        reply = await self._http.request(operation, "GET", f"/v1/{operation}", params=params)
        return _list(reply, operation), _document(reply)["next_page"]

    async def webhooks(self) -> list[Any]:
        return _list(await self._http.request("read_webhooks", "GET", "/v1/webhooks"), "webhooks")

    async def add_webhook(self, url: str) -> None:
        await self._http.request("webhooks", "POST", "/v1/webhooks", json={"url": url})

    async def turn_webhook_on(self, webhook_id: str) -> None:
        await self._http.request("webhooks", "POST", f"/v1/webhooks/{webhook_id}/activate")

    async def order_ids(
        self, placed_from: datetime, placed_to: datetime, page: str | None
    ) -> tuple[list[Any], str | None]:
        params = {"placed_from": placed_from.isoformat(), "placed_to": placed_to.isoformat()}
        if page is not None:
            params["page"] = page
        reply = await self._http.request("order_ids", "GET", "/v1/orders/ids", params=params)
        return _list(reply, "order_ids"), _document(reply)["next_page"]

    async def acknowledge(self, commands: Sequence[Command]) -> list[Any]:
        items = [{"order_id": command.order_id, "key": command.key} for command in commands]
        reply = await self._http.request("acknowledge", "POST", "/v1/orders/acknowledgements", json={"items": items})
        return _list(reply, "items")

    async def command(self, operation: str, noun: str, command: Command) -> CommandResult:
        """Send a shipment, cancellation or refund under its key."""
        reply = await self._http.request(
            operation,
            "POST",
            f"/v1/orders/{command.order_id}/{noun}",
            json=mapping.command_out(command),
            headers={"Idempotency-Key": command.key},
            accept=_OF_THE_COMMAND,
        )
        if reply.status in _OF_THE_COMMAND:
            code, message = _error(reply)
            return CommandResult(result=Result.REJECTED, code=code, message=message)
        return CommandResult(result=Result.APPLIED, reference=_document(reply, "reference")["reference"])

    async def command_result(self, key: str) -> CommandResult | None:
        reply = await self._http.request(
            "commands", "GET", "/v1/commands", params={"key": key}, accept=frozenset({404})
        )
        if reply.status == 404:
            return None
        return CommandResult(result=Result.APPLIED, reference=_document(reply, "reference")["reference"])

    async def _write(self, operation: str, path: str, document: Mapping[str, Any]) -> Reply:
        return await self._http.request(operation, "POST", path, params=self._params, json=document)


def error_of(_operation: str, reply: Reply) -> AdapterError | None:
    """What the status table cannot know of the sandbox's errors; None leaves the reply to the table."""
    try:
        code, message = _error(reply)
    except UnexpectedReply:
        return None  # not the market's own words: a proxy's page
    if code == "quota_exhausted":
        return QuotaSpent(message, until=datetime.fromisoformat(reply.headers["x-quota-resets"]), code=code)
    if code == "unknown_storefront":
        return ChannelBlocked(message, code=code)
    if reply.status == 413 or code in {"sku_twice", "sku_missing"}:
        return ItemRefused(message, code=code)
    return None


def _document(reply: Reply, key: str = "") -> Mapping[str, Any]:
    document = reply.json()
    if not isinstance(document, dict) or (key and key not in document):
        raise UnexpectedReply(f"The sandbox answered without {key or 'an object'}.")
    return document


def _list(reply: Reply, key: str) -> list[Any]:
    items = _document(reply, key)[key]
    if not isinstance(items, list):
        raise UnexpectedReply(f"The sandbox answered {key} that is no list.")
    return items


def _error(reply: Reply) -> tuple[str, str]:
    error = _document(reply, "error")["error"]
    return error["code"], error["message"]


def _request_id(reply: Reply) -> str:
    return reply.headers.get("x-request-id", "")
