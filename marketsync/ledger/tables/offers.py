"""The offer table, its outbox index, and the journal of pushes."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from marketsync.ledger.types import Document, RowId, Utc


def _hash(default: bytes) -> Any:
    return Field(default=default, sa_type=LargeBinary(16), nullable=False)


ABSENT = bytes(16)


class Offer(SQLModel, table=True):
    """One item on one channel. Aspects are columns: three rows an offer took 105 s and 1.7 GB where one takes 65 s.

    ``*_due`` says from when a dirty aspect may be sent; ``due_at`` and ``lane`` are derived from the whole row by one
    SQL expression (``marketsync.ledger.outbox``) and are NULL while nothing can be sent.
    """

    __tablename__ = "offer"
    __table_args__ = (
        UniqueConstraint("channel_id", "sku"),
        Index("offer_outbox", "channel_id", "lane", "due_at", sqlite_where=Column("due_at").isnot(None),
              postgresql_where=Column("due_at").isnot(None)),
        Index("offer_open", "open_batch", sqlite_where=Column("open_batch").isnot(None),
              postgresql_where=Column("open_batch").isnot(None)),
        Index("offer_remote", "channel_id", "remote_id", sqlite_where=Column("remote_id").isnot(None),
              postgresql_where=Column("remote_id").isnot(None)),
        Index("offer_family", "channel_id", "family", sqlite_where=Column("family").isnot(None),
              postgresql_where=Column("family").isnot(None)),
        Index("offer_held", "channel_id", sqlite_where=Column("held") != 0, postgresql_where=Column("held") != 0),
        Index("offer_stock_key", "stock_key", sqlite_where=Column("stock_key").isnot(None),
              postgresql_where=Column("stock_key").isnot(None)),
    )  # fmt: skip
    id: int | None = Field(default=None, sa_column=Column(RowId, primary_key=True))
    channel_id: int = Field(sa_column=Column(Integer, ForeignKey("channel.id"), nullable=False))
    sku: str = Field(sa_column=Column(String, nullable=False))
    item_sku: str = ""
    family: str | None = None
    remote_id: str | None = None  # the channel's own id
    fulfilled_by: str = "merchant"
    stock_key: str | None = None  # offers that share one remote quantity
    managed: int = Field(default=7, sa_column=Column(SmallInteger, nullable=False))
    held: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False))
    revision: int = 0
    open_batch: int | None = Field(default=None, sa_column=Column(BigInteger))
    open_aspects: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False))
    zero_sent: int = Field(
        default=0, sa_column=Column(SmallInteger, nullable=False)
    )  # past an open op, by a faster door
    forgotten: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False))  # sold while a stock op was open
    lane: int = Field(default=9, sa_column=Column(SmallInteger, nullable=False))
    due_at: int | None = Field(default=None, sa_column=Column(BigInteger))

    listing_desired: bytes = _hash(ABSENT)
    listing_acked: bytes = _hash(ABSENT)
    listing_seen: bytes = _hash(ABSENT)
    listing_due: int | None = Field(default=None, sa_column=Column(BigInteger))
    listing_since: int | None = Field(default=None, sa_column=Column(BigInteger))
    listing_parked: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16)))
    listing_attempts: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False))
    listing_acked_at: int | None = Field(default=None, sa_column=Column(BigInteger))

    price_desired: bytes = _hash(ABSENT)
    price_acked: bytes = _hash(ABSENT)
    price_seen: bytes = _hash(ABSENT)
    price_due: int | None = Field(default=None, sa_column=Column(BigInteger))
    price_since: int | None = Field(default=None, sa_column=Column(BigInteger))
    price_parked: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16)))
    price_attempts: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False))
    price_acked_at: int | None = Field(default=None, sa_column=Column(BigInteger))

    stock_desired: bytes = _hash(ABSENT)
    stock_acked: bytes = _hash(ABSENT)
    stock_seen: bytes = _hash(ABSENT)
    stock_due: int | None = Field(default=None, sa_column=Column(BigInteger))
    stock_since: int | None = Field(default=None, sa_column=Column(BigInteger))
    stock_parked: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16)))
    stock_attempts: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False))
    stock_acked_at: int | None = Field(default=None, sa_column=Column(BigInteger))
    stock_quantity: int = 0  # desired
    stock_acked_quantity: int | None = None  # NULL while nobody can know
    stock_basis: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))  # newest knowledge it rests on

    left_at: int | None = Field(default=None, sa_column=Column(BigInteger))  # since when it is in no assortment
    seen_at: int | None = Field(default=None, sa_column=Column(BigInteger))
    proved: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False))  # aspects seen since their last ack
    healed_on: int | None = None  # ordinal of the day of the last heal
    revisions_on: int | None = None  # ordinal of the day that revisions_today counts
    revisions_today: int = 0

    # Last, so that SQLite reads none of it for what stands before: a listing fills pages of its own.
    price_acked_content: dict[str, Any] | None = Field(default=None, sa_column=Column(Document))
    price_content: dict[str, Any] | None = Field(default=None, sa_column=Column(Document))
    stock_acked_content: dict[str, Any] | None = Field(default=None, sa_column=Column(Document))
    stock_content: dict[str, Any] | None = Field(default=None, sa_column=Column(Document))
    listing_acked_content: dict[str, Any] | None = Field(default=None, sa_column=Column(Document))
    listing_content: dict[str, Any] | None = Field(default=None, sa_column=Column(Document))


class PushBatch(SQLModel, table=True):
    """The intent, written before the request: its id is the idempotency key."""

    __tablename__ = "push_batch"
    __table_args__ = (
        Index("push_batch_open", "channel_id", sqlite_where=Column("closed_at").is_(None),
              postgresql_where=Column("closed_at").is_(None)),
        Index("push_batch_started", "started_at"),
    )  # fmt: skip
    id: int | None = Field(default=None, sa_column=Column(RowId, primary_key=True))
    channel_id: int = Field(sa_column=Column(Integer, ForeignKey("channel.id"), nullable=False))
    run_id: int | None = Field(default=None, sa_column=Column(BigInteger))
    operation: str
    epoch: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    started_at: datetime = Field(sa_type=Utc)
    closed_at: datetime | None = Field(default=None, sa_type=Utc)
    receipt: str | None = None
    ask_at: datetime | None = Field(default=None, sa_type=Utc)
    request_id: str = ""
    ops: int = 0
    outcome: str = ""


class PushItem(SQLModel, table=True):
    """One op of a batch: what was in flight, and what became of it per aspect (bit masks)."""

    __tablename__ = "push_item"
    batch_id: int = Field(sa_column=Column(BigInteger, ForeignKey("push_batch.id"), primary_key=True))
    offer_id: int = Field(sa_column=Column(BigInteger, primary_key=True))
    position: int
    aspects: int = Field(sa_column=Column(SmallInteger, nullable=False))
    revision: int
    withdraw: bool = False
    listing_hash: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16)))
    price_hash: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16)))
    stock_hash: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16)))
    listing_before: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16)))  # acknowledged, to restore
    price_before: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16)))
    stock_before: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16)))
    past_open: bool = False  # stock zero by a faster door, beside an open op
    content: dict[str, Any] | None = Field(default=None, sa_column=Column(Document))  # price and stock in flight
    results: dict[str, Any] | None = Field(
        default=None, sa_column=Column(Document)
    )  # aspect -> [result, code, message]
