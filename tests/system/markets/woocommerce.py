"""A WooCommerce shop in a replay: it lowers its own stock when an order is paid, and raises it when one is cancelled.

Its host bears anything: the adapter asks 50 times a second, the most that its settings allow.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from marketsync.adapter.api import Money
from marketsync_adapters.woocommerce.sandbox import Rules, Shop, build_app
from tests.system.markets.market import Sold, SoldLine
from tests.system.shops import Shown

PAYMENTS = {"pending": "pending", "processing": "paid", "completed": "paid"}


class WooCommerce:
    pieces = 10**9
    orders_every = "1s"
    window = 3.0
    operations: ClassVar[dict[str, tuple[str, ...]]] = {
        "stock": ("batch_products",), "offers": ("batch_products",), "ship": ("update_order",),
        "orders": ("list_orders",), "pages": ("list_orders",),
    }  # fmt: skip

    def __init__(self) -> None:
        self.shop = Shop(Rules(per_second=0))
        self.app = build_app(self.shop)
        self.faults = self.shop.faults
        self.on_stock_write = self.shop.catalogue.on_stock_write

    def config(self, url: str) -> str:
        rules = self.shop.rules
        return (
            "    adapter: woocommerce\n"
            f"    credentials: {{consumer_key: {rules.consumer_key}, consumer_secret: {rules.consumer_secret}}}\n"
            f"    settings: {{base_url: '{url}', rate: 50}}\n"
        )

    def by_hand(self, code: str, pieces: int) -> None:
        sent = {"name": f"Made by hand: {code}", "sku": code, "regular_price": "4.95"}
        self.shop.catalogue.create({**sent, "manage_stock": True, "stock_quantity": pieces})

    def shelf(self) -> dict[str, Shown]:
        return {
            row["sku"]: Shown(row["stock_quantity"], row["name"], self._price(row))
            for row in self.shop.catalogue.products.values()
            if row["status"] == "publish"
        }

    def _price(self, row: dict[str, Any]) -> tuple[int, str] | None:
        return (Money.of(row["regular_price"], "EUR").minor, "EUR") if row["regular_price"] else None

    def buy(self, lines: Sequence[tuple[str, int]], *, paid: bool) -> Sold:
        order = self.shop.buy(lines, paid=paid)
        bought = [_line(order, item, sku) for item, (sku, _) in zip(order["$items"], lines, strict=True)]
        return Sold(str(order["id"]), order["$created"], bought, lambda: (PAYMENTS.get(order["status"]), None))

    def pay(self, order_id: str) -> None:
        if self.shop.sales.order(int(order_id))["status"] == "pending":
            self.shop.sales.pay(int(order_id))

    def cancel(self, order_id: str) -> None:
        self.shop.sales.move(int(order_id), "cancelled")


def _line(order: dict[str, Any], item: dict[str, Any], sku: str) -> SoldLine:
    quantity = item["quantity"]

    def now() -> tuple[int, int]:
        status = order["status"]
        return (quantity if status == "cancelled" else 0), (quantity if status == "completed" else 0)

    return SoldLine(str(item["id"]), sku, quantity, Money.of(round(item["$full"], 2), "EUR"), now)
