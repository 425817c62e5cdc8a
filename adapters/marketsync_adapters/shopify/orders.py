"""Orders: pages by time of update, whole lines, and from refunds and shipments what became of each piece."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from marketsync.adapter.api import (
    AdapterContext,
    Address,
    ChannelLine,
    ChannelOrder,
    Fulfilment,
    Money,
    OrderCursor,
    OrderPage,
    Payment,
)
from marketsync.adapter.errors import ItemRefused
from marketsync_adapters.shopify import documents
from marketsync_adapters.shopify.client import DEEPEST, Client, Data, whole
from marketsync_adapters.shopify.documents import Document
from marketsync_adapters.shopify.ids import gid, number
from marketsync_adapters.shopify.settings import Settings

WINDOW: Final = timedelta(days=60)  # without read_all_orders Shopify shows no older ones
MOST_PARCELS: Final = 20  # refunds or shipments of one order that are read

_PAYMENT: Final[Mapping[str, Payment]] = {
    "PAID": Payment.PAID,
    "PARTIALLY_REFUNDED": Payment.PAID,
    "REFUNDED": Payment.REFUNDED,
    "VOIDED": Payment.FAILED,
}
NOT_SHIPPED: Final = frozenset({"CANCELLED", "ERROR", "FAILURE"})


class Orders:
    def __init__(self, client: Client, settings: Settings, context: AdapterContext) -> None:
        self._client = client
        self._settings = settings
        self._context = context

    async def page(self, cursor: OrderCursor) -> OrderPage:
        """Raises ``ItemRefused`` for a page that is none of ours."""
        since, after, walked = position(cursor, self._context.clock.now())
        variables = {"query": self._filter(f"updated_at:>='{iso(since)}'"), "after": after}
        data = await self._client.ask("orders", documents.ORDERS, variables)
        nodes: Sequence[Data] = data["orders"]["nodes"]
        orders = [await self._order(node) for node in nodes]
        info = data["orders"]["pageInfo"]
        if not info["hasNextPage"]:
            return OrderPage(orders=orders)
        walked += len(nodes)
        if walked >= DEEPEST:  # Shopify goes no deeper: a new walk begins at the last time seen
            return OrderPage(orders=orders, next_page=token(orders[-1].updated, None, 0))
        return OrderPage(orders=orders, next_page=token(since, info["endCursor"], walked))

    async def ids(self, placed_from: datetime, placed_to: datetime) -> Sequence[str]:
        """Shopify's times are whole seconds, and so are the ends of the window; its own search takes both in."""
        placed_from, placed_to = placed_from.replace(microsecond=0), placed_to.replace(microsecond=0)
        window = f"created_at:>='{iso(placed_from)}' created_at:<='{iso(placed_to)}'"
        variables = {"query": self._filter(window)}
        nodes = self._client.walk("order_ids", documents.ORDER_IDS, variables, lambda data: data["orders"])
        return [number(node["id"]) async for node in nodes if placed_from <= time_in(node["createdAt"]) < placed_to]

    def _filter(self, query: str) -> str:
        return query if self._settings.test_orders else f"{query} test:false"

    async def _order(self, node: Data) -> ChannelOrder:
        lines = await self._all_lines(node)
        refunded, shipped = await self._pieces(node["id"], lines)
        currency = node["currencyCode"]
        payment = self._payment(node["displayFinancialStatus"])
        cancelled = node["cancelledAt"] is not None
        gross = bool(node["taxesIncluded"])
        read = tuple(
            _line(line, currency, gross, refunded[line["id"]], shipped.get(line["id"]), cancelled) for line in lines
        )
        pending = payment is Payment.PENDING
        shipping = node["shippingAddress"] or node["billingAddress"]
        return ChannelOrder(
            order_id=number(node["id"]),
            placed=time_in(node["createdAt"]),
            updated=time_in(node["updatedAt"]),
            payment=payment,
            fulfilment=_fulfilment(read),
            currency=currency,
            lines=read,
            shipping=_money(node["totalShippingPriceSet"]),
            total=_money(node["totalPriceSet"]),
            # Shopify tells it at once; until it is paid nobody needs to know who buys.
            buyer=None if pending or shipping is None else _address(shipping, node["email"]),
            billing=None if pending or node["billingAddress"] is None else _address(node["billingAddress"], None),
            extra={"name": node["name"]},
        )

    def _payment(self, status: str | None) -> Payment:
        if status == "AUTHORIZED" and self._settings.authorized_is_paid:
            return Payment.PAID
        return _PAYMENT.get(status or "", Payment.PENDING)

    async def _all_lines(self, node: Data) -> Sequence[Data]:
        connection = node["lineItems"]
        if not connection["pageInfo"]["hasNextPage"]:
            lines: Sequence[Data] = connection["nodes"]
            return lines
        return await whole(
            self._client.walk(
                "orders",
                documents.ORDER_LINES,
                {"id": node["id"]},
                lambda data: data["order"] and data["order"]["lineItems"],
            )
        )

    async def _pieces(self, order: str, lines: Sequence[Data]) -> tuple[Counter[str], Mapping[str, int]]:
        """(pieces refunded, pieces shipped) by line; asked for only where the lines alone do not tell."""
        if all(line["currentQuantity"] == line["quantity"] for line in lines):
            return Counter(), {}
        refunds = await self._client.ask("orders", documents.ORDER_REFUNDS, {"id": order})
        shipments = await self._client.ask("orders", documents.ORDER_FULFILLMENTS, {"id": order})
        gone = refunds["order"]["refunds"]
        sent = [one for one in shipments["order"]["fulfillments"] if one["status"] not in NOT_SHIPPED]
        for parcels in (gone, shipments["order"]["fulfillments"]):
            if len(parcels) == MOST_PARCELS:
                self._context.log.warning("an order has more refunds or shipments than are read", order=number(order))
        refunded = await self._count(gone, "refundLineItems", documents.REFUND_LINES)
        return refunded, await self._count(sent, "fulfillmentLineItems", documents.FULFILLMENT_LINES)

    async def _count(self, parcels: Sequence[Data], name: str, document: Document) -> Counter[str]:
        pieces: Counter[str] = Counter()
        for parcel in parcels:
            entries: Sequence[Data] = parcel[name]["nodes"]
            if parcel[name]["pageInfo"]["hasNextPage"]:
                walk = self._client.walk("orders", document, {"id": parcel["id"]}, lambda data: data["node"]["lines"])
                entries = await whole(walk)
            for entry in entries:
                pieces[entry["lineItem"]["id"]] += entry["quantity"]
        return pieces


def _line(line: Data, currency: str, gross: bool, refunded: int, shipped: int | None, cancelled: bool) -> ChannelLine:
    """``shipped`` None: nobody had to count shipments, as nothing was refunded or removed."""
    quantity, current, open_ = line["quantity"], line["currentQuantity"], line["unfulfilledQuantity"]
    if shipped is None:
        shipped = current - open_ if current == quantity else 0
    left = 0 if cancelled else open_
    original, discounted = _money(line["originalTotalSet"]), _money(line["discountedTotalSet"])
    discount = original.minor - discounted.minor
    taxes = [_money(tax["priceSet"]).minor for tax in line["taxLines"]]
    rates = {str(tax["ratePercentage"]) for tax in line["taxLines"] if tax["ratePercentage"] is not None}
    return ChannelLine(
        line_id=number(line["id"]),
        sku=line["sku"] or "",
        quantity=quantity,
        title=line["title"],
        cancelled=max(0, quantity - shipped - left),
        shipped=shipped,
        refunded=refunded,
        amount=discounted,
        gross=gross,
        tax=Money(sum(taxes), currency),
        tax_rate=rates.pop() if len(rates) == 1 else "",
        discount=Money(discount, currency) if discount else None,
    )


def _fulfilment(lines: Sequence[ChannelLine]) -> Fulfilment:
    wanted = sum(line.quantity - line.cancelled for line in lines)
    shipped = sum(line.shipped for line in lines)
    if not wanted:
        return Fulfilment.CANCELLED
    if not shipped:
        return Fulfilment.OPEN
    return Fulfilment.SHIPPED if shipped >= wanted else Fulfilment.PARTLY_SHIPPED


def _address(address: Data, email: str | None) -> Address:
    return Address(
        name=address["name"] or "",
        company=address["company"] or "",
        street=address["address1"] or "",
        street2=address["address2"] or "",
        postcode=address["zip"] or "",
        city=address["city"] or "",
        region=address["province"] or "",
        country=address["countryCodeV2"] or "",
        phone=address["phone"] or "",
        email=email or "",
    )


def _money(bag: Any) -> Money:
    """In the shop's own currency: what a buyer paid in another is only shown to that buyer."""
    money = bag["shopMoney"]
    return Money.of(str(money["amount"]), money["currencyCode"])


def iso(time: datetime) -> str:
    """For a search: Shopify's times are whole seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_in(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def order_gid(order_id: str) -> str:
    return gid("Order", order_id)


def token(since: datetime, after: str | None, walked: int) -> str:
    return orjson.dumps([since.isoformat(), after, walked]).decode()


def position(cursor: OrderCursor, now: datetime) -> tuple[datetime, str | None, int]:
    """Where a pull stands: since when, behind which entry of Shopify's, and how deep in its pages."""
    if cursor.page is None:
        return cursor.since or now - WINDOW, None, 0
    try:
        since, after, walked = orjson.loads(cursor.page)
        return datetime.fromisoformat(since), after, int(walked)
    except (ValueError, TypeError) as error:
        raise ItemRefused("the page of orders is none of Shopify's", code="bad_page") from error
