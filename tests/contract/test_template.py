"""The package that ``marketsync adapters new`` writes is a working adapter from its first minute."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from marketsync.cli.scaffold import ScaffoldRefused, scaffold

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("adapters")
    scaffold("my_shop", into)
    return into / "marketsync-adapter-my-shop"


def run(package: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(package), str(ROOT), str(ROOT / "adapters")])
    environment = {**os.environ, "PYTHONPATH": path, "MYPYPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=package, env=environment, capture_output=True, text=True, check=False
    )


def test_everything_carries_the_new_name(package: Path) -> None:
    """No trace of the template's own name, in paths or in texts."""
    files = [path for path in package.rglob("*") if path.is_file()]
    assert len(files) == 8
    for path in files:
        assert "acme" not in str(path.relative_to(package)).lower()
        assert "acme" not in path.read_text("utf-8").lower()
        assert "ac-me" not in path.read_text("utf-8").lower()


def test_the_entry_point_names_the_adapter(package: Path) -> None:
    """marketsync finds it once it is installed."""
    project = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == "marketsync-adapter-my-shop"
    assert project["entry-points"] == {"marketsync.adapters": {"my_shop": "marketsync_adapter_my_shop:MyShopAdapter"}}


def test_the_new_adapter_keeps_the_contract(package: Path) -> None:
    """Its tests pass as they are written, in a process of their own; what it cannot do is skipped with a reason."""
    result = run(package, "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-W", "error")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "the my_shop adapter is no RefundsOrders" in result.stdout
    passed = int(result.stdout.split(" passed")[0].split()[-1])
    assert passed >= 40


def test_the_new_adapter_is_typed_and_tidy(package: Path) -> None:
    """mypy --strict and ruff have nothing to say."""
    typed = run(package, "mypy", "--strict", "--cache-dir", os.devnull, "-p", "marketsync_adapter_my_shop")
    assert typed.returncode == 0, typed.stdout + typed.stderr
    tidy = run(package, "ruff", "check", "--no-cache", "--isolated", "--line-length", "120", ".")
    assert tidy.returncode == 0, tidy.stdout
    formatted = run(package, "ruff", "format", "--no-cache", "--isolated", "--line-length", "120", "--check", ".")
    assert formatted.returncode == 0, formatted.stdout


@pytest.mark.parametrize("name", ["", "My", "my-shop", "1shop", "a__b", "_a", "class", "a/b"])
def test_a_name_that_cannot_be_one_is_refused(name: str, tmp_path: Path) -> None:
    """Nothing is written for it."""
    with pytest.raises(ScaffoldRefused, match="cannot name an adapter"):
        scaffold(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_exists_is_never_overwritten(tmp_path: Path) -> None:
    """A second run leaves the first one's files alone."""
    first = scaffold("otto", tmp_path)
    first[0].write_text("mine")
    with pytest.raises(ScaffoldRefused, match="exists already"):
        scaffold("otto", tmp_path)
    assert first[0].read_text() == "mine"
