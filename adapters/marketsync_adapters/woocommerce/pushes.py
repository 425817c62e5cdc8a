"""Pushes: which requests a batch of ops becomes, and what their outcomes mean for each op.

Simple products and variable ones go through /products/batch, variations through the batch of their own product.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marketsync.adapter.api import Aspect, OfferOp, PushOutcome, PushResult, Result
from marketsync_adapters.woocommerce import mapping
from marketsync_adapters.woocommerce.client import Client, Outcome, Write, Writer
from marketsync_adapters.woocommerce.errors import Refusal
from marketsync_adapters.woocommerce.mapping import Document, Shop
from marketsync_adapters.woocommerce.settings import Settings

PRODUCTS = "/products"
_GONE = frozenset(
    {
        "woocommerce_rest_product_invalid_id",
        "woocommerce_rest_product_variation_invalid_id",
        "woocommerce_rest_product_variation_invalid_parent",
    }
)


@dataclass(slots=True)
class Results:
    """One result per op and changed aspect. What is not told is UNKNOWN to the engine."""

    outcome: dict[str, tuple[OfferOp, Outcome, str | None]] = field(default_factory=dict)

    def tell(self, op: OfferOp, outcome: Outcome, parent_id: int | None = None) -> None:
        remote = None if isinstance(outcome, Refusal) else mapping.channel_id(outcome, parent_id)
        self.outcome[op.sku] = (op, outcome, remote)

    def refused(self, code: str) -> list[OfferOp]:
        return [op for op, said, _ in self.outcome.values() if isinstance(said, Refusal) and said.code == code]

    def all(self) -> PushOutcome:
        return PushOutcome(
            results=[
                _result(op, aspect, outcome, remote)
                for op, outcome, remote in self.outcome.values()
                for aspect in Aspect
                if aspect in op.changed
            ]
        )


def variations_path(parent_id: int | str) -> str:
    return f"{PRODUCTS}/{parent_id}/variations"


async def push_commerce(client: Client, settings: Settings, ops: Sequence[OfferOp]) -> PushOutcome:
    """Prices and quantities of offers that the shop has, by their ids."""
    results, writer = Results(), client.writer("offers")
    for parent, group in _by_parent(_sendable(ops, settings, results)).items():
        writes = [Write("update", {"id": _own_id(op)} | mapping.commerce_out(op)) for op in group]
        for op, outcome in zip(group, await writer.write(_path(parent), writes), strict=True):
            results.tell(op, outcome, int(parent) if parent else None)
    return results.all()


async def withdraw(
    client: Client, settings: Settings, writer: Writer, ops: Sequence[OfferOp], results: Results
) -> None:
    """Hide or delete offers. One that is not in the shop is withdrawn already."""
    found = await client.find((op.sku for op in ops if op.channel_id is None), writer.operation)
    gone = Refusal("", "", Result.APPLIED)
    known = []
    for op in ops:
        remote = op.channel_id or (_remote(found[op.sku]) if op.sku in found else None)
        if remote is None:
            results.tell(op, gone)
        else:
            known.append((op, remote))
    for parent, group in _grouped((remote.rpartition(":")[0], (op, remote)) for op, remote in known).items():
        ids = [int(remote.rpartition(":")[2]) for _, remote in group]
        for (op, _), outcome in zip(group, await writer.write(_path(parent), _removals(ids, settings)), strict=True):
            absent = isinstance(outcome, Refusal) and outcome.code in _GONE
            results.tell(op, gone if absent else outcome, int(parent) if parent else None)


async def hide_families(settings: Settings, writer: Writer, ops: Sequence[OfferOp]) -> None:
    """A family without any offer left takes its variable product along. Its next listing brings it back."""
    empty: set[int] = set()
    for members in _grouped((op.family, op) for op in ops if op.family).values():
        parents = {int(op.channel_id.split(":")[0]) for op in members if op.channel_id and ":" in op.channel_id}
        if all(op.withdraw or (not op.changed and op.channel_id is None) for op in members):
            empty |= parents
    if empty:
        await writer.write(PRODUCTS, _removals(sorted(empty), settings))


def _removals(ids: Iterable[int], settings: Settings) -> list[Write]:
    if settings.withdraw == "delete":
        return [Write("delete", {"id": number}) for number in ids]
    return [Write("update", {"id": number, "status": mapping.HIDDEN}) for number in ids]


class ListingPush:
    """Listings, and what of price and stock goes with them: created where the shop has no such SKU, else updated."""

    def __init__(self, client: Client, settings: Settings, writer: Writer, results: Results) -> None:
        self._client = client
        self._settings = settings
        self._writer = writer
        self._results = results
        self._shop = Shop()
        self._found: dict[str, Any] = {}  # by SKU
        self._parents: dict[int, Any] = {}  # variable products by id

    async def run(self, ops: Sequence[OfferOp], *, adopts: bool = True) -> None:
        """Ops with an empty ``changed`` are there for context."""
        sendable = _sendable(ops, self._settings, self._results)
        skus = [op.sku for op in sendable] + [self._parent_sku(op) for op in sendable]
        self._found = await self._client.find(skus, self._writer.operation)
        parents = {row["parent_id"] for row in self._found.values() if row["type"] == "variation"}
        self._parents = await self._client.products_by_id(parents) if parents else {}
        self._shop = await _look_around(self._client, self._settings, sendable)
        families, simple = self._split(self._known_categories(sendable))
        variables = await self._write_products(families, simple)
        for name, members in families.items():
            if name in variables:
                await self._write_variations(members, variables[name])
        if adopts:
            await self._adopt()

    def _split(self, ops: Sequence[OfferOp]) -> tuple[dict[str, list[OfferOp]], list[OfferOp]]:
        """Families and simple products. What the shop has as the one does not become the other."""
        families: dict[str, list[OfferOp]] = {}
        simple: list[OfferOp] = []
        for op in ops:
            row = self._found.get(op.sku)
            if row is not None and row["type"] == "variation":
                families.setdefault(op.family or f"#{row['parent_id']}", []).append(op)
            elif op.family and row is None:
                families.setdefault(op.family, []).append(op)
            elif op.changed:
                simple.append(op)
        return {name: members for name, members in families.items() if any(op.changed for op in members)}, simple

    async def _write_products(self, families: Mapping[str, list[OfferOp]], simple: Sequence[OfferOp]) -> dict[str, Any]:
        """Variable and simple products in one go. Returns the families' variable products that are there."""
        variables: dict[str, Any] = {}
        writes: list[Write] = []
        owners: list[str | OfferOp] = []
        for name, members in families.items():
            refusal, known = self._parent(members)
            if refusal is not None:
                self._tell_all(members, refusal)
            elif known is not None and not any(Aspect.LISTING in op.changed for op in members):
                variables[name] = known
            else:
                active = [op for op in members if op.changed or op.channel_id or op.sku in self._found]
                sku = self._parent_sku(members[0])
                writes.append(_write(mapping.family_out(sku, active, self._shop, self._settings, known)))
                owners.append(name)
        for op in simple:
            writes.append(_write(mapping.simple_out(op, self._shop, self._settings, self._found.get(op.sku))))
            owners.append(op)
        for owner, outcome in zip(owners, await self._writer.write(PRODUCTS, writes), strict=True):
            if isinstance(owner, OfferOp):
                self._results.tell(owner, outcome)
            elif isinstance(outcome, Refusal):
                self._tell_all(families[owner], outcome)
            else:
                variables[owner] = outcome
        return variables

    async def _write_variations(self, members: Sequence[OfferOp], parent: Document) -> None:
        changed = [op for op in members if op.changed]
        writes = []
        for op in changed:
            row = self._found.get(op.sku)
            writes.append(_write(mapping.variation_out(op, self._shop, self._settings, row, parent)))
        outcomes = await self._writer.write(variations_path(parent["id"]), writes)
        for op, outcome in zip(changed, outcomes, strict=True):
            self._results.tell(op, outcome, parent["id"])

    async def _adopt(self) -> None:
        """The shop has a SKU that its search did not show a moment ago: take that product for ours, if it is the same.

        This is how a create whose answer was lost ends, and how two pushes at once do.
        """
        taken = self._results.refused("product_invalid_sku")
        there = await self._client.find(op.sku for op in taken) if taken else {}
        again = [op for op in taken if op.sku in there]
        for op in taken:
            if op.sku not in there:
                said = self._results.outcome[op.sku][1]
                message = said.message if isinstance(said, Refusal) else ""
                self._results.tell(op, Refusal("product_invalid_sku", message or "The SKU is taken."))
        if again:
            await ListingPush(self._client, self._settings, self._writer, self._results).run(again, adopts=False)

    def _parent(self, members: Sequence[OfferOp]) -> tuple[Refusal | None, Any]:
        """The variable product of a family, None where it has to be made; or why there can be none."""
        for op in members:
            row = self._found.get(op.sku)
            if row is not None and row["parent_id"] in self._parents:
                return None, self._parents[row["parent_id"]]
        sku = self._parent_sku(members[0])
        if sku in {op.sku for op in members}:
            return Refusal("parent_sku_taken", f"{sku} is the SKU of the family and of one of its variants."), None
        if not mapping.storable(sku):
            return Refusal("sku_not_storable", f"WooCommerce cannot keep the family's SKU {sku!r} as it is."), None
        known = self._found.get(sku)
        if known is not None and known["type"] != "variable":
            return Refusal("family_not_variable", f"{sku} is a {known['type']} product in the shop."), None
        return None, known

    def _known_categories(self, ops: Sequence[OfferOp]) -> list[OfferOp]:
        """The ops whose category the shop has; the others are refused."""
        fit = []
        for op in ops:
            category = op.listing.category if op.listing and Aspect.LISTING in op.changed else ""
            if category and mapping.category_id(category, self._shop) is None:
                self._results.tell(op, Refusal("category_unknown", f"The shop has no category {category!r}."))
            else:
                fit.append(op)
        return fit

    def _parent_sku(self, op: OfferOp) -> str:
        return self._settings.parent_sku.format(family=op.family) if op.family else ""

    def _tell_all(self, members: Sequence[OfferOp], refusal: Refusal) -> None:
        for op in members:
            if op.changed:
                self._results.tell(op, refusal)


async def _look_around(client: Client, settings: Settings, ops: Sequence[OfferOp]) -> Shop:
    """The categories and shared attributes that these ops need. Makes missing categories, if the settings say so."""
    listings = [op.listing for op in ops if op.listing is not None and op.changed]
    categories: dict[str, int] = {}
    wanted = {listing.category for listing in listings if listing.category}
    if any(not name.isdecimal() for name in wanted):
        documents = [one async for one in client.all("read_products", "/products/categories", {"orderby": "id"})]
        categories = mapping.category_keys(documents)
        if settings.create_categories:
            await _make_categories(client, categories, sorted(wanted))
    attributes: dict[str, int] = {}
    if any(listing.attributes or listing.options or listing.brand for listing in listings):
        known = await client.get("read_products", "/products/attributes")
        attributes = {str(one["name"]).lower(): one["id"] for one in known}
    return Shop(categories=categories, attributes=attributes)


async def _make_categories(client: Client, known: dict[str, int], wanted: Iterable[str]) -> None:
    """Make what is missing of each path, from the top down. One that is there after all says so with its id."""
    for path in wanted:
        if path.isdecimal() or mapping.category_key(path) in known:
            continue
        above, parent = [], 0
        for name in (part.strip() for part in path.split(">")):
            above.append(name)
            key = mapping.category_key(" > ".join(above))
            if key not in known:
                body = {"name": name, "parent": parent}
                reply = await client.send("categories", "POST", "/products/categories", body, frozenset({400}))
                document = reply.json()
                known[key] = document["id"] if reply.status != 400 else document["data"]["resource_id"]
            parent = known[key]


def _sendable(ops: Sequence[OfferOp], settings: Settings, results: Results) -> list[OfferOp]:
    fit = []
    for op in ops:
        refusal = mapping.faults(op, settings)
        if refusal is None:
            fit.append(op)
        elif op.changed:
            results.tell(op, refusal)
    return fit


def _result(op: OfferOp, aspect: Aspect, outcome: Outcome, remote: str | None) -> PushResult:
    if not isinstance(outcome, Refusal) and aspect is Aspect.STOCK and not op.withdraw:
        outcome = _counted(outcome)
    if isinstance(outcome, Refusal):
        return PushResult(
            sku=op.sku,
            aspect=aspect,
            result=outcome.result,
            code=outcome.code,
            message=outcome.message,
            hint=outcome.hint,
        )
    return PushResult(sku=op.sku, aspect=aspect, result=Result.APPLIED, channel_id=remote)


def _counted(document: Document) -> Outcome:
    """With its stock management off, the shop takes a quantity without a word and does not keep it."""
    if document.get("manage_stock") is True:
        return document
    return Refusal("stock_not_managed", "The shop does not count this product's stock.")


def _write(document: Document) -> Write:
    return Write("update" if "id" in document else "create", document)


def _remote(row: Document) -> str:
    return mapping.channel_id(row, row["parent_id"] if row["type"] == "variation" else None)


def _path(parent: str) -> str:
    return variations_path(parent) if parent else PRODUCTS


def _own_id(op: OfferOp) -> int:
    assert op.channel_id is not None, "price and stock wait for the channel's id"
    return int(op.channel_id.rpartition(":")[2])


def _by_parent(ops: Iterable[OfferOp]) -> dict[str, list[OfferOp]]:
    """Ops by the id of their variable product; "" for products of their own."""
    return _grouped(((op.channel_id or "").rpartition(":")[0], op) for op in ops)


def _grouped(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups
