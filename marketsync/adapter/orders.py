"""Orders, returns and commands as a channel knows them. Data only; `marketsync.adapter.api` re-exports it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from marketsync.adapter.content import Result
from marketsync.adapter.money import Money


class Payment(StrEnum):
    PENDING = "pending"
    PAID = "paid"
    REFUNDED = "refunded"
    FAILED = "failed"


class Fulfilment(StrEnum):
    OPEN = "open"
    PARTLY_SHIPPED = "partly_shipped"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    name: str = ""
    company: str = ""
    street: str = ""
    street2: str = ""
    postcode: str = ""
    city: str = ""
    region: str = ""
    country: str = ""  # ISO 3166-1 alpha-2
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelLine:
    """One line of an order. Quantities are totals so far, not changes. Amounts are for the whole line."""

    line_id: str
    sku: str  # the channel SKU, exactly as the channel spells it
    quantity: int
    title: str = ""
    unit_ids: tuple[str, ...] = ()  # where the channel sells per piece
    cancelled: int = 0
    shipped: int = 0
    returned: int = 0
    refunded: int = 0
    amount: Money | None = None
    gross: bool = True
    tax: Money | None = None
    tax_rate: str = ""  # percent as a decimal string, "19"
    discount: Money | None = None
    discount_paid_by: str = "seller"
    fees: Money | None = None
    fulfilled_by: str = "merchant"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOrder:
    """An order as the channel shows it now, whole: the engine compares it with what it has stored."""

    order_id: str
    placed: datetime
    updated: datetime  # by the channel's own clock; the cursor advances by it
    payment: Payment
    fulfilment: Fulfilment
    currency: str
    lines: tuple[ChannelLine, ...]
    storefront: str = ""  # which storefront of the account sold it; "" where there is one
    ship_by: datetime | None = None
    cancel_requested: bool = False
    shipping: Money | None = None
    total: Money | None = None
    buyer: Address | None = None  # where it goes; None while the channel does not tell (pending payment)
    billing: Address | None = None
    acknowledged: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)  # what commands need later; nothing personal


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCursor:
    """Where a pull stands: everything updated at or after ``since``, from page ``page`` on."""

    since: datetime | None
    page: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPage:
    orders: Sequence[ChannelOrder]
    next_page: str | None = None  # None: the pull is complete


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    line_id: str
    sku: str
    quantity: int
    unit_ids: tuple[str, ...] = ()
    amount: Money | None = None  # refunds: for the whole line


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something the channel must do once. ``key`` is the same at every attempt."""

    key: str
    order_id: str
    lines: tuple[CommandLine, ...]  # empty: the whole order
    reason: str = ""
    carrier: str = ""
    tracking: str = ""
    shipped_at: datetime | None = None
    return_tracking: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)  # the order's own ``extra``


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    result: Result  # APPLIED, REJECTED, RETRY or UNKNOWN
    code: str = ""
    message: str = ""
    reference: str = ""  # the channel's id of what it made (shipment, refund)


class ReturnState(StrEnum):
    REQUESTED = "requested"
    RECEIVED = "received"
    REFUNDED = "refunded"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelReturn:
    return_id: str
    order_id: str
    line_id: str
    sku: str
    quantity: int
    state: ReturnState
    updated: datetime
    reason: str = ""
    sellable: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPage:
    returns: Sequence[ChannelReturn]
    next_page: str | None = None
