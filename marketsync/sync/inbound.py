"""What the seller's side reports: shipments, cancellations, returns; over HTTP, from a watched folder, by hand.

A watched folder takes JSON as the HTTP endpoint does, and CSV with one row per line. The beginning of a file's name
says what it holds: ``shipments*``, ``cancellations*``, ``returns*``. A file is moved to ``done`` or, with a text that
says why, to ``failed``; repeating it is harmless.
"""

import asyncio
import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
from sqlalchemy import Connection

from marketsync.adapter.errors import MarketsyncError
from marketsync.ledger.gateway import Rank
from marketsync.ledger.shipments import Accepted, Report, accept
from marketsync.sync.live import House, LiveAccount
from marketsync.sync.order_context import count, order_context

KINDS: Final = ("shipments", "cancellations", "returns")
SETTLED = 2.0  # seconds: a younger file may still be written
LARGEST = 10 * 1024 * 1024


class Document(Report, Protocol):
    """A report that can be kept as JSON."""

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


ReadDocuments = Callable[[str, bytes], Sequence[Document]]  # (kind, JSON); raises MarketsyncError with every problem


@dataclass(slots=True)
class Taken:
    """What became of the files of a folder: by result, how many documents. ``accounts``: which have commands now."""

    files: int = 0
    failed: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    accounts: set[str] = field(default_factory=set)
    channels: set[str] = field(default_factory=set)

    @property
    def totals(self) -> dict[str, int]:
        parts = {"files": self.files, "failed": self.failed, **self.counts}
        return {name: value for name, value in parts.items() if value}


async def take(house: House, kind: str, document: Document) -> Accepted:
    """Take one document of ``kind`` (see KINDS), once per order and key. Raises LedgerError."""
    channel = house.channels.get(document.channel)
    if channel is None:
        known = ", ".join(sorted(house.channels)) or "none"
        return Accepted("refused", f"there is no channel {document.channel}: there are {known}")
    accepted = await house.ledger.write(
        partial(_accept, house=house, account=channel.account, kind=kind, document=document), Rank.ORDERS
    )
    if accepted.stored is not None:
        count(house, accepted.stored)
    return accepted


def _accept(conn: Connection, house: House, account: LiveAccount, kind: str, document: Document) -> Accepted:
    ctx = order_context(conn, house, account)
    return accept(conn, account.id, kind, document, ctx, content=document.model_dump(mode="json"))


# ------------------------------------------------------------------ the watched folder


async def take_folder(house: House, folder: Path, read: ReadDocuments) -> Taken:
    """Take every file of a folder, oldest first. Raises LedgerError: then the file stays where it is."""
    taken = Taken()
    for path in await asyncio.to_thread(_waiting, folder, house.clock.now().timestamp()):
        taken.files += 1
        try:
            kind, documents = await asyncio.to_thread(_read, path, read)
        except (MarketsyncError, OSError) as problem:
            taken.failed += 1
            await asyncio.to_thread(_move, path, folder / "failed", str(problem))
            continue
        refused = [
            message for message in [await _each(house, kind, document, taken) for document in documents] if message
        ]
        taken.failed += bool(refused)
        await asyncio.to_thread(_move, path, folder / ("failed" if refused else "done"), "\n".join(refused))
    return taken


async def _each(house: House, kind: str, document: Document, taken: Taken) -> str:
    """Take one document of a file; returns why it was refused, or ""."""
    accepted = await take(house, kind, document)
    taken.counts[accepted.result] = taken.counts.get(accepted.result, 0) + 1
    if accepted.stored is not None:
        taken.channels |= accepted.stored.push
        if accepted.stored.commands:
            taken.accounts.add(house.channels[document.channel].account.name)
    return f"order {document.order}, key {document.key}: {accepted.message}" if accepted.result == "refused" else ""


def _waiting(folder: Path, now: float) -> list[Path]:
    if not folder.is_dir():
        return []
    files = [
        (stat.st_mtime, path)
        for path in folder.iterdir()
        if path.suffix.lower() in {".json", ".csv"} and not path.name.startswith(".") and path.is_file()
        if now - (stat := path.stat()).st_mtime >= SETTLED
    ]
    return [path for _, path in sorted(files)]


def _read(path: Path, read: ReadDocuments) -> tuple[str, Sequence[Document]]:
    kind = next((kind for kind in KINDS if path.name.lower().startswith(kind)), None)
    if kind is None:
        raise MarketsyncError(f"{path.name}: the name says nothing of what it holds, begin it with {', '.join(KINDS)}")
    if path.stat().st_size > LARGEST:
        raise MarketsyncError(f"{path.name}: is larger than {LARGEST} bytes, send it in parts")
    body = path.read_bytes()
    try:
        return kind, read(kind, _from_csv(path.name, body) if path.suffix.lower() == ".csv" else body)
    except MarketsyncError as problem:
        raise MarketsyncError("\n".join(f"{path.name}: {line}" for line in str(problem).splitlines())) from None


def _move(path: Path, folder: Path, reason: str) -> None:
    """Move a file that was dealt with; one of the same name that is there already is not overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    target, number = folder / path.name, 1
    while target.exists():
        number += 1
        target = folder / f"{path.stem}-{number}{path.suffix}"
    if reason:
        target.with_name(target.name + ".txt").write_text(reason + "\n", encoding="utf-8")
    path.replace(target)


# ------------------------------------------------------------------ CSV

_LINE_FIELDS: Final = frozenset({"line", "sku", "quantity", "sellable", "refund_amount", "refund_currency"})


def _from_csv(name: str, body: bytes) -> bytes:
    """The JSON of a CSV file: rows of one channel, order and key are one document. Raises MarketsyncError."""
    try:
        content = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MarketsyncError(f"{name}: is no text in UTF-8, save it in that encoding") from None
    head = content.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    documents: dict[tuple[str, str, str], dict[str, Any]] = {}
    try:
        for number, row in _rows(content, delimiter):
            fields = {key: value for key, value in row.items() if value}
            key = (fields.get("channel", ""), fields.get("order", ""), fields.get("key", ""))
            document = documents.setdefault(key, {k: v for k, v in fields.items() if k not in _LINE_FIELDS})
            if _LINE_FIELDS & fields.keys():
                document.setdefault("lines", []).append(_csv_line(number, fields))
    except csv.Error as error:
        raise MarketsyncError(f"{name}: is no CSV: {error}") from None
    return orjson.dumps(list(documents.values()))


def _rows(content: str, delimiter: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    names = [name.strip().lower() for name in next(reader, [])]
    for row in reader:
        if len(row) > len(names):
            raise MarketsyncError(f"line {reader.line_num}: has {len(row)} cells, the first line names {len(names)}")
        if any(cell.strip() for cell in row):
            yield reader.line_num, dict(zip(names, (cell.strip() for cell in row), strict=False))


def _csv_line(number: int, fields: Mapping[str, str]) -> dict[str, Any]:
    line: dict[str, Any] = {name: fields[name] for name in ("line", "sku") if name in fields}
    quantity = fields.get("quantity", "1")
    if not quantity.isascii() or not quantity.isdigit():
        raise MarketsyncError(
            f"line {number}, column quantity: {quantity!r} is no number of pieces, write a whole number"
        )
    line["quantity"] = int(quantity)
    if "sellable" in fields:
        if fields["sellable"].lower() not in {"yes", "no", "true", "false"}:
            raise MarketsyncError(f"line {number}, column sellable: {fields['sellable']!r}, write yes or no")
        line["sellable"] = fields["sellable"].lower() in {"yes", "true"}
    if "refund_amount" in fields:
        line["refund"] = {"amount": fields["refund_amount"], "currency": fields.get("refund_currency", "")}
    return line
