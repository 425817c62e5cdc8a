"""YAML as its user wrote it: every scalar stays text, and every value knows the file, line and column it stands at."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from marketsync.adapter.errors import Problem
from marketsync.config.secrets import Secrets

Path_ = tuple[str | int, ...]

MOST_NODES = 100_000
DEEPEST = 50
LARGEST = 16 * 1024 * 1024  # characters of one file
_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge", "value")
)
_NULL, _MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Position:
    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def dotted(path: Path_) -> str:
    """A path as people write it: ``channels.shop-de.stock.locations[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


@dataclass(slots=True)
class Tree:
    """Data of one or more files with the place of every value and key. Scalars are text, or None where empty."""

    secrets: Secrets
    data: dict[str, Any] = field(default_factory=dict)
    values: dict[Path_, Position] = field(default_factory=dict)
    keys: dict[Path_, Position] = field(default_factory=dict)
    secret: set[Path_] = field(default_factory=set)  # the values that hold a resolved reference
    unresolved: set[Path_] = field(default_factory=set)  # and those whose reference leads nowhere
    problems: list[Problem] = field(default_factory=list)
    refused: set[Path_] = field(default_factory=set)  # what the problems are about
    warnings: list[Problem] = field(default_factory=list)
    nodes: int = 0

    def refuse(self, path: Path_, message: str, hint: str = "", *, at: Position | None = None) -> None:
        """Note a problem of the value at ``path``, or of the nearest value around it."""
        where = at or self.place(path)
        self.refused.add(path)
        self.problems.append(_problem(where, path, self.secrets.masked(message), self.secrets.masked(hint)))

    def place(self, path: Path_) -> Position:
        while path and path not in self.values:
            path = path[:-1]
        return self.values[path]

    def merge(self, other: "Tree") -> None:
        """Take over the top-level keys of another file. Mappings are joined; nothing is defined twice."""
        self.problems += other.problems
        self.refused |= other.refused
        self.warnings += other.warnings
        self.nodes = other.nodes
        twice: set[Path_] = set()
        for key, value in other.data.items():
            if key not in self.data:
                self.data[key] = value
                continue
            mine = self.data[key]
            if not isinstance(mine, dict) or not isinstance(value, dict):
                twice.add((key,))
                continue
            twice.update((key, name) for name in value if name in mine)
            mine.update({name: part for name, part in value.items() if name not in mine})
        for path in sorted(twice, key=lambda path: other.keys[path].line):
            self.refuse(path, f"it is defined twice, first in {self.keys[path]}", "keep one", at=other.keys[path])
        for path, position in other.values.items():
            if path[:1] not in twice and path[:2] not in twice:
                self.values.setdefault(path, position)
        for path, position in other.keys.items():
            if path[:1] not in twice and path[:2] not in twice:
                self.keys.setdefault(path, position)
        self.secret |= {path for path in other.secret if path[:1] not in twice and path[:2] not in twice}
        self.unresolved |= other.unresolved

    def put(self, path: Path_, value: dict[str, Any]) -> None:
        """Replace the mapping at ``path``."""
        self.at(path[:-1])[path[-1]] = value

    def at(self, path: Path_) -> Any:
        """The data at a path; None where there is none."""
        here: Any = self.data
        for part in path:
            if isinstance(here, dict):
                here = here.get(part)
            elif isinstance(here, list) and isinstance(part, int) and part < len(here):
                here = here[part]
            else:
                return None
        return here


def _problem(where: Position, path: Path_, message: str, hint: str) -> Problem:
    return Problem(where.file, where.line, where.column, dotted(path), message, hint)


class _Composer(yaml.SafeLoader):
    """Composes nodes to a bounded depth: the composer recurses, and a file must not exhaust the stack."""

    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.composer.ComposerError(None, None, "it is nested too deeply", self.get_mark())
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _TooMuch(Exception):
    """More comes out of a file than a configuration can hold."""


def read(path: Path, name: str, secrets: Secrets, *, nodes: int = 0) -> Tree:
    """One file as a tree; empty, with a problem, where it cannot be read.

    ``name`` is how messages call the file, ``nodes`` what other files have already used of the bound.
    """
    start = Position(name, 1, 1)
    tree = Tree(secrets, values={(): start}, nodes=nodes)
    text = _text(path, start, tree)
    node = None if text is None else _compose(text, start, tree)
    if node is None:
        return tree
    if not isinstance(node, MappingNode):
        tree.refuse((), "the configuration is a mapping", "write key: value lines", at=start)
        return tree
    try:
        tree.data = _Expansion(tree, name, path.parent).expand(node, (), 0)
    except _TooMuch:
        allowed = f"more than {MOST_NODES} values come out of it, or they are nested deeper than {DEEPEST}"
        tree.data = {}
        tree.refuse((), allowed, "look at its aliases", at=start)
    return tree


def _compose(text: str, start: Position, tree: Tree) -> Node | None:
    try:
        composer = _Composer(text)
        try:
            return composer.get_single_node()
        finally:
            composer.dispose()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        at = Position(start.file, line, column)
        tree.refuse((), f"the character #x{error.character:04x} is not allowed in YAML", at=at)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Position(start.file, mark.line + 1, mark.column + 1) if mark else start
        tree.refuse((), *_not_yaml(error, at), at=at)
    return None


def _text(path: Path, start: Position, tree: Tree) -> str | None:
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(LARGEST + 1)
    except UnicodeDecodeError:
        tree.refuse((), "the file is no UTF-8 text", "save it as UTF-8", at=start)
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no usable path"
        tree.refuse((), f"the file cannot be read: {reason}", at=Position(start.file, 0, 0))
        return None
    if len(text) > LARGEST:
        tree.refuse((), "the file is larger than 16 MiB", "large tables belong in CSV files", at=start)
        return None
    return text


def _not_yaml(error: yaml.MarkedYAMLError, at: Position) -> tuple[str, str]:
    wrong = error.problem or error.context or "it cannot be parsed"
    if "'\\t'" in wrong:
        return "a tab stands where spaces belong", "indent with spaces"
    if "mapping values are not allowed" in wrong:
        return "a colon stands where no key can be", "check the indentation, and quote a text that contains ': '"
    if "but got '{'" in wrong:
        hint = 'inside of braces and brackets a reference needs quotes: "${env:NAME}"'
        return "a brace stands where a comma belongs", hint
    if "found undefined alias" in wrong:
        return wrong.replace("found undefined alias", "there is no anchor for the alias"), ""
    if "expected a single document" in wrong or "but found another document" in wrong:
        return "a second document starts here", "keep one document in a file, and use include: for more files"
    begun = error.context_mark
    hint = f"look at what begins in line {begun.line + 1}" if begun and begun.line + 1 != at.line else ""
    return f"this is not valid YAML: {wrong}", hint


@dataclass(slots=True)
class _Expansion:
    """Nodes to data. Aliases are copied out, so the work is bounded by what comes out, not by what was written."""

    tree: Tree
    file: str
    folder: Path

    def expand(self, node: Node, path: Path_, depth: int) -> Any:
        self._count(depth)
        at = self._position(node)
        self.tree.values[path] = at
        if node.tag not in _TAGS:
            self.tree.refuse(path, f"the tag {node.tag} is not known here", "leave it out", at=at)
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, SequenceNode):
            return [self.expand(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        if node.tag == _NULL and node.style is None:
            return None
        return self._scalar(node.value, path, at)

    def _scalar(self, text: str, path: Path_, at: Position) -> str:
        if "${" not in text:
            return text
        self.tree.secret.add(path)

        def refuse(message: str, hint: str) -> None:
            self.tree.unresolved.add(path)
            self.tree.refuse(path, message, hint, at=at)

        def warn(message: str, hint: str) -> None:
            self.tree.warnings.append(_problem(at, path, message, hint))

        return self.tree.secrets.resolve(text, self.folder, refuse, warn)

    def _mapping(self, node: MappingNode, path: Path_, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key, value in self._own(node, path):
            if key.value in data:
                first = self.tree.keys[(*path, key.value)]
                self.tree.refuse(
                    (*path, key.value), f"it stands here twice, first in line {first.line}", at=self._position(key)
                )
                continue
            self.tree.keys[(*path, key.value)] = self._position(key)
            data[key.value] = self.expand(value, (*path, key.value), depth + 1)
        for key, value in self._merged(node, path, depth):
            self._count(depth)
            if key.value not in data:
                self.tree.keys[(*path, key.value)] = self._position(key)
                data[key.value] = self.expand(value, (*path, key.value), depth + 1)
        return data

    def _own(self, node: MappingNode, path: Path_) -> Iterator[tuple[ScalarNode, Node]]:
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.tree.refuse(path, "a key is plain text", "write key: value", at=self._position(key))
            elif key.tag != _MERGE:
                yield key, value

    def _merged(self, node: MappingNode, path: Path_, depth: int) -> Iterator[tuple[ScalarNode, Node]]:
        """What ``<<`` brings in, the earlier mapping before the later, its own keys before those that it merges."""
        self._count(depth)
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or key.tag != _MERGE:
                continue
            for base in value.value if isinstance(value, SequenceNode) else [value]:
                if not isinstance(base, MappingNode):
                    self.tree.refuse(path, "<< takes a mapping", "write <<: *anchor", at=self._position(key))
                    continue
                yield from self._own(base, path)
                yield from self._merged(base, path, depth + 1)

    def _count(self, depth: int) -> None:
        self.tree.nodes += 1
        if self.tree.nodes > MOST_NODES or depth > DEEPEST:
            raise _TooMuch

    def _position(self, node: Node) -> Position:
        return Position(self.file, node.start_mark.line + 1, node.start_mark.column + 1)
