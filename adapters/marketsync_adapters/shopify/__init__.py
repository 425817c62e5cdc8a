"""Shopify: products with their variants, prices and stock; orders, returns and what is told about them.

Over the Admin GraphQL API alone. ``documents`` holds everything that is sent, ``README.md`` what a person has to know.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from marketsync.adapter.api import (
    AdapterContext,
    AdapterSpec,
    Aspect,
    Auth,
    Bucket,
    Command,
    CommandResult,
    CostPoints,
    HeaderAuth,
    OAuth2,
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
from marketsync.adapter.errors import AuthRefused, ChannelBlocked
from marketsync_adapters.shopify import documents, webhooks
from marketsync_adapters.shopify.client import Client
from marketsync_adapters.shopify.commands import Commands
from marketsync_adapters.shopify.documents import API_VERSION, API_VERSIONS, Document
from marketsync_adapters.shopify.errors import POINTS, error_of
from marketsync_adapters.shopify.listings import Listings
from marketsync_adapters.shopify.orders import Orders
from marketsync_adapters.shopify.prices import push_prices
from marketsync_adapters.shopify.reading import Reading
from marketsync_adapters.shopify.returns import Returns
from marketsync_adapters.shopify.settings import PLANS, Credentials, Settings
from marketsync_adapters.shopify.stock import push_stock
from marketsync_adapters.shopify.withdrawals import withdraw

__all__ = ["SCOPES", "Credentials", "Settings", "ShopifyAdapter"]

TOKEN_HEADER = "X-Shopify-Access-Token"  # noqa: S105 - the header's name
CAPACITY_SECONDS = 10  # a bucket is taken to hold so many seconds of its rate until Shopify tells its size

# What the app has to be allowed; a scope to write allows to read, too.
SCOPES = (
    "write_products",
    "write_inventory",
    "read_locations",
    "write_orders",
    "write_merchant_managed_fulfillment_orders",
    "read_returns",
)
ALL_ORDERS = "read_all_orders"
PUBLISHING = "write_publications"  # only where products are published


def _base_url(_credentials: Credentials, settings: Settings) -> str:
    return settings.base_url


def _auth(credentials: Credentials, settings: Settings) -> Auth:
    if credentials.access_token is not None:
        return HeaderAuth(headers={TOKEN_HEADER: credentials.access_token.get_secret_value()})
    assert credentials.client_id is not None
    assert credentials.client_secret is not None
    return OAuth2(
        token_url=f"{settings.base_url}/admin/oauth/access_token",
        client_id=credentials.client_id,
        client_secret=credentials.client_secret.get_secret_value(),
        header=TOKEN_HEADER,
        prefix="",
    )


def _login(_settings: Settings) -> tuple[str, ...]:
    return (
        "Open your app at https://dev.shopify.com/dashboard. Home, Install app: choose the shop.",
        "Settings: the Client ID goes into client_id, the Secret into client_secret.",
        "An app made in the shop's own admin has an Admin API token instead: it goes into access_token.",
    )


def _buckets(settings: Settings) -> tuple[Bucket, ...]:
    restore = PLANS[settings.plan]
    return (CostPoints(name=POINTS, capacity=restore * CAPACITY_SECONDS, restore=restore),)


def _door(name: str, aspects: set[Aspect], document_cost: float, batch: int, **more: Any) -> Operation:
    return Operation(
        name=name,
        buckets=(POINTS,),
        aspects=frozenset(aspects),
        batch=batch,
        cost=document_cost,
        timeout=timedelta(seconds=60),
        **more,
    )


def _read(name: str, document: Document) -> Operation:
    return Operation(name=name, buckets=(POINTS,), writes=False, cost=document.cost)


def _command(name: str, document: Document) -> Operation:
    return Operation(
        name=name,
        buckets=(POINTS,),
        idempotent=False,
        undoable=False,
        cost=document.cost,
        timeout=timedelta(seconds=60),
    )


SPEC = AdapterSpec(
    name="shopify",
    title="Shopify",
    docs="https://github.com/marketsync/marketsync/blob/main/adapters/marketsync_adapters/shopify/README.md",
    credentials=Credentials,
    settings=Settings,
    base_url=_base_url,
    auth=_auth,
    login=_login,
    operations=(
        # A push of products looks before it writes: its slot is for both.
        _door("product", {Aspect.LISTING, Aspect.PRICE}, 900, 25, creates=True),
        _door("price", {Aspect.PRICE}, 50 * documents.PRICES.cost, 50),
        _door("stock", {Aspect.STOCK}, documents.STOCK.cost, 250, urgent=True),
        _door("withdraw", {Aspect.LISTING}, 550, 25, withdraws=True, undoable=False),
        Operation(name="dress", buckets=(POINTS,), cost=documents.METAFIELDS_SET.cost),
        _command("ship", documents.FULFILLMENT_ORDERS),
        _command("cancel", documents.REFUNDABLE),
        _command("refund", documents.REFUND_BASIS),
        # A lost answer is not asked for again: the next look tells what is there.
        Operation(name="subscribe", buckets=(POINTS,), idempotent=False, cost=documents.SUBSCRIBE.cost),
        _read("webhooks", documents.WEBHOOKS),
        _read("account", documents.ACCOUNT),
        _read("confirm", documents.PRODUCT_OPERATION),
        _read("read_offers", documents.FIND_SKUS),
        _read("orders", documents.ORDERS),
        _read("order_ids", documents.ORDER_IDS),
        _read("commands", documents.FULFILLMENT_ORDERS),
        _read("returns", documents.RETURNS),
    ),
    buckets=_buckets,
    mapping_version={Aspect.LISTING: 1, Aspect.PRICE: 1, Aspect.STOCK: 1},
    observable={
        Aspect.LISTING: frozenset({"title", "description", "brand", "gtin", "category", "options"}),
        Aspect.PRICE: frozenset({"amount", "reference"}),
        Aspect.STOCK: frozenset({"quantity"}),
    },
    api_versions=API_VERSIONS,
    groups_variants=True,
    price_bounds=(1, 10**11),
    stock_bounds=(0, 10**9),
    schedules_sales=False,
    sale_lowers_stock=SaleLowers.AT_PLACING,
    stock_by_location=True,
    visible_after=timedelta(minutes=1),
    confirm_within=timedelta(hours=1),
    order_overlap=timedelta(minutes=10),
    max_order_age=timedelta(days=60),
    errors=error_of,
)


class ShopifyAdapter:
    spec: ClassVar[AdapterSpec] = SPEC

    def __init__(self, settings: Settings, context: AdapterContext) -> None:
        self._settings = settings
        self._context = context
        self._client = Client(context.http)
        self._listings = Listings(self._client, settings, context)
        self._reading = Reading(self._client, settings, context)
        self._orders = Orders(self._client, settings, context)
        self._commands = Commands(self._client, settings)
        self._returns = Returns(self._client, context)

    async def check(self) -> str:
        data = await self._client.ask("account", documents.ACCOUNT, {})
        shop = data["shop"]
        scopes = {scope["handle"] for scope in data["currentAppInstallation"]["accessScopes"]}
        wanted = (*SCOPES, PUBLISHING) if self._settings.publications else SCOPES
        missing = [scope for scope in wanted if not scopes & {scope, scope.replace("read_", "write_")}]
        if missing:
            raise AuthRefused(f"the app lacks the scopes {', '.join(missing)}: add them and install it again")
        if API_VERSION not in {version["handle"] for version in data["publicApiVersions"] if version["supported"]}:
            raise ChannelBlocked(
                f"Shopify no longer serves its API of {API_VERSION}: update marketsync", code="version_retired"
            )
        if shop["currencyCode"] != self._settings.currency:
            raise ChannelBlocked(
                f"the shop sells in {shop['currencyCode']}, settings.currency says {self._settings.currency}",
                code="wrong_currency",
            )
        places = ", ".join(await self._places())
        vat = "with VAT" if shop["taxesIncluded"] else "without VAT"
        history = "" if ALL_ORDERS in scopes else f"; orders of the last 60 days (no {ALL_ORDERS})"
        return f"{shop['name']} ({shop['myshopifyDomain']}), {shop['currencyCode']} {vat}, {places}{history}"

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def push(self, operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        match operation:
            case "product":
                return await self._listings.push(ops)
            case "price":
                return await push_prices(self._client, ops, self._settings.currency, self._context.clock.now())
            case "stock":
                return await push_stock(self._client, ops, self._settings)
            case "withdraw":
                return await withdraw(self._client, ops, self._settings)
            case _:
                raise ValueError(f"{operation!r} is no door for pushes")

    async def confirm(self, receipt: Receipt) -> PushOutcome:
        return await self._listings.confirm(receipt)

    def offers(self, skus: Sequence[str] | None = None) -> AsyncIterator[Seen]:
        return self._reading.everything() if skus is None else self._reading.some(skus)

    async def orders(self, cursor: OrderCursor) -> OrderPage:
        return await self._orders.page(cursor)

    async def order_ids(self, placed_from: datetime, placed_to: datetime) -> Sequence[str]:
        return await self._orders.ids(placed_from, placed_to)

    async def ship(self, command: Command) -> CommandResult:
        return await self._commands.ship(command)

    async def cancel(self, command: Command) -> CommandResult:
        return await self._commands.cancel(command)

    async def refund(self, command: Command) -> CommandResult:
        return await self._commands.refund(command)

    async def command_result(self, kind: str, command: Command) -> CommandResult | None:
        return await self._commands.look_up(kind, command)

    async def returns(self, cursor: OrderCursor) -> ReturnPage:
        return await self._returns.page(cursor)

    async def subscribe(self) -> Sequence[str]:
        url = self._context.webhook_url
        wanted = url and self._settings.webhook_secret.get_secret_value()
        return await webhooks.keep(self._client, url) if wanted else []

    def webhook(self, call: WebhookCall) -> Sequence[WebhookNotice]:
        return webhooks.notices(call, self._settings.webhook_secret.get_secret_value())

    async def _places(self) -> Sequence[str]:
        """The names of the locations. Raises ``ChannelBlocked`` for one that the shop does not have."""
        ids = self._settings.location_ids
        data = await self._client.ask("account", documents.LOCATIONS, {"ids": ids}, cost=len(ids))
        for id_, node in zip(ids, data["nodes"], strict=True):
            if not node or not node["isActive"]:
                raise ChannelBlocked(
                    f"the shop has no active location {id_}: look at settings.locations", code="location"
                )
        return [node["name"] for node in data["nodes"]]
