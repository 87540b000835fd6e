"""Row keys: what a row is looked up, stored and counted under."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from gress_ml.batch import Array, Batch
from gress_ml.schema import MISSING_TIME

#: Stands between the parts of a key (ASCII unit separator). Parts are expected not to contain it.
SEPARATOR = "\x1f"


def row_keys(batch: Batch, columns: Sequence[str]) -> list[bytes]:
    """One key per row: the columns' values joined by ``SEPARATOR``, UTF-8; missing is empty.

    Text is taken as it is, integers and timestamps in decimal, floats in Python's shortest form,
    booleans as ``true`` and ``false``. Without columns every row has the key ``b""``.
    """
    if len(columns) == 1:
        return _encoded(batch[columns[0]])
    parts = [key_parts(batch[name]) for name in columns]
    if not parts:
        return [b""] * len(batch)
    return [SEPARATOR.join(row).encode() for row in zip(*parts, strict=True)]


def _encoded(column: Array) -> list[bytes]:
    if column.dtype == object:
        with suppress(TypeError):  # one is missing, or is no text
            return [*map(str.encode, column.tolist())]
    return [part.encode() for part in key_parts(column)]


def key_parts(column: Array) -> list[str]:
    """A column as the text that goes into keys; empty where it is missing."""
    values = column.tolist()
    match column.dtype.kind:
        case "O":
            if None in values:
                return ["" if value is None else str(value) for value in values]
            return [value if type(value) is str else str(value) for value in values]
        case "b":
            return ["true" if value else "false" for value in values]
        case "f":
            return [
                "" if value != value else repr(value) for value in values
            ]  # only NaN differs from itself
        case _:
            return ["" if value == MISSING_TIME else str(value) for value in values]
