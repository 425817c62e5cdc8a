"""Orders: everything that changed on an account since the last pull comes home, a page in one transaction.

The cursor stands beside the page it belongs to: a crash goes on at the next page. The next pull begins a little before
the newest time that was seen, and the unique key makes what is read twice harmless.
"""

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from marketsync.adapter.api import OrderCursor, OrderPage, PullsOrders
from marketsync.adapter.errors import ItemRefused, UnexpectedReply
from marketsync.ledger import tasks
from marketsync.ledger.gateway import Rank
from marketsync.ledger.order_context import Stored
from marketsync.ledger.orders import resolve_unmapped, store_orders
from marketsync.ledger.types import micros, moment
from marketsync.sync.live import House, LiveAccount
from marketsync.sync.order_context import count, order_context

TASK = "orders"
AGAIN = "completeness"  # its cursor {"from": microseconds} asks the next pull to read from there again


@dataclass(frozen=True, slots=True)
class PullCursor:
    """How far a pull has got. Times in microseconds since 1970: ``since`` and ``high`` by the channel, ``began`` by us.

    ``since``: what was updated before it is stored. ``page``: the page to go on with, None between two pulls. ``high``:
    the newest update seen in this pull, which began at ``began``. ``again``: it reads again from there, see AGAIN.
    """

    since: int | None = None
    page: str | None = None
    high: int | None = None
    began: int | None = None
    again: int | None = None

    @property
    def start(self) -> datetime | None:
        """From where this pull reads, without the overlap."""
        known = [at for at in (self.since, self.again) if at is not None]
        return moment(min(known)) if self.since is not None else None


@dataclass(slots=True)
class Pulled:
    """What a pull brought, over all its pages."""

    pages: int = 0
    stored: Stored = field(default_factory=Stored)

    @property
    def totals(self) -> dict[str, int]:
        parts = {name: getattr(self.stored, name) for name in ("new", "changed", "same", "older", "refused")}
        oversold = sum(self.stored.oversold.values())
        return {name: value for name, value in (parts | {"oversold": oversold}).items() if value}


def owner(account: LiveAccount) -> str:
    return f"account:{account.name}"


async def pull_orders(house: House, account: LiveAccount) -> Pulled:
    """Store every order that changed since the last pull. Raises AdapterError and LedgerError; what is stored stays."""
    adapter = account.adapter
    pulled = Pulled()
    if not isinstance(adapter, PullsOrders):
        return pulled
    cursor = await house.ledger.read(partial(_load, account=account, now=house.clock.now()))
    seen: set[str] = set()
    while True:
        page, cursor = await _page(adapter, account, cursor, house)
        if page.next_page is not None and page.next_page in seen | {cursor.page}:
            message = f"the pages of the orders of {account.name} go round in a circle"
            raise UnexpectedReply(message, evidence=page.next_page[:200])
        seen.add(page.next_page or "")
        store = partial(_store, house=house, account=account, page=page, cursor=cursor)
        stored, cursor = await house.ledger.write(store, Rank.ORDERS)
        count(house, stored)
        pulled.pages += 1
        pulled.stored.add(stored)
        if page.next_page is None:
            return pulled


def _load(conn: Connection, account: LiveAccount, now: datetime) -> PullCursor:
    """A pull that was cut off goes on, and counts from its own beginning; else a new one begins now."""
    cursor = PullCursor(**(tasks.load(conn, owner(account), TASK).cursor or {}))
    if cursor.page is not None and cursor.began is not None:
        return cursor
    again = (tasks.load(conn, owner(account), AGAIN).cursor or {}).get("from")
    return PullCursor(since=cursor.since, began=micros(now), again=again)


async def _page(
    adapter: PullsOrders, account: LiveAccount, cursor: PullCursor, house: House
) -> tuple[OrderPage, PullCursor]:
    """The next page, and the cursor it was read with. A page that the channel does not know any more begins anew."""
    since = None if cursor.start is None else cursor.start - account.spec.order_overlap
    try:
        return await adapter.orders(OrderCursor(since=since, page=cursor.page)), cursor
    except (ItemRefused, UnexpectedReply):
        if cursor.page is None:
            raise
        house.log.warning("page of orders refused, the pull begins anew", account=account.name)
        fresh = PullCursor(since=cursor.since, began=micros(house.clock.now()), again=cursor.again)
        return await adapter.orders(OrderCursor(since=since)), fresh


def _following(cursor: PullCursor, page: OrderPage, overlap: timedelta) -> PullCursor:
    """The cursor after a page. At the end of a pull it advances by the channel's own times, never back.

    One order from the future (a clock that was wrong once) must not silence the channel: the cursor stays below the
    time at which the pull began.
    """
    assert cursor.began is not None
    known = [micros(order.updated) for order in page.orders]
    high = max([*known, *(at for at in (cursor.high,) if at is not None)], default=None)
    if page.next_page is not None:
        return replace(cursor, page=page.next_page, high=high)
    newest = max((at for at in (high, cursor.since) if at is not None), default=None)
    ceiling = cursor.began + overlap // timedelta(microseconds=1)
    return PullCursor(since=None if newest is None else min(newest, ceiling))


def _store(
    conn: Connection, house: House, account: LiveAccount, page: OrderPage, cursor: PullCursor
) -> tuple[Stored, PullCursor]:
    """One transaction: the page, what follows from it, and the cursor after it."""
    channel_of = {storefront: channel.id for storefront, channel in account.by_storefront.items()}
    stored = store_orders(conn, account.id, channel_of, page.orders, order_context(conn, house, account))
    following = _following(cursor, page, account.spec.order_overlap)
    complete = following.page is None
    pulled_from = moment(cursor.began) if complete and cursor.began is not None else None
    tasks.save_cursor(conn, owner(account), TASK, asdict(following), pulled_from=pulled_from)
    if complete and cursor.again is not None:
        asked = tasks.load(conn, owner(account), AGAIN).cursor or {}
        if asked.get("from") == cursor.again:  # else somebody asked anew while this pull was under way
            tasks.save_cursor(conn, owner(account), AGAIN, {"missing": asked.get("missing", 0)})
    return stored, following


async def resolve_lines(house: House, account: LiveAccount) -> Stored:
    """Lines whose channel SKU was unknown when they were stored: hold stock for those that are known now."""
    done = Stored()
    while True:
        stored = await house.ledger.write(
            lambda conn: resolve_unmapped(conn, account.id, order_context(conn, house, account)), Rank.ORDERS
        )
        done.add(stored)
        if not stored.changed:
            return done
