"""Revisions: prices and quantities of offers that are there, through bulkUpdatePriceQuantity.

eBay's documents contradict themselves on how many SKUs a call takes (25, or 1): a call with several that is refused as
a whole is taken apart. An offer that turns out to be a draft (its listing ended at zero) is made live again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from marketsync.adapter.api import Aspect, Log, OfferOp
from marketsync_adapters.ebay.board import Board
from marketsync_adapters.ebay.client import Client
from marketsync_adapters.ebay.errors import Refusal, entry_refusal, warnings_of
from marketsync_adapters.ebay.mapping import amount_out, repriced
from marketsync_adapters.ebay.settings import Settings

PRICE, STOCK = Aspect.PRICE, Aspect.STOCK
_PERHAPS_A_DRAFT = frozenset({"25002", "25019", "25713"})
GONE = Refusal("25713", "The offer is not available.", {})

Entry = Mapping[str, Any]


class Revision:
    def __init__(self, client: Client, settings: Settings, log: Log) -> None:
        self._client = client
        self._settings = settings
        self._log = log

    async def run(self, board: Board, ops: Sequence[OfferOp]) -> None:
        """Write the open prices and quantities of these ops."""
        for start in range(0, len(ops), self._settings.price_stock_chunk):
            await self._send(board, ops[start : start + self._settings.price_stock_chunk], frozenset({PRICE, STOCK}))

    async def _send(self, board: Board, ops: Sequence[OfferOp], aspects: frozenset[Aspect]) -> None:
        answer = await self._client.update([self._request(op, board.open(op.sku) & aspects) for op in ops])
        if not isinstance(answer, Refusal):
            board.wrote = True
            await self._read(board, ops, answer, aspects)
        elif len(ops) == 1:
            board.refuse(ops[0].sku, answer, aspects)
        else:
            message = (
                "eBay refuses several SKUs in one call, they go one by one: set price_stock_chunk to 1 if this stays"
            )
            self._log.warning(message, code=answer.code, skus=len(ops))
            for op in ops:
                await self._send(board, [op], aspects)

    def _request(self, op: OfferOp, aspects: frozenset[Aspect]) -> dict[str, Any]:
        request: dict[str, Any] = {"sku": op.sku}
        offer: dict[str, Any] = {"offerId": op.channel_id}
        if STOCK in aspects and op.stock is not None:
            request["shipToLocationAvailability"] = {"quantity": op.stock.quantity}
            if not self._ends(op):
                offer["availableQuantity"] = op.stock.quantity
        if PRICE in aspects and op.price is not None:
            offer["price"] = amount_out(op.price.amount)
        if op.channel_id and len(offer) > 1:
            request["offers"] = [offer]
        return request

    def _ends(self, op: OfferOp) -> bool:
        """Whether the quantity of an op means the end of the listing: without out-of-stock control zero is none."""
        return op.stock is not None and not op.stock.quantity and not self._settings.out_of_stock_control

    async def _read(
        self, board: Board, ops: Sequence[OfferOp], entries: Sequence[Entry], aspects: frozenset[Aspect]
    ) -> None:
        """Note what a call did; then what needs calls of its own: drafts, and stock beside a refused price."""
        refused: list[tuple[OfferOp, Refusal]] = []
        for op in ops:
            of_offer = [one for one in entries if op.channel_id and one.get("offerId") == op.channel_id]
            of_item = [one for one in entries if one.get("sku") == op.sku and one not in of_offer]
            refusal = _worst(of_offer)
            if refusal is None:
                self._note(board, op, board.open(op.sku) & aspects, of_item, of_offer)
            else:
                refused.append((op, refusal))
        stock_alone = []
        for op, refusal in refused:
            if refusal.code in _PERHAPS_A_DRAFT and await self._revive(board, op):
                continue
            wanted = board.open(op.sku) & aspects
            if wanted == {PRICE, STOCK}:  # a price must not keep the stock from falling
                board.refuse(op.sku, refusal, {PRICE})
                stock_alone.append(op)
            else:
                board.refuse(op.sku, refusal, wanted)
        if stock_alone:
            await self._send(board, stock_alone, frozenset({STOCK}))

    def _note(
        self,
        board: Board,
        op: OfferOp,
        wanted: frozenset[Aspect],
        of_item: Sequence[Entry],
        of_offer: Sequence[Entry],
    ) -> None:
        for aspect in wanted:
            told = [*of_offer, *of_item] if aspect is STOCK else of_offer
            refusal = _worst(told)
            if refusal is not None:
                board.refuse(op.sku, refusal, {aspect})
            elif told:
                warnings = " ".join(filter(None, map(warnings_of, told)))
                board.apply(op.sku, {aspect}, channel_id=op.channel_id, warnings=warnings)

    async def _revive(self, board: Board, op: OfferOp) -> bool:
        """An offer that refuses to be revised: where it is a draft, its price is set and it goes live again.

        False where it is live: then eBay means what it says.
        """
        assert op.channel_id is not None
        offer = await self._client.offer(op.channel_id)
        if offer is None:
            board.refuse(op.sku, GONE)
            return True
        if offer.get("status") != "UNPUBLISHED":
            return False
        refusal = None
        if PRICE in board.open(op.sku) and op.price is not None:
            refusal = await self._client.replace_offer(op.channel_id, repriced(offer, op.price))
        if refusal is None and STOCK in board.open(op.sku) and op.stock is not None and op.stock.quantity:
            refusal = await self._publish(op)
        if refusal is None:
            board.apply(op.sku, channel_id=op.channel_id)
        else:
            board.refuse(op.sku, refusal)
        return True

    async def _publish(self, op: OfferOp) -> Refusal | None:
        if op.family:
            return await self._client.publish_group(op.family)
        assert op.channel_id is not None
        return _worst(await self._client.publish([op.channel_id]))

    async def end_at_zero(self, board: Board, ops: Sequence[OfferOp]) -> None:
        """Without out-of-stock control: end the listings that are to show zero, before their quantity is written."""
        for op in ops:
            if STOCK in board.open(op.sku) and self._ends(op) and op.channel_id:
                refusal = await end_listing(self._client, "price_stock", op.channel_id)
                board.wrote = True
                if refusal is not None:
                    board.refuse(op.sku, refusal, {STOCK})


async def end_listing(client: Client, operation: str, offer_id: str) -> Refusal | None:
    """End the listing of an offer; one that has ended, or an offer that is gone, is no refusal."""
    refusal = await client.end(operation, offer_id)
    if refusal is None:
        return None
    offer = await client.offer(offer_id)
    return None if offer is None or offer.get("status") == "UNPUBLISHED" else refusal


def _worst(entries: Sequence[Entry]) -> Refusal | None:
    return next((refusal for one in entries if (refusal := entry_refusal(one)) is not None), None)
