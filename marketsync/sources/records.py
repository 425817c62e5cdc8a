"""From the bytes of one or more files to the records of one snapshot: which format, which columns, what follows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from marketsync.domain.item import RowProblem, SourceRow
from marketsync.sources.api import Record, SourceError, SourceSettings
from marketsync.sources.blob import Blob
from marketsync.sources.cells import LIST_SIGN, BadCell, read_moment
from marketsync.sources.columns import recognise
from marketsync.sources.csv_format import read_csv
from marketsync.sources.jsonl_format import read_jsonl
from marketsync.sources.rows import ColumnDecimals, OverrideReader, Reading, RowReader, reader_for
from marketsync.sources.shopify_format import is_shopify, shopify_records
from marketsync.sources.table import Documents, Table
from marketsync.sources.woocommerce_format import is_woocommerce, woocommerce_records
from marketsync.sources.xlsx_format import read_xlsx
from marketsync.sources.xml_format import read_xml

_PEEKED = 100  # documents whose names stand for a header
_SHAPES = 256  # sets of names that documents are read under before they are looked up anew
_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Contents:
    """What the files of a snapshot hold. ``told`` is the export time that a column tells, None where none does."""

    format: str
    header: tuple[str, ...]
    told: datetime | None
    records: Iterator[Record]


def read_blobs(blobs: Sequence[Blob], settings: SourceSettings, now: datetime) -> Contents:
    """The contents of files that were looked at, one after the other. Raises SourceError, also while iterating."""
    return read_parts([(blob.name, _recognised(blob, settings)) for blob in blobs], settings, now)


def read_parts(parts: Sequence[tuple[str, Table | Documents]], settings: SourceSettings, now: datetime) -> Contents:
    """The contents of tables or documents, each with the name that messages call it."""
    reading = Reading(settings)
    headers = [part.header if isinstance(part, Table) else _peeked(name, part) for name, part in parts]
    told = []
    iterators: list[tuple[str, Iterator[Record]]] = []
    form = parts[0][1].format
    for (name, part), header in zip(parts, headers, strict=True):
        try:
            special = _special(part, settings)
            if special:
                form = special[0]
                iterators.append((name, special[1](reading)))
            else:
                told += _export_times(part, header, reading, now)
                iterators.append((name, _plain(part, header, reading)))
        except SourceError as error:
            raise SourceError(f"{name}: {error}") from None
    reading.exported = min(told, default=None)
    several = len(parts) > 1
    records = (record for name, each in iterators for record in (_named(name, each) if several else each))
    return Contents(form, headers[0], reading.exported, records)


def _recognised(blob: Blob, settings: SourceSettings) -> Table | Documents:
    match settings.format or _sniffed(blob):
        case "xlsx":
            return read_xlsx(blob, settings)
        case "jsonl":
            return read_jsonl(blob)
        case "xml":
            return read_xml(blob)
        case _:
            return read_csv(blob, settings)


def _sniffed(blob: Blob) -> str:
    start = blob.looked.start
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"PK\x03\x04"):
        return "xlsx"
    for sign, what in (
        (b"\x1f\x8b", "is compressed: unpack it"),
        (b"\xd0\xcf\x11\xe0", "is an old .xls: save it as .xlsx"),
    ):
        if start.startswith(sign):
            raise SourceError(f"{blob.name}: {what}")
    if text[:100].lower().startswith((b"<!doctype html", b"<html")):
        raise SourceError(f"{blob.name}: is a web page and no feed: check the address and the login")
    if not text:
        raise SourceError(f"{blob.name}: is empty")
    return "xml" if text.startswith(b"<") else "jsonl" if text.startswith((b"{", b"[")) else "csv"


def _special(
    part: Table | Documents, settings: SourceSettings
) -> tuple[str, Callable[[Reading], Iterator[Record]]] | None:
    """How the export of a known shop is read; None where it is none, or the user maps its columns by hand."""
    if not isinstance(part, Table) or settings.columns or settings.format or "overrides" in settings.owns:
        return None
    table, decimals = part, _table_decimals(part)
    if is_shopify(table.header):
        return "shopify", lambda reading: shopify_records(table, reading, decimals)
    if is_woocommerce(table.header):
        return "woocommerce", lambda reading: woocommerce_records(table, reading, decimals)
    return None


def _plain(part: Table | Documents, header: tuple[str, ...], reading: Reading) -> Iterator[Record]:
    if isinstance(part, Table):
        return _table_records(part, reader_for(reading, header, _table_decimals(part)), reading)
    reader = _DocumentReader(part, reading)
    reader.under(header, complete=True)  # raises where what the source owns is nowhere told
    return reader.records()


def _table_decimals(table: Table) -> Callable[[int], str]:
    def cells(index: int) -> Iterator[str]:
        return (row[1][index] for row in table.rows() if not isinstance(row, RowProblem))

    return ColumnDecimals(cells)


def _table_records(table: Table, reader: RowReader | OverrideReader, reading: Reading) -> Iterator[Record]:
    problems, read = reading.problems, reader.read
    for row in table.rows():
        if isinstance(row, RowProblem):
            yield row
            continue
        record = read(row[0], row[1])
        if problems:
            yield from problems
            problems.clear()
        if record is not None:
            yield record


class _DocumentReader:
    """Reads documents under their own names; a reader is made once for each set of names."""

    def __init__(self, documents: Documents, reading: Reading) -> None:
        self._documents = documents
        self._reading = reading
        self._readers: dict[tuple[str, ...], RowReader | OverrideReader] = {}
        self._decimals = ColumnDecimals(self._texts)

    def _texts(self, name: str) -> Iterator[str]:
        return (each[1].get(name, "") for each in self._documents.documents() if not isinstance(each, RowProblem))

    def under(self, names: tuple[str, ...], *, complete: bool = False) -> RowReader | OverrideReader:
        return reader_for(self._reading, names, lambda index: self._decimals(names[index]), complete=complete)

    def records(self) -> Iterator[Record]:
        problems = self._reading.problems
        for each in self._documents.documents():
            if isinstance(each, RowProblem):
                yield each
                continue
            number, texts = each
            names = tuple(texts)
            if names not in self._readers:
                if len(self._readers) >= _SHAPES:
                    self._readers.clear()
                self._readers[names] = self.under(names)
            record = self._readers[names].read(number, list(texts.values()))
            if isinstance(record, SourceRow) and any(LIST_SIGN in text for text in texts.values()):
                record = _single(record)
            yield from problems
            problems.clear()
            if record is not None:
                yield record


def _single(record: SourceRow) -> SourceRow:
    """The record with the first of several texts where an item has one, as JSON arrays and repeated elements give."""
    values = {
        name: value.partition(LIST_SIGN)[0] if isinstance(value, str) else value
        for name, value in record.values.items()
    }
    return replace(record, values=values)


def _peeked(name: str, documents: Documents) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for each in islice(documents.documents(), _PEEKED):
        if not isinstance(each, RowProblem):
            names.update(dict.fromkeys(each[1]))
    if not names:
        raise SourceError(f"{name}: holds no items: " + _ITEMS_WANTED[documents.format])
    return tuple(names)


_ITEMS_WANTED = {
    "xml": "a feed has <item> or <entry> elements with the product's data in them",
    "jsonl": "each line is to be one JSON object",
}


def _export_times(part: Table | Documents, header: tuple[str, ...], reading: Reading, now: datetime) -> list[datetime]:
    """The export time that the first record of a file tells, if a column does."""
    column = next((c for c in recognise(header, reading.settings) if c.field == "exported_at"), None)
    if column is None:
        return []
    if isinstance(part, Table):
        cells = (row[1][column.index] for row in part.rows() if not isinstance(row, RowProblem))
    else:
        cells = (each[1].get(column.name, "") for each in part.documents() if not isinstance(each, RowProblem))
    cell = next(cells, "").strip()
    try:
        moment = read_moment(cell, reading.zone)
    except BadCell as bad:
        raise SourceError(f"column {column.name!r} does not tell when the source was exported: {bad.message}") from None
    if moment > now + _CLOCKS_DIFFER:
        ahead = moment - now
        raise SourceError(
            f"column {column.name!r} says {cell}, which is {ahead.total_seconds() / 3600:.1f} hours from now: "
            "set `time_zone:` to that of the file, or check the clock that exported it"
        )
    return [min(moment, now)]


def _named(name: str, records: Iterator[Record]) -> Iterator[Record]:
    for record in records:
        yield replace(record, message=f"{name}: {record.message}") if isinstance(record, RowProblem) else record
