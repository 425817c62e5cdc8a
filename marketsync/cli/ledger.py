"""``marketsync ledger``: what concerns the database itself."""

from typing import TYPE_CHECKING

import typer

from marketsync.cli.output import busy, document, line
from marketsync.cli.session import session

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marketsync.ledger.verify import Difference

FAILED = 1


def register(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None)
    group.command()(verify)
    app.add_typer(group, name="ledger", help="Look after the ledger.")


def verify() -> None:
    """Prove what must always hold in the ledger; exits with 1 and the differences where it does not."""
    from marketsync.ledger import verify as proving  # noqa: PLC0415
    from marketsync.ledger.vault import Vault  # noqa: PLC0415

    vault = Vault(session.config().key.get_secret_value())

    def prove(conn: "Connection") -> "list[Difference]":
        return proving.verify(conn, vault, session.clock.now())

    with busy("verifying the ledger"):
        found = session.read(prove)
    if session.json:
        document({"differences": found})
    else:
        for one in found:
            line(f"{one.check}: {one.what}")
        line(f"{len(found)} differences" if found else "the ledger is well")
    if found:
        raise typer.Exit(FAILED)
