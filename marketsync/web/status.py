"""What a monitor asks: ``/metrics``, ``/healthz`` (the event loop answers) and ``/readyz`` (it can do its work)."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, gzip_accepted
from prometheus_client.openmetrics import exposition as openmetrics
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from marketsync.adapter.clock import Clock
from marketsync.adapter.errors import MarketsyncError

__all__ = ["Check", "beating", "status_app"]

PATIENCE: Final = 5.0  # seconds; Prometheus and Kubernetes give up soon after
GZIP_LEVEL: Final = 4

Check = Callable[[], Awaitable[str]]
"""Says in one line what is well; raises MarketsyncError with what is not."""

_log = structlog.get_logger(__name__)


class NotReady(MarketsyncError):
    """A check's verdict: marketsync lives but cannot work."""


def status_app(registry: CollectorRegistry, checks: Mapping[str, Check]) -> Starlette:
    """The app of the status listener. ``checks`` (by name: ledger, schema, scheduler) run together at each /readyz."""

    async def metrics(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        zipped = gzip_accepted(request.headers.get("accept-encoding", ""))
        # In a thread: writing out some thousand series takes longer than the event loop should stand still.
        body, content_type = await asyncio.to_thread(_exposition, registry, accept, zipped)
        headers = {"content-type": content_type, "vary": "accept, accept-encoding"}
        return Response(body, headers=headers | ({"content-encoding": "gzip"} if zipped else {}))

    async def alive(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_request: Request) -> Response:
        verdicts = await asyncio.gather(*(_verdict(name, check) for name, check in checks.items()))
        well = all(ok for ok, _ in verdicts)
        shown = {name: {"ok": ok, "says": says} for name, (ok, says) in zip(checks, verdicts, strict=True)}
        return JSONResponse({"ready": well, "checks": shown}, 200 if well else 503)

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", alive), Route("/readyz", ready)])


def beating(last_beat: Callable[[], datetime | None], clock: Clock, *, within: timedelta) -> Check:
    """The check that the scheduler ticks: its last beat (aware UTC, None before the first) is at most ``within`` old."""

    async def check() -> str:
        beat = last_beat()
        if beat is None:
            raise NotReady("the scheduler has not ticked yet")
        age = (clock.now() - beat).total_seconds()
        if age > within.total_seconds():
            raise NotReady(f"the scheduler last ticked {age:.0f} seconds ago")
        return f"ticked {max(age, 0):.0f} seconds ago"

    return check


def _exposition(registry: CollectorRegistry, accept: str, zipped: bool) -> tuple[bytes, str]:
    if "application/openmetrics-text" in accept:
        write: Callable[[CollectorRegistry], bytes] = openmetrics.generate_latest  # it carries no types
        body, content_type = write(registry), openmetrics.CONTENT_TYPE_LATEST
    else:
        body, content_type = generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4
    return gzip.compress(body, GZIP_LEVEL) if zipped else body, content_type


async def _verdict(name: str, check: Check) -> tuple[bool, str]:
    try:
        async with asyncio.timeout(PATIENCE):
            return True, await check()
    except TimeoutError:
        return False, f"no answer within {PATIENCE:.0f} seconds"
    except MarketsyncError as error:
        return False, str(error)
    except Exception as error:  # noqa: BLE001 - logged with its traceback; a broken check is an answer, too
        _log.exception("a readiness check failed", check=name)
        return False, f"the check itself failed ({type(error).__name__}), see the log"
