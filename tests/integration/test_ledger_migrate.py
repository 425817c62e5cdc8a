"""The schema of a ledger: one history for both databases, equal to what the tables say."""

import sqlite3
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from marketsync.adapter.errors import LedgerError, SchemaTooNew
from marketsync.ledger import migrate
from marketsync.ledger.engine import read_engine, write_engine


@pytest.fixture
def execute():
    def run(url, statement):
        engine = write_engine(url)
        try:
            with engine.begin() as connection:
                result = connection.execute(text(statement))
                return result.all() if result.returns_rows else None
        finally:
            engine.dispose()

    return run


def test_the_migrated_schema_is_what_the_tables_say(ledger_url):
    migrate.upgrade(ledger_url)
    engine = read_engine(ledger_url)
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = compare_metadata(context, migrate.METADATA)
    engine.dispose()
    assert [] == differences


def test_every_table_is_made_and_no_other(ledger_url, execute):
    migrate.upgrade(ledger_url)
    catalogue = (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        if ledger_url.startswith("sqlite")
        else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    found = {name for (name,) in execute(ledger_url, catalogue)}
    assert {*migrate.TABLES, "alembic_version"} == found
    assert set(migrate.TABLES) == set(migrate.METADATA.tables)


def test_partial_indexes_stay_partial_on_both_databases(ledger_url, execute):
    migrate.upgrade(ledger_url)
    catalogue = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        if ledger_url.startswith("sqlite")
        else "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    )
    declared = {
        index.name
        for table in migrate.METADATA.tables.values()
        for index in table.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    }
    assert declared
    assert declared == {name for name, sql in execute(ledger_url, catalogue) if " WHERE " in sql}


def test_an_empty_database_goes_from_nothing_to_the_newest_revision(ledger_url):
    assert migrate.current(ledger_url) is None
    with pytest.raises(LedgerError, match="run `marketsync migrate`"):
        migrate.check(ledger_url)
    ran = migrate.upgrade(ledger_url)
    assert migrate.head() == ran[-1]
    assert migrate.head() == migrate.current(ledger_url)
    migrate.check(ledger_url)


def test_migrating_twice_is_harmless(ledger_url, execute):
    migrate.upgrade(ledger_url)
    execute(ledger_url, "INSERT INTO meta (name, value) VALUES ('kept', 'yes')")
    assert [] == migrate.upgrade(ledger_url)
    assert [("yes",)] == execute(ledger_url, "SELECT value FROM meta WHERE name = 'kept'")


def test_of_several_that_migrate_at_once_one_does_it_and_the_others_wait(ledger_url):
    with ThreadPool(4) as pool:
        runs = pool.map(migrate.upgrade, [ledger_url] * 4)
    assert [[], [], []] == sorted(runs)[:3]
    assert migrate.head() == max(runs)[-1]


def test_a_ledger_of_a_newer_version_is_refused_and_left_alone(ledger_url, execute):
    migrate.upgrade(ledger_url)
    execute(ledger_url, "UPDATE alembic_version SET version_num = '9999_future'")
    with pytest.raises(SchemaTooNew, match="9999_future"):
        migrate.check(ledger_url)
    with pytest.raises(SchemaTooNew, match="newer marketsync"):
        migrate.upgrade(ledger_url)
    assert "9999_future" == migrate.current(ledger_url)


def test_a_migration_that_fails_leaves_nothing_behind(ledger_url, execute):
    execute(ledger_url, "CREATE TABLE task_state (other INTEGER)")
    with pytest.raises(LedgerError, match="task_state"):
        migrate.upgrade(ledger_url)
    assert migrate.current(ledger_url) is None
    with pytest.raises(Exception, match="sales_order"):
        execute(ledger_url, "SELECT 1 FROM sales_order")


def test_asking_for_the_revision_makes_no_file(tmp_path):
    assert migrate.current(f"sqlite:///{tmp_path}/none.db") is None
    assert [] == list(tmp_path.iterdir())


def test_what_is_no_ledger_is_told_in_one_sentence(tmp_path):
    Path(tmp_path / "notes.db").write_text("these are notes, and no database at all\n" * 100)
    with pytest.raises(LedgerError, match=r"notes\.db: file is not a database"):
        migrate.check(f"sqlite:///{tmp_path}/notes.db")
    with pytest.raises(LedgerError, match=r"the database server: .*failed"):
        migrate.check("postgresql://nobody@127.0.0.1:1/nothing")


def test_an_offer_keeps_its_rowid_and_a_movement_too(tmp_path):
    migrate.upgrade(f"sqlite:///{tmp_path}/ledger.db")
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        for table in ("offer", "stock_movement", "sales_order"):
            assert connection.execute(f"SELECT rowid, id FROM {table}").fetchall() == []
            made = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
            assert "id INTEGER NOT NULL" in made
            assert "WITHOUT ROWID" not in made
    connection.close()
