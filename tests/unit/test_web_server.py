"""Both listeners on real loopback sockets, inside our own event loop."""

import asyncio
import signal
import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from marketsync.adapter.errors import ConfigError
from marketsync.telemetry.metrics import Metrics
from marketsync.testing.clock import TurnedClock
from marketsync.web.inbound import DocumentResult, inbound_app
from marketsync.web.server import WebServer
from marketsync.web.status import status_app


async def handle(*_):
    return DocumentResult("accepted")


async def start_both() -> tuple[WebServer, WebServer]:
    metrics = Metrics(TurnedClock())
    status = WebServer("metrics", status_app(metrics.registry, {}), port=0)
    tokens = {"erp": "a-token-of-some-length"}
    app = inbound_app(webhook=handle, document=handle, tokens=tokens, clock=TurnedClock(), metrics=metrics)
    inbound = WebServer("inbound", app, port=0)
    await status.start()
    await inbound.start()
    return status, inbound


def test_both_listeners_answer_on_loopback_and_are_gone_after_stop():
    async def run():
        before = {sig: signal.getsignal(sig) for sig in (signal.SIGINT, signal.SIGTERM)}
        status, inbound = await start_both()
        assert before == {sig: signal.getsignal(sig) for sig in before}
        assert status.url.startswith("http://127.0.0.1:")
        async with httpx.AsyncClient() as client:
            assert 200 == (await client.get(f"{status.url}/healthz")).status_code
            assert 404 == (await client.post(f"{status.url}/shipments")).status_code
            assert 404 == (await client.get(f"{inbound.url}/metrics")).status_code
            assert 401 == (await client.post(f"{inbound.url}/shipments")).status_code
            scraped = await client.get(f"{status.url}/metrics", headers={"accept-encoding": "gzip"})
            assert 'marketsync_inbound_requests_total{channel="",endpoint="shipments",status="401"} 1.0' in scraped.text
        await status.stop()
        await inbound.stop()
        await status.stop()  # a second time harms nobody
        for server in (status, inbound):
            host, port = server.url.removeprefix("http://").split(":")
            with socket.socket() as probe:
                assert 0 != probe.connect_ex((host, int(port)))

    asyncio.run(run())


def test_a_request_under_way_is_finished_before_the_listener_closes():
    begun = asyncio.Event()

    async def slow(_request):
        begun.set()
        await asyncio.sleep(0.3)
        return PlainTextResponse("done")

    async def run():
        server = WebServer("metrics", Starlette(routes=[Route("/", slow)]), port=0)
        await server.start()
        async with httpx.AsyncClient() as client:
            request = asyncio.create_task(client.get(server.url))
            await begun.wait()
            await server.stop()
            assert "done" == (await request).text

    asyncio.run(run())


def problem_of(host: str, port: int) -> str:
    async def run():
        server = WebServer("metrics", Starlette(), host=host, port=port)
        with pytest.raises(ConfigError) as caught:
            await server.start()
        await server.stop()  # nothing was started: nothing to stop
        return str(caught.value)

    return asyncio.run(run())


def test_a_port_in_use_is_one_clear_problem():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert (
            f"metrics: 127.0.0.1:{port} is used by another program, "
            "stop that program (another marketsync?) or write another port" == problem_of("127.0.0.1", port)
        )


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.77", "metrics: 192.0.2.77:9464 is no address of this machine, write one of its own, such as 127.0.0.1"),
        ("no.such.host.invalid",
         "metrics: there is no host 'no.such.host.invalid', write a name or an IP address of this machine"),
    ],
)  # fmt: skip
def test_an_address_that_is_not_ours_is_one_clear_problem(host, expected):
    assert expected == problem_of(host, 9464)


def test_a_listener_restarts_at_once_on_the_port_it_had():
    async def run():
        first = WebServer("metrics", Starlette(), port=0)
        await first.start()
        port = int(first.url.rsplit(":", 1)[1])
        async with httpx.AsyncClient() as client:
            await client.get(first.url)
        await first.stop()
        second = WebServer("metrics", Starlette(), port=port)
        await second.start()
        await second.stop()

    asyncio.run(run())


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6_loopback_is_written_with_brackets():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")

    async def run():
        server = WebServer("metrics", status_app(Metrics(TurnedClock()).registry, {}), host="::1", port=0)
        await server.start()
        async with httpx.AsyncClient() as client:
            assert server.url.startswith("http://[::1]:")
            assert 200 == (await client.get(f"{server.url}/healthz")).status_code
        await server.stop()

    asyncio.run(run())
