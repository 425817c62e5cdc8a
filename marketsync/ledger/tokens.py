"""OAuth tokens of accounts: sealed, and replaced only by who knows the version that he replaces."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from marketsync.ledger.types import micros, moment
from marketsync.ledger.vault import Vault


@dataclass(frozen=True, slots=True)
class TokenRow:
    """``document`` is what is sealed. Times are aware UTC."""

    document: dict[str, Any]
    expires: datetime | None
    refresh_expires: datetime | None
    version: int

    def __repr__(self) -> str:
        return f"TokenRow(version={self.version})"


_INSERT = text(
    "INSERT INTO oauth_token (account, sealed, expires_at, refresh_expires_at, version)"
    " VALUES (:account, :sealed, :expires, :refresh_expires, :version) ON CONFLICT (account) DO NOTHING"
)
_UPDATE = text(
    "UPDATE oauth_token SET sealed = :sealed, expires_at = :expires, refresh_expires_at = :refresh_expires,"
    " version = :version WHERE account = :account AND version = :expected"
)


def load(conn: Connection, vault: Vault, account: str) -> TokenRow | None:
    """The stored tokens. Raises LedgerError where they were sealed with another key."""
    sql = text("SELECT sealed, expires_at, refresh_expires_at, version FROM oauth_token WHERE account = :account")
    row = conn.execute(sql, {"account": account}).first()
    if row is None:
        return None
    return TokenRow(
        vault.open(bytes(row.sealed)), _moment(row.expires_at), _moment(row.refresh_expires_at), row.version
    )


def save(conn: Connection, vault: Vault, account: str, token: TokenRow, expected_version: int) -> bool:
    """Store the tokens if those stored have ``expected_version`` (0: none are stored). False: somebody was faster."""
    values = {
        "account": account, "sealed": vault.seal(token.document), "expires": _micros(token.expires),
        "refresh_expires": _micros(token.refresh_expires), "version": token.version,
    }  # fmt: skip
    if expected_version == 0:
        return conn.execute(_INSERT, values).rowcount == 1
    return conn.execute(_UPDATE, values | {"expected": expected_version}).rowcount == 1


def _moment(value: int | None) -> datetime | None:
    return None if value is None else moment(value)


def _micros(value: datetime | None) -> int | None:
    return None if value is None else micros(value)
