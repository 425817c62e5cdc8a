"""What commands print: tables that a person reads, or one JSON document."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer

from marketsync.cli.session import session

if TYPE_CHECKING:
    from rich.console import Console

NONE = "-"


def document(content: Any) -> None:
    """Print one JSON document: times in UTC, money as {"minor", "currency"}."""
    import orjson  # noqa: PLC0415

    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z
    typer.echo(orjson.dumps(content, option=options, default=_plain).decode())


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(type(value).__name__)


def line(text: str = "") -> None:
    typer.echo(printable(text))


def note(text: str) -> None:
    """Something to know beside the result: standard error, and not beside JSON."""
    if not session.json:
        typer.echo(printable(text), err=True)


def table(
    headings: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = (), empty: str = ""
) -> None:
    """Print a table; ``right`` names the columns of numbers. Without rows, ``empty`` is printed instead."""
    cells = [[printable(NONE if cell is None or cell == "" else str(cell)) for cell in row] for row in rows]
    if not cells:
        line(empty or "nothing")
    elif sys.stdout.isatty():
        _rich(headings, cells, right)
    else:
        _aligned(headings, cells, right)


def _aligned(headings: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    """Columns and nothing else: for pipes and files."""
    widths = [max(len(row[n]) for row in (headings, *cells)) for n in range(len(headings))]
    for row in (headings, *cells):
        parts = [
            cell.rjust(width) if heading in right else cell.ljust(width)
            for cell, width, heading in zip(row, widths, headings, strict=True)
        ]
        typer.echo("  ".join(parts).rstrip())


def _rich(headings: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        made.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in cells:
        made.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    console().print(made)


_STYLES = {
    "active": "green", "done": "green", "paused": "yellow", "observing": "cyan", "waiting": "yellow", "failed": "red",
    "blocked": "red", "held": "red", "interrupted": "yellow",
}  # fmt: skip


def console(*, err: bool = False) -> "Console":
    """Rich's console; it knows NO_COLOR and whether this is a terminal."""
    from rich.console import Console  # noqa: PLC0415

    return Console(stderr=err, highlight=False)


def printable(text: str) -> str:
    """Text of a channel or a file, without what would steer the terminal."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign == "\n" else "�" for sign in text)


# ------------------------------------------------------------------ times


def at(moment: datetime | None) -> str:
    """A time in the zone of the configuration, to the minute."""
    return NONE if moment is None else f"{moment.astimezone(session.zone):%Y-%m-%d %H:%M}"


def ago(moment: datetime | None) -> str:
    """How long ago that was, in one unit."""
    return NONE if moment is None else span((session.clock.now() - moment).total_seconds())


def span(seconds: float | None) -> str:
    """A duration in one unit: "42 s", "3 min", "5 h", "12 d"."""
    if seconds is None:
        return NONE
    for unit, length, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 36)):
        if round(abs(seconds) / length) < most:
            return f"{round(seconds / length)} {unit}"
    return f"{round(seconds / 86400)} d"


# ------------------------------------------------------------------ waiting


@contextmanager
def busy(what: str) -> Iterator[Callable[[str], None]]:
    """On a terminal, a sign of life with what is being done; yields a function that changes it."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda _text: None
        return
    with console(err=True).status(printable(what)) as status:
        yield lambda text: status.update(printable(text))


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """On a terminal, a bar over ``total`` steps; yields a function that advances it."""
    if not sys.stderr.isatty():
        yield lambda _steps: None
        return
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=console(err=True), transient=True) as bars:
        bar = bars.add_task(what, total=total)
        yield lambda steps: bars.advance(bar, steps)
