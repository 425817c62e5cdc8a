"""The sandbox: a marketplace of our own, and the adapter that every other adapter copies.

The adapter is this module (spec and capabilities), ``client`` (requests and replies) and ``mapping`` (pure); it
knows the market only through its API, as README.md tells it. All other modules are the market.
"""

import hmac
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import ClassVar, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from marketsync.adapter.api import (
    AdapterContext,
    AdapterSpec,
    Aspect,
    Auth,
    Bucket,
    Command,
    CommandResult,
    HeaderAuth,
    OAuth2,
    OfferOp,
    Operation,
    OrderCursor,
    OrderPage,
    PushOutcome,
    Rate,
    Receipt,
    ReturnPage,
    SaleLowers,
    Seen,
    WebhookCall,
    WebhookNotice,
)
from marketsync.adapter.errors import AuthRefused, ChannelBlocked
from marketsync_adapters.sandbox import mapping
from marketsync_adapters.sandbox.client import Client, error_of

__all__ = ["Credentials", "SandboxAdapter", "Settings"]

WEBHOOK_TOLERANCE = timedelta(minutes=5)


class Credentials(BaseModel):
    """An API key, or the id and secret of an OAuth client."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: SecretStr | None = Field(None, description="The seller's API key.")
    client_id: str | None = Field(None, description="The OAuth client, in place of an API key.")
    client_secret: SecretStr | None = Field(None, description="The secret of the OAuth client.")

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.api_key is None) == (self.client_id is None):
            raise ValueError("give either api_key, or client_id with client_secret")
        if (self.client_id is None) != (self.client_secret is None):
            raise ValueError("client_id and client_secret belong together")
        return self


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field("http://127.0.0.1:8800", description="Where the sandbox runs.", pattern="^https?://[^/]+$")
    storefront: str = Field("main", description="The storefront of the account that this channel sells on.")
    limits: bool = Field(True, description="Keep to the sandbox's rate limits. Off for a sandbox that has none.")
    webhook_secret: SecretStr = Field(SecretStr(""), description="Signs the sandbox's notifications; empty: none.")


def _base_url(_credentials: Credentials, settings: Settings) -> str:
    return settings.base_url


def _storefront(settings: Settings) -> str:
    return settings.storefront


def _auth(credentials: Credentials, settings: Settings) -> Auth:
    if credentials.api_key is not None:
        return HeaderAuth(headers={"X-Api-Key": credentials.api_key.get_secret_value()})
    assert credentials.client_id is not None
    assert credentials.client_secret is not None
    return OAuth2(
        token_url=f"{settings.base_url}/v1/oauth/token",
        client_id=credentials.client_id,
        client_secret=credentials.client_secret.get_secret_value(),
    )


# Calls per second sustained and at once, as README.md tells them; one bucket per operation.
_RATES: dict[str, tuple[float, int]] = {
    "account": (2, 10),
    "offers": (5, 10),
    "jobs": (10, 20),
    "prices": (5, 10),
    "stock": (10, 20),
    "withdraw": (5, 10),
    "read_offers": (10, 20),
    "orders": (5, 20),
    "order_ids": (5, 20),
    "acknowledge": (5, 10),
    "ship": (10, 20),
    "cancel": (10, 20),
    "refund": (10, 20),
    "commands": (10, 20),
    "returns": (5, 10),
    "read_webhooks": (2, 10),
    "webhooks": (2, 10),
}


def _buckets(settings: Settings) -> tuple[Bucket, ...]:
    if not settings.limits:
        return tuple(Rate(name=name, per_second=1_000_000, burst=1_000_000) for name in _RATES)
    return tuple(
        Rate(name=name, per_second=per_second, burst=burst, learn="x-ratelimit-limit")
        for name, (per_second, burst) in _RATES.items()
    )


def _read(name: str) -> Operation:
    return Operation(name=name, buckets=(name,), writes=False)


def _command(name: str) -> Operation:
    # The market remembers the key, but a command is never sent twice without a look: idempotent stays false.
    return Operation(name=name, buckets=(name,), idempotent=False, undoable=False)


SPEC = AdapterSpec(
    name="sandbox",
    title="Sandbox marketplace",
    docs="https://github.com/marketsync/marketsync/blob/main/adapters/marketsync_adapters/sandbox/README.md",
    credentials=Credentials,
    settings=Settings,
    base_url=_base_url,
    auth=_auth,
    operations=(
        Operation(name="offers", buckets=("offers",), aspects=frozenset({Aspect.LISTING}), batch=100, creates=True),
        Operation(name="prices", buckets=("prices",), aspects=frozenset({Aspect.PRICE}), batch=200),
        Operation(name="stock", buckets=("stock",), aspects=frozenset({Aspect.STOCK}), batch=500, urgent=True),
        Operation(
            name="withdraw",
            buckets=("withdraw",),
            aspects=frozenset({Aspect.LISTING}),
            batch=100,
            withdraws=True,
        ),
        Operation(name="acknowledge", buckets=("acknowledge",), batch=100),
        _command("ship"),
        _command("cancel"),
        _command("refund"),
        # A lost answer is not asked for again: the next look tells what is there.
        Operation(name="webhooks", buckets=("webhooks",), idempotent=False),
        _read("read_webhooks"),
        _read("account"),
        _read("jobs"),
        _read("read_offers"),
        _read("orders"),
        _read("order_ids"),
        _read("commands"),
        _read("returns"),
    ),
    buckets=_buckets,
    mapping_version={Aspect.LISTING: 1, Aspect.PRICE: 1, Aspect.STOCK: 1},
    observable={
        Aspect.LISTING: frozenset(
            {
                "title",
                "description",
                "brand",
                "gtin",
                "category",
                "condition",
                "images",
                "attributes",
                "options",
                "weight_grams",
            }
        ),
        Aspect.PRICE: frozenset({"amount", "sale", "sale_starts", "sale_ends", "reference"}),
        Aspect.STOCK: frozenset({"quantity", "locations"}),
    },
    storefront=_storefront,
    api_versions={"v1": ""},
    price_bounds=(1, 10**11),
    stock_bounds=(0, 999_999),
    sale_lowers_stock=SaleLowers.AT_PLACING,
    visible_after=timedelta(seconds=5),
    confirm_within=timedelta(hours=1),
    order_overlap=timedelta(minutes=5),
    max_order_age=timedelta(days=30),
    errors=error_of,
)


class SandboxAdapter:
    spec: ClassVar[AdapterSpec] = SPEC

    def __init__(self, settings: Settings, context: AdapterContext) -> None:
        self._settings = settings
        self._webhook_url = context.webhook_url
        self._client = Client(context.http, settings.storefront)

    async def check(self) -> str:
        account = await self._client.account()
        storefront = self._settings.storefront
        if storefront not in account["storefronts"]:
            known = ", ".join(sorted(account["storefronts"]))
            raise ChannelBlocked(
                f"the account has no storefront {storefront!r}, only {known}", code="unknown_storefront"
            )
        return f"{account['seller']}, storefront {storefront} ({account['storefronts'][storefront]})"

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def push(self, operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        asked = [(op.sku, op.changed) for op in ops]
        match operation:
            case "offers":
                job, request_id = await self._client.submit_offers([mapping.offer_out(op) for op in ops if op.changed])
                return PushOutcome(
                    results=mapping.submitted(ops),
                    receipt=job["job_id"],
                    ask_after=timedelta(seconds=job["ask_after"]),
                    request_id=request_id,
                )
            case "prices":
                items = [{"sku": op.sku, "price": mapping.price_out(op.price)} for op in ops]
                reports, request_id = await self._client.write("prices", items)
            case "stock":
                items = [{"sku": op.sku} | mapping.stock_out(op.stock) for op in ops]
                reports, request_id = await self._client.write("stock", items)
            case "withdraw":
                reports, request_id = await self._client.withdraw([op.sku for op in ops])
            case _:
                raise ValueError(f"{operation!r} is no door for pushes")
        return PushOutcome(results=mapping.results(asked, reports), request_id=request_id)

    async def confirm(self, receipt: Receipt) -> PushOutcome:
        job = await self._client.job(receipt.token)
        if job is not None and job["state"] == "running":
            return PushOutcome(results=(), receipt=receipt.token, ask_after=timedelta(seconds=job["ask_after"]))
        # A job that the market has forgotten may or may not have been done: no report means UNKNOWN.
        return PushOutcome(results=mapping.results(receipt.ops, job["items"] if job is not None else ()))

    async def offers(self, skus: Sequence[str] | None = None) -> AsyncIterator[Seen]:
        if skus is None:
            page: str | None = None
            while True:
                documents, page = await self._client.browse_offers(page)
                for document in documents:
                    yield mapping.seen(document)
                if page is None:
                    return
        wanted = list(dict.fromkeys(skus))
        for start in range(0, len(wanted), 100):
            for document in await self._client.find_offers(wanted[start : start + 100]):
                yield mapping.seen(document)

    async def orders(self, cursor: OrderCursor) -> OrderPage:
        documents, following = await self._client.feed("orders", cursor)
        return OrderPage(orders=[mapping.order(document) for document in documents], next_page=following)

    async def order_ids(self, placed_from: datetime, placed_to: datetime) -> Sequence[str]:
        ids, following = await self._client.order_ids(placed_from, placed_to, None)
        while following is not None:
            more, following = await self._client.order_ids(placed_from, placed_to, following)
            ids += more
        return ids

    async def acknowledge(self, commands: Sequence[Command]) -> Sequence[CommandResult]:
        return mapping.acknowledgements(commands, await self._client.acknowledge(commands))

    async def ship(self, command: Command) -> CommandResult:
        return await self._client.command("ship", "shipments", command)

    async def cancel(self, command: Command) -> CommandResult:
        return await self._client.command("cancel", "cancellations", command)

    async def refund(self, command: Command) -> CommandResult:
        return await self._client.command("refund", "refunds", command)

    async def command_result(self, kind: str, command: Command) -> CommandResult | None:
        del kind  # the market finds a command by its key alone
        return await self._client.command_result(command.key)

    async def returns(self, cursor: OrderCursor) -> ReturnPage:
        documents, following = await self._client.feed("returns", cursor)
        return ReturnPage(returns=[mapping.returned(document) for document in documents], next_page=following)

    async def subscribe(self) -> Sequence[str]:
        url = self._webhook_url
        if not url or not self._settings.webhook_secret.get_secret_value():
            return []
        mine = [one for one in await self._client.webhooks() if one["url"] == url]
        if any(one["active"] for one in mine):
            return []
        if mine:
            await self._client.turn_webhook_on(mine[0]["id"])
            return ["on again"]
        await self._client.add_webhook(url)
        return ["subscribed"]

    def webhook(self, call: WebhookCall) -> Sequence[WebhookNotice]:
        sent = self._signed(call)
        document = orjson.loads(call.body)
        task = "returns" if document["topic"].startswith("return.") else "orders"
        return [WebhookNotice(task=task, id=document["id"], sent=sent)]

    def _signed(self, call: WebhookCall) -> datetime:
        """When the call was signed. Raises ``AuthRefused`` for a wrong or old signature, and where no secret is set."""
        secret = self._settings.webhook_secret.get_secret_value()
        signature = dict(part.partition("=")[::2] for part in call.headers.get("x-sandbox-signature", "").split(","))
        timestamp = signature.get("t", "")
        expected = hmac.new(secret.encode(), timestamp.encode() + b"." + call.body, sha256).hexdigest()
        if not secret or not hmac.compare_digest(expected.encode(), signature.get("v1", "").encode()):
            raise AuthRefused("the notification's signature is wrong", code="bad_signature")
        sent = datetime.fromtimestamp(int(timestamp), UTC)
        if abs(call.received - sent) > WEBHOOK_TOLERANCE:
            raise AuthRefused("the notification is too old", code="old_signature")
        return sent
