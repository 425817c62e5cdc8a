"""Offers: creating, changing and reading units, and the product data behind them.

A unit needs a product. Where Kaufland's catalogue knows the EAN, the unit is created at once and our product data
follows; where it does not, the product data goes first and the unit waits until Kaufland has made a product of it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from marketsync.adapter.api import Aspect, OfferOp, PushOutcome, PushResult, Receipt, Result, Seen
from marketsync.adapter.errors import ItemRefused, OutcomeUnknown, Retryable
from marketsync_adapters.kaufland import mapping
from marketsync_adapters.kaufland.client import Client
from marketsync_adapters.kaufland.errors import Problem
from marketsync_adapters.kaufland.mapping import Terms, Unfit

NEW_PRODUCT = timedelta(minutes=10)  # how long to wait before a unit is tried again whose product is being made
ASK_FIRST = timedelta(minutes=1)
ASK_AGAIN = timedelta(minutes=5)
_WAITING = frozenset({"PENDING", "IN_PROGRESS"})


class Offers:
    """``send_product``, ``read_product``: whether product data is written and read back.

    ``patience``: how long a listing stays open while Kaufland processes its product data.
    """

    def __init__(
        self,
        client: Client,
        terms: Terms,
        *,
        send_product: bool,
        read_product: bool,
        patience: timedelta,
        visible_after: timedelta,
    ) -> None:
        self._client = client
        self._terms = terms
        self._send_product = send_product
        self._read_product = read_product
        self._patience = patience
        self._visible_after = visible_after

    # ------------------------------------------------------------------------------------------------ writing

    async def put(self, door: str, op: OfferOp) -> PushOutcome:
        """Create one unit, or change one whole: unit and product data."""
        try:
            product = self._product(op)
            if op.channel_id is None:
                body = mapping.unit_out(op, self._terms)
            else:
                patch = mapping.unit_patch(op, self._terms)
        except Unfit as problem:
            return PushOutcome(results=mapping.refused(op, problem))
        if op.channel_id is None:
            return await self._create(door, op, body, product)
        return await self._change(door, op, op.channel_id, patch, product)

    async def patch(self, door: str, ops: Sequence[OfferOp]) -> PushOutcome:
        """Write prices and quantities of up to 150 units."""
        results: list[PushResult] = []
        fit: list[OfferOp] = []
        items: list[dict[str, Any]] = []
        seen: set[str] = set()
        for op in ops:
            try:
                items.append({"id_unit": _unit_id(op, seen), "unit_data": mapping.unit_patch(op, self._terms)})
            except Unfit as problem:
                results += mapping.refused(op, problem)
            else:
                fit.append(op)
        if items:
            results += mapping.bulk_results(fit, await self._client.patch_units(door, items))
        return PushOutcome(results=results)

    async def withdraw(self, door: str, op: OfferOp) -> list[PushResult]:
        unit_id = op.channel_id
        if unit_id is None:
            unit = await self._client.find_unit(op.sku)
            unit_id = str(unit["id_unit"]) if unit is not None else None
        if unit_id is not None:
            await self._client.delete_unit(door, unit_id)
        return mapping.told(op, Result.APPLIED)

    async def _create(self, door: str, op: OfferOp, body: Mapping[str, Any], product: Any) -> PushOutcome:
        answer = await self._client.create_unit(door, body)
        if isinstance(answer, tuple):
            status, problem = answer
            if problem.code == "already-exists":
                return await self._adopt(door, op, problem, product)
            if product is not None and problem.fields.keys() & {"ean", "id_product"}:
                return PushOutcome(results=await self._make_product(op, problem, product))
            return PushOutcome(results=mapping.unit_refusal(op, problem, status))
        return await self._with_product(op, answer, product)

    async def _adopt(self, door: str, op: OfferOp, problem: Problem, product: Any) -> PushOutcome:
        """The SKU has a unit already, of an earlier try perhaps: change that one, as soon as it is listed."""
        unit = await self._client.find_unit(op.sku)
        if unit is None:
            results = mapping.told(op, Result.RETRY, problem=problem, retry_after=self._visible_after)
            return PushOutcome(results=results)
        return await self._change(door, op, str(unit["id_unit"]), mapping.unit_patch(op, self._terms), product)

    async def _change(
        self, door: str, op: OfferOp, unit_id: str, patch: Mapping[str, Any], product: Any
    ) -> PushOutcome:
        answer = await self._client.patch_unit(door, unit_id, patch)
        if isinstance(answer, tuple):
            status, problem = answer
            if status == 404:
                problem = Problem("not-found", problem.message, {})
            return PushOutcome(results=mapping.unit_refusal(op, problem, status))
        return await self._with_product(op, answer, product)

    async def _with_product(self, op: OfferOp, unit: Mapping[str, Any], product: Any) -> PushOutcome:
        """The unit is right; now its product data. Nothing that happens there may lose the unit's id."""
        rest = mapping.applied(op, unit, aspects=set(Aspect) - {Aspect.LISTING})
        if Aspect.LISTING not in op.changed:
            return PushOutcome(results=rest)
        unit_id = str(unit["id_unit"])
        if product is None:
            return PushOutcome(results=rest + mapping.applied(op, unit, aspects={Aspect.LISTING}))
        locale, body = product
        result, problem, pause = Result.SUBMITTED, None, None
        try:
            problem = await self._client.put_product("listing", locale, body)
            result = Result.REJECTED if problem is not None else Result.SUBMITTED
        except ItemRefused as error:
            result, problem = Result.REJECTED, Problem(error.code, error.message, {})
        except OutcomeUnknown as error:
            result, problem, pause = Result.UNKNOWN, Problem(error.code, error.message, {}), error.retry_after
        except Retryable as error:
            result, problem, pause = Result.RETRY, Problem(error.code, error.message, {}), error.retry_after
        listing = mapping.told(
            op, result, aspects={Aspect.LISTING}, problem=problem, channel_id=unit_id, retry_after=pause
        )
        receipt = f"{locale}/{body['ean'][0]}" if result is Result.SUBMITTED else None
        return PushOutcome(results=rest + listing, receipt=receipt, ask_after=ASK_FIRST)

    async def _make_product(self, op: OfferOp, problem: Problem, product: Any) -> list[PushResult]:
        """Kaufland knows no product of this EAN: send ours once, then wait until it is made."""
        locale, body = product
        ean = body["ean"][0]
        sent = await self._client.product(ean, locale)
        if sent is None or sent["attributes"] != body["attributes"]:
            refusal = await self._client.put_product("listing", locale, body)
            if refusal is not None:
                return mapping.told(op, Result.REJECTED, problem=refusal)
        else:
            status = await self._client.product_status(ean, locale)
            verdict = _verdict(status) if status is not None else None
            if verdict is not None and verdict[0] is Result.REJECTED:
                return mapping.told(op, Result.REJECTED, problem=verdict[1])
        return mapping.told(op, Result.RETRY, problem=problem, retry_after=NEW_PRODUCT)

    def _product(self, op: OfferOp) -> tuple[str, dict[str, Any]] | None:
        """Locale and body of the product data that goes with an op; None where none goes. Raises ``Unfit``."""
        if not self._send_product or Aspect.LISTING not in op.changed or op.listing is None:
            return None
        if "id_product" in mapping.product_key(op.listing) and not op.listing.gtin.strip():
            return None  # a product of Kaufland's own catalogue: product data is kept by EAN
        return mapping.locale_of(op.listing, self._terms), mapping.product_out(op, self._terms)

    # ------------------------------------------------------------------------------------------------ confirming

    async def confirm(self, receipt: Receipt, now: datetime) -> PushOutcome:
        """What became of product data. After ``patience`` what is still being processed counts as taken."""
        locale, _, ean = receipt.token.partition("/")
        status = None
        if locale in mapping.LOCALES.values() and ean.isascii() and ean.isdecimal():
            status = await self._client.product_status(ean, locale)
        if status is None:
            return PushOutcome(results=_listings(receipt, Result.UNKNOWN, None))
        verdict = _verdict(status)
        if verdict is None and now - receipt.submitted < self._patience:
            return PushOutcome(results=(), receipt=receipt.token, ask_after=ASK_AGAIN)
        result, problem = verdict or (Result.APPLIED, _still(status))
        return PushOutcome(results=_listings(receipt, result, problem))

    # ------------------------------------------------------------------------------------------------ reading

    async def read(self, skus: Sequence[str] | None) -> AsyncIterator[Seen]:
        if skus is None:
            async for unit in self._client.units():
                if unit["id_offer"]:  # a unit without one was made by hand and belongs to no SKU
                    yield await self._seen(unit)
            return
        for sku in dict.fromkeys(skus):
            found = await self._client.find_unit(sku)
            if found is not None:
                yield await self._seen(found)

    async def _seen(self, unit: Mapping[str, Any]) -> Seen:
        product = None
        ean = mapping.ean_in(unit)
        if self._read_product and ean:
            product = await self._client.product(ean, self._terms.locale)
        return mapping.seen(unit, product)


def _unit_id(op: OfferOp, seen: set[str]) -> int:
    """The op's unit. Raises ``Unfit`` for what no unit of ours can have, and for a unit that was there before."""
    unit_id = op.channel_id or ""
    if not (unit_id.isascii() and unit_id.isdecimal()):
        raise Unfit("unit_unknown", "the offer has no unit on Kaufland", "resync the SKU to list it again")
    if unit_id in seen:  # one duplicate makes Kaufland refuse the whole request
        raise Unfit("duplicate_unit", f"another SKU is unit {unit_id} as well", "give every SKU a unit of its own")
    seen.add(unit_id)
    return int(unit_id)


def _verdict(status: Mapping[str, Any]) -> tuple[Result, Problem | None] | None:
    """What Kaufland has decided of product data; None while it has not."""
    state = status["update_status"]
    reason = status["product_not_ready_reason"]
    if state in _WAITING or (state == "SUCCESS" and reason == "NOT_YET_PROCESSED"):
        return None
    missing = [*(status["missing_attributes"] or ()), *(status["min_one_missing_attributes"] or ())]
    if state == "SUCCESS" and status["product_ready"]:
        return Result.APPLIED, _declined(status)
    code = status["update_fail_reason"] or reason or state
    told = f"these attributes are missing: {', '.join(missing)}" if missing else "Kaufland made no product of the data"
    return Result.REJECTED, Problem(code, told, dict.fromkeys(missing, "missing"))


def _declined(status: Mapping[str, Any]) -> Problem | None:
    """Values that Kaufland did not take, though it took the rest."""
    states = {"DECLINED", "REFUSED", "IGNORED"}
    values = {one["attribute"]: one["message"] for one in status["attribute_values"] or () if one["state"] in states}
    return Problem("partly", "Kaufland did not take every attribute", values) if values else None


def _still(status: Mapping[str, Any]) -> Problem:
    return Problem(status["update_status"], "Kaufland has the product data and is still processing it", {})


def _listings(receipt: Receipt, result: Result, problem: Problem | None) -> list[PushResult]:
    return [
        PushResult(
            sku=sku,
            aspect=aspect,
            result=result,
            code=problem.code if problem else "",
            message=problem.text if problem else "",
            hint="Complete the attributes that Kaufland asks for in this category."
            if result is Result.REJECTED
            else "",
        )
        for sku, aspects in receipt.ops
        for aspect in Aspect
        if aspect in aspects
    ]
