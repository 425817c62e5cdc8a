"""Files from the web: downloaded to a temporary file, and only if the server says that they changed."""

import asyncio
import base64
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO, cast

from marketsync.adapter.clock import Clock
from marketsync.adapter.errors import AdapterError
from marketsync.sources.api import Previous, Snapshot, SourceError, SourceSettings
from marketsync.sources.blob import Blob
from marketsync.sources.fingerprint import checksum_of, fingerprint
from marketsync.sources.records import read_blobs
from marketsync.transport.fetch import FetchReply, fetch
from marketsync.transport.wire import Transport

_WHOLE_TIME = 600.0  # seconds: 1 GiB at 15 Mbit/s


class HttpSource:
    """Reads ``settings.http``."""

    def __init__(
        self, name: str, settings: SourceSettings, base: Path, clock: Clock, *, transport: Transport | None = None
    ) -> None:
        """``transport`` replaces the network in tests. ``base`` is not used."""
        assert settings.http is not None
        self._name = name
        self._settings = settings
        self._http = settings.http
        self._clock = clock
        self._transport = transport
        self._base = base

    async def open(self, previous: Previous | None) -> Snapshot | None:
        """See ``marketsync.sources.api``. Raises SourceError."""
        read = self._clock.now()
        settings_mark = fingerprint(self._settings)
        kept = previous.marks if previous and previous.marks.get("settings") == settings_mark else {}
        with ExitStack() as opened:
            file = cast("BinaryIO", opened.enter_context(tempfile.TemporaryFile()))
            try:
                reply = await fetch(
                    self._http.url,
                    file,
                    etag=kept.get("etag", ""),
                    last_modified=kept.get("last_modified", ""),
                    headers=self._headers(),
                    max_bytes=self._http.max_size << 20,
                    timeout=_WHOLE_TIME,
                    transport=self._transport,
                )
            except AdapterError as error:
                raise SourceError(error.message) from None
            if reply.status == 304:
                return None
            file.flush()
            snapshot = await asyncio.to_thread(self._parse, file, reply, read, settings_mark)
            snapshot.close = opened.pop_all().close
            return snapshot

    def _headers(self) -> dict[str, str]:
        headers = {name: value.get_secret_value() for name, value in self._http.headers.items()}
        if self._http.user is not None:
            password = self._http.password.get_secret_value() if self._http.password else ""
            login = base64.b64encode(f"{self._http.user}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {login}"
        return headers

    def _parse(self, file: BinaryIO, reply: FetchReply, read: datetime, settings_mark: str) -> Snapshot:
        checksum = checksum_of(settings_mark)
        blob = Blob(self._name, file)
        blob.look(checksum)
        contents = read_blobs([blob], self._settings, read)
        return Snapshot(
            exported=contents.told or min(_modified(reply) or read, read),
            read=read,
            checksum=checksum.hexdigest(),
            records=contents.records,
            format=contents.format,
            header=contents.header,
            marks={"settings": settings_mark, "etag": reply.etag, "last_modified": reply.last_modified},
            close=file.close,
        )


def _modified(reply: FetchReply) -> datetime | None:
    try:
        return parsedate_to_datetime(reply.last_modified).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
