"""The five real marketplaces of the replay, their buyers, and what goes wrong on them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random

import uvicorn

from marketsync.testing.sandbox import RunningSandbox, served
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from tests.system.markets import MARKETS, Market, Sold
from tests.system.oracle import Oracle
from tests.system.retail import Purchase
from tests.system.shops import FOR_EVER, Shown

TAKEN_BACK = 0.06  # the share of orders that their buyers cancel
BY_HAND = 900_000  # pieces of an offer that no source names

# What goes wrong, where, how often. The operations are those of ``Market.operations``; where a marketplace has no such
# thing (tokens that end, an acknowledgement), there it cannot go wrong.
FAULTS: tuple[tuple[FaultKind, str, float], ...] = (
    (FaultKind.RATE_LIMITED, "*", 0.01),
    (FaultKind.ERROR, "*", 0.02),
    (FaultKind.UNAVAILABLE, "*", 0.01),
    (FaultKind.TRUNCATED, "*", 0.02),
    (FaultKind.HTML, "*", 0.01),
    (FaultKind.EXPIRED_TOKEN, "tokens", 0.002),
    (FaultKind.ERROR_AFTER, "stock", 0.03),
    (FaultKind.TIMEOUT_AFTER, "stock", 0.04),
    (FaultKind.TIMEOUT_BEFORE, "stock", 0.02),
    (FaultKind.TIMEOUT_AFTER, "offers", 0.05),
    (FaultKind.TIMEOUT_AFTER, "ship", 0.03),
    (FaultKind.TIMEOUT_AFTER, "acknowledge", 0.02),
    (FaultKind.TIMEOUT_AFTER, "orders", 0.02),
    (FaultKind.DUPLICATED_PAGE, "pages", 0.1),
    (FaultKind.REORDERED_PAGE, "pages", 0.1),
)


@dataclass(slots=True)
class Channels:
    """``bought``: order ids by channel and the invoice they stand for."""

    sandboxes: Mapping[str, RunningSandbox[Market]]
    packs: Mapping[str, Mapping[str, tuple[str, int]]]
    oracle: Oracle
    bought: dict[tuple[str, str], str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _sold: dict[tuple[str, str], Sold] = field(default_factory=dict)

    def choose(self, rng: Random, purchase: Purchase) -> str:
        """Any marketplace that takes an order of this size."""
        pieces = sum(purchase.wanted.values())
        return rng.choice([name for name, one in self.sandboxes.items() if pieces <= one.market.pieces])

    def cancels(self, rng: Random) -> bool:
        return rng.random() < TAKEN_BACK

    def buy(self, channel: str, purchase: Purchase, *, paid: bool) -> Sold | None:
        """Buy what the channel shows of a purchase; None where it shows nothing of it any more."""
        order = self.sandboxes[channel].call(lambda market: self._buy(market, channel, purchase, paid))
        if order is None:
            self.counts["invoices sold out"] += 1
            return None
        self.bought[channel, order.order_id] = purchase.invoice
        self.counts["invoices bought"] += 1
        self.counts[f"bought on {channel}"] += 1
        return order

    def _buy(self, market: Market, channel: str, purchase: Purchase, paid: bool) -> Sold | None:
        shelf, lines = market.shelf(), []
        for code, pieces in purchase.wanted.items():
            sku, units, per_unit = self._offer(channel, code, pieces)
            shown = shelf.get(sku)
            there = (
                0 if shown is None or shown.price is None else max(0, shown.quantity or 0)
            )  # WooCommerce shows debts
            taken = min(units, there)
            self.counts["pieces bought"] += taken * per_unit
            self.counts["pieces sold out"] += pieces - taken * per_unit
            if taken:
                lines.append((sku, taken))
                self.counts["lines bought"] += 1
                self.counts["unknown lines bought"] += code in purchase.unknown
            else:
                self.counts["lines sold out"] += 1
        if not lines:
            return None
        order = market.buy(lines, paid=paid)
        self._sold[channel, order.order_id] = order
        self.oracle.bought(channel, order)
        return order

    def _offer(self, channel: str, code: str, pieces: int) -> tuple[str, int, int]:
        """The channel's SKU for a code, how many of it, and what one of it holds: packs where they fit."""
        for sku, (item, per_unit) in self.packs.get(channel, {}).items():
            if item == code and pieces % per_unit == 0:
                return sku, pieces // per_unit, per_unit
        return code, pieces, 1

    def pay(self, channel: str, order_id: str) -> None:
        self.sandboxes[channel].call(lambda market: market.pay(order_id))

    def cancel(self, channel: str, order_id: str) -> None:
        self.sandboxes[channel].call(lambda market: market.cancel(order_id))

    def never_cancelled(self, _channel: str, _key: str) -> bool:
        """The seller cancels nothing here."""
        return False

    def shelf(self, channel: str) -> Mapping[str, Shown]:
        return self.sandboxes[channel].call(lambda market: market.shelf())

    def order(self, channel: str, order_id: str) -> Sold:
        return self._sold[channel, order_id]

    def break_things(self, seed: int) -> None:
        for number, sandbox in enumerate(self.sandboxes.values()):
            sandbox.call(lambda market, seed=seed + number: _fault(market, seed))

    def behave(self) -> None:
        for sandbox in self.sandboxes.values():
            sandbox.call(lambda market: market.faults.clear())

    def faults(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for sandbox in self.sandboxes.values():
            total.update(sandbox.call(lambda market: dict(market.faults.happened)))
        return total


def _fault(market: Market, seed: int) -> None:
    rng = Random(seed)
    for kind, what, probability in FAULTS:
        seconds = rng.uniform(0.3, 1.2)
        for operation in ("*",) if what == "*" else market.operations.get(what, ()):
            market.faults.add(Fault(kind, operation, FOR_EVER, probability, seconds), seed=seed)


@contextmanager
def open_channels(
    oracle: Oracle, packs: Mapping[str, Mapping[str, tuple[str, int]]], codes: Sequence[str]
) -> Iterator[Channels]:
    """Five sandboxes on sockets, watched by the oracle, with offers of these codes that somebody made by hand."""
    with ExitStack() as leaves:
        sandboxes = {}
        for channel, kind in MARKETS.items():
            market = kind()
            for code in codes:
                market.by_hand(code, BY_HAND)
            market.on_stock_write.append(partial(oracle.stock_written, channel))
            config = uvicorn.Config(market.app, "127.0.0.1", 0, log_level="critical", access_log=False)
            sandboxes[channel] = leaves.enter_context(served(market, uvicorn.Server(config)))
        yield Channels(sandboxes, packs, oracle)
