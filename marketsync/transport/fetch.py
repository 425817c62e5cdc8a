"""Fetches a catalogue file from the web, only if it has changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final
from urllib.parse import urljoin

from marketsync.adapter.errors import AuthRefused, Unavailable, UnexpectedReply
from marketsync.transport.redact import redact
from marketsync.transport.wire import Answer, NoReply, NotSent, Transport, Unsendable, Wire, absolute, origin

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReply:
    """``status`` is 200, or 304 where nothing has changed. ``size`` counts the bytes written, unpacked from gzip."""

    status: int
    etag: str
    last_modified: str
    content_type: str
    size: int


async def fetch(
    url: str,
    target: BinaryIO,
    *,
    etag: str = "",
    last_modified: str = "",
    headers: Mapping[str, str] | None = None,
    max_bytes: int,
    timeout: float,  # noqa: ASYNC109  it is the whole time, of which the wire knows the phases
    transport: Transport | None = None,
) -> FetchReply:
    """Stream the file at ``url`` into ``target``; in a thread, call it by ``asyncio.run``.

    ``etag`` and ``last_modified`` are those of an earlier reply, ``headers`` authenticate and are not sent on when the
    server redirects to another host. Raises ``Unavailable`` (try later), ``AuthRefused`` and ``UnexpectedReply`` (a
    person has to look). What was written before an error is not the file.
    """
    wanted = {**(headers or {}), "Accept": "*/*"}
    if etag:
        wanted["If-None-Match"] = etag
    if last_modified:
        wanted["If-Modified-Since"] = last_modified
    wire = Wire(connections=1, transport=transport)
    try:
        answer, size = await _follow(wire, absolute(url, None), target, wanted, headers or {}, max_bytes, timeout)
    except Unsendable as error:
        raise UnexpectedReply(f"{_shown(url)} is no address: {redact(str(error))}") from error
    except (NotSent, NoReply) as error:
        raise Unavailable(f"{_shown(url)} cannot be read: {error}") from error
    finally:
        await wire.aclose()
    _check(answer, url, max_bytes)
    return FetchReply(
        status=answer.status,
        etag=answer.headers.get("etag", ""),
        last_modified=answer.headers.get("last-modified", ""),
        content_type=answer.headers.get("content-type", ""),
        size=size,
    )


async def _follow(
    wire: Wire,
    url: str,
    target: BinaryIO,
    wanted: Mapping[str, str],
    private: Mapping[str, str],
    most: int,
    timeout: float,  # noqa: ASYNC109  see fetch
) -> tuple[Answer, int]:
    home = origin(url)
    for _ in range(MOST_REDIRECTS + 1):
        sent = wanted if origin(url) == home else {n: v for n, v in wanted.items() if n not in private}
        answer, size = await wire.download(url, target, headers=sent, most=most, timeout=timeout)
        if answer.status not in REDIRECTS or not answer.headers.get("location"):
            return answer, size
        following = absolute(urljoin(url, answer.headers["location"]), None)
        if origin(url)[0] == "https" and origin(following)[0] != "https":
            raise UnexpectedReply(f"{_shown(url)} redirects from https to an address that is not encrypted")
        url = following
    raise UnexpectedReply(f"{_shown(url)} redirects in circles")


def _check(answer: Answer, url: str, most: int) -> None:
    where = _shown(url)
    if answer.status == 200:
        if answer.cut:
            raise UnexpectedReply(f"{where} is larger than {most:,} bytes: raise the source's limit if that is right")
        return
    if answer.status == 304:
        return
    evidence, code = redact(answer.content), str(answer.status)
    if answer.status in (401, 403):
        raise AuthRefused(f"{where} refuses the credentials ({answer.status})", code=code, evidence=evidence)
    if answer.status >= 500 or answer.status in (408, 425, 429):
        raise Unavailable(f"{where} answered {answer.status}", code=code, evidence=evidence)
    raise UnexpectedReply(f"{where} answered {answer.status}: is the address right?", code=code, evidence=evidence)


def _shown(url: str) -> str:
    """The address without its query and user, which may be secrets."""
    scheme, _, rest = url.split("?", maxsplit=1)[0].partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if rest else scheme
