"""What a user writes for Kaufland: credentials and settings, and what the transport makes of them."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from marketsync.adapter.api import Auth, Bucket, Rate, SignedAuth
from marketsync_adapters.kaufland import signing
from marketsync_adapters.kaufland.mapping import CURRENCIES, LOCALES, Terms

Storefront = Literal["de", "cz", "sk", "pl", "at", "fr", "it"]
CancelReason = Literal[
    "BuyerCancelled", "ShippingAddressUndeliverable", "WrongCatalogData", "GeneralAdjustment",
    "MerchandiseNotReceived", "NoInventory", "DelayedInventory", "WrongPrice", "NoReactionBuyer", "UndeliverableRegion",
]  # fmt: skip
RefundReason = Literal[
    "delivery_damage", "delivery_delay", "incomplete_delivery", "incorrect_delivery", "refund_postage_fee", "defect",
    "other_refund", "refund_return_postage_fee",
]  # fmt: skip
VatIndicator = Literal["standard_rate", "reduced_rate_1", "reduced_rate_2", "super_reduced_rate", "zero_rate"]


class Credentials(BaseModel):
    """The seller's keys; and those of a software house that Kaufland has registered as a partner."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_key: str = Field(
        description="The client key (32 characters) of the seller portal's API settings.", min_length=1
    )
    secret_key: SecretStr = Field(description="The secret key (64 characters) beside it.", min_length=1)
    partner_client_key: str = Field("", description="A partner's own client key. Sellers leave it out.")
    partner_secret_key: SecretStr = Field(SecretStr(""), description="A partner's own secret key.")

    @model_validator(mode="after")
    def _partner_is_whole(self) -> Self:
        if bool(self.partner_client_key) != bool(self.partner_secret_key.get_secret_value()):
            raise ValueError("partner_client_key and partner_secret_key belong together")
        return self


class SafetyContact(BaseModel):
    """Who answers for the safety of the products (GPSR)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="The company.", min_length=1)
    address: str = Field(description="Its postal address on one line.", min_length=1)
    email_address: str = Field("", description="An e-mail address.")
    phone_number: str = Field("", description="A telephone number.")
    url: str = Field("", description="A contact page.")


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(
        "https://sellerapi.kaufland.com/v2",
        description="Where the API is. Kaufland's playground: https://sellerapi-playground.kaufland.com/v2.",
        pattern="^https?://[^/]+(/.*)?$",
    )
    storefront: Storefront = Field("de", description="The storefront that this channel sells on.")
    rate: float = Field(
        3.0,
        description="Requests per second of the account, over all its storefronts. The first channel's rate counts.",
        gt=0,
        le=111,
    )
    handling_time: int = Field(1, description="Working days until a parcel leaves.", ge=0, le=100)
    shipping_group: int | None = Field(
        None, description="The shipping group's id; none: the storefront's default.", ge=1
    )
    warehouse: int | None = Field(None, description="The warehouse's id; none: the account's default.", ge=1)
    vat_indicator: VatIndicator | None = Field(
        None, description="The VAT class of new offers; none: the product's own."
    )
    product_data: bool = Field(
        True, description="Send titles, texts and pictures too. Off: sell on products as they are."
    )
    read_product_data: bool = Field(
        False, description="Read our product data back at reconcile: one more request for each offer."
    )
    product_data_wait: int = Field(
        30, description="Minutes that a listing stays open while Kaufland processes its product data.", ge=0, le=1440
    )
    product_safety_contact: SafetyContact | None = Field(None, description="Sent with the product data (GPSR).")
    carriers: dict[str, str] = Field(
        default_factory=dict, description="Our names of carriers, and Kaufland's carrier_code for each."
    )
    cancel_reason: CancelReason = Field("GeneralAdjustment", description="The reason where a command's fits none.")
    refund_reason: RefundReason = Field("other_refund", description="The reason where a command's fits none.")
    accepted_returns_sellable: bool = Field(
        False, description="What was accepted as returned, and not for a fault, may be sold again."
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="The account's secret key once more: notifications are signed with it."
    )
    fallback_email: str = Field("", description="Who gets a mail when Kaufland gives up on our address.")

    @model_validator(mode="after")
    def _notifications_are_whole(self) -> Self:
        if bool(self.webhook_secret.get_secret_value()) != bool(self.fallback_email):
            raise ValueError("webhook_secret and fallback_email belong together")
        return self

    def terms(self) -> Terms:
        """What every unit of this channel has in common."""
        unit = {
            "id_shipping_group": self.shipping_group,
            "id_warehouse": self.warehouse,
            "vat_indicator": self.vat_indicator,
        }
        contact = self.product_safety_contact
        return Terms(
            storefront=self.storefront,
            locale=LOCALES[self.storefront],
            currency=CURRENCIES[self.storefront],
            handling_time=self.handling_time,
            unit={name: value for name, value in unit.items() if value is not None},
            safety_contact={k: v for k, v in contact.model_dump().items() if v} if contact is not None else None,
        )


def base_url(_credentials: Credentials, settings: Settings) -> str:
    return settings.base_url


def storefront(settings: Settings) -> str:
    return settings.storefront


def auth(credentials: Credentials, _settings: Settings) -> Auth:
    partner = None
    if credentials.partner_client_key:
        partner = credentials.partner_client_key, credentials.partner_secret_key.get_secret_value()
    key, secret = credentials.client_key, credentials.secret_key.get_secret_value()
    return SignedAuth(
        sign=lambda method, url, body, now: signing.headers(
            method, url, body, now, client_key=key, secret=secret, partner=partner
        )
    )


def login(_settings: Settings) -> tuple[str, ...]:
    return (
        "Log in at https://sellerportal.kaufland.de, open Settings, API, click Generate new API keys.",
        "The client key goes into client_key, the secret key, shown once, into secret_key.",
    )


def buckets(settings: Settings) -> tuple[Bucket, ...]:
    # Kaufland counts all requests of a seller together, whatever they are for.
    return (Rate(name="api", per_second=settings.rate, burst=max(1, int(settings.rate))),)
