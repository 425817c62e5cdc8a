"""WooCommerce's contract for the referee, put together of what is published.

The OpenAPI file was generated from a shop of 2021 by a third party: it has no batch routes, and its reply schemas say
that nothing is ever null. The official route index has the batch routes, the official examples show the replies. What
both tell of later versions is added here as data, with its source; a test holds all official examples to the result.
"""

import copy
import functools
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from marketsync.testing.referee import Referee
from marketsync.testing.referee.openapi import OpenApiContract

CONTRACTS = Path(os.environ.get("MARKETSYNC_CONTRACTS", Path(__file__).resolve().parents[3] / "shared" / "contracts"))
FOLDER = CONTRACTS / "woocommerce"
BASE = "/wp-json/wc/v3"

# Stands only in prose: "Batch: 100 objects", "per_page: maximum 100".
_BATCHES = ("/products/batch", "/products/{product_id}/variations/batch")
LIMITS = {
    **{f"POST {path}": dict.fromkeys(("create", "update", "delete"), 100) for path in _BATCHES},
    **{
        f"GET {path}": {"?per_page": 100}
        for path in ("/products", "/products/{product_id}/variations", "/orders", "/orders/{order_id}/refunds")
    },
}

# Official examples show null where the generated schemas have only a type.
_NULLABLE = re.compile(r"date_.*|stock_quantity|low_stock_amount|image|sku|parent_name|backordered")
# ... and these other types.
_TYPES: dict[str, Any] = {
    "version": {"type": "string"},
    "shipping_class_id": {"type": ["string", "integer"]},
    "price": {"type": ["string", "number"]},
    "amount": {"type": "string"},
    "status_of_a_variation": {"type": ["string", "boolean"]},
    "value": {},  # of a meta field: "mixed"
    "reason": {"type": ["string", "null"]},
    "compound": {"type": "boolean"},
    "permalink": {"type": "string"},
    "product_id": {"type": "integer"},
    "rate_id": {"type": "integer"},
    "downloads": {"type": "array"},
}

# WordPress's own parameters of every route, and fields of WooCommerce 9.2 (global_unique_id) and 5.x (refunds).
_GLOBAL = ("_fields",)
_SINCE = {
    "product": {"global_unique_id": {"type": "string"}},
    "product_variation": {"global_unique_id": {"type": "string"}, "parent_id": {"type": "integer"}},
}
_REFUND = {
    "api_restock": {"type": "boolean"},
    "line_items": {
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["id"],
            "properties": {
                "id": {"type": "integer"},
                "quantity": {"type": "integer"},
                "refund_total": {"type": "number"},
                "refund_tax": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["id", "refund_total"],
                        "properties": {"id": {"type": "integer"}, "refund_total": {"type": "number"}},
                    },
                },
            },
        },
    },
}
_ERROR = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
}


def needed() -> None:
    if not FOLDER.exists():
        pytest.skip("WooCommerce's contract is not at hand (MARKETSYNC_CONTRACTS)")


def referee() -> Referee:
    needed()
    return Referee(OpenApiContract(document(), LIMITS, BASE))


@functools.cache
def index() -> dict[str, Any]:
    return json.loads((FOLDER / "wc-v3-index.official-docs.json").read_bytes())["routes"]


@functools.cache
def examples() -> dict[str, Any]:
    return json.loads((FOLDER / "wc-v3-response-examples.official-docs.json").read_bytes())


@functools.cache
def document() -> dict[str, Any]:
    """The contract as one OpenAPI document."""
    made = yaml.load((FOLDER / "woocommerce-openapi-3.0.x.yml").read_bytes(), Loader=yaml.CSafeLoader)
    schemas = made["components"]["schemas"]
    for name, more in _SINCE.items():
        schemas[name]["properties"] |= more
    schemas["product"]["properties"]["type"]["enum"].append("variation")  # what a search by SKU finds
    for name in schemas:
        schemas[name] = _as_shown(schemas[name])
    schemas["product_variation"]["properties"]["status"] = _TYPES["status_of_a_variation"]
    schemas["shop_order"]["properties"]["status"] = {"type": "string"}  # plugins add statuses of their own
    schemas["error"] = _ERROR
    paths = made["paths"]
    for item in paths.values():
        for method, operation in item.items():
            _known_replies(method, operation)
    refund = paths["/orders/{order_id}/refunds"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    refund["properties"] |= _REFUND
    products = paths["/products"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    variations = paths["/products/{product_id}/variations"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    products["properties"] |= _SINCE["product"]
    variations["properties"] |= {**_SINCE["product_variation"], "status": {"type": "string"}}
    paths["/products/batch"] = {"post": _batch(products, "product")}
    batch = _batch(variations, "product_variation")
    batch["parameters"] = [{"name": "product_id", "in": "path", "required": True, "schema": {"type": "integer"}}]
    paths["/products/{product_id}/variations/batch"] = {"post": batch}
    paths["/settings/{group_id}"] = {"get": _settings()}
    for path in ("/orders/{id}", "/orders/{order_id}/refunds"):
        operation = paths[path]["get"]
        if not any(one["name"] == "dp" for one in operation["parameters"]):  # documented for single orders too
            operation["parameters"].append({"name": "dp", "in": "query", "schema": {"type": "integer"}})
    return made


def _known_replies(method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        content["schema"]["additionalProperties"] = False
    if method == "get":
        operation.setdefault("parameters", []).extend(
            {"name": name, "in": "query", "schema": {"type": "string"}} for name in _GLOBAL
        )
    if method == "post":  # every official example of a create is "201 Created"
        responses["201"] = copy.deepcopy(responses["200"])
    error = {
        "description": "Refused",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}},
    }
    for status in ("400", "401", "403", "404", "413"):
        responses[status] = error


def _batch(item: dict[str, Any], name: str) -> dict[str, Any]:
    strict = item | {"additionalProperties": False}
    update = strict | {"required": ["id"], "properties": {**item["properties"], "id": {"type": "integer"}}}
    shown = {"anyOf": [_refused(), {"$ref": f"#/components/schemas/{name}"}]}
    operation = {
        "requestBody": _json(
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "create": {"type": "array", "items": strict},
                    "update": {"type": "array", "items": update},
                    "delete": {"type": "array", "items": {"type": "integer"}},
                },
            }
        ),
        "responses": {
            "200": {
                "description": "OK",
                **_json(
                    {
                        "type": ["object", "array"],  # PHP writes an empty object as a list
                        "maxItems": 0,
                        "properties": {
                            verb: {"type": "array", "items": shown} for verb in ("create", "update", "delete")
                        },
                    }
                ),
            }
        },
    }
    _known_replies("batch", operation)
    return operation


def _refused() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["id", "error"],
        "properties": {"id": {"type": "integer"}, "error": {"$ref": "#/components/schemas/error"}},
    }


def _settings() -> dict[str, Any]:
    setting = {"type": "object", "required": ["id", "value"], "properties": {"id": {"type": "string"}}}
    operation = {
        "parameters": [{"name": "group_id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "responses": {"200": {"description": "OK", **_json({"type": "array", "items": setting})}},
    }
    _known_replies("get", operation)
    return operation


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _as_shown(schema: Any) -> Any:
    """A reply schema with what the official examples show: nulls, and some other types."""
    if isinstance(schema, list):
        return [_as_shown(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _as_shown(value) for key, value in schema.items()}
    properties = made.get("properties")
    if isinstance(properties, dict):
        for name, value in properties.items():
            if name in _TYPES:
                properties[name] = _TYPES[name]
            elif isinstance(value, dict) and _NULLABLE.fullmatch(name):
                properties[name] = value | {"nullable": True}
    return made
