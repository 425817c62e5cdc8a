"""The JSON Schema that editors check a configuration with, made from the models and the adapters' own models."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from marketsync.adapter.spec import AdapterSpec
from marketsync.config.models import Config

_REFERENCE = {"$ref": "#/$defs/reference"}
# Where the domain takes a single value for a list of one.
_ONE_OR_SEVERAL = {"PriceRules": ("ending",), "Filter": ("skus", "categories", "brands", "tags", "conditions")}
_WRAPPED = ("title", "description", "default", "examples")


def json_schema(specs: Mapping[str, AdapterSpec]) -> dict[str, Any]:
    """The schema of a configuration whose adapters are ``specs``, by name. References to secrets fit everywhere."""
    schema = Config.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    _flat_rates(definitions["RateTable"])
    for model, fields in _ONE_OR_SEVERAL.items():
        for field in fields:
            _one_or_several(definitions[model]["properties"][field])
    for name in sorted(specs):
        spec = specs[name]
        _adopt(definitions, f"{name}_credentials", spec.credentials)
        _adopt(definitions, f"{name}_settings", spec.settings)
    _of_adapters(definitions["Account"], specs, ("credentials",))
    _of_adapters(definitions["Channel"], specs, ("credentials", "settings"))
    definitions["Channel"]["properties"]["settings"] |= {
        "anyOf": [{"type": "null"}, *({"$ref": f"#/$defs/{name}_settings"} for name in sorted(specs))]
    }
    schema = _as_editors_see_it(schema)
    schema["$defs"]["reference"] = {
        "type": "string",
        "pattern": r"\$\{(env|file|credential):[^}]+\}",
        "description": "A secret, read when the configuration is: an environment variable, a file, a systemd credential.",
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "marketsync.yaml"}


def schema_text(specs: Mapping[str, AdapterSpec]) -> str:
    """The schema as a file: what ``marketsync schema`` prints and ``config/marketsync.schema.json`` holds."""
    return json.dumps(json_schema(specs), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _flat_rates(rates: dict[str, Any]) -> None:
    """The codes may stand beside the date."""
    rates["patternProperties"] = rates["properties"]["rates"]["patternProperties"]
    rates["required"].remove("rates")


def _one_or_several(field: dict[str, Any]) -> None:
    field["anyOf"] = [field["items"], {"type": field.pop("type"), "items": field.pop("items")}]


def _adopt(definitions: dict[str, Any], name: str, model: type[BaseModel]) -> None:
    """Put an adapter's model, and what it refers to, among the definitions under names of its own."""
    schema = model.model_json_schema(by_alias=True, ref_template=f"#/$defs/{name}_{{model}}")
    for inner, definition in schema.pop("$defs", {}).items():
        definitions[f"{name}_{inner}"] = definition
    definitions[name] = schema


def _of_adapters(section: dict[str, Any], specs: Mapping[str, AdapterSpec], keys: tuple[str, ...]) -> None:
    section["properties"]["adapter"]["examples"] = sorted(specs)
    section["allOf"] = [
        {
            "if": {"properties": {"adapter": {"const": name}}, "required": ["adapter"]},
            "then": {"properties": {key: {"$ref": f"#/$defs/{name}_{key}"} for key in keys}},
        }
        for name in sorted(specs)
    ]


def _as_editors_see_it(node: Any) -> Any:
    """Let references stand for every value, and plain text be what looks like a number: the loader reads both."""
    if isinstance(node, list):
        return [_as_editors_see_it(part) for part in node]
    if not isinstance(node, dict):
        return node
    if "const" in node:
        return node
    known = {key: part if key in ("examples", "default", "enum") else _inside(key, part) for key, part in node.items()}
    kind = known.get("type")
    if kind == "string" and not {"pattern", "enum", "format"} & known.keys():
        return known | {"type": ["string", "number", "boolean"]}
    if kind in ("string", "integer", "number", "boolean"):
        around = {key: known.pop(key) for key in _WRAPPED if key in known}
        # YAML 1.2 has no yes and no: to editors they are text.
        words = [{"enum": ["yes", "no", "on", "off"]}] if kind == "boolean" else []
        return around | {"anyOf": [known, *words, _REFERENCE]}
    return known


def _inside(key: str, part: Any) -> Any:
    """Properties are named as schema words are: only their values are schemas."""
    if key in ("properties", "$defs", "patternProperties"):
        return {name: _as_editors_see_it(schema) for name, schema in part.items()}
    return part if key == "propertyNames" else _as_editors_see_it(part)
