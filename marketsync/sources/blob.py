"""The bytes of one file: opened once, read by several passes at once, looked through once before it is used."""

import codecs
import io
import os
import re
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import BinaryIO

_CHUNK = 1 << 20
_ESCAPED = re.compile("[\udc80-\udcff]")  # how Python keeps bytes that are no UTF-8
_UNDEFINED_CP1252 = b"\x81\x8d\x8f\x90\x9d"


class _Positioned(io.RawIOBase):
    """One pass over a file that others read too: keeps a position of its own."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = (0, self._at, os.fstat(self._descriptor).st_size)[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io's own stub names a private protocol
        data = os.pread(self._descriptor, len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@dataclass(slots=True)
class Blob:
    """``name`` is what messages call it. ``looked`` is what ``look`` found."""

    name: str
    file: BinaryIO
    looked: "Look" = field(init=False)

    def reader(self) -> io.BufferedReader:
        """A new pass from the start."""
        return io.BufferedReader(_Positioned(self.file.fileno()), _CHUNK >> 2)

    def look(self, checksum: "blake2b") -> None:
        """Read it once from end to end: feeds the checksum and finds the encoding."""
        look = Look()
        with self.reader() as reader:
            while chunk := reader.read(_CHUNK):
                checksum.update(chunk)
                look.feed(chunk)
        look.feed(b"", final=True)
        checksum.update(b"%d" % look.size)
        self.looked = look


class Look:
    """What a first reading tells of bytes: how many, their first ones, the encoding they prove, whether NUL occurs."""

    def __init__(self) -> None:
        self.size = 0
        self.start = b""
        self.nul = False
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        self._wide = 0  # bytes of valid UTF-8 that continue a character
        self._broken = 0  # bytes that are not
        self._undefined = False

    def feed(self, chunk: bytes, *, final: bool = False) -> None:
        if not self.start:
            self.start = chunk[:4096]
        self.size += len(chunk)
        self.nul = self.nul or b"\0" in chunk
        if chunk.isascii() and not self._decoder.getstate()[0]:
            return
        text = self._decoder.decode(chunk, final)
        self._wide += len(chunk) - len(text)
        if not _is_utf8(text):
            self._broken += len(_ESCAPED.findall(text))
        self._undefined = self._undefined or any(byte in chunk for byte in _UNDEFINED_CP1252)

    @property
    def encoding(self) -> str:
        """UTF-8 (also where a few bytes of it are broken: those rows are refused), else Windows-1252 or Latin-1."""
        if self.start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if self._broken == 0 or self._wide > self._broken:
            return "utf-8-sig"
        return "latin-1" if self._undefined else "cp1252"

    @property
    def broken(self) -> bool:
        """Whether UTF-8 text has bytes in it that are none."""
        return self._broken > 0


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
