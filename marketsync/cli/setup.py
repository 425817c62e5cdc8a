"""Before anything runs: the first configuration, its check, its schema, the ledger's schema."""

from pathlib import Path
from typing import Annotated

import typer

from marketsync.cli.output import busy, document, line, note
from marketsync.cli.session import session

WRONG = 2


def register(app: typer.Typer) -> None:
    app.command()(init)
    app.command()(check)
    app.command()(schema)
    app.command()(migrate)


def init(folder: Annotated[Path, typer.Argument(help="Where to write them.")] = Path()) -> None:
    """Write a commented marketsync.yaml, its key and its schema. Overwrites nothing."""
    from marketsync.adapter.errors import MarketsyncError  # noqa: PLC0415
    from marketsync.config.begin import begin  # noqa: PLC0415
    from marketsync.daemon.adapters import Installed  # noqa: PLC0415

    try:
        written = begin(folder, Installed())
    except FileExistsError as error:
        there = error.filename or error.args[0]
        raise MarketsyncError(f"{there} is there already, and nothing is overwritten: name another folder") from None
    if session.json:
        document({"written": [str(path) for path in written]})
        return
    for path in written:
        line(f"written: {path}")
    note("next: edit marketsync.yaml, then run `marketsync check` and `marketsync sync`")


def check() -> None:
    """Check the configuration: everything that is wrong at once, each at its line and column."""
    loaded = session.load()
    if session.json:
        names = {"file": str(session.path), "problems": loaded.problems, "warnings": loaded.warnings}
        document(names | {"files": [str(path) for path in loaded.files]})
        raise typer.Exit(WRONG if loaded.problems else 0)
    for warning in loaded.warnings:
        line(f"{warning} (a warning)")
    for problem in loaded.problems:
        line(str(problem))
    if loaded.problems:
        count = len(loaded.problems)
        line(f"{count} problem{'s' if count != 1 else ''}")
        raise typer.Exit(WRONG)
    config = loaded.whole()
    line(
        f"{session.path} is right: {len(config.channels)} channels, {len(config.sources)} sources, {len(config.sinks)} sinks"
    )


def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from marketsync.config.schema import schema_text  # noqa: PLC0415
    from marketsync.daemon.adapters import Installed  # noqa: PLC0415

    typer.echo(schema_text(Installed()), nl=False)


def migrate() -> None:
    """Bring the ledger to the schema of this version. Harmless where nothing is to be done."""
    from marketsync.ledger import migrate as migrations  # noqa: PLC0415
    from marketsync.ledger.lock import DaemonLock  # noqa: PLC0415

    before = migrations.current(session.url)
    ran: list[str] = []
    if before != migrations.head():
        lock = DaemonLock(session.url)
        try:
            with busy("migrating the ledger"):
                ran = migrations.upgrade(session.url)
        finally:
            lock.release()
    if session.json:
        document({"before": before, "ran": ran, "now": migrations.head()})
    elif ran:
        line(f"migrated: {', '.join(ran)}")
    else:
        line(f"nothing to do: the ledger is at revision {before}")
