"""Who bought: sealed, apart from the order's numbers, and gone when its time is over."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from marketsync.adapter.orders import Address
from marketsync.ledger.sql import among, listed
from marketsync.ledger.types import micros
from marketsync.ledger.vault import Vault

EXPIRED_AT_ONCE = 1_000

_PUT = text(
    "INSERT INTO buyer (order_id, sealed, expires_at) VALUES (:order_id, :sealed, :expires_at)"
    " ON CONFLICT (order_id) DO UPDATE SET sealed = excluded.sealed, expires_at = excluded.expires_at"
)
_EXPIRE = text("UPDATE buyer SET expires_at = :expires_at WHERE order_id = :order_id")


@dataclass(frozen=True, slots=True)
class BuyerRow:
    """Where an order goes and who pays, to be sealed. ``expires_at`` None: the order is still open."""

    order_id: int
    buyer: Address
    billing: Address | None
    expires_at: datetime | None = None

    def document(self) -> dict[str, Any]:
        """What is sealed."""
        return {"buyer": _fields(self.buyer), "billing": None if self.billing is None else _fields(self.billing)}


def _fields(address: Address) -> dict[str, str]:
    return {name: getattr(address, name) for name in Address.__slots__}  # asdict copies deeply, ten times slower


def put_buyers(conn: Connection, vault: Vault, rows: Sequence[BuyerRow]) -> None:
    if rows:
        conn.execute(
            _PUT,
            [
                {
                    "order_id": row.order_id,
                    "sealed": vault.seal(row.document()),
                    "expires_at": None if row.expires_at is None else micros(row.expires_at),
                }
                for row in rows
            ],
        )


def open_buyers(conn: Connection, vault: Vault, order_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """The buyers of these orders as documents; orders whose buyer is unknown or gone are left out.

    Raises LedgerError where they were sealed with another key.
    """
    sql = f"SELECT order_id, sealed FROM buyer WHERE {among(conn, 'order_id', 'orders')}"
    rows = conn.execute(text(sql), {"orders": listed(conn, sorted(order_ids))})
    return {row.order_id: vault.open(bytes(row.sealed)) for row in rows}


def set_expiry(conn: Connection, expiries: Mapping[int, datetime]) -> None:
    """Orders that are complete: until when their buyers are kept."""
    if expiries:
        conn.execute(_EXPIRE, [{"order_id": order, "expires_at": micros(at)} for order, at in sorted(expiries.items())])


def expire_buyers(conn: Connection, now: datetime) -> int:
    """Delete buyers whose time is over, some at a time. Returns how many; call again until it is 0."""
    sql = (
        "DELETE FROM buyer WHERE order_id IN"
        " (SELECT order_id FROM buyer WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)"
    )
    return conn.execute(text(sql), {"now": micros(now), "limit": EXPIRED_AT_ONCE}).rowcount
