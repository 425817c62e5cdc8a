"""Tables of orders, returns, commands and deliveries. Buyers live in one encrypted table apart from the numbers."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from marketsync.ledger.types import Document, RowId, Utc


def _order_key() -> Any:
    return Field(sa_column=Column(BigInteger, ForeignKey("sales_order.id"), nullable=False, index=True))


class SalesOrder(SQLModel, table=True):
    """An order, once per (account, channel_order_id). Payment and fulfilment are separate axes."""

    __tablename__ = "sales_order"
    __table_args__ = (
        UniqueConstraint("account_id", "channel_order_id"),
        Index("sales_order_state", "channel_id", "payment", "fulfilment"),
        Index("sales_order_placed", "account_id", "placed_at"),
        Index("sales_order_unmapped", "account_id", sqlite_where=text("unmapped"), postgresql_where=text("unmapped")),
    )
    id: int | None = Field(default=None, sa_column=Column(RowId, primary_key=True))
    account_id: int = Field(sa_column=Column(Integer, ForeignKey("account.id"), nullable=False))
    channel_id: int = Field(sa_column=Column(Integer, ForeignKey("channel.id"), nullable=False))
    channel_order_id: str
    key: str = Field(sa_column=Column(String, unique=True, nullable=False))  # idempotency key for sinks
    revision: int = 1
    payment: str
    fulfilment: str
    placed_at: datetime = Field(sa_type=Utc)
    updated_at: datetime = Field(sa_type=Utc)  # the channel's own time
    stored_at: datetime = Field(sa_type=Utc)
    ship_by: datetime | None = Field(default=None, sa_type=Utc)
    cancel_requested: bool = False
    acknowledged: bool = False
    currency: str
    total_minor: int | None = Field(default=None, sa_column=Column(BigInteger))
    shipping_minor: int | None = Field(default=None, sa_column=Column(BigInteger))
    has_address: bool = False
    before_adoption: bool = False
    unmapped: bool = False
    content_hash: bytes = Field(sa_column=Column(LargeBinary(16), nullable=False))
    extra: dict[str, Any] | None = Field(default=None, sa_column=Column(Document))


class OrderLine(SQLModel, table=True):
    """One line: quantities are totals so far, amounts are for the whole line."""

    __tablename__ = "order_line"
    __table_args__ = (UniqueConstraint("order_id", "channel_line_id"), Index("order_line_sku", "channel_sku"))
    id: int | None = Field(default=None, sa_column=Column(RowId, primary_key=True))
    order_id: int = _order_key()
    channel_line_id: str
    channel_sku: str
    title: str = ""
    unit_ids: list[str] | None = Field(default=None, sa_column=Column(Document))
    components: dict[str, int] | None = Field(default=None, sa_column=Column(Document))  # item SKU -> pieces per unit
    fulfilled_by: str = "merchant"
    ordered: int
    cancelled: int = 0
    shipped: int = 0
    returned: int = 0
    refunded: int = 0
    restocked: int = 0
    oversold: int = 0
    amount_minor: int | None = Field(default=None, sa_column=Column(BigInteger))
    gross: bool = True
    tax_minor: int | None = Field(default=None, sa_column=Column(BigInteger))
    tax_rate: str = ""
    discount_minor: int | None = Field(default=None, sa_column=Column(BigInteger))
    discount_paid_by: str = ""
    fees_minor: int | None = Field(default=None, sa_column=Column(BigInteger))


class OrderEvent(SQLModel, table=True):
    """What happened to an order, in order. Nothing personal."""

    __tablename__ = "order_event"
    id: int | None = Field(default=None, sa_column=Column(RowId, primary_key=True))
    order_id: int = _order_key()
    at: datetime = Field(sa_type=Utc)
    kind: str
    details: dict[str, Any] | None = Field(default=None, sa_column=Column(Document))


class Buyer(SQLModel, table=True):
    """Who bought, encrypted, until it expires."""

    __tablename__ = "buyer"
    __table_args__ = (Index("buyer_expiry", "expires_at"),)
    order_id: int = Field(sa_column=Column(BigInteger, ForeignKey("sales_order.id"), primary_key=True))
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    expires_at: datetime | None = Field(default=None, sa_type=Utc)


class OrderCommand(SQLModel, table=True):
    """Something the channel must do once: acknowledge, ship, cancel, refund."""

    __tablename__ = "order_command"
    __table_args__ = (
        UniqueConstraint("key"),
        Index("order_command_due", "account_id", "next_attempt", sqlite_where=Column("next_attempt").isnot(None),
              postgresql_where=Column("next_attempt").isnot(None)),
    )  # fmt: skip
    id: int | None = Field(default=None, sa_column=Column(RowId, primary_key=True))
    account_id: int = Field(sa_column=Column(Integer, ForeignKey("account.id"), nullable=False))
    order_id: int = _order_key()
    kind: str
    key: str
    payload: dict[str, Any] = Field(sa_column=Column(Document, nullable=False))
    state: str = "due"  # due, sent, done, rejected, held
    attempts: int = 0
    next_attempt: datetime | None = Field(default=None, sa_type=Utc)
    created_at: datetime = Field(sa_type=Utc)
    finished_at: datetime | None = Field(default=None, sa_type=Utc)
    reference: str = ""
    code: str = ""
    message: str = ""


class Delivery(SQLModel, table=True):
    """An order on its way to a sink. ``revision`` is the one to deliver, ``delivered`` the last that arrived."""

    __tablename__ = "delivery"
    __table_args__ = (
        Index("delivery_due", "sink", "next_attempt", sqlite_where=Column("next_attempt").isnot(None),
              postgresql_where=Column("next_attempt").isnot(None)),
    )  # fmt: skip
    order_id: int = Field(sa_column=Column(BigInteger, ForeignKey("sales_order.id"), primary_key=True))
    sink: str = Field(primary_key=True)
    revision: int
    delivered: int = 0
    state: str = "due"  # due, delivered, failed
    attempts: int = 0
    since: datetime = Field(sa_type=Utc)
    next_attempt: datetime | None = Field(default=None, sa_type=Utc)
    delivered_at: datetime | None = Field(default=None, sa_type=Utc)
    error: str = ""


class Shipment(SQLModel, table=True):
    """A parcel that the seller's side reported. The key makes a repeated report harmless."""

    __tablename__ = "shipment"
    __table_args__ = (UniqueConstraint("account_id", "channel_order_id", "key"),)
    id: int | None = Field(default=None, sa_column=Column(RowId, primary_key=True))
    account_id: int = Field(sa_column=Column(Integer, ForeignKey("account.id"), nullable=False))
    channel_order_id: str
    key: str
    kind: str = "shipment"  # shipment, cancellation, return
    document: dict[str, Any] = Field(sa_column=Column(Document, nullable=False))
    received_at: datetime = Field(sa_type=Utc)


class ReturnItem(SQLModel, table=True):
    """Goods that come back: requested, received, refunded. Restocked once, when received and sellable."""

    __tablename__ = "return_item"
    __table_args__ = (UniqueConstraint("account_id", "channel_order_id", "key"),)
    id: int | None = Field(default=None, sa_column=Column(RowId, primary_key=True))
    account_id: int = Field(sa_column=Column(Integer, ForeignKey("account.id"), nullable=False))
    channel_order_id: str
    key: str
    channel_line_id: str = ""
    channel_sku: str = ""
    quantity: int
    state: str
    sellable: bool | None = None
    restocked: bool = False
    reason: str = ""
    updated_at: datetime = Field(sa_type=Utc)
