"""The sandbox Amazon in one object, without any web around it. One thread; time is the clock's, so tests turn it."""

from collections import Counter

from marketsync.adapter.api import Clock
from marketsync.adapter.clock import SystemClock
from marketsync_adapters.amazon.sandbox.gate import Gate
from marketsync_adapters.amazon.sandbox.items import Items
from marketsync_adapters.amazon.sandbox.jobs import Jobs
from marketsync_adapters.amazon.sandbox.rules import Rules
from marketsync_adapters.amazon.sandbox.sales import Sales
from marketsync_adapters.sandbox.faults import Faults


class Account:
    """A seller's account at Amazon."""

    def __init__(self, rules: Rules | None = None, clock: Clock | None = None) -> None:
        self.rules = rules or Rules()
        self.clock = clock or SystemClock()
        self.items = Items(self.rules, self.clock)
        self.jobs = Jobs(self.rules, self.clock, self.items)
        self.sales = Sales(self.rules, self.clock, self.items)
        self.gate = Gate(self.rules, self.clock)
        self.faults = Faults()
        self.requests: Counter[tuple[str, int]] = Counter()  # (operation, status)
