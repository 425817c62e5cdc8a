"""What a user says about a shop: credentials and settings."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from marketsync.adapter.api import Stock
from marketsync_adapters.shopify.ids import gid

Id = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
    Field(pattern=r"^(gid://shopify/[A-Za-z]+/)?[0-9]+$"),
]

# Points per second that Shopify gives back, by the shop's plan.
PLANS: Mapping[str, int] = {"standard": 100, "advanced": 200, "plus": 1_000, "enterprise": 2_000}

EVERY_OTHER = "*"


class UnknownLocation(LookupError):
    """Pieces lie at a location that the settings give no place in Shopify."""


class Credentials(BaseModel):
    """An access token, or the client id and secret of an app of your own organisation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    access_token: SecretStr | None = Field(None, description="The Admin API access token of an app (shpat_...).")
    client_id: str | None = Field(None, description="The app's client id, in place of a token.")
    client_secret: SecretStr | None = Field(None, description="The app's client secret.")

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.access_token is None) == (self.client_id is None):
            raise ValueError("give either access_token, or client_id with client_secret")
        if (self.client_id is None) != (self.client_secret is None):
            raise ValueError("client_id and client_secret belong together")
        return self


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    shop: str = Field(
        description="The shop's address, such as acme.myshopify.com; of a sandbox http://127.0.0.1:8801.",
        pattern=r"^([a-z0-9][a-z0-9-]*\.myshopify\.com|https?://[^/]+)$",
    )
    currency: str = Field(description="The shop's currency; prices in another are refused.", pattern="^[A-Z]{3}$")
    locations: dict[str, Id] = Field(
        description='Our location names and their Shopify location ids; "*" stands for every other name.',
        min_length=1,
    )
    plan: Literal["standard", "advanced", "plus", "enterprise"] = Field(
        "standard", description="The shop's plan: how many points per second it gives."
    )
    withdraw: Literal["draft", "archive", "unpublish"] = Field(
        "draft", description="How a product is taken off the shop."
    )
    publications: tuple[Id, ...] = Field(
        (), description="The sales channels (publication ids) that products are published on; empty: left as they are."
    )
    restock: bool = Field(
        False,
        description="Let Shopify put cancelled and refunded pieces back. Only where the shop is master of the stock.",
    )
    notify_buyers: bool = Field(True, description="Let Shopify mail buyers about shipments, cancellations, refunds.")
    authorized_is_paid: bool = Field(
        False, description="An authorised payment counts as paid, for shops that capture when they ship."
    )
    test_orders: bool = Field(False, description="Read test orders, too.")
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="The app's client secret, which signs notifications; empty: none are taken."
    )

    @model_validator(mode="after")
    def _somewhere_to_unpublish(self) -> Self:
        if self.withdraw == "unpublish" and not self.publications:
            raise ValueError("withdraw: unpublish needs the publications that products are taken off")
        return self

    @property
    def base_url(self) -> str:
        return self.shop if "://" in self.shop else f"https://{self.shop}"

    @property
    def location_ids(self) -> tuple[str, ...]:
        """The gids of all locations, each once, in the order of the settings."""
        return tuple(dict.fromkeys(gid("Location", one) for one in self.locations.values()))

    @property
    def publication_ids(self) -> tuple[str, ...]:
        return tuple(gid("Publication", one) for one in self.publications)

    def quantities(self, stock: Stock) -> dict[str, int]:
        """Pieces per Shopify location, zero where there are none. Raises ``UnknownLocation``.

        Stock that is not split lies at "*", else at the first location.
        """
        found = dict.fromkeys(self.location_ids, 0)
        if not stock.locations:
            home = self.locations.get(EVERY_OTHER)
            found[gid("Location", home) if home else self.location_ids[0]] = stock.quantity
            return found
        for name, pieces in stock.locations.items():
            place = self.locations.get(name) or self.locations.get(EVERY_OTHER)
            if place is not None:
                found[gid("Location", place)] += pieces
            elif pieces:
                raise UnknownLocation(name)
        return found
