"""Brings a ledger to the schema of this version: one history of revisions for SQLite and PostgreSQL.

Revisions are files in ``migrations/versions``, written by ``python -m marketsync.ledger.migrations.generate``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlmodel import SQLModel

from marketsync.adapter.errors import Busy, LedgerError, SchemaTooNew
from marketsync.ledger import tables
from marketsync.ledger.engine import is_sqlite, read_engine, sqlite_path, write_engine

FOLDER = Path(__file__).parent / "migrations"
TABLES = tuple(getattr(tables, name).__tablename__ for name in tables.__all__)
METADATA = SQLModel.metadata
_ADVISORY = 0x6D61726B  # "mark": who migrates a PostgreSQL ledger holds this lock until the end of its transaction


def script() -> ScriptDirectory:
    """The history as Alembic knows it."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return ScriptDirectory.from_config(config)


def head() -> str:
    """The newest revision that this version knows."""
    newest = script().get_current_head()
    assert newest is not None
    return newest


def current(url: str) -> str | None:
    """The revision of a ledger; None where there is none yet. Raises LedgerError where it cannot be reached."""
    if is_sqlite(url) and not sqlite_path(url).exists():
        return None
    engine = read_engine(url, connections=1)
    try:
        with engine.begin() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError as error:
        raise _unreachable(url, error) from error
    finally:
        engine.dispose()


def check(url: str) -> None:
    """Raise SchemaTooNew for a ledger of a newer marketsync, LedgerError for one that has to be migrated first."""
    revision, newest = current(url), head()
    if revision == newest:
        return
    if revision is None:
        raise LedgerError("there is no ledger yet: run `marketsync migrate`")
    _refuse_newer(revision)
    raise LedgerError(f"the ledger is at revision {revision}, this version needs {newest}: run `marketsync migrate`")


def upgrade(url: str, *, to: str = "head") -> list[str]:
    """Run what is missing, in one transaction under a lock. Returns the revisions that were run, oldest first.

    A SQLite ledger is made where there is none. Raises SchemaTooNew, Busy, or LedgerError.
    """
    engine = write_engine(url, connections=1)
    try:
        with engine.connect() as connection:
            if is_sqlite(url):
                # Changing a table makes a new one: nothing may cascade from the old one. Not possible in a transaction.
                connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
            with connection.begin():
                return _upgrade(connection, to)
    except SQLAlchemyError as error:
        raise _unreachable(url, error) from error
    finally:
        engine.dispose()


def _upgrade(connection: Connection, to: str) -> list[str]:
    sqlite = connection.dialect.name == "sqlite"
    if not sqlite:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY})
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is not None:
        _refuse_newer(revision)
    history = script()
    ran: list[str] = []

    def steps(at: Any, _context: MigrationContext) -> Sequence[Any]:
        # Alembic's own method has no types
        chosen = history._upgrade_revs(to, at)  # noqa: SLF001  what its `upgrade` command calls as well
        ran.extend(step.revision.revision for step in chosen)
        return chosen

    environment = EnvironmentContext(Config(), history)
    environment.configure(
        connection=connection, target_metadata=METADATA, render_as_batch=True, transactional_ddl=True, fn=steps
    )
    with Operations.context(environment.get_context()):
        environment.get_context().run_migrations()
    if sqlite and connection.execute(text("PRAGMA foreign_key_check")).first() is not None:
        raise LedgerError("a row of the ledger refers to one that does not exist: nothing was migrated")
    return ran


def _refuse_newer(revision: str) -> None:
    try:
        script().get_revision(revision)
    except CommandError:
        raise SchemaTooNew(
            f"the ledger was written by a newer marketsync (revision {revision}): install that version again"
        ) from None


def _unreachable(url: str, error: SQLAlchemyError) -> LedgerError:
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    reason = said[0] if said else type(error).__name__
    if isinstance(error, OperationalError) and "locked" in reason:
        return Busy("the ledger is locked by another process: is a backup or another marketsync running?")
    where = str(sqlite_path(url)) if is_sqlite(url) else "the database server"
    return LedgerError(f"the ledger cannot be used: {where}: {reason}")
