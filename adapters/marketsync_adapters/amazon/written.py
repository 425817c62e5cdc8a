"""A single write that Amazon has accepted: what it should show, and whether a reading shows it yet.

ACCEPTED means that Amazon will try. What was written travels in the receipt, so that a later reading of the item can
tell whether it came true. Pure.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from marketsync.adapter.api import Aspect, OfferOp, PushResult, Result
from marketsync_adapters.amazon.client import moment, stamp
from marketsync_adapters.amazon.errors import hint, worst
from marketsync_adapters.amazon.mapping import by_merchant, price_in, stock_in
from marketsync_adapters.amazon.marketplaces import Marketplace

FIRST_LOOK = timedelta(seconds=10)
UNSURE = timedelta(minutes=1)  # fewer pieces than written, and nobody knows what there were: then it is written again
GIVE_UP = timedelta(minutes=15)  # what is not to be seen by then may or may not have been applied


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What one op wrote. ``before``: the stock that Amazon showed last, None where nobody knows."""

    at: datetime
    gone: bool = False
    created: bool = False
    quantity: int | None = None
    before: int | None = None
    price: str = ""
    sale: str = ""

    @classmethod
    def of(cls, op: OfferOp, now: datetime, *, created: bool) -> "Written":
        price = op.price if Aspect.PRICE in op.changed else None
        stock = op.stock if Aspect.STOCK in op.changed else None
        return cls(
            at=now,
            gone=op.withdraw,
            created=created,
            quantity=None if stock is None else stock.quantity,
            before=op.seen_stock,
            price="" if price is None else str(price.amount),
            sale="" if price is None or price.sale is None else str(price.sale),
        )

    @classmethod
    def read(cls, token: str) -> "Written | None":
        """None where the token is none of ours."""
        try:
            fields = orjson.loads(token)
            return cls(**{**fields, "at": moment(fields["at"])})
        except (ValueError, TypeError, KeyError):
            return None

    @property
    def token(self) -> str:
        names = ("gone", "created", "quantity", "before", "price", "sale")
        said = {name: value for name in names if (value := getattr(self, name)) or type(value) is int}  # zero is said
        return orjson.dumps({"at": stamp(self.at), **said}).decode()

    def look_again(self, now: datetime) -> timedelta:
        """As long again as it has taken so far: a write is read a handful of times at most."""
        return max(FIRST_LOOK, min(now - self.at, timedelta(minutes=5)))

    def judge(
        self, sku: str, aspects: AbstractSet[Aspect], item: Mapping[str, Any] | None, market: Marketplace, now: datetime
    ) -> list[PushResult]:
        """What a reading says of each aspect: APPLIED, REJECTED, SUBMITTED while there is time, then UNKNOWN."""
        refused = None if item is None else _suppressed(item, market)
        results = []
        for aspect in sorted(aspects):
            issue = refused if self.created or aspect is Aspect.LISTING else None
            if self._shows(aspect, item, market):
                results.append(_noted(sku, aspect, item, market))
            elif issue is not None:
                results.append(_told(sku, aspect, Result.REJECTED, issue))
            else:
                unsure = aspect is Aspect.STOCK and self.before is None and item is not None and self._shows_fewer(item)
                open_still = now - self.at < (UNSURE if unsure else GIVE_UP)
                result = Result.SUBMITTED if open_still else Result.UNKNOWN
                results.append(PushResult(sku=sku, aspect=aspect, result=result))
        return results

    def _shows(self, aspect: Aspect, item: Mapping[str, Any] | None, market: Marketplace) -> bool:
        if self.gone or item is None:
            return self.gone and item is None
        match aspect:
            case Aspect.LISTING:
                return _suppressed(item, market) is None and bool(_summary(item, market))
            case Aspect.PRICE:
                shown = price_in(item, market)
                sale = "" if shown is None or shown.sale is None else str(shown.sale)
                return shown is not None and (str(shown.amount), sale) == (self.price, self.sale)
            case Aspect.STOCK:
                return self._shows_stock(item)

    def _shows_stock(self, item: Mapping[str, Any]) -> bool:
        shown = stock_in(item)
        if not by_merchant(item) or shown is None or self.quantity is None:
            return False
        # Fewer than written, and there was nothing before, or something else: it was applied, and sold from since.
        new = self.created or (self.before is not None and shown.quantity != self.before)
        return shown.quantity == self.quantity or (new and self._shows_fewer(item))

    def _shows_fewer(self, item: Mapping[str, Any]) -> bool:
        shown = stock_in(item)
        return shown is not None and self.quantity is not None and shown.quantity < self.quantity


def submitted(op: OfferOp) -> list[PushResult]:
    return [PushResult(sku=op.sku, aspect=aspect, result=Result.SUBMITTED) for aspect in sorted(op.changed)]


def _summary(item: Mapping[str, Any], market: Marketplace) -> Mapping[str, Any]:
    return next((one for one in item.get("summaries") or () if one.get("marketplaceId") == market.id), {})


def _suppressed(item: Mapping[str, Any], market: Marketplace) -> Mapping[str, Any] | None:
    """The error that keeps an item from buyers: neither buyable nor discoverable, and an error says why."""
    errors: Sequence[Mapping[str, Any]] = worst(item.get("issues") or (), market.id)
    if not errors or _summary(item, market).get("status"):
        return None
    return errors[0]


def _noted(sku: str, aspect: Aspect, item: Mapping[str, Any] | None, market: Marketplace) -> PushResult:
    """Applied; where the listing has a fault that Amazon tolerates, the result tells it."""
    faults = worst((item or {}).get("issues") or (), market.id) if aspect is Aspect.LISTING else []
    result = _told(sku, aspect, Result.APPLIED, faults[0] if faults else {})
    return result if item is None else replace(result, channel_id=sku)


def _told(sku: str, aspect: Aspect, result: Result, issue: Mapping[str, Any]) -> PushResult:
    code, message = str(issue.get("code", "")), str(issue.get("message", ""))
    return PushResult(sku=sku, aspect=aspect, result=result, code=code, message=message, hint=hint(issue))
