"""The sales of the market: what buyers do, the order feed, and what the seller tells about orders."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from marketsync.adapter.api import Clock, Money
from marketsync_adapters.sandbox.feed import ChangeFeed
from marketsync_adapters.sandbox.order import Line, Order, Return
from marketsync_adapters.sandbox.rules import Refused, Rules
from marketsync_adapters.sandbox.shelf import Offer, Shelf

ADDRESS = {
    "name": "Zoë Müller-O'Neill",
    "company": "",
    "street": "Große Straße 1",
    "street2": "",
    "postcode": "04109",
    "city": "Leipzig",
    "region": "",
    "country": "DE",
    "phone": "+49 341 0000000",
    "email": "buyer@example.com",
}


@dataclass(frozen=True, slots=True)
class Done:
    """A command that took effect, remembered under its key."""

    kind: str
    order_id: str
    reference: str
    content: str  # what was asked, to refuse a key that is used for something else


class Sales:
    def __init__(self, rules: Rules, clock: Clock, shelf: Shelf, placed: Callable[[Order], None]) -> None:
        self._rules = rules
        self._clock = clock
        self._shelf = shelf
        self._placed = placed  # told of every new order
        self._feed = ChangeFeed()
        self._return_feed = ChangeFeed()
        self._by_placing: list[tuple[datetime, str]] = []
        self._done: dict[str, Done] = {}
        self.orders: dict[str, Order] = {}
        self.returns: dict[str, Return] = {}

    # What buyers and the market do.

    def buy(
        self,
        lines: Sequence[tuple[str, int]],
        *,
        paid: bool = True,
        address: dict[str, str] | None = None,
        storefront: str = "main",
        request_id: str = "",
    ) -> Order:
        """A buyer orders (SKU, pieces) pairs. Raises ``Refused`` for what the market does not show as sellable."""
        currency = self._shelf.currency(storefront)
        wanted: dict[str, int] = {}
        for sku, pieces in lines:
            wanted[sku] = wanted.get(sku, 0) + pieces
        offers = [self._sellable(storefront, sku, pieces) for sku, pieces in wanted.items()]
        now = self._clock.now()
        number = len(self.orders) + 1
        order_id = f"SB-{number:08d}"
        order = Order(
            order_id=order_id,
            storefront=storefront,
            placed=max(now, self._by_placing[-1][0]) if self._by_placing else now,
            updated=self._feed.touch(order_id, now),
            currency=currency,
            lines=[self._line(f"{order_id}-{n}", offer, wanted[offer.sku]) for n, offer in enumerate(offers, 1)],
            shipping=Money(self._rules.shipping, currency),
            address=ADDRESS | (address or {}),
            ship_by=now + self._rules.ship_within,
            payment="paid" if paid else "pending",
        )
        if paid or self._rules.sale_lowers == "placing":
            for offer in offers:
                self._shelf.take(offer, wanted[offer.sku], request_id)
        self.orders[order_id] = order
        self._by_placing.append((order.placed, order_id))
        self._placed(order)
        return order

    def pay(self, order_id: str, *, request_id: str = "") -> Order:
        """The buyer pays. Where the sale lowers stock only now and the pieces are gone, the payment fails."""
        order = self.order(order_id)
        if order.payment != "pending" or order.state == "cancelled":
            raise Refused(409, "not_payable", f"Order {order_id} is {order.payment} and {order.state}.")
        if self._rules.sale_lowers == "payment":
            try:
                offers = [self._sellable(order.storefront, line.sku, line.quantity) for line in order.lines]
            except Refused:
                return self.fail_payment(order_id)
            for offer, line in zip(offers, order.lines, strict=True):
                self._shelf.take(offer, line.quantity, request_id)
        order.payment = "paid"
        return self._touch(order)

    def fail_payment(self, order_id: str) -> Order:
        """The payment fails, and the market cancels the order. The shelf is not raised: the seller tells what he has."""
        order = self.order(order_id)
        order.payment = "failed"
        return self.cancel_by_market(order_id)

    def cancel_by_market(self, order_id: str) -> Order:
        """The market cancels whatever is not shipped. The shelf is not raised."""
        order = self.order(order_id)
        for line in order.lines:
            line.cancelled += line.open
        return self._touch(order)

    def request_cancel(self, order_id: str) -> Order:
        order = self.order(order_id)
        order.cancel_requested = True
        return self._touch(order)

    def request_return(self, order_id: str, line_id: str, quantity: int, reason: str = "") -> Return:
        line = self._line_of(self.order(order_id), line_id)
        if not 0 < quantity <= line.shipped - line.returned:
            raise Refused(422, "quantity_exceeded", f"{line.shipped - line.returned} pieces can be returned.")
        return_id = f"RT-{len(self.returns) + 1:08d}"
        updated = self._return_feed.touch(return_id, self._clock.now())
        returned = Return(return_id, order_id, line_id, line.sku, quantity, updated, reason)
        self.returns[return_id] = returned
        return returned

    def receive_return(self, return_id: str, *, sellable: bool) -> Return:
        returned = self.returns.get(return_id)
        if returned is None or returned.state != "requested":
            raise Refused(409, "not_requested", f"There is no return {return_id} on its way.")
        order = self.order(returned.order_id)
        self._line_of(order, returned.line_id).returned += returned.quantity
        self._touch(order)
        returned.state, returned.sellable = "received", sellable
        returned.updated = self._return_feed.touch(return_id, self._clock.now())
        return returned

    # What the seller reads.

    def order(self, order_id: str) -> Order:
        if order_id not in self.orders:
            raise Refused(404, "order_not_found", f"There is no order {order_id}.")
        return self.orders[order_id]

    def page(self, since: datetime | None, token: str | None) -> tuple[list[Order], str | None]:
        ids, following = self._feed.page(since or self._default_since(), token, self._rules.order_page)
        return [self.orders[id_] for id_ in ids], following

    def returns_page(self, since: datetime | None, token: str | None) -> tuple[list[Return], str | None]:
        ids, following = self._return_feed.page(since or self._default_since(), token, self._rules.order_page)
        return [self.returns[id_] for id_ in ids], following

    def ids(self, placed_from: datetime, placed_to: datetime, token: str | None) -> tuple[list[str], str | None]:
        """A page of the ids of orders placed in [from, to)."""
        start = bisect_left(self._by_placing, placed_from, key=lambda entry: entry[0])
        end = bisect_left(self._by_placing, placed_to, key=lambda entry: entry[0])
        start = max(start, int(token) if token else 0)
        stop = min(end, start + self._rules.order_page)
        return [id_ for _, id_ in self._by_placing[start:stop]], str(stop) if stop < end else None

    def done(self, key: str) -> Done | None:
        return self._done.get(key)

    # What the seller tells. Each takes effect once per key.

    def acknowledge(self, order_id: str, key: str) -> Done:
        def apply(order: Order) -> str:
            order.acknowledged = True
            return order_id

        return self._once("acknowledge", order_id, key, {}, apply)

    def ship(self, order_id: str, key: str, content: dict[str, Any]) -> Done:
        def apply(order: Order) -> str:
            if order.payment != "paid":
                raise Refused(409, "not_paid", f"Order {order_id} is not paid.")
            for line, pieces in self._pieces(order, content):
                line.shipped += pieces
            return f"SH-{len(self._done) + 1:08d}"

        return self._once("ship", order_id, key, content, apply)

    def cancel(self, order_id: str, key: str, content: dict[str, Any]) -> Done:
        def apply(order: Order) -> str:
            for line, pieces in self._pieces(order, content):
                line.cancelled += pieces
            order.cancel_requested = False
            if order.payment == "paid" and order.state == "cancelled":
                order.payment = "refunded"
            return f"CA-{len(self._done) + 1:08d}"

        return self._once("cancel", order_id, key, content, apply)

    def refund(self, order_id: str, key: str, content: dict[str, Any]) -> Done:
        def apply(order: Order) -> str:
            if order.payment != "paid":
                raise Refused(409, "not_paid", f"Order {order_id} is {order.payment}.")
            for line, pieces, amount in self._amounts(order, content):
                line.refunded += pieces
                line.refunded_amount += amount.minor
                self._close_returns(order_id, line.line_id)
            if sum(line.refunded_amount for line in order.lines) >= sum(line.amount.minor for line in order.lines):
                order.payment = "refunded"
            return f"RF-{len(self._done) + 1:08d}"

        return self._once("refund", order_id, key, content, apply)

    def _once(self, kind: str, order_id: str, key: str, content: dict[str, Any], apply: Callable[[Order], str]) -> Done:
        if not key:
            raise Refused(400, "key_missing", "A command needs an idempotency key.")
        asked = repr((kind, order_id, content))
        if (earlier := self._done.get(key)) is not None:
            if earlier.content != asked:
                raise Refused(409, "key_reused", "This key was used for another command.")
            return earlier
        order = self.order(order_id)
        done = Done(kind, order_id, apply(order), asked)
        self._done[key] = done
        self._touch(order)
        return done

    def _pieces(self, order: Order, content: dict[str, Any]) -> list[tuple[Line, int]]:
        """The lines and pieces that a command names, everything open where it names none; all are checked first."""
        if order.state == "cancelled":
            raise Refused(409, "order_cancelled", f"Order {order.order_id} is cancelled.")
        named = content.get("lines") or [{"line_id": n.line_id, "quantity": n.open} for n in order.lines if n.open]
        if not named:
            raise Refused(409, "nothing_open", f"Order {order.order_id} has no open pieces.")
        pairs = [(self._line_of(order, raw["line_id"]), raw["quantity"]) for raw in named]
        for line, pieces in pairs:
            if not 0 < pieces <= line.open:
                raise Refused(422, "quantity_exceeded", f"Line {line.line_id} has {line.open} open pieces.")
        return pairs

    def _amounts(self, order: Order, content: dict[str, Any]) -> list[tuple[Line, int, Money]]:
        named = content.get("lines") or [
            {"line_id": line.line_id, "quantity": line.quantity - line.refunded} for line in order.lines
        ]
        refunds = []
        for raw in named:
            line = self._line_of(order, raw["line_id"])
            pieces = raw["quantity"]
            if not 0 <= pieces <= line.quantity - line.refunded:
                raise Refused(422, "quantity_exceeded", f"Line {line.line_id}: {pieces} pieces cannot be refunded.")
            whole = Money(line.unit_price.minor * pieces, order.currency)
            amount = whole if raw.get("amount") is None else Money.of(raw["amount"], order.currency)
            if not 0 < amount.minor <= line.amount.minor - line.refunded_amount:
                raise Refused(422, "amount_exceeded", f"Line {line.line_id}: {amount} cannot be refunded.")
            refunds.append((line, pieces, amount))
        return refunds

    def _close_returns(self, order_id: str, line_id: str) -> None:
        for returned in self.returns.values():
            if (returned.order_id, returned.line_id, returned.state) == (order_id, line_id, "received"):
                returned.state = "refunded"
                returned.updated = self._return_feed.touch(returned.return_id, self._clock.now())

    def _sellable(self, storefront: str, sku: str, pieces: int) -> Offer:
        offer = self._shelf.get(storefront, sku)
        if offer is None or offer.price is None or pieces < 1:
            raise Refused(404, "not_on_sale", f"{sku} is not on sale here.")
        if (offer.quantity or 0) < pieces:
            raise Refused(409, "sold_out", f"Of {sku} there are {offer.quantity or 0} pieces.")
        return offer

    def _line(self, line_id: str, offer: Offer, pieces: int) -> Line:
        price = offer.price_at(self._clock.now())
        amount = price.minor * pieces
        rate = Decimal(self._rules.tax_rate)
        tax = (amount * rate / (100 + rate)).quantize(Decimal(1), ROUND_HALF_UP)
        fee = (amount * Decimal(self._rules.fee_percent) / 100).quantize(Decimal(1), ROUND_HALF_UP)
        return Line(
            line_id=line_id,
            offer_id=offer.offer_id,
            sku=offer.sku,
            title=offer.listing["title"],
            quantity=pieces,
            unit_price=price,
            tax=Money(int(tax), price.currency),
            fee=Money(int(fee), price.currency),
            tax_rate=self._rules.tax_rate,
        )

    def _line_of(self, order: Order, line_id: Any) -> Line:
        for line in order.lines:
            if line.line_id == line_id:
                return line
        raise Refused(404, "line_not_found", f"Order {order.order_id} has no line {line_id}.")

    def _touch(self, order: Order) -> Order:
        order.updated = self._feed.touch(order.order_id, self._clock.now())
        return order

    def _default_since(self) -> datetime:
        return self._clock.now() - self._rules.order_window
