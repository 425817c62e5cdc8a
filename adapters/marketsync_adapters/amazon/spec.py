"""Amazon as data: credentials, settings, operations and limits (usage plans as the models of August 2026 print them)."""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from marketsync.adapter.api import (
    AdapterSpec,
    Aspect,
    Auth,
    Bucket,
    Consent,
    OAuth2,
    Operation,
    Rate,
    SaleLowers,
)
from marketsync_adapters.amazon.errors import error_of
from marketsync_adapters.amazon.marketplaces import ENDPOINTS, MARKETPLACES, Marketplace
from marketsync_adapters.amazon.written import GIVE_UP

TOKEN_URL = "https://api.amazon.com/auth/o2/token"  # noqa: S105 - an address, no secret


class Credentials(BaseModel):
    """The application's Login with Amazon client and the seller's consent to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str = Field(description="The application's LWA client identifier (amzn1.application-oa2-client...).")
    client_secret: SecretStr = Field(description="The application's LWA client secret. Amazon makes it expire.")
    refresh_token: SecretStr = Field(
        SecretStr(""), description="What authorising the application gave (Atzr|...); left out: `channels login` asks."
    )


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    seller_id: str = Field(description="The merchant token of the account (A...), in Seller Central's account info.")
    marketplace: str = Field("DE", description="The storefront by its country: DE, FR, GB, US, ...")
    handling_days: int | None = Field(
        None,
        ge=0,
        le=30,
        description="Days until a parcel leaves, written with the stock. Left out: the account's own.",
    )
    shipping_group: str = Field("", description="The shipping template (merchant_shipping_group) of every offer.")
    carriers: dict[str, str] = Field(
        default_factory=dict, description="Our names of carriers for those that Amazon knows: {dhl-paket: DHL}."
    )
    issue_language: str = Field(
        "", description="The language of Amazon's complaints (en_US). Left out: the storefront's."
    )
    read_fba_stock: bool = Field(True, description="Read Amazon's own stock of FBA offers (needs the role for it).")
    base_url: str = Field(
        "", pattern="^(https?://[^/]+)?$", description="Another address of the API, such as a sandbox. Empty: Amazon's."
    )

    @field_validator("marketplace")
    @classmethod
    def _known(cls, country: str) -> str:
        upper = country.upper()
        if upper not in MARKETPLACES:
            raise ValueError(f"Amazon has no storefront {country!r}; it has {', '.join(sorted(MARKETPLACES))}")
        return upper

    @property
    def market(self) -> Marketplace:
        return MARKETPLACES[self.marketplace]


def _base_url(_credentials: Credentials, settings: Settings) -> str:
    return settings.base_url or ENDPOINTS[settings.market.region]


def _storefront(settings: Settings) -> str:
    return settings.market.id


def _auth(credentials: Credentials, settings: Settings) -> Auth:
    return OAuth2(
        token_url=f"{settings.base_url}/auth/o2/token" if settings.base_url else TOKEN_URL,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret.get_secret_value(),
        refresh_token=credentials.refresh_token.get_secret_value(),
        header="x-amz-access-token",
        prefix="",
        consent=Consent(),  # a private application is authorised on a page that shows the refresh token itself
    )


def _login(settings: Settings) -> tuple[str, ...]:
    return (
        f"Log in to Seller Central ({settings.marketplace}) as the main user, open Partner network, Develop apps.",
        "In the menu beside Edit app of your application choose Authorize, then Authorize app.",
        "Amazon shows a refresh token (Atzr|...), once: copy it.",
    )


# Calls per second sustained and at once, per account and application. One bucket per operation of Amazon's.
RATES: dict[str, tuple[float, int]] = {
    "getMarketplaceParticipations": (0.016, 15),
    "putListingsItem": (5, 10),
    "patchListingsItem": (5, 5),
    "deleteListingsItem": (5, 5),
    "getListingsItem": (5, 10),
    "searchListingsItems": (5, 5),
    "getInventorySummaries": (2, 2),
    "createFeedDocument": (0.5, 15),
    "createFeed": (0.0083, 15),
    "getFeed": (2, 15),
    "getFeedDocument": (0.0222, 10),
    "searchOrders": (0.0056, 20),
    "getOrder": (0.5, 30),
    "confirmShipment": (2, 10),
    "getReports": (0.0222, 10),
    "createReport": (0.0167, 15),
    "getReport": (2, 15),
    "getReportDocument": (0.0167, 15),
}
LISTINGS_FEEDS = "JSON_LISTINGS_FEED"


def _buckets(_settings: Settings) -> tuple[Bucket, ...]:
    rates = [
        Rate(name=name, per_second=per_second, burst=burst, learn="x-amzn-ratelimit-limit")
        for name, (per_second, burst) in RATES.items()
    ]
    # Five in five minutes, whichever five minutes Amazon counts: one a minute is right for all of them.
    return (*rates, Rate(name=LISTINGS_FEEDS, per_second=5 / 300, burst=1))


EVERYTHING = frozenset(Aspect)
FEED_FROM = 500  # PATCH writes 5 a second, a feed takes minutes: below this many due offers PATCH is done first


def _read(name: str, bucket: str = "", *, timeout: int = 30) -> Operation:
    """What changes no offer and no order: it may be sent again."""
    buckets = (bucket,) if bucket else ()
    return Operation(name=name, buckets=buckets, writes=False, timeout=timedelta(seconds=timeout))


OPERATIONS = (
    Operation(name="patch", buckets=("patchListingsItem",), aspects=EVERYTHING, urgent=True),
    Operation(name="put", buckets=("putListingsItem",), aspects=EVERYTHING, creates=True),
    Operation(
        name="feed",
        buckets=("createFeed", LISTINGS_FEEDS),
        aspects=EVERYTHING,
        batch=25_000,
        worth_from=FEED_FROM,
        idempotent=False,  # a second feed would be worked off after the first, and costs one of five
    ),
    Operation(
        name="feed_create",
        buckets=("createFeed", LISTINGS_FEEDS),
        aspects=EVERYTHING,
        batch=5_000,  # whole listings: Amazon advises to stay below 10 MiB
        creates=True,
        worth_from=FEED_FROM,
        idempotent=False,
    ),
    Operation(
        name="withdraw",
        buckets=("deleteListingsItem",),
        aspects=frozenset({Aspect.LISTING}),
        withdraws=True,
        undoable=False,
    ),
    Operation(name="ship", buckets=("confirmShipment",), idempotent=False, undoable=False),
    _read("participations", "getMarketplaceParticipations"),
    _read("item", "getListingsItem"),
    _read("items", "searchListingsItems"),
    _read("fba_stock", "getInventorySummaries"),
    _read("feed_document", "createFeedDocument"),
    _read("feed_upload", timeout=240),  # the link lives five minutes
    _read("feed_state", "getFeed"),
    _read("feed_report", "getFeedDocument"),
    _read("feed_download", timeout=240),
    _read("orders", "searchOrders"),
    _read("order", "getOrder"),
    _read("report_list", "getReports"),
    _read("report_request", "createReport"),
    _read("report_state", "getReport"),
    _read("report_document", "getReportDocument"),
    _read("report_download", timeout=240),
)

SPEC = AdapterSpec(
    name="amazon",
    title="Amazon (Selling Partner API)",
    docs="https://github.com/marketsync/marketsync/blob/main/adapters/marketsync_adapters/amazon/README.md",
    credentials=Credentials,
    settings=Settings,
    base_url=_base_url,
    auth=_auth,
    login=_login,
    operations=OPERATIONS,
    buckets=_buckets,
    mapping_version={Aspect.LISTING: 1, Aspect.PRICE: 1, Aspect.STOCK: 1},
    observable={
        Aspect.LISTING: frozenset({"title", "description", "brand", "condition", "images"}),
        Aspect.PRICE: frozenset({"amount", "sale"}),
        Aspect.STOCK: frozenset({"quantity"}),
    },
    storefront=_storefront,
    api_versions={
        "Listings Items 2021-08-01": "",
        "Feeds 2021-06-30": "",
        "Reports 2021-06-30": "",
        "Orders 2026-01-01": "",
        "Orders v0 (confirmShipment only)": "not announced; its reads end 2027-03-27",
        "FBA Inventory v1": "",
        "Sellers v1": "",
    },
    price_bounds=(1, 10**11),
    stock_bounds=(0, 99_999_999),
    sale_lowers_stock=SaleLowers.AT_PLACING,
    stock_shared=True,
    visible_after=GIVE_UP,
    keeps_order=False,
    confirm_within=timedelta(hours=24),
    order_overlap=timedelta(minutes=30),
    concurrency=4,
    max_order_age=timedelta(days=30),  # a pending order reserves for up to 21 days
    errors=error_of,
)
