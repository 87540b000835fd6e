"""Rows of a batch to JSON. Encoding is the one place where Python touches every row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gress_ml.batch import Batch

#: Columns that every batch has without declaring them: they come from the record itself.
SPECIAL: Mapping[str, Callable[[Batch], list[Any]]] = {
    # the same id on every replay: readers drop duplicates by it
    "decision_id": lambda batch: [
        f"{batch.topic}-{batch.partition}-{offset}" for offset in batch.offsets.tolist()
    ],
    "topic": lambda batch: [batch.topic] * len(batch),
    "partition": lambda batch: [batch.partition] * len(batch),
    "offset": lambda batch: batch.offsets.tolist(),
    "event_time_ms": lambda batch: batch.event_time_ms.tolist(),
    "degraded": lambda batch: [sorted(batch.degraded)] * len(batch),
}


def values_of(batch: Batch, column: str) -> list[Any]:
    """The values of a column as Python objects; a declared column hides a special one."""
    if column in batch:
        values: list[Any] = batch[column].tolist()
        return values
    return SPECIAL[column](batch)


def encode_rows(batch: Batch, fields: Mapping[str, str]) -> list[bytes]:
    """One JSON object per row with the given members (JSON name to column). NaN becomes null."""
    names = tuple(fields)
    columns = [values_of(batch, column) for column in fields.values()]
    dumps = orjson.dumps
    return [dumps(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def keys_of(batch: Batch, column: str | None) -> list[bytes | None]:
    """Message keys: the input record's own, or the text of a column."""
    if column is None:
        return list(batch.keys)
    return [None if value is None else str(value).encode() for value in values_of(batch, column)]
