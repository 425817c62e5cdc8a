"""Tables of the house itself: accounts, channels, tasks, leases, limits, tokens, issues."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, LargeBinary, String, UniqueConstraint
from sqlmodel import Field, SQLModel

from marketsync.ledger.types import Document, RowId, Utc


class Meta(SQLModel, table=True):
    """Facts about the ledger itself: instance id, schema floor, check value of the key."""

    __tablename__ = "meta"
    name: str = Field(primary_key=True)
    value: str


class Account(SQLModel, table=True):
    """Credentials at one marketplace: owns rate buckets, order cursor and the quantities its storefronts share."""

    __tablename__ = "account"
    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    name: str = Field(sa_column=Column(String, unique=True, nullable=False))
    adapter: str
    state: str = "active"  # active, blocked
    why: str = ""
    changed_at: datetime = Field(sa_type=Utc)


class Channel(SQLModel, table=True):
    """One storefront of an account. ``state``: observing, active, paused, blocked, removed."""

    __tablename__ = "channel"
    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    name: str = Field(sa_column=Column(String, unique=True, nullable=False))
    account_id: int = Field(sa_column=Column(Integer, ForeignKey("account.id"), nullable=False, index=True))
    storefront: str = ""
    state: str = "observing"
    why: str = ""
    takes: int = 7  # bit mask of the aspects adopted: listing 1, price 2, stock 4
    adopted_at: datetime | None = Field(default=None, sa_type=Utc)
    rules_hash: bytes = Field(default=b"", sa_column=Column(LargeBinary, nullable=False))
    changed_at: datetime = Field(sa_type=Utc)


class TaskState(SQLModel, table=True):
    """Where a task of a channel, account or source (``owner``) stands."""

    __tablename__ = "task_state"
    owner: str = Field(primary_key=True)  # "channel:NAME", "account:NAME", "source:NAME", "sink:NAME", "ledger"
    task: str = Field(primary_key=True)
    cursor: dict[str, Any] | None = Field(default=None, sa_column=Column(Document))
    started_at: datetime | None = Field(default=None, sa_type=Utc)
    success_at: datetime | None = Field(default=None, sa_type=Utc)
    pulled_from: datetime | None = Field(default=None, sa_type=Utc)  # when the last complete pull began, by our clock
    not_before: datetime | None = Field(default=None, sa_type=Utc)
    failures: int = 0
    error: str = ""


class TaskRun(SQLModel, table=True):
    """One run of a task: what ``marketsync runs`` shows."""

    __tablename__ = "task_run"
    __table_args__ = (Index("task_run_started", "started_at"),)
    id: int | None = Field(default=None, sa_column=Column(RowId, primary_key=True))
    owner: str
    task: str
    reason: str = ""
    started_at: datetime = Field(sa_type=Utc)
    finished_at: datetime | None = Field(default=None, sa_type=Utc)
    outcome: str = "running"  # running, done, waiting, failed, blocked, interrupted
    counts: dict[str, Any] | None = Field(default=None, sa_column=Column(Document))
    error: str = ""


class Lease(SQLModel, table=True):
    """PostgreSQL: which worker may run a task of an account. The epoch fences those that lost it."""

    __tablename__ = "lease"
    account: str = Field(primary_key=True)
    task: str = Field(primary_key=True)
    owner: str
    epoch: int = Field(sa_column=Column(RowId, nullable=False))
    expires_at: datetime = Field(sa_type=Utc)


class RateBucket(SQLModel, table=True):
    """A limit whose state outlives the process."""

    __tablename__ = "rate_bucket"
    account: str = Field(primary_key=True)
    bucket: str = Field(primary_key=True)
    tat: float = Field(default=0.0, sa_column=Column(Float(53), nullable=False))  # theoretical arrival, Unix s
    blocked_until: float = Field(default=0.0, sa_column=Column(Float(53), nullable=False))
    learned: float | None = Field(default=None, sa_column=Column(Float(53)))
    used: float = Field(default=0.0, sa_column=Column(Float(53), nullable=False))
    window_start: float = Field(default=0.0, sa_column=Column(Float(53), nullable=False))


class OauthToken(SQLModel, table=True):
    """Tokens of an account, encrypted; replaced only by compare-and-set on ``version``."""

    __tablename__ = "oauth_token"
    account: str = Field(primary_key=True)
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    expires_at: datetime | None = Field(default=None, sa_type=Utc)
    refresh_expires_at: datetime | None = Field(default=None, sa_type=Utc)
    version: int = 1


class Hold(SQLModel, table=True):
    """What a guard stopped, until a person approves it."""

    __tablename__ = "hold"
    __table_args__ = (Index("hold_offer", "channel", "sku"), Index("hold_state", "state", "channel", "guard"))
    id: int | None = Field(default=None, sa_column=Column(RowId, primary_key=True))
    channel: str | None = None
    source: str | None = None
    sku: str | None = None
    aspect: str | None = None
    guard: str
    message: str
    details: dict[str, Any] | None = Field(default=None, sa_column=Column(Document))
    cause: bytes | None = Field(default=None, sa_column=Column(LargeBinary))  # stands for what was stopped
    state: str = "held"  # held, approved, rejected, expired
    opened_at: datetime = Field(sa_type=Utc)
    decided_at: datetime | None = Field(default=None, sa_type=Utc)
    decided_by: str = ""
    reason: str = ""


class Issue(SQLModel, table=True):
    """Something a person should look at; open while ``closed_at`` is NULL. ``scope`` names the channel, source or sink."""

    __tablename__ = "issue"
    __table_args__ = (UniqueConstraint("scope", "sku", "code"), Index("issue_open", "closed_at", "scope", "code"))
    id: int | None = Field(default=None, sa_column=Column(RowId, primary_key=True))
    scope: str  # "channel:NAME", "source:NAME", "sink:NAME", "account:NAME"
    sku: str = ""
    code: str
    reason: str = ""  # the channel's own code, where it refused something
    message: str
    hint: str = ""
    place: str = ""  # file:row:column where it has one
    count: int = 1
    first_seen: datetime = Field(sa_type=Utc)
    last_seen: datetime = Field(sa_type=Utc)
    closed_at: datetime | None = Field(default=None, sa_type=Utc)
