"""Workbooks (.xlsx), through calamine. Cells keep their types, so a decimal is never mistaken for thousands.

A sheet is held in memory while it is read, about 2.3 times what it unpacks to: LARGEST bounds that.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from datetime import time as clock_time
from zipfile import BadZipFile, ZipFile

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, WorksheetNotFound

from marketsync.domain.item import RowProblem
from marketsync.sources.api import SourceError, SourceSettings
from marketsync.sources.blob import Blob
from marketsync.sources.table import Row, Table, cell_text

LARGEST = 512 << 20  # bytes, unpacked: what is larger is a trap, or better kept as CSV


def read_xlsx(blob: Blob, settings: SourceSettings) -> Table:
    """The table of the sheet (default: the first). Raises SourceError where the workbook cannot be read."""
    _refuse_bomb(blob)
    try:
        workbook = CalamineWorkbook.from_filelike(blob.reader())
        sheet = (
            workbook.get_sheet_by_name(settings.sheet) if settings.sheet is not None else workbook.get_sheet_by_index(0)
        )
    except WorksheetNotFound:
        there = ", ".join(workbook.sheet_names)
        raise SourceError(f"{blob.name}: has no sheet {settings.sheet!r}; its sheets are {there}") from None
    except (CalamineError, ValueError, OSError) as error:
        raise SourceError(f"{blob.name}: is no workbook that can be read ({error}): save it again as .xlsx") from None
    found = next(((number, row) for number, row in enumerate(sheet.iter_rows(), 1) if any(map(_text, row))), None)
    if found is None:
        raise SourceError(f"{blob.name}: sheet {sheet.name!r} is empty: it needs column names and a row for each SKU")
    number, row = found
    header = tuple(_text(cell).strip() for cell in row)
    return Table("xlsx", header, lambda: _rows(sheet, number, len(header)))


def _refuse_bomb(blob: Blob) -> None:
    try:
        with ZipFile(blob.reader()) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (BadZipFile, ValueError, OSError):
        raise SourceError(f"{blob.name}: is no .xlsx file, or is cut off: export it again") from None
    if size > LARGEST:
        raise SourceError(f"{blob.name}: unpacks to {size >> 20} MiB, more than {LARGEST >> 20}: split it, or use CSV")


def _rows(sheet: CalamineSheet, header_row: int, width: int) -> Iterator[Row | RowProblem]:
    for number, row in enumerate(sheet.iter_rows(), 1):
        if number <= header_row:
            continue
        cells = [_text(cell) for cell in row[:width]]
        if not any(cells):
            continue
        if "\0" in "".join(cells):
            yield RowProblem(row=number, column="", code="bad_row", message="it contains a NUL character: remove it")
        else:
            yield number, cells


def _text(cell: object) -> str:
    if isinstance(cell, datetime) and cell.time() == clock_time(0):
        return cell.date().isoformat()  # a bare date is a whole day, not its midnight
    if isinstance(cell, clock_time | timedelta):
        return str(cell)
    return cell_text(cell)
