"""Checks the outputs: the columns that they write, their condition and their key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gress_ml.errors import SchemaError
from gress_ml.expression import Expression, compile_expression
from gress_ml.schema import Columns, ColumnType, columns_of
from gress_ml.special import SPECIAL_COLUMNS
from gress_ml.topology.draft import Draft, Streams
from gress_ml.topology.findings import KeyPath, listing, nearest_hint
from gress_ml.topology.spec import OutputSpec
from gress_ml.topology.steps import check_side
from gress_ml.topology.topology import Output
from gress_ml.topology.validation import PLACEHOLDER
from gress_ml.topology.wiring import Wiring

_NUMBERS = {ColumnType.FLOAT, ColumnType.INT, ColumnType.BOOL, ColumnType.TIMESTAMP}
#: What a column may be, by what an expression uses it as.
_FITS: Mapping[ColumnType, set[ColumnType]] = {
    ColumnType.FLOAT: _NUMBERS,
    ColumnType.BOOL: _NUMBERS,
    ColumnType.STRING: {ColumnType.STRING, ColumnType.JSON},
}
_KEYS = {ColumnType.STRING, ColumnType.INT}


def check_outputs(draft: Draft, wiring: Wiring, streams: Streams) -> tuple[Output, ...]:
    """The outputs; what they cannot find in their source goes to the findings."""
    return tuple(
        _output(draft, name, spec, wiring.outputs[name], streams)
        for name, spec in draft.spec.outputs.items()
    )


def _output(
    draft: Draft, name: str, spec: OutputSpec, source: str | None, streams: Streams
) -> Output:
    path: KeyPath = ("outputs", name)
    if source is not None:
        check_side(draft, (*path, "from"), source, streams)
    columns = None if source is None else streams.get(source)
    when = _when(draft, path, spec)
    if columns is not None and source is not None:
        _check_fields(draft, path, spec, columns, source)
        _check_key(draft, path, spec, columns, source)
        if when is not None:
            _check_when(draft, (*path, "when"), when, columns, source)
    _check_topic(draft, path, spec)
    return Output(name, spec.topic, source or "", dict(spec.columns), when, spec.key)


def _check_topic(draft: Draft, path: KeyPath, spec: OutputSpec) -> None:
    read = {entry.topic: name for name, entry in draft.spec.inputs.items()}
    if spec.topic in read and spec.topic != PLACEHOLDER:
        message = f"topic {spec.topic!r} is read by input {read[spec.topic]!r}: an endless loop"
        draft.at_value((*path, "topic"), message)


def _when(draft: Draft, path: KeyPath, spec: OutputSpec) -> Expression | None:
    if spec.when is None:
        return None
    try:
        expression = compile_expression(spec.when)
    except SchemaError as error:
        draft.at_value((*path, "when"), f"bad expression: {error}")
        return None
    if expression.result is ColumnType.STRING:
        draft.at_value((*path, "when"), "type mismatch: a condition is needed, this is text")
    return expression


def _check_when(
    draft: Draft, path: KeyPath, when: Expression, columns: Columns, source: str
) -> None:
    for name, use in when.needs.items():
        if name not in columns:
            _missing(draft, path, name, columns, source)
        elif name not in draft.doubtful and not _fits(columns[name].type, use):
            message = f"type mismatch: {name!r} is of type {columns[name].type.value}"
            draft.at_value(path, f"{message}, the expression uses it as {use}")


def _fits(kind: ColumnType, use: ColumnType | None) -> bool:
    return use is None or kind in _FITS[use]


def _check_fields(
    draft: Draft, path: KeyPath, spec: OutputSpec, columns: Columns, source: str
) -> None:
    available = columns_of((*SPECIAL_COLUMNS.values(), *columns.values()))
    seen: set[str] = set()
    for field, name in _fields(spec):
        at = (*path, "fields", field)
        if name not in available and name != PLACEHOLDER:
            _missing(draft, at, name, available, source)
        if isinstance(field, int) and name in seen:
            draft.at_value(at, f"duplicate field {name!r}")
        seen.add(name)


def _fields(spec: OutputSpec) -> Iterator[tuple[str | int, str]]:
    """Each column that is written, and its place in the list or mapping."""
    if isinstance(spec.fields, Mapping):
        yield from spec.fields.items()
    else:
        yield from enumerate(spec.fields)


def _check_key(
    draft: Draft, path: KeyPath, spec: OutputSpec, columns: Columns, source: str
) -> None:
    if spec.key is None:
        return
    available = columns_of((*SPECIAL_COLUMNS.values(), *columns.values()))
    if spec.key not in available:
        _missing(draft, (*path, "key"), spec.key, available, source)
    elif spec.key not in draft.doubtful and (kind := available[spec.key].type) not in _KEYS:
        message = f"type mismatch: {spec.key!r} is of type {kind.value}, a key is string or int"
        draft.at_value((*path, "key"), message)


def _missing(draft: Draft, path: KeyPath, name: str, columns: Columns, source: str) -> None:
    message = f"missing column {name!r}: {source!r} does not have it, only: {listing(columns)}"
    draft.at_value(path, message, nearest_hint(name, columns))
