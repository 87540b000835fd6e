"""Rows: from the columns of a batch to what river learns, a mapping and a label per row."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from math import isfinite, isnan
from typing import Any, Literal

import numpy as np

from gress_ml.batch import Array, Batch
from gress_ml.errors import SchemaError
from gress_ml.learning.task import Classification, Task
from gress_ml.schema import Column, Columns, ColumnType

Missing = Literal["reject", "omit"]
Faults = dict[int, tuple[str, str]]  # row -> code, message

_OF_FEATURES = (ColumnType.FLOAT, ColumnType.INT, ColumnType.BOOL, ColumnType.STRING)
_OF_LABELS = (*_OF_FEATURES, ColumnType.JSON)
_UNKNOWN = object()


class Features:
    """A mapping from name to value per row, of one vector or of several columns.

    A value that is missing makes its row a fault, or is left out of the mapping (``omit``): river
    takes a feature that is not there for one that says nothing. Infinity is always a fault.
    """

    def __init__(self, columns: Sequence[Column], missing: Missing) -> None:
        self._columns = [column.name for column in columns]
        self._made = [(column.type, column.features) for column in columns]
        self._omit = missing == "omit"
        vector = columns[0].features if columns[0].type is ColumnType.VECTOR else None
        self._vector = columns[0].type is ColumnType.VECTOR
        names = vector.names if vector else self._columns
        #: Those of a restored learner are the same objects: texts are found by identity first.
        self.names: tuple[str, ...] = tuple(map(sys.intern, names))
        self.fingerprint = vector.fingerprint if vector else ""
        #: Type of each column; one of a vector.
        self.types = tuple(column.type for column in columns)

    @property
    def texts(self) -> tuple[bool, ...]:
        """Which of the features are texts."""
        if self._vector:
            return (False,) * len(self.names)
        return tuple(type_ is ColumnType.STRING for type_ in self.types)

    def require(self, columns: Columns) -> None:
        """Raises SchemaError unless these columns hold the same features."""
        found = feature_columns(columns, self._columns)
        if [(one.type, one.features) for one in found] != self._made:
            raise SchemaError(
                f"the learner was made for the features {[*self.names]} as they are made now: what "
                "it learned would mean something else with others"
            )

    def read(self, batch: Batch) -> tuple[Iterable[dict[str, Any]], Faults]:
        """The mappings, and the rows that cannot be had. Theirs are not to be used.

        Each is made when it is asked for: one that is used at once is still in the processor's
        cache.
        """
        arrays = [batch[name] for name in self._columns]
        if self._vector:
            rows, sound = arrays[0].tolist(), bool(np.isfinite(arrays[0]).all())
        else:
            rows = [*zip(*(array.tolist() for array in arrays), strict=True)]
            sound = all(map(_whole, arrays))
        if sound:
            return map(dict, map(zip, repeat(self.names), rows)), {}
        return self._mended(rows)

    def _mended(self, rows: Sequence[Sequence[Any]]) -> tuple[list[dict[str, Any]], Faults]:
        faults: Faults = {}
        found = []
        for number, row in enumerate(rows):
            named = dict(zip(self.names, row, strict=True))
            missing = [name for name, value in named.items() if _missing(value)]
            infinite = [name for name, value in named.items() if _infinite(value)]
            if infinite:
                faults[number] = ("out_of_range", f"feature {infinite[0]!r} is infinite")
            elif missing and not self._omit:
                faults[number] = ("missing_features", f"feature {missing[0]!r} is missing")
            found.append({name: named[name] for name in named if name not in missing})
        return found, faults


@dataclass(frozen=True, slots=True)
class Labels:
    """A label per row, as river takes it; None where there is none."""

    column: str
    read_value: Callable[[Any], Any]  # ``_UNKNOWN`` where it is no label
    expected: str
    texts: Mapping[Any, Any] | None = None  # of a column of texts: all that may stand there

    def read(self, batch: Batch) -> tuple[list[Any], Faults]:
        """The labels, and the rows whose label is none that can be learned."""
        values = batch[self.column].tolist()
        if self.texts is None:
            labels = [*map(self.read_value, values)]
        else:
            known = self.texts
            labels = [known.get(value, _UNKNOWN) for value in values]
        if _UNKNOWN not in labels:
            return labels, {}
        faults: Faults = {}
        for row, label in enumerate(labels):
            if label is _UNKNOWN:
                text = repr(values[row])[:100]
                message = f"label {self.column!r} is {text}, expected {self.expected}"
                faults[row] = ("unknown_label", message)
        return labels, faults


def feature_columns(columns: Columns, names: Sequence[str]) -> list[Column]:
    """The columns that hold features. Raises SchemaError."""
    found = [columns[name] for name in names]
    vectors = [column.name for column in found if column.type is ColumnType.VECTOR]
    if vectors and len(found) > 1:
        raise SchemaError(f"column {vectors[0]!r} is a vector: it stands alone, found {[*names]}")
    for column in found:
        if column.type is not ColumnType.VECTOR and column.type not in _OF_FEATURES:
            raise SchemaError(f"column {column.name!r} is {column.type}, which is no feature")
    if vectors and found[0].features is None:
        raise SchemaError(
            f"column {vectors[0]!r} does not say which features it holds; make it in a step "
            "feature_extraction, or name columns"
        )
    return found


def labels_of(column: Column, task: Task) -> Labels:
    """How the labels of a column are read. Raises SchemaError."""
    if column.type not in _OF_LABELS:
        raise SchemaError(f"column {column.name!r} is {column.type}, which is no label")
    if not isinstance(task, Classification):
        return Labels(column.name, _number, "a finite number")
    known = dict(zip(task.classes, task.labels, strict=True))

    def read(value: Any) -> Any:
        text = _text(value)
        return None if text is None else known.get(text, _UNKNOWN)

    expected = f"one of {', '.join(task.classes)}"
    texts: dict[Any, Any] | None = None
    if column.type is ColumnType.STRING:
        texts = {None: None} | known
    return Labels(column.name, read, expected, texts)


def _text(value: Any) -> str | None:
    """A label as the name of a class: ``true`` for true, ``1`` for 1.0; None for none."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _number(value: Any) -> Any:
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return float(value) if isinstance(value, bool) else _UNKNOWN
    return float(value) if abs(value) < _LARGEST else _UNKNOWN


_LARGEST = float(np.finfo(np.float64).max)


def _whole(array: Array) -> bool:
    if array.dtype.kind == "f":
        return bool(np.isfinite(array).all())
    return array.dtype.kind != "O" or None not in array.tolist()


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and isnan(value))


def _infinite(value: Any) -> bool:
    return isinstance(value, float) and not isfinite(value) and not isnan(value)
