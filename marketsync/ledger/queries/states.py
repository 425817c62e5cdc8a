"""The states of an offer's aspect as conditions in SQL: what is counted and what is listed are the same thing."""

from marketsync.adapter.content import Aspect
from marketsync.domain.content import ABSENT, UNKNOWN
from marketsync.ledger import outbox
from marketsync.ledger.outbox import BITS

VALUES = {"absent": ABSENT, "unknown": UNKNOWN}  # to be bound with every one of them


def dirty(aspect: Aspect) -> str:
    """Desired and acknowledged differ."""
    return f"((managed & {BITS[aspect]}) <> 0 AND {aspect}_desired <> {aspect}_acked)"


def unknown(aspect: Aspect) -> str:
    """Nobody can know what the channel shows."""
    return f"((managed & {BITS[aspect]}) <> 0 AND {aspect}_acked = :unknown)"


def parked(aspect: Aspect) -> str:
    """The channel refused it, and nothing changed since."""
    return f"({dirty(aspect)} AND {aspect}_parked IS NOT NULL AND {aspect}_parked = {aspect}_desired)"


def held(aspect: Aspect) -> str:
    """A guard stopped a change."""
    return f"((held & {outbox.held(aspect)}) <> 0)"


def drifted(aspect: Aspect) -> str:
    """Read back after it was acknowledged, and something else was seen; its heal of that day did not help."""
    return (
        f"((managed & {BITS[aspect]}) <> 0 AND (proved & {BITS[aspect]}) = 0 AND open_batch IS NULL"
        f" AND healed_on IS NOT NULL AND seen_at > COALESCE({aspect}_acked_at, 0) AND {aspect}_seen <> :absent"
        f" AND {aspect}_acked <> :unknown AND {aspect}_seen <> {aspect}_acked)"
    )


def unsent(aspect: Aspect) -> str:
    """A change that is due or in flight: neither parked nor held."""
    return (
        f"({dirty(aspect)} AND NOT {held(aspect)} AND ({aspect}_parked IS NULL OR {aspect}_parked <> {aspect}_desired)"
        " AND (due_at IS NOT NULL OR open_batch IS NOT NULL))"
    )


def due(aspect: Aspect) -> str:
    """A change that may leave now (``:now`` in microseconds)."""
    return f"({unsent(aspect)} AND open_batch IS NULL AND due_at <= :now AND COALESCE({aspect}_due, 0) <= :now)"


def unseen(aspect: Aspect, before: str) -> str:
    """Acknowledged before ``before`` (SQL, microseconds) and never seen since."""
    return (
        f"((managed & {BITS[aspect]}) <> 0 AND (proved & {BITS[aspect]}) = 0 AND open_batch IS NULL"
        f" AND {aspect}_acked NOT IN (:absent, :unknown) AND {aspect}_acked_at < {before})"
    )
