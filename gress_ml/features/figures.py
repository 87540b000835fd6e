"""Figures: one number of the values of a window, of one window alone or of many together."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from gress_ml.features.series import Float64, Int64, Series
from gress_ml.features.spec import Aggregation

#: A figure of the times and values in the places ``first … last - 1``, of which there are some.
Figure = Callable[["array[int]", "array[float]", int, int], float]

#: The figures of runs of values, each up to where the next begins; and which of them are proven.
Runs = Callable[[Float64, Int64], tuple[Float64, npt.NDArray[np.bool_]]]

#: Windows are looked at together while they hold no more values than this, on average.
_SHORT = 64


class Figures:
    """A figure depends on the values of its window alone, to the last bit: not on how many windows
    are looked at together, nor on the order of their values.

    So sums, also those in means, are exact ones rounded once, as by ``math.fsum``; and a least or
    largest zero is the positive one.
    """

    def __init__(self, spec: Aggregation) -> None:
        half_life_s = spec.half_life or spec.window / 2
        self._one = _FIGURES.get(spec.function) or _ewma(1000 * half_life_s)
        self._runs = _RUNS.get(spec.function)
        self._function = spec.function
        #: The figure of a window without values.
        self.of_none = 0.0 if spec.function in ("count", "sum") else math.nan

    def of(self, series: Series, first: int, last: int) -> float:
        """The figure of one window: the places ``first … last - 1``."""
        if first >= last:
            return self.of_none
        return self._one(series.times, series.values, first, last)

    def of_each(self, series: Series, first: Int64, last: Int64) -> Float64:
        """The figure of each window."""
        lengths = last - first
        if self._function == "count":
            return lengths.astype(np.float64)
        if self._runs is not None and lengths.sum() <= _SHORT * len(lengths):
            return self._of_runs(self._runs, series, first, last)
        places = zip(first.tolist(), last.tolist(), strict=True)
        return np.array([self.of(series, *place) for place in places], np.float64)

    def _of_runs(self, runs: Runs, series: Series, first: Int64, last: Int64) -> Float64:
        """The values of all windows, run after run; figures that are not proven one by one."""
        figures = np.full(len(first), self.of_none)
        some = np.flatnonzero(first < last)
        if not len(some):
            return figures
        sizes = last[some] - first[some]
        begins = sizes.cumsum() - sizes
        places = np.repeat(first[some] - begins, sizes)
        places += np.arange(len(places))
        found, proven = runs(series.value_column.take(places), begins)
        found += 0.0  # of zeros the positive one
        figures[some] = found / sizes if self._function == "avg" else found
        for row in some[~proven].tolist():
            figures[row] = self.of(series, int(first[row]), int(last[row]))
        return figures


def exact_sums(values: Float64, begins: Int64) -> tuple[Float64, npt.NDArray[np.bool_]]:
    """Sums of runs of values, and where one is proven to be what ``math.fsum`` makes of its run.

    All values of a run are multiples of the last bit of the smallest one. While a long double can
    count to their magnitudes' total by that bit, no addition rounds, in whatever order.
    """
    sums = np.add.reduceat(values.astype(np.longdouble), begins).astype(np.float64)
    magnitudes = np.abs(values)
    totals = np.add.reduceat(magnitudes, begins)
    magnitudes[magnitudes == 0.0] = np.inf  # zeros are multiples of all
    proven = totals <= np.minimum.reduceat(magnitudes, begins) * _COUNTED
    return sums, proven


#: A number is less than 2^53 of its last bits; half of what a long double counts, to be sure.
_COUNTED = 2.0 ** (np.finfo(np.longdouble).nmant - 53)


def _proven(figures: Float64) -> tuple[Float64, npt.NDArray[np.bool_]]:
    return figures, np.ones(len(figures), np.bool_)


def _ewma(half_life_ms: float) -> Figure:
    """Mean weighted by 2^(-age / half-life); ages count from the newest value of the window, which
    leaves the mean as it is and keeps the weights away from zero."""

    def figure(times: array[int], values: array[float], first: int, last: int) -> float:
        newest = times[last - 1]
        weights = [2.0 ** ((time - newest) / half_life_ms) for time in times[first:last]]
        weighted = math.fsum(w * v for w, v in zip(weights, values[first:last], strict=True))
        return weighted / math.fsum(weights)

    return figure


#: All but ``ewma``, which needs to know its half-life.
_FIGURES: Mapping[str, Figure] = {
    "count": lambda _, __, first, last: float(last - first),
    "sum": lambda _, values, first, last: math.fsum(values[first:last]),
    "avg": lambda _, values, first, last: math.fsum(values[first:last]) / (last - first),
    "min": lambda _, values, first, last: min(values[first:last]) + 0.0,
    "max": lambda _, values, first, last: max(values[first:last]) + 0.0,
}

_RUNS: Mapping[str, Runs] = {
    "sum": exact_sums,
    "avg": exact_sums,
    "min": lambda values, begins: _proven(np.minimum.reduceat(values, begins)),
    "max": lambda values, begins: _proven(np.maximum.reduceat(values, begins)),
}
