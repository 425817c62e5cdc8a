"""A feed of what changed, oldest change first, paged by key so that nothing is missed while things change."""

from bisect import bisect_left
from datetime import datetime


class ChangeFeed:
    """Ids in the order of their last change. A page token is the number of the last change it showed."""

    def __init__(self) -> None:
        self._changes: list[tuple[datetime, str]] = []
        self._newest: dict[str, int] = {}

    def touch(self, id_: str, now: datetime) -> datetime:
        """Note a change. Returns its time, which never lies before that of an earlier change."""
        at = max(now, self._changes[-1][0]) if self._changes else now
        self._newest[id_] = len(self._changes)
        self._changes.append((at, id_))
        return at

    def page(self, since: datetime, token: str | None, size: int) -> tuple[list[str], str | None]:
        """Up to ``size`` ids changed at or after ``since``, from the token on; the next token, None after the last."""
        start = bisect_left(self._changes, since, key=lambda change: change[0])
        if token is not None:
            start = max(start, int(token) + 1)
        ids: list[str] = []
        last = start
        for number in range(start, len(self._changes)):
            id_ = self._changes[number][1]
            if self._newest[id_] != number:
                continue  # it changed again later and stands there
            if len(ids) == size:
                return ids, str(last)
            ids.append(id_)
            last = number
        return ids, None
