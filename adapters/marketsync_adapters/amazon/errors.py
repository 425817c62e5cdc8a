"""Amazon's errors: what a refused request means, what an issue means for each aspect, and a plain sentence for both."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from marketsync.adapter.api import Aspect, OfferOp, PushResult, Reply, Result
from marketsync.adapter.errors import AdapterError, AuthRefused, ItemRefused, RateLimited, UnexpectedReply

# What the manager has to do, by Amazon's code of an issue. README.md names those that only memory vouches for.
HINTS: Mapping[str, str] = {
    "90220": "A required attribute is missing: add it to the channel's attributes.",
    "90000900": "An attribute is unknown to this product type: correct its name or leave it out.",
    "90244": "A value is not among those that Amazon allows for this attribute: use one of the values it names.",
    "99022": "A part of an attribute is missing, often of the price: give the whole attribute.",
    "99300": "The page breaks Amazon's rules for product pages: correct what its text and pictures say.",
    "13013": "Amazon does not know this SKU (any more): it has to be listed before its price or stock can change.",
    "18155": "The price is below the minimum price set for it in Seller Central: correct one of the two.",
    "18742": "Amazon does not allow this product: take the offer down, or appeal in Seller Central.",
    "18027": "The main picture has text, a logo or a watermark: replace it.",
    "18320": "The main picture is missing or was refused: give a new one.",
    "18448": "Recommended attributes are incomplete: the offer sells, fill them in when there is time.",
    "5461": "Amazon does not let this account create products of this brand: ask for brand approval in Seller Central.",
    "5665": "Amazon does not know this brand: have it approved, or use the brand exactly as Amazon spells it.",
    "5886": "Selling this product needs an approval: apply for it in Seller Central.",
    "8026": "This account may not sell in this category yet: apply for it in Seller Central.",
    "8541": "The product data contradicts the product that Amazon knows under this GTIN: list on that ASIN instead.",
    "8542": "The GTIN and the other product data belong to different Amazon products: correct one of them.",
    "8560": "No Amazon product matches and the data does not suffice for a new one: give an ASIN, or GTIN and brand.",
    "8572": "The GTIN does not belong to this brand according to GS1: use the maker's own GTIN or ask for an exemption.",
    "8684": "This offer would duplicate a listing of the account: use one SKU for it.",
}
_BY_CATEGORY: Mapping[str, str] = {
    "MISSING_ATTRIBUTE": "An attribute is missing: add it to the channel's attributes.",
    "INVALID_ATTRIBUTE": "An attribute has a value that Amazon does not accept: correct it.",
    "MISSING_IMAGE": "A picture is missing: add one.",
    "INVALID_IMAGE": "A picture does not follow Amazon's rules: replace it.",
    "MISSING_PRICE": "The price is missing: check the channel's price rule.",
    "INVALID_PRICE": "Amazon does not accept the price: check it against its price limits in Seller Central.",
    "DUPLICATE": "Amazon takes this for a duplicate of another product: list on the existing ASIN instead.",
    "QUALIFICATION_REQUIRED": "Selling this product needs an approval: apply for it in Seller Central.",
}
_ASPECT_OF: Mapping[str, Aspect] = {
    "purchasable_offer": Aspect.PRICE,
    "list_price": Aspect.PRICE,
    "fulfillment_availability": Aspect.STOCK,
}
# The texts of a 429 that name a limit of the whole application: waiting for our own bucket's pace alone may not help.
_APPLICATION_LIMITS = ("for the application", "for relationships", "for product data")


def error_of(operation: str, reply: Reply) -> AdapterError | None:
    """What the status table cannot know of Amazon's errors; None leaves the reply to the table."""
    if reply.status < 400:
        return None
    code, message = first_error(reply)
    match reply.status:
        case 400 | 404 | 413:
            return ItemRefused(f"Amazon refuses {operation!r}: {message}", code=code)
        case 401 | 403:
            if "revoked" in message.lower():
                return AuthRefused("the seller has withdrawn the application's access: authorise it again", code=code)
            what = "either the access was withdrawn or the application lacks the role that this needs (see the README)"
            return AuthRefused(f"Amazon denies access to {operation!r}: {what}", code=code)
        case 429:
            where = next((text for text in _APPLICATION_LIMITS if text in message), "")
            whose = f" {where}" if where else ""
            return RateLimited(f"Amazon asks for fewer {operation!r} calls{whose}", code=code, evidence=message)
    return None


def first_error(reply: Reply) -> tuple[str, str]:
    """(code, message) of an error body. Raises ``UnexpectedReply`` where it is none of Amazon's."""
    document = reply.json()
    errors = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(errors, list) or not errors or not isinstance(errors[0], dict):
        raise UnexpectedReply("this is no error of Amazon's", evidence=reply.text[:500])
    return str(errors[0].get("code", "")), str(errors[0].get("message", ""))


def worst(issues: Iterable[Mapping[str, Any]], marketplace: str = "") -> list[Mapping[str, Any]]:
    """The issues that keep something from being applied, of one storefront where one is named."""
    return [
        issue
        for issue in issues
        if issue.get("severity") == "ERROR"
        and (not marketplace or marketplace in issue.get("marketplaceIds", (marketplace,)))
    ]


def hint(issue: Mapping[str, Any]) -> str:
    known = HINTS.get(str(issue.get("code", "")), "")
    categories = (_BY_CATEGORY.get(category, "") for category in issue.get("categories", ()))
    return known or next(filter(None, categories), "")


def refusals(
    sku: str, aspects: AbstractSet[Aspect], issues: Sequence[Mapping[str, Any]], *, creates: bool = False
) -> list[PushResult]:
    """What a refused message means for each of its aspects.

    A message is refused as a whole. The aspect that an issue names is REJECTED; its innocent neighbours may be sent
    again without it (a stock must not stay behind because of a title), except where the offer does not exist yet.
    """
    by_aspect: dict[Aspect, Mapping[str, Any]] = {}
    for issue in worst(issues):
        for aspect in _aspects_of(issue):
            by_aspect.setdefault(aspect, issue)
    if creates or not by_aspect.keys() & aspects:
        cause = next(iter(worst(issues) or issues), {})
        by_aspect = dict.fromkeys(aspects, cause)
    cause = next(iter(by_aspect.values()))
    return [
        _result(sku, aspect, Result.REJECTED, by_aspect[aspect])
        if aspect in by_aspect
        else _result(sku, aspect, Result.RETRY, cause)
        for aspect in sorted(aspects)
    ]


def refused(op: OfferOp, error: ItemRefused) -> list[PushResult]:
    """An op that was refused as a request, or that cannot be written at all."""
    return [
        PushResult(sku=op.sku, aspect=aspect, result=Result.REJECTED, code=error.code, message=error.message)
        for aspect in sorted(op.changed)
    ]


def _result(sku: str, aspect: Aspect, result: Result, issue: Mapping[str, Any]) -> PushResult:
    message = str(issue.get("message", "")) or "Amazon refused this without saying why"
    return PushResult(
        sku=sku, aspect=aspect, result=result, code=str(issue.get("code", "")), message=message, hint=hint(issue)
    )


def _aspects_of(issue: Mapping[str, Any]) -> set[Aspect]:
    names = [*issue.get("attributeNames", ()), *filter(None, [issue.get("attributeName")])]
    return {_ASPECT_OF.get(str(name).split(".")[0], Aspect.LISTING) for name in names}
