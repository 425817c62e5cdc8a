"""A sink that writes one JSON file per order revision. A file is there whole or not at all."""

import asyncio
import os
import re
from hashlib import sha256
from pathlib import Path

from marketsync.sinks.api import SinkError, SinkOrder

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
LONGEST_ID = 100


class FolderSink:
    """Writes ``<channel>-<order id>-r<revision>.json`` into one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def deliver(self, order: SinkOrder) -> None:
        """Write the file, safe from a power cut. Raises ``SinkError``, retryable: folders come back."""
        await asyncio.to_thread(self._write, order)

    def _write(self, order: SinkOrder) -> None:
        path = self._folder / file_name(order)
        temporary = path.with_name(f".{path.name}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(order.document)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise SinkError(f"{path} cannot be written: {error.strerror or error}", retryable=True) from error


def file_name(order: SinkOrder) -> str:
    """A name that every file system takes, and that no two orders share."""
    safe = _UNSAFE.sub("_", order.order_id)
    if safe != order.order_id or len(safe) > LONGEST_ID:
        safe = f"{safe[:LONGEST_ID]}-{sha256(order.order_id.encode()).hexdigest()[:10]}"
    return f"{order.channel}-{safe}-r{order.revision}.json"
