"""Runs one command and turns whatever happens into an exit code and one clear message.

0 is fine, 1 something failed, 2 wrong usage or configuration, 3 changes are pending (`plan`), 130 Ctrl-C.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import typer

from marketsync.adapter.errors import ConfigError, MarketsyncError
from marketsync.cli.app import app
from marketsync.cli.output import printable

# Typer brings a click of its own; this is its error of usage, whichever click that is.
UsageError: Any = typer.BadParameter.__base__

FAILED, WRONG, INTERRUPTED = 1, 2, 130
_ANYWHERE = {"--json": 0, "--verbose": 0, "-v": 0, "--config": 1, "-c": 1, "--log-format": 1}  # with so many values


def main() -> None:
    """The entry point ``marketsync``."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command; returns its exit code. Nothing is raised, and no traceback is shown without ``--verbose``."""
    arguments = globals_first(arguments)
    try:
        code = _command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads us has enough. The interpreter would flush once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


def globals_first(arguments: Sequence[str]) -> list[str]:
    """The options that belong to every command, wherever they were written, before the command."""
    first: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            return [*first, *rest, word, *waiting]
        name, equals, _ = word.partition("=")
        if name in _ANYWHERE and (not equals or name.startswith("--")):
            first.append(word)
            if _ANYWHERE[name] and not equals:
                if not waiting:
                    return first  # so that its missing value is what is told
                first.append(waiting.pop(0))
        else:
            rest.append(word)
    return first + rest


def _command(arguments: Sequence[str]) -> int:
    verbose = "--verbose" in arguments or "-v" in arguments
    command = typer.main.get_command(app)
    try:
        code = command.main(list(arguments) or ["--help"], prog_name="marketsync", standalone_mode=False)
    except BrokenPipeError:
        raise
    except SystemExit:  # its way of ending when whoever reads us has enough
        return FAILED
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("", err=True)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  each becomes one message and an exit code
        return _told(error, verbose=verbose)
    return code if isinstance(code, int) else 0


def _told(error: Exception, *, verbose: bool) -> int:
    """Say what is wrong; returns the exit code."""
    if isinstance(error, UsageError):
        _tell(error.format_message())
        typer.echo(f"Try '{error.ctx.command_path if error.ctx else 'marketsync'} --help'.", err=True)
        return WRONG
    if isinstance(error, ConfigError):
        for problem in error.problems:
            typer.echo(printable(str(problem)), err=True)
        count = len(error.problems)
        _tell(f"the configuration has {count} problem{'s' if count != 1 else ''}")
        return WRONG
    if verbose:
        traceback.print_exception(error)
    if isinstance(error, MarketsyncError):
        _tell(str(error))
    elif isinstance(error, OSError):
        _tell(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    else:
        _tell(f"something went wrong that was not foreseen: {type(error).__name__}: {error}; --verbose tells where")
    return FAILED


def _tell(message: str) -> None:
    typer.echo(f"marketsync: {printable(message)}", err=True)
