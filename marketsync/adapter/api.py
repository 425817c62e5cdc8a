"""The adapter interface: all that an author of an adapter has to know, on one page.

An adapter is a class built as ``(settings, context)``. It translates between marketsync's neutral content and one kind
of marketplace. What it can do is what Protocols it satisfies (``PushesOffers``, ``PullsOrders``, ...). It never
sleeps, retries, keeps state of its own or opens a connection: the engine waits, retries, remembers and sends. Any
method may be cancelled at any ``await``. Times are aware UTC datetimes; ids of the channel are opaque strings.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, runtime_checkable

from marketsync.adapter.clock import Clock
from marketsync.adapter.content import (
    Aspect,
    Listing,
    OfferOp,
    Price,
    PushOutcome,
    PushResult,
    Receipt,
    Result,
    Seen,
    Stock,
)
from marketsync.adapter.money import Money
from marketsync.adapter.orders import (
    Address,
    ChannelLine,
    ChannelOrder,
    ChannelReturn,
    Command,
    CommandLine,
    CommandResult,
    Fulfilment,
    OrderCursor,
    OrderPage,
    Payment,
    ReturnPage,
    ReturnState,
)
from marketsync.adapter.spec import (
    AdapterSpec,
    Auth,
    Bucket,
    Consent,
    CostPoints,
    HeaderAuth,
    MinInterval,
    NoAuth,
    OAuth2,
    Operation,
    Quota,
    Rate,
    Reply,
    SaleLowers,
    SignedAuth,
)

__all__ = [
    "AcknowledgesOrders",
    "Adapter",
    "AdapterContext",
    "AdapterSpec",
    "Address",
    "Aspect",
    "Auth",
    "Bucket",
    "CancelsOrders",
    "ChannelHttp",
    "ChannelLine",
    "ChannelOrder",
    "ChannelReturn",
    "Clock",
    "Command",
    "CommandLine",
    "CommandResult",
    "ConfirmsPushes",
    "Consent",
    "CostPoints",
    "CountsOrders",
    "Fulfilment",
    "HeaderAuth",
    "Listing",
    "Log",
    "LooksUpCommands",
    "MinInterval",
    "Money",
    "NoAuth",
    "OAuth2",
    "OfferOp",
    "Offers",
    "Operation",
    "OrderCursor",
    "OrderPage",
    "Payment",
    "Price",
    "PullsOrders",
    "PullsReturns",
    "PushOutcome",
    "PushResult",
    "PushesOffers",
    "Quota",
    "Rate",
    "ReadsOffers",
    "Receipt",
    "ReceivesWebhooks",
    "RefundsOrders",
    "Reply",
    "Result",
    "ReturnPage",
    "ReturnState",
    "SaleLowers",
    "Seen",
    "ShipsOrders",
    "SignedAuth",
    "Stock",
    "SubscribesWebhooks",
    "WebhookCall",
    "WebhookNotice",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookCall:
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    received: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookNotice:
    """What a webhook makes the engine look at. Contents of a webhook are never believed, only re-read."""

    task: str  # "orders", "returns", "reconcile"
    id: str  # the delivery's own id, to refuse a replay; "" where the channel has none
    sent: datetime | None = None


@runtime_checkable
class PushesOffers(Protocol):
    async def push(self, operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        """Write a full batch through one operation of the spec. Called with at most ``Operation.batch`` ops.

        Raising means: nothing but what the error says is known of the whole batch (``Unavailable``: nothing was
        applied; ``OutcomeUnknown``: read back; ``ItemRefused``: the batch is split until the guilty op is alone).
        """
        ...


@runtime_checkable
class ConfirmsPushes(Protocol):
    async def confirm(self, receipt: Receipt) -> PushOutcome:
        """Ask what became of a submission. Results for what is decided; ``receipt`` set while something is open."""
        ...


@runtime_checkable
class ReadsOffers(Protocol):
    def offers(self, skus: Sequence[str] | None = None) -> AsyncIterator[Seen]:
        """What the channel shows: for these SKUs (those missing are not on the channel), or everything, all pages."""
        ...


@runtime_checkable
class PullsOrders(Protocol):
    async def orders(self, cursor: OrderCursor) -> OrderPage:
        """One page of the orders updated at or after ``cursor.since`` (None: the channel's default window)."""
        ...


@runtime_checkable
class CountsOrders(Protocol):
    async def order_ids(self, placed_from: datetime, placed_to: datetime) -> Sequence[str]:
        """Every order id that the channel has for a window of placing times: the proof that none is missing."""
        ...


@runtime_checkable
class AcknowledgesOrders(Protocol):
    async def acknowledge(self, commands: Sequence[Command]) -> Sequence[CommandResult]:
        """Tell the channel that these orders are safely stored. One result per command, in order."""
        ...


@runtime_checkable
class ShipsOrders(Protocol):
    async def ship(self, command: Command) -> CommandResult: ...


@runtime_checkable
class CancelsOrders(Protocol):
    async def cancel(self, command: Command) -> CommandResult: ...


@runtime_checkable
class RefundsOrders(Protocol):
    async def refund(self, command: Command) -> CommandResult: ...


@runtime_checkable
class LooksUpCommands(Protocol):
    async def command_result(self, kind: str, command: Command) -> CommandResult | None:
        """Whether an earlier attempt of this command (acknowledge, ship, cancel, refund) took effect; None: no trace."""
        ...


@runtime_checkable
class PullsReturns(Protocol):
    async def returns(self, cursor: OrderCursor) -> ReturnPage: ...


@runtime_checkable
class ReceivesWebhooks(Protocol):
    def webhook(self, call: WebhookCall) -> Sequence[WebhookNotice]:
        """Check the signature and say what to look at. Raises ``AuthRefused`` where the signature is wrong."""
        ...


@runtime_checkable
class SubscribesWebhooks(Protocol):
    async def subscribe(self) -> Sequence[str]:
        """Make the channel send its notifications to ``AdapterContext.webhook_url``, and turn on again what it turned off.

        Called at start and every hour, only where there is such an address. Read what there is, add what is missing:
        the answer of an earlier call may have been lost, and nobody wants a notification twice. Returns what was
        changed, one short text each; nothing where the settings want no notifications.
        """
        ...


class ChannelHttp(Protocol):
    """The only door to the network. Limits, retries, tokens, the breaker and redaction live behind it."""

    async def request(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | Sequence[str]] | None = None,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        accept: frozenset[int] = frozenset(),
        cost: float | None = None,
    ) -> Reply:
        """Send one request through the buckets of ``operation``.

        ``path`` is joined to the base URL, or stands alone when it is a whole URL (then no credentials are sent to a
        foreign host). 2xx statuses and those in ``accept`` come back; every other becomes the error that the status
        table and the spec's ``errors`` name. Decimals in ``json`` are written as numbers.
        """
        ...

    def learn(self, bucket: str, *, available: float, capacity: float, restore: float) -> None:
        """Teach a cost bucket what the channel said of it."""
        ...


class Offers(Protocol):
    """What the ledger knows of this channel's offers."""

    async def ids(self, skus: Sequence[str]) -> Mapping[str, str]:
        """Channel ids by SKU; SKUs without one are left out."""
        ...

    async def skus(self, channel_ids: Sequence[str]) -> Mapping[str, str]:
        """SKUs by channel id; unknown ids are left out."""
        ...


class Log(Protocol):
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterContext:
    channel: str
    account: str
    storefronts: Sequence[str]  # all that the account sells on; orders are pulled for all of them at once
    http: ChannelHttp
    clock: Clock
    log: Log
    offers: Offers
    webhook_url: str = ""  # where the internet reaches this channel's webhooks; "" where it does not


class Adapter(Protocol):
    """What the engine builds: ``AdapterClass(settings, context)``."""

    spec: ClassVar[AdapterSpec]

    def __init__(self, settings: Any, context: AdapterContext) -> None: ...

    async def check(self) -> str:
        """One line that says who we are logged in as. Raises ``ChannelBlocked`` where we are not."""
        ...

    async def aclose(self) -> None: ...
