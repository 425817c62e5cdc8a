"""Faults on request for any sandbox: put ``respond`` between its routes and its handlers.

What a fault of the connection or of the front door looks like is the same for every marketplace and is done here.
What only the marketplace can do (apply nothing, end its tokens, repeat orders) is told to its handler.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Literal

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from marketsync.adapter.api import Clock
from marketsync_adapters.sandbox.faults import Fault, FaultKind, Faults

HUGE_BODY = 100 * 1024 * 1024

_PAGE = "<!doctype html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
_ERRORS: dict[FaultKind, tuple[int, str, dict[str, str]]] = {
    FaultKind.RATE_LIMITED: (429, "rate_limited", {"Retry-After": "2"}),
    FaultKind.ERROR: (500, "internal_error", {}),
    FaultKind.UNAVAILABLE: (503, "maintenance", {"Retry-After": "2"}),
}


class ConnectionLost(Exception):
    """In process there is no connection to hang or break: this is raised in its place."""

    def __init__(self, how: Literal["timeout", "truncated"]) -> None:
        super().__init__(how)
        self.how = how


async def respond(
    faults: Faults,
    operation: str,
    request: Request,
    handle: Callable[[FaultKind | None], Awaitable[Response]],
    *,
    clock: Clock,
    in_process: bool,
) -> Response:
    """The handler's reply to a call, or what the next fault of the operation makes of it.

    The handler is told of the fault, if there is one, and not called at all where the fault comes before it.
    """
    fault = faults.next(operation)
    if fault is None:
        return await handle(None)
    broken = await _before(fault, request, clock, in_process=in_process)
    if broken is not None:
        return broken
    return await _after(fault, await handle(fault.kind), request, in_process=in_process)


class BrokenOff(Response):
    """A reply of which half is sent before the connection closes."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


async def _before(fault: Fault, request: Request, clock: Clock, *, in_process: bool) -> Response | None:
    """What goes wrong before the market does anything; None where it is asked all the same."""
    if fault.kind in _ERRORS:
        status, code, headers = _ERRORS[fault.kind]
        document = {"error": {"code": code, "message": f"Fault on request: {code}."}}
        return Response(orjson.dumps(document), status, headers, "application/json")
    match fault.kind:
        case FaultKind.HTML:
            return Response(_PAGE, 502, media_type="text/html")
        case FaultKind.HUGE:
            return StreamingResponse(_huge(), 500, {"Content-Length": str(HUGE_BODY)}, "text/plain")
        case FaultKind.TIMEOUT_BEFORE:
            return await _hang(fault, request, in_process=in_process)
        case FaultKind.SLOW:
            await clock.sleep(fault.seconds)
    return None


async def _after(fault: Fault, reply: Response, request: Request, *, in_process: bool) -> Response:
    """What goes wrong after the market has done what was asked."""
    match fault.kind:
        case FaultKind.ERROR_AFTER:
            document = {"error": {"code": "internal_error", "message": "Something went wrong."}}
            return Response(orjson.dumps(document), 500, media_type="application/json")
        case FaultKind.TIMEOUT_AFTER:
            return await _hang(fault, request, in_process=in_process)
        case FaultKind.TRUNCATED:
            if in_process:
                raise ConnectionLost("truncated")
            return BrokenOff(bytes(reply.body), reply.status_code, media_type="application/json")
    return reply


async def _hang(fault: Fault, request: Request, *, in_process: bool) -> Response:
    """Keep the caller waiting until it goes away, at most the fault's seconds; then break the connection."""
    if in_process:
        raise ConnectionLost("timeout")
    with suppress(TimeoutError):
        async with asyncio.timeout(fault.seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    return BrokenOff(b"never", 504)


async def _huge() -> AsyncIterator[bytes]:
    chunk = b"x" * 65_536
    for _ in range(HUGE_BODY // len(chunk)):
        yield chunk
