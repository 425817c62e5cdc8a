"""eBay's error bodies: what they say, what they mean for an offer, and a plain sentence for the commonest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from marketsync.adapter.api import Reply, Result
from marketsync.adapter.errors import AdapterError, AuthRefused, ItemRefused, Unavailable

HALF_A_DAY = timedelta(hours=12)

# What is not a refusal for good. All other ids are: a person has to change something.
MEANINGS: Mapping[str, Result] = MappingProxyType(
    {
        "25001": Result.UNKNOWN,  # a system error of eBay: nobody knows how far it got
        "25025": Result.RETRY,  # somebody else is writing the same item or group
        "25038": Result.RETRY,  # a bid or a best offer stands, or it ends soon
        "25039": Result.RETRY,
        "25040": Result.RETRY,
    }
)
LATER: Mapping[str, timedelta] = MappingProxyType({"25038": HALF_A_DAY, "25039": HALF_A_DAY, "25040": HALF_A_DAY})

HINTS: Mapping[str, str] = MappingProxyType(
    {
        "25002": "eBay's general refusal: its own text names the field; correct the item or this channel's rules.",
        "25003": "Look at the price rule: eBay wants a positive price in the marketplace's currency.",
        "25004": "eBay refuses the quantity: set show_at_most, or turn Out-of-stock control on for zero.",
        "25005": "Map the item's category to a leaf category of this eBay site (its number).",
        "25007": "Correct fulfillment_policy_id: the policy must belong to this account and marketplace.",
        "25008": "Correct payment_policy_id: the policy must belong to this account and marketplace.",
        "25009": "Correct return_policy_id: the policy must belong to this account and marketplace.",
        "25012": "Correct merchant_location_key: `marketsync check` says whether eBay knows it.",
        "25013": "The variants do not fit each other: every variant needs the same options, each combination once.",
        "25014": "Give the item at least one picture, 24 at most, each reachable over https://.",
        "25015": "A picture's address is wrong: it must begin with https:// and be public.",
        "25016": "eBay refuses a field's value: its text names the field.",
        "25017": "A required field is missing: its text names it; map it as an attribute.",
        "25018": "The eBay account is incomplete: finish the registration in Seller Hub.",
        "25019": "The listing cannot be revised here: it was made or changed outside this API (Seller Hub, another tool), "
        "has ended, or was revised 250 times today. Migrate a foreign listing once (README, Migration).",
        "25020": "eBay refuses the package's weight or size: correct the item's weight.",
        "25021": "The condition is not allowed in this category: use one of eBay's conditions.",
        "25022": "An attribute's value is not allowed in this category.",
        "25026": "The account's selling limit is reached: ask eBay for a higher one, then resync the SKU.",
        "25029": "The category requires an attribute that the item lacks: map it.",
        "25097": "eBay has put the listing on hold for a policy violation: see its e-mail.",
        "25115": "Give the manufacturer or a responsible person in the EU in this channel's `offer.regulatory` (GPSR).",
        "25503": "eBay refuses the product data: often a wrong GTIN.",
        "25604": "eBay refuses an input: its text names the field.",
        "25701": "eBay does not have the SKU: resync it to list it again.",
        "25702": "eBay does not have the SKU: resync it to list it again.",
        "25703": "The SKU belongs to another variation listing on eBay: end that first.",
        "25704": "The SKU is listed on its own on eBay: end that listing, then resync the variants.",
        "25707": "eBay takes letters and digits in a SKU, 50 at most: map it to a shorter one in listing_map.",
        "25708": "eBay takes letters and digits in a SKU, 50 at most: map it to a shorter one in listing_map.",
        "25709": "eBay refuses a field's value: its text names the field.",
        "25713": "The offer is gone from eBay: resync the SKU to list it again.",
        "25732": "The SKU is a variant: it can only be listed with its siblings.",
        "25759": "An auction on eBay holds more pieces than are left: end it in Seller Hub.",
        "25760": "An auction on eBay holds more pieces than are left: end it in Seller Hub.",
        "34917": "The order was refunded before: look at it in Seller Hub.",
        "34929": "The buyer's payment is not processed yet: refund later.",
        "32300": "eBay does not know this carrier or tracking number: use its carrier codes, such as DHL, DPD, HERMES.",
    }
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What eBay says about one thing that it did not do."""

    code: str
    message: str
    parameters: Mapping[str, str]

    @property
    def result(self) -> Result:
        return MEANINGS.get(self.code, Result.REJECTED)

    @property
    def hint(self) -> str:
        return HINTS.get(self.code, "")

    @property
    def retry_after(self) -> timedelta | None:
        return LATER.get(self.code)

    def says(self, *words: str) -> bool:
        """Whether eBay's text holds one of these (lower case): 25002 means many things."""
        text = self.message.lower()
        return any(word in text for word in words)


def refusal_of(document: Any) -> Refusal | None:
    """The first error of an error body or of one entry of a bulk reply; None where it holds none."""
    errors = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(errors, list) or not errors or not isinstance(errors[0], dict):
        return None
    error = errors[0]
    message = str(error.get("longMessage") or error.get("message") or "")
    parameters = {
        str(one["name"]): str(one["value"])
        for one in error.get("parameters") or ()
        if isinstance(one, dict) and "name" in one and "value" in one
    }
    return Refusal(str(error.get("errorId", "")), message[:1000], parameters)


def entry_refusal(entry: Mapping[str, Any]) -> Refusal | None:
    """The refusal of one entry of a bulk reply; None where eBay did what was asked."""
    status = entry.get("statusCode")
    if isinstance(status, int) and status < 400:
        return None
    return refusal_of(entry) or Refusal(str(status or ""), "eBay gives no reason.", {})


def warnings_of(entry: Mapping[str, Any]) -> str:
    """The warnings of a success in one line: "25401: ...; 25402: ..."."""
    warnings: Sequence[Any] = entry.get("warnings") or ()
    return "; ".join(f"{one.get('errorId')}: {one.get('message')}" for one in warnings if isinstance(one, dict))[:1000]


def error_of(_operation: str, reply: Reply) -> AdapterError | None:
    """What the status table cannot know of eBay's errors; None leaves the reply to the table."""
    if reply.status < 400 or reply.status == 429:
        return None
    refusal = refusal_of(reply.json())
    if refusal is None:
        return None
    if reply.status == 403:
        message = "eBay denies access: allow all scopes of the README again, or the account is restricted"
        return AuthRefused(f"{message} ({refusal.message})", code=refusal.code)
    if refusal.code == "32400":
        return AuthRefused(f"eBay has suspended the account ({refusal.message})", code=refusal.code)
    if reply.status in {400, 404, 409}:
        hint = f" {refusal.hint}" if refusal.hint else ""
        return ItemRefused(f"{refusal.message}{hint}", code=refusal.code)
    if refusal.result is Result.RETRY:
        return Unavailable(refusal.message, code=refusal.code)
    return None
