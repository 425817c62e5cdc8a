"""What the queries share: patterns, times, sums of conditions."""

from datetime import datetime

from sqlalchemy import Connection

from marketsync.ledger.types import moment


def like(conn: Connection, column: str, name: str) -> str:
    """SQL: ``column`` matches the pattern bound under ``name`` with ``pattern``; case counts."""
    return f"{column} GLOB :{name}" if conn.dialect.name == "sqlite" else f"{column} LIKE :{name}"


def pattern(conn: Connection, written: str) -> str:
    """A pattern as people write it: ``*`` stands for anything, ``?`` for one character, all else for itself."""
    if conn.dialect.name == "sqlite":
        return written.replace("[", "[[]")
    for special in ("\\", "%", "_"):
        written = written.replace(special, "\\" + special)
    return written.replace("*", "%").replace("?", "_")


def when(value: int | None) -> datetime | None:
    """Microseconds since 1970 as an aware UTC datetime."""
    return None if value is None else moment(value)


def tally(condition: str) -> str:
    """SQL: how many rows meet a condition."""
    return f"SUM(CASE WHEN {condition} THEN 1 ELSE 0 END)"
