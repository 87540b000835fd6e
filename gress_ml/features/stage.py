"""Stage: features that need only what earlier stages made, as rows of one matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gress_ml.expression import Part, number_of, numbers, one_per_row
from gress_ml.features.encodings import Encode
from gress_ml.features.spec import AnyFeature, Missing
from gress_ml.features.values import LARGEST, ColumnNumbers, Float64, Load, Mask, Work

_FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True, slots=True)
class Input:
    """One value per row: where it comes from, what is done where it is missing or out of range."""

    feature: AnyFeature
    load: Load
    fill: float = math.nan  # NaN where nothing is filled in
    low: float = -LARGEST
    high: float = LARGEST
    clip: tuple[float, float] = (-math.inf, math.inf)
    shift: float = 0.0
    scale: float = 1.0
    encode: Encode | None = None
    width: int = 1  # rows that ``encode`` writes

    @property
    def policy(self) -> Missing:
        return self.feature.policy


def _upright(column: Sequence[float]) -> Float64:
    return np.array(column, np.float64)[:, None]


class Stage:
    """Loads, clips, checks, fills, scales and encodes all its inputs, matrix by matrix.

    Its inputs are rows ``first …`` of the set's matrix (rows, n); an input of one value becomes the
    feature in place, one of several values writes to ``spread[input]``.
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        part: Part,
        first: int,
        spread: Sequence[int],
        indicators: Sequence[int | None],
        published: Sequence[tuple[str, int]],
    ) -> None:
        self.inputs = inputs
        self._part = part  # the expressions of its inputs
        self._rows = slice(first, first + len(inputs))
        self._loads = [
            one.load.name if isinstance(one.load, ColumnNumbers) else one.load for one in inputs
        ]
        self._low = _upright([one.low for one in inputs])
        self._high = _upright([one.high for one in inputs])
        self._fill = _upright([one.fill for one in inputs])
        self._fills = not np.isnan(self._fill).all()
        self._may_lack = np.array([[one.policy != "reject"] for one in inputs])
        self._clips = [
            (row, *one.clip) for row, one in enumerate(inputs) if one.clip != (-math.inf, math.inf)
        ]
        self._scales = any((one.shift, one.scale) != (0.0, 1.0) for one in inputs)
        self._shift = _upright([one.shift for one in inputs])
        self._scale = _upright([one.scale for one in inputs])
        self._encodes = [
            (row, slice(spread[row], spread[row] + one.width), one.encode)
            for row, one in enumerate(inputs)
            if one.encode is not None
        ]
        self._indicators = [(i, row) for i, row in enumerate(indicators) if row is not None]
        self._published = published

    def run(self, work: Work, matrix: Float64) -> None:
        """Fill this stage's rows of the matrix; the caller keeps NumPy quiet."""
        values = matrix[self._rows]
        self._part.run(work.columns, work.values, len(work.batch))
        self._load(work, values.reshape(-1))
        for row, low, high in self._clips:
            np.minimum(np.maximum(values[row], low), high, out=values[row])
        sound = (values >= self._low) & (values <= self._high)  # NaN is not
        if np.count_nonzero(sound) < sound.size:  # a quarter of the time of ``all``
            self._mend(work, matrix, values, sound)
        if self._scales:
            values -= self._shift
            values /= self._scale
        for row, rows, encode in self._encodes:
            encode(values[row], matrix[rows])
        for key, row in self._published:
            work.columns[key] = matrix[row]

    def _load(self, work: Work, flat: Float64) -> None:
        """Copy all inputs at once, one behind the other."""
        columns, rows = work.columns, len(work.batch)
        inputs: list[Any] = [
            columns[load] if isinstance(load, str) else load(work) for load in self._loads
        ]
        if rows == 1:
            flat[:] = [one if type(one) is np.float64 else number_of(one) for one in inputs]
            return
        ready = [
            one if one.dtype is _FLOAT64 and one.ndim == 1 else one_per_row(numbers(one), rows)
            for one in inputs
        ]
        np.concatenate(ready, out=flat)

    def _mend(self, work: Work, matrix: Float64, values: Float64, sound: Mask) -> None:
        """Treat the values that are missing or out of range by their features' policies."""
        missing = np.isnan(values)
        for row, indicator in self._indicators:
            matrix[indicator] = missing[row]
        fine = sound | (missing & self._may_lack)
        if np.count_nonzero(fine) < fine.size:
            for row in np.flatnonzero(~fine.all(axis=1)).tolist():
                self._reject_outside(work, self.inputs[row], values[row], ~(fine | missing)[row])
                self._reject_missing(work, self.inputs[row], (missing & ~fine)[row])
        if self._fills:
            np.copyto(values, self._fill, where=missing)

    def _reject_missing(self, work: Work, one: Input, rows: Mask) -> None:
        message = f"feature {one.feature.name!r}: {one.feature.origin} has no value"
        work.reject(rows, "missing_feature", lambda _: message)

    def _reject_outside(self, work: Work, one: Input, values: Float64, rows: Mask) -> None:
        feature = one.feature
        if feature.type in ("categorical", "onehot"):
            known = ", ".join(feature.vocabulary[:10])
            message = f"feature {feature.name!r}: {feature.origin} is not one of: {known}"
            work.reject(rows, "unknown_category", lambda _: message)
            return

        def describe(row: int) -> str:
            allowed = f"{one.low:g} to {one.high:g} {feature.unit}".strip()
            return f"feature {feature.name!r}: {feature.origin} is {values[row]:g}, not {allowed}"

        work.reject(rows, "out_of_range", describe)
