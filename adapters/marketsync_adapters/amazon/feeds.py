"""JSON_LISTINGS_FEED: up to 25,000 offers in one document, and the processing report that comes back. Pure."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Any

import orjson

from marketsync.adapter.api import Aspect, OfferOp, PushResult, Result
from marketsync.adapter.errors import ItemRefused, UnexpectedReply
from marketsync_adapters.amazon.errors import hint, refusals, refused, worst
from marketsync_adapters.amazon.mapping import Terms, patch_out, put_out

Asked = Sequence[tuple[str, AbstractSet[Aspect]]]


def feed_out(
    ops: Sequence[OfferOp], seller_id: str, terms: Terms, issue_locale: str, *, creates: bool
) -> tuple[bytes, list[PushResult]]:
    """The feed's content, and the results of the ops that cannot be written at all: those are not in it.

    A message's id is the place of its op in the batch, counted from one. The content is empty where nothing is left.
    """
    messages: list[dict[str, Any]] = []
    unwritten: list[PushResult] = []
    for place, op in enumerate(ops, start=1):
        try:
            content = put_out(op, terms) if creates else patch_out(op, terms)
        except ItemRefused as error:
            unwritten += refused(op, error)
            continue
        kind = "UPDATE" if creates else "PATCH"
        messages.append({"messageId": place, "sku": op.sku, "operationType": kind, **content})
    if not messages:
        return b"", unwritten
    header = {"sellerId": seller_id, "version": "2.0"} | ({"issueLocale": issue_locale} if issue_locale else {})
    return orjson.dumps({"header": header, "messages": messages}, default=_number), unwritten


def token_of(feed_id: str, ops: int) -> str:
    return f"{feed_id}/{ops}"


def feed_of(token: str) -> tuple[str, int]:
    """(feed id, how many ops the batch had); 0 where the token does not tell."""
    feed_id, _, count = token.partition("/")
    return feed_id, int(count) if count.isdecimal() else 0


def results_in(content: bytes, asked: Asked, batch: int, *, creates: bool) -> list[PushResult]:
    """What a processing report says of each op. Raises ``UnexpectedReply`` where it is no report.

    An issue names its message by the place in the batch, or the SKU. Places only count while the batch is whole.
    Without an issue a message was accepted; where the report counts fewer messages than were sent, nobody knows.
    """
    report = _report(content)
    by_sku: dict[str, list[Mapping[str, Any]]] = {}
    whole = len(asked) == batch
    for issue in worst(report["issues"]):
        place = issue.get("messageId")
        sku = issue.get("sku")
        if sku is None and whole and isinstance(place, int) and 0 < place <= batch:
            sku = asked[place - 1][0]
        by_sku.setdefault(str(sku or ""), []).append(issue)
    complete = int(report["summary"].get("messagesProcessed", 0)) >= len(asked)
    of_the_feed = by_sku.get("", [])
    return [
        result
        for sku, aspects in asked
        for result in (
            refusals(sku, aspects, by_sku[sku], creates=creates)
            if sku in by_sku
            else everything(asked=[(sku, aspects)], result=Result.APPLIED, channel_ids=True)
            if complete and not of_the_feed
            else everything(asked=[(sku, aspects)], result=Result.UNKNOWN, issue=next(iter(of_the_feed), {}))
        )
    ]


def everything(
    *, asked: Asked, result: Result, issue: Mapping[str, Any] | None = None, channel_ids: bool = False
) -> list[PushResult]:
    """The same result for every aspect of every op."""
    said = issue or {}
    return [
        PushResult(
            sku=sku,
            aspect=aspect,
            result=result,
            code=str(said.get("code", "")),
            message=str(said.get("message", "")),
            hint=hint(said),
            channel_id=sku if channel_ids else None,
        )
        for sku, aspects in asked
        for aspect in sorted(aspects)
    ]


def _report(content: bytes) -> Mapping[str, Any]:
    try:
        report = orjson.loads(content)
    except orjson.JSONDecodeError:
        report = None
    fit = isinstance(report, dict) and isinstance(report.get("issues"), list)
    if not fit or not isinstance(report.get("summary"), dict):
        raise UnexpectedReply("Amazon's processing report has another form than its schema promises")
    return dict(report)


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be written into a feed")
