"""What the whole suite shares: the databases, the real data, how hypothesis explores."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest
import structlog
from hypothesis.configuration import set_hypothesis_home_dir

from marketsync.testing.postgres import PostgresServer, PostgresUnavailable, shared_server

ROOT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI") == "true"

# CI judges a change, so it always asks the same questions; at a desk every run asks new ones and remembers in the
# environment's own directory what failed. Examples are never timed: the machine is shared.
set_hypothesis_home_dir(Path(sys.prefix if os.access(sys.prefix, os.W_OK) else tempfile.gettempdir()) / "hypothesis")
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("dev", deadline=None, print_blob=True)
hypothesis.settings.load_profile("ci" if IN_CI else "dev")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The replays wait more than they work: first, so that no worker ends with them alone."""
    items.sort(key=lambda item: "test_replay" not in item.path.name)


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """A test that sets the log up (every command does) leaves it to the next as it was."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres_server(testrun_uid: str) -> Iterator[PostgresServer]:
    """A real PostgreSQL, one for all workers of this run. Skips where none can be started; in CI that is a failure."""
    with ExitStack() as leaves:
        try:
            server = leaves.enter_context(shared_server(testrun_uid))
        except PostgresUnavailable as reason:
            (pytest.fail if IN_CI else pytest.skip)(str(reason))
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, empty PostgreSQL database."""
    with postgres_server.database() as name:
        yield postgres_server.url(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh, empty database: the test runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real catalogues and orders, kept outside the project."""
    return _outside("MARKETSYNC_DATA", "../shared/data")


@pytest.fixture(scope="session")
def contracts_dir() -> Path:
    """The marketplaces' published contracts, kept outside the project."""
    return _outside("MARKETSYNC_CONTRACTS", "../shared/contracts")


def _outside(variable: str, default: str) -> Path:
    path = Path(os.environ.get(variable) or ROOT / default).resolve()
    if not path.is_dir():
        pytest.skip(f"there is no directory {path}; {variable} names another")
    return path
