"""The command tree: what can be said after ``marketsync``."""

from pathlib import Path
from typing import Annotated

import typer

from marketsync.cli import (
    adapters,
    channels,
    commands,
    decide,
    demo,
    explain,
    holds,
    ledger,
    lists,
    login,
    parked,
    plan,
    prices,
    setup,
    status,
    undo,
    work,
)
from marketsync.cli.session import session

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: it starts in a tenth of a second
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
for part in (
    setup,
    work,
    plan,
    status,
    lists,
    explain,
    prices,
    channels,
    login,
    commands,
    decide,
    holds,
    undo,
    parked,
    ledger,
    adapters,
    demo,
):
    part.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415  slow, and rarely asked for

        typer.echo(f"marketsync {version('marketsync')}")
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c",
            help="The configuration. Else $MARKETSYNC_CONFIG, ./marketsync.yaml or /etc/marketsync/marketsync.yaml.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, and where errors come from.")] = False,
    log_format: Annotated[str, typer.Option(help="The log: json, text, or auto (text on a terminal).")] = "auto",
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:  # fmt: skip
    """Keeps listings, prices and stock right on every marketplace, and brings every order home exactly once.

    These options may stand anywhere on the line.
    """
    if log_format not in ("auto", "json", "text"):
        raise typer.BadParameter(f"{log_format} is not one of auto, json, text", param_hint="--log-format")
    session.begin(config=config, json=json, verbose=verbose, log_format=log_format)
