"""eBay: items, offers and listings of the Inventory API, orders of the Fulfillment API.

This module is the spec and the capabilities, thin. ``publication`` lists, ``revision`` changes prices and stock,
``orders`` and ``post_order`` do what their names say, ``client`` holds the calls, ``mapping`` is pure.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, time, timedelta
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from marketsync.adapter.api import (
    AdapterContext,
    AdapterSpec,
    Aspect,
    Auth,
    Bucket,
    Command,
    CommandResult,
    Consent,
    OAuth2,
    OfferOp,
    Operation,
    OrderCursor,
    OrderPage,
    PushOutcome,
    Quota,
    Rate,
    Result,
    ReturnPage,
    SaleLowers,
    Seen,
    WebhookCall,
    WebhookNotice,
)
from marketsync.adapter.errors import ChannelBlocked, Retryable, UnexpectedReply
from marketsync_adapters.ebay import account, mapping, notifications
from marketsync_adapters.ebay.board import Board
from marketsync_adapters.ebay.client import BULK, Client, Document
from marketsync_adapters.ebay.errors import error_of
from marketsync_adapters.ebay.orders import Orders
from marketsync_adapters.ebay.post_order import PostOrder
from marketsync_adapters.ebay.publication import Publication
from marketsync_adapters.ebay.revision import Revision
from marketsync_adapters.ebay.settings import Credentials, Settings
from marketsync_adapters.ebay.signature import signed

__all__ = ["Credentials", "EbayAdapter", "Settings"]

SCOPES = " ".join(
    f"https://api.ebay.com/oauth/api_scope{name}"
    for name in ("", "/sell.inventory", "/sell.account", "/sell.fulfillment")
)
DAY = timedelta(days=1)
RESETS = time(8, 0)  # midnight in California; an hour later than eBay's in summer
POST_ORDER_PREFIX = "IAF "  # the Post-Order API is older than Bearer tokens
RESERVED = 0.05  # of a day's calls, kept for stock that falls to zero


def _base_url(_credentials: Credentials, settings: Settings) -> str:
    return settings.base_url


def _marketplace(settings: Settings) -> str:
    return settings.marketplace


def _auth(credentials: Credentials, settings: Settings) -> Auth:
    return OAuth2(
        token_url=f"{settings.base_url}/identity/v1/oauth2/token",
        client_id=credentials.client_id,
        client_secret=credentials.client_secret.get_secret_value(),
        refresh_token=credentials.refresh_token.get_secret_value(),
        scope=SCOPES,
        basic=True,
        refresh_expires=credentials.refresh_expires,
        consent=_consent(credentials, settings),
    )


def _consent(credentials: Credentials, settings: Settings) -> Consent:
    if not credentials.ru_name:
        return Consent()
    asked = {
        "client_id": credentials.client_id,
        "redirect_uri": credentials.ru_name,
        "response_type": "code",
        "scope": SCOPES,
    }
    # auth.ebay.com beside api.ebay.com; a sandbox on this machine asks at its own address
    host = settings.base_url.replace("://api.", "://auth.", 1)
    return Consent(url=f"{host}/oauth2/authorize?{urlencode(asked)}", redirect_uri=credentials.ru_name)


def _login(_settings: Settings) -> tuple[str, ...]:
    return (
        "Log in at https://developer.ebay.com, Application Keysets, Production: App ID is client_id, Cert ID client_secret.",
        "Next to the App ID click User Tokens, Get a Token from eBay via Your Application: compare ru_name.",
    )


def _buckets(settings: Settings) -> tuple[Bucket, ...]:
    return (
        Rate(name="pace", per_second=settings.calls_per_second, burst=max(1, int(settings.calls_per_second))),
        Quota(
            name="inventory",
            limit=settings.inventory_calls_per_day,
            window=DAY,
            resets=RESETS,
            reserved=RESERVED,
        ),
        Quota(
            name="fulfillment",
            limit=settings.fulfillment_calls_per_day,
            window=DAY,
            resets=RESETS,
            reserved=RESERVED,
        ),
        Quota(name="account", limit=25_000, window=DAY, resets=RESETS),
    )


def _read(name: str, quota: str = "", **more: Any) -> Operation:
    return Operation(name=name, buckets=("pace", quota) if quota else ("pace",), writes=False, **more)


def _command(name: str, quota: str = "", **more: Any) -> Operation:
    buckets = ("pace", quota) if quota else ("pace",)
    return Operation(name=name, buckets=buckets, idempotent=False, undoable=False, **more)


_ALL = frozenset(Aspect)
_WRITES = ("pace", "inventory")

SPEC = AdapterSpec(
    name="ebay",
    title="eBay",
    docs="https://github.com/marketsync/marketsync/blob/main/adapters/marketsync_adapters/ebay/README.md",
    credentials=Credentials,
    settings=Settings,
    base_url=_base_url,
    auth=_auth,
    login=_login,
    operations=(
        Operation(
            name="listing", buckets=_WRITES, aspects=_ALL, batch=BULK, creates=True, timeout=timedelta(seconds=90)
        ),
        Operation(
            name="price_stock",
            buckets=_WRITES,
            aspects=frozenset({Aspect.PRICE, Aspect.STOCK}),
            batch=BULK,
            timeout=timedelta(seconds=60),
        ),
        Operation(name="withdraw", buckets=_WRITES, aspects=frozenset({Aspect.LISTING}), batch=BULK, withdraws=True),
        _command("ship", "fulfillment"),
        _command("refund", "fulfillment"),
        _command("cancel", token_prefix=POST_ORDER_PREFIX),
        _read("read_items", "inventory"),
        _read("read_offers", "inventory"),
        _read("orders", "fulfillment"),
        _read("order", "fulfillment"),
        _read("order_ids", "fulfillment"),
        _read("shipments", "fulfillment"),
        _read("returns", token_prefix=POST_ORDER_PREFIX),
        _read("account", "account"),
        _read("limits"),
    ),
    buckets=_buckets,
    mapping_version=MappingProxyType({Aspect.LISTING: 1, Aspect.PRICE: 1, Aspect.STOCK: 1}),
    observable=MappingProxyType(
        {
            Aspect.LISTING: frozenset({"title", "brand", "gtin", "condition", "images", "attributes", "weight_grams"}),
            Aspect.PRICE: frozenset({"amount"}),
            Aspect.STOCK: frozenset({"quantity"}),
        }
    ),
    storefront=_marketplace,
    api_versions=MappingProxyType(
        {"inventory v1 (1.18.4)": "", "fulfillment v1 (1.20.7)": "", "account v1 (1.9.3)": "", "post-order v2": ""}
    ),
    groups_variants=True,
    stock_bounds=(0, 2**31 - 1),
    sale_lowers_stock=SaleLowers.AT_PLACING,
    stock_shared=True,
    visible_after=timedelta(minutes=5),
    order_overlap=timedelta(minutes=15),
    revisions_per_day=250,
    max_order_age=timedelta(days=90),
    errors=error_of,
)


class EbayAdapter:
    spec: ClassVar[AdapterSpec] = SPEC

    def __init__(self, settings: Settings, context: AdapterContext) -> None:
        self._settings = settings
        self._context = context
        self._client = Client(context.http, settings.marketplace, settings.content_language)
        self._publication = Publication(self._client, settings)
        self._revision = Revision(self._client, settings, context.log)
        self._orders = Orders(context.http)
        self._post_order = PostOrder(context.http, self._orders, settings.marketplace)

    async def check(self) -> str:
        return await account.check(self._client, self._settings, self._context)

    async def aclose(self) -> None:
        """Nothing is held open."""

    # ---------------------------------------------------------------- offers

    async def push(self, operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        if operation not in {"listing", "price_stock", "withdraw"}:
            raise ValueError(f"{operation!r} is no door for pushes")
        board = Board(ops)
        try:
            await self._write(board, ops)
        except (Retryable, ChannelBlocked, UnexpectedReply) as error:
            if not board.wrote:
                raise
            self._context.log.warning(
                "a write to eBay broke off, what is open is sent again", operation=operation, error=str(error)
            )
            board.lose(error)
        return PushOutcome(results=board.results())

    async def _write(self, board: Board, ops: Sequence[OfferOp]) -> None:
        """Families bring their leaving and their other members along, so every door may see every kind of op."""
        leaving = [op for op in ops if op.withdraw]
        staying = [op for op in ops if not op.withdraw]
        revised = [op for op in staying if op.changed and Aspect.LISTING not in op.changed]
        if leaving:
            await self._publication.withdraw(board, leaving, staying)
        if any(Aspect.LISTING in op.changed for op in staying):
            await self._publication.run(board, staying)
        await self._revision.end_at_zero(board, revised)
        await self._revision.run(board, board.undecided(revised))

    async def offers(self, skus: Sequence[str] | None = None) -> AsyncIterator[Seen]:
        if skus is None:
            page, more = 0, True
            while more:
                items, more = await self._client.item_page(page)
                async for seen in self._seen(items):
                    yield seen
                page += 1
            return
        wanted = list(dict.fromkeys(skus))
        for start in range(0, len(wanted), BULK):
            found = await self._client.items(wanted[start : start + BULK])
            async for seen in self._seen(list(found.values())):
                yield seen

    async def _seen(self, items: Sequence[Document]) -> AsyncIterator[Seen]:
        """What buyers see of these items. A draft that waits for stock shows none; other drafts are not on eBay."""
        known = await self._context.offers.ids([str(item["sku"]) for item in items])
        for item in items:
            sku = str(item["sku"])
            if not self._settings.read_prices and sku in known:
                yield mapping.seen(item, None, known[sku])
                continue
            offer = await self._client.offer_of(sku)
            if offer is None:
                continue
            offer_id = str(offer["offerId"])
            waits = known.get(sku) == offer_id and mapping.quantity_of(item) == 0
            if offer.get("status") == "PUBLISHED" or waits:
                yield mapping.seen(item, offer, offer_id)

    # ---------------------------------------------------------------- orders

    async def orders(self, cursor: OrderCursor) -> OrderPage:
        return await self._orders.page(cursor, self._context.clock.now())

    async def order_ids(self, placed_from: datetime, placed_to: datetime) -> Sequence[str]:
        return await self._orders.ids(placed_from, placed_to, self._context.clock.now())

    async def ship(self, command: Command) -> CommandResult:
        return await self._orders.ship(command, self._context.clock.now())

    async def cancel(self, command: Command) -> CommandResult:
        if not self._settings.post_order:
            return _not_possible("Cancel the order in Seller Hub: the Post-Order API is off (post_order).")
        return await self._post_order.cancel(command, self._sign)

    async def refund(self, command: Command) -> CommandResult:
        if not self._settings.refunds:
            return _not_possible("Refund the order in Seller Hub: refunds through the API are off (refunds).")
        return await self._orders.refund(command, self._sign)

    async def command_result(self, kind: str, command: Command) -> CommandResult | None:
        """Shipments and cancellations leave a trace; a refund's does not name the attempt that made it."""
        lookups: dict[str, Callable[[Command], Awaitable[CommandResult | None]]] = {
            "ship": self._orders.shipped,
            "cancel": self._post_order.cancelled,
        }
        return await lookups[kind](command) if kind in lookups else None

    async def returns(self, cursor: OrderCursor) -> ReturnPage:
        if not self._settings.post_order:
            return ReturnPage(returns=())
        return await self._post_order.returns(cursor, self._context.clock.now())

    def webhook(self, call: WebhookCall) -> Sequence[WebhookNotice]:
        return notifications.notices(call, self._settings.notification_keys)

    def _sign(self, method: str, path: str, body: bytes) -> dict[str, str]:
        """The digital signature of a call that moves money; none without a key (sellers outside the EU and UK)."""
        key, jwe = self._settings.signing_key, self._settings.signing_jwe
        if key is None or jwe is None:
            return {}
        authority = urlsplit(self._settings.base_url).netloc
        now = self._context.clock.now()
        return signed(key.get_secret_value(), jwe.get_secret_value(), method, authority, path, body, now)


def _not_possible(message: str) -> CommandResult:
    return CommandResult(result=Result.REJECTED, code="not_possible", message=message)
