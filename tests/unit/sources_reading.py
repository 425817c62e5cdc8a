"""Reads text, bytes or a file as a source would, for the tests of sources."""

import asyncio
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from marketsync.domain.item import OverrideRow, RowProblem, SourceRow
from marketsync.sources.api import Snapshot, SourceSettings
from marketsync.sources.file import FileSource
from marketsync.testing.clock import TurnedClock


def opened(path: Path, **settings: Any) -> Snapshot:
    settings.setdefault("owns", ["content", "price", "stock"])
    source = FileSource("pim", SourceSettings(file=str(path), **settings), path.parent, TurnedClock())
    snapshot = asyncio.run(source.open(None))
    assert snapshot is not None
    return snapshot


def read(path: Path, content: str | bytes | None = None, **settings: Any) -> list[Any]:
    """All records of a file; with ``content``, the file is written first."""
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    snapshot = opened(path, **settings)
    try:
        return list(snapshot.records)
    finally:
        snapshot.close()


def rows(records: list[Any]) -> dict[str, SourceRow]:
    return {record.sku: record for record in records if isinstance(record, SourceRow)}


def overrides(records: list[Any]) -> list[OverrideRow]:
    return [record for record in records if isinstance(record, OverrideRow)]


def problems(records: list[Any]) -> list[tuple[int, str, str, str, bool]]:
    """(row, column, code, sku, usable) of each problem."""
    return [(p.row, p.column, p.code, p.sku, p.usable) for p in records if isinstance(p, RowProblem)]


def write_xlsx(path: Path, table: list[list[Any]], *, sheet: str = "Items", padding: int = 0) -> None:
    """A workbook of one sheet, as small as Excel accepts it; ``padding`` zeros make it unpack large."""
    body = "".join(
        f'<row r="{r}">{"".join(_cell(r, c, value) for c, value in enumerate(row))}</row>'
        for r, row in enumerate(table, 1)
        if row
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    types = "http://schemas.openxmlformats.org/package/2006/content-types"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{types}"><Default Extension="rels" ContentType="application/vnd.'
        'openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{relations}"><Relationship Id="r1" Type="{office}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{relations}"><Relationship Id="r1" '
        f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets><sheet name="{sheet}" sheetId="1" '
        'r:id="r1"/></sheets></workbook>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData></worksheet>',
    }
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
        if padding:
            with archive.open("xl/media/filling.bin", "w", force_zip64=True) as member:
                for _ in range(padding >> 20):
                    member.write(bytes(1 << 20))


def _cell(row: int, column: int, value: Any) -> str:
    place = f"{chr(65 + column)}{row}"
    if value is None:
        return ""
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'
    return f'<c r="{place}"><v>{value}</v></c>'
