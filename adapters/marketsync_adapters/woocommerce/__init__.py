"""WooCommerce: a shop of one's own, on a host of one's own.

The adapter is this module (spec and capabilities), ``settings``, ``client`` (requests and replies), ``pushes`` (which
requests a batch becomes), ``mapping``, ``orders`` and ``feed`` (pure), ``commands``, ``check``, ``webhooks`` and ``errors``.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from marketsync.adapter.api import (
    AdapterContext,
    AdapterSpec,
    Aspect,
    ChannelOrder,
    Command,
    CommandResult,
    OfferOp,
    Operation,
    OrderCursor,
    OrderPage,
    PushOutcome,
    SaleLowers,
    Seen,
    WebhookCall,
    WebhookNotice,
)
from marketsync_adapters.woocommerce import feed, mapping, orders, pushes, webhooks
from marketsync_adapters.woocommerce.check import check
from marketsync_adapters.woocommerce.client import Client
from marketsync_adapters.woocommerce.commands import Commands
from marketsync_adapters.woocommerce.errors import error_of
from marketsync_adapters.woocommerce.settings import REQUESTS, Credentials, Settings, auth, base_url, buckets, login

__all__ = ["Credentials", "Settings", "WooCommerceAdapter"]

# A host answers in seconds, and downloads images while it is asked to.
_PATIENT, _READING = timedelta(seconds=120), timedelta(seconds=60)


def _read(name: str) -> Operation:
    return Operation(name=name, buckets=(REQUESTS,), writes=False, timeout=_READING)


def _command(name: str) -> Operation:
    return Operation(name=name, buckets=(REQUESTS,), idempotent=False, undoable=False, timeout=_READING)


OPERATIONS = (
    # A create is not idempotent: one whose answer was lost is looked up by its SKU.
    Operation(
        name="listings",
        buckets=(REQUESTS,),
        aspects=frozenset(Aspect),
        batch=100,
        creates=True,
        idempotent=False,
        timeout=_PATIENT,
    ),
    Operation(
        name="offers",
        buckets=(REQUESTS,),
        aspects=frozenset({Aspect.PRICE, Aspect.STOCK}),
        batch=100,
        timeout=_PATIENT,
    ),
    Operation(
        name="withdraw",
        buckets=(REQUESTS,),
        aspects=frozenset({Aspect.LISTING}),
        batch=100,
        withdraws=True,
        timeout=_PATIENT,
    ),
    Operation(name="categories", buckets=(REQUESTS,), idempotent=False, timeout=_READING),
    Operation(name="webhooks", buckets=(REQUESTS,), idempotent=False, timeout=_READING),
    Operation(name="check", buckets=(REQUESTS,), timeout=_READING),
    _command("ship"),
    _command("cancel"),
    _command("refund"),
    _read("read_products"),
    _read("orders"),
    _read("read_order"),
)

SPEC = AdapterSpec(
    name="woocommerce",
    title="WooCommerce",
    docs="https://github.com/marketsync/marketsync/blob/main/adapters/marketsync_adapters/woocommerce/README.md",
    credentials=Credentials,
    settings=Settings,
    base_url=base_url,
    auth=auth,
    login=login,
    operations=OPERATIONS,
    buckets=buckets,
    mapping_version={Aspect.LISTING: 1, Aspect.PRICE: 1, Aspect.STOCK: 1},
    observable={
        Aspect.LISTING: frozenset(
            {"title", "description", "brand", "gtin", "category", "images", "attributes", "options", "weight_grams"}
        ),
        Aspect.PRICE: frozenset({"amount", "sale", "sale_starts", "sale_ends"}),
        Aspect.STOCK: frozenset({"quantity"}),
    },
    api_versions={"wc/v3": ""},
    groups_variants=True,
    stock_bounds=(0, 10**9),
    sale_lowers_stock=SaleLowers.AT_EITHER,  # an order on hold lowers it at once, others when they are paid
    visible_after=timedelta(minutes=1),
    order_overlap=timedelta(minutes=10),
    concurrency=1,  # a small host answers one heavy request after the other; two at once only make both slow
    connection_limit=2,
    errors=partial(error_of, {operation.name: operation for operation in OPERATIONS}),
)


class WooCommerceAdapter:
    spec: ClassVar[AdapterSpec] = SPEC

    def __init__(self, settings: Settings, context: AdapterContext) -> None:
        self._settings = settings
        self._context = context
        self._client = Client(context.http, settings)
        self._commands = Commands(self._client, settings)

    async def check(self) -> str:
        return await check(self._client, self._settings)

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def push(self, operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        """A family arrives whole: what of it is listed and what is withdrawn may come through the same door."""
        if operation == "offers":
            return await pushes.push_commerce(self._client, self._settings, ops)
        if operation not in {"listings", "withdraw"}:
            raise ValueError(f"{operation!r} is no door for pushes")
        results, writer = pushes.Results(), self._client.writer(operation)
        leaving = [op for op in ops if op.withdraw and op.changed]
        staying = [op for op in ops if not op.withdraw]
        if leaving:
            await pushes.withdraw(self._client, self._settings, writer, leaving, results)
            await pushes.hide_families(self._settings, writer, ops)
        if any(op.changed for op in staying):
            await pushes.ListingPush(self._client, self._settings, writer, results).run(staying)
        return results.all()

    async def offers(self, skus: Sequence[str] | None = None) -> AsyncIterator[Seen]:
        if skus is None:
            async for product in self._client.products():
                async for seen in self._seen(product, ()):
                    yield seen
            return
        found = await self._client.find(skus)
        variations = [row for row in found.values() if row["type"] == "variation"]
        parents = await self._client.products_by_id(row["parent_id"] for row in variations)
        for parent in parents.values():
            ids = [row["id"] for row in variations if row["parent_id"] == parent["id"]]
            async for seen in self._seen(parent, ids):
                if seen.sku in found:
                    yield seen
        for row in found.values():
            if row["type"] != "variation" and not row.get("variations") and _offered(row):
                yield mapping.seen_product(row, self._settings)

    async def _seen(self, product: Mapping[str, Any], ids: Iterable[int]) -> AsyncIterator[Seen]:
        """What a product offers: itself, or its variations (all, or some by their ids)."""
        if product.get("variations"):
            if product["status"] == mapping.HIDDEN:
                return
            async for variation in self._client.variations(product["id"], ids):
                if mapping.shown(variation):
                    yield mapping.seen_variation(variation, product, self._settings)
        elif _offered(product):
            yield mapping.seen_product(product, self._settings)

    async def orders(self, cursor: OrderCursor) -> OrderPage:
        place = feed.Place.of(cursor, self._context.clock.now() - self.spec.max_order_age)
        size = self._settings.objects_per_request
        documents, pages = await self._client.page("orders", "/orders", place.params(size))
        read = [await self._order(one) for one in documents if orders.meaning(one, self._settings) != "ignore"]
        following = place.following(documents).token() if pages > place.page and documents else None
        return OrderPage(orders=[one for one in read if one.updated >= place.since], next_page=following)

    async def order_ids(self, placed_from: datetime, placed_to: datetime) -> Sequence[str]:
        params = {**feed.window(placed_from, placed_to), "orderby": "id", "order": "asc"}
        params["_fields"] = "id,status,date_created_gmt,date_paid_gmt"
        found = [one async for one in self._client.all("orders", "/orders", params)]
        real = [one for one in found if orders.meaning(one, self._settings) != "ignore"]
        return list(dict.fromkeys(str(one["id"]) for one in feed.inside(real, placed_from, placed_to)))

    async def ship(self, command: Command) -> CommandResult:
        return await self._commands.ship(command)

    async def cancel(self, command: Command) -> CommandResult:
        return await self._commands.cancel(command)

    async def refund(self, command: Command) -> CommandResult:
        return await self._commands.refund(command)

    async def command_result(self, kind: str, command: Command) -> CommandResult | None:
        return await self._commands.result(kind, command)

    async def subscribe(self) -> Sequence[str]:
        url, secret = self._context.webhook_url, self._settings.webhook_secret.get_secret_value()
        return await webhooks.keep(self._client, url, secret) if url and secret else []

    def webhook(self, call: WebhookCall) -> Sequence[WebhookNotice]:
        return webhooks.notices(call, self._settings)

    async def _order(self, document: Mapping[str, Any]) -> ChannelOrder:
        if not orders.explained(document, self._settings):
            self._context.log.warning("order status without a meaning", status=document["status"])
        refunds = []
        if document.get("refunds"):
            path = f"/orders/{document['id']}/refunds"
            refunds = [one async for one in self._client.all("orders", path, {"dp": 6})]
        gone = [orders.product_of(line) for line in document["line_items"] if not line.get("sku")]
        skus = await self._context.offers.skus(gone) if gone else {}
        return orders.order(document, refunds, self._settings, skus)


def _offered(product: Mapping[str, Any]) -> bool:
    """Whether a product is one offer of its own: not the head of others, and not sold elsewhere."""
    return mapping.shown(product) and product["type"] not in {"variable", "grouped", "external", "variation"}
