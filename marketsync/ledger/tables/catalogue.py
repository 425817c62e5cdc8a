"""Tables of the seller's own side: sources, items, stock, overrides."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, UniqueConstraint
from sqlmodel import Field, SQLModel

from marketsync.ledger.types import Document, RowId, Utc


class SourceSnapshot(SQLModel, table=True):
    """One reading of a source, with the time it was exported and what the guards said of it."""

    __tablename__ = "source_snapshot"
    __table_args__ = (Index("source_snapshot_read", "source", "read_at"),)
    id: int | None = Field(default=None, sa_column=Column(RowId, primary_key=True))
    source: str
    exported_at: datetime = Field(sa_type=Utc)
    read_at: datetime = Field(sa_type=Utc)
    applied_at: datetime | None = Field(default=None, sa_type=Utc)
    checksum: str = ""
    marks: dict[str, Any] | None = Field(default=None, sa_column=Column(Document))
    header: list[str] | None = Field(default=None, sa_column=Column(Document))
    rows: int = 0
    changed: int = 0
    missing: int = 0
    problems: int = 0
    verdict: str = "reading"  # reading, applied, held, failed
    error: str = ""


class SourceItem(SQLModel, table=True):
    """What a source last said of a SKU, as a hash: an unchanged row costs one comparison."""

    __tablename__ = "source_item"
    source: str = Field(primary_key=True)
    sku: str = Field(primary_key=True)
    hash: bytes = Field(sa_column=Column(LargeBinary(16), nullable=False))
    figures: dict[str, int] | None = Field(default=None, sa_column=Column(Document))  # its stock figures by location


class Item(SQLModel, table=True):
    """One sellable SKU. ``content`` holds what each source says, by source name; reading merges them."""

    __tablename__ = "item"
    __table_args__ = (
        Index("item_rederive", "rederive_at", sqlite_where=Column("rederive_at").isnot(None),
              postgresql_where=Column("rederive_at").isnot(None)),
    )  # fmt: skip
    sku: str = Field(primary_key=True)
    content: dict[str, Any] = Field(sa_column=Column(Document, nullable=False))
    rederive_at: datetime | None = Field(default=None, sa_type=Utc)  # a sale price starts or ends
    deleted_at: datetime | None = Field(default=None, sa_type=Utc)


class StockLevel(SQLModel, table=True):
    """Pieces of a SKU at a location: the sum of its movements, and what reservations hold of them."""

    __tablename__ = "stock_level"
    sku: str = Field(primary_key=True)
    location: str = Field(primary_key=True)
    on_hand: int = 0
    reserved: int = 0
    figure_at: datetime | None = Field(default=None, sa_type=Utc)  # when the figure it rests on was read


class StockMovement(SQLModel, table=True):
    """Append-only. ``reference`` is unique: a movement is booked once, whatever happens."""

    __tablename__ = "stock_movement"
    __table_args__ = (UniqueConstraint("reference"), Index("stock_movement_sku", "sku", "location"))
    id: int | None = Field(default=None, sa_column=Column(RowId, primary_key=True))
    sku: str
    location: str
    delta: int
    kind: str  # opening, snapshot, shipment, return, recount, carry
    reference: str
    at: datetime = Field(sa_type=Utc)


class Reservation(SQLModel, table=True):
    """Pieces that an order line holds. ``fell_at``: the event at which the source's own figure falls has happened."""

    __tablename__ = "reservation"
    __table_args__ = (
        UniqueConstraint("line_id", "sku"),
        Index("reservation_sku", "sku", "location"),
        Index("reservation_fell", "location", "fell_at", sqlite_where=Column("fell_at").isnot(None),
              postgresql_where=Column("fell_at").isnot(None)),
    )  # fmt: skip
    id: int | None = Field(default=None, sa_column=Column(RowId, primary_key=True))
    line_id: int = Field(sa_column=Column(BigInteger, ForeignKey("order_line.id"), nullable=False))
    sku: str
    location: str
    quantity: int  # pieces held now
    fallen: int = 0  # of them, pieces whose event has happened and that wait for a later snapshot
    fell_at: datetime | None = Field(default=None, sa_type=Utc)


class Override(SQLModel, table=True):
    """A value that a person fixed for one SKU, in a source or by an undo; channel "*" means all."""

    __tablename__ = "override"
    channel: str = Field(primary_key=True)
    sku: str = Field(primary_key=True)
    field: str = Field(primary_key=True)
    value: str
    reason: str = ""
    until: datetime | None = Field(default=None, sa_type=Utc)
    who: str = ""
    source: str = ""
    since: datetime | None = Field(default=None, sa_type=Utc)  # of what an undo put back; a source tells no time


class ListingMap(SQLModel, table=True):
    """Channel SKU -> components: multipacks, kits, renamed SKUs. One row per component."""

    __tablename__ = "listing_map"
    __table_args__ = (Index("listing_map_item", "item_sku"),)
    channel_id: int = Field(sa_column=Column(Integer, ForeignKey("channel.id"), primary_key=True))
    channel_sku: str = Field(sa_column=Column(String, primary_key=True))
    item_sku: str = Field(sa_column=Column(String, primary_key=True))
    quantity: int = 1


class PriceHistory(SQLModel, table=True):
    """What price was live from when, until the next row. Outlives the journal (EU: lowest price of 30 days)."""

    __tablename__ = "price_history"
    channel_id: int = Field(sa_column=Column(Integer, ForeignKey("channel.id"), primary_key=True))
    sku: str = Field(sa_column=Column(String, primary_key=True))
    live_from: datetime = Field(sa_column=Column(Utc, primary_key=True))
    minor: int = Field(sa_column=Column(BigInteger, nullable=False))
    currency: str
    sale_minor: int | None = Field(default=None, sa_column=Column(BigInteger))
    sale_from: datetime | None = Field(default=None, sa_type=Utc)  # None: as long as the row
    sale_until: datetime | None = Field(default=None, sa_type=Utc)
    ended_at: datetime | None = Field(default=None, sa_type=Utc)  # the offer left the channel
