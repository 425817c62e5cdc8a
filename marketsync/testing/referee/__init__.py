"""The contract referee: it stands between an adapter and its sandbox and holds both to the provider's own contract.

One author writes the adapter and the sandbox, so the two agree even where both are wrong. The referee knows neither:
it checks each request and each reply against the published OpenAPI, Swagger or GraphQL file.

    referee = Referee.from_openapi(contracts / "kaufland/swagger-2.27.0.json", limits={"POST /units/bulk": {"": 150}})
    transport = RefereedTransport(in_process(app), referee)
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import httpx
import yaml

from marketsync.testing.referee.graphql import GraphQLContract
from marketsync.testing.referee.openapi import OpenApiContract
from marketsync.testing.referee.violation import Violation

__all__ = ["Referee", "RefereedTransport", "Violation"]

Query = Iterable[tuple[str, str]] | Mapping[str, str]


class Contract(Protocol):
    """A published contract. Each check returns the name of the operation and what is wrong, one text per fault."""

    def request(
        self, method: str, path: str, query: list[tuple[str, str]], headers: Mapping[str, str], body: bytes
    ) -> tuple[str, list[str]]: ...

    def reply(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes, request_body: bytes
    ) -> tuple[str, list[str]]: ...


class Referee:
    """Raises ``Violation`` for what the contract does not allow, and counts the operations that were exercised."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.coverage: Counter[str] = Counter()
        self.violations: list[Violation] = []  # those that were raised, for the end of a test

    @classmethod
    def from_openapi(
        cls, path: Path, *, limits: Mapping[str, Mapping[str, int]] | None = None, base: str | None = None
    ) -> Self:
        """OpenAPI 3.0 or 3.1, as JSON or YAML.

        ``limits`` holds maxima that the contract tells only in prose, by operation ("POST /units/bulk"): the length of
        the list at a dotted path of the body ("" is the body itself), or with "?name" the value of a query parameter.
        ``base`` is the path in front of all others where it is not that of the first server.
        """
        return cls(OpenApiContract(_read(path), limits or {}, base))

    @classmethod
    def from_swagger2(
        cls, path: Path, *, limits: Mapping[str, Mapping[str, int]] | None = None, base: str | None = None
    ) -> Self:
        """Swagger 2.0; otherwise as ``from_openapi``."""
        return cls(OpenApiContract(_read(path), limits or {}, base))

    @classmethod
    def from_graphql(cls, path: Path, *, endpoint: str = "/graphql.json") -> Self:
        """An introspection result as (gzipped) JSON; ``endpoint`` is how the path of its requests ends."""
        return cls(GraphQLContract(_read(path), endpoint))

    def check_request(self, method: str, path: str, query: Query, headers: Mapping[str, str], body: bytes = b"") -> str:
        """``path`` as it is sent, percent-encoded. Returns the operation's name; raises ``Violation``."""
        pairs = list(query.items() if isinstance(query, Mapping) else query)
        operation, faults = self._contract.request(method.upper(), path, pairs, _lower(headers), body)
        self._judge(f"request {method.upper()} {path}", faults)
        self.coverage[operation] += 1
        return operation

    def check_reply(
        self,
        method: str,
        path: str,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        request_body: bytes = b"",
    ) -> None:
        """Check the reply to a request. GraphQL needs the request's body too: it says what was asked for."""
        _, faults = self._contract.reply(method.upper(), path, status, _lower(headers), body, request_body)
        self._judge(f"reply {status} to {method.upper()} {path}", faults)

    def _judge(self, where: str, faults: list[str]) -> None:
        if faults:
            violation = Violation(where, faults)
            self.violations.append(violation)
            raise violation


class RefereedTransport(httpx.AsyncBaseTransport):
    """Checks every exchange on its way.

    Paths that begin with one of ``free`` (a token endpoint, say) and foreign hosts are let through. Replies 429 and
    5xx are not judged: contracts seldom describe them, and faults on request are not the channel's own words.
    """

    def __init__(
        self, transport: httpx.AsyncBaseTransport, referee: Referee, *, host: str = "", free: tuple[str, ...] = ()
    ) -> None:
        self._transport = transport
        self._referee = referee
        self._host = host
        self._free = free

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path, _, query = request.url.raw_path.decode("ascii").partition("?")
        if (self._free and path.startswith(self._free)) or (self._host and request.url.host != self._host):
            return await self._transport.handle_async_request(request)
        body = await request.aread()
        pairs = httpx.QueryParams(query).multi_items()
        self._referee.check_request(request.method, path, pairs, request.headers, body)
        response = await self._transport.handle_async_request(request)
        if response.status_code == 429 or response.status_code >= 500:
            return response
        content = await response.aread()
        self._referee.check_reply(
            request.method, path, response.status_code, response.headers, content, request_body=body
        )
        return httpx.Response(response.status_code, headers=response.headers, content=content, request=request)


def _read(path: Path) -> Any:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if {".yaml", ".yml"} & set(path.suffixes):
        return yaml.safe_load(content)
    return json.loads(content)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
