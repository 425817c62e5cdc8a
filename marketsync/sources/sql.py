"""Queries: the rows are streamed into a temporary file first, so that no transaction stays open while they are used."""

import asyncio
import csv
import io
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from marketsync.adapter.clock import Clock
from marketsync.domain.item import RowProblem
from marketsync.sources.api import Previous, Snapshot, SourceError, SourceSettings
from marketsync.sources.blob import Blob
from marketsync.sources.csv_format import read_csv
from marketsync.sources.fingerprint import checksum_of, fingerprint
from marketsync.sources.records import read_parts
from marketsync.sources.table import Row, Table, cell_text

_CHUNK = 1000  # rows


class SqlSource:
    """Reads ``settings.sql``. There is always a snapshot: its checksum says whether any row differs."""

    def __init__(self, name: str, settings: SourceSettings, base: Path, clock: Clock) -> None:
        """``base`` is not used."""
        assert settings.sql is not None
        self._name = name
        self._settings = settings
        self._sql = settings.sql
        self._clock = clock
        self._base = base

    async def open(self, previous: Previous | None) -> Snapshot | None:  # noqa: ARG002 - a database tells no marks
        """See ``marketsync.sources.api``. Raises SourceError."""
        return await asyncio.to_thread(self._open)

    def _open(self) -> Snapshot:
        read = self._clock.now()
        settings_mark = fingerprint(self._settings)
        checksum = checksum_of(settings_mark)
        with ExitStack() as opened:
            file = cast("BinaryIO", opened.enter_context(tempfile.TemporaryFile()))
            self._spool(file)
            blob = Blob(self._name, file)
            blob.look(checksum)
            # The spool is ours: what the user says of files does not apply to it.
            plain = self._settings.model_copy(update={"encoding": "utf-8", "delimiter": ","})
            table = _numbered(read_csv(blob, plain))
            contents = read_parts([(self._name, table)], self._settings, read)
            return Snapshot(
                exported=contents.told or read,
                read=read,
                checksum=checksum.hexdigest(),
                records=contents.records,
                format=contents.format,
                header=contents.header,
                marks={"settings": settings_mark},
                close=opened.pop_all().close,
            )

    def _spool(self, file: BinaryIO) -> None:
        """Run the query and write its rows as CSV. Numbers are written so that their decimals cannot be mistaken."""
        engine = self._engine()
        try:
            with engine.connect().execution_options(stream_results=True, yield_per=_CHUNK) as connection:
                # Colons are the query's own (casts, times of day), not parameters.
                result = connection.execute(text(self._sql.query.replace(":", r"\:")))
                out = io.TextIOWrapper(file, "utf-8", "surrogatepass", newline="")
                writer = csv.writer(out, lineterminator="\n")
                writer.writerow(result.keys())
                for rows in result.partitions():
                    writer.writerows([self._text(cell) for cell in row] for row in rows)
                out.flush()
                out.detach()
                connection.rollback()
        except SQLAlchemyError as error:
            raise SourceError(f"source {self._name}: the query fails: {self._said(error)}") from None
        finally:
            engine.dispose()

    def _engine(self) -> Engine:
        try:
            return create_engine(self._sql.url.get_secret_value(), poolclass=NullPool)
        except (SQLAlchemyError, ImportError) as error:
            why = "its driver is not installed" if isinstance(error, ImportError) else "it is no SQLAlchemy URL"
            raise SourceError(
                f"source {self._name}: the database address cannot be used: {why}; "
                "write it such as postgresql+psycopg://user@host/database"
            ) from None

    def _text(self, value: object) -> str:
        if isinstance(value, bytes | memoryview):
            try:
                return bytes(value).decode()
            except UnicodeDecodeError:
                raise SourceError(f"source {self._name}: a column holds bytes: cast it to text in the query") from None
        return cell_text(value)

    def _said(self, error: SQLAlchemyError) -> str:
        """The database's own first line, without the password that some drivers repeat."""
        said = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
        password = make_url(self._sql.url.get_secret_value()).password
        return said.replace(str(password), "***") if password else said


def _numbered(table: Table) -> Table:
    """The table with record numbers in place of the spool's lines."""

    def rows() -> Iterator[Row | RowProblem]:
        for number, row in enumerate(table.rows(), 1):
            yield replace(row, row=number) if isinstance(row, RowProblem) else (number, row[1])

    return Table("sql", table.header, rows)
