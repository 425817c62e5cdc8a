"""The ``product`` door: whole families become products. Nothing that the catalogue does not name is ever deleted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import orjson

from marketsync.adapter.api import AdapterContext, Aspect, OfferOp, PushOutcome, PushResult, Receipt, Result
from marketsync.adapter.errors import AdapterError, OutcomeUnknown, UnexpectedReply
from marketsync_adapters.shopify import documents, mapping
from marketsync_adapters.shopify.client import Client, chunks, whole
from marketsync_adapters.shopify.documents import repeated
from marketsync_adapters.shopify.errors import RESEND, Fault, fault_of, index_in
from marketsync_adapters.shopify.ids import OfferId, gid, number
from marketsync_adapters.shopify.lookup import find_products, find_skus
from marketsync_adapters.shopify.mapping import Existing, Family
from marketsync_adapters.shopify.settings import Settings

PACKED: Final = 500  # points of one request: with the look before it, it has to fit into the bucket
SYNCHRONOUS: Final = 100  # variants; a larger product is written by Shopify in its own time
METAFIELDS: Final = 25  # at once
ASK_AFTER: Final = timedelta(seconds=5)


@dataclass(slots=True)
class _Desk:
    """One push: what is told of each op and aspect so far."""

    results: dict[tuple[str, Aspect], PushResult] = field(default_factory=dict)
    owners: list[tuple[Family, dict[str, OfferId]]] = field(default_factory=list)  # written, and still to be dressed
    receipt: str | None = None

    def refuse(self, family: Family, fault: Fault, guilty: Sequence[str] = ()) -> None:
        """The guilty members are refused; the others, whose product cannot be written without them, are tried again."""
        for op in family.changed:
            fits = fault if not guilty or op.sku in guilty else RESEND
            for aspect in op.changed:
                self.results[op.sku, aspect] = fits.at(op.sku, aspect)

    def applied(self, family: Family, owners: Mapping[str, OfferId]) -> None:
        for op in family.changed:
            for aspect in op.changed:
                known = owners.get(op.sku)
                result = Result.APPLIED if known else Result.UNKNOWN
                self.results[op.sku, aspect] = PushResult(
                    sku=op.sku, aspect=aspect, result=result, channel_id=str(known) if known else None
                )


@dataclass(frozen=True, slots=True)
class _Call:
    family: Family
    input: Mapping[str, Any]

    @property
    def identifier(self) -> dict[str, str]:
        product = self.family.product
        return {"id": product} if product is not None else {"handle": self.input["handle"]}

    @property
    def cost(self) -> float:
        return documents.PRODUCT_SET.cost + 2 * len(self.family.ops) + mapping.product_cost(self.family, self.input)


class Listings:
    def __init__(self, client: Client, settings: Settings, context: AdapterContext) -> None:
        self._client = client
        self._settings = settings
        self._context = context

    async def push(self, ops: Sequence[OfferOp]) -> PushOutcome:
        desk = _Desk()
        calls = [call for family in await self._known(ops, desk) if (call := self._call(family, desk)) is not None]
        written = False
        for request in _requests(calls):
            try:
                await self._write(request, desk)
            except AdapterError as error:
                if not written:
                    raise
                _cut_off(desk, request, error)  # what was written before it counts
            written = True
        try:
            await self._dress(desk)
        except AdapterError as error:
            self._context.log.warning("products written without their metafields", reason=error.message)
            for family, _ in desk.owners:
                _half_written(desk, family, Fault("not_dressed", error.message, Result.UNKNOWN))
        return PushOutcome(results=list(desk.results.values()), receipt=desk.receipt, ask_after=ASK_AFTER)

    async def confirm(self, receipt: Receipt) -> PushOutcome:
        """Whether Shopify has finished a large product."""
        try:
            told = orjson.loads(receipt.token)
            operation, fingerprint = str(told["operation"]), str(told["images"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return PushOutcome(results=())  # no receipt of ours: nobody can know
        data = await self._client.ask("confirm", documents.PRODUCT_OPERATION, {"id": operation})
        state = data["productOperation"]
        if state is None:
            return PushOutcome(results=())
        if state["status"] != "COMPLETE":
            return PushOutcome(results=(), receipt=receipt.token, ask_after=ASK_AFTER)
        skus = [sku for sku, _ in receipt.ops]
        if state["userErrors"]:
            faults = _faults_by_sku(state["userErrors"], told["skus"])
            return PushOutcome(
                results=[faults.get(sku, RESEND).at(sku, aspect) for sku, aspects in receipt.ops for aspect in aspects]
            )
        product = state["product"]["id"]
        nodes = await whole(
            self._client.walk(
                "confirm", documents.PRODUCT_VARIANTS, {"id": product}, lambda d: d["product"]["variants"]
            )
        )
        owners = {node["sku"]: mapping.offer_id(product, node) for node in nodes if node["sku"] in set(skus)}
        shared = [{**one, "ownerId": product} for one in told["metafields"]]
        await self._set_metafields([*shared, mapping.images_metafield(product, fingerprint)])
        await self._publish([product])
        return PushOutcome(results=[_told(sku, aspect, owners) for sku, aspects in receipt.ops for aspect in aspects])

    # ---------------------------------------------------------------- before

    async def _known(self, ops: Sequence[OfferOp], desk: _Desk) -> list[Family]:
        """The families with what Shopify has of them; what cannot be written is refused."""
        found: list[Family] = []
        all_families = mapping.families(ops)
        new = [op.sku for family in all_families for op in family.ops if OfferId.parse(op.channel_id) is None]
        by_sku = await find_skus(self._client, "product", new) if new else {}
        for family in all_families:
            known = {op.sku: id_ for op in family.ops if (id_ := OfferId.parse(op.channel_id)) is not None}
            twice = [op.sku for op in family.ops if len(by_sku.get(op.sku, ())) > 1]
            known |= {op.sku: by_sku[op.sku][0] for op in family.ops if len(by_sku.get(op.sku, ())) == 1}
            products = {id_.product for id_ in known.values()}
            if twice:
                desk.refuse(family, Fault.of("duplicate_sku", f"{twice[0]} is the SKU of several variants."), twice)
            elif len(products) > 1:
                names = ", ".join(sorted(number(one) for one in products)[:5])
                desk.refuse(family, Fault.of("split_family", f"The family is spread over the products {names}."))
            else:
                family.product = next(iter(products), None)
                found.append(family)
        shown = await find_products(self._client, "product", found)
        return [family for family in found if self._matched(family, shown.get(family.product or ""), desk)]

    def _matched(self, family: Family, shown: Mapping[str, Any] | None, desk: _Desk) -> bool:
        """Take over what the product has. False where writing it would delete a variant that we do not know."""
        if shown is None:
            family.product = None  # never was there, or is gone: it is created (again)
            return True
        family.images = shown["metafield"]["value"] if shown["metafield"] else ""
        variants = [Existing.of(node) for node in shown["nodes"]]
        by_id = {one.variant: one for one in variants}
        for op in family.ops:
            id_ = OfferId.parse(op.channel_id)
            same = [one for one in variants if one.sku == op.sku]
            if id_ is not None and id_.variant in by_id:
                family.existing[op.sku] = by_id[id_.variant]
            elif len(same) == 1:
                family.existing[op.sku] = same[0]
        ours = {one.variant for one in family.existing.values()}
        foreign = [one.sku or f"variant {number(one.variant)}" for one in variants if one.variant not in ours]
        if foreign and not _untouched(variants, family):
            names = ", ".join(foreign[:5])
            desk.refuse(family, Fault.of("foreign_variants", f"In Shopify the product also has {names}."))
            return False
        return True

    def _call(self, family: Family, desk: _Desk) -> _Call | None:
        options = mapping.options_of(family)
        if isinstance(options, Fault):
            desk.refuse(family, options)
            return None
        document = mapping.product_out(family, options, self._settings.location_ids)
        now = self._context.clock.now()
        for op, variant in zip(family.ops, document["variants"], strict=True):
            if mapping.wants_price(op):
                fault = mapping.price_fault(op, self._settings.currency)
                if fault is not None:
                    desk.refuse(family, fault, [op.sku])
                    return None
                assert op.price is not None
                variant.update(mapping.price_out(op.price, now))
        return _Call(family, document)

    # ---------------------------------------------------------------- writing

    async def _write(self, calls: Sequence[_Call], desk: _Desk) -> None:
        if len(calls[0].family.ops) > SYNCHRONOUS:
            await self._write_later(calls[0], desk)
            return
        document = repeated(documents.PRODUCT_SET, len(calls))
        variables: dict[str, Any] = {}
        for n, call in enumerate(calls):
            variables |= {f"identifier{n}": call.identifier, f"input{n}": call.input}
            variables[f"first{n}"] = len(call.family.ops)
        data = await self._client.ask("product", document, variables, cost=sum(call.cost for call in calls))
        for n, call in enumerate(calls):
            family, payload = call.family, data[f"p{n}"]
            if payload is None:
                raise OutcomeUnknown("Shopify left out what became of a product", code="no_payload")
            if payload["userErrors"]:
                _refused(desk, family, payload["userErrors"])
                continue
            product = payload["product"]
            shown = {node["sku"]: mapping.offer_id(product["id"], node) for node in product["variants"]["nodes"]}
            owners = {op.sku: shown[op.sku] for op in family.ops if op.sku in shown}
            desk.applied(family, owners)
            desk.owners.append((family, owners))

    async def _write_later(self, call: _Call, desk: _Desk) -> None:
        cost = documents.PRODUCT_SET_LATER.cost + mapping.product_cost(call.family, call.input)
        variables = {"identifier": call.identifier, "input": call.input}
        data = await self._client.ask("product", documents.PRODUCT_SET_LATER, variables, cost=cost)
        payload = data["productSet"]
        if payload["userErrors"]:
            _refused(desk, call.family, payload["userErrors"])
            return
        family = call.family
        first = OfferId(family.product or gid("Product", "0"), "", "")
        shared = [one for _, one in mapping.metafields(family, dict.fromkeys((op.sku for op in family.ops), first))]
        receipt = {
            "operation": payload["productSetOperation"]["id"],
            "images": family.fingerprint,
            "skus": [op.sku for op in family.ops],
            "metafields": [
                {name: value for name, value in one.items() if name != "ownerId"}
                for one in shared
                if one["ownerId"] and one["key"] != mapping.IMAGES_KEY["key"]
            ],
        }
        desk.receipt = orjson.dumps(receipt).decode()
        for op in family.changed:
            for aspect in op.changed:
                desk.results[op.sku, aspect] = PushResult(sku=op.sku, aspect=aspect, result=Result.SUBMITTED)

    # ---------------------------------------------------------------- after

    async def _dress(self, desk: _Desk) -> None:
        """What productSet cannot write without deleting what others wrote: metafields; and the sales channels."""
        dressed = [
            (family, owners) for family, owners in desk.owners if any(_lists(op) for op in family.ops) and owners
        ]
        wanted = [(family, sku, one) for family, owners in dressed for sku, one in mapping.metafields(family, owners)]
        for chunk in chunks(wanted, METAFIELDS):
            errors = await self._set_metafields([one for _, _, one in chunk])
            for family, sku, _ in chunk if errors else ():
                guilty = [error for error in errors if chunk[_index(error)][1] == sku]
                _half_written(desk, family, fault_of(guilty[0]) if guilty else replace(RESEND, result=Result.UNKNOWN))
        await self._publish([next(iter(owners.values())).product for _, owners in dressed])

    async def _set_metafields(self, metafields: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        data = await self._client.ask("dress", documents.METAFIELDS_SET, {"metafields": metafields})
        errors: Sequence[Mapping[str, Any]] = data["metafieldsSet"]["userErrors"]
        return errors

    async def _publish(self, products: Sequence[str]) -> None:
        publications = [{"publicationId": one} for one in self._settings.publication_ids]
        for chunk in chunks(products, 50) if publications else ():
            variables: dict[str, Any] = {f"id{n}": product for n, product in enumerate(chunk)}
            document = repeated(documents.PUBLISH, len(chunk))
            data = await self._client.ask("dress", document, {**variables, "publications": publications})
            errors = [error for payload in data.values() for error in payload["userErrors"]]
            if errors:
                raise UnexpectedReply(f"Shopify does not publish: {errors[0]['message']}", code="not_published")


def _untouched(variants: Sequence[Existing], family: Family) -> bool:
    """A product that was made under our handle and has only the placeholder that Shopify made beside it."""
    return not family.existing and len(variants) == 1 and not variants[0].sku


def _requests(calls: Sequence[_Call]) -> list[list[_Call]]:
    """Several products in one request, as far as its cost allows; a large one travels alone."""
    requests: list[list[_Call]] = []
    cost = 0.0
    for call in calls:
        alone = len(call.family.ops) > SYNCHRONOUS
        if alone or not requests or cost + call.cost > PACKED:
            requests.append([call])
            cost = float(PACKED) if alone else call.cost
        else:
            requests[-1].append(call)
            cost += call.cost
    return requests


def _cut_off(desk: _Desk, calls: Sequence[_Call], error: AdapterError) -> None:
    """A later request failed: what it carried was not applied, or nobody knows."""
    if isinstance(error, OutcomeUnknown | UnexpectedReply):
        return  # no result: UNKNOWN
    for call in calls:
        desk.refuse(call.family, Fault(error.code, error.message, Result.RETRY))


def _refused(desk: _Desk, family: Family, errors: Sequence[Mapping[str, Any]]) -> None:
    """Nothing of the product was written. The variant that an error names is guilty, else all of them."""
    by_sku = _faults_by_sku(errors, [op.sku for op in family.ops])
    fault = fault_of(next((error for error in errors if index_in(error, "variants") is None), errors[0]))
    desk.refuse(family, fault, guilty=list(by_sku))
    for op in family.changed:
        if op.sku in by_sku:
            for aspect in op.changed:
                desk.results[op.sku, aspect] = by_sku[op.sku].at(op.sku, aspect)


def _faults_by_sku(errors: Sequence[Mapping[str, Any]], skus: Sequence[str]) -> dict[str, Fault]:
    """The fault of each variant that the errors name by its index; empty where one is about the product itself."""
    named = [(index_in(error, "variants"), error) for error in errors]
    if any(index is None or index >= len(skus) for index, _ in named):
        return dict.fromkeys(skus, fault_of(next(error for index, error in named if index is None or index >= 0)))
    return {skus[index]: fault_of(error) for index, error in reversed(named) if index is not None}


def _half_written(desk: _Desk, family: Family, fault: Fault) -> None:
    """The product is there, and what belongs to it is not: its id is kept, the listing is no success."""
    for op in family.changed:
        if _lists(op):
            known = desk.results[op.sku, Aspect.LISTING].channel_id
            desk.results[op.sku, Aspect.LISTING] = replace(fault.at(op.sku, Aspect.LISTING), channel_id=known)


def _lists(op: OfferOp) -> bool:
    return Aspect.LISTING in op.changed


def _index(error: Mapping[str, Any]) -> int:
    at = error["elementIndex"] if error["elementIndex"] is not None else index_in(error, "metafields")
    return at or 0


def _told(sku: str, aspect: Aspect, owners: Mapping[str, OfferId]) -> PushResult:
    known = owners.get(sku)
    if known is None:
        return PushResult(sku=sku, aspect=aspect, result=Result.UNKNOWN)
    return PushResult(sku=sku, aspect=aspect, result=Result.APPLIED, channel_id=str(known))
