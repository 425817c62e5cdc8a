"""JSON lines: one object per line. Nested objects give dotted names, so {"stock": {"berlin": 3}} is stock.berlin."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from marketsync.domain.item import RowProblem
from marketsync.sources.api import SourceError
from marketsync.sources.blob import Blob
from marketsync.sources.cells import LIST_SIGN
from marketsync.sources.table import Document, Documents, cell_text

_LONGEST = 16 << 20  # bytes of a line: what is longer is no item
_DEEPEST = 4


def read_jsonl(blob: Blob) -> Documents:
    """The objects of the file. Raises SourceError for a file that is one JSON document."""
    if blob.looked.start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        raise SourceError(
            f"{blob.name}: is one JSON array: write JSON lines, one object per line and no commas between"
        )
    return Documents("jsonl", lambda: _documents(blob))


def _documents(blob: Blob) -> Iterator[Document | RowProblem]:
    with blob.reader() as reader:
        number = 0
        while line := reader.readline(_LONGEST):
            number += 1
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                if not line.endswith(b"\n"):
                    raise SourceError(f"{blob.name}:{number}: is cut off here ({error}): export it again") from None
                yield _bad(number, f"it is no JSON object on one line ({error})")
                continue
            if not isinstance(value, dict):
                yield _bad(number, "it is no JSON object: write {...} on each line")
                continue
            texts = dict(_flat(value, "", 1))
            if b"\\u0000" in line and any("\0" in text for text in texts.values()):
                yield _bad(number, "it contains a NUL character: remove it")
            else:
                yield number, texts


def _bad(number: int, message: str) -> RowProblem:
    return RowProblem(row=number, column="", code="bad_row", message=message)


def _flat(value: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, str]]:
    """Names and texts; no field is nested deeper than _DEEPEST, and what is deeper is not read."""
    for key, part in value.items():
        if isinstance(part, list):
            simple = [each for each in part if not isinstance(each, dict | list)]
            yield f"{prefix}{key}", LIST_SIGN.join(map(cell_text, simple))
        elif not isinstance(part, dict):
            yield f"{prefix}{key}", cell_text(part)
        elif depth < _DEEPEST:
            yield from _flat(part, f"{prefix}{key}.", depth + 1)
