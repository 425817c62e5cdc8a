"""Writes a revision from the difference between the history and ``marketsync.ledger.tables``.

    python -m marketsync.ledger.migrations.generate 0001 ledger

writes ``versions/0001_ledger.py`` anew, as long as no ledger of that revision is in anybody's hands; later revisions
get the next number and a name of their own. Read what it wrote: a renamed column is a drop and an add to it.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext
from sqlalchemy import JSON

from marketsync.ledger.engine import write_engine
from marketsync.ledger.migrate import FOLDER, METADATA, script, upgrade
from marketsync.ledger.types import Utc

_FILE = '''"""{title}."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = {revision!r}
down_revision = {before!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    {upgrade}
'''


def generate(number: str, slug: str) -> Path:
    """Write the revision ``number_slug`` and return its file. One that is there already is written anew."""
    revision = f"{number}_{slug}"
    file = FOLDER / "versions" / f"{revision}.py"
    file.unlink(missing_ok=True)
    before = script().get_current_head()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ledger.db"
        if before is not None:
            upgrade(url)
        engine = write_engine(url)
        with engine.begin() as connection:
            options: dict[str, Any] = {"render_as_batch": True, "render_item": _rendered, "target_metadata": METADATA}
            context = MigrationContext.configure(connection, opts=options | {"user_module_prefix": None})
            operations = produce_migrations(context, METADATA).upgrade_ops
            assert operations is not None
            code = render_python_code(operations, render_as_batch=True, render_item=_rendered)
        engine.dispose()
    lines = [line for line in code.strip().splitlines() if not line.lstrip().startswith("# ###")]
    title = slug.replace("_", " ").capitalize()
    file.write_text(
        _FILE.format(title=title, revision=revision, before=before, upgrade="\n".join(lines).strip()), "utf-8"
    )
    for command in (["check", "--fix-only"], ["format"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--quiet", str(file)], check=True)  # noqa: S603  our own
    return file


def _rendered(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """A revision stands for itself: types are written as the database knows them."""
    if kind == "type" and isinstance(item, Utc):
        return "sa.BigInteger()"
    if kind == "type" and isinstance(item, JSON):
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    if kind == "type" and type(item).__name__ == "AutoString":
        return "sa.String()"
    return False


if __name__ == "__main__":
    print(generate(*sys.argv[1:]))  # noqa: T201  a tool for the terminal
