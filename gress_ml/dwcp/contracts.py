"""Contracts: the messages as JSON Schema files and one AsyncAPI document, for other programs.

Made from the one declaration in ``events``; a test holds the files in ``docs/contracts`` to it.
Write them with ``python -m gress_ml.dwcp.contracts docs/contracts``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from gress_ml.dwcp.events import DECISION, OUTCOME, SCHEMAS, TRANSFER
from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.schema import ColumnType, EventSchema, Field

VERSION = "1.0.0"

#: What the inside of free-form fields looks like.
_NUMBERS = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}}
_INSIDE: Mapping[tuple[str, str], Mapping[str, Any]] = {
    (DECISION.name, "probabilities"): {
        "type": ["object", "null"],
        "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
    },
    (DECISION.name, "degraded"): {"type": ["array", "null"], "items": {"type": "string"}},
    (OUTCOME.name, "arms"): {
        "type": ["object", "null"],
        "properties": dict.fromkeys(ALGORITHMS, _NUMBERS),
    },
}
_TYPES: Mapping[ColumnType, str] = {
    ColumnType.FLOAT: "number",
    ColumnType.INT: "integer",
    ColumnType.BOOL: "boolean",
    ColumnType.STRING: "string",
}
_TIMESTAMP = [{"type": "string", "format": "date-time"}, {"type": "integer"}]

#: Topic, message, who sends it and what for.
_CHANNELS = (
    (
        "dwcp.transfers",
        TRANSFER,
        "receive",
        "DWCP agents announce each transfer before it starts; the selector reads them.",
    ),
    (
        "dwcp.decisions",
        DECISION,
        "send",
        "The selector says how to send each transfer. A repeated decision_id is a repeat: drop it.",
    ),
    (
        "dwcp.outcomes",
        OUTCOME,
        "receive",
        "DWCP agents report what a transfer took; the selector learns the VM's history from it.",
    ),
)


def json_schema(schema: EventSchema) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a message. Unknown members are allowed and ignored."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": schema.name,
        "type": "object",
        "required": [field.name for field in schema.fields if field.required],
        "properties": {field.name: _property(schema, field) for field in schema.fields},
        "additionalProperties": True,
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 document of the three topics, from the selector's point of view."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "gress-ml compression selector",
            "version": VERSION,
            "description": "JSON, UTF-8, one object per message, keyed by vm_id, so that the order "
            "per VM is kept. Changes are additive: ignore members that you do not know. A message "
            "that cannot be read goes to `<topic>.dlq` with the reason in its headers.",
        },
        "defaultContentType": "application/json",
        "channels": {
            topic: {
                "address": topic,
                "description": text,
                "messages": {schema.name: {"$ref": f"#/components/messages/{schema.name}"}},
            }
            for topic, schema, _, text in _CHANNELS
        },
        "operations": {
            f"{action}-{topic}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{topic}"},
                "messages": [{"$ref": f"#/channels/{topic}/messages/{schema.name}"}],
            }
            for topic, schema, action, _ in _CHANNELS
        },
        "components": {
            "messages": {schema.name: _message(schema) for _, schema, _, _ in _CHANNELS}
        },
    }


def documents() -> dict[str, str]:
    """File name to text."""
    made = {
        f"{schema.name}.schema.json": json.dumps(json_schema(schema), indent=2) + "\n"
        for schema in SCHEMAS
    }
    text = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 100
    yaml.dump(asyncapi(), text)
    return {**made, "asyncapi.yaml": text.getvalue()}


def write(folder: Path) -> list[Path]:
    """Write all documents; the files that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in documents().items():
        (folder / name).write_text(text, encoding="utf-8")
        paths.append(folder / name)
    return paths


def _message(schema: EventSchema) -> dict[str, Any]:
    return {
        "name": schema.name,
        "contentType": "application/json",
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./{schema.name}.schema.json"},
        },
        "bindings": {"kafka": {"key": {"type": "string", "description": "The vm_id."}}},
    }


def _property(schema: EventSchema, field: Field) -> dict[str, Any]:
    found: dict[str, Any] = {"description": _described(field)}
    inside = _INSIDE.get((schema.name, field.name))
    if inside is not None:
        return {**found, **inside}
    if field.type is ColumnType.TIMESTAMP:
        return {**found, "anyOf": _TIMESTAMP if field.required else [*_TIMESTAMP, {"type": "null"}]}
    kind = _TYPES[field.type]
    found["type"] = kind if field.required else [kind, "null"]
    if field.choices is not None:
        found["enum"] = [*field.choices, *(() if field.required else (None,))]
    limits = {"minimum": field.minimum, "maximum": field.maximum, "default": field.default}
    return {**found, **{name: limit for name, limit in limits.items() if limit is not None}}


def _described(field: Field) -> str:
    return f"{field.description} Unit: {field.unit}." if field.unit else field.description


if __name__ == "__main__":
    for path in write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/contracts")):
        sys.stdout.write(f"{path}\n")
