"""One exchange with the network: the only import of httpx.

It knows what was sent and what came back, not what that means: `marketsync.transport.status` does.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import BinaryIO, Final

import httpx

Transport = httpx.AsyncBaseTransport

MOST: Final = 64 * 2**20  # of a reply that is used
MOST_OF_AN_ERROR: Final = 64 * 2**10
CONNECT: Final = 10.0
IDLE: Final = 15.0  # a connection unused for that long is closed before the channel does it under our hands

_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_UNSENDABLE: Final = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError)


class NotSent(Exception):
    """No connection: the other side has seen nothing of the request."""


class NoReply(Exception):
    """The request left, wholly or in part, and no usable reply came. ``timeout``: none came in time."""

    def __init__(self, reason: str, *, timeout: bool = False) -> None:
        super().__init__(reason)
        self.timeout = timeout


class Unsendable(Exception):
    """The request cannot be written as HTTP: its address or a header is impossible."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply. Header names in lower case. ``complete`` is False where the body broke off, ``cut`` where it was too long."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""
    complete: bool = True
    cut: bool = False


@cache
def ssl_context() -> ssl.SSLContext:
    """The one context of this process; one of its own would cost every account 40 ms and 0.9 MiB."""
    return httpx.create_ssl_context()


def absolute(url: str, params: Mapping[str, str | int | Sequence[str]] | None) -> str:
    """The URL as it will be sent, with these parameters behind those it has. Raises ``Unsendable``."""
    try:
        whole = httpx.URL(url)
        return str(whole.copy_merge_params(httpx.QueryParams(_flat(params))) if params else whole)
    except (httpx.InvalidURL, UnicodeError, TypeError) as error:
        raise Unsendable(f"{url!r} is no address: {error}") from None


def origin(url: str) -> tuple[str, str, int | None]:
    """(scheme, host, port) of an absolute URL: what credentials are bound to."""
    parts = httpx.URL(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.host, parts.port or default


class Wire:
    """A pool of connections. Keeps no cookies and follows no redirects."""

    def __init__(self, *, connections: int, transport: Transport | None = None) -> None:
        self._client = httpx.AsyncClient(
            verify=ssl_context(),
            transport=transport,
            limits=httpx.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=IDLE
            ),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": f"marketsync/{version('marketsync')}"},
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        timeout: float,  # noqa: ASYNC109  it bounds each phase of the exchange as well
        accept: frozenset[int] = frozenset(),
    ) -> Answer:
        """Send one request, read its reply within ``timeout`` seconds.

        At most 64 MiB are read of a 2xx reply and of those in ``accept``, 64 KiB of any other. Raises ``NotSent``,
        ``NoReply`` and ``Unsendable``.
        """
        async with self._reply(method, url, headers, content, timeout, timeout) as response:
            used = response.status_code // 100 == 2 or response.status_code in accept
            return await _read(response, MOST if used else MOST_OF_AN_ERROR)

    async def download(
        self,
        url: str,
        target: BinaryIO,
        *,
        headers: Mapping[str, str],
        most: int,
        timeout: float,  # noqa: ASYNC109  it bounds each phase of the exchange as well
        silence: float = 60.0,
    ) -> tuple[Answer, int]:
        """GET into ``target``: the reply (its content only where the status is not 200) and the bytes written.

        ``cut`` where there are more than ``most`` bytes. Gives up after ``timeout`` seconds, and ``silence`` without a
        byte. Raises ``NotSent``, ``NoReply`` and ``Unsendable``.
        """
        async with self._reply("GET", url, headers, None, timeout, min(silence, timeout)) as response:
            if response.status_code != 200:
                return await _read(response, MOST_OF_AN_ERROR), 0
            size = 0
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > most:
                    return Answer(200, dict(response.headers), cut=True), size
                target.write(chunk)
            return Answer(200, dict(response.headers)), size

    @asynccontextmanager
    async def _reply(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
        whole: float,
        phase: float,
    ) -> AsyncIterator[httpx.Response]:
        # Connecting must end before the whole time does, else nobody knows whether the request left.
        connect = min(CONNECT, phase / 4)
        try:
            phases = httpx.Timeout(phase, connect=connect, pool=connect)
            request = self._client.build_request(method, url, headers=dict(headers), content=content, timeout=phases)
            async with asyncio.timeout(whole):
                response = await self._client.send(request, stream=True)
                try:
                    yield response
                finally:
                    await response.aclose()
        except _NOT_SENT as error:
            raise NotSent(_reason(error)) from error
        except _UNSENDABLE as error:
            raise Unsendable(_reason(error)) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise NoReply(f"no reply within {whole:g} seconds", timeout=True) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise NoReply(_reason(error)) from error


async def _read(response: httpx.Response, most: int) -> Answer:
    chunks: list[bytes] = []
    size = 0
    complete = True
    try:
        async for chunk in response.aiter_bytes():
            chunks.append(chunk[: most - size])
            size += len(chunk)
            if size > most:
                break
    except (httpx.TransportError, httpx.DecodingError):
        complete = False  # the status alone may say enough
    return Answer(response.status_code, dict(response.headers), b"".join(chunks), complete, size > most)


def _flat(params: Mapping[str, str | int | Sequence[str]]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, str(one))
        for name, value in params.items()
        for one in ([value] if isinstance(value, str | int) else value)
    )


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
