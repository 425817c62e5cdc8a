"""What Kaufland's problem types mean: what the engine does, and a plain sentence for the marketplace manager."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from marketsync.adapter.api import Reply, Result
from marketsync.adapter.errors import (
    AccountSuspended,
    AdapterError,
    AuthRefused,
    ChannelBlocked,
    ItemRefused,
    Unavailable,
    UnexpectedReply,
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """``result``: what becomes of the one offer or command that it was said of."""

    hint: str
    result: Result = Result.REJECTED
    error: type[AdapterError] = ItemRefused  # what it is where it was said of the whole request


# The 20 commonest types of `ProblemType`, without "/problems/".
MEANINGS: Mapping[str, Meaning] = {
    "invalid-credentials": Meaning("Kaufland does not know the client key: compare it with the seller portal.",
                                   error=AuthRefused),
    "unauthorized": Meaning("Kaufland does not accept the client key or its secret: compare both with the seller portal.",
                            error=AuthRefused),
    "corrupted-signature": Meaning(
        "The signature does not fit: check the secret key, and that this machine's clock is right to five minutes.",
        error=AuthRefused),
    "missing-or-invalid-request-header": Meaning(
        "A signing header is missing or its time is off: check the keys, and that this machine's clock is right.",
        error=AuthRefused),
    "inactive-account": Meaning("Kaufland has deactivated the seller account: ask the seller support.",
                                error=AccountSuspended),
    "storefront-not-configured": Meaning(
        "The account does not sell on this storefront: activate it in the seller portal, or name another in settings.",
        error=ChannelBlocked),
    "validation-error": Meaning("Kaufland refuses a value: correct the field it names."),
    "bad-request": Meaning("Kaufland refuses the request: correct the field it names."),
    "not-found": Meaning("The offer is gone from Kaufland: resync the SKU to list it again."),
    "already-exists": Meaning("Kaufland has an offer of this SKU already and will show it within minutes.",
                              result=Result.RETRY),
    "duplicate-action": Meaning("Kaufland has done this before; look at the order in the seller portal."),
    "action-not-allowed": Meaning("The order is in a state that does not allow this; look at it in the seller portal."),
    "forbidden": Meaning("Kaufland does not allow this for this order or account; look into the seller portal."),
    "insufficient-funds": Meaning("The seller account has no funds for this refund: top it up, then try again."),
    "order-units/missing-payment": Meaning("The buyer has not paid yet: ship after the payment has arrived."),
    "order-units/cancel-not-possible": Meaning("The piece can no longer be cancelled: it was sent or cancelled before."),
    "order-units/cancel-not-allowed": Meaning("Kaufland does not let the seller cancel this piece: ask seller support."),
    "order-units/cancel-error": Meaning("Kaufland failed to cancel the piece: look at it in the seller portal.",
                                        result=Result.RETRY),
    "units/bulk-duplicate-units": Meaning("Two offers of one request are the same unit: two SKUs share an offer."),
    "units/bulk-too-many-units": Meaning("Too many offers in one request: Kaufland takes 150."),
    "units/bulk-too-many-butches": Meaning("Too many bulk requests at once: they are sent again.",
                                           result=Result.RETRY, error=Unavailable),
    "server-error": Meaning("Kaufland had a fault of its own.", result=Result.UNKNOWN, error=AdapterError),
    "service-unavailable": Meaning("Kaufland is not available.", result=Result.RETRY, error=Unavailable),
}  # fmt: skip

# Fields of a refused unit, and what to do about each.
FIELD_HINTS: Mapping[str, str] = {
    "ean": "Correct the item's GTIN, or let marketsync send the product data first (settings: product_data).",
    "id_product": "Correct the attribute id_product: Kaufland knows no such product.",
    "listing_price": "Look at the price rule: Kaufland does not take this price on this storefront.",
    "minimum_price": "The price is below the minimum price of Smart Pricing: change that in the seller portal.",
    "amount": "Set show_at_most for this channel.",
    "handling_time": "Set handling_time in settings to 0 to 100 days.",
    "condition": "Map the item's condition to one of Kaufland's (listing: conditions).",
    "id_shipping_group": "Correct shipping_group in settings: the storefront has no such group.",
    "id_warehouse": "Correct warehouse in settings: the account has no such warehouse.",
    "id_offer": "The SKU belongs to another product or condition on one of your storefronts: rename it there.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error body of Kaufland's, or the error of one unit of a bulk reply."""

    code: str
    message: str
    fields: Mapping[str, str]

    @property
    def hint(self) -> str:
        known = next((FIELD_HINTS[name] for name in self.fields if name in FIELD_HINTS), "")
        meaning = MEANINGS.get(self.code)
        return known or (meaning.hint if meaning else "")

    @property
    def text(self) -> str:
        """The message with what is wrong field by field."""
        told = "; ".join(f"{name}: {reason}" for name, reason in self.fields.items())
        return f"{self.message} ({told})" if told else self.message


def problem_of(document: Any, status: int) -> Problem:
    """Read an error body; the status stands in for a type that is missing."""
    if not isinstance(document, dict) or not isinstance(document.get("message"), str):
        raise UnexpectedReply("Kaufland refused a request without saying why", code=str(status))
    told = document.get("type") or document.get("key") or ""
    code = str(told).removeprefix("/problems/")
    errors = document.get("errors") or []
    fields = {str(one.get("field", "")): str(one.get("message", "")) for one in errors if isinstance(one, dict)}
    return Problem(str(status) if code in {"", "about:blank"} else code, document["message"], fields)


def error_of(_operation: str, reply: Reply) -> AdapterError | None:
    """What the status table cannot know of Kaufland's errors; None leaves the reply to the table."""
    if reply.status < 400 or reply.status >= 500 or reply.status == 429:
        return None
    problem = problem_of(reply.json(), reply.status)
    meaning = MEANINGS.get(problem.code)
    if meaning is None or meaning.error is AdapterError:
        return None
    message = (
        f"{meaning.hint} ({problem.text})" if meaning.error is not ItemRefused else f"{problem.text}. {meaning.hint}"
    )
    if issubclass(meaning.error, Unavailable):
        return meaning.error(message, retry_after=timedelta(seconds=10), code=problem.code)
    if reply.status in {401, 403} and meaning.error is ItemRefused:
        return None
    return meaning.error(message, code=problem.code)
