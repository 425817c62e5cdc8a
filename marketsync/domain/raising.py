"""The raise rule: lowering a stock is always safe, raising it only on fresh knowledge of the channel's sales."""

from datetime import datetime, timedelta


def raise_blocked(
    *,
    pull_began: datetime | None,
    snapshot_read: datetime | None,
    read_back: datetime | None,
    pull_max_age: timedelta,
    now: datetime,
) -> str | None:
    """Why a stock must not be raised on a channel now; None where it may.

    ``pull_began``: start of the last complete order pull of the channel's account. ``snapshot_read``: when the source snapshot
    that the figure rests on was read, None for a ledger that counts itself. ``read_back``: start of the read-back that
    the figure rests on, None where it rests on none. Aware UTC datetimes. A pull that begins at the same moment is too early:
    a sale of that moment may be in neither.
    """
    if pull_began is None:
        return "no complete order pull of this account yet"
    if snapshot_read is not None and pull_began <= snapshot_read:
        return "the last order pull began before the source was read"
    if read_back is not None and pull_began <= read_back:
        return "the last order pull began before the channel was read back"
    if now - pull_began > pull_max_age:
        return "the last order pull is too old"
    return None
