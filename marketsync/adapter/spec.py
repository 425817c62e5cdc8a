"""The adapter as data: operations, limits, authentication. `marketsync.adapter.api` re-exports it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import IntEnum
from typing import Any

from pydantic import BaseModel

from marketsync.adapter.content import Aspect
from marketsync.adapter.errors import AdapterError


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """``per_second`` calls sustained, ``burst`` at once (GCRA). ``learn``: a reply header that tells calls/second."""

    name: str
    per_second: float
    burst: int = 1
    learn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPoints:
    """A bucket of points refilled at ``restore`` per second. Replies may teach it through ``ChannelHttp.learn``."""

    name: str
    capacity: float
    restore: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """``limit`` calls per ``window``; a day starts at ``resets`` UTC. ``reserved`` is kept for urgent work (0..1)."""

    name: str
    limit: int
    window: timedelta
    resets: time = time(0, 0)
    reserved: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MinInterval:
    """At least ``seconds`` between two calls."""

    name: str
    seconds: float


Bucket = Rate | CostPoints | Quota | MinInterval


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call of the channel's API. ``aspects`` non-empty: a door for pushes, ``batch`` offers at a time.

    Of several doors for an aspect the engine takes the one with the largest ``worth_from`` (due offers) that the
    backlog reaches. ``urgent`` doors carry stock zero at once, whatever else is open for the offer; they come first
    as long as the zeros do not reach the ``worth_from`` of another door.
    """

    name: str
    buckets: tuple[str, ...] = ()
    aspects: frozenset[Aspect] = frozenset()
    batch: int = 1
    withdraws: bool = False
    creates: bool = False  # makes the offer; the other doors wait for the channel's id
    worth_from: int = 0
    urgent: bool = False
    writes: bool = True
    idempotent: bool = True  # may be sent again when nobody knows what became of it
    cost: float = 1.0
    timeout: timedelta = timedelta(seconds=30)
    undoable: bool = True
    token_prefix: str | None = None  # what stands before the access token; None: the prefix of the spec's OAuth2


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAuth:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderAuth:
    """Fixed headers (API keys, Basic). The values are secrets."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAuth:
    """Headers made anew for every request: ``sign(method, url with query, body, now)``."""

    sign: Callable[[str, str, bytes, datetime], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """How a seller allows marketsync to act for the account; ``marketsync channels login`` walks through it.

    ``url`` is the page to open, whole but for the parameter ``state``. From there the seller is sent to an address that
    holds a code, and the code is exchanged at the token URL (RFC 6749, 4.1). Without ``url`` the marketplace shows
    the refresh token itself, and the seller pastes it.
    """

    url: str = ""
    redirect_uri: str = ""  # as it was registered; it goes with the exchange
    code: str = "code"  # the parameter of that address that holds the code


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2:
    """Client credentials; or a seller's refresh token, where ``refresh_token`` or ``consent`` is set.

    Tokens are kept encrypted in the ledger and refreshed once for all. A refresh token that a login stored there counts
    until ``refresh_token`` changes. ``basic``: client id and secret travel as HTTP Basic, else in the form. ``header``
    and ``prefix`` say how the access token is presented.
    """

    token_url: str
    client_id: str
    client_secret: str
    refresh_token: str = ""
    scope: str = ""
    basic: bool = False
    header: str = "Authorization"
    prefix: str = "Bearer "
    extra: Mapping[str, str] = field(default_factory=dict)
    refresh_expires: datetime | None = None
    consent: Consent | None = None


Auth = NoAuth | HeaderAuth | SignedAuth | OAuth2


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the channel. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    json_loads: Callable[[bytes], Any]

    def json(self) -> Any:
        """The body as JSON, numbers with a fraction as Decimal. Raises ``UnexpectedReply`` where it is none."""
        return self.json_loads(self.content)

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")


class SaleLowers(IntEnum):
    """When the channel lowers its own stock."""

    NEVER = 0
    AT_PLACING = 1
    AT_PAYMENT = 2
    AT_EITHER = 3  # at one of both, as the order's way of paying wants it; nobody tells which


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSpec:
    """The adapter as data: the single source for validation, JSON Schema, documents and scheduling."""

    name: str
    title: str
    docs: str
    credentials: type[BaseModel]
    settings: type[BaseModel]
    base_url: Callable[[Any, Any], str]  # (credentials, settings)
    auth: Callable[[Any, Any], Auth]
    operations: tuple[Operation, ...]
    buckets: Callable[[Any], tuple[Bucket, ...]]  # (settings)
    mapping_version: Mapping[Aspect, int]  # raised when the adapter writes the same content differently
    observable: Mapping[Aspect, frozenset[str]]  # the fields that reading back can see
    login: Callable[[Any], tuple[str, ...]] = lambda _settings: ()  # where to click for credentials, step by step
    storefront: Callable[[Any], str] = lambda _settings: ""  # which storefront of the account these settings name
    api_versions: Mapping[str, str] = field(default_factory=dict)  # version -> until when
    groups_variants: bool = False
    price_bounds: tuple[int, int] = (1, 10**11)  # minor units
    stock_bounds: tuple[int, int] = (0, 10**9)
    schedules_sales: bool = True  # False: the channel knows one price, so a sale is what ``Price.at`` gives for now
    sale_lowers_stock: SaleLowers = SaleLowers.AT_PLACING
    zero_ends_listing: bool = False
    stock_by_location: bool = False  # the channel keeps quantities by location: ops carry ``Stock.locations``
    stock_shared: bool = False  # the offers of one SKU on the storefronts of an account show one quantity
    visible_after: timedelta = timedelta(minutes=5)  # how long a write takes to show
    keeps_order: bool = False  # submissions take effect in the order they were sent
    confirm_within: timedelta = timedelta(hours=24)  # an open submission is UNKNOWN after that
    order_overlap: timedelta = timedelta(minutes=10)
    revisions_per_day: int = 0  # per listing; 0: no limit
    concurrency: int = 4
    connection_limit: int = 6
    max_order_age: timedelta = timedelta(days=60)
    errors: Callable[[str, Reply], AdapterError | None] = lambda _operation, _reply: None

    def operation(self, name: str) -> Operation:
        return next(operation for operation in self.operations if operation.name == name)
