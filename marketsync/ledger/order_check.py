"""Whether an order, as a channel tells it, can be stored: one that cannot must not keep the others out."""

from collections import Counter
from dataclasses import replace
from datetime import datetime

from marketsync.adapter.errors import MarketsyncError
from marketsync.adapter.orders import ChannelLine, ChannelOrder

MOST_PIECES = 2**31 - 1  # what an INTEGER column of PostgreSQL holds


class Unstorable(MarketsyncError):
    """Why an order cannot be stored as it is."""


def checked(order: ChannelOrder) -> ChannelOrder:
    """The order with texts that every database takes. Raises Unstorable where it contradicts itself."""
    if not order.order_id:
        raise Unstorable("it has no id")
    for name in ("placed", "updated", "ship_by"):
        moment: datetime | None = getattr(order, name)
        if moment is not None and moment.tzinfo is None:
            raise Unstorable(f"its time {name} has no time zone")
    twice = [line_id for line_id, count in Counter(line.line_id for line in order.lines).items() if count > 1]
    if twice:
        raise Unstorable(f"two of its lines have the id {twice[0]}")
    for line in order.lines:
        _check_line(line)
    texts = (order.order_id, *(text for line in order.lines for text in (line.line_id, line.sku, line.title)))
    if all(map(_plain, texts)):
        return order
    lines = tuple(
        replace(line, line_id=_clean(line.line_id), sku=_clean(line.sku), title=_clean(line.title))
        for line in order.lines
    )
    return replace(order, order_id=_clean(order.order_id), lines=lines)


def _check_line(line: ChannelLine) -> None:
    for name in ("quantity", "cancelled", "shipped", "returned", "refunded"):
        pieces = getattr(line, name)
        if not 0 <= pieces <= MOST_PIECES:
            raise Unstorable(f"line {line.line_id} of {line.sku} has {name} {pieces}")


def _plain(text: str) -> bool:
    return (text.isascii() and "\0" not in text) or text == _clean(text)


def _clean(text: str) -> str:
    """Without what no database stores: NUL, and halves of characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
