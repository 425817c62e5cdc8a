"""Between marketsync's neutral content and Kaufland's units and product data. Pure: no I/O, no clock.

A change in what is written for the same content raises the aspect's ``mapping_version`` in the spec.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from marketsync.adapter.api import Aspect, Listing, Money, OfferOp, Price, PushResult, Result, Seen, Stock
from marketsync_adapters.kaufland.errors import MEANINGS, Problem, problem_of

LOCALES: Mapping[str, str] = {
    "de": "de-DE", "cz": "cs-CZ", "sk": "sk-SK", "pl": "pl-PL", "at": "de-AT", "fr": "fr-FR", "it": "it-IT",
}  # fmt: skip
CURRENCIES: Mapping[str, str] = {
    "de": "EUR", "cz": "CZK", "sk": "EUR", "pl": "PLN", "at": "EUR", "fr": "EUR", "it": "EUR",
}  # fmt: skip
INT32 = 2**31 - 1
# Minor units: 1 million EUR, 25 million CZK (more than fits the field), 4.5 million PLN.
HIGHEST_PRICE: Mapping[str, int] = {"EUR": 100_000_000, "CZK": INT32, "PLN": 450_000_000}

_CONDITIONS: Mapping[str, str] = {
    "new": "NEW",
    "used": "USED___GOOD",
    "used_as_new": "USED___AS_NEW",
    "like_new": "USED___AS_NEW",
    "used_very_good": "USED___VERY_GOOD",
    "used_good": "USED___GOOD",
    "used_acceptable": "USED___ACCEPTABLE",
    "refurbished": "REFURBISHED___GOOD",
    "refurbished_as_new": "REFURBISHED___AS_NEW",
    "refurbished_very_good": "REFURBISHED___VERY_GOOD",
    "refurbished_good": "REFURBISHED___GOOD",
    "refurbished_acceptable": "REFURBISHED___ACCEPTABLE",
}
_OWN_FIELDS = ("title", "description", "picture", "manufacturer", "category", "ean", "product_safety_contact")
_ASPECT_OF_FIELD = {"amount": Aspect.STOCK, "listing_price": Aspect.PRICE, "minimum_price": Aspect.PRICE}


class Unfit(Exception):
    """An aspect's content cannot be written: a code of ours, a sentence, and what to do."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What every unit of a channel has in common: the settings, as they stand in a request."""

    storefront: str
    locale: str
    currency: str
    handling_time: int
    unit: Mapping[str, Any]  # id_shipping_group, id_warehouse, vat_indicator: those that are set
    safety_contact: Mapping[str, str] | None = None


# ---------------------------------------------------------------------------------------------------------- out


def unit_out(op: OfferOp, terms: Terms) -> dict[str, Any]:
    """The body that creates a unit. Raises ``Unfit``."""
    assert op.listing is not None, "an op that creates an offer carries its listing"
    if op.price is None:
        hint = "give the channel a price rule: a unit cannot be created without a price"
        raise Unfit("price_missing", "the offer has no price", hint)
    return {
        **product_key(op.listing),
        "id_offer": op.sku,
        "condition": condition_out(op.listing.condition),
        "listing_price": price_out(op.price, terms),
        # Left out, Kaufland would sell one piece.
        "amount": op.stock.quantity if op.stock is not None and Aspect.STOCK in op.changed else 0,
        "handling_time": terms.handling_time,
        **terms.unit,
    }


def unit_patch(op: OfferOp, terms: Terms) -> dict[str, Any]:
    """The fields of an existing unit that the op's changed aspects write. Raises ``Unfit``."""
    patch: dict[str, Any] = {}
    if Aspect.LISTING in op.changed:
        patch = {"status": "AVAILABLE", "handling_time": terms.handling_time, **terms.unit}
    if Aspect.PRICE in op.changed:
        patch["listing_price"] = price_out(op.price, terms)
    if Aspect.STOCK in op.changed:
        assert op.stock is not None, "an op that changes the stock carries it"
        patch["amount"] = op.stock.quantity
    return patch


def price_out(price: Price | None, terms: Terms) -> int:
    """The price in the storefront's minor units. Raises ``Unfit``."""
    assert price is not None, "an op that changes the price carries it"
    amount = price.amount
    if not price.gross:
        raise Unfit("price_net", "the price is without VAT", "Kaufland's prices include VAT: set price.country")
    if amount.currency != terms.currency:
        hint = f"set the channel's price currency to {terms.currency}"
        raise Unfit("wrong_currency", f"{amount} is not in {terms.currency}, as {terms.storefront} wants it", hint)
    if not 1 <= amount.minor <= HIGHEST_PRICE[terms.currency]:
        highest = Money(HIGHEST_PRICE[terms.currency], terms.currency)
        raise Unfit("price_out_of_range", f"{amount} is not within 0.01 and {highest}", "look at the price rule")
    return amount.minor


def product_key(listing: Listing) -> dict[str, Any]:
    """What names the product of a unit: Kaufland's own id where the item has one, else its EAN. Raises ``Unfit``."""
    own = listing.attributes.get("id_product", "").strip()
    if own.isascii() and own.isdecimal() and int(own):
        return {"id_product": int(own)}
    return {"ean": ean_out(listing.gtin)}


def ean_out(gtin: str) -> str:
    """The EAN with 13 or 14 digits; shorter GTINs get the zeros in front that they stand for. Raises ``Unfit``."""
    digits = gtin.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) in {8, 12, 13, 14} and int(digits)):
        hint = "give the item its GTIN, or the attribute id_product"
        raise Unfit("ean_invalid", f"{gtin[:50]!r} is no EAN of 13 or 14 digits", hint)
    return digits.zfill(13)


def product_out(op: OfferOp, terms: Terms) -> dict[str, Any]:
    """The product data of an EAN, whole: what is left out is deleted. Raises ``Unfit``."""
    listing = op.listing
    assert listing is not None, "an op that changes the listing carries it"
    if not listing.title.strip():
        raise Unfit("title_missing", "the listing has no title", "give the item a title, or fill the title template")
    named = {**listing.attributes, **listing.options}
    attributes: dict[str, Any] = {
        name: [value] for name, value in named.items() if value and name not in {*_OWN_FIELDS, "id_product"}
    }
    own = {
        "title": listing.title,
        "description": listing.description,
        "manufacturer": listing.brand,
        "category": listing.category,
    }
    attributes |= {name: [value] for name, value in own.items() if value}
    if listing.images:
        attributes["picture"] = list(listing.images)
    if terms.safety_contact is not None:
        attributes["product_safety_contact"] = dict(terms.safety_contact)
    return {"ean": [ean_out(listing.gtin)], "attributes": attributes}


def locale_of(listing: Listing, terms: Terms) -> str:
    """The locale of a listing's texts: its own where Kaufland has it, else the storefront's."""
    return listing.language if listing.language in LOCALES.values() else terms.locale


def condition_out(condition: str) -> str:
    """Kaufland's condition. Raises ``Unfit`` for a word that stands for none."""
    if condition in _CONDITIONS.values():
        return condition
    known = _CONDITIONS.get(condition.strip().lower().replace(" ", "_").replace("-", "_"))
    if known is None:
        hint = f"map it in listing: conditions to one of {', '.join(_CONDITIONS)}"
        raise Unfit("condition_unknown", f"{condition[:50]!r} is no condition of Kaufland's", hint)
    return known


# ---------------------------------------------------------------------------------------------------------- results


def refused(op: OfferOp, problem: Unfit) -> list[PushResult]:
    """Every changed aspect of the op is refused by ourselves."""
    return [
        PushResult(
            sku=op.sku,
            aspect=aspect,
            result=Result.REJECTED,
            code=problem.code,
            message=problem.message,
            hint=problem.hint,
        )
        for aspect in Aspect
        if aspect in op.changed
    ]


def told(
    op: OfferOp,
    result: Result,
    *,
    aspects: Iterable[Aspect] | None = None,
    problem: Problem | None = None,
    channel_id: str | None = None,
    retry_after: timedelta | None = None,
) -> list[PushResult]:
    """The same result for some aspects of an op (all changed ones, where none are named)."""
    wanted = op.changed if aspects is None else op.changed.intersection(aspects)
    return [
        PushResult(
            sku=op.sku,
            aspect=aspect,
            result=result,
            code=problem.code if problem else "",
            message=problem.text if problem else "",
            hint=problem.hint if problem else "",
            channel_id=channel_id,
            retry_after=retry_after,
        )
        for aspect in Aspect
        if aspect in wanted
    ]


def applied(op: OfferOp, unit: Mapping[str, Any], *, aspects: Iterable[Aspect] | None = None) -> list[PushResult]:
    """What was written; a unit that is on hold has it, and is shown to nobody all the same."""
    problem = (
        Problem("on_hold", "The unit is on hold in the seller portal.", {}) if unit["status"] == "ONHOLD" else None
    )
    return told(op, Result.APPLIED, aspects=aspects, problem=problem, channel_id=str(unit["id_unit"]))


def unit_refusal(op: OfferOp, problem: Problem, status: int) -> list[PushResult]:
    """A unit that Kaufland did not take. Aspects that it does not complain of are tried again without the others."""
    if status >= 500:
        return told(op, Result.UNKNOWN, problem=problem)
    meaning = MEANINGS.get(problem.code)
    if status in {409, 423, 429} or (meaning is not None and meaning.result is not Result.REJECTED):
        return told(op, Result.RETRY, problem=problem)
    blamed = {_ASPECT_OF_FIELD.get(name, Aspect.LISTING) for name in problem.fields} & op.changed
    if not blamed:
        return told(op, Result.REJECTED, problem=problem)
    return told(op, Result.REJECTED, aspects=blamed, problem=problem) + told(
        op, Result.RETRY, aspects=op.changed - blamed, problem=problem
    )


def bulk_results(ops: Sequence[OfferOp], reports: Sequence[Mapping[str, Any]]) -> list[PushResult]:
    """One result per op and aspect of a bulk reply. A unit that Kaufland does not mention is UNKNOWN."""
    by_id = {str(report["id_unit"]): report for report in reports}
    results: list[PushResult] = []
    for op in ops:
        report = by_id.get(str(op.channel_id))
        if report is None:
            problem = Problem("", "Kaufland does not mention the unit.", {})
            results += told(op, Result.UNKNOWN, problem=problem)
        elif 200 <= report["status_code"] < 300:
            results += applied(op, report["unit"])
        else:
            status = int(report["status_code"])
            problem = problem_of(report, status)
            if status == 404:
                problem = Problem("not-found", problem.message, {})
            results += unit_refusal(op, problem, status)
    return results


# ---------------------------------------------------------------------------------------------------------- in


def seen(unit: Mapping[str, Any], product: Mapping[str, Any] | None) -> Seen:
    """What a unit shows; the listing only where the product data that we sent was read too."""
    return Seen(
        sku=unit["id_offer"],
        channel_id=str(unit["id_unit"]),
        listing=None if product is None else listing_in(unit, product),
        price=Price(amount=Money(unit["listing_price"], unit["currency"])),
        stock=Stock(quantity=unit["amount"]),
        fulfilled_by="channel" if unit["fulfillment_type"] == "fulfilled_by_kaufland" else "merchant",
    )


def listing_in(unit: Mapping[str, Any], product: Mapping[str, Any]) -> Listing:
    attributes = product["attributes"]
    ours = {name: _first(value) for name, value in attributes.items() if name not in _OWN_FIELDS}
    return Listing(
        title=_first(attributes.get("title")),
        description=_first(attributes.get("description")),
        brand=_first(attributes.get("manufacturer")),
        gtin=product["ean"][0] if product["ean"] else "",
        category=_first(attributes.get("category")),
        condition=next((word for word, code in _CONDITIONS.items() if code == unit["condition"]), unit["condition"]),
        images=tuple(_picture(one) for one in attributes.get("picture") or ()),
        attributes={name: value for name, value in ours.items() if value},
    )


def ean_in(unit: Mapping[str, Any]) -> str:
    """The EAN of a unit's product as it is embedded; "" where Kaufland does not tell it."""
    return next(iter((unit.get("product") or {}).get("eans") or ()), "")


def _first(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else ""
    return value if isinstance(value, str) else ""


def _picture(written: str) -> str:
    """The address of a picture: bare, or as an object that has an alternative text beside it."""
    if not written.startswith("{"):
        return written
    try:
        return str(json.loads(written)["url"])
    except (ValueError, TypeError, KeyError):
        return written
