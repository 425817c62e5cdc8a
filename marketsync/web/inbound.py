"""What comes in from outside: webhooks of the channels; shipments, cancellations and returns of the seller's systems.

It stands on a listener of its own, so that it can be let through a firewall without the metrics.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Literal, Protocol

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from marketsync.adapter.api import WebhookCall
from marketsync.adapter.clock import Clock
from marketsync.adapter.errors import AuthRefused, LedgerError, MarketsyncError
from marketsync.telemetry.metrics import Metrics
from marketsync.web.attempts import Attempts
from marketsync.web.documents import KINDS, BadDocument, Document, read_documents

__all__ = ["DocumentHandler", "DocumentResult", "UnknownChannel", "WebhookHandler", "inbound_app"]

BODY_LIMIT: Final = 1024 * 1024
BODY_PATIENCE: Final = 10.0  # seconds for a whole body: a sender that drips must not hold a connection
RETRY_AFTER: Final = 5

_log = structlog.get_logger(__name__)


class UnknownChannel(MarketsyncError):
    """There is no such channel, or it takes no webhooks."""


class WebhookHandler(Protocol):
    async def __call__(self, channel: str, call: WebhookCall) -> None:
        """Check the signature and remember what to look at; quick, for the channel waits.

        Raises UnknownChannel, and AuthRefused where the signature is wrong.
        """
        ...


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """What became of one document. ``duplicate``: its key was taken before; ``refused``: ``message`` says why."""

    result: Literal["accepted", "duplicate", "refused"]
    message: str = ""


class DocumentHandler(Protocol):
    async def __call__(self, kind: str, document: Document) -> DocumentResult:
        """Store one document (``kind``: a key of ``KINDS``), once per order and ``document.key``.

        Raises LedgerError where it could not be stored: the sender is told to try again.
        """
        ...


class _Answer(Exception):
    """An early end of a request, with what to answer."""

    def __init__(self, status: int, problem: str, **headers: str) -> None:
        super().__init__(problem)
        self.response = JSONResponse({"problem": problem}, status, {k.replace("_", "-"): v for k, v in headers.items()})


def inbound_app(
    *, webhook: WebhookHandler, document: DocumentHandler, tokens: Mapping[str, str], clock: Clock, metrics: Metrics
) -> Starlette:
    """The app of the inbound listener. ``tokens``: who may send documents (name -> token); none: no such endpoints."""
    desk = _Desk(webhook, document, tokens, clock, metrics)
    routes = [Route("/webhooks/{channel}", desk.counted("webhooks", desk.take_webhook), methods=["POST"])]
    if tokens:
        routes += [Route(f"/{kind}", desk.counted(kind, desk.take_documents), methods=["POST"]) for kind in KINDS]
    return Starlette(routes=routes)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A request that was dealt with: the answer, and the channel where it is a known one."""

    response: Response
    channel: str = ""


class _Desk:
    def __init__(
        self,
        webhook: WebhookHandler,
        document: DocumentHandler,
        tokens: Mapping[str, str],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._webhook = webhook
        self._document = document
        self._tokens = {name: _digest(token) for name, token in tokens.items()}
        self._clock = clock
        self._metrics = metrics
        self._attempts = Attempts(clock)

    def counted(
        self, endpoint: str, take: Callable[[str, Request], Awaitable[_Taken]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """``take`` behind the rate limit of failed attempts, with its answer counted and its failures answered."""

        async def answer(request: Request) -> Response:
            try:
                self._refuse_when_limited(request)
                taken = await take(endpoint, request)
            except _Answer as early:
                taken = _Taken(early.response)
            except ClientDisconnect:
                taken = _Taken(JSONResponse({"problem": "the connection was closed"}, 400))
            except LedgerError as error:
                _log.warning("inbound request not stored", endpoint=endpoint, problem=str(error))
                taken = _Taken(
                    JSONResponse(
                        {"problem": "could not be stored now, send the same again"},
                        503,
                        {"retry-after": str(RETRY_AFTER)},
                    )
                )
            except Exception:  # noqa: BLE001 - logged with its traceback, of which the sender sees nothing
                _log.exception("inbound request failed", endpoint=endpoint)
                taken = _Taken(JSONResponse({"problem": "a fault in marketsync, see its log"}, 500))
            self._metrics.inbound(endpoint, taken.channel, taken.response.status_code)
            return taken.response

        return answer

    async def take_webhook(self, _endpoint: str, request: Request) -> _Taken:
        channel = request.path_params["channel"]
        body = await _body(request)
        call = WebhookCall(headers=_headers(request), body=body, received=self._clock.now())
        try:
            await self._webhook(channel, call)
        except UnknownChannel as error:
            raise _Answer(404, str(error)) from None
        except AuthRefused:
            self._attempts.failed(_sender(request))
            return _Taken(JSONResponse({"problem": "the signature is wrong"}, 401), channel)
        return _Taken(Response(status_code=202), channel)

    async def take_documents(self, kind: str, request: Request) -> _Taken:
        sender = self._known(request)
        if sender is None:
            self._attempts.failed(_sender(request))
            raise _Answer(401, "send the header Authorization: Bearer <token>", www_authenticate="Bearer")
        try:
            documents = read_documents(kind, await _body(request))
        except BadDocument as error:
            problems = [{"entry": p.entry, "field": p.field, "problem": p.message} for p in error.problems]
            return _Taken(JSONResponse({"problem": "nothing was taken", "problems": problems}, 400))
        results = await self._handle(kind, documents)
        _log.info("documents came in", kind=kind, sender=sender, entries=len(results))
        return _Taken(JSONResponse({"results": results}))

    def _known(self, request: Request) -> str | None:
        """Whose token this request carries. Every token is compared, so that the time tells nothing."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        digest = _digest(given.strip())
        matching = [name for name, token in self._tokens.items() if hmac.compare_digest(digest, token)]
        return matching[0] if matching and scheme.lower() == "bearer" else None

    async def _handle(self, kind: str, documents: Sequence[Document]) -> list[dict[str, Any]]:
        results = []
        for document in documents:
            done = await self._document(kind, document)
            said = {"problem": done.message} if done.message else {}
            results.append({"key": document.key, "result": done.result, **said})
        return results

    def _refuse_when_limited(self, request: Request) -> None:
        wait = self._attempts.wait(_sender(request))
        if wait > 0:
            raise _Answer(429, "too many failed attempts, try again later", retry_after=str(int(wait) + 1))


def _sender(request: Request) -> tuple[str, str]:
    """Who is limited: an address at one path, so that one wrong secret of a marketplace stops no other channel."""
    return (request.client.host if request.client else "", request.url.path)


def _headers(request: Request) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def _body(request: Request) -> bytes:
    too_large = _Answer(413, f"the body is larger than {BODY_LIMIT} bytes, send it in parts", connection="close")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > BODY_LIMIT:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_PATIENCE):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT:
                    raise too_large
    except TimeoutError:
        raise _Answer(408, "the body did not come in time", connection="close") from None
    return bytes(body)


def _digest(text: str) -> bytes:
    """Of one length, so that comparing does not tell how long the token is."""
    return sha256(text.encode()).digest()
