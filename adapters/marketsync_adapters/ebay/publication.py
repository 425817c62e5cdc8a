"""Publication: inventory item -> offer -> live listing, for single items and for variant families.

eBay replaces items, offers and groups whole. So each is read first, and what marketsync does not know of it is sent
back as it was. All calls may be repeated: what exists is updated, what is live stays live.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from marketsync.adapter.api import Aspect, OfferOp
from marketsync_adapters.ebay import mapping
from marketsync_adapters.ebay.board import Board
from marketsync_adapters.ebay.client import BULK, Client, Document
from marketsync_adapters.ebay.errors import Refusal, entry_refusal, warnings_of
from marketsync_adapters.ebay.revision import GONE, end_listing
from marketsync_adapters.ebay.settings import Settings


@dataclass(slots=True)
class _Draft:
    """One SKU on its way: what eBay had of it, its offer, and whether buyers see that."""

    op: OfferOp
    item: Document | None = None
    quantity: int = 0
    offer_id: str = ""
    live: bool = False
    aspects: dict[str, list[str]] = field(default_factory=dict)


class Publication:
    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def run(self, board: Board, ops: Sequence[OfferOp]) -> None:
        """Write the listings of these ops; those with an empty ``changed`` only tell what belongs to a family."""
        drafts = [_Draft(op) for op in ops if op.listing is not None or op.channel_id is not None]
        ours = [draft for draft in drafts if Aspect.LISTING in draft.op.changed]
        for draft in ours:
            problem = mapping.problem_of(draft.op)
            if problem is not None:
                board.refuse(draft.op.sku, Refusal(*problem, {}))
        await self._read_items(board, drafts)
        await self._write_items(board, [draft for draft in ours if board.open(draft.op.sku)])
        await self._write_offers(board, [draft for draft in ours if board.open(draft.op.sku)])
        singles = [draft for draft in ours if not draft.op.family]
        await self._publish(board, [draft for draft in singles if board.open(draft.op.sku)])
        for family in dict.fromkeys(draft.op.family for draft in ours if draft.op.family):
            await self._publish_family(board, family, [draft for draft in drafts if draft.op.family == family])

    # ---------------------------------------------------------------- items

    async def _read_items(self, board: Board, drafts: Sequence[_Draft]) -> None:
        for part in _chunks([draft for draft in drafts if board.open(draft.op.sku)]):
            found = await self._client.items([draft.op.sku for draft in part])
            for draft in part:
                draft.item = found.get(draft.op.sku)
        for draft in drafts:
            draft.aspects = mapping.aspects_of(draft.op.listing) if draft.op.listing else _aspects_of(draft.item)

    async def _write_items(self, board: Board, drafts: Sequence[_Draft]) -> None:
        for part in _chunks(drafts):
            requests = []
            for draft in part:
                quantity = self._quantity(draft)
                draft.quantity = mapping.quantity_of(draft.item or {}) if quantity is None else quantity
                requests.append(mapping.item_out(draft.op, draft.item, quantity, self._settings.content_language))
            entries = {str(one.get("sku")): one for one in await self._client.replace_items(requests)}
            board.wrote = True
            for draft in part:
                entry = entries.get(draft.op.sku)
                refusal = Refusal("25001", "eBay does not mention it.", {}) if entry is None else entry_refusal(entry)
                if refusal is not None:
                    board.refuse(draft.op.sku, refusal)

    def _quantity(self, draft: _Draft) -> int | None:
        """The quantity to write; None leaves what stands there: a listing's text must never raise stock."""
        op = draft.op
        if op.stock is not None and (Aspect.STOCK in op.changed or draft.item is None):
            return op.stock.quantity
        return None if draft.item is not None else 0

    # ---------------------------------------------------------------- offers

    async def _write_offers(self, board: Board, drafts: Sequence[_Draft]) -> None:
        fresh = []
        for draft in drafts:
            existing = await self._client.offer(draft.op.channel_id) if draft.op.channel_id else None
            if existing is None:
                fresh.append(draft)
            else:
                await self._replace_offer(board, draft, existing)
        for part in _chunks(fresh):
            requests = [mapping.offer_out(draft.op, None, draft.op.price, self._settings) for draft in part]
            entries = {str(one.get("sku")): one for one in await self._client.create_offers(requests)}
            board.wrote = True
            for draft in part:
                await self._created(board, draft, entries.get(draft.op.sku) or {})

    async def _created(self, board: Board, draft: _Draft, entry: Document) -> None:
        refusal = entry_refusal(entry) if entry else Refusal("25001", "eBay does not mention it.", {})
        if refusal is None:
            draft.offer_id = str(entry["offerId"])
            return
        existing = None
        if refusal.code == "25002" and (refusal.says("already exists") or "offerId" in refusal.parameters):
            existing = await self._client.offer_of(draft.op.sku)
        if existing is None:
            board.refuse(draft.op.sku, refusal)
        else:
            await self._replace_offer(board, draft, existing)

    async def _replace_offer(self, board: Board, draft: _Draft, existing: Document) -> None:
        draft.offer_id, draft.live = str(existing["offerId"]), existing.get("status") == "PUBLISHED"
        priced = (existing.get("pricingSummary") or {}).get("price")
        price = draft.op.price if Aspect.PRICE in draft.op.changed or not priced else None
        wanted = mapping.offer_out(draft.op, existing, price, self._settings)
        if mapping.same_offer(existing, wanted):
            return
        refusal = await self._client.replace_offer(draft.offer_id, wanted)
        board.wrote = True
        if refusal is not None:
            board.refuse(draft.op.sku, refusal)

    # ---------------------------------------------------------------- going live

    async def _publish(self, board: Board, drafts: Sequence[_Draft]) -> None:
        """Make drafts live. One without stock stays a draft: the first piece makes it live (see ``Revision``)."""
        for draft in drafts:
            if draft.live or not draft.quantity:
                board.apply(draft.op.sku, channel_id=draft.offer_id)
        for part in _chunks([draft for draft in drafts if board.open(draft.op.sku)]):
            entries = {str(one.get("offerId")): one for one in await self._client.publish([d.offer_id for d in part])}
            board.wrote = True
            for draft in part:
                entry = entries.get(draft.offer_id)
                if entry is None:
                    continue  # nobody knows: UNKNOWN
                refusal = entry_refusal(entry)
                if refusal is not None and not _is_live(refusal):
                    board.refuse(draft.op.sku, refusal)
                else:
                    board.apply(draft.op.sku, channel_id=draft.offer_id, warnings=warnings_of(entry))

    async def _publish_family(self, board: Board, key: str, drafts: Sequence[_Draft]) -> None:
        """Write the group with every member that eBay has, and make its drafts live: one listing, one answer."""
        ours = [one for one in drafts if one.offer_id and board.open(one.op.sku)]
        if not ours:
            return
        existing = await self._client.group(key)
        members = await self._members(drafts, ours, (existing or {}).get("variantSKUs") or ())
        refusal = await self._client.replace_group(key, mapping.group_out(members, existing))
        board.wrote = True
        if refusal is None and not all(one.live for one in ours) and any(one.quantity for one in ours):
            refusal = await self._client.publish_group(key)
        for draft in ours:
            if refusal is not None and not _is_live(refusal):
                board.refuse(draft.op.sku, refusal)
            else:
                board.apply(draft.op.sku, channel_id=draft.offer_id)

    async def _members(
        self, drafts: Sequence[_Draft], ours: Sequence[_Draft], known: Sequence[str]
    ) -> list[mapping.Member]:
        """Who belongs to a group: what is written now, and who is in it already.

        Whoever is left out goes off sale, so a member that was refused just now, one that did not change and one
        that marketsync does not know stay as they are.
        """
        members = [mapping.Member(draft.op.sku, draft.op.listing, draft.aspects) for draft in ours]
        listings = {draft.op.sku: draft.op.listing for draft in drafts}
        written = {member.sku for member in members}
        for part in _chunks([sku for sku in known if sku not in written]):
            found = await self._client.items(part)
            members += [mapping.Member(sku, listings.get(sku), _aspects_of(item)) for sku, item in found.items()]
        return members

    # ---------------------------------------------------------------- leaving

    async def withdraw(self, board: Board, ops: Sequence[OfferOp], staying: Sequence[OfferOp]) -> None:
        """Take offers off the marketplace. ``staying``: the members of their families that remain."""
        kept = {op.family for op in staying if op.family and op.channel_id}
        for op in ops:
            if not op.family:
                await self._withdraw_one(board, op)
            elif op.family in kept:
                await self._drop_variant(board, op)
        for family in dict.fromkeys(op.family for op in ops if op.family and op.family not in kept):
            refusal = await self._client.end_group(family)
            board.wrote = True
            for op in [one for one in ops if one.family == family]:
                if refusal is None or refusal.code == "25705":
                    await self._forget(board, op)
                else:
                    await self._withdraw_one(board, op)  # the family's other members may be gone already

    async def _withdraw_one(self, board: Board, op: OfferOp) -> None:
        offer_id = await self._offer_id(op)
        refusal = await end_listing(self._client, "withdraw", offer_id) if offer_id else None
        board.wrote = True
        if refusal is None:
            await self._forget(board, op)
        else:
            board.refuse(op.sku, refusal)

    async def _drop_variant(self, board: Board, op: OfferOp) -> None:
        """Deleting the offer takes one variant off a live listing; eBay refuses that for a variant that has sold."""
        offer_id = await self._offer_id(op)
        refusal = await self._client.delete_offer(offer_id) if offer_id else None
        board.wrote = True
        if refusal is None or refusal.code == GONE.code:
            board.apply(op.sku)
            return
        answer = await self._client.update(
            [
                {
                    "sku": op.sku,
                    "shipToLocationAvailability": {"quantity": 0},
                    "offers": [{"offerId": offer_id, "availableQuantity": 0}],
                }
            ]
        )
        failed = answer if isinstance(answer, Refusal) else next(filter(None, map(entry_refusal, answer)), None)
        if failed is None:
            board.apply(op.sku, warnings=f"The variant has sold, eBay keeps it: its stock is zero ({refusal.message})")
        else:
            board.refuse(op.sku, failed)

    async def _forget(self, board: Board, op: OfferOp) -> None:
        """What is left of an offer that has ended: its draft, which ``on_withdraw: delete`` deletes too."""
        offer_id = await self._offer_id(op) if self._settings.on_withdraw == "delete" else None
        refusal = await self._client.delete_offer(offer_id) if offer_id else None
        if refusal is None or refusal.code == GONE.code:
            board.apply(op.sku)
        else:
            board.refuse(op.sku, refusal)

    async def _offer_id(self, op: OfferOp) -> str | None:
        if op.channel_id:
            return op.channel_id
        offer = await self._client.offer_of(op.sku)
        return None if offer is None else str(offer["offerId"])


def _is_live(refusal: Refusal) -> bool:
    return refusal.says("already published", "already been published")


def _aspects_of(item: Document | None) -> dict[str, list[str]]:
    return dict(((item or {}).get("product") or {}).get("aspects") or {})


def _chunks(values: Sequence[Any]) -> list[Sequence[Any]]:
    return [values[start : start + BULK] for start in range(0, len(values), BULK)]
