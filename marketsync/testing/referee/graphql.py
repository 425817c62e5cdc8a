"""GraphQL: is the document valid, do its variables fit, and does the reply have exactly the shape that was asked for."""

import json
from collections.abc import Mapping
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    build_client_schema,
    get_operation_ast,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values

_SCALARS: Mapping[str, tuple[type, ...]] = {
    "String": (str,),
    "ID": (str,),
    "Int": (int,),
    "Float": (int, float),
    "Boolean": (bool,),
}


class GraphQLContract:
    def __init__(self, introspection: dict[str, Any], endpoint: str) -> None:
        # Providers publish schemas that fail the reference checks of the schema itself in a few places.
        self._schema = build_client_schema(introspection.get("data", introspection), assume_valid=True)
        self._endpoint = endpoint

    def request(
        self, method: str, path: str, query: list[tuple[str, str]], headers: Mapping[str, str], body: bytes
    ) -> tuple[str, list[str]]:
        if method != "POST" or not path.endswith(self._endpoint):
            return "", [f"the contract has no {method} {path}"]
        faults = [f"query.{name}: there are no query parameters" for name, _ in query]
        if "json" not in headers.get("content-type", ""):
            faults.append("header.content-type: is not application/json")
        operation, _, found = self._read(body)
        return _name(operation), faults + found

    def reply(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes, request_body: bytes
    ) -> tuple[str, list[str]]:
        del method, path, headers
        operation, fragments, faults = self._read(request_body)
        if operation is None or faults:
            return _name(operation), ["the request that it answers is not valid", *faults]
        try:
            reply = json.loads(body)
        except ValueError as error:
            return _name(operation), [f"body: is no JSON: {error}"]
        if not isinstance(reply, dict) or not reply.keys() & {"data", "errors"}:
            return _name(operation), ["body: has neither data nor errors"]
        if reply.get("data") is None:
            return _name(operation), [] if reply.get("errors") else ["body.data: is missing without errors"]
        if status != 200:
            return _name(operation), [f"data comes with 200, not with {status}"]
        root = self._schema.get_root_type(operation.operation)
        shape = _Shape(self._schema, fragments)
        return _name(operation), shape.faults(reply["data"], root, operation.selection_set, "data")

    def _read(self, body: bytes) -> tuple[OperationDefinitionNode | None, dict[str, FragmentDefinitionNode], list[str]]:
        """The operation that a request runs, the fragments it knows, and what is wrong with it."""
        try:
            request = json.loads(body)
            document = parse(request["query"])
        except (ValueError, KeyError, TypeError, GraphQLError) as error:
            return None, {}, [f"body: is no GraphQL request: {error}"]
        faults = [f"query: {error.message}" for error in validate(self._schema, document)]
        operation = get_operation_ast(document, request.get("operationName"))
        if operation is None:
            return None, {}, [*faults, "operationName: names no operation of the document"]
        if not faults:
            variables = get_variable_values(
                self._schema, operation.variable_definitions or (), request.get("variables") or {}
            )
            if isinstance(variables, list):
                faults = [f"variables: {error.message}" for error in variables]
        fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
        return operation, fragments, faults


class _Shape:
    """Compares a value with a selection, field by field."""

    def __init__(self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._schema = schema
        self._fragments = fragments

    def faults(self, value: Any, kind: Any, selection: SelectionSetNode | None, where: str) -> list[str]:
        if value is None:
            return [f"{where}: is null, which {kind} cannot be"] if isinstance(kind, GraphQLNonNull) else []
        kind = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
        if isinstance(kind, GraphQLList):
            if not isinstance(value, list):
                return [f"{where}: is no list"]
            return [
                fault
                for n, one in enumerate(value)
                for fault in self.faults(one, kind.of_type, selection, f"{where}.{n}")
            ]
        if isinstance(kind, GraphQLEnumType | GraphQLScalarType):
            return [] if _is_leaf(value, kind) else [f"{where}: {value!r} is no {kind.name}"]
        if not isinstance(value, dict):
            return [f"{where}: is no object"]
        return self._object_faults(value, kind, selection, where)

    def _object_faults(
        self, value: dict[str, Any], kind: Any, selection: SelectionSetNode | None, where: str
    ) -> list[str]:
        actual = self._schema.get_type(value["__typename"]) if "__typename" in value else None
        fields = self._fields(selection, actual or kind)
        faults = [f"{where}.{name}: was not asked for" for name in value if name not in fields and actual is not None]
        for name, (node, parent) in fields.items():
            if name not in value:
                # Of an interface or a union without __typename nobody can say which fragments apply.
                if parent is kind or actual is not None:
                    faults.append(f"{where}.{name}: is missing")
            elif node.name.value != "__typename":
                field = parent.fields[node.name.value]
                faults += self.faults(value[name], field.type, node.selection_set, f"{where}.{name}")
        if actual is None:
            faults += [f"{where}.{name}: was not asked for" for name in value if name not in fields]
        return faults

    def _fields(self, selection: SelectionSetNode | None, kind: Any) -> dict[str, tuple[FieldNode, Any]]:
        """What is asked of an object of this type: by the key in the reply, the field and the type it belongs to."""
        fields: dict[str, tuple[FieldNode, Any]] = {}
        for one in selection.selections if selection else ():
            if isinstance(one, FieldNode):
                fields[one.alias.value if one.alias else one.name.value] = (one, kind)
                continue
            fragment = self._fragments[one.name.value] if isinstance(one, FragmentSpreadNode) else one
            assert isinstance(fragment, FragmentDefinitionNode | InlineFragmentNode)
            condition = self._schema.get_type(fragment.type_condition.name.value) if fragment.type_condition else kind
            if _may_be(self._schema, kind, condition):
                fields |= self._fields(fragment.selection_set, condition)
        return fields


def _is_leaf(value: Any, kind: GraphQLEnumType | GraphQLScalarType) -> bool:
    """Whether a value is of an enum or a scalar; what a provider's own scalars look like, nobody tells."""
    if isinstance(kind, GraphQLEnumType):
        return value in kind.values
    if isinstance(value, bool) and kind.name in _SCALARS:
        return kind.name == "Boolean"
    return isinstance(value, _SCALARS.get(kind.name, object))


def _may_be(schema: GraphQLSchema, kind: Any, condition: Any) -> bool:
    """Whether an object of ``kind`` may be one of ``condition``; either may be an interface or a union."""
    return kind is condition or any(
        schema.is_sub_type(one, other)
        for one, other in ((kind, condition), (condition, kind))
        if hasattr(one, "resolve_type")
    )


def _name(operation: OperationDefinitionNode | None) -> str:
    """The root fields, as in "mutation productSet"."""
    if operation is None:
        return ""
    names = [one.name.value for one in operation.selection_set.selections if isinstance(one, FieldNode)]
    return f"{operation.operation.value} {', '.join(names)}"
