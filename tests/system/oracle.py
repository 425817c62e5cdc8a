"""An oracle that shares no code with the engine: it sees what the sandboxes see, and judges every stock write.

What it knows
-------------
``opening``     pieces of each item before the first sale. The truth, whoever owns the figure: an ERP whose figure falls
                at shipment shows on hand less what was shipped, and what is open is still to be taken off.
orders          every order that a buyer placed, at the moment it was placed, with what it took of each item.
evidence        that the daemon has an order in its ledger. There are three kinds, and all come after its COMMIT:
                the order was delivered to the seller's own system (``delivered``); the channel is told that the order is acknowledged; or a pull asks for what changed since a time that
                lies at or after the order's own (the feed's cursor less the overlap of 5 minutes, which the sandbox's
                README names): a cursor is stored in the transaction of the orders that it has passed.

What it demands of each write of a stock figure by the seller
-------------------------------------------------------------
* never more than ``show_at_most`` or a fixed figure of that SKU allows, raise or not;
* a write above what the shelf shows (a raise) is at most what could be sold at that moment:
  (opening + pieces that came back - pieces of every known order) // pieces per unit,
  "known" being evidence older than ``WINDOW`` (or the channel's own of ``windows``, where a write takes effect late): a
  write that was computed before the evidence may still be in flight.
  Cancelled pieces count as free from the moment the channel shows them as cancelled: nobody can know earlier.
* a write that lowers is always allowed.

Oversold units
--------------
Of each item the pieces sold above the opening: the buyers' wishes decide how often two channels sell the same last
piece, and the engine must count exactly these. ``avoidable`` lists those that were sold although the orders that
took the pieces had been known for longer than ``REACTION`` while the daemon lived: a slow machine, or a mistake.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

WINDOW = 2.0  # seconds
REACTION = 15.0  # seconds
OVERLAP = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Violation:
    """A write that the oracle does not allow."""

    channel: str
    sku: str
    before: int | None
    written: int
    allowed: int
    why: str

    def __str__(self) -> str:
        return (
            f"{self.channel}: {self.sku} was {self.before}, written {self.written}, allowed {self.allowed}: {self.why}"
        )


@dataclass(slots=True)
class _Sale:
    """A line of an order: so many pieces of an item per unit. ``line`` is the market's own, so it tells what is cancelled."""

    channel: str
    line: Any
    per_unit: int
    placed: float
    known: float | None = None

    def pieces(self) -> int:
        return (self.line.quantity - self.line.cancelled) * self.per_unit


@dataclass(slots=True)
class _Order:
    placed: datetime
    sales: list[_Sale]


@dataclass(slots=True)
class Oracle:
    """``packs``: by channel, channel SKU -> (item, pieces per unit). ``caps``: by channel and channel SKU, "" for all."""

    opening: Mapping[str, int]
    packs: Mapping[str, Mapping[str, tuple[str, int]]]
    caps: Mapping[str, Mapping[str, int]]
    windows: Mapping[str, float] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    writes: int = 0
    raises: int = 0
    avoidable: list[str] = field(default_factory=list)
    _sales: dict[str, list[_Sale]] = field(default_factory=lambda: defaultdict(list))
    _orders: dict[str, dict[str, _Order]] = field(default_factory=lambda: defaultdict(dict))
    _unknown: dict[str, dict[str, _Order]] = field(default_factory=lambda: defaultdict(dict))
    _back: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def watch(self, channel: str, market: Any) -> None:
        """See everything that happens on a market. Called in the market's own thread, before it is used."""
        market.shelf.on_stock_write.append(partial(self.stock_written, channel))
        market.sales.buy = self._after(market.sales.buy, lambda order, *_: self.bought(channel, order))
        market.sales.acknowledge = self._after(market.sales.acknowledge, partial(self._acknowledged, channel))
        market.sales.page = self._before(market.sales.page, partial(self._pulled, channel))

    def came_back(self, sku: str, pieces: int) -> None:
        """Pieces of an item were returned, and can be sold again."""
        with self._lock:
            self._back[sku] += pieces

    def left(self, sku: str) -> int:
        """What can be sold of an item in truth; below zero where it was oversold."""
        with self._lock:
            return self.opening.get(sku, 0) + self._back[sku] - sum(sale.pieces() for sale in self._sales[sku])

    def shows(self, channel: str, channel_sku: str) -> int:
        """What a channel should show of a SKU once everything is settled."""
        sku, per_unit = self._item(channel, channel_sku)
        return min(max(0, self.left(sku)) // per_unit, self._cap(channel, channel_sku))

    def oversold(self) -> dict[str, int]:
        """By item, the pieces sold above the opening. Cancelled ones count: they were sold when they were not there."""
        with self._lock:
            sold = {
                sku: sum(sale.line.quantity * sale.per_unit for sale in sales) for sku, sales in self._sales.items()
            }
            return {sku: over for sku, pieces in sold.items() if (over := pieces - self.opening.get(sku, 0)) > 0}

    # ------------------------------------------------------------------ what it sees

    @staticmethod
    def _after(method: Any, tell: Any) -> Any:
        def told(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            tell(result, *args)
            return result

        return told

    @staticmethod
    def _before(method: Any, tell: Any) -> Any:
        def told(*args: Any, **kwargs: Any) -> Any:
            tell(*args)
            return method(*args, **kwargs)

        return told

    def bought(self, channel: str, order: Any) -> None:
        """A buyer has bought. ``order``: its id, when it was placed, and lines that tell what is cancelled of them."""
        now = time.monotonic()
        with self._lock:
            sales = []
            for line in order.lines:
                sku, per_unit = self._item(channel, line.sku)
                if sku not in self.opening:
                    continue
                sale = _Sale(channel, line, per_unit, now)
                self._note_avoidable(channel, sku, sale, now)
                self._sales[sku].append(sale)
                sales.append(sale)
            self._orders[channel][order.order_id] = self._unknown[channel][order.order_id] = _Order(order.placed, sales)

    def _note_avoidable(self, channel: str, sku: str, sale: _Sale, now: float) -> None:
        """Whether these pieces were not there, and that had been known for long."""
        if self._known_left(sku, now - REACTION) < 0 or self._known_left(sku, now - REACTION) < sale.pieces():
            self.avoidable.append(f"{channel}: {sale.pieces()} pieces of {sku}")

    def delivered(self, channel: str, order_id: str) -> None:
        """The seller's own system has the order."""
        self._learn(channel, [order_id])

    def _acknowledged(self, channel: str, _done: Any, order_id: str, *_: Any) -> None:
        self._learn(channel, [order_id])

    def _pulled(self, channel: str, since: datetime | None, token: str | None, *_: Any) -> None:
        if since is None:
            return
        with self._lock:
            passed = [name for name, order in self._unknown[channel].items() if order.placed <= since + OVERLAP]
            self._learn(channel, passed)

    def _learn(self, channel: str, order_ids: Sequence[str]) -> None:
        now = time.monotonic()
        with self._lock:
            for order_id in order_ids:
                order = self._unknown[channel].pop(order_id, None)
                for sale in order.sales if order is not None else ():
                    sale.known = now

    # ------------------------------------------------------------------ what it demands

    def stock_written(self, channel: str, write: Any) -> None:
        """A figure on a shelf has changed: sku, before, quantity, and by whom (``cause``)."""
        if write.cause != "write":
            return
        with self._lock:
            sku, per_unit = self._item(channel, write.sku)
            if sku not in self.opening:
                return
            self.writes += 1
            cap = self._cap(channel, write.sku)
            if write.quantity > cap:
                self._violated(channel, write, cap, "more than may be shown")
            if write.quantity <= (write.before or 0):
                return
            self.raises += 1
            window = self.windows.get(channel, WINDOW)
            allowed = max(0, self._known_left(sku, time.monotonic() - window)) // per_unit
            if write.quantity > allowed:
                self._violated(channel, write, allowed, "raised above what could be sold")

    def _violated(self, channel: str, write: Any, allowed: int, why: str) -> None:
        self.violations.append(Violation(channel, write.sku, write.before, write.quantity, allowed, why))

    def _known_left(self, sku: str, at: float) -> int:
        """Pieces of an item that the daemon must have believed to be free at a moment, at most."""
        known = sum(sale.pieces() for sale in self._sales[sku] if sale.known is not None and sale.known <= at)
        return self.opening[sku] + self._back[sku] - known

    def _item(self, channel: str, channel_sku: str) -> tuple[str, int]:
        return self.packs.get(channel, {}).get(channel_sku, (channel_sku, 1))

    def _cap(self, channel: str, channel_sku: str) -> int:
        caps = self.caps.get(channel, {})
        return min(caps.get(channel_sku, 10**9), caps.get("", 10**9))
