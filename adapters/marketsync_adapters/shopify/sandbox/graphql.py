"""As much of GraphQL as a sandbox needs: read a document, count its cost, cut an answer to what was asked for.

Values are dicts; a callable in one is a field with arguments. Whether a document is valid is the referee's business.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\.\.\.|[{}()\[\]:!=$@]|-?\d+(?:\.\d+)?|[A-Za-z_]\w*')
_CONSTANTS = {"true": True, "false": False, "null": None}

MUTATION = 10  # points of one mutation


class BadDocument(Exception):
    """What was sent is no document that this sandbox understands."""


@dataclass(frozen=True, slots=True)
class Variable:
    name: str


@dataclass(frozen=True, slots=True)
class Selected:
    """A field; or, with ``on``, the fields of a fragment on that type."""

    name: str
    key: str
    arguments: Mapping[str, Any]
    directives: Mapping[str, Mapping[str, Any]]
    fields: tuple["Selected", ...]
    on: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    kind: str  # query or mutation
    fields: tuple[Selected, ...]


def read(text: str) -> Document:
    """The one operation of a document, its fragments put in their places. Raises ``BadDocument``."""
    try:
        return _Reader(text).document()
    except (StopIteration, KeyError, IndexError) as error:
        raise BadDocument(f"syntax error near {error}") from None


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._at = 0
        self._fragments = dict(self._all_fragments())
        self._at = 0

    def document(self) -> Document:
        while True:
            word = self._next()
            if word == "fragment":
                self._skip_fragment()
            elif word in {"query", "mutation"}:
                while self._peek() != "{":
                    self._next()
                return Document(word, self._selection())
            else:
                raise BadDocument(f"unexpected {word!r}")

    def _all_fragments(self) -> Iterator[tuple[str, tuple[str, int]]]:
        for index, word in enumerate(self._tokens):
            if word == "fragment":
                yield self._tokens[index + 1], (self._tokens[index + 3], index + 4)

    def _skip_fragment(self) -> None:
        while self._peek() != "{":
            self._next()
        self._selection()

    def _selection(self) -> tuple[Selected, ...]:
        self._expect("{")
        found: list[Selected] = []
        while self._peek() != "}":
            found.append(self._spread() if self._peek() == "..." else self._field())
        self._expect("}")
        return tuple(found)

    def _spread(self) -> Selected:
        self._expect("...")
        if self._peek() == "on":
            self._next()
            on = self._next()
            return Selected("", "", {}, {}, self._selection(), on)
        on, start = self._fragments[self._next()]
        back, self._at = self._at, start
        fields = self._selection()
        self._at = back
        return Selected("", "", {}, {}, fields, on)

    def _field(self) -> Selected:
        name = key = self._next()
        if self._peek() == ":":
            self._next()
            name = self._next()
        arguments = self._arguments()
        directives = {}
        while self._peek() == "@":
            self._next()
            directive = self._next()
            directives[directive] = self._arguments()
        fields = self._selection() if self._peek() == "{" else ()
        return Selected(name, key, arguments, directives, fields)

    def _arguments(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self._peek() == "(":
            self._next()
            while self._peek() != ")":
                name = self._next()
                self._expect(":")
                found[name] = self._value()
            self._next()
        return found

    def _value(self) -> Any:
        word = self._next()
        if word == "$":
            return Variable(self._next())
        if word == "[":
            entries = []
            while self._peek() != "]":
                entries.append(self._value())
            self._next()
            return entries
        if word[0] == '"' or word[0] in "-0123456789":
            return json.loads(word)
        return _CONSTANTS.get(word, word)

    def _peek(self) -> str:
        return str(self._tokens[self._at]) if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise BadDocument("the document ends too early")
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if (found := self._next()) != token:
            raise BadDocument(f"expected {token!r}, found {found!r}")


def bind(value: Any, variables: Mapping[str, Any]) -> Any:
    """A value with the variables put in."""
    if isinstance(value, Variable):
        return variables.get(value.name)
    if isinstance(value, list):
        return [bind(one, variables) for one in value]
    if isinstance(value, dict):
        return {name: bind(one, variables) for name, one in value.items()}
    return value


# ---------------------------------------------------------------- cost


def requested_cost(document: Document, variables: Mapping[str, Any]) -> float:
    """What a document may cost at most, before it runs."""
    total = 0.0
    for field in document.fields:
        arguments = bind(dict(field.arguments), variables)
        if document.kind == "mutation":
            total += MUTATION + _children(field, variables) + _input_cost(field.name, arguments)
        elif field.name == "nodes":
            total += len(arguments["ids"]) * (1 + _children(field, variables))
        else:
            total += _cost(field, variables)
    return total


def _cost(field: Selected, variables: Mapping[str, Any]) -> float:
    if not field.fields:
        return 0
    if field.on:
        return _children(field, variables)
    first = bind(field.arguments.get("first"), variables)
    nodes = next((one for one in field.fields if one.name == "nodes"), None)
    if nodes is not None:
        info = any(one.name == "pageInfo" for one in field.fields)
        return 2 + (first or 0) * (1 + _children(nodes, variables)) + info
    return float((first or 1) * (1 + _children(field, variables)))


def _children(field: Selected, variables: Mapping[str, Any]) -> float:
    return sum(_cost(one, variables) for one in field.fields)


def _input_cost(name: str, arguments: Mapping[str, Any]) -> float:
    if name != "productSet":
        return 0
    given = arguments["input"]
    return 0.2 * len(given.get("variants") or ()) + 1.9 * len(given.get("files") or ())


def actual_cost(document: Document, data: Mapping[str, Any]) -> float:
    """What it did cost: every object that was answered."""
    base = MUTATION * len(document.fields) if document.kind == "mutation" else 0
    return base + sum(_objects(value) for value in data.values())


def _objects(value: Any) -> float:
    if isinstance(value, list):
        return sum(_objects(one) for one in value)
    if isinstance(value, dict):
        return 1 + sum(_objects(one) for one in value.values())
    return 0


# ---------------------------------------------------------------- answers


def cut(value: Any, fields: tuple[Selected, ...], variables: Mapping[str, Any]) -> Any:
    """A value with exactly the fields that were asked for. Raises ``BadDocument`` for one that the sandbox lacks."""
    if value is None or not fields:
        return value
    if isinstance(value, list):
        return [cut(one, fields, variables) for one in value]
    found: dict[str, Any] = {}
    for field in fields:
        if field.on:
            if field.on == value.get("__typename"):
                found |= cut(value, field.fields, variables)
            continue
        if field.name not in value:
            raise BadDocument(f"the sandbox knows no field {field.name!r} of {value.get('__typename', 'this object')}")
        inner = value[field.name]
        if callable(inner):
            inner = inner(bind(dict(field.arguments), variables))
        found[field.key] = cut(inner, field.fields, variables)
    return found


def connection(entries: list[Any], arguments: Mapping[str, Any], cursor: Callable[[Any], str], view: Any) -> Any:
    """A page of entries that stand behind ``after`` (their own cursor), as many as ``first`` says."""
    after = arguments.get("after")
    start = 0
    if after is not None:
        start = next((n for n, entry in enumerate(entries) if cursor(entry) > after), len(entries))
    page = entries[start : start + arguments["first"]]
    more = len(entries) > start + len(page)
    return {
        "nodes": [view(entry) for entry in page],
        "pageInfo": {"hasNextPage": more, "endCursor": cursor(page[-1]) if page else None},
    }
