"""CSV in the dialects of Europe: byte order marks, Windows-1252, semicolons and tabs, line breaks inside quotes."""

import codecs
import csv
import io
from collections import deque
from collections.abc import Iterator, Sequence

from marketsync.domain.item import RowProblem
from marketsync.sources.api import SourceError, SourceSettings
from marketsync.sources.blob import Blob
from marketsync.sources.columns import known_columns
from marketsync.sources.table import Row, Table

_DELIMITERS = (",", ";", "\t", "|")


def read_csv(blob: Blob, settings: SourceSettings) -> Table:
    """The table that the file holds. Raises SourceError where it has no header or is not in the encoding."""
    encoding = settings.encoding or blob.looked.encoding
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise SourceError(f"{encoding!r} is no encoding: write utf-8, cp1252 or latin-1, or leave it out") from None
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        encoding = "utf-8-sig"  # as spreadsheets do it: the mark may be there or not
    text = _Text(blob, encoding)
    header, delimiter, start = _header(text, settings)
    return Table("csv", header, lambda: _Reader(text, delimiter, start, header).rows())


class _Text:
    """The file as lines, in one encoding."""

    def __init__(self, blob: Blob, encoding: str) -> None:
        self.name = blob.name
        self.encoding = encoding
        self._blob = blob
        # Rows with broken bytes are refused one by one where the file is plainly UTF-8.
        self.spoiled = blob.looked.nul and "16" not in encoding
        self._errors = "strict"
        if blob.looked.broken and blob.looked.encoding == encoding:
            self._errors, self.spoiled = "surrogateescape", True

    def lines(self) -> Iterator[str]:
        """Physical lines with their ends, from the start. Raises SourceError for bytes of another encoding."""
        reader = io.TextIOWrapper(self._blob.reader(), self.encoding, self._errors, newline="")
        with reader:
            number = 1
            try:
                for line in reader:
                    yield line
                    number += 1
            except UnicodeError:
                raise SourceError(
                    f"{self.name}: near line {number}: the text is not in {self.encoding}: set `encoding:`, or leave it out"
                ) from None


def _header(text: _Text, settings: SourceSettings) -> tuple[tuple[str, ...], str, int]:
    """The column names, the delimiter, and how many lines stand before the first record."""
    lines = text.lines()
    skipped = 0
    first = next(lines, "")
    stated = ""
    if first.lower().startswith("sep=") and first.rstrip("\r\n")[4:] in _DELIMITERS:  # a note from Excel to itself
        skipped, stated = 1, first[4]
        first = next(lines, "")
    while first and not first.strip():
        skipped += 1
        first = next(lines, "")
    if not first:
        raise SourceError(f"{text.name}: is empty: it needs a line with column names and a line for each SKU")
    if settings.delimiter and settings.delimiter in '"\r\n ':
        raise SourceError(f"delimiter: {settings.delimiter!r} cannot stand between cells: write ; or , or a tab")
    sample = [first, *(line for line, _ in zip(lines, range(200), strict=False))]
    lines.close()  # type: ignore[attr-defined]  # it is a generator
    delimiters = (settings.delimiter or stated,) if settings.delimiter or stated else _DELIMITERS
    best = max(delimiters, key=lambda sign: _fit(sample, sign, settings))
    reader = csv.reader(sample, delimiter=best, strict=True)
    try:
        names = next(reader)
    except (csv.Error, StopIteration):
        raise SourceError(f"{text.name}:{skipped + 1}: a quote in the line of column names is never closed") from None
    while names and not names[-1].strip():  # delimiters at the end of the line
        names.pop()
    return tuple(name.strip() for name in names), best, skipped + reader.line_num


def _fit(sample: Sequence[str], delimiter: str, settings: SourceSettings) -> tuple[int, int, int]:
    """How well a delimiter explains the first lines: columns known by name, rows as wide as the header, columns."""
    width, known, same = 0, 0, 0
    try:
        for number, row in enumerate(csv.reader(sample, delimiter=delimiter, strict=True)):
            if number == 0:
                width, known = len(row), known_columns([name.strip() for name in row], settings)
            else:
                same += len(row) == width
    except csv.Error:  # the sample ends within quotes, or the delimiter is wrong
        pass
    return known, same if width > 1 else 0, width


class _Reader:
    """One pass. A record that spans lines and cannot be right is refused for its first line only: reading goes on at
    the next one, so that a forgotten quote costs one row and not all rows up to the next quote.
    """

    def __init__(self, text: _Text, delimiter: str, start: int, header: Sequence[str]) -> None:
        self._text = text
        self._delimiter = delimiter
        self._line = start  # lines that were dealt with
        self._width = len(header)
        self._lines = text.lines()
        self._again: deque[str] = deque()
        self._record: list[str] = []  # the lines of the record that is being read
        for _ in range(start):
            next(self._lines)

    def rows(self) -> Iterator[Row | RowProblem]:
        """Each record with the line that it begins in, or why it is none."""
        width, record, spoiled = self._width, self._record, self._text.spoiled
        while True:
            try:
                for cells in csv.reader(self._feed(), delimiter=self._delimiter, strict=True):
                    line = self._line + 1
                    if spoiled and (problem := _spoiled(line, record)):
                        yield problem
                    elif len(cells) == width:
                        yield line, cells
                    elif (fitted := self._trimmed(cells)) is not None:
                        yield line, fitted
                    elif any(cells):
                        yield self._misfit(line, len(record))
                        break  # the reader is made anew, over the lines that were given back
                    self._line += len(record)
                    record.clear()
                else:
                    return
            except csv.Error as error:
                yield self._refuse(self._line + 1, f"a quote is not closed, or not doubled inside quotes ({error})")

    def _feed(self) -> Iterator[str]:
        again, record = self._again, self._record
        while again:
            line = again.popleft()
            record.append(line)
            yield line
        for line in self._lines:
            record.append(line)
            yield line

    def _trimmed(self, cells: list[str]) -> list[str] | None:
        """The cells without empty ones beyond the header; None where the row does not fit."""
        if len(cells) < self._width or any(cell.strip() for cell in cells[self._width :]):
            return None
        return cells[: self._width]

    def _misfit(self, line: int, lines: int) -> RowProblem:
        if lines > 1:
            return self._refuse(line, "it does not have the columns of the header: a quote may be missing")
        return self._refuse(line, f"it does not have the {self._width} columns of the header: put text in quotes")

    def _refuse(self, line: int, message: str) -> RowProblem:
        self._again.extendleft(reversed(self._record[1:]))
        self._record.clear()
        self._line += 1
        return RowProblem(row=line, column="", code="bad_row", message=message)


def _spoiled(line: int, record: Sequence[str]) -> RowProblem | None:
    text = "".join(record)
    if "\0" in text:
        return RowProblem(row=line, column="", code="bad_row", message="it contains a NUL character: remove it")
    if any("\udc80" <= letter <= "\udcff" for letter in text):
        return RowProblem(
            row=line, column="", code="bad_row", message="it is not UTF-8 as the other rows are: save it so"
        )
    return None
