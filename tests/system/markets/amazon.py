"""Amazon in a replay: submissions that take effect later, pending orders that hold their pieces.

Its usage plans are ten times the published ones, which the adapter learns from the replies (it believes no more): orders
are read every 18 seconds. What takes minutes takes seconds.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from marketsync.adapter.api import Money
from marketsync_adapters.amazon.sandbox import LIMITS, Account, Rules, build_app
from marketsync_adapters.amazon.sandbox.sales import Line, Order
from tests.system.markets.market import Sold, SoldLine
from tests.system.shops import Shown

STORE = "A1PA6795UKMFR9"
FASTER = 10


class Amazon:
    pieces = 10**9
    orders_every = "18s"
    window = 12.0  # a feed is worked off for five seconds
    operations: ClassVar[dict[str, tuple[str, ...]]] = {
        "stock": ("patch", "feed"), "offers": ("put", "feed"), "ship": ("ship",), "orders": ("orders",),
        "pages": ("orders",), "tokens": ("*",),
    }  # fmt: skip

    def __init__(self) -> None:
        rules = Rules(
            limits={name: (FASTER * rate, FASTER * burst) for name, (rate, burst) in LIMITS.items()},
            feeds_per_window=1_000,
            apply_time=timedelta(milliseconds=500),
            feed_time=timedelta(seconds=5),
        )
        self.account = Account(rules)
        self.app = build_app(self.account)
        self.faults = self.account.faults
        self.on_stock_write = self.account.items.on_stock_write

    def config(self, url: str) -> str:
        rules = self.account.rules
        return (
            "    adapter: amazon\n    credentials:\n"
            f"      client_id: {rules.client_id}\n      client_secret: {rules.client_secret}\n"
            f"      refresh_token: {rules.refresh_token}\n"
            f"    settings: {{base_url: '{url}', seller_id: {rules.seller_id}, marketplace: DE}}\n"
        )

    def by_hand(self, code: str, pieces: int) -> None:
        attributes = {
            "merchant_suggested_asin": [{"value": "B0BYHAND01"}],
            "purchasable_offer": [
                {
                    "marketplace_id": STORE,
                    "currency": "EUR",
                    "audience": "ALL",
                    "our_price": [{"schedule": [{"value_with_tax": 4.95}]}],
                }
            ],
            "condition_type": [{"marketplace_id": STORE, "value": "new_new"}],
            "fulfillment_availability": [{"fulfillment_channel_code": "DEFAULT", "quantity": pieces}],
        }
        self.account.items.apply_put(code, {"productType": "PRODUCT", "attributes": attributes})

    def shelf(self) -> dict[str, Shown]:
        """An offer on a product of Amazon's: its title is Amazon's own."""
        self.account.items.settle()
        now = self.account.clock.now()
        prices = {item.sku: item.price(STORE, now) for item in self.account.items}
        return {
            item.sku: Shown(item.quantity, None, None if (price := prices[item.sku]) is None else (price.minor, "EUR"))
            for item in self.account.items
        }

    def buy(self, lines: Sequence[tuple[str, int]], *, paid: bool) -> Sold:
        order = self.account.sales.buy(lines, paid=paid)
        return Sold(order.order_id, order.placed, [_line(order, line) for line in order.lines], lambda: _state(order))

    def pay(self, order_id: str) -> None:
        if self.account.sales.order(order_id).status == "PENDING":
            self.account.sales.pay(order_id)

    def cancel(self, order_id: str) -> None:
        self.account.sales.cancel(order_id)


def _line(order: Order, line: Line) -> SoldLine:
    def now() -> tuple[int, int]:
        return (line.quantity - line.shipped if order.status == "CANCELLED" else 0), line.shipped

    amount = Money(line.unit_price.minor * line.quantity, line.unit_price.currency)
    return SoldLine(line.line_id, line.sku, line.quantity, amount, now)


def _state(order: Order) -> tuple[str | None, bool | None]:
    return {"PENDING": "pending", "CANCELLED": "failed"}.get(order.status, "paid"), None
