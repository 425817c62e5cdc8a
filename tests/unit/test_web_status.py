"""/metrics, /healthz and /readyz."""

import asyncio
import gzip
from datetime import timedelta

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from marketsync.adapter.errors import Busy
from marketsync.telemetry.metrics import Metrics
from marketsync.testing.clock import TurnedClock
from marketsync.web import status
from marketsync.web.status import beating, status_app


def ask(app, path, method="GET", **headers) -> httpx.Response:
    async def run():
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return asyncio.run(run())


@pytest.fixture
def metrics():
    metrics = Metrics(TurnedClock())
    metrics.cancelled("shop", 3)
    return metrics


def cancelled(families) -> list[float]:
    return [s.value for family in families for s in family.samples if s.name == "marketsync_units_cancelled_total"]


def test_a_plain_scrape_gets_the_text_format(metrics):
    reply = ask(status_app(metrics.registry, {}), "/metrics", accept="*/*", accept_encoding="identity")
    assert 200 == reply.status_code
    assert "text/plain; version=0.0.4; charset=utf-8" == reply.headers["content-type"]
    assert "content-encoding" not in reply.headers
    assert [3.0] == cancelled(parse_text(reply.text))


def test_prometheus_gets_openmetrics_zipped(metrics):
    """With the headers that Prometheus 2 and 3 send."""
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
    reply = ask(status_app(metrics.registry, {}), "/metrics", accept=accept, accept_encoding="gzip")
    assert "application/openmetrics-text; version=1.0.0; charset=utf-8" == reply.headers["content-type"]
    assert "gzip" == reply.headers["content-encoding"]
    assert [3.0] == cancelled(parse_openmetrics(reply.text))
    assert reply.text.endswith("# EOF\n")
    assert len(gzip.compress(reply.content)) < len(reply.content)


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=abc", "", "text/html;;=", "\x7f"])
def test_an_odd_accept_header_still_gets_metrics(metrics, accept):
    assert 200 == ask(status_app(metrics.registry, {}), "/metrics", accept=accept).status_code


def test_alive_is_answered_without_any_check(metrics):
    async def broken():
        raise RuntimeError

    reply = ask(status_app(metrics.registry, {"ledger": broken}), "/healthz")
    assert (200, "ok\n") == (reply.status_code, reply.text)


@pytest.mark.parametrize(
    ("method", "path", "code"), [("POST", "/metrics", 405), ("GET", "/", 404), ("PUT", "/readyz", 405)]
)
def test_only_reading_and_only_these_paths(metrics, method, path, code):
    assert code == ask(status_app(metrics.registry, {}), path, method).status_code


async def well():
    return "version 3"


async def locked():
    raise Busy("the ledger is locked by process 7")


async def broken():
    raise RuntimeError("s3cr3t detail")


async def hangs():
    await asyncio.sleep(3600)


def test_ready_when_every_check_is_well(metrics):
    reply = ask(status_app(metrics.registry, {"ledger": well, "schema": well}), "/readyz")
    assert 200 == reply.status_code
    says = {"ok": True, "says": "version 3"}
    assert {"ready": True, "checks": {"ledger": says, "schema": says}} == reply.json()


@pytest.mark.parametrize(
    ("check", "says"),
    [
        (locked, "the ledger is locked by process 7"),
        (broken, "the check itself failed (RuntimeError), see the log"),
        (hangs, "no answer within 0 seconds"),
    ],
)
def test_not_ready_when_one_is_not_and_the_answer_says_which_and_why(metrics, check, says, monkeypatch):
    monkeypatch.setattr(status, "PATIENCE", 0.02)
    reply = ask(status_app(metrics.registry, {"ledger": check, "schema": well}), "/readyz")
    assert 503 == reply.status_code
    assert {"ok": False, "says": says} == reply.json()["checks"]["ledger"]
    assert reply.json()["checks"]["schema"]["ok"]
    assert not reply.json()["ready"]


def test_the_scheduler_beats_when_its_last_tick_is_young_enough():
    clock = TurnedClock()
    beats = [None]
    check = beating(lambda: beats[-1], clock, within=timedelta(seconds=30))
    with pytest.raises(status.NotReady, match="has not ticked yet"):
        asyncio.run(check())
    beats.append(clock.now())
    clock.advance(30)
    assert "ticked 30 seconds ago" == asyncio.run(check())
    clock.advance(1)
    with pytest.raises(status.NotReady, match="last ticked 31 seconds ago"):
        asyncio.run(check())
