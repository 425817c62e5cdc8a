"""What is built is what a person installs: looked at, installed outside the repository, and run there."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {"marketsync": ROOT / "marketsync", "marketsync_adapters": ROOT / "adapters" / "marketsync_adapters"}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def _build(kind: str, source: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(target), str(source)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return _build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return _build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def _committed() -> set[str]:
    """Every source and data file, by the name it has once installed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "marketsync", "adapters/marketsync_adapters"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]
    return {name.removeprefix("adapters/") for name in files}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone: nobody can tell what is committed")
def test_the_wheel_holds_every_committed_file_also_templates_migrations_and_data(wheel):
    assert set() == _committed() - _names(wheel)


def test_the_wheel_puts_two_packages_and_its_own_description_at_the_top_level(wheel):
    tops = {name.split("/")[0] for name in _names(wheel)}
    assert {"marketsync", "marketsync_adapters", f"marketsync-{VERSION}.dist-info"} == tops


def test_the_wheel_says_that_it_is_typed_and_carries_its_licence_and_the_sample_catalogue(wheel):
    assert {
        "marketsync/py.typed",
        "marketsync_adapters/py.typed",
        "marketsync/demo/products.csv",
        f"marketsync-{VERSION}.dist-info/licenses/LICENSE",
    } <= _names(wheel)


def test_the_sdist_builds_the_same_wheel(wheel, sdist, tmp_path):
    with tarfile.open(sdist) as archive:
        # The filter came with 3.11.4; Debian 12 has 3.11.2.
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (source,) = tmp_path.iterdir()
    assert f"marketsync-{VERSION}" == source.name
    (tmp_path / "out").mkdir()
    assert _names(wheel) == _names(_build("wheel", source, tmp_path / "out"))


class Elsewhere:
    """An environment of its own, outside the repository, where only the wheel says what marketsync is.

    What marketsync depends on comes from the environment of the tests, so nothing is downloaded.
    """

    def __init__(self, place: Path, wheel: Path) -> None:
        self.place = place
        venv.create(place / "env", symlinks=True)
        self.bin = place / "env" / "bin"
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "--disable-pip-version-check"]
        self._run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)])
        own = sysconfig.get_path("purelib", "venv", {"base": str(place / "env"), "platbase": str(place / "env")})
        borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        # Lines of a .pth come after what is installed here, and the .pth files over there are not read: the
        # editable marketsync stays invisible.
        (Path(own) / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")

    def run(self, name: str, *arguments: str) -> str:
        return self._run([str(self.bin / name), *arguments])

    def _run(self, command: list[str]) -> str:
        clean = {"PATH": os.environ["PATH"], "HOME": str(self.place), "LANG": "C.UTF-8"}
        ended = subprocess.run(command, cwd=self.place, env=clean, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
        return ended.stdout


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory, wheel):
    return Elsewhere(tmp_path_factory.mktemp("elsewhere"), wheel)


def test_installed_elsewhere_the_code_runs_from_there_and_not_from_the_repository(elsewhere):
    told = elsewhere.run(
        "python", "-c", "import marketsync, marketsync_adapters as a; print(marketsync.__file__, a.__file__)"
    )
    assert all(Path(path).is_relative_to(elsewhere.place) for path in told.split())


def test_installed_elsewhere_the_command_tells_its_version_and_how_it_is_used(elsewhere):
    assert VERSION in elsewhere.run("marketsync", "--version")
    assert "sync" in elsewhere.run("marketsync", "--help")


def test_installed_elsewhere_every_entry_point_of_the_distribution_loads(elsewhere):
    code = (
        "from importlib.metadata import distribution\n"
        "for point in distribution('marketsync').entry_points: print(point.group, point.name, point.load())"
    )
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    expected = len(declared["scripts"]) + sum(map(len, declared["entry-points"].values()))
    assert expected == len(elsewhere.run("python", "-c", code).splitlines())


def test_installed_elsewhere_the_sample_catalogue_can_be_read(elsewhere):
    code = "from importlib.resources import files; print((files('marketsync') / 'demo/products.csv').read_text('utf-8')[:4])"
    assert "sku," == elsewhere.run("python", "-c", code).strip()


def test_nothing_of_the_sources_is_left_out_by_a_name_that_git_ignores():
    """A data file that .gitignore hides is missing in every clone and in every wheel."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone: nobody can tell what is committed")
    hidden = subprocess.run(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard", *map(str, SOURCES.values())],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [] == [name for name in hidden.stdout.split() if "__pycache__" not in name]
