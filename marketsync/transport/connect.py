"""Puts the transport of one account together."""

from pydantic import BaseModel

from marketsync.adapter.api import Log
from marketsync.adapter.clock import Clock
from marketsync.adapter.spec import AdapterSpec
from marketsync.transport.auth import Authenticator, TokenStore
from marketsync.transport.breaker import Breaker
from marketsync.transport.http import HttpClient, Observer
from marketsync.transport.limiter import BucketStore, Limiter
from marketsync.transport.wire import Transport


def connect(
    spec: AdapterSpec,
    settings: BaseModel,
    credentials: BaseModel,
    account: str,
    *,
    clock: Clock,
    buckets: BucketStore,
    tokens: TokenStore,
    observer: Observer,
    log: Log,
    transport: Transport | None = None,
) -> HttpClient:
    """The client of an account, with a limiter, a breaker and credentials of its own. Nothing is sent yet.

    ``transport`` replaces the network. Raises ``ConfigError`` where the base URL is none.
    """
    return HttpClient(
        spec,
        settings,
        credentials,
        account,
        clock,
        Limiter(account, spec.buckets(settings), clock, buckets),
        Breaker(account, clock, log),
        Authenticator(spec.auth(credentials, settings), account, clock, tokens),
        observer,
        transport,
    )
