"""Walking a list that Kaufland sorts by time of update, newest first, while it changes.

What is updated during the walk jumps to the front, where the walk has been; nothing else moves to a page that was
read. So a walk of several pages is followed by one over what is newer than its first entry, until one page holds all.
A page token carries all of that: the adapter keeps no state.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

from marketsync.adapter.errors import UnexpectedReply

PAGE = 100
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a walk stands. ``after``: the phase's lower end (nothing at it); ``newest``: the newest seen so far."""

    storefront: int = 0  # index into the account's storefronts
    offset: int = 0
    since: str = ""  # ISO time of the request, "" for the default window
    after: str = ""  # entries at or before it were delivered by an earlier phase
    newest: str = ""
    last: str = ""  # what the page before ended with, which may go on here

    @classmethod
    def of(cls, token: str | None, since: datetime | None) -> "Place":
        """The place of a page token; the beginning where there is none."""
        if token is None:
            return cls(since=written(since - SECOND) if since is not None else "")
        try:
            return cls(**json.loads(token))
        except (ValueError, TypeError):
            raise UnexpectedReply(f"{token[:100]!r} is no page token of this adapter", code="bad_token") from None

    def token(self) -> str:
        return json.dumps({name: value for name, value in asdict(self).items() if value}, separators=(",", ":"))


def following(
    place: Place, times: Sequence[str], *, more: bool, last: str, storefronts: int, since: str
) -> Place | None:
    """The place after a page whose entries have these times of update (as sent); None after the very last.

    ``more``: the list goes on behind this page. ``since`` is where the walk of the next storefront begins.
    """
    newest = max([time for time in (place.newest, *times) if time], key=instant, default="")
    phase_ends = not more or not all(is_new(place, time) for time in times)
    if times and not phase_ends:
        return replace(place, offset=place.offset + len(times), newest=newest, last=last)
    if place.offset and is_new(place, newest):  # several pages: what was updated meanwhile has jumped over the walk
        return Place(storefront=place.storefront, since=written(instant(newest) - SECOND), after=newest)
    if place.storefront + 1 < storefronts:
        return Place(storefront=place.storefront + 1, since=since)
    return None


def is_new(place: Place, updated: str) -> bool:
    """Whether an entry belongs to this phase, not to one before."""
    return not place.after or instant(updated) > instant(place.after)


def written(time: datetime) -> str:
    """A time as Kaufland's parameters want it: whole seconds of UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instant(text: str) -> datetime:
    """A time as Kaufland writes it, aware UTC."""
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
