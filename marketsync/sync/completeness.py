"""Completeness: counts the channel's orders of a window against the ledger, and asks for what is missing again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from marketsync.adapter.api import CountsOrders
from marketsync.ledger import tasks
from marketsync.ledger.gateway import Rank
from marketsync.ledger.issues import IssueRow, close_issues, raise_issues
from marketsync.ledger.order_rows import known_orders
from marketsync.ledger.types import micros
from marketsync.sync.live import House, LiveAccount
from marketsync.sync.orders import AGAIN, owner

WINDOW = timedelta(days=3)
MISSING = "orders_missing"
NAMED = 5
AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Gap:
    """What a count found; ``missing`` order ids. None counted: the channel cannot be asked."""

    counted: int = 0
    missing: tuple[str, ...] = ()

    @property
    def totals(self) -> dict[str, int]:
        return {"counted": self.counted, "missing": len(self.missing)} if self.counted else {}


async def check_completeness(house: House, account: LiveAccount, window: timedelta = WINDOW) -> Gap:
    """Compare the ids of the orders placed in the last ``window`` with the ledger. Raises AdapterError, LedgerError.

    Orders of the last moments may not be pulled yet and do not count. Where one is missing, the next pull reads the
    whole window again, and an issue stays open until a count finds nothing missing.
    """
    adapter = account.adapter
    if not isinstance(adapter, CountsOrders):
        return Gap()
    state = await house.ledger.read(lambda conn: tasks.load(conn, owner(account), "orders"))
    if state.pulled_from is None:
        return Gap()
    until = min(house.clock.now(), state.pulled_from) - account.spec.order_overlap
    start = until - min(window, account.spec.max_order_age)
    ids = list(dict.fromkeys(await adapter.order_ids(start, until)))
    missing = [
        order_id
        for part in range(0, len(ids), AT_ONCE)
        for order_id in await _missing(house, account, ids[part : part + AT_ONCE])
    ]
    await house.ledger.write(lambda conn: _note(conn, house, account, start, missing), Rank.RESULTS)
    return Gap(len(ids), tuple(missing))


async def _missing(house: House, account: LiveAccount, ids: Sequence[str]) -> list[str]:
    known = await house.ledger.read(partial(known_orders, account_id=account.id, order_ids=ids))
    return [order_id for order_id in ids if order_id not in known]


def _note(conn: Connection, house: House, account: LiveAccount, start: datetime, missing: Sequence[str]) -> None:
    now, scope = micros(house.clock.now()), owner(account)
    if not missing:
        close_issues(conn, scope, MISSING, None, now)
        tasks.save_cursor(conn, scope, AGAIN, {"missing": 0})
        return
    named = ", ".join(missing[:NAMED]) + (", ..." if len(missing) > NAMED else "")
    message = f"{len(missing)} orders of the channel are not in the ledger: {named}"
    hint = "they are read again with the next pull; if this stays open, see the account's other issues"
    raise_issues(conn, [IssueRow(scope, MISSING, message, hint=hint)], now)
    asked = (tasks.load(conn, scope, AGAIN).cursor or {}).get("from", micros(start))
    tasks.save_cursor(conn, scope, AGAIN, {"missing": len(missing), "from": min(micros(start), asked)})
