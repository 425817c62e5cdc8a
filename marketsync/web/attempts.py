"""Failed attempts to get in, limited per sender."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from marketsync.adapter.clock import Clock

BURST: Final = 10
SECONDS_EACH: Final = 6.0
MOST_SENDERS: Final = 10_000


class Attempts:
    """A token bucket per sender: 10 failures at once, then one every 6 seconds. Only failures cost anything."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spent: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # sender -> (failures, when)

    def wait(self, sender: Hashable) -> float:
        """Seconds until this sender may try again; 0 where it may now."""
        return max(0.0, self._now(sender) - (BURST - 1)) * SECONDS_EACH

    def failed(self, sender: Hashable) -> None:
        """Note a failure. The longest idle sender is forgotten when there are too many."""
        self._spent[sender] = (self._now(sender) + 1, self._clock.monotonic())
        self._spent.move_to_end(sender)
        if len(self._spent) > MOST_SENDERS:
            self._spent.popitem(last=False)

    def _now(self, sender: Hashable) -> float:
        failures, when = self._spent.get(sender, (0.0, 0.0))
        return max(0.0, failures - (self._clock.monotonic() - when) / SECONDS_EACH)
