"""What Shopify's errors mean: of a whole request (``errors``) and of single items (``userErrors``)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

from marketsync.adapter.api import Aspect, PushResult, Reply, Result
from marketsync.adapter.errors import (
    AccountSuspended,
    AdapterError,
    AuthRefused,
    ChannelBlocked,
    OutcomeUnknown,
    RateLimited,
    Unavailable,
    UnexpectedReply,
)

POINTS: Final = "points"  # the bucket

# The operations that change something: what an internal error of Shopify leaves behind is unknown.
WRITES: Final = frozenset({"product", "price", "stock", "withdraw", "ship", "cancel", "refund", "dress"})

_GONE = "The product was deleted in Shopify: it is listed again when it is resynced."
_BUG = "This is a mistake in marketsync: please report it."

# code of a userError -> what it means for the item, and a sentence for the manager
TABLE: Final[Mapping[str, tuple[Result, str]]] = {
    "CHANGE_FROM_QUANTITY_STALE": (Result.UNKNOWN, "The stock changed in Shopify meanwhile: it is read and sent anew."),
    "INVALID_INVENTORY_ITEM": (Result.REJECTED, _GONE),
    "INVALID_LOCATION": (
        Result.REJECTED,
        "The location does not exist, or the item is not stocked there: look at settings.locations.",
    ),
    "INVALID_QUANTITY_NEGATIVE": (Result.REJECTED, "Shopify takes no stock below 0."),
    "INVALID_QUANTITY_TOO_HIGH": (Result.REJECTED, "Set show_at_most for this channel: Shopify's limit is 10^9."),
    "NON_MUTABLE_INVENTORY_ITEM": (
        Result.REJECTED,
        "This is a bundle: Shopify computes its stock from its parts, so take it out of the stock settings.",
    ),
    "IDEMPOTENCY_CONCURRENT_REQUEST": (Result.UNKNOWN, "The same request is still under way."),
    "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED": (Result.RETRY, "An earlier try failed: it is sent under a new key."),
    "IDEMPOTENCY_KEY_PARAMETER_MISMATCH": (Result.REJECTED, _BUG),
    "PRODUCT_DOES_NOT_EXIST": (Result.REJECTED, _GONE),
    "PRODUCT_VARIANT_DOES_NOT_EXIST": (Result.REJECTED, _GONE),
    "NOT_FOUND": (Result.REJECTED, _GONE),
    "PRODUCT_SUSPENDED": (Result.REJECTED, "Shopify has suspended this product: look at it in the Shopify admin."),
    "NEGATIVE_PRICE_VALUE": (Result.REJECTED, "The rules made a price below 0: look at the item's base price."),
    "HANDLE_NOT_UNIQUE": (Result.REJECTED, "Another product has this address already: look for it by its SKU."),
    "DUPLICATED_OPTION_VALUE": (Result.REJECTED, "Two variants of the family have the same options."),
    "VARIANT_ALREADY_EXISTS": (Result.REJECTED, "Two variants of the family have the same options."),
    "OPTIONS_OVER_LIMIT": (Result.REJECTED, "Shopify knows at most three options per product."),
    "OPTION_VALUES_OVER_LIMIT": (Result.REJECTED, "Shopify refuses so many values of one option."),
    "VARIANTS_OVER_LIMIT": (Result.REJECTED, "Shopify's limit is 2,048 variants per product: split the family."),
    "OPTION_VALUE_NAME_TOO_LONG": (Result.REJECTED, "Shorten the option's value to 255 characters."),
    "INVALID_METAFIELD": (Result.REJECTED, "An attribute does not fit its metafield in Shopify: look at its type."),
    "INVALID_PRODUCT": (Result.REJECTED, "Shopify refuses the product's own content: see its message."),
    "INVALID_VARIANT": (Result.REJECTED, "Shopify refuses this variant: see its message."),
    "JOB_ERROR": (Result.RETRY, "Shopify could not finish its work: it is sent again."),
    "duplicate_sku": (
        Result.REJECTED,
        "Several variants in Shopify have this SKU, and nobody can tell which is meant: give each its own SKU.",
    ),
    "foreign_variants": (
        Result.REJECTED,
        "Writing the product would delete variants that no source names: add them to a source, or delete them.",
    ),
    "split_family": (
        Result.REJECTED,
        "The family's variants lie in several products in Shopify: join them there, or take the family apart here.",
    ),
    "options_missing": (
        Result.REJECTED,
        "Every variant of a family needs the same options (at most three), and no two the same values.",
    ),
    "wrong_currency": (Result.REJECTED, "Set the channel's price rule to the shop's currency."),
    "unknown_location": (Result.REJECTED, "Add the location to settings.locations of this channel."),
    "no_listing": (Result.REJECTED, "The ledger knows no product of this SKU in Shopify: resync the SKU."),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one item. ``code`` is Shopify's, or one of our own in small letters."""

    code: str
    message: str
    result: Result = Result.REJECTED
    hint: str = ""

    @classmethod
    def of(cls, code: str, message: str) -> "Fault":
        result, hint = TABLE.get(code, (Result.REJECTED, ""))
        return cls(code, message, result, hint)

    def at(self, sku: str, aspect: Aspect) -> PushResult:
        return PushResult(
            sku=sku, aspect=aspect, result=self.result, code=self.code, message=self.message, hint=self.hint
        )


RESEND: Final = Fault(
    "held_up", "Another item of the same request was refused, so Shopify took none of it.", Result.RETRY
)


def fault_of(user_error: Mapping[str, Any]) -> Fault:
    return Fault.of(user_error.get("code") or "refused", user_error["message"])


def index_in(user_error: Mapping[str, Any], name: str) -> int | None:
    """Which entry of the list ``name`` of the input an error is about: the only link that Shopify gives."""
    steps: Sequence[str] = user_error.get("field") or ()
    for step, following in pairwise(steps):
        if step == name and following.isdecimal():
            return int(following)
    return None


def sentence(user_errors: Iterable[Mapping[str, Any]]) -> str:
    return " ".join(str(one["message"]).rstrip(".") + "." for one in user_errors)


def error_of(operation: str, reply: Reply) -> AdapterError | None:
    """What a reply means that holds ``errors``: Shopify answers them with HTTP 200. None: nothing, or the status says it."""
    if reply.status == 404:
        return ChannelBlocked("Shopify knows no such shop: look at settings.shop", code="404")
    if reply.status == 423:
        return AccountSuspended("Shopify has locked the shop: settle it with Shopify's support", code="423")
    if reply.status >= 300:
        return None
    document = reply.json()
    if not isinstance(document, dict) or not document.keys() & {"data", "errors"}:
        return UnexpectedReply("Shopify answered with neither data nor errors", code="no_data")
    errors = document.get("errors")
    if not errors:
        return None
    first = errors[0] if isinstance(errors, list) else {"message": str(errors)}
    return _judge(operation, first, document)


def _judge(operation: str, error: Mapping[str, Any], document: Mapping[str, Any]) -> AdapterError:
    code = str((error.get("extensions") or {}).get("code", ""))
    message = str(error.get("message", ""))[:500]
    match code:
        case "THROTTLED":
            return RateLimited("Shopify has no points left", bucket=POINTS, retry_after=_wait(document), code=code)
        case "ACCESS_DENIED":
            return AuthRefused(f"the app lacks a permission in Shopify, add its scope: {message}", code=code)
        case "SHOP_INACTIVE":
            return AccountSuspended("the shop is inactive: settle it with Shopify", code=code)
        case "INTERNAL_SERVER_ERROR" | "TIMEOUT":
            if operation in WRITES:
                return OutcomeUnknown(f"Shopify failed at {operation!r}, nobody knows whether it was done", code=code)
            return Unavailable(f"Shopify failed at {operation!r}: it is tried again", code=code)
    return UnexpectedReply(f"Shopify does not understand {operation!r}: {message}", code=code or "graphql")


def _wait(document: Mapping[str, Any]) -> timedelta | None:
    """How long until the bucket holds what the request costs."""
    cost = (document.get("extensions") or {}).get("cost") or {}
    status = cost.get("throttleStatus") or {}
    try:
        missing = float(cost["requestedQueryCost"]) - float(status["currentlyAvailable"])
        return timedelta(seconds=max(0.1, missing / float(status["restoreRate"])))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
