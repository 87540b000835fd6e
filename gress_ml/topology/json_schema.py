"""JSON Schema of the topology file, for editors: each key with its help, each operator's config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import PydanticUserError

from gress_ml.topology.catalogue import Catalogue, OperatorClass
from gress_ml.topology.spec import TopologySpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}
#: Where the keywords of a JSON Schema hold schemas: by name, or in a list.
_BY_NAME = ("properties", "$defs")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "if", "then", "else")

Schema = dict[str, Any]


def topology_schema(catalogue: Catalogue, schema_names: tuple[str, ...] = ()) -> Schema:
    """The JSON Schema of a topology file that may use these operators and named schemas."""
    schema = TopologySpec.model_json_schema()
    definitions: Schema = schema["$defs"]
    step = definitions["StepSpec"]
    step["properties"]["operator"] = {
        "description": "Name of the operator.",
        "enum": [*catalogue.operators],
    }
    step["allOf"] = [
        _when_operator(name, operator, definitions)
        for name, operator in catalogue.operators.items()
    ]
    if schema_names:
        definitions["InputSpec"]["properties"]["schema"]["examples"] = [*schema_names]
    _short_fields(definitions)
    found: Schema = _with_variables(schema)
    return {"$schema": DIALECT, **found, "title": "gress-ml topology"}


def _when_operator(name: str, operator: OperatorClass, definitions: Schema) -> Schema:
    """If the step has this operator, then its config is of the operator's type."""
    config = _config_schema(operator)
    inner = config.pop("$defs", {})
    definitions[f"config:{name}"] = _moved(config, name)
    definitions.update({f"{name}:{key}": _moved(value, name) for key, value in inner.items()})
    then: Schema = {"properties": {"config": {"$ref": f"#/$defs/config:{name}"}}}
    if config.get("required"):
        then["required"] = ["config"]
    return {"if": {"properties": {"operator": {"const": name}}, "required": ["operator"]}} | {
        "then": then
    }


def _config_schema(operator: OperatorClass) -> Schema:
    help_text = (operator.__doc__ or "").strip()
    try:
        schema = operator.Config.model_json_schema()
    except PydanticUserError:  # a type without a JSON form: any mapping
        return {"type": "object", "description": help_text}
    return {**schema, "title": operator.name, "description": help_text}


def _moved(schema: Any, name: str) -> Any:
    """The schema with its references pointing to the definitions of this operator."""
    if isinstance(schema, Mapping):
        moved = {key: _moved(value, name) for key, value in schema.items()}
        reference = moved.get("$ref")
        if isinstance(reference, str):
            moved["$ref"] = f"#/$defs/{name}:{reference.rpartition('/')[2]}"
        mapping = schema.get("discriminator")
        if isinstance(mapping, Mapping):
            del moved["discriminator"]  # of OpenAPI: its references would point nowhere
        return moved
    return [_moved(item, name) for item in schema] if isinstance(schema, list) else schema


def _short_fields(definitions: Schema) -> None:
    """A field of an event may be written as its type alone."""
    types = definitions["FieldSpec"]["properties"]["type"]
    long_form = definitions.pop("FieldSpec")
    definitions["FieldSpec"] = {"anyOf": [{"enum": types["enum"]}, long_form]}


def _with_variables(schema: Any) -> Any:
    """Where a number, a boolean or one of some words stands, ``${NAME}`` may stand too."""
    if not isinstance(schema, Mapping):
        return schema
    found = {key: _inside(key, value) for key, value in schema.items()}
    scalar = found.get("type") in ("integer", "number", "boolean")
    if not (scalar or "enum" in found or "pattern" in found):
        return found
    help_keys = {"description", "default", "title", "examples"}
    rest = {key: value for key, value in found.items() if key not in help_keys}
    return {k: v for k, v in found.items() if k in help_keys} | {"anyOf": [rest, _VARIABLE]}


def _inside(key: str, value: Any) -> Any:
    if key in _BY_NAME:
        return {name: _with_variables(inner) for name, inner in value.items()}
    if key in _LISTS:
        return [_with_variables(inner) for inner in value]
    if key in _SINGLE:
        return _with_variables(value)
    return value
