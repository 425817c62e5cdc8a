"""``marketsync demo``: the whole loop in half a minute."""

import asyncio
from typing import Annotated

import typer

from marketsync.cli.output import console
from marketsync.cli.session import session


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    seconds: Annotated[float, typer.Option(min=1, help="How long buyers buy.")] = 30.0,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running until Ctrl-C.")] = False,
) -> None:
    """Three marketplaces on this machine, a sample catalogue, buyers: watch the whole loop. Needs no configuration."""
    from marketsync.demo.play import play  # noqa: PLC0415
    from marketsync.telemetry import logs  # noqa: PLC0415

    logs.set_up(form=session.log_format, level="info" if session.verbose else "error", traces=session.verbose)
    raise typer.Exit(asyncio.run(play(seconds, keep, session.json, console())))
