"""Three sandbox marketplaces on loopback, served by a thread of their own."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from marketsync_adapters.sandbox.app import server
from marketsync_adapters.sandbox.market import Market
from marketsync_adapters.sandbox.rules import Rules

T = TypeVar("T")
START_SECONDS = 20.0


class Markets:
    """The markets by channel name, with their URLs. They live in their own thread: touch them through ``call``."""

    def __init__(self, markets: Mapping[str, Market], urls: Mapping[str, str], loop: asyncio.AbstractEventLoop) -> None:
        self.urls = urls
        self._markets = markets
        self._loop = loop

    def call(self, name: str, ask: Callable[[Market], T]) -> T:
        """Run a function on a market in the markets' thread; returns or raises what it does."""
        answer: Future[T] = Future()

        def run() -> None:
            try:
                answer.set_result(ask(self._markets[name]))
            except Exception as error:  # noqa: BLE001 (it belongs to the caller)
                answer.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return answer.result(START_SECONDS)


@contextmanager
def open_markets(names: Mapping[str, int]) -> Iterator[Markets]:
    """Serve a market per name on its port (0: a free one) until the block ends."""
    markets = {name: Market(Rules(seller=f"Demo shop on {name}", job_time=timedelta(seconds=1))) for name in names}
    servers = {name: server(market, "127.0.0.1", names[name]) for name, market in markets.items()}
    ready: Future[asyncio.AbstractEventLoop] = Future()

    async def serve() -> None:
        serving = [asyncio.create_task(web.serve()) for web in servers.values()]
        while not all(web.started for web in servers.values()):
            if any(task.done() for task in serving):
                ready.set_exception(OSError("the sandbox marketplaces could not listen on loopback"))
                return
            await asyncio.sleep(0.01)
        ready.set_result(asyncio.get_running_loop())
        await asyncio.gather(*serving)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="markets", daemon=True)
    thread.start()
    try:
        loop = ready.result(START_SECONDS)
        ports = {name: web.servers[0].sockets[0].getsockname()[1] for name, web in servers.items()}
        yield Markets(markets, {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}, loop)
    finally:
        for web in servers.values():
            web.should_exit = True
        thread.join(START_SECONDS)
