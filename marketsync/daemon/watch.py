"""Notices that a configuration file changed, by looking at it every few seconds."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from marketsync.adapter.clock import Clock

EVERY: Final = 2.0

_Mark = tuple[int, int, int] | None


async def changes(
    files: Callable[[], Iterable[Path]], clock: Clock, *, every: float = EVERY
) -> AsyncIterator[frozenset[Path]]:
    """Yield the files that changed, appeared or went, once they have been still for ``every`` seconds.

    ``files`` is asked anew each time: a reload may have brought an ``include``. A file that is new in that list counts
    as known, not as changed. Waiting for stillness keeps half-written files out, and makes the moment between an
    editor's delete and rename invisible.
    """
    known = _look(files())
    before = known
    while True:
        await clock.sleep(every)
        now = _look(files())
        known = {path: known.get(path, mark) for path, mark in now.items()}
        changed = frozenset(path for path, mark in now.items() if mark != known[path])
        if changed and all(before.get(path) == now[path] for path in changed):
            known = now
            yield changed
        before = now


def _look(files: Iterable[Path]) -> Mapping[Path, _Mark]:
    return {path: _mark(path) for path in files}


def _mark(path: Path) -> _Mark:
    """Time, size and inode: a file replaced by rename, or a link turned to another file, has a new inode."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
