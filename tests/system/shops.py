"""The three sandbox marketplaces of the replay, their buyers, and what goes wrong on them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from marketsync.adapter.api import Money
from marketsync.testing.sandbox import RunningSandbox, running
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.sandbox.market import Market
from marketsync_adapters.sandbox.order import Line, Order
from marketsync_adapters.sandbox.rules import Refused, Rules
from marketsync_adapters.sandbox.shelf import Offer
from tests.system.oracle import Oracle
from tests.system.retail import Purchase

CHANNELS = ("shop", "bazaar", "outlet")
UNKNOWN_STOCK = 900_000
FOR_EVER = 10**9
FAULTS: tuple[tuple[FaultKind, str, float], ...] = (
    (FaultKind.RATE_LIMITED, "*", 0.02),
    (FaultKind.ERROR, "*", 0.02),
    (FaultKind.UNAVAILABLE, "*", 0.01),
    (FaultKind.TRUNCATED, "*", 0.02),
    (FaultKind.HTML, "*", 0.01),
    (FaultKind.ERROR_AFTER, "stock", 0.03),
    (FaultKind.TIMEOUT_AFTER, "stock", 0.04),
    (FaultKind.TIMEOUT_BEFORE, "stock", 0.02),
    (FaultKind.TIMEOUT_AFTER, "offers", 0.05),
    (FaultKind.TIMEOUT_AFTER, "ship", 0.03),
    (FaultKind.TIMEOUT_AFTER, "acknowledge", 0.04),
    (FaultKind.TIMEOUT_AFTER, "orders", 0.02),
    (FaultKind.DUPLICATED_PAGE, "orders", 0.2),
    (FaultKind.REORDERED_PAGE, "orders", 0.2),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a buyer sees of an offer. ``title`` None: the marketplace shows its own. ``price``: minor units, currency."""

    quantity: int | None
    title: str | None
    price: tuple[int, str] | None


@dataclass(slots=True)
class Shops:
    """Three marketplaces as buyers see them. ``bought``: order ids by channel and the invoice they stand for; ``refused``: pieces that were sold out."""

    sandboxes: Mapping[str, RunningSandbox[Market]]
    packs: Mapping[str, Mapping[str, tuple[str, int]]]
    bought: dict[tuple[str, str], str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def choose(self, rng: Random, _purchase: Purchase) -> str:
        return rng.choice(CHANNELS)

    def cancels(self, _rng: Random) -> bool:
        """Whether the buyer takes his whole order back: here only what the file says is cancelled."""
        return False

    def buy(self, channel: str, purchase: Purchase, *, paid: bool) -> Order | None:
        """Buy what the channel shows of a purchase; None where it shows nothing of it any more."""
        order: Order | None = self.sandboxes[channel].call(lambda market: self._buy(market, channel, purchase, paid))
        if order is None:
            self.counts["invoices sold out"] += 1
            return None
        self.bought[channel, order.order_id] = purchase.invoice
        self.counts["invoices bought"] += 1
        return order

    def _buy(self, market: Market, channel: str, purchase: Purchase, paid: bool) -> Order | None:
        lines = []
        for code, pieces in purchase.wanted.items():
            sku, units, per_unit = self._offer(channel, code, pieces)
            offer = market.shelf.get("main", sku)
            shown = (offer.quantity or 0) if offer is not None and offer.price is not None else 0
            taken = min(units, shown)
            self.counts["pieces bought"] += taken * per_unit
            self.counts["pieces sold out"] += pieces - taken * per_unit
            if taken:
                lines.append((sku, taken))
                self.counts["lines bought"] += 1
                self.counts["unknown lines bought"] += code in purchase.unknown
            else:
                self.counts["lines sold out"] += 1
        return market.buy(lines, paid=paid) if lines else None

    def _offer(self, channel: str, code: str, pieces: int) -> tuple[str, int, int]:
        """The channel's SKU for a code, how many of it, and what one of it holds: packs where they fit."""
        for sku, (item, per_unit) in self.packs.get(channel, {}).items():
            if item == code and pieces % per_unit == 0:
                return sku, pieces // per_unit, per_unit
        return code, pieces, 1

    def correct(self, channel: str, invoice: str, code: str, pieces: int) -> str:
        """An order with a negative quantity stands in the channel's feed. Returns its id."""
        return self.sandboxes[channel].call(lambda market: _correction(market, invoice, code, pieces))

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

    def pay(self, channel: str, order_id: str) -> None:
        self.sandboxes[channel].call(lambda market: market.sales.pay(order_id))

    def cancel(self, channel: str, order_id: str) -> None:
        self.sandboxes[channel].call(lambda market: market.sales.cancel_by_market(order_id))

    def send_back(self, channel: str, order_id: str, line_id: str, units: int) -> None:
        """A buyer's parcel arrives, and what is in it can be sold again."""

        def received(market: Market) -> None:
            returned = market.sales.request_return(order_id, line_id, units, "cancelled in the file")
            market.sales.receive_return(returned.return_id, sellable=True)

        self.sandboxes[channel].call(received)

    def never_cancelled(self, channel: str, key: str) -> bool:
        """Whether the channel never got the cancellation with this key."""
        return self.sandboxes[channel].call(lambda market: market.sales.done(key) is None)

    def shelf(self, channel: str) -> Mapping[str, Shown]:
        return self.sandboxes[channel].call(lambda market: {offer.sku: _shown(offer) for offer in market.shelf})

    def order(self, channel: str, order_id: str) -> Order:
        return self.sandboxes[channel].call(lambda market: market.sales.orders[order_id])


def _shown(offer: Offer) -> Shown:
    price = offer.price and (int(offer.price["amount"].replace(".", "")), offer.price["currency"])
    return Shown(offer.quantity, offer.listing["title"], price or None)


def _fault(market: Market, seed: int) -> None:
    rng = Random(seed)
    for kind, operation, probability in FAULTS:
        seconds = rng.uniform(0.3, 1.2)
        market.faults.add(Fault(kind, operation, FOR_EVER, probability, seconds), seed=seed)


def _correction(market: Market, invoice: str, code: str, pieces: int) -> str:
    """What no buyer can do: a booking of the channel itself."""
    now, order_id, nothing = market.clock.now(), f"CORR-{invoice}", Money(0, "EUR")
    line = Line(f"{order_id}-1", "of-0", code, code, pieces, nothing, nothing, nothing, "19")
    order = Order(order_id, "main", now, market.sales._feed.touch(order_id, now), "EUR", [line], nothing, {}, now)
    market.sales.orders[order_id] = order
    return order_id


def add_unknown(market: Market, codes: frozenset[str]) -> None:
    """Offers that somebody made on the channel by hand, and that no source names."""
    for code in sorted(codes):
        item: dict[str, Any] = {
            "sku": code,
            "listing": {"title": f"Made by hand: {code}"},
            "price": {"amount": "4.95", "currency": "EUR"},
            "stock": {"quantity": UNKNOWN_STOCK},
        }
        market.shelf.put("main", item, "by hand")


@contextmanager
def open_shops(
    oracle: Oracle, packs: Mapping[str, Mapping[str, tuple[str, int]]], codes: frozenset[str]
) -> Iterator[Shops]:
    """Three sandboxes on sockets, watched by the oracle, without limits of their own."""
    with ExitStack() as leaves:
        sandboxes = {}
        for channel in CHANNELS:
            market = Market(Rules(limits={}, job_time=timedelta(milliseconds=300)))
            add_unknown(market, codes)
            oracle.watch(channel, market)
            sandboxes[channel] = leaves.enter_context(running(market))
        yield Shops(sandboxes, packs)


__all__ = ["CHANNELS", "Refused", "Shops", "open_shops"]
