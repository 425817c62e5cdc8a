"""What the formats hand on: a table of text cells, or documents with names of their own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from marketsync.domain.item import RowProblem

Row = tuple[int, Sequence[str]]  # line (CSV) or sheet row (XLSX), and its cells: as many as the header has
Document = tuple[int, Mapping[str, str]]  # record number, and its texts by name


@dataclass(frozen=True, slots=True)
class Table:
    """``rows()`` begins a new pass each time; several passes may go on at once."""

    format: str
    header: tuple[str, ...]
    rows: Callable[[], Iterator[Row | RowProblem]]


@dataclass(frozen=True, slots=True)
class Documents:
    """Records that each name their own fields. ``documents()`` begins a new pass each time."""

    format: str
    documents: Callable[[], Iterator[Document | RowProblem]]


def cell_text(value: object) -> str:
    """A typed value as the text of a cell. Numbers are written so that no reader can mistake their decimals."""
    match value:
        case None:
            text = ""
        case bool():
            text = "true" if value else "false"
        case float() | Decimal():
            text = _number_text(value)
        case date():  # and datetime
            text = value.isoformat()
        case _:
            text = str(value)
    return text


def _number_text(value: float | Decimal) -> str:
    exact = Decimal(repr(value)) if isinstance(value, float) else value
    if not exact.is_finite() or abs(exact.adjusted()) > 40:
        return str(value)
    if exact == exact.to_integral_value():
        return f"{exact:.0f}"
    text = f"{exact:f}"
    return text + "0" if text[-4:-3] == "." else text  # three decimals could be thousands; four cannot
