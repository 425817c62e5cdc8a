"""A Shopify shop in a replay: products with one variant each, stock by compare-and-set. Its points are those of Plus."""

from collections.abc import Sequence
from typing import ClassVar

from marketsync.adapter.api import Money
from marketsync_adapters.shopify.sandbox import Rules, Shop, build_app
from marketsync_adapters.shopify.sandbox.sales import Line, Order
from marketsync_adapters.shopify.sandbox.setting import write
from tests.system.markets.market import Sold, SoldLine
from tests.system.shops import Shown

PAYMENTS = {"PAID": "paid", "PENDING": "pending", "REFUNDED": "refunded", "VOIDED": "failed"}


class Shopify:
    pieces = 10**9
    orders_every = "1s"
    window = 3.0
    operations: ClassVar[dict[str, tuple[str, ...]]] = {
        "stock": ("stock",), "offers": ("product", "price"), "ship": ("ship",), "orders": ("orders",),
        "pages": ("orders",),
    }  # fmt: skip

    def __init__(self) -> None:
        self.shop = Shop(Rules(restore=2_000, capacity=40_000, locations={"11": "Berlin"}))
        self.app = build_app(self.shop)
        self.faults = self.shop.faults
        self.on_stock_write = self.shop.on_stock_write

    def config(self, url: str) -> str:
        return (
            f"    adapter: shopify\n    credentials: {{access_token: {self.shop.rules.access_token}}}\n"
            f"    settings: {{shop: '{url}', currency: EUR, locations: {{'*': 11}}, plan: enterprise}}\n"
        )

    def by_hand(self, code: str, pieces: int) -> None:
        variant = {
            "sku": code,
            "price": "4.95",
            "inventoryItem": {"tracked": True},
            "optionValues": [{"optionName": "Title", "name": "Default Title"}],
            "inventoryQuantities": [{"locationId": self.shop.locations[0], "name": "available", "quantity": pieces}],
        }
        write(self.shop, {"input": {"title": f"Made by hand: {code}", "variants": [variant]}})

    def shelf(self) -> dict[str, Shown]:
        return {
            one.sku: Shown(one.available, one.product.title, (Money.of(one.price, "EUR").minor, "EUR"))
            for one in self.shop.variants.values()
            if one.product.status == "ACTIVE"
        }

    def buy(self, lines: Sequence[tuple[str, int]], *, paid: bool) -> Sold:
        order = self.shop.sales.buy(lines, paid=paid)
        bought = [_line(order, line) for line in order.lines]
        return Sold(str(order.number), order.placed, bought, lambda: (PAYMENTS[order.financial], None))

    def pay(self, order_id: str) -> None:
        if self.shop.sales.order(order_id).cancelled is None:
            self.shop.sales.pay(order_id)

    def cancel(self, order_id: str) -> None:
        self.shop.sales.cancel(order_id)


def _line(order: Order, line: Line) -> SoldLine:
    def now() -> tuple[int, int]:
        return line.removed["unshipped"], order.shipped_pieces(line)

    return SoldLine(str(line.number), line.sku, line.quantity, Money.of(line.total, order.currency), now)
