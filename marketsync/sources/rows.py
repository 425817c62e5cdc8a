"""From cells to records: the columns of a header are looked up once, every row then only reads its cells."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from marketsync.domain.item import OverrideRow, RowProblem, SourceRow
from marketsync.sources.api import SourceError, SourceSettings
from marketsync.sources.cells import BadCell, is_currency, read_moment, shown
from marketsync.sources.columns import Column, recognise
from marketsync.sources.fields import SALE, SPEAKING, TEXTS, Put, putter
from marketsync.sources.numbers import decimal_sign
from marketsync.sources.seen import Seen, Sighting


@dataclass(slots=True)
class Reading:
    """What all files and passes of one snapshot share."""

    settings: SourceSettings
    exported: datetime | None = None  # what the snapshot says of itself; a row may not be older
    seen: Seen = field(default_factory=Seen)
    problems: list[RowProblem] = field(default_factory=list)  # of the record that was read last

    @property
    def zone(self) -> ZoneInfo:
        return self.settings.time_zone or ZoneInfo("UTC")

    def report(self, row: int, column: str, code: str, message: str, *, sku: str = "", usable: bool = False) -> None:
        self.problems.append(RowProblem(row=row, column=column, code=code, message=message, sku=sku, usable=usable))

    def new_sku(self, row: int, column: str, sku: str) -> bool:
        """Whether the record can be used under this SKU; what is wrong with it is reported."""
        if not sku:
            self.report(row, column, "no_sku", "it has no SKU: give it one, it cannot be offered without")
            return False
        if (sighting := self.seen.add(sku)) is Sighting.NEW:
            return True
        if sighting is Sighting.TWIN:
            self.report(
                row, column, "case_twin", f"{shown(sku)} differs only in case from an earlier SKU: rename one", sku=sku
            )
        else:
            self.report(row, column, "duplicate_sku", f"{shown(sku)} stands in an earlier row: remove one", sku=sku)
        return False


class RowReader:
    """Reads the rows under one header. ``decimal`` gives the decimal sign that a column (by index) proves, or ""."""

    def __init__(
        self, reading: Reading, header: Sequence[str], decimal: Callable[[int], str], *, complete: bool = True
    ) -> None:
        """``complete``: raise SourceError where the header lacks what the source is to own."""
        settings = reading.settings
        columns = recognise(header, settings)
        by_field = {column.field: column for column in columns}
        if complete:
            _require(by_field, header, settings)
        self._reading = reading
        self._decimal = decimal
        self._sku = by_field.get("sku")
        self._currency = by_field.get("currency")
        self._exported = by_field.get("exported_at")
        fields = settings.owned_fields()
        self._texts = [(c.index, c.field) for c in columns if c.field in TEXTS & fields]
        self._puts: list[tuple[int, str, str, bool, Put]] = [
            (column.index, column.name, column.field, column.field.split(".")[0] in SPEAKING, put)
            # Availability only speaks where no column has told a number of pieces.
            for column in sorted(columns, key=lambda column: column.field == "availability")
            if (put := putter(column, settings)) is not None
        ]
        self._fixed = {
            name: value
            for name, value in (("gross", settings.prices == "gross"), ("cost_gross", settings.costs == "gross"))
            if name in fields
        }
        self._sale = not SALE.isdisjoint(by_field) and "sale_price" in fields

    def read(self, row: int, cells: Sequence[str]) -> SourceRow | None:
        """The record of this row, None where it cannot be used; problems are appended to the reading's."""
        reading = self._reading
        sku = cells[self._sku.index].strip() if self._sku else ""
        if not sku and not any(map(str.strip, cells)):
            return None  # the empty rows at the end of many exports
        if not reading.new_sku(row, self._sku.name if self._sku else "", sku):
            return None
        record: dict[str, Any] = {**self._fixed, "stock": {}}
        for index, field_ in self._texts:
            record[field_] = cells[index].strip()
        sale_is_bad = self._read_cells(row, sku, cells, record)
        if self._sale:
            self._check_sale(row, sku, record, bad=sale_is_bad)
        if self._exported:
            self._check_age(row, sku, record, cells)
        stock: Mapping[str, int] = record.pop("stock")
        _settle(record)
        return SourceRow(sku=sku, row=row, values=record, stock=stock)

    def _read_cells(self, row: int, sku: str, cells: Sequence[str], record: dict[str, Any]) -> bool:
        """Read what is more than text; whether something of a sale could not be read."""
        sale_is_bad = False
        currency = self._row_currency(row, sku, cells)
        for index, name, field_, speaking, put in self._puts:
            cell = cells[index].strip()
            if not cell and not speaking:
                continue
            try:
                try:
                    put(record, cell, currency, "")
                except BadCell as bad:
                    if not bad.ambiguous or not (decimal := self._decimal(index)):
                        raise
                    put(record, cell, currency, decimal)
            except BadCell as bad:
                self._reading.report(row, name, bad.code, bad.message, sku=sku, usable=True)
                sale_is_bad = sale_is_bad or field_ in SALE
        return sale_is_bad

    def _row_currency(self, row: int, sku: str, cells: Sequence[str]) -> str:
        """The currency of the row's amounts; empty where it names one that does not exist."""
        settings = self._reading.settings
        if not self._currency or not (code := cells[self._currency.index].strip()):
            return settings.currency
        if is_currency(code.upper()):
            return code.upper()
        message = f"{shown(code)} is no currency: write its ISO code, such as EUR"
        self._reading.report(row, self._currency.name, "bad_price", message, sku=sku, usable=True)
        return ""

    def _check_sale(self, row: int, sku: str, record: dict[str, Any], *, bad: bool) -> None:
        """A sale of which a part cannot be read is no sale: half of it would begin too early or never end."""
        starts, ends = record.get("sale_starts"), record.get("sale_ends")
        if starts and ends and ends < starts:
            self._reading.report(row, "", "bad_date", "the sale ends before it starts", sku=sku, usable=True)
            bad = True
        if bad:
            for name in ("sale_price", "sale_starts", "sale_ends"):
                record.pop(name, None)

    def _check_age(self, row: int, sku: str, record: dict[str, Any], cells: Sequence[str]) -> None:
        """A figure that is older than its snapshot says would release what was sold since."""
        assert self._exported
        reading = self._reading
        cell = cells[self._exported.index].strip()
        try:
            stale = reading.exported is not None and read_moment(cell, reading.zone) < reading.exported
        except BadCell as bad:
            stale = True
            reading.report(row, self._exported.name, bad.code, bad.message, sku=sku, usable=True)
        else:
            if stale:
                message = (
                    f"{shown(cell)} is older than the first row: write the time of the export, the same in all rows"
                )
                reading.report(row, self._exported.name, "bad_date", message, sku=sku, usable=True)
        if stale:
            record["stock"] = {}


def _settle(record: dict[str, Any]) -> None:
    """What two columns say together: colour and size tell variants apart, or describe a single item."""
    if properties := record.pop("property", None):
        name = "options" if record.get("parent") else "attributes"
        record[name] = {**properties, **record.get(name, {})}


class OverrideReader:
    """Reads rows of overrides: channel, sku, field, value, reason, until."""

    def __init__(self, reading: Reading, header: Sequence[str], *, complete: bool = True) -> None:
        self._reading = reading
        self._columns = {column.field: column for column in recognise(header, reading.settings)}
        if complete:
            for needed in ("sku", "field", "value"):
                if needed not in self._columns:
                    raise _missing(needed, header)

    def read(self, row: int, cells: Sequence[str]) -> OverrideRow | None:
        """The override of this row, None where it cannot be used; problems are appended to the reading's."""
        told = {name: cells[column.index].strip() for name, column in self._columns.items()}
        if not any(told.values()):
            return None
        report, sku = self._reading.report, told.get("sku", "")
        if not sku:
            report(row, self._name("sku"), "no_sku", "it has no SKU: say which item it is for")
            return None
        if not told.get("field"):
            report(
                row, self._name("field"), "bad_row", "it names no field: say which one it fixes, such as price", sku=sku
            )
            return None
        channel = told.get("channel") or "*"
        if self._reading.seen.add("\0".join((channel, sku, told["field"]))) is Sighting.AGAIN:
            message = f"{told['field']} of {shown(sku)} on {channel} is fixed in an earlier row: remove one"
            report(row, self._name("sku"), "duplicate_sku", message, sku=sku)
            return None
        until = None
        if told.get("until"):
            try:
                until = read_moment(told["until"], self._reading.zone, end=True)
            except BadCell as bad:  # without its end it would hold for ever
                report(row, self._name("until"), bad.code, bad.message, sku=sku)
                return None
        return OverrideRow(
            channel=channel, sku=sku, field=told["field"], value=told.get("value", ""), row=row,
            reason=told.get("reason", ""), until=until,
        )  # fmt: skip

    def _name(self, field_: str) -> str:
        return self._columns[field_].name if field_ in self._columns else ""


def reader_for(
    reading: Reading, header: Sequence[str], decimal: Callable[[int], str], *, complete: bool = True
) -> RowReader | OverrideReader:
    """The reader for what the source owns; arguments and errors as of ``RowReader``."""
    if "overrides" in reading.settings.owns:
        return OverrideReader(reading, header, complete=complete)
    return RowReader(reading, header, decimal, complete=complete)


K = TypeVar("K")


class ColumnDecimals(Generic[K]):
    """The decimal sign of each column, from one more pass that is made only when a cell needs it."""

    def __init__(self, cells: Callable[[K], Iterable[str]]) -> None:
        """``cells(column)`` begins a pass over a column's cells."""
        self._cells = cells
        self._known: dict[K, str] = {}

    def __call__(self, column: K) -> str:
        """The sign, comma or point, that the column shows where it never shows the other; else empty."""
        if column not in self._known:
            signs = {sign for cell in self._cells(column) if (sign := decimal_sign(cell.strip()))}
            self._known[column] = signs.pop() if len(signs) == 1 else ""
        return self._known[column]


def _require(columns: Mapping[str, Column], header: Sequence[str], settings: SourceSettings) -> None:
    """A source that silently tells nothing of what it owns would look like an empty one."""
    bases = {name.split(".")[0] for name in columns}
    if "sku" not in columns:
        raise _missing("sku", header)
    for group, field_ in (("price", "price"), ("cost", "cost"), ("stock", "stock")):
        if group in settings.owns and field_ not in bases and not (group == "stock" and "availability" in bases):
            raise _missing(field_, header)


def _missing(field_: str, header: Sequence[str]) -> SourceError:
    there = ", ".join(header)
    return SourceError(
        f"no column is the {field_}: name it under `columns: {{{field_}: ...}}`; the columns are {there[:400]}"
    )
