"""Intervals: how far a figure may be off, when whole payload sources are drawn anew.

Rows of one source are alike, so they are drawn together or not at all (cluster bootstrap; Davison,
Hinkley: Bootstrap Methods and their Application, 1997, section 3.8). A figure is a function of
sums over rows, which makes 2,000 draws one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
#: From sums (draws, columns) to the figure of each draw, (draws,).
Statistic = Callable[[Float64], Float64]

DRAWS = 2000
_LOW, _HIGH = 2.5, 97.5


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


class Clusters:
    """Rows in groups, with 2,000 draws of as many groups as there are. Seeded."""

    def __init__(self, group: npt.NDArray[np.object_], seed: int = 17, draws: int = DRAWS) -> None:
        names, self._place = np.unique(group.astype(str), return_inverse=True)
        count = len(names)
        rng = np.random.default_rng(seed)
        self._draws = rng.multinomial(count, np.full(count, 1.0 / count), draws).astype(np.float64)

    def __len__(self) -> int:
        return int(self._draws.shape[1])

    def interval(self, statistic: Statistic, *columns: npt.NDArray[np.generic]) -> Interval:
        """The figure of all rows, 0 where there is nothing to divide, and 95 % of its draws."""
        sums = np.stack(
            [np.bincount(self._place, column.astype(np.float64), len(self)) for column in columns],
            axis=1,
        )
        with np.errstate(all="ignore"):  # nothing of nothing: a draw may lack a class
            value = float(np.nan_to_num(statistic(sums.sum(axis=0, keepdims=True))[0]))
            drawn = statistic(self._draws @ sums)
        known = drawn[np.isfinite(drawn)]
        if not len(known):
            return Interval(value, value, value)
        low, high = np.percentile(known, [_LOW, _HIGH]).tolist()
        return Interval(value, low, high)


def ratio(sums: Float64) -> Float64:
    """First column by second."""
    return np.asarray(sums[:, 0] / sums[:, 1])


def excess(sums: Float64) -> Float64:
    """How much larger the first column is than the second, as a share of it."""
    return np.asarray(sums[:, 0] / sums[:, 1] - 1.0)


def f_score(sums: Float64) -> Float64:
    """F1 of hits, chosen and true."""
    return np.asarray(2.0 * sums[:, 0] / (sums[:, 1] + sums[:, 2]))
