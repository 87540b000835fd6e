"""Values: one number per row for each input of a feature, NaN where the row has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gress_ml.batch import Array, Batch
from gress_ml.errors import SchemaError
from gress_ml.expression import missing_rows, numbers, one_per_row
from gress_ml.features.keys import key_parts, row_keys
from gress_ml.features.spec import Aggregation, Category, TextPart
from gress_ml.features.state import FeatureState
from gress_ml.operator import Rejected
from gress_ml.schema import MISSING_TIME

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: The largest float32; a feature beyond it has no value in the vector.
LARGEST = float(np.finfo(np.float32).max)


@dataclass(slots=True)
class Work:
    """One batch on its way through the stages of a feature set."""

    batch: Batch
    state: FeatureState
    columns: dict[str, Array]  # input columns, and features under their key (see ``feature_key``)
    values: list[Any]  # of expressions, by their places in the set's program
    rejected: dict[int, Rejected] = field(default_factory=dict)  # by row; the first reason counts

    def reject(self, rows: Mask, code: str, describe: Callable[[int], str]) -> None:
        """Mark rows as rejected."""
        for row in np.flatnonzero(rows).tolist():
            if row not in self.rejected:
                offset = int(self.batch.offsets[row])
                self.rejected[row] = Rejected(offset, code, describe(row))


Load = Callable[[Work], Array]


def feature_key(name: str) -> str:
    """Where the values of a feature stand among the columns, apart from a column of that name."""
    return f"\0{name}"


@dataclass(frozen=True, slots=True)
class ColumnNumbers:
    """The numbers of a column."""

    name: str

    def __call__(self, work: Work) -> Array:
        found: Array = numbers(work.columns[self.name])
        return found


def computed_numbers(place: int) -> Load:
    """The numbers of an expression, which the stage has computed; one where it reads nothing."""
    return lambda work: work.values[place]


def computed_values(place: int) -> Load:
    """The values of an expression, which the stage has computed, one per row."""
    return lambda work: one_per_row(work.values[place], len(work.batch))


def column_values(name: str) -> Load:
    """A column as it is."""
    return lambda work: work.columns[name]


def event_time(work: Work) -> Array:
    """The event times of the rows."""
    times: Array = numbers(work.batch.event_time_ms)
    return times


class Codes(dict[str | None, float]):
    """Code by category: NaN for None, 1… for the vocabulary, and what unknown ones get."""

    def __init__(self, feature: Category) -> None:
        super().__init__({category: code for code, category in enumerate(feature.vocabulary, 1)})
        self[None] = math.nan
        self.unknown = 0.0 if feature.unknown == "slot" else math.inf  # infinity is out of range

    def __missing__(self, category: str | None) -> float:
        return self.unknown


def category_codes(feature: Category, load: Load) -> Load:
    """The codes of a feature's categories; numbers and booleans count as their text."""
    codes = Codes(feature)

    def codes_of(work: Work) -> Array:
        column = load(work)
        values = (
            column.tolist()
            if column.dtype == object
            else [part or None for part in key_parts(column)]
        )
        return np.fromiter(map(codes.__getitem__, values), np.float64, len(values))

    return codes_of


MEASURES: Mapping[TextPart, Callable[[str], int]] = {
    "length": len,
    "word_count": lambda text: len(text.split()),
}


def text_measure(part: TextPart, load: Load) -> Load:
    """A measure of a text column."""
    measure = MEASURES[part]

    def measured(work: Work) -> Array:
        column = load(work)
        if column.dtype != object:
            raise SchemaError(f"text is needed, the column holds {column.dtype}")
        texts = (math.nan if text is None else measure(text) for text in column.tolist())
        return np.fromiter(texts, np.float64, len(column))

    return measured


def window_figures(feature: Aggregation, load: Load | None) -> Load:
    """The figures of an aggregation; rows that were rejected before are not observed."""

    def figures(work: Work) -> Array:
        batch = work.batch
        values = np.ones(len(batch)) if load is None else np.broadcast_to(load(work), len(batch))
        values = np.where(np.abs(values) <= LARGEST, values, np.nan)
        keys = _keys(batch, feature.key)
        times = batch.event_time_ms
        if work.rejected:
            times = times.copy()
            for row in work.rejected:
                keys[row] = None
                times[row] = MISSING_TIME
        return work.state.windows[feature.label].observe(keys, times, values)

    return figures


def _keys(batch: Batch, columns: tuple[str, ...]) -> list[bytes | None]:
    """The keys of the rows; None where a part is missing."""
    if not columns:
        return [*batch.keys]
    missing = np.logical_or.reduce([missing_rows(batch[name]) for name in columns])
    keys: list[bytes | None] = [*row_keys(batch, columns)]
    for row in np.flatnonzero(missing).tolist():
        keys[row] = None
    return keys
