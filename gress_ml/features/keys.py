"""Row keys: what a row is looked up, stored and counted under."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gress_ml.batch import Array, Batch
from gress_ml.schema import MISSING_TIME

#: Stands between the parts of a key (ASCII unit separator). Parts are expected not to contain it.
SEPARATOR = "\x1f"


def row_keys(batch: Batch, columns: Sequence[str]) -> list[bytes]:
    """One key per row: the columns' values joined by ``SEPARATOR``, UTF-8; missing is empty.

    Text is taken as it is, integers and timestamps in decimal, floats in Python's shortest form,
    booleans as ``true`` and ``false``. Without columns every row has the key ``b""``.
    """
    if not columns:
        return [b""] * len(batch)
    arrays = [batch[name] for name in columns]
    try:  # text throughout, as nearly always: nothing else joins or is encoded
        return _joined([array.tolist() for array in arrays])
    except TypeError:
        return _joined([key_parts(array) for array in arrays])


def _joined(parts: Sequence[Sequence[str]]) -> list[bytes]:
    rows = map(SEPARATOR.join, zip(*parts, strict=True)) if len(parts) > 1 else parts[0]
    return [*map(str.encode, rows)]


def key_parts(column: Array) -> list[str]:
    """A column as the text that goes into keys; empty where it is missing."""
    values: list[Any] = column.tolist()
    match column.dtype.kind:
        case "O":
            if {*map(type, values)} <= {str}:  # nearly always
                return values
            return ["" if value is None else str(value) for value in values]
        case "b":
            return ["true" if value else "false" for value in values]
        case "f":
            return [
                "" if value != value else repr(value) for value in values
            ]  # only NaN differs from itself
        case _:
            return ["" if value == MISSING_TIME else str(value) for value in values]
