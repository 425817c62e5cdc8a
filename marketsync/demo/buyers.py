"""Buyers: they buy what the markets show, pay late at times, and now and then all want the same last piece."""

import asyncio
import random
from collections.abc import Sequence

from marketsync.adapter.clock import Clock
from marketsync.demo.markets import Markets
from marketsync_adapters.sandbox.market import Market
from marketsync_adapters.sandbox.rules import Refused

PAUSE = 0.08  # seconds between two buyers


class Buyers:
    """Buys until it is cancelled. ``seed`` makes a demo repeatable."""

    def __init__(self, markets: Markets, names: Sequence[str], clock: Clock, seed: int) -> None:
        self._markets, self._names, self._clock = markets, names, clock
        self._chance = random.Random(seed)
        self._unpaid: list[tuple[str, str]] = []

    async def buy(self) -> None:
        """Go on buying."""
        while True:
            await asyncio.to_thread(self._one)
            await self._clock.sleep(PAUSE)

    def pay_all(self) -> None:
        """Whoever has not paid yet does so now."""
        while self._unpaid:
            name, order_id = self._unpaid.pop()
            self._markets.call(name, lambda market, order_id=order_id: market.sales.pay(order_id))  # type: ignore[misc]

    def _one(self) -> None:
        if self._unpaid and self._chance.random() < 0.2:
            name, order_id = self._unpaid.pop(0)
            self._markets.call(name, lambda market: market.sales.pay(order_id))
            return
        name = self._chance.choice(self._names)
        shown = self._markets.call(name, _sellable)
        if not shown:
            return
        last = [sku for sku, pieces in shown.items() if pieces == 1]
        if last and self._chance.random() < 0.3:
            sku = self._chance.choice(last)
            for wanted in self._names:  # the same last piece, everywhere at once
                self._order(wanted, sku, 1)
            return
        sku = self._chance.choice(sorted(shown))
        self._order(name, sku, min(shown[sku], self._chance.choice((1, 1, 1, 2, 3))))

    def _order(self, name: str, sku: str, pieces: int) -> None:
        paid = self._chance.random() > 0.1
        try:
            order = self._markets.call(name, lambda market: market.buy([(sku, pieces)], paid=paid))
        except Refused:
            return  # somebody was faster
        if not paid:
            self._unpaid.append((name, order.order_id))


def _sellable(market: Market) -> dict[str, int]:
    return {offer.sku: offer.quantity for offer in market.shelf if offer.price is not None and offer.quantity}
