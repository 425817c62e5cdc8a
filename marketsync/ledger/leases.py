"""PostgreSQL: which worker may run a task of an account, until when, and the epoch that fences whoever lost it."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from marketsync.ledger.types import micros

_ACQUIRE = text(
    """
    INSERT INTO lease (account, task, owner, epoch, expires_at) VALUES (:account, :task, :owner, 1, :expires)
    ON CONFLICT (account, task) DO UPDATE SET owner = excluded.owner, epoch = lease.epoch + 1,
        expires_at = excluded.expires_at
    WHERE lease.owner = excluded.owner OR lease.expires_at <= :now
    RETURNING epoch
    """
)
_MINE = "account = :account AND task = :task AND owner = :owner AND epoch = :epoch"
_RENEW = text(f"UPDATE lease SET expires_at = :expires WHERE {_MINE}")
# The row stays: the next owner's epoch has to be a higher one.
_RELEASE = text(f"UPDATE lease SET expires_at = 0, owner = '' WHERE {_MINE}")


def acquire(conn: Connection, account: str, task: str, owner: str, ttl: timedelta, now: datetime) -> int | None:
    """Take the lease where it is free, expired or this owner's. Returns its epoch, higher than every one before, or None."""
    values = {"account": account, "task": task, "owner": owner, "now": micros(now), "expires": micros(now + ttl)}
    return conn.execute(_ACQUIRE, values).scalar()


def renew(conn: Connection, account: str, task: str, owner: str, epoch: int, ttl: timedelta, now: datetime) -> bool:
    """Keep the lease for another ``ttl``. False: another worker has taken it, stop quietly.

    One that expired unnoticed is renewed: as long as nobody took it, nothing happened.
    """
    values = {"account": account, "task": task, "owner": owner, "epoch": epoch, "expires": micros(now + ttl)}
    return conn.execute(_RENEW, values).rowcount == 1


def release(conn: Connection, account: str, task: str, owner: str, epoch: int) -> None:
    """Give the lease back. Nothing happens where another worker has taken it."""
    conn.execute(_RELEASE, {"account": account, "task": task, "owner": owner, "epoch": epoch})
