"""``marketsync adapters new NAME``: a whole adapter package that passes the contract suite, to start from."""

import keyword
import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from marketsync.adapter.errors import MarketsyncError

_SUFFIX = ".tmpl"  # keeps the template's modules from being taken for modules of marketsync


class ScaffoldRefused(MarketsyncError):
    """The package cannot be made: the name cannot be used, or something stands in its place."""


def scaffold(name: str, into: Path) -> list[Path]:
    """Write the package ``marketsync-adapter-NAME`` into a folder. Returns the files that were written.

    Raises ``ScaffoldRefused`` for a name that is no adapter's name, and where the folder of the package exists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise ScaffoldRefused(
            f"{name!r} cannot name an adapter: use lower-case letters and digits, such as 'otto' or 'my_shop'"
        )
    package = into / f"marketsync-adapter-{name.replace('_', '-')}"
    if package.exists():
        raise ScaffoldRefused(f"{package} exists already: choose another name or folder, or remove it")
    written = []
    for path, source in _templates(files("marketsync.cli") / "template"):
        target = package / _named(path.removesuffix(_SUFFIX), name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_named(source.read_text("utf-8"), name), "utf-8")
        written.append(target)
    return sorted(written)


def _templates(folder: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _templates(entry, f"{above}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield above + entry.name, entry


def _named(text: str, name: str) -> str:
    """The template's own adapter is called acme; its class Acme, its distribution ac-me, its key ACME."""
    title = "".join(part.capitalize() for part in name.split("_"))
    spellings = {"ac-me": name.replace("_", "-"), "acme": name, "Acme": title, "ACME": name.upper()}
    return re.sub("|".join(spellings), lambda match: spellings[match.group()], text)
