"""The real channel client over any httpx transport, with nothing stored outside memory."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from pydantic import BaseModel

from marketsync.adapter.api import AdapterSpec, Clock, Log
from marketsync.domain.limits import BucketState
from marketsync.transport.auth import Authenticator, StoredToken
from marketsync.transport.breaker import Breaker
from marketsync.transport.http import HttpClient
from marketsync.transport.limiter import Change, Limiter

ACCOUNT = "contract"


class Buckets:
    """Implements ``BucketStore``."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, str], BucketState] = {}

    async def update(self, account: str, bucket: str, change: Change) -> float:
        self._states[account, bucket], seconds = change(self._states.get((account, bucket)))
        return seconds


class Tokens:
    """Implements ``TokenStore``."""

    def __init__(self) -> None:
        self._tokens: dict[str, StoredToken] = {}

    async def load(self, account: str) -> StoredToken | None:
        return self._tokens.get(account)

    async def save(self, account: str, token: StoredToken, expected_version: int) -> bool:
        stored = self._tokens.get(account)
        if (stored.version if stored else 0) != expected_version:
            return False
        self._tokens[account] = token
        return True


class Calls:
    """Implements ``Observer``: requests by operation and status."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def call(self, account: str, operation: str, status: str, seconds: float, /) -> None:
        del account, seconds
        self.counts[operation, status] += 1

    def bucket_waited(self, account: str, bucket: str, seconds: float, /) -> None:
        """Waiting is what a limiter is for."""


@asynccontextmanager
async def channel_http(
    spec: AdapterSpec,
    settings: BaseModel,
    credentials: BaseModel,
    *,
    clock: Clock,
    log: Log,
    transport: httpx.AsyncBaseTransport,
) -> AsyncIterator[HttpClient]:
    client = HttpClient(
        spec,
        settings,
        credentials,
        ACCOUNT,
        clock,
        Limiter(ACCOUNT, spec.buckets(settings), clock, Buckets()),
        Breaker(ACCOUNT, clock, log),
        Authenticator(spec.auth(credentials, settings), ACCOUNT, clock, Tokens()),
        Calls(),
        transport=transport,
    )
    try:
        yield client
    finally:
        await client.aclose()
