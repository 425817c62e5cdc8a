"""What a model refuses, in plain sentences and at the place where it was written."""

import difflib
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
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
    "zoneinfo_str": "{value} is no time zone, write a name such as Europe/Berlin",
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


def validated(
    model: type[BaseModel], written: Any, tree: Tree, prefix: Path_, context: dict[str, Any] | None = None
) -> Any:
    """An instance made of what is written at ``prefix``, or None with its mistakes noted in ``tree``."""
    try:
        return model.model_validate(written, context=context)
    except ValidationError as error:
        _refuse_all(error, tree, prefix, model)
    return None


def _refuse_all(error: ValidationError, tree: Tree, prefix: Path_, model: type[BaseModel]) -> None:
    for mistake in error.errors(include_url=False):
        path, missing = _path(tree, prefix, mistake)
        below = path[len(prefix) :]
        if path in tree.unresolved:
            continue
        if mistake["type"] == "missing":
            tree.refuse((*path, *missing), "it is missing", at=tree.place(path))
        elif mistake["type"] == "extra_forbidden":
            hint = nearest(str(path[-1]), _keys(model, below[:-1]))
            tree.refuse(path, "there is no such key", hint, at=tree.keys.get(path))
        elif mistake["loc"] and mistake["loc"][-1] == "[key]":
            tree.refuse(path, _sentence(mistake, str(path[-1])), at=tree.keys.get(path))
        elif tree.at(path) is None and path in tree.values:
            tree.refuse(path, "it is empty, write a value or leave the key out")
        elif SecretStr in _annotations(model, below) or "credentials" in path:
            tree.refuse(path, _secret_sentence(mistake, tree.at(path)))
        elif path in tree.secret:
            tree.refuse(path, "the value of the reference cannot be used here")
        else:
            tree.refuse(path, _sentence(mistake, tree.at(path)), _hint(mistake))


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


def _sentence(mistake: ErrorDetails, written: Any) -> str:
    return _told(mistake, _shown(written))


def _secret_sentence(mistake: ErrorDetails, written: Any) -> str:
    """What is wrong with a secret, without a word of it."""
    text = _told(mistake, "the value")
    return "the value cannot be used here" if isinstance(written, str) and written and written in text else text


def _told(mistake: ErrorDetails, value: str) -> str:
    kind, context = mistake["type"], mistake.get("ctx", {})
    if kind in ("too_short", "string_too_short") and context["min_length"] == 1:
        return "it must not be empty"
    if kind in _SENTENCES:
        return _SENTENCES[kind].format_map({**context, "value": value, "choices": _choices(context)})
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


def _keys(model: type[BaseModel], path: Path_) -> list[str]:
    """The keys that the model at ``path`` below a model knows."""
    return [
        field.alias or name
        for annotation in _annotations(model, path)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel)
        for name, field in annotation.model_fields.items()
    ]


def _annotations(annotation: Any, path: Path_) -> Iterator[Any]:
    """What may stand at ``path`` below an annotation: unions and containers taken apart."""
    arguments = get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        yield from _annotations(arguments[0], path)
    elif get_origin(annotation) in (Union, types.UnionType):
        for branch in arguments:
            yield from _annotations(branch, path)
    elif not path:
        yield annotation
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            if path[0] in (name, field.alias):
                yield from _annotations(field.annotation, path[1:])
    elif arguments:
        yield from _annotations(arguments[0] if arguments[-1] is ... else arguments[-1], path[1:])
