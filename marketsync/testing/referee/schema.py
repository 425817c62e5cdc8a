"""JSON Schema as OpenAPI writes it, made into JSON Schema as validators read it."""

import re
from datetime import date, datetime
from typing import Any

from jsonschema import FormatChecker  # type: ignore[import-untyped]  # it ships no types
from jsonschema.protocols import Validator  # type: ignore[import-untyped]  # as above
from jsonschema.validators import Draft4Validator, Draft202012Validator  # type: ignore[import-untyped]  # as above
from referencing import Registry
from referencing.jsonschema import DRAFT4, DRAFT202012

ROOT = "urn:contract"


def _date_time(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


def _date(value: object) -> bool:
    return not isinstance(value, str) or bool(date.fromisoformat(value))


_formats = FormatChecker(formats=())
_formats.checks("date-time", raises=ValueError)(_date_time)
_formats.checks("date", raises=ValueError)(_date)


class Schemas:
    """All schemas of one document. Versions 2.0 and 3.0 speak Draft 4 (with ``nullable``), 3.1 speaks 2020-12.

    Contracts as they are published do not always pass strict validation of themselves (wrong defaults, patterns of
    other dialects); only what decides about a value is used.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        modern = str(document.get("openapi", "")).startswith("3.1")
        self._kind: type[Validator] = Draft202012Validator if modern else Draft4Validator
        self._document = document
        usable = _usable(document)
        resource = (DRAFT202012 if modern else DRAFT4).create_resource(usable)
        self._registry: Registry[Any] = Registry().with_resource(ROOT, resource)

    def faults(self, value: Any, schema: dict[str, Any], where: str) -> list[str]:
        """What of a value the schema does not allow, with the place in it."""
        validator = self._kind(_usable(schema), registry=self._registry, format_checker=_formats)
        found = []
        for error in validator.iter_errors(value):
            closest = _closest(error)
            place = ".".join([where, *(str(step) for step in closest.absolute_path)])
            found.append(f"{place}: {closest.message[:300]}")
        return found

    def resolve(self, node: Any) -> Any:
        """The node itself, or what its ``$ref`` points to, in the document's own words."""
        while isinstance(node, dict) and isinstance(node.get("$ref"), str):
            target: Any = self._document
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step.replace("~1", "/").replace("~0", "~")]
            node = target
        return node


def _closest(error: Any) -> Any:
    """Of an anyOf or oneOf, the fault of the alternative that came nearest: deepest, and of the right type."""
    while error.context:
        error = max(error.context, key=lambda one: (len(one.absolute_path), one.validator != "type"))
    return error


def _usable(node: Any) -> Any:
    if isinstance(node, list):
        return [_usable(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {name: _usable(value) for name, value in node.items()}
    if isinstance(made.get("$ref"), str) and made["$ref"].startswith("#"):
        made["$ref"] = ROOT + made["$ref"]
    if isinstance(made.get("pattern"), str) and not _compiles(made["pattern"]):
        del made["pattern"]
    if made.get("type") == "file":
        del made["type"]
    if node.get("nullable") is True or node.get("x-nullable") is True:
        return {"anyOf": [{"type": "null"}, made]}
    return made


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
