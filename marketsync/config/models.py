"""The configuration as types. What is left out has a default that is safe."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from cryptography.fernet import Fernet
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from marketsync.config.schedule import Schedule
from marketsync.config.section import Bind, LocalPath, Name, NonEmpty, Section
from marketsync.config.source_settings import HttpUrl, SourceSettings
from marketsync.domain.assortment import Assortment
from marketsync.domain.availability import StockRules
from marketsync.domain.guards import GuardRules
from marketsync.domain.listing import ListingRules
from marketsync.domain.price_rules import PriceRules
from marketsync.domain.rates import RateTable
from marketsync.domain.scalars import Duration
from marketsync.domain.vat import VatTable

_SQLITE = re.compile(r"sqlite:///(?!/)(?!:memory:)([^?]+)")


class Account(Section):
    """Credentials at one marketplace; it owns the limits and the order cursor that its storefronts share."""

    adapter: NonEmpty
    """The kind of marketplace: `marketsync adapters` lists them."""
    credentials: Any = Field(default_factory=dict)
    """What the adapter needs to log in, better by reference: `${credential:name}`. Loaded: the adapter's own model."""


class TaskSchedule(Section):
    """When each task of a channel runs by itself. Work that a sale asks for never waits for it."""

    orders: Schedule = Schedule.parse("2m")
    stock: Schedule = Schedule.parse("1m")
    price: Schedule = Schedule.parse("5m")
    listing: Schedule = Schedule.parse("15m")
    returns: Schedule = Schedule.parse("1h")
    reconcile: Schedule = Schedule.parse("03:15")


class OrderPolicy(Section):
    """What happens to the orders of a channel."""

    accept: Literal["automatically", "manually"] = "automatically"
    """Manually: the order is stored and delivered, and waits for a person where the channel asks for acceptance."""
    acknowledge: bool = True
    """Tell the channel that an order is safely stored."""
    restock_on: frozenset[Literal["cancel", "return"]] = frozenset({"cancel"})
    """Whether pieces of a cancelled order, or of a return that was received and is sellable, can be sold again."""


def _pieces(value: Any) -> Any:
    return {value: 1} if isinstance(value, str) and value else value


Components = Annotated[
    Mapping[NonEmpty, Annotated[int, Field(ge=1, le=1_000_000)]],
    Field(min_length=1),
    BeforeValidator(_pieces),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "object", "minProperties": 1, "additionalProperties": {"type": "integer", "minimum": 1}},
            ],
            "examples": ["SKU-1", {"SKU-1": 2}],
        }
    ),
]


class Channel(Section):
    """One storefront. It belongs to an account, or brings adapter and credentials of its own."""

    account: Name | None = None
    """Loaded, it is always set: a channel that brings its own credentials is an account of the same name."""
    adapter: NonEmpty | None = None
    """Instead of `account`, where there is one storefront only. Loaded, it is always set."""
    credentials: Any = None
    """Beside `adapter`. Loaded, it is None: the account has them."""
    settings: Any = Field(default_factory=dict)
    """The adapter's own settings, such as the storefront. Loaded: the adapter's own model."""
    assortment: Assortment = Assortment()
    withdraw_after: Duration | None = None
    """How long after it left the assortment an offer is ended on the channel; left out: it stays, with stock zero."""
    price: PriceRules = PriceRules()
    stock: StockRules = StockRules()
    listing: ListingRules = ListingRules()
    listing_map: Mapping[NonEmpty, Components] = Field(default_factory=dict)
    """Channel SKU to the items it is made of: multipacks, kits, renamed SKUs. Or a CSV: `{file: path}`."""
    guards: GuardRules = GuardRules()
    schedule: TaskSchedule = TaskSchedule()
    orders: OrderPolicy = OrderPolicy()
    keep_buyers: Duration | None = None
    """How long names and addresses of its buyers are kept; left out: as `retention` says."""

    @model_validator(mode="after")
    def _one_account(self) -> Self:
        if self.account is not None and (self.adapter is not None or self.credentials is not None):
            raise ValueError("adapter and credentials belong to the account, write account or these, not both")
        if self.account is None and self.adapter is None:
            raise ValueError("it has no account, name one of accounts, or write adapter and credentials here")
        return self


class Sink(Section):
    """Where orders are delivered. Exactly one of `webhook` and `folder` is set."""

    webhook: HttpUrl | None = None
    """A URL that takes one JSON document per order revision, signed with `secret`."""
    secret: SecretStr | None = None
    """Signs what the webhook gets: HMAC-SHA256."""
    folder: LocalPath | None = None
    """Takes one JSON file per order revision."""
    fulfilled_by_channel: bool = False
    """Deliver also, marked, what the channel keeps and ships itself."""

    @model_validator(mode="after")
    def _one_door(self) -> Self:
        if (self.webhook is None) == (self.folder is None):
            raise ValueError("a sink is either a webhook or a folder")
        if (self.webhook is None) != (self.secret is None):
            raise ValueError("a webhook and the secret that signs its deliveries belong together")
        return self


class Retention(Section):
    """How long what is not needed any more is kept."""

    journals: Duration = timedelta(days=30)
    """What was sent and answered, and the runs of tasks."""
    buyers: Duration = timedelta(days=90)
    """Names and addresses, after the order's last change."""


def _reachable(value: str) -> str:
    url = urlsplit(value)
    local = url.hostname in ("localhost", "127.0.0.1", "::1")
    if value and (
        (url.scheme != "https" and not local) or not url.hostname or url.query or url.fragment or url.username
    ):
        raise ValueError(f"{value!r} is no address for webhooks, write it as https://shop.example")
    return value.rstrip("/")


class Inbound(Section):
    """The listener for webhooks of channels and for shipments, cancellations and returns."""

    bind: Bind
    public_url: Annotated[str, AfterValidator(_reachable)] = ""
    """Where marketplaces reach this listener, such as https://shop.example: their webhooks are then subscribed to by itself."""
    tokens: Mapping[Name, Annotated[SecretStr, Field(min_length=16)]] = Field(default_factory=dict)
    """Who may report shipments: a name and its token. Without any, only webhooks of channels are taken."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _bind_alone(value: Any) -> Any:
    return {"bind": value} if isinstance(value, str) else value


def _flat_rates(value: Any) -> Any:
    """Takes ``{date: ..., base: EUR, GBP: 0.86}`` as well: the codes stand beside the date, as on the ECB's page."""
    if not isinstance(value, dict) or "rates" in value:
        return value
    codes = {key: rate for key, rate in value.items() if re.fullmatch("[A-Z]{3}", key)}
    return {key: part for key, part in value.items() if key not in codes} | {"rates": codes}


def _fernet_key(value: SecretStr) -> SecretStr:
    try:
        Fernet(value.get_secret_value())
    except ValueError:
        raise ValueError("it is no key, `marketsync init` makes one: 44 characters, the last one =") from None
    return value


def _ledger_url(value: SecretStr, info: ValidationInfo) -> SecretStr:
    url = value.get_secret_value()
    if not re.match(r"(sqlite|postgresql)(\+[a-z0-9]+)?://", url):
        raise ValueError("it is no ledger, write sqlite:///file.db or postgresql://user@host/database")
    match = _SQLITE.match(url)
    base = (info.context or {}).get("base")
    if match is None or base is None:
        return value
    beside, from_root = base / match[1], base.joinpath("/", match[1])
    if not beside.parent.is_dir() and from_root.parent.is_dir():
        raise ValueError(f"with three slashes it lies beside this file, write sqlite:///{from_root} with four")
    return SecretStr(f"sqlite:///{beside}{url[match.end() :]}")


class Config(Section):
    """Everything. Relative paths start at the folder of the main file."""

    include: Annotated[tuple[NonEmpty, ...], BeforeValidator(_as_list, json_schema_input_type=str | list[str])] = ()
    """More files or patterns of files: what they define joins what stands here; nothing is defined twice."""
    ledger: Annotated[SecretStr, AfterValidator(_ledger_url)] = Field(
        default=SecretStr("sqlite:///marketsync.db"), validate_default=True
    )
    """The database: `sqlite:///ledger.db` beside this file, `sqlite:////var/lib/...`, or `postgresql://...`."""
    key: Annotated[SecretStr, AfterValidator(_fernet_key)]
    """Encrypts tokens and buyers in the ledger; `marketsync init` makes one."""
    metrics: Bind = Bind("127.0.0.1", 9464)
    """Where /metrics, /healthz and /readyz are served."""
    inbound: Annotated[Inbound | None, BeforeValidator(_bind_alone, json_schema_input_type=Bind | Inbound | None)] = (
        None
    )
    """Webhooks of channels, and shipments (with a token). Left out: nothing listens."""
    shipments: LocalPath | None = None
    """A folder that is watched for files with shipments, cancellations and returns."""
    time_zone: ZoneInfo = ZoneInfo("UTC")
    """Of times of day in schedules, and of times in sources that name none."""
    retention: Retention = Retention()
    rates: Annotated[RateTable | None, BeforeValidator(_flat_rates)] = None
    """Exchange rates of a day: `{date: 2026-11-20, base: EUR, GBP: 0.86}`."""
    vat: VatTable = VatTable()
    """VAT by country and tax class: `{DE: {standard: 19%, reduced: 7%}}`."""
    sources: Mapping[Name, SourceSettings] = Field(default_factory=dict)
    accounts: Mapping[Name, Account] = Field(default_factory=dict)
    channels: Mapping[Name, Channel] = Field(default_factory=dict)
    sinks: Mapping[Name, Sink] = Field(default_factory=dict)

    def buyers_kept(self, channel: str) -> timedelta:
        """How long buyers of a channel are kept."""
        return self.channels[channel].keep_buyers or self.retention.buyers

    def webhook_url(self, channel: str) -> str:
        """Where a marketplace reaches the webhooks of a channel; "" where it does not."""
        public = self.inbound.public_url if self.inbound is not None else ""
        return f"{public}/webhooks/{channel}" if public else ""

    def channels_of(self, account: str) -> tuple[str, ...]:
        """The storefronts of an account, in the order of the file."""
        return tuple(name for name, channel in self.channels.items() if channel.account == account)


# The sections whose entries stand for themselves: a mistake in one leaves the others usable.
ENTRIES: Mapping[str, type[BaseModel]] = {
    "sources": SourceSettings,
    "accounts": Account,
    "channels": Channel,
    "sinks": Sink,
}
