"""The board: what has become of each aspect of a batch while its calls are made, one after the other."""

from collections.abc import Iterable, Sequence

from marketsync.adapter.api import Aspect, OfferOp, PushResult, Result
from marketsync.adapter.errors import AdapterError
from marketsync_adapters.ebay.errors import Refusal


class Board:
    """An aspect is decided once; the first word stands. ``wrote``: eBay may have changed something by now."""

    def __init__(self, ops: Sequence[OfferOp]) -> None:
        self.ops = {op.sku: op for op in ops}
        self.wrote = False
        self._results: dict[tuple[str, Aspect], PushResult] = {}

    def open(self, sku: str) -> frozenset[Aspect]:
        """The aspects of a SKU that nothing is said of yet."""
        return frozenset(aspect for aspect in self.ops[sku].changed if (sku, aspect) not in self._results)

    def undecided(self, ops: Iterable[OfferOp]) -> list[OfferOp]:
        return [op for op in ops if self.open(op.sku)]

    def apply(
        self, sku: str, aspects: Iterable[Aspect] | None = None, *, channel_id: str | None = None, warnings: str = ""
    ) -> None:
        self._decide(sku, aspects, Result.APPLIED, channel_id=channel_id, message=warnings)

    def refuse(self, sku: str, refusal: Refusal, aspects: Iterable[Aspect] | None = None) -> None:
        for aspect in self.open(sku) if aspects is None else aspects:
            if aspect in self.open(sku):
                self._results[sku, aspect] = PushResult(
                    sku=sku,
                    aspect=aspect,
                    result=refusal.result,
                    code=refusal.code,
                    message=refusal.message or "eBay gives no reason.",
                    hint=refusal.hint,
                    retry_after=refusal.retry_after,
                )

    def lose(self, error: AdapterError) -> None:
        """The calls broke off: of what is still open nobody knows how far it got."""
        for sku in self.ops:
            self._decide(sku, None, Result.UNKNOWN, code=error.code, message=error.message)

    def results(self) -> list[PushResult]:
        """A result for each changed aspect; what eBay did not mention is UNKNOWN."""
        for sku in self.ops:
            self._decide(sku, None, Result.UNKNOWN, message="eBay does not mention it in its answer.")
        return [self._results[sku, aspect] for sku, op in self.ops.items() for aspect in Aspect if aspect in op.changed]

    def _decide(
        self,
        sku: str,
        aspects: Iterable[Aspect] | None,
        result: Result,
        *,
        channel_id: str | None = None,
        code: str = "",
        message: str = "",
    ) -> None:
        still_open = self.open(sku)
        for aspect in still_open if aspects is None else still_open.intersection(aspects):
            self._results[sku, aspect] = PushResult(
                sku=sku, aspect=aspect, result=result, channel_id=channel_id, code=code, message=message
            )
