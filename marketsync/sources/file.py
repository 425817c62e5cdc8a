"""Files: a path, or a pattern whose files together, in the order of their names, are one snapshot."""

import asyncio
import glob
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from marketsync.adapter.clock import Clock
from marketsync.sources.api import Previous, Record, Snapshot, SourceError, SourceSettings
from marketsync.sources.blob import Blob
from marketsync.sources.fingerprint import checksum_of, fingerprint
from marketsync.sources.records import read_blobs


class FileSource:
    """Reads ``settings.file``. Nothing is read while names, sizes and times of modification stay as they were."""

    def __init__(self, name: str, settings: SourceSettings, base: Path, clock: Clock) -> None:
        self._name = name
        self._settings = settings
        self._base = base
        self._clock = clock

    async def open(self, previous: Previous | None) -> Snapshot | None:
        """See ``marketsync.sources.api``. Raises SourceError."""
        return await asyncio.to_thread(self._open, previous)

    def _open(self, previous: Previous | None) -> Snapshot | None:
        read = self._clock.now()
        with ExitStack() as opened:
            files = [(path, opened.enter_context(_regular(path))) for path in self._paths()]
            settings_mark = fingerprint(self._settings)
            marks = {"settings": settings_mark, "files": _marks(files)}
            if previous and previous.marks == marks:
                return None
            checksum = checksum_of(settings_mark)
            blobs = [Blob(path.name, file) for path, file in files]
            for blob in blobs:
                blob.look(checksum)
            _require_unmoved(files, marks["files"])
            contents = read_blobs(blobs, self._settings, read)
            written = min(datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC) for _, file in files)
            return Snapshot(
                exported=contents.told or min(written, read),
                read=read,
                checksum=checksum.hexdigest(),
                records=_unmoved(contents.records, files, marks["files"]),
                format=contents.format,
                header=contents.header,
                marks=marks,
                close=opened.pop_all().close,
            )

    def _paths(self) -> list[Path]:
        pattern = str(self._base / Path(self._settings.file or "").expanduser())
        found = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute
        if not found:
            raise SourceError(f"{pattern}: there is no such file: check the path, or that the export has run")
        return [Path(path) for path in found]


def _regular(path: Path) -> BinaryIO:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            raise SourceError(f"{path}: is no file: name a file, or a pattern such as {path}/*.csv")
        return path.open("rb")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}): check that marketsync may read it") from None


def _marks(files: list[tuple[Path, BinaryIO]]) -> str:
    """One mark for names, sizes and times of modification, of the files as they were opened."""
    told = [(str(path), (was := os.fstat(file.fileno())).st_size, was.st_mtime_ns) for path, file in files]
    return blake2b(repr(told).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _unmoved(records: Iterator[Record], files: list[tuple[Path, BinaryIO]], marks: str) -> Iterator[Record]:
    yield from records
    _require_unmoved(files, marks)


def _require_unmoved(files: list[tuple[Path, BinaryIO]], marks: str) -> None:
    if _marks(files) != marks:
        names = ", ".join(str(path) for path, _ in files)
        raise SourceError(f"{names}: is being written: export to another name and rename it when it is complete")
