"""What a user writes for eBay: credentials, and how a channel lists and sells."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from marketsync_adapters.ebay.signature import signing_key


@dataclass(frozen=True, slots=True)
class Marketplace:
    """A site of eBay: the currency of its prices and the language of its listings."""

    currency: str
    language: str


MARKETPLACES: Mapping[str, Marketplace] = MappingProxyType(
    {
        "EBAY_AT": Marketplace("EUR", "de-AT"),
        "EBAY_AU": Marketplace("AUD", "en-AU"),
        "EBAY_BE": Marketplace("EUR", "nl-BE"),
        "EBAY_CA": Marketplace("CAD", "en-CA"),
        "EBAY_CH": Marketplace("CHF", "de-CH"),
        "EBAY_DE": Marketplace("EUR", "de-DE"),
        "EBAY_ES": Marketplace("EUR", "es-ES"),
        "EBAY_FR": Marketplace("EUR", "fr-FR"),
        "EBAY_GB": Marketplace("GBP", "en-GB"),
        "EBAY_IE": Marketplace("EUR", "en-IE"),
        "EBAY_IT": Marketplace("EUR", "it-IT"),
        "EBAY_NL": Marketplace("EUR", "nl-NL"),
        "EBAY_PL": Marketplace("PLN", "pl-PL"),
        "EBAY_US": Marketplace("USD", "en-US"),
    }
)
Site = Literal[
    "EBAY_AT", "EBAY_AU", "EBAY_BE", "EBAY_CA", "EBAY_CH", "EBAY_DE", "EBAY_ES",
    "EBAY_FR", "EBAY_GB", "EBAY_IE", "EBAY_IT", "EBAY_NL", "EBAY_PL", "EBAY_US",
]  # fmt: skip


class Credentials(BaseModel):
    """The keyset of an eBay application and the refresh token of the seller who has allowed it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str = Field(description="The App ID (Client ID) of the production keyset.", min_length=1)
    client_secret: SecretStr = Field(description="The Cert ID (Client Secret) of the same keyset.")
    ru_name: str = Field("", description="The RuName of the keyset: where `marketsync channels login` asks the seller.")
    refresh_token: SecretStr = Field(
        SecretStr(""), description="The seller's refresh token, in place of `marketsync channels login`."
    )
    refresh_expires: datetime | None = Field(
        None, description="When the refresh token ends (18 months after the consent), with its offset: a metric counts."
    )

    @model_validator(mode="after")
    def _some_consent(self) -> Self:
        if not self.ru_name and not self.refresh_token.get_secret_value():
            raise ValueError("write ru_name and run `marketsync channels login`, or write refresh_token")
        return self

    @model_validator(mode="after")
    def _end_is_aware(self) -> Self:
        if self.refresh_expires is not None and self.refresh_expires.tzinfo is None:
            raise ValueError("refresh_expires needs an offset, such as 2028-05-01T00:00:00Z")
        return self


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    marketplace: Site = Field(description="The site that this channel sells on.")
    fulfillment_policy_id: str = Field(description="The shipping policy of new listings.", min_length=1)
    payment_policy_id: str = Field(description="The payment policy of new listings.", min_length=1)
    return_policy_id: str = Field(description="The return policy of new listings.", min_length=1)
    merchant_location_key: str = Field(description="The inventory location that goods ship from.", min_length=1)
    language: str = Field("", description="Content-Language of what is written; empty: the marketplace's own.")
    offer: Mapping[str, Any] = Field(
        default_factory=dict,
        description="Fields of eBay's offer sent with every listing as they are: regulatory, storeCategoryNames, tax.",
    )
    out_of_stock_control: bool = Field(
        True, description="The account keeps sold-out listings (Out-of-stock control). Off: stock zero ends a listing."
    )
    on_withdraw: Literal["end", "delete"] = Field(
        "end", description="end: the listing ends, its offer stays as a draft. delete: the offer is deleted too."
    )
    price_stock_chunk: int = Field(
        25, ge=1, le=25, description="SKUs in one bulkUpdatePriceQuantity call. eBay's documents say 25 and also 1."
    )
    read_prices: bool = Field(
        True, description="Read each SKU's offer when reconciling, one call per SKU. Off: only listing text and stock."
    )
    inventory_calls_per_day: int = Field(2_000_000, ge=100, description="The application's daily quota, Inventory API.")
    fulfillment_calls_per_day: int = Field(
        100_000, ge=100, description="The application's daily quota, Fulfillment API."
    )
    calls_per_second: float = Field(10, gt=0, le=100, description="How fast to call. eBay publishes no rate.")
    refunds: bool = Field(False, description="Refund through the API. Sellers in the EU and UK need signing_key too.")
    post_order: bool = Field(False, description="Cancel orders and read returns through the Post-Order API.")
    signing_key: SecretStr | None = Field(None, description="Private Ed25519 key of the Key Management API (base64).")
    signing_jwe: SecretStr | None = Field(None, description="The JWE that the Key Management API gave with it.")
    notification_keys: Mapping[str, str] = Field(
        default_factory=dict, description="Public keys of notifications: key id -> key, as getPublicKey gives them."
    )
    base_url: str = Field(
        "https://api.ebay.com", pattern="^https?://[^/]+$", description="eBay's API, or that of a sandbox."
    )

    @model_validator(mode="after")
    def _key_and_jwe(self) -> Self:
        if (self.signing_key is None) != (self.signing_jwe is None):
            raise ValueError("signing_key and signing_jwe belong together")
        if self.signing_key is not None:
            signing_key(self.signing_key.get_secret_value())
        return self

    @property
    def currency(self) -> str:
        return MARKETPLACES[self.marketplace].currency

    @property
    def content_language(self) -> str:
        return self.language or MARKETPLACES[self.marketplace].language
