"""The source interface: what reads a catalogue, stock figures or overrides, and what it hands to the engine.

A source is a class built as ``(name, settings, base, clock)``, found under the entry points ``marketsync.sources``.
``open`` looks at it without blocking the event loop; the records of the snapshot are then iterated synchronously, in a
thread, as far as the consumer wants. A ``SourceError`` while iterating means that nothing of the snapshot may be used.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, cast

from marketsync.adapter.clock import Clock
from marketsync.adapter.errors import MarketsyncError
from marketsync.config.source_settings import SourceSettings
from marketsync.domain.item import OverrideRow, RowProblem, SourceRow

Record = SourceRow | OverrideRow | RowProblem

__all__ = ["Previous", "Record", "Snapshot", "Source", "SourceError", "SourceSettings", "open_source"]


class SourceError(MarketsyncError):
    """The whole source cannot be read: where, what is wrong, what to do."""


@dataclass(frozen=True, slots=True)
class Previous:
    """What was kept of the last snapshot that was used: both as that snapshot gave them."""

    checksum: str
    marks: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """One reading of a source. Times are aware UTC.

    ``exported`` is when the source was written: its column ``exported_at``, else the file's modification time or the
    reply's Last-Modified; never later than ``read``. ``checksum`` (hex) covers the contents and the settings that they
    are read with: two snapshots with the same one hold the same records, only their times differ. ``marks`` tell
    ``open`` later whether anything moved. ``records`` can be iterated once; close the snapshot afterwards.
    """

    exported: datetime
    read: datetime
    checksum: str
    records: Iterator[Record]
    format: str
    header: tuple[str, ...]
    marks: Mapping[str, str]
    close: Callable[[], None]


class Source(Protocol):
    """Reads one configured source."""

    def __init__(self, name: str, settings: SourceSettings, base: Path, clock: Clock) -> None:
        """``base`` is the folder that relative paths start from."""
        ...

    async def open(self, previous: Previous | None) -> Snapshot | None:
        """The present snapshot, or None where nothing moved since ``previous``. Raises SourceError."""
        ...


def open_source(name: str, settings: SourceSettings, base: Path, clock: Clock) -> Source:
    """The source that reads ``settings.kind``. Raises SourceError where no installed package offers it, or two do."""
    found = list(entry_points(group="marketsync.sources", name=settings.kind))
    if len(found) != 1:
        who = ", ".join(sorted(point.dist.name for point in found if point.dist)) or "no installed package"
        raise SourceError(f"source {name}: {who} offers to read {settings.kind!r}; exactly one package must")
    return cast("type[Source]", found[0].load())(name, settings, base, clock)
