"""Laws: what cost follows where it is not constant, found by least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Law:
    """``cost = fixed + growing * x``, and how far the worst figure lies from it, as a share."""

    fixed: float
    growing: float
    worst: float

    def at(self, x: float) -> float:
        return self.fixed + self.growing * x


def fit(x: Sequence[float], cost: Sequence[float]) -> Law:
    """The line that is nearest by relative distance: a dear level counts no more than a cheap one.

    Raises ValueError for fewer than two levels.
    """
    if len(x) < 2:
        raise ValueError(f"a line needs two levels; found {len(x)}")
    measured = np.array(cost, np.float64)
    terms = np.stack([np.ones(len(x)), np.array(x, np.float64)], axis=1)
    (fixed, growing), *_ = np.linalg.lstsq(terms / measured[:, None], np.ones(len(x)), rcond=None)
    worst = np.abs((terms @ (fixed, growing)) / measured - 1).max()
    return Law(float(fixed), float(growing), float(worst))
