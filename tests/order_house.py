"""The engine with one adopted channel ``shop`` whose adapter a test brings itself; its clock stands an hour after START."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from marketsync.ledger.gateway import Ledger
from marketsync.ledger.orders import store_orders
from marketsync.ledger.stock import Movement, book
from marketsync.sync.live import LiveAccount
from marketsync.sync.order_context import order_context
from marketsync.testing.clock import TurnedClock
from tests.engine import Engine, engine, sandboxes, write_config
from tests.order_desk import START

OVERLAP = timedelta(minutes=10)


class Shop(Engine):
    """An engine, and shortcuts to its one account."""

    @property
    def account(self) -> LiveAccount:
        return self.house.accounts["shop"]

    @property
    def ledger(self) -> Ledger:
        return self.house.ledger

    def store(self, *orders: Any) -> None:
        """Store orders as a pull does."""
        channel_of = {"": self.account.channels["shop"].id}
        self.ledger.write_now(
            lambda conn: store_orders(
                conn, self.account.id, channel_of, orders, order_context(conn, self.house, self.account)
            )
        )

    def items(self, **on_hand: int) -> None:
        def write(conn: Any) -> None:
            for sku, pieces in on_hand.items():
                conn.execute(text("INSERT INTO item (sku, content) VALUES (:sku, '{}')"), {"sku": sku})
                book(conn, [Movement(sku, "main", pieces, "opening", f"opening:main:{sku}", START)])

        self.ledger.write_now(write)

    def level(self, sku: str) -> tuple[object, ...]:
        return self.rows("SELECT on_hand, reserved FROM stock_level WHERE sku = :sku", sku=sku)[0]


class Silent:
    """What every adapter has."""

    async def check(self) -> str:
        return "nobody"

    async def aclose(self) -> None:
        pass


class Open:
    """A connection without limits. ``waits``: what the next reservations say."""

    def __init__(self, http: Any) -> None:
        self._http = http
        self.waits: list[float] = []

    async def reserve(self, _operation: str, *, urgent: bool = False) -> float:
        return self.waits.pop(0) if self.waits else 0.0

    async def release(self, _operation: str) -> None:
        pass

    async def aclose(self) -> None:
        await self._http.aclose()


def play(
    test: Callable[[Shop], Awaitable[None]],
    folder: Path,
    ledger_url: str,
    adapter: Any,
    *,
    extra: str = "",
    tail: str = "",
) -> None:
    """Run an async test on a fresh ledger. ``extra``: YAML of the channel, ``tail``: of the whole file."""

    async def run() -> None:
        path = write_config(folder, ledger_url, sandboxes("shop", extra=extra) + tail)
        clock = TurnedClock(START + timedelta(hours=1))
        async with engine(path, clock=clock) as running:
            shop = Shop(running.house, running.markets, clock)
            await shop.activate()
            # Adopted long before the orders of the tests.
            await shop.ledger.write(lambda conn: conn.execute(text("UPDATE channel SET adopted_at = 1")))
            shop.account.channels["shop"].adapter = adapter
            shop.account.http = Open(shop.account.http)  # type: ignore[assignment]
            shop.account.spec = replace(shop.account.spec, order_overlap=OVERLAP)
            await test(shop)
            await shop.dispatcher.close(1)

    asyncio.run(run())
