"""Running a channel's sandbox: inside the test's own event loop, or behind a real socket in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Generic, TypeVar

import httpx
import uvicorn
from starlette.types import ASGIApp

from marketsync_adapters.sandbox.app import build_app, server
from marketsync_adapters.sandbox.faulty import ConnectionLost
from marketsync_adapters.sandbox.market import Market

T = TypeVar("T")
M = TypeVar("M")

START_SECONDS = 10


class InProcess(httpx.AsyncBaseTransport):
    """An httpx transport into an ASGI app. A ``ConnectionLost`` of the app becomes the error that httpx would raise."""

    def __init__(self, app: ASGIApp) -> None:
        self._asgi = httpx.ASGITransport(app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._asgi.handle_async_request(request)
        except ConnectionLost as lost:
            if lost.how == "timeout":
                raise httpx.ReadTimeout("the sandbox does not answer", request=request) from lost
            raise httpx.RemoteProtocolError("peer closed connection in the body", request=request) from lost


def in_process(market: Market) -> InProcess:
    return InProcess(build_app(market, in_process=True))


class RunningSandbox(Generic[M]):
    """A market of any kind behind a socket. Its state belongs to the server's thread: touch it through ``call``."""

    def __init__(self, market: M, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.market = market
        self.url = url
        self._loop = loop

    def call(self, function: Callable[[M], T]) -> T:
        """Run a function on the market in the server's thread, and return or raise what it does."""
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(function(self.market))
            except Exception as error:  # noqa: BLE001 - it belongs to the caller's thread
                result.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return result.result(START_SECONDS)


@contextmanager
def running(market: Market, host: str = "127.0.0.1", port: int = 0) -> Iterator[RunningSandbox[Market]]:
    """Serve a market by uvicorn until the block ends; port 0 takes a free one."""
    with served(market, server(market, host, port)) as sandbox:
        yield sandbox


@contextmanager
def served(market: M, web: uvicorn.Server) -> Iterator[RunningSandbox[M]]:
    """A server with a market behind it, in a thread of its own until the block ends."""
    started: Future[asyncio.AbstractEventLoop] = Future()

    async def serve() -> None:
        serving = asyncio.create_task(web.serve())
        while not web.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        if web.started:
            started.set_result(asyncio.get_running_loop())
        else:
            started.set_exception(RuntimeError(f"the sandbox could not listen on {web.config.host}:{web.config.port}"))
        await serving

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="sandbox", daemon=True)
    thread.start()
    try:
        loop = started.result(START_SECONDS)
        address = web.servers[0].sockets[0].getsockname()
        yield RunningSandbox(market, f"http://{web.config.host}:{address[1]}", loop)
    finally:
        web.should_exit = True
        thread.join(START_SECONDS)
