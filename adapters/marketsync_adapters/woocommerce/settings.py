"""What a user writes for a WooCommerce shop: credentials and settings, and what follows from them for the transport."""

import base64
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from marketsync.adapter.api import Auth, Bucket, HeaderAuth, Rate

# What an order's status means: for statuses that a plugin adds, and for shops that use the built-in ones differently.
Meaning = Literal["unpaid", "paid", "shipped", "cancelled", "refunded", "failed", "ignore"]

REQUESTS = "requests"  # the one bucket: a host counts requests, whatever they are for


class Credentials(BaseModel):
    """A REST API key of the shop, with read and write permission."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    consumer_key: SecretStr = Field(description="The consumer key (ck_...).")
    consumer_secret: SecretStr = Field(description="The consumer secret (cs_...), shown once when the key is made.")


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(
        description="Where the shop is, with its folder if it is in one: https://shop.example or https://example.com/shop."
    )
    api_path: str = Field(
        "wp-json", description="Where its REST API is below that.", pattern=r"^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*$"
    )
    rate: float = Field(2.0, ge=1, le=50, description="Requests per second that the host is asked to bear.")
    objects_per_request: int = Field(
        100,
        ge=1,
        le=100,
        description="Products or orders per request. Fewer for a host that runs out of time or memory.",
    )
    images_per_request: int = Field(
        20, ge=1, le=100, description="New images per request: the shop downloads each while the request waits."
    )
    skus_per_lookup: int = Field(
        50, ge=1, le=100, description="SKUs per search. 1 where a plugin breaks lists of them."
    )
    currency: str = Field("EUR", pattern="^[A-Z]{3}$", description="The shop's currency, as in its general settings.")
    prices: Literal["gross", "net"] = Field(
        "gross", description="Whether prices are entered with VAT, as in the shop's tax settings."
    )
    new_products: Literal["publish", "draft"] = Field(
        "publish", description="Whether new products can be bought at once, or wait as drafts for a person."
    )
    withdraw: Literal["private", "delete"] = Field(
        "private", description="How an offer leaves the shop: hidden from buyers, or deleted for good."
    )
    parent_sku: str = Field(
        "{family}", description="The SKU of a family's variable product.", pattern=r"^[^{}]*\{family\}[^{}]*$"
    )
    create_categories: bool = Field(False, description="Make categories that the shop does not have yet.")
    brand_attribute: str = Field("Brand", description="The product attribute that holds the brand; empty: none.")
    gtin: bool = Field(True, description="Send GTINs. Off where two products of the shop share one.")
    weight_unit: Literal["kg", "g", "lbs", "oz"] = Field("kg", description="The shop's weight unit.")
    statuses: dict[str, Meaning] = Field(
        default_factory=dict,
        description="What order statuses mean: for those of plugins, or to read a built-in one differently.",
    )
    tracking: Literal["note", "customer_note", "meta"] = Field(
        "customer_note",
        description="Where tracking goes: a note for the shop, a note that is mailed to the buyer, or meta fields.",
    )
    tracking_note: str = Field(
        "Shipped with {carrier}, tracking number {tracking}.", description="The text of that note."
    )
    tracking_key: str = Field("_tracking_number", min_length=1, description="The meta field for the tracking number.")
    carrier_key: str = Field("_tracking_provider", min_length=1, description="The meta field for the carrier.")
    api_refund: bool = Field(
        True, description="Refunds move money through the shop's payment provider; off: they are only booked."
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="Signs the webhooks, a long random text of your own; empty: none are made or taken."
    )

    @field_validator("base_url")
    @classmethod
    def _safe_address(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment or url.username:
            raise ValueError("write the shop's address as https://shop.example")
        if url.scheme == "http" and not _loopback(url.hostname):
            raise ValueError(
                "the key travels in every request, so the shop has to be reached over https; http is only for this machine"
            )
        return value.rstrip("/")

    @field_validator("tracking_note")
    @classmethod
    def _known_fields(cls, value: str) -> str:
        try:
            value.format(carrier="", tracking="")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError("only {carrier} and {tracking} can stand in it") from error
        return value


def base_url(_credentials: Credentials, settings: Settings) -> str:
    return f"{settings.base_url}/{settings.api_path}/wc/v3"


def auth(credentials: Credentials, _settings: Settings) -> Auth:
    key, secret = credentials.consumer_key.get_secret_value(), credentials.consumer_secret.get_secret_value()
    return HeaderAuth(headers={"Authorization": "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()})


def login(settings: Settings) -> tuple[str, ...]:
    page = f"{settings.base_url}/wp-admin/admin.php?page=wc-settings&tab=advanced&section=keys&create-key=1"
    return (
        f"Open {page} as an administrator or shop manager.",
        "Write a description, choose permission Read/Write, click Generate API key.",
        "The consumer key goes into consumer_key, the consumer secret, shown once, into consumer_secret.",
    )


def buckets(settings: Settings) -> tuple[Bucket, ...]:
    return (Rate(name=REQUESTS, per_second=settings.rate, burst=1),)


def _loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
