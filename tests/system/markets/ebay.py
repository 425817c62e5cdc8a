"""eBay in a replay: an item with its quantity, an offer on it, a listing that both become. Its rate is lifted."""

from collections.abc import Sequence
from typing import ClassVar

from marketsync.adapter.api import Money
from marketsync_adapters.ebay.sandbox import Market as Ebays
from marketsync_adapters.ebay.sandbox import Rules, build_app
from marketsync_adapters.ebay.sandbox.checks import SKU
from marketsync_adapters.ebay.sandbox.sales import Line, Order
from marketsync_adapters.ebay.sandbox.shelf import Offer
from tests.system.markets.market import Sold, SoldLine
from tests.system.shops import Shown

PAYMENTS = {"PAID": "paid", "PENDING": "pending", "FULLY_REFUNDED": "refunded"}


class Ebay:
    pieces = 10**9
    orders_every = "1s"
    window = 3.0
    operations: ClassVar[dict[str, tuple[str, ...]]] = {
        "stock": ("price_stock",), "offers": ("listing",), "ship": ("ship",), "orders": ("orders",),
        "pages": ("orders",), "tokens": ("*",),
    }  # fmt: skip

    def __init__(self) -> None:
        self.market = Ebays(Rules(per_second=1_000, burst=1_000, revisions_per_day=10**6))
        self.app = build_app(self.market)
        self.faults = self.market.faults
        self.on_stock_write = self.market.shelf.on_stock_write

    def config(self, url: str) -> str:
        rules = self.market.rules
        policies = "".join(f"      {kind}_policy_id: '{id_}'\n" for kind, id_ in rules.policies.items())
        return (
            "    adapter: ebay\n    credentials:\n"
            f"      client_id: {rules.client_id}\n      client_secret: {rules.client_secret}\n"
            f"      refresh_token: {rules.refresh_token}\n    settings:\n      base_url: '{url}'\n"
            f"      marketplace: {rules.marketplace}\n{policies}      merchant_location_key: {rules.location}\n"
            "      calls_per_second: 100\n"
            "    listing: {categories: {Garden: '20716'}}\n"
        )

    def by_hand(self, code: str, pieces: int) -> None:
        if not SKU.fullmatch(code):
            return
        shelf = self.market.shelf
        shelf.items[code] = {
            "locale": "de_DE",
            "condition": "NEW",
            "product": {"title": f"Made by hand: {code}", "imageUrls": ["https://example.com/1.jpg"]},
            "availability": {"shipToLocationAvailability": {"quantity": pieces}},
        }
        offer = {
            "sku": code,
            "marketplaceId": self.market.rules.marketplace,
            "format": "FIXED_PRICE",
            "categoryId": "1",
            "listingDescription": code,
            "merchantLocationKey": self.market.rules.location,
            "listingPolicies": {f"{kind}PolicyId": id_ for kind, id_ in self.market.rules.policies.items()},
            "pricingSummary": {"price": {"value": "4.95", "currency": "EUR"}},
        }
        shelf.publish(shelf.create_offer(offer, apply=True)["offerId"], apply=True)

    def shelf(self) -> dict[str, Shown]:
        return {offer.sku: self._shown(offer) for offer in self.market.shelf.offers.values() if offer.listing_id}

    def _shown(self, offer: Offer) -> Shown:
        price = offer.document["pricingSummary"]["price"]
        title = self.market.shelf.items[offer.sku]["product"]["title"]
        return Shown(
            self.market.shelf.shown(offer.sku), title, (Money.of(price["value"], "EUR").minor, price["currency"])
        )

    def buy(self, lines: Sequence[tuple[str, int]], *, paid: bool) -> Sold:
        order = self.market.sales.buy(list(lines), paid=paid)
        return Sold(order.order_id, order.created, [_line(order, line) for line in order.lines], lambda: _state(order))

    def pay(self, order_id: str) -> None:
        if self.market.sales.order(order_id).cancel_state != "CANCELED":
            self.market.sales.pay(order_id)

    def cancel(self, order_id: str) -> None:
        self.market.sales.cancel(order_id)


def _line(order: Order, line: Line) -> SoldLine:
    def now() -> tuple[int, int]:
        return (line.quantity if order.cancel_state == "CANCELED" else 0), line.shipped

    return SoldLine(line.line_id, line.sku, line.quantity, line.cost, now)


def _state(order: Order) -> tuple[str | None, bool | None]:
    return PAYMENTS[order.payment], None
