"""Kaufland in a replay: one order unit per piece, told of and acted on piece by piece.

Its limits are lifted to what the adapter's settings allow at most, and products are processed at once: a play of minutes
cannot wait for them.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from marketsync.adapter.api import Money
from marketsync_adapters.kaufland.sandbox import Market as Kauflands
from marketsync_adapters.kaufland.sandbox import Rules, build_app
from marketsync_adapters.kaufland.sandbox.sales import Order, Piece
from tests.contract.kaufland_harness import ean_of
from tests.system.markets.market import Sold, SoldLine
from tests.system.shops import Shown

SENT = {"sent", "sent_and_autopaid", "received", "returned", "returned_paid"}


class Kaufland:
    pieces = 60  # each is acknowledged and sent by requests of its own
    orders_every = "1s"
    window = 3.0
    operations: ClassVar[dict[str, tuple[str, ...]]] = {
        "stock": ("bulk",), "offers": ("listing", "create"), "ship": ("ship",), "acknowledge": ("acknowledge",),
        "orders": ("orders", "order"), "pages": ("orders",),
    }  # fmt: skip

    def __init__(self) -> None:
        self.market = Kauflands(Rules(per_second=0, product_time=timedelta(0), listed_after=timedelta(0)))
        self.app = build_app(self.market)
        self.faults = self.market.faults
        self.on_stock_write = self.market.shelf.on_stock_write

    def config(self, url: str) -> str:
        rules = self.market.rules
        return (
            "    adapter: kaufland\n"
            f"    credentials: {{client_key: {rules.client_key}, secret_key: {rules.secret_key}}}\n"
            f"    settings: {{base_url: '{url}/v2', storefront: de, rate: 111, read_product_data: yes}}\n"
        )

    def by_hand(self, code: str, pieces: int) -> None:
        body = {"ean": ean_of(code), "id_offer": code, "listing_price": 495, "handling_time": 1, "amount": pieces}
        self.market.shelf.create("de", body)

    def shelf(self) -> dict[str, Shown]:
        return {unit.id_offer: self._shown(unit) for unit in self.market.shelf if unit.sellable}

    def _shown(self, unit) -> Shown:
        body, _ = self.market.shelf.products.get((unit.ean, "de-DE"), (None, None))
        title = None if body is None else body["attributes"]["title"][0]
        return Shown(unit.amount, title, (unit.values["listing_price"], "EUR"))

    def buy(self, lines: Sequence[tuple[str, int]], *, paid: bool) -> Sold:
        order = self.market.sales.buy(lines, paid=paid)
        bought = [_line(sku, [one for one in order.pieces if one.unit.id_offer == sku]) for sku, _ in lines]
        return Sold(order.id_order, order.created.replace(microsecond=0), bought, lambda: _state(order))

    def pay(self, order_id: str) -> None:
        self.market.sales.pay(order_id)

    def cancel(self, order_id: str) -> None:
        self.market.sales.cancel(order_id)


def _line(sku: str, pieces: Sequence[Piece]) -> SoldLine:
    def now() -> tuple[int, int]:
        states = [piece.status for piece in pieces]
        return states.count("cancelled"), sum(state in SENT for state in states)

    return SoldLine(sku, sku, len(pieces), Money(sum(piece.price for piece in pieces), "EUR"), now)


def _state(order: Order) -> tuple[str | None, bool | None]:
    states = {piece.status for piece in order.pieces}
    if states == {"cancelled"}:
        return ("refunded" if order.paid else "failed"), None
    return ("paid" if order.paid else "pending"), "open" not in states
