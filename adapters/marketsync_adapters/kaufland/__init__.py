"""Kaufland Global Marketplace (Seller API v2): units, product data, orders piece by piece, returns, notifications.

This module is the spec and the capabilities. ``client`` sends, ``offers`` and ``commands`` decide what is sent,
``mapping``, ``orders``, ``returns`` and ``reasons`` translate; ``sandbox`` is a Kaufland to rehearse with.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

import orjson

from marketsync.adapter.api import (
    AdapterContext,
    AdapterSpec,
    Aspect,
    ChannelReturn,
    Command,
    CommandResult,
    OfferOp,
    Operation,
    OrderCursor,
    OrderPage,
    PushOutcome,
    Receipt,
    ReturnPage,
    SaleLowers,
    Seen,
    WebhookCall,
    WebhookNotice,
)
from marketsync.adapter.errors import ChannelBlocked, UnexpectedReply
from marketsync_adapters.kaufland import feeds, orders, returns, settings, signing
from marketsync_adapters.kaufland.client import Client
from marketsync_adapters.kaufland.commands import Commands
from marketsync_adapters.kaufland.errors import error_of
from marketsync_adapters.kaufland.feeds import Place
from marketsync_adapters.kaufland.offers import Offers
from marketsync_adapters.kaufland.settings import Credentials, Settings

__all__ = ["Credentials", "KauflandAdapter", "Settings"]

BULK = 150
VISIBLE_AFTER = timedelta(minutes=15)  # "up to several minutes" until a new unit is listed
# What we want to be told of, and what to look at then.
EVENTS = {
    "order_new": "orders",
    "order_unit_new": "orders",
    "order_unit_status_changed": "orders",
    "return_new": "returns",
    "return_status_changed": "returns",
    "return_unit_status_changed": "returns",
}


def _read(name: str) -> Operation:
    return Operation(name=name, buckets=("api",), writes=False)


def _command(name: str) -> Operation:
    return Operation(name=name, buckets=("api",), idempotent=False, undoable=False)


SPEC = AdapterSpec(
    name="kaufland",
    title="Kaufland Global Marketplace",
    docs="https://sellerapi.kaufland.com/?page=rest-api",
    credentials=Credentials,
    settings=Settings,
    base_url=settings.base_url,
    auth=settings.auth,
    login=settings.login,
    operations=(
        Operation(
            name="create",
            buckets=("api",),
            aspects=frozenset({Aspect.LISTING, Aspect.PRICE, Aspect.STOCK}),
            creates=True,
            idempotent=False,
        ),
        Operation(name="listing", buckets=("api",), aspects=frozenset({Aspect.LISTING})),
        Operation(
            name="bulk",
            buckets=("api",),
            aspects=frozenset({Aspect.PRICE, Aspect.STOCK}),
            batch=BULK,
            urgent=True,
            timeout=timedelta(seconds=60),
        ),
        Operation(name="withdraw", buckets=("api",), aspects=frozenset({Aspect.LISTING}), withdraws=True),
        Operation(name="acknowledge", buckets=("api",)),
        _command("ship"),
        _command("cancel"),
        _command("refund"),
        Operation(name="subscriptions", buckets=("api",), idempotent=False),
        _read("account"),
        _read("carriers"),
        _read("confirm"),
        _read("read_offers"),
        _read("orders"),
        _read("order"),
        _read("order_ids"),
        _read("returns"),
    ),
    buckets=settings.buckets,
    mapping_version={Aspect.LISTING: 1, Aspect.PRICE: 1, Aspect.STOCK: 1},
    observable={
        Aspect.LISTING: frozenset({"title", "description", "brand", "gtin", "category", "condition", "images"}),
        Aspect.PRICE: frozenset({"amount"}),
        Aspect.STOCK: frozenset({"quantity"}),
    },
    storefront=settings.storefront,
    api_versions={"v2 (contract 2.27.0)": ""},
    price_bounds=(
        1,
        100_000_000,
    ),  # what every storefront takes; the storefront's own maximum is checked when it is sent
    stock_bounds=(0, 2**31 - 1),
    sale_lowers_stock=SaleLowers.AT_PLACING,
    stock_shared=True,  # units of one id_offer share their quantity on all storefronts
    visible_after=VISIBLE_AFTER,
    confirm_within=timedelta(days=2),
    order_overlap=timedelta(minutes=10),
    errors=error_of,
)


class KauflandAdapter:
    spec: ClassVar[AdapterSpec] = SPEC

    def __init__(self, settings: Settings, context: AdapterContext) -> None:
        self._settings = settings
        self._context = context
        self._client = Client(context.http, settings.storefront)
        self._offers = Offers(
            self._client,
            settings.terms(),
            send_product=settings.product_data,
            read_product=settings.read_product_data,
            patience=timedelta(minutes=settings.product_data_wait),
            visible_after=VISIBLE_AFTER,
        )
        self._commands = Commands(
            self._client,
            carriers=settings.carriers,
            cancel_reason=settings.cancel_reason,
            refund_reason=settings.refund_reason,
        )

    async def check(self) -> str:
        storefronts = await self._client.storefronts()
        here = self._settings.storefront
        if here not in storefronts:
            known = ", ".join(storefronts) or "none"
            message = (
                f"the account does not sell on storefront {here}, only on: {known}; activate it in the seller portal"
            )
            raise ChannelBlocked(message, code="storefront-not-configured")
        return f"Kaufland, storefront {here} ({self._settings.terms().currency}); the account sells on {', '.join(storefronts)}"

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def subscribe(self) -> Sequence[str]:
        """Kaufland calls a new address at once to see whether it answers."""
        url, email = self._context.webhook_url, self._settings.fallback_email
        if not url or not email:
            return []
        present = [one for one in await self._client.subscriptions() if one["callback_url"] == url]
        active = {one["event_name"] for one in present if one["is_active"]}
        asleep = {one["event_name"]: int(one["id_subscription"]) for one in present}
        changed = []
        for event in [event for event in EVENTS if event not in active]:
            if event in asleep:
                await self._client.renew_subscription(asleep[event], url, email)
                changed.append(f"{event}: active again")
            else:
                await self._client.subscribe(event, url, email)
                changed.append(f"{event}: subscribed")
        return changed

    async def push(self, operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        match operation:
            case "create" | "listing":
                (op,) = ops
                return await self._offers.put(operation, op)
            case "bulk":
                return await self._offers.patch(operation, ops)
            case "withdraw":
                (op,) = ops
                return PushOutcome(results=await self._offers.withdraw(operation, op))
            case _:
                raise ValueError(f"{operation!r} is no door for pushes")

    async def confirm(self, receipt: Receipt) -> PushOutcome:
        return await self._offers.confirm(receipt, self._context.clock.now())

    def offers(self, skus: Sequence[str] | None = None) -> AsyncIterator[Seen]:
        return self._offers.read(skus)

    async def orders(self, cursor: OrderCursor) -> OrderPage:
        place = Place.of(cursor.page, cursor.since)
        units, more = await self._page("orders", "/order-units", place)
        fresh = dict.fromkeys(unit["id_order"] for unit in units if feeds.is_new(place, unit["ts_updated_iso"]))
        found = [
            orders.order(document)
            for order_id in fresh
            if order_id != place.last and (document := await self._client.order(order_id)) is not None
        ]
        last = units[-1]["id_order"] if units else ""
        following = self._following(place, [unit["ts_updated_iso"] for unit in units], last, cursor, more=more)
        return OrderPage(orders=found, next_page=following)

    async def order_ids(self, placed_from: datetime, placed_to: datetime) -> Sequence[str]:
        ids: dict[str, None] = {}
        since = feeds.written(placed_from - feeds.SECOND)
        for storefront in self._storefronts:
            offset, more = 0, True
            while more:
                page, more = await self._client.placed(storefront, since, offset)
                ids |= {one["id_order"]: None for one in page if orders.placed_within(one, placed_from, placed_to)}
                offset += len(page)
        return list(ids)

    async def acknowledge(self, commands: Sequence[Command]) -> Sequence[CommandResult]:
        return [await self._commands.acknowledge(command) for command in commands]

    async def ship(self, command: Command) -> CommandResult:
        return await self._commands.ship(command)

    async def cancel(self, command: Command) -> CommandResult:
        return await self._commands.cancel(command)

    async def refund(self, command: Command) -> CommandResult:
        return await self._commands.refund(command)

    async def command_result(self, kind: str, command: Command) -> CommandResult | None:
        return await self._commands.look_up(kind, command)

    async def returns(self, cursor: OrderCursor) -> ReturnPage:
        place = Place.of(cursor.page, cursor.since)
        documents, more = await self._page("returns", "/returns", place)
        found: list[ChannelReturn] = []
        for document in documents:
            if feeds.is_new(place, document["ts_updated_iso"]):
                for unit in await self._client.return_units(document["id_return"]):
                    order_unit = await self._client.order_unit(unit["id_order_unit"])
                    sellable = self._settings.accepted_returns_sellable
                    found.append(returns.returned(document, unit, order_unit, accepted_sellable=sellable))
        following = self._following(place, [one["ts_updated_iso"] for one in documents], "", cursor, more=more)
        return ReturnPage(returns=found, next_page=following)

    def webhook(self, call: WebhookCall) -> Sequence[WebhookNotice]:
        secret = self._settings.webhook_secret.get_secret_value()
        sent = signing.verified(call, self._context.webhook_url, secret)
        try:
            document = orjson.loads(call.body)
            event, message_id = document["event_name"], str(document.get("id_message") or "")
        except (ValueError, TypeError, KeyError) as error:
            raise UnexpectedReply("a signed notification of Kaufland names no event", code="notification") from error
        task = EVENTS.get(event) or ("reconcile" if str(event).startswith("item_unit_") else "")
        return [WebhookNotice(task=task, id=message_id, sent=sent)] if task else []

    @property
    def _storefronts(self) -> Sequence[str]:
        """The storefronts that orders are pulled for, one after the other: without one Kaufland's answer is not documented."""
        return list(dict.fromkeys(one for one in self._context.storefronts if one)) or [self._settings.storefront]

    async def _page(self, operation: str, path: str, place: Place) -> tuple[Any, bool]:
        storefront = self._storefronts[place.storefront]
        return await self._client.changed(operation, path, storefront, place.since, place.offset)

    def _following(
        self, place: Place, times: Sequence[str], last: str, cursor: OrderCursor, *, more: bool
    ) -> str | None:
        since = Place.of(None, cursor.since).since
        following = feeds.following(place, times, more=more, last=last, storefronts=len(self._storefronts), since=since)
        return following.token() if following is not None else None
