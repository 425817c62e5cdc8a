"""From files to a `Config`: everything that is wrong is found at once, each mistake at the place where it stands."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Any

from marketsync.adapter.errors import ConfigError, Problem
from marketsync.adapter.spec import AdapterSpec
from marketsync.config import listing_map
from marketsync.config.accounts import connect
from marketsync.config.checks import check
from marketsync.config.explain import validated
from marketsync.config.models import ENTRIES, Config
from marketsync.config.nodes import Path_, Tree, read
from marketsync.config.secrets import Secrets
from marketsync.config.section import name_of

# Sections of which one entry may be wrong while a running daemon goes on with the others. Sources are not among
# them: without one of its sources a channel would be derived from half the truth.
_SEPARABLE = frozenset({"accounts", "channels", "sinks"})


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came out of the files. ``config`` holds what is usable, None where a mistake concerns everything.

    ``files`` are all that was read: the main file, included files, listing maps.
    """

    config: Config | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    broken_channels: frozenset[str]
    broken_sinks: frozenset[str]
    files: tuple[Path, ...]

    def whole(self) -> Config:
        """The configuration where nothing at all is wrong; raises ConfigError with every problem otherwise."""
        if self.problems or self.config is None:
            raise ConfigError(self.problems)
        return self.config

    def over(self, old: Config) -> Config:
        """What a running daemon goes on with: broken channels and sinks stay as they were in ``old``.

        Raises ConfigError where a mistake concerns everything.
        """
        if self.config is None:
            raise ConfigError(self.problems)
        accounts, channels, sinks = dict(self.config.accounts), dict(self.config.channels), dict(self.config.sinks)
        for name in self.broken_channels & old.channels.keys():
            channels[name] = old.channels[name]
            account = old.channels[name].account or name
            accounts.setdefault(account, old.accounts[account])
        sinks |= {name: old.sinks[name] for name in self.broken_sinks & old.sinks.keys()}
        return self.config.model_copy(update={"accounts": accounts, "channels": channels, "sinks": sinks})


def load(path: Path, *, adapters: Mapping[str, AdapterSpec], environment: Mapping[str, str] = os.environ) -> LoadResult:
    """Read a configuration with all that it includes. Never raises for what a user wrote: that is in ``problems``.

    ``adapters`` gives the spec of each installed adapter by name; looking one up may raise MarketsyncError (an adapter
    that cannot be imported), which becomes a problem of who names it.
    """
    tree, files = _read(path, Secrets(environment))
    config = None
    if () not in tree.refused:  # a file that cannot be read hides names: whatever else is wrong would be guessed
        _names_of_sections(tree)
        for name in tree.data["channels"]:
            file = listing_map.insert(tree, ("channels", name, "listing_map"), path.parent)
            files += [file] if file is not None else []
        context = {"base": path.parent.absolute()}
        parts = {section: _entries(tree, section, context) for section in ENTRIES}
        specs = connect(tree, parts["accounts"], parts["channels"], adapters)
        config = _top(tree, context, parts)
        if config is not None:
            check(config, tree, specs)
    accounts, sinks, broken = _broken(tree, "accounts"), _broken(tree, "sinks"), _broken(tree, "channels")
    if config is not None:
        broken |= {name for name, channel in config.channels.items() if channel.account in accounts}
    return LoadResult(
        config=None if config is None or _fatal(tree) else _without(config, broken, accounts, sinks),
        problems=_sorted(tree.problems),
        warnings=_sorted(tree.warnings),
        broken_channels=broken,
        broken_sinks=sinks,
        files=tuple(files),
    )


def _sorted(problems: list[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(set(problems), key=lambda problem: (problem.file, problem.line, problem.column, str(problem))))


def _read(path: Path, secrets: Secrets) -> tuple[Tree, list[Path]]:
    """The main file and all that it includes, joined."""
    tree = read(path, str(path), secrets)
    files = [path]
    patterns = tree.data.get("include", [])
    seen = {path.resolve()}
    for index, pattern in enumerate(patterns if isinstance(patterns, list) else [patterns]):
        place: Path_ = ("include", index) if isinstance(patterns, list) else ("include",)
        if not isinstance(pattern, str) or not pattern:
            continue  # the model says so
        for file in _matches(tree, place, path.parent, pattern):
            if file.resolve() in seen:
                continue
            seen.add(file.resolve())
            files.append(file)
            other = read(file, str(file), secrets, nodes=tree.nodes)
            if "include" in other.data:
                other.refuse(("include",), "only the main file includes others", f"name the file in {path}")
                del other.data["include"]
            tree.merge(other)
    return tree, files


def _matches(tree: Tree, place: Path_, base: Path, pattern: str) -> list[Path]:
    if not has_magic(pattern):
        if not (base / pattern).is_file():
            tree.refuse(place, f"there is no file {base / pattern}", "correct the name, or leave it out")
            return []
        return [base / pattern]
    try:
        root = Path(pattern).anchor
        return sorted(found for found in Path(root or base).glob(pattern.removeprefix(root)) if found.is_file())
    except (ValueError, OSError, NotImplementedError) as error:
        tree.refuse(place, f"{pattern!r} is no pattern of files: {error}")
        return []


def _names_of_sections(tree: Tree) -> None:
    """Each section is a mapping, also where it is left out or empty."""
    for section in ENTRIES:
        entries = tree.data.get(section)
        if entries is not None and not isinstance(entries, dict):
            tree.refuse((section,), "it is a mapping of names", "write name: and its settings below")
        if not isinstance(entries, dict):
            tree.data[section] = {}


def _entries(tree: Tree, section: str, context: dict[str, Any]) -> dict[str, Any]:
    """The entries of a section that are right by themselves."""
    entries = {}
    for name, written in tree.data[section].items():
        prefix = (section, name)
        _check_name(tree, prefix)
        entry = validated(ENTRIES[section], {} if written is None else written, tree, prefix, context)
        if entry is not None:
            entries[name] = entry
    return entries


def _check_name(tree: Tree, prefix: Path_) -> None:
    try:
        name_of(str(prefix[-1]))
    except ValueError as error:
        tree.refuse(prefix, str(error), at=tree.keys.get(prefix))


def _top(tree: Tree, context: dict[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> Config | None:
    """Everything around the sections, with the entries that are right put in."""
    config: Config | None = validated(Config, tree.data | {section: {} for section in ENTRIES}, tree, (), context)
    if config is None:
        return None
    sources = {
        name: source.model_copy(update={"time_zone": source.time_zone or config.time_zone})
        for name, source in parts["sources"].items()
    }
    return config.model_copy(update={**parts, "sources": sources})


def _fatal(tree: Tree) -> bool:
    """Whether a mistake lies outside of the entries that may be wrong by themselves."""
    return any(len(path) < 2 or path[0] not in _SEPARABLE for path in tree.refused)


def _broken(tree: Tree, section: str) -> frozenset[str]:
    return frozenset(str(path[1]) for path in tree.refused if len(path) > 1 and path[0] == section)


def _without(config: Config, channels: frozenset[str], accounts: frozenset[str], sinks: frozenset[str]) -> Config:
    healthy = {name: channel for name, channel in config.channels.items() if name not in channels}
    # The account that a broken channel brought along goes with it.
    inline = channels - {channel.account for channel in healthy.values()}
    return config.model_copy(
        update={
            "channels": healthy,
            "accounts": {name: part for name, part in config.accounts.items() if name not in accounts | inline},
            "sinks": {name: part for name, part in config.sinks.items() if name not in sinks},
        }
    )
