"""The order feed: pages that are found again by time, so that nothing is missed while orders change.

Pages by number shift when an order changes between two of them. Each page therefore starts at the last second of the
one before, without the orders of that second that were read already.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from marketsync.adapter.api import OrderCursor
from marketsync_adapters.woocommerce.mapping import Document, time_in

EXCLUDED = 300  # order ids that still fit into an address
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: the orders changed at ``since`` or later but those in ``without``, from ``page`` on."""

    since: datetime
    without: tuple[int, ...] = ()
    page: int = field(default=1)

    @classmethod
    def of(cls, cursor: OrderCursor, default: datetime) -> Self:
        if cursor.page is None:
            return cls((cursor.since or default).astimezone(UTC).replace(microsecond=0))
        since, without, page = json.loads(cursor.page)
        return cls(datetime.fromisoformat(since), tuple(without), page)

    def token(self) -> str:
        return json.dumps([self.since.isoformat(), list(self.without), self.page])

    def params(self, size: int) -> dict[str, str | int]:
        params: dict[str, str | int] = {
            "modified_after": after(self.since),
            "dates_are_gmt": "true",
            "orderby": "modified",
            "order": "asc",
            "per_page": size,
            "page": self.page,
            "dp": 6,  # else the shop rounds to the decimals that it shows
        }
        if self.without:
            params["exclude"] = ",".join(map(str, self.without))
        return params

    def following(self, documents: Sequence[Document]) -> "Place":
        """Where the next page begins, after these."""
        times = {document["id"]: time_in(document["date_modified_gmt"]) for document in documents}
        last = max((time for time in times.values() if time is not None), default=self.since)
        without = tuple(number for number, time in times.items() if time == last)
        if last == self.since:
            without = (*self.without, *(number for number in without if number not in self.without))
        if len(without) > EXCLUDED or (last != self.since and after(last) == after(self.since)):
            return Place(self.since, self.without, self.page + 1)
        return Place(last, without)


def after(moment: datetime) -> str:
    """The value of an exclusive ``..._after`` that includes a moment.

    Without an offset: with one, WordPress turns it into the site's local time and compares that with UTC. It reads it
    as a local time all the same, and one that the site's clocks skip in spring becomes a later one. They skip between
    midnight and four, on a Friday, Saturday or Sunday: there it is midnight.
    """
    start = moment.astimezone(UTC) - SECOND
    if start.hour < 4 and start.weekday() >= 4:
        start = start.replace(hour=0, minute=0, second=0) - SECOND
    return start.strftime("%Y-%m-%dT%H:%M:%S")


def window(placed_from: datetime, placed_to: datetime) -> dict[str, str]:
    """A window of placing times, its start included, at least as wide as asked: ``inside`` cuts it to size."""
    before = (placed_to.astimezone(UTC) + SECOND).strftime("%Y-%m-%dT%H:%M:%S")
    return {"after": after(placed_from), "before": before, "dates_are_gmt": "true"}


def inside(documents: Sequence[Document], placed_from: datetime, placed_to: datetime) -> list[Any]:
    """The documents that were placed in the window. The shop's times are whole seconds, so both its ends are cut to
    theirs: windows that join still hold every order once.
    """
    start, end = (bound.astimezone(UTC).replace(microsecond=0) for bound in (placed_from, placed_to))
    found = []
    for document in documents:
        placed = time_in(document["date_created_gmt"])
        if placed is not None and start <= placed < end:
            found.append(document)
    return found
