"""Checks the inputs: what is read, and what its events are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gress_ml.schema import ColumnType, EventSchema, Field
from gress_ml.topology.draft import Draft
from gress_ml.topology.findings import KeyPath, did_you_mean, listing
from gress_ml.topology.schemas import NamedSchemas
from gress_ml.topology.spec import FieldSpec, InputSpec
from gress_ml.topology.topology import Input
from gress_ml.topology.validation import PLACEHOLDER

#: The Python types of a default, by column type; json takes any.
_VALUES: Mapping[ColumnType, tuple[type, ...]] = {
    ColumnType.FLOAT: (int, float),
    ColumnType.INT: (int,),
    ColumnType.BOOL: (bool,),
    ColumnType.STRING: (str,),
    ColumnType.TIMESTAMP: (int,),
}


def check_inputs(draft: Draft, named: NamedSchemas) -> dict[str, Input | None]:
    """Each input with its whole schema; None where the schema is not known."""
    for problem in named.problems:
        draft.findings.add((0, 0), (), problem)
    inputs: dict[str, Input | None] = {}
    topics: dict[str, str] = {}
    for name, spec in draft.spec.inputs.items():
        path = ("inputs", name)
        other = topics.setdefault(spec.topic, name)
        if other != name and spec.topic != PLACEHOLDER:
            draft.at_value((*path, "topic"), f"topic {spec.topic!r} is read by {other!r} already")
        if spec.dead_letters == spec.topic:
            draft.at_value((*path, "dead_letters"), "dead letters would be read again")
        schema = _schema(draft, path, spec, named)
        dead_letters = spec.dead_letters or f"{spec.topic}.dlq"
        inputs[name] = (
            Input(name, spec.topic, dead_letters, schema, spec.max_bytes) if schema else None
        )
    return inputs


def _schema(
    draft: Draft, path: KeyPath, spec: InputSpec, named: NamedSchemas
) -> EventSchema | None:
    by_name, by_fields = draft.given(*path, "schema"), draft.given(*path, "fields")
    if by_name and by_fields:
        draft.at_key((*path, "fields"), "there is a schema already: use 'schema' or 'fields'")
    if by_name:
        schema = _named(draft, path, spec, named)
    elif by_fields:
        schema = _inline(draft, path, spec)
    else:
        if not (draft.misspelt(*path, "schema") or draft.misspelt(*path, "fields")):
            draft.at_key(path, "missing key 'schema' or 'fields'")
        return None
    if schema is None:
        return None
    _check_event_time(draft, path, spec, schema)
    return replace(schema, event_time=spec.event_time) if spec.event_time else schema


def _named(draft: Draft, path: KeyPath, spec: InputSpec, named: NamedSchemas) -> EventSchema | None:
    if spec.schema_name is None:  # wrong type: has its finding
        return None
    schema = named.schemas.get(spec.schema_name)
    if schema is None:
        hint = did_you_mean(spec.schema_name, named.schemas)
        draft.at_value((*path, "schema"), f"unknown schema {spec.schema_name!r}", hint)
    return schema


def _inline(draft: Draft, path: KeyPath, spec: InputSpec) -> EventSchema | None:
    if spec.fields is None:  # wrong type: has its finding
        return None
    fields = [
        _field(draft, (*path, "fields", name), name, field) for name, field in spec.fields.items()
    ]
    lost = [name for name in draft.document.get((*path, "fields")) if name not in spec.fields]
    draft.doubtful.update(lost)
    fields += [Field(name, ColumnType.JSON) for name in lost]
    return EventSchema(path[-1] if isinstance(path[-1], str) else "", tuple(fields))


def _field(draft: Draft, path: KeyPath, name: str, spec: FieldSpec) -> Field:
    kind = ColumnType(spec.type)
    _check_needed(draft, path, spec, kind)
    _check_limits(draft, path, spec, kind)
    return Field(
        name=name,
        type=kind,
        required=spec.required,
        default=_default(spec, kind),
        minimum=spec.minimum,
        maximum=spec.maximum,
        choices=spec.choices,
        unit=spec.unit,
        description=spec.description,
        path=spec.path,
    )


def _default(spec: FieldSpec, kind: ColumnType) -> Any:
    whole = kind is ColumnType.FLOAT and type(spec.default) is int
    return float(spec.default) if whole else spec.default


def _check_needed(draft: Draft, path: KeyPath, spec: FieldSpec, kind: ColumnType) -> None:
    if spec.default is not None:
        if kind in _VALUES and type(spec.default) not in _VALUES[kind]:
            draft.at_value((*path, "default"), f"default is not of type {kind.value}")
    elif kind in (ColumnType.INT, ColumnType.BOOL) and not spec.required:
        message = f"a field of type {kind.value} cannot be missing in a column"
        draft.at_value(path, message, "add `required: true` or a default, or use float")


def _check_limits(draft: Draft, path: KeyPath, spec: FieldSpec, kind: ColumnType) -> None:
    if kind not in (ColumnType.FLOAT, ColumnType.INT):
        for key in ("minimum", "maximum"):
            if getattr(spec, key) is not None:
                draft.at_key((*path, key), f"{key} does not fit a field of type {kind.value}")
    if spec.choices is not None and kind is not ColumnType.STRING:
        draft.at_key((*path, "choices"), f"choices do not fit a field of type {kind.value}")
    low = -math.inf if spec.minimum is None else spec.minimum
    high = math.inf if spec.maximum is None else spec.maximum
    if not low <= high:
        draft.at_value((*path, "maximum"), "maximum is below minimum")
    if kind is ColumnType.STRING and spec.choices and spec.default not in (None, *spec.choices):
        draft.at_value((*path, "default"), "default is not among the choices")


def _check_event_time(draft: Draft, path: KeyPath, spec: InputSpec, schema: EventSchema) -> None:
    if spec.event_time is None:
        return
    times = [f.name for f in schema.fields if f.type is ColumnType.TIMESTAMP]
    if spec.event_time in times:
        return
    known = {f.name for f in schema.fields}
    fault = "is not a timestamp" if spec.event_time in known else "is not there"
    message = f"event_time field {spec.event_time!r} {fault}; timestamps: {listing(times)}"
    draft.at_value((*path, "event_time"), message, did_you_mean(spec.event_time, times))
