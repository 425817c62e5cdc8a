"""What a model refuses, in plain sentences and at the place where it was written."""

import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from marketsync.config.nodes import Path_, Tree

_TEXT = "{value} stands where a text belongs"
_MAPPING = "{value} stands where a mapping belongs, write key: value lines below the key"
_LIST = "{value} stands where a list belongs, write [a, b]"
_WHOLE = "{value} is no whole number"
_NUMBER = "{value} is no number"
_BOOLEAN = "{value} is neither yes nor no"
_CHOICE = "{value} is not one of {choices}"
_SENTENCES = {
    "string_type": _TEXT,
    "string_unicode": _TEXT,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dataclass_type": _MAPPING,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "iterable_type": _LIST,
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": _WHOLE,
    "decimal_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "finite_number": _NUMBER,
    "bool_parsing": _BOOLEAN,
    "bool_type": _BOOLEAN,
    "literal_error": _CHOICE,
    "enum": _CHOICE,
    "greater_than_equal": "{value} is too small, it has to be at least {ge}",
    "greater_than": "{value} is too small, it has to be more than {gt}",
    "less_than_equal": "{value} is too large, it has to be at most {le}",
    "less_than": "{value} is too large, it has to be less than {lt}",
    "too_short": "{value} is too short, it takes at least {min_length}",
    "string_too_short": "{value} is too short, it takes at least {min_length} characters",
    "too_long": "{value} is too long, it takes at most {max_length}",
    "string_too_long": "{value} is too long, it takes at most {max_length} characters",
    "string_pattern_mismatch": "{value} has not the form that belongs here",
    "zone_info_str": "{value} is no time zone, write a name such as Europe/Berlin",
    "url_parsing": "{value} is no URL",
    "url_scheme": "{value} is no URL that is understood here, it begins with {expected_schemes}",
}


def nearest(name: str, known: Iterable[str], *, noun: str = "known here") -> str:
    """The hint for a name that is not known: the one that was probably meant, else all there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"{noun}: {', '.join(names)}" if names else ""


def refuse_all(error: ValidationError, tree: Tree, prefix: Path_, model: type[BaseModel]) -> None:
    """Note every mistake of a validation error in ``tree``; its locations begin at ``prefix``."""
    for mistake in error.errors(include_url=False):
        path, missing = _path(tree, prefix, mistake)
        if mistake["type"] == "missing":
            tree.refuse((*path, *missing), "it is missing", at=tree.place(path))
        elif mistake["type"] == "extra_forbidden":
            known = _keys(model, path[len(prefix) : -1])
            tree.refuse(path, "there is no such key", nearest(str(path[-1]), known), at=tree.keys.get(path))
        elif mistake["loc"] and mistake["loc"][-1] == "[key]":
            tree.refuse(path, _sentence(mistake, str(path[-1]), hidden=False), at=tree.keys.get(path))
        else:
            tree.refuse(path, _value_sentence(mistake, tree, path), _hint(mistake))


def _path(tree: Tree, prefix: Path_, mistake: ErrorDetails) -> tuple[Path_, Path_]:
    """Where a mistake stands in what was written, and the part of its location that was not written.

    A location also names the branches of unions and the validators that were passed; those were never written.
    """
    path, rest = prefix, list(mistake["loc"])
    while rest:
        part = rest.pop(0)
        if (*path, part) in tree.values:
            path = (*path, part)
        elif not rest and mistake["type"] == "missing":
            return path, (part,)
    return path, ()


def _value_sentence(mistake: ErrorDetails, tree: Tree, path: Path_) -> str:
    written = tree.at(path)
    if written is None and path in tree.values:
        return "it is empty, write a value or leave the key out"
    hidden = path in tree.secret or "credentials" in path
    return _sentence(mistake, written, hidden=hidden)


def _sentence(mistake: ErrorDetails, written: Any, *, hidden: bool) -> str:
    kind, context = mistake["type"], mistake.get("ctx", {})
    if kind in ("too_short", "string_too_short") and context["min_length"] == 1:
        return "it must not be empty"
    if kind in _SENTENCES:
        value = "the value" if hidden else _shown(written)
        return _SENTENCES[kind].format_map({**context, "value": value, "choices": _choices(context)})
    if hidden:
        return "the value cannot be used here"
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])
    return mistake["msg"][:1].lower() + mistake["msg"][1:]


def _shown(written: Any) -> str:
    if isinstance(written, dict):
        return "a mapping"
    if isinstance(written, list):
        return "a list"
    text = repr(written)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _choices(context: Mapping[str, Any]) -> str:
    return str(context.get("expected", "")).replace("'", "").replace(" or ", ", ")


def _hint(mistake: ErrorDetails) -> str:
    if _SENTENCES.get(mistake["type"]) is _CHOICE and isinstance(mistake["input"], str):
        close = difflib.get_close_matches(mistake["input"], _choices(mistake["ctx"]).split(", "), n=1)
        return f"did you mean {close[0]}?" if close else ""
    return ""


def _keys(annotation: Any, path: Path_) -> list[str]:
    """The keys that the model at ``path`` below an annotation knows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return [field.alias or name for name, field in annotation.model_fields.items()]
        for name, field in annotation.model_fields.items():
            if path[0] in (name, field.alias):
                return _keys(field.annotation, path[1:])
        return []
    if get_origin(annotation) in (Union, types.UnionType):
        return [key for branch in get_args(annotation) for key in _keys(branch, path)]
    arguments = get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return _keys(arguments[0], path)
    return _keys(arguments[-1], path[1:]) if arguments and path else []
