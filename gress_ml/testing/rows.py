"""Rows: events as plain dictionaries, to columns and back; for tests, not for speed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from gress_ml.batch import Array, Batch
from gress_ml.schema import MISSING_TIME, Column, Columns, ColumnType

Row = Mapping[str, Any]

_DTYPES: Mapping[ColumnType, Any] = {
    ColumnType.FLOAT: np.float64,
    ColumnType.INT: np.int64,
    ColumnType.BOOL: np.bool_,
    ColumnType.TIMESTAMP: np.int64,
    ColumnType.STRING: object,
    ColumnType.JSON: object,
    ColumnType.VECTOR: np.float32,
}
_MISSING: Mapping[ColumnType, Any] = {
    ColumnType.FLOAT: math.nan,
    ColumnType.INT: 0,
    ColumnType.BOOL: False,
    ColumnType.TIMESTAMP: MISSING_TIME,
}


def batch_of(
    rows: Sequence[Row], columns: Columns, *, key: str | None = None, first_offset: int = 0
) -> Batch:
    """The rows as one batch. A key that a row lacks is missing: 0 and false where a type has none.

    Event time is the first timestamp column (0 where it is missing). ``key`` names the column that
    is the records' key. Timestamps are milliseconds or RFC 3339.
    """
    arrays = {name: column_of(rows, column) for name, column in columns.items()}
    times = next((arrays[c.name] for c in columns.values() if c.type is ColumnType.TIMESTAMP), None)
    if times is None:
        times = np.zeros(len(rows), np.int64)
    keys = [None if key is None or row.get(key) is None else str(row[key]).encode() for row in rows]
    return Batch(
        topic="input",
        partition=0,
        offsets=np.arange(first_offset, first_offset + len(rows), dtype=np.int64),
        event_time_ms=np.where(times == MISSING_TIME, 0, times),
        keys=keys,
        columns=arrays,
    )


def column_of(rows: Sequence[Row], column: Column) -> Array:
    """The values of one column."""
    values = [row.get(column.name) for row in rows]
    if column.type is ColumnType.VECTOR:
        return _vectors(values, column)
    if column.type is ColumnType.TIMESTAMP:
        values = [_instant(value) for value in values]
    if column.type in _MISSING:
        values = [_MISSING[column.type] if value is None else value for value in values]
    array = np.empty(len(values), _DTYPES[column.type])
    for row, value in enumerate(values):  # one by one: a list in a JSON column stays one value
        array[row] = value
    return array


def _vectors(values: Sequence[Any], column: Column) -> Array:
    widths = [len(value) for value in values if value is not None]
    width = len(column.features.names) if column.features else max(widths, default=0)
    missing = [math.nan] * width
    rows = [missing if value is None else value for value in values]
    return np.array(rows, np.float32).reshape(len(values), width)


def _instant(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    at = datetime.fromisoformat(value)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1000)


def rows_of(batch: Batch) -> list[dict[str, Any]]:
    """The rows as dictionaries of plain values; missing numbers, text and times are None."""
    values = {name: [_plain(v) for v in array.tolist()] for name, array in batch.columns.items()}
    return [{name: column[row] for name, column in values.items()} for row in range(len(batch))]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    if value == MISSING_TIME and isinstance(value, int):
        return None
    return value
