"""What an offer shows and what is pushed: neutral content, ops, results. Data only; `marketsync.adapter.api` re-exports it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from marketsync.adapter.money import Money


class Aspect(StrEnum):
    """The three things an offer shows, each kept right on its own."""

    LISTING = "listing"
    PRICE = "price"
    STOCK = "stock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a buyer reads: one SKU's own text, pictures and properties, already mapped for this channel."""

    title: str
    description: str = ""
    brand: str = ""
    gtin: str = ""
    category: str = ""  # the channel's own category, after the configured mapping
    condition: str = "new"
    language: str = ""  # BCP 47 tag, "" where the channel has one language
    images: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)  # the channel's own names, after the mapping
    options: Mapping[str, str] = field(default_factory=dict)  # what tells a variant from its siblings: {"Size": "L"}
    weight_grams: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a buyer pays per piece. ``gross`` says whether the amounts include VAT."""

    amount: Money
    gross: bool = True
    sale: Money | None = None
    sale_starts: datetime | None = None
    sale_ends: datetime | None = None
    reference: Money | None = None  # the struck-through price, where the channel shows one

    def at(self, moment: datetime) -> "Price":
        """What a channel without scheduled sales shows at a moment: while the sale runs its price, the regular one
        struck through; else no sale.
        """
        if self.sale is None:
            return self
        begun = self.sale_starts is None or self.sale_starts <= moment
        running = begun and (self.sale_ends is None or moment < self.sale_ends)
        if running:
            return Price(amount=self.sale, gross=self.gross, reference=self.amount)
        return replace(self, sale=None, sale_starts=None, sale_ends=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """Pieces that may be sold. ``locations`` splits the same quantity where the channel keeps locations."""

    quantity: int
    locations: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferOp:
    """One SKU to be made right: absolute content, of which ``changed`` names the aspects to write.

    Beside a listing stands the price that the channel last confirmed, for a write that replaces the whole offer; None
    where nobody can know. ``stock`` is there only where it is to be written: the channel sells of it, so an old figure
    sent along might raise it. Who has to send one reads what stands there, or compares and sets.

    Members of a variant family share ``family``; where the spec groups variants, a batch that writes listings holds
    every member of a family (those with an empty ``changed`` are there for context and get no result). ``withdraw``
    takes the offer off the channel; then there is no content. ``seen_stock`` is what the channel last confirmed, for
    compare-and-set; None where nobody can know.
    """

    sku: str
    changed: frozenset[Aspect]
    revision: int  # grows with every op of this offer; part of the idempotency key
    channel_id: str | None = None
    family: str | None = None
    withdraw: bool = False
    listing: Listing | None = None
    price: Price | None = None
    stock: Stock | None = None
    seen_stock: int | None = None


class Result(StrEnum):
    """What became of one aspect of one op."""

    APPLIED = "applied"  # the channel confirms that it shows this now
    SUBMITTED = "submitted"  # taken for later: ask again with the receipt
    REJECTED = "rejected"  # never with these contents: a person has to change something
    RETRY = "retry"  # certainly not applied, may succeed later
    UNKNOWN = "unknown"  # may or may not be applied


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """One aspect of one op. ``code`` and ``message`` are the channel's own; ``hint`` a plain sentence for a person."""

    sku: str
    aspect: Aspect
    result: Result
    code: str = ""
    message: str = ""
    hint: str = ""
    channel_id: str | None = None  # the channel's id of the offer, as soon as it is known
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOutcome:
    """What became of a batch. Any changed aspect without a result counts as UNKNOWN.

    ``receipt`` identifies what was SUBMITTED (a feed id, a job id); the engine keeps it and calls ``confirm`` after
    ``ask_after``. ``request_id`` is the channel's own id of the request, for its support.
    """

    results: Sequence[PushResult]
    receipt: str | None = None
    ask_after: timedelta = timedelta(seconds=5)
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What was submitted and is not confirmed yet: the adapter's own token, and the ops in the order they were sent."""

    token: str
    operation: str
    submitted: datetime
    ops: Sequence[tuple[str, frozenset[Aspect]]]  # (SKU, aspects still open)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the channel shows for one SKU. Aspects it does not tell are None."""

    sku: str
    channel_id: str | None = None
    listing: Listing | None = None
    price: Price | None = None
    stock: Stock | None = None
    fulfilled_by: str = "merchant"  # or "channel", for what the channel keeps and ships itself (FBA)
