"""Lists of values in one parameter, the same on both databases: a JSON array on SQLite, an array on PostgreSQL."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Connection, text


def among(conn: Connection, column: str, name: str) -> str:
    """SQL: ``column`` is one of the values bound under ``name`` with ``listed``."""
    if conn.dialect.name == "sqlite":
        return f"{column} IN (SELECT value FROM json_each(:{name}))"
    return f"{column} = ANY(:{name})"


def listed(conn: Connection, values: Iterable[Any]) -> Any:
    """The values as one parameter for ``among``."""
    return orjson.dumps(list(values)).decode() if conn.dialect.name == "sqlite" else list(values)


_DERIVING = 0x6D73_6465_7269_7665  # one number for all that share a database


def alone(conn: Connection) -> None:
    """Until the end of the transaction nobody else derives: changes items or pieces, and offers from what they are.

    Called before the first of these is read. Else two transactions each derive from what the other has not committed
    yet, and the offer keeps what neither of them meant. SQLite has one writer anyway.
    """
    if conn.dialect.name != "sqlite":
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _DERIVING})


def document(conn: Connection, value: Any) -> Any:
    """A JSON document as a parameter of raw SQL."""
    if value is None:
        return None
    if conn.dialect.name == "sqlite":
        return orjson.dumps(value).decode()
    from psycopg.types.json import Jsonb  # noqa: PLC0415 (9 MiB that a ledger in a file does without)

    return Jsonb(value)


def returning_id(conn: Connection, insert: str, values: Mapping[str, Any]) -> int:
    """Run one INSERT and return the new row's id."""
    return int(conn.execute(text(insert + " RETURNING id"), dict(values)).scalar_one())


def dig(conn: Connection, column: str, *path: str, number: bool = False) -> str:
    """SQL: a value inside a JSON column, as text or, with ``number``, as an integer; an object stays JSON."""
    if conn.dialect.name == "sqlite":
        return f"json_extract({column}, '$.{'.'.join(path)}')"
    if number:
        return f"({column} #>> '{{{','.join(path)}}}')::bigint"
    return f"({column} #> '{{{','.join(path)}}}')"


_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


@cache
def _as_psycopg(sql: str) -> str:
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))


def many(conn: Connection, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run one statement for many rows, straight through the driver: SQLAlchemy's own way costs twice the statement.

    Values have to be what the driver takes: documents packed with ``document``, times in microseconds.
    """
    if rows:
        conn.exec_driver_sql(sql if conn.dialect.name == "sqlite" else _as_psycopg(sql), list(rows))
