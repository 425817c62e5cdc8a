"""Engines for the two databases, set up the way the ledger needs them (docs/architecture.md, D3 to D5)."""

from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url

from marketsync.adapter.errors import LedgerError

BUSY_TIMEOUT_MS = 10_000


def _dumps(document: Any) -> str:
    return orjson.dumps(document).decode()


def is_sqlite(url: str) -> bool:
    return url.startswith("sqlite")


def sqlite_path(url: str) -> Path:
    """The file of a SQLite URL. Raises LedgerError for an in-memory database: a ledger outlives its process."""
    database = make_url(url).database
    if not database or database == ":memory:":
        message = "the ledger has to be a file: sqlite:///path/to/ledger.db"
        raise LedgerError(message)
    return Path(database)


def write_engine(url: str, *, connections: int = 4) -> Engine:
    """An engine whose transactions write: BEGIN IMMEDIATE on SQLite, so that a reader's lock is never upgraded."""
    if not is_sqlite(url):
        return _postgres(url, connections)
    sqlite_path(url).parent.mkdir(parents=True, exist_ok=True)
    return _sqlite(url, "IMMEDIATE", {"timeout": BUSY_TIMEOUT_MS / 1000}, pool=1)


def read_engine(url: str, *, connections: int = 3) -> Engine:
    """An engine for reading only."""
    if not is_sqlite(url):
        return _postgres(url, connections, read_only=True)
    path = sqlite_path(url)
    read_only = f"sqlite:///file:{path}?mode=ro&uri=true"
    return _sqlite(read_only, "DEFERRED", {"timeout": BUSY_TIMEOUT_MS / 1000}, pool=connections)


def _sqlite(url: str, begin: str, connect_args: dict[str, Any], *, pool: int) -> Engine:
    engine = create_engine(
        url,
        connect_args={**connect_args, "check_same_thread": False, "isolation_level": None},
        pool_size=pool,
        max_overflow=0,
        json_serializer=_dumps,
        json_deserializer=orjson.loads,
    )
    writes = begin == "IMMEDIATE"

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        if writes:
            cursor.execute("PRAGMA journal_mode=WAL")
            # FULL, not NORMAL: an intent and a rotated refresh token have to survive a power cut.
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA wal_autocheckpoint=4000")
            cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.execute("PRAGMA cache_size=-32000" if writes else "PRAGMA cache_size=-4000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(f"BEGIN {begin}")

    return engine


def _postgres(url: str, connections: int, *, read_only: bool = False) -> Engine:
    options = "-c timezone=UTC -c lock_timeout=30s -c idle_in_transaction_session_timeout=60s"
    if read_only:
        options += " -c default_transaction_read_only=on"
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        connect_args={"options": options},
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        json_serializer=_dumps,
        json_deserializer=orjson.loads,
    )
