"""What every marketplace of a replay can do for buyers and for the judge. Used in the thread of its server."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from starlette.types import ASGIApp

from marketsync.adapter.api import Money
from marketsync_adapters.sandbox.faults import Faults
from tests.system.shops import Shown


@dataclass(frozen=True, slots=True)
class SoldLine:
    """A line that was bought, named as the channel names it. ``now``: pieces (cancelled, shipped) at this moment."""

    line_id: str
    sku: str
    quantity: int
    amount: Money
    now: Callable[[], tuple[int, int]]

    @property
    def cancelled(self) -> int:
        return self.now()[0]

    @property
    def shipped(self) -> int:
        return self.now()[1]

    @property
    def open(self) -> int:
        cancelled, shipped = self.now()
        return self.quantity - cancelled - shipped


@dataclass(frozen=True, slots=True)
class Sold:
    """An order. ``now``: (payment as the neutral model names it, None where nobody need agree; acknowledged, None where
    the marketplace has no such thing) at this moment.
    """

    order_id: str
    placed: datetime
    lines: Sequence[SoldLine]
    now: Callable[[], tuple[str | None, bool | None]]

    @property
    def payment(self) -> str | None:
        return self.now()[0]

    @property
    def acknowledged(self) -> bool | None:
        return self.now()[1]


class Market(Protocol):
    """A sandbox. ``faults``: the marketplace's operations by what an adapter does there; ``pieces``: what one order may
    hold at most; ``orders_every``: how often the play reads orders; ``window``: seconds within which a write that was sent takes effect.
    """

    app: ASGIApp
    faults: Faults
    operations: dict[str, tuple[str, ...]]
    on_stock_write: list[Callable[[Any], None]]
    pieces: int
    orders_every: str
    window: float

    def config(self, url: str) -> str:
        """Adapter, credentials and settings, indented as a channel of the configuration."""
        ...

    def by_hand(self, code: str, pieces: int) -> None:
        """Somebody puts an offer there that no source names."""
        ...

    def shelf(self) -> dict[str, Shown]: ...

    def buy(self, lines: Sequence[tuple[str, int]], *, paid: bool) -> Sold: ...

    def pay(self, order_id: str) -> None: ...

    def cancel(self, order_id: str) -> None:
        """The buyer takes the whole order back."""
        ...
