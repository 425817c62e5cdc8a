"""Returns: pulled like orders, their cursor in the same transaction as each page."""

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection

from marketsync.adapter.api import OrderCursor, PullsReturns, ReturnPage
from marketsync.adapter.errors import UnexpectedReply
from marketsync.ledger import tasks
from marketsync.ledger.gateway import Rank
from marketsync.ledger.order_context import Stored
from marketsync.ledger.returns import store_returns
from marketsync.ledger.types import micros, moment
from marketsync.sync.live import House, LiveAccount
from marketsync.sync.order_context import count, order_context

TASK = "returns"


@dataclass(slots=True)
class PulledReturns:
    pages: int = 0
    stored: Stored = field(default_factory=Stored)

    @property
    def totals(self) -> dict[str, int]:
        return {name: value for name in ("new", "changed", "older") if (value := getattr(self.stored, name))}


async def pull_returns(house: House, account: LiveAccount) -> PulledReturns:
    """Store every return that changed since the last pull. Raises AdapterError and LedgerError.

    A pull that was cut off begins anew: returns are few, and what is read twice is harmless.
    """
    adapter, pulled = account.adapter, PulledReturns()
    if not isinstance(adapter, PullsReturns):
        return pulled
    owner = f"account:{account.name}"
    since = ((await house.ledger.read(partial(tasks.load, owner=owner, task=TASK))).cursor or {}).get("since")
    high, token, began, seen = since, None, house.clock.now(), set[str]()
    while True:
        start = None if since is None else moment(since) - account.spec.order_overlap
        page = await adapter.returns(OrderCursor(since=start, page=token))
        token = page.next_page
        if token is not None and token in seen:
            raise UnexpectedReply(
                f"the pages of the returns of {account.name} go round in a circle", evidence=token[:200]
            )
        seen.add(token or "")
        high = max(
            [micros(told.updated) for told in page.returns] + [at for at in (high,) if at is not None], default=None
        )
        ceiling = micros(began) + account.spec.order_overlap // timedelta(microseconds=1)
        cursor = None if token is not None or high is None else {"since": min(high, ceiling)}
        stored = await house.ledger.write(
            partial(_store, house=house, account=account, page=page, cursor=cursor), Rank.RESULTS
        )
        count(house, stored)
        pulled.pages += 1
        pulled.stored.add(stored)
        if token is None:
            return pulled


def _store(
    conn: Connection, house: House, account: LiveAccount, page: ReturnPage, cursor: dict[str, int] | None
) -> Stored:
    stored = store_returns(conn, account.id, page.returns, order_context(conn, house, account))
    if cursor is not None:
        tasks.save_cursor(conn, f"account:{account.name}", TASK, cursor)
    return stored
