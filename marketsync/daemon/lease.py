"""PostgreSQL: one daemon at a time works on a ledger. Its lease is renewed while it lives, and fences it when it is lost."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection, text

from marketsync.adapter.clock import Clock
from marketsync.adapter.errors import Busy, MarketsyncError
from marketsync.ledger import leases
from marketsync.ledger.gateway import Fence, Ledger
from marketsync.ledger.types import micros

ALL, TASK = "*", "daemon"
LIFE = timedelta(seconds=15)
ASK_EVERY = 1.0  # seconds


@asynccontextmanager
async def leased(ledger: Ledger, clock: Clock, *, patience: float = LIFE.total_seconds() + 5) -> AsyncIterator[Fence]:
    """Own the ledger for the block; every write of ``ledger`` is fenced from here on.

    Waits ``patience`` seconds for a daemon that was killed to be over; Busy where one is alive.
    """
    owner = f"{socket.gethostname()}:{os.getpid()}"
    fence = await _acquire(ledger, clock, owner, patience)
    ledger.fence = fence
    keeper = asyncio.create_task(_keep(ledger, clock, fence))
    try:
        yield fence
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        ledger.fence = None
        await ledger.write(partial(leases.release, account=ALL, task=TASK, owner=owner, epoch=fence.epoch))


async def _acquire(ledger: Ledger, clock: Clock, owner: str, patience: float) -> Fence:
    waited = 0.0
    while True:
        epoch = await ledger.write(partial(_take, owner=owner, clock=clock))
        if isinstance(epoch, int):
            return Fence(ALL, TASK, owner, epoch)
        if waited >= patience:
            message = f"another marketsync works on this ledger ({epoch}): stop it first"
            raise Busy(message)
        await clock.sleep(ASK_EVERY)
        waited += ASK_EVERY


def _take(conn: Connection, owner: str, clock: Clock) -> int | str:
    """The epoch, or who has the lease. One whose process is gone from this machine is not waited for."""
    now = clock.now()
    row = conn.execute(
        text("SELECT owner, expires_at FROM lease WHERE account = :account AND task = :task FOR UPDATE"),
        {"account": ALL, "task": TASK},
    ).first()
    if row is not None and row.expires_at > micros(now) and _gone(row.owner):
        conn.execute(
            text("UPDATE lease SET expires_at = 0 WHERE account = :account AND task = :task"),
            {"account": ALL, "task": TASK},
        )
    epoch = leases.acquire(conn, ALL, TASK, owner, LIFE, now)
    if epoch is not None:
        return epoch
    return str(row.owner) if row else "unknown"


def _gone(owner: str) -> bool:
    host, _, pid = owner.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


async def _keep(ledger: Ledger, clock: Clock, fence: Fence) -> None:
    """Renew the lease. A failure is not fatal here: the fence itself stops what must not be written."""
    while True:
        await clock.sleep(LIFE.total_seconds() / 3)
        renew = partial(
            leases.renew, account=ALL, task=TASK, owner=fence.owner, epoch=fence.epoch, ttl=LIFE, now=clock.now()
        )
        try:
            await ledger.write(renew)
        except MarketsyncError:
            continue
