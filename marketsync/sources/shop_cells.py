"""The named cells of a shop's export, read with every problem reported under the column's own name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from marketsync.adapter.money import Money
from marketsync.sources.cells import BadCell, read_code, read_moment, read_money, read_pieces, read_weight
from marketsync.sources.rows import Reading

T = TypeVar("T")


class ShopColumns:
    """Where an export has which column. A column may be known under several names; the first that is there counts."""

    def __init__(self, header: Sequence[str], reading: Reading, decimal: Callable[[int], str]) -> None:
        self.reading = reading
        self.decimal = decimal
        self.header = tuple(header)
        self._index = {name.casefold(): i for i, name in reversed(list(enumerate(header)))}

    def find(self, *names: str) -> int | None:
        return next((self._index[name.casefold()] for name in names if name.casefold() in self._index), None)

    def starting(self, prefix: str) -> int | None:
        """The column whose name begins so, such as "Weight (" for "Weight (lbs)"."""
        return next((i for name, i in self._index.items() if name.startswith(prefix.casefold())), None)


@dataclass(slots=True)
class ShopRow:
    """One row of an export."""

    row: int
    cells: Sequence[str]
    columns: ShopColumns
    sku: str = ""

    def text(self, *names: str) -> str:
        index = self.columns.find(*names)
        return "" if index is None else self.cells[index].strip()

    def money(self, *names: str, sold: bool = False) -> Money | None:
        """The amount, None where there is none or it cannot be read. ``sold``: an amount of 0 is a problem too."""
        settings = self.columns.reading.settings
        amount = self._read(
            self.columns.find(*names), lambda cell, decimal: read_money(cell, settings.currency, decimal)
        )
        if amount and amount.minor == 0:
            if sold:
                self.report(
                    self.columns.find(*names), "bad_price", "it is 0, and nothing is sold for that", usable=True
                )
            return None
        return amount

    def grams(self, *names: str, unit: str) -> int | None:
        return self.grams_at(self.columns.find(*names), unit)

    def grams_at(self, index: int | None, unit: str) -> int | None:
        """The weight; None where it is not told or 0, which is how shops write that nobody weighed it."""
        return self._read(index, lambda cell, decimal: read_weight(cell, decimal, unit)) or None

    def pieces(self, *names: str) -> int | None:
        """Pieces, 0 for a negative count, which is reported; None where there is no figure."""
        index = self.columns.find(*names)
        count = self._read(index, read_pieces)
        if count is not None and count < 0:
            self.report(
                index, "negative_stock", f"{count} is less than nothing: it counts as 0, count again", usable=True
            )
            return 0
        return count

    def moment(self, *names: str, end: bool = False) -> datetime | None:
        zone = self.columns.reading.zone
        return self._read(self.columns.find(*names), lambda cell, _: read_moment(cell, zone, end=end))

    def code(self, *names: str) -> str | None:
        """A GTIN; None where it cannot be read, empty where there is none."""
        return self._read(self.columns.find(*names), lambda cell, _: read_code(cell), empty="")

    def report(self, column: int | None, code: str, message: str, *, usable: bool = False) -> None:
        name = "" if column is None else self.columns.header[column]
        self.columns.reading.report(self.row, name, code, message, sku=self.sku, usable=usable)

    def not_sellable(self, column: str, why: str) -> None:
        self.report(self.columns.find(column), "not_sellable", why)

    def bad(self, *names: str) -> bool:
        """Whether something was reported for this column of this row."""
        index = self.columns.find(*names)
        name = None if index is None else self.columns.header[index]
        return any(problem.row == self.row and problem.column == name for problem in self.columns.reading.problems)

    def _read(self, index: int | None, read: Callable[[str, str], T], *, empty: T | None = None) -> T | None:
        if index is None:
            return None
        cell = self.cells[index].strip()
        if not cell:
            return empty
        try:
            try:
                return read(cell, self.columns.reading.settings.decimal or "")
            except BadCell as bad:
                if not bad.ambiguous or not (decimal := self.columns.decimal(index)):
                    raise
                return read(cell, decimal)
        except BadCell as bad:
            self.report(index, bad.code, bad.message, usable=True)
            return None
