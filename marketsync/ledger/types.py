"""Column types that mean the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, Dialect, Integer
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A rowid on SQLite, where only INTEGER PRIMARY KEY is one.
RowId = BigInteger().with_variant(Integer(), "sqlite")

Document = JSON().with_variant(JSONB(), "postgresql")


def micros(moment: datetime) -> int:
    """Microseconds since 1970 of an aware datetime: how every time stands in the ledger."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment(value: int) -> datetime:
    """The aware UTC datetime of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=value)


class Utc(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as microseconds since 1970 in a BIGINT on both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | int | None, dialect: Dialect) -> Any:  # noqa: ARG002 (SQLAlchemy's signature)
        return micros(value) if isinstance(value, datetime) else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (SQLAlchemy's signature)
        return None if value is None else moment(value)
