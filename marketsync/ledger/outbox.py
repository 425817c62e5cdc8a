"""When an offer is due, and how urgently: one SQL expression over the row, the same on both databases.

The outbox is no table of events but the index (channel, lane, due_at) over the offers for which this expression is not
NULL. Whatever changes an offer runs ``REFRESH`` over it in the same transaction; ``ledger verify`` recomputes it.
"""

from enum import IntEnum

from marketsync.adapter.content import Aspect

BITS: dict[Aspect, int] = {Aspect.LISTING: 1, Aspect.PRICE: 2, Aspect.STOCK: 4}
ZERO_DOOR = 8  # in ``managed``: stock zero may go through a faster door while another op is open
ASPECTS = tuple(BITS)
# In ``held``: an aspect's bit, and that bit so many places higher while the verdict over its whole run is awaited.
IN_RUN = 3


def held(aspect: Aspect) -> int:
    """The bits of ``held`` that keep an aspect from leaving."""
    return BITS[aspect] | BITS[aspect] << IN_RUN


class Lane(IntEnum):
    """Lower goes first. What saves money goes before what makes it, and both before what describes."""

    ZERO = 0  # withdrawals and stock to zero
    PRICE_FIRST = 1  # a price that must land before a restock
    LOWER = 2
    RAISE = 3
    PRICE = 4
    LISTING = 5
    NONE = 9


def mask(aspects: frozenset[Aspect]) -> int:
    """The bit mask of a set of aspects."""
    return sum(BITS[aspect] for aspect in aspects)


def aspects_of(bits: int) -> frozenset[Aspect]:
    """The set of aspects of a bit mask."""
    return frozenset(aspect for aspect, bit in BITS.items() if bits & bit)


def _dirty(aspect: Aspect) -> str:
    return f"((managed & {BITS[aspect]}) <> 0 AND {aspect}_desired <> {aspect}_acked)"


def _free(aspect: Aspect) -> str:
    return (
        f"({_dirty(aspect)} AND (held & {held(aspect)}) = 0"
        f" AND ({aspect}_parked IS NULL OR {aspect}_parked <> {aspect}_desired))"
    )


_ABSENT = "X'00000000000000000000000000000000'"
_LISTED = f"(remote_id IS NOT NULL AND ((managed & 1) = 0 OR listing_desired <> {_ABSENT}))"

WITHDRAWS = f"({_free(Aspect.LISTING)} AND listing_desired = {_ABSENT} AND remote_id IS NOT NULL)"
RAISES = "(stock_quantity > COALESCE(stock_acked_quantity, 0))"
LISTING_READY = f"({_free(Aspect.LISTING)} AND (listing_desired <> {_ABSENT} OR remote_id IS NOT NULL))"
PRICE_READY = f"({_free(Aspect.PRICE)} AND {_LISTED})"
STOCK_FREE = f"({_free(Aspect.STOCK)} AND {_LISTED} AND fulfilled_by = 'merchant')"
# A restock waits for its price, also while that price is held or parked: else it sells at the old one.
STOCK_READY = f"({STOCK_FREE} AND (NOT {RAISES} OR NOT {_dirty(Aspect.PRICE)}))"
ZERO_READY = f"({STOCK_FREE} AND stock_quantity = 0)"
_IDLE = f"(open_batch IS NULL OR ((managed & {ZERO_DOOR}) <> 0 AND zero_sent = 0 AND {ZERO_READY}))"

_CASES = (
    (WITHDRAWS, Lane.ZERO, "listing_due"),
    (f"({STOCK_READY} AND stock_quantity = 0)", Lane.ZERO, "stock_due"),
    (f"({PRICE_READY} AND {_dirty(Aspect.STOCK)} AND {RAISES})", Lane.PRICE_FIRST, "price_due"),
    (f"({STOCK_READY} AND NOT {RAISES})", Lane.LOWER, "stock_due"),
    (STOCK_READY, Lane.RAISE, "stock_due"),
    (PRICE_READY, Lane.PRICE, "price_due"),
    (LISTING_READY, Lane.LISTING, "listing_due"),
)
LANE = (
    f"CASE WHEN NOT {_IDLE} THEN {Lane.NONE:d} "
    + " ".join(f"WHEN {condition} THEN {lane:d}" for condition, lane, _ in _CASES)
    + f" ELSE {Lane.NONE:d} END"
)
DUE_AT = (
    f"CASE WHEN NOT {_IDLE} THEN NULL "
    + " ".join(f"WHEN {condition} THEN COALESCE({due}, 0)" for condition, _, due in _CASES)
    + " ELSE NULL END"
)


def on(dialect: str, sql: str) -> str:
    """The expression in a dialect's own spelling: PostgreSQL writes byte strings otherwise than SQLite."""
    if dialect == "sqlite":
        return sql
    return sql.replace(_ABSENT, "'\\x00000000000000000000000000000000'::bytea")


def refresh(dialect: str, where: str) -> str:
    """UPDATE that brings ``lane`` and ``due_at`` of the offers ``where`` holds in line with the rest of their row."""
    return on(dialect, f"UPDATE offer SET lane = {LANE}, due_at = {DUE_AT} WHERE {where}")
