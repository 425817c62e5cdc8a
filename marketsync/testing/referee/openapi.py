"""OpenAPI 3 and Swagger 2: which operation a request is, and what its parameters, bodies and replies may be."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from marketsync.testing.referee.schema import Schemas

METHODS = frozenset({"get", "put", "post", "delete", "patch", "head", "options"})
_OF_HTTP = frozenset({"authorization", "content-type", "accept"})  # OpenAPI says to ignore these as parameters


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of the contract: "GET /orders/{id}"."""

    name: str
    method: str
    pattern: re.Pattern[str]
    static: int  # characters of the path that are no parameters: the most specific path wins
    operation: dict[str, Any]
    parameters: tuple[dict[str, Any], ...]


class OpenApiContract:
    def __init__(self, document: dict[str, Any], limits: Mapping[str, Mapping[str, int]], base: str | None) -> None:
        self._document = document
        self._schemas = Schemas(document)
        self._swagger = "swagger" in document
        self._endpoints = self._read_endpoints(_base(document) if base is None else base)
        unknown = set(limits) - {endpoint.name for endpoint in self._endpoints}
        if unknown:
            raise ValueError(f"the contract has no operation {min(unknown)!r}")
        self._limits = limits

    def request(
        self, method: str, path: str, query: list[tuple[str, str]], headers: Mapping[str, str], body: bytes
    ) -> tuple[str, list[str]]:
        endpoint = self._find(method, path)
        if endpoint is None:
            return "", [f"the contract has no {method} {path}"]
        faults = self._path_faults(endpoint, path)
        faults += self._query_faults(endpoint, query)
        faults += self._header_faults(endpoint, headers, query)
        faults += self._body_faults(endpoint, headers, body)
        return endpoint.name, faults + self._limit_faults(endpoint, query, body)

    def reply(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes, request_body: bytes
    ) -> tuple[str, list[str]]:
        del request_body  # what was asked does not change what may be answered
        endpoint = self._find(method, path)
        if endpoint is None:
            return "", [f"the contract has no {method} {path}"]
        responses = endpoint.operation.get("responses", {})
        known = next((code for code in (str(status), f"{status // 100}XX", "default") if code in responses), None)
        if known is None:
            return endpoint.name, [f"the status is none of {', '.join(responses)}"]
        response = self._schemas.resolve(responses[known])
        if self._swagger:
            content = {"application/json": {"schema": response["schema"]}} if "schema" in response else {}
        else:
            content = response.get("content", {})
        if not content or (not body and status in {204, 304}):
            return endpoint.name, []
        return endpoint.name, self._content_faults(content, headers, body, "body")

    def _read_endpoints(self, base: str) -> list[Endpoint]:
        endpoints = []
        for path, item in self._document["paths"].items():
            for method, operation in item.items():
                if method not in METHODS:
                    continue
                parameters = [
                    self._schemas.resolve(one) for one in item.get("parameters", []) + operation.get("parameters", [])
                ]
                by_key = {(one["name"], one["in"]): one for one in parameters}  # an operation's own ones win
                pieces = re.split(r"\{[^}]*\}", base + path.split("?")[0])
                endpoints.append(
                    Endpoint(
                        name=f"{method.upper()} {path}",
                        method=method.upper(),
                        pattern=re.compile("([^/]+)".join(re.escape(piece) for piece in pieces) + "/?"),
                        static=sum(map(len, pieces)),
                        operation=operation,
                        parameters=tuple(by_key.values()),
                    )
                )
        return sorted(endpoints, key=lambda endpoint: -endpoint.static)

    def _find(self, method: str, path: str) -> Endpoint | None:
        return next((one for one in self._endpoints if one.method == method and one.pattern.fullmatch(path)), None)

    def _path_faults(self, endpoint: Endpoint, path: str) -> list[str]:
        names = re.findall(r"\{([^}]*)\}", endpoint.name)
        match = endpoint.pattern.fullmatch(path)
        assert match is not None
        values = dict(zip(names, map(unquote, match.groups()), strict=True))
        return [
            fault
            for parameter in endpoint.parameters
            if parameter["in"] == "path" and parameter["name"] in values
            for fault in self._value_faults(parameter, [values[parameter["name"]]], f"path.{parameter['name']}")
        ]

    def _query_faults(self, endpoint: Endpoint, query: list[tuple[str, str]]) -> list[str]:
        declared = {one["name"]: one for one in endpoint.parameters if one["in"] == "query"}
        secured = {one.get("name") for one in self._security_schemes().values() if one.get("in") == "query"}
        faults = [
            f"query.{name}: the contract has no such parameter"
            for name in dict.fromkeys(name for name, _ in query)
            if name not in declared and name not in secured
        ]
        for name, parameter in declared.items():
            values = [value for key, value in query if key == name]
            if values:
                faults += self._value_faults(parameter, values, f"query.{name}")
            elif parameter.get("required"):
                faults.append(f"query.{name}: is required")
        return faults

    def _header_faults(self, endpoint: Endpoint, headers: Mapping[str, str], query: list[tuple[str, str]]) -> list[str]:
        faults = []
        for parameter in endpoint.parameters:
            name = parameter["name"].lower()
            if parameter["in"] != "header" or name in _OF_HTTP:
                continue
            if name in headers:
                faults += self._value_faults(parameter, [headers[name]], f"header.{name}")
            elif parameter.get("required"):
                faults.append(f"header.{name}: is required")
        return faults + self._security_faults(endpoint, headers, query)

    def _security_schemes(self) -> dict[str, dict[str, Any]]:
        if self._swagger:
            return self._document.get("securityDefinitions", {})  # type: ignore[no-any-return]
        return self._document.get("components", {}).get("securitySchemes", {})  # type: ignore[no-any-return]

    def _security_faults(
        self, endpoint: Endpoint, headers: Mapping[str, str], query: list[tuple[str, str]]
    ) -> list[str]:
        alternatives = endpoint.operation.get("security", self._document.get("security", []))
        schemes = self._security_schemes()

        def shown(name: str) -> bool:
            scheme = self._schemas.resolve(schemes[name])
            if scheme["type"] != "apiKey":
                return "authorization" in headers
            key = scheme["name"]
            return key.lower() in headers or any(name == key for name, _ in query)

        if not alternatives or any(all(map(shown, one)) for one in alternatives):
            return []
        return [f"credentials: none of {', '.join(name for one in alternatives for name in one)} is sent"]

    def _body_faults(self, endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> list[str]:
        if self._swagger:
            declared = next((one for one in endpoint.parameters if one["in"] == "body"), None)
            content = {"application/json": {"schema": declared["schema"]}} if declared else {}
            required = bool(declared and declared.get("required"))
        else:
            request_body = self._schemas.resolve(endpoint.operation.get("requestBody", {}))
            content, required = request_body.get("content", {}), request_body.get("required", False)
        if not body:
            return ["body: is required"] if required else []
        if not content:
            return ["body: this operation takes none"]
        return self._content_faults(content, headers, body, "body")

    def _content_faults(
        self, content: Mapping[str, Any], headers: Mapping[str, str], body: bytes, where: str
    ) -> list[str]:
        media = headers.get("content-type", "").split(";")[0].strip().lower()
        known = next((kind for kind in content if _fits(media, kind.split(";")[0].strip().lower())), None)
        if known is None:
            return [f"{where}: is {media or 'of no type'}, not {' or '.join(content)}"]
        if "json" not in media or "schema" not in content[known]:
            return []
        try:
            value = json.loads(body)
        except ValueError as error:
            return [f"{where}: is no JSON: {error}"]
        return self._schemas.faults(value, content[known]["schema"], where)

    def _value_faults(self, parameter: dict[str, Any], texts: list[str], where: str) -> list[str]:
        schema = parameter.get("schema") or {name: parameter[name] for name in _SCHEMA_WORDS if name in parameter}
        kind = self._schemas.resolve(schema)
        if kind.get("type") != "array":
            if len(texts) > 1:
                return [f"{where}: stands {len(texts)} times"]
            return self._schemas.faults(_typed(texts[0], kind), schema, where)
        items = self._schemas.resolve(kind.get("items", {}))
        repeated = parameter.get("explode", True) if not self._swagger else parameter.get("collectionFormat") == "multi"
        parts = texts if repeated and len(texts) > 1 else [part for text in texts for part in text.split(",")]
        return self._schemas.faults([_typed(part, items) for part in parts], schema, where)

    def _limit_faults(self, endpoint: Endpoint, query: list[tuple[str, str]], body: bytes) -> list[str]:
        faults = []
        for place, most in self._limits.get(endpoint.name, {}).items():
            if place.startswith("?"):
                values = [value for name, value in query if name == place[1:]]
                faults += [f"query.{place[1:]}: {value} is above {most}" for value in values if int(value) > most]
                continue
            node = json.loads(body) if body else []
            for step in filter(None, place.split(".")):
                node = node.get(step, []) if isinstance(node, dict) else []
            if len(node) > most:
                faults.append(f"body{'.' * bool(place)}{place}: {len(node)} entries are more than {most}")
        return faults


_SCHEMA_WORDS = ("type", "format", "enum", "items", "minimum", "maximum", "minLength", "maxLength", "pattern",
                 "minItems", "maxItems", "uniqueItems")  # fmt: skip


def _typed(text: str, schema: Mapping[str, Any]) -> Any:
    """The value that a text of a path, a query or a header stands for; the text itself where it is none."""
    match schema.get("type"):
        case "integer" if re.fullmatch(r"-?\d+", text):
            return int(text)
        case "number" if re.fullmatch(r"-?\d+(\.\d+)?", text):
            return float(text)
        case "boolean" if text in {"true", "false"}:
            return text == "true"
    return text


def _fits(media: str, kind: str) -> bool:
    return kind in {"*/*", media} or (kind.endswith("/*") and media.startswith(kind[:-1]))


def _base(document: dict[str, Any]) -> str:
    if "swagger" in document:
        return str(document.get("basePath", "")).rstrip("/")
    server = (document.get("servers") or [{}])[0]
    url = str(server.get("url", ""))
    for name, variable in server.get("variables", {}).items():
        url = url.replace(f"{{{name}}}", variable["default"])
    return urlsplit(url).path.rstrip("/")
