"""Runs a web app inside the daemon's own event loop; the daemon alone handles signals and says when to stop."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from typing import Final

import structlog
import uvicorn
from starlette.types import ASGIApp

from marketsync.adapter.errors import ConfigError, Problem

__all__ = ["WebServer"]

MOST_CONNECTIONS: Final = 200
BACKLOG: Final = 128
DRAIN_SECONDS: Final = 5

_log = structlog.get_logger(__name__)


class WebServer:
    """One listener. ``name`` is the setting that holds its address: ``metrics`` or ``inbound``."""

    def __init__(self, name: str, app: ASGIApp, *, host: str = "127.0.0.1", port: int) -> None:
        """On loopback unless told otherwise. Port 0 takes a free one."""
        self._name = name
        self._host = host
        self._port = port
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens, with the port that was taken."""
        return f"http://{_shown(self._host, self._port)}"

    async def start(self) -> None:
        """Bind and serve. Raises ConfigError where the address is taken, not allowed or not of this machine."""
        listener = _bind(self._name, self._host, self._port)
        self._port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name=f"web-{self._name}")
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0)
        if self._task.done():
            await self._task
        _log.info("listening", setting=self._name, url=self.url)

    async def stop(self) -> None:
        """Take no new requests, let those under way finish for at most 5 seconds, close. Harmless when not started."""
        if self._task is None:
            return
        self._server.should_exit = True
        await self._task
        self._task = None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: uvicorn's only hook for that is this method."""
        yield


def _bind(name: str, host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise _config_error(
            name, f"there is no host {host!r}", "write a name or an IP address of this machine"
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _config_error(name, *_reason(error, _shown(host, port))) from None
    return listener


def _reason(error: OSError, shown: str) -> tuple[str, str]:
    if error.errno == errno.EADDRINUSE:
        return f"{shown} is used by another program", "stop that program (another marketsync?) or write another port"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{shown} may not be used by this user", "write a port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{shown} is no address of this machine", "write one of its own, such as 127.0.0.1"
    return f"{shown} cannot be used: {os.strerror(error.errno or 0)}", "write another address"


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _config_error(name: str, message: str, hint: str) -> ConfigError:
    return ConfigError([Problem(file=name, line=0, column=0, path="", message=message, hint=hint)])
