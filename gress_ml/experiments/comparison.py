"""Comparison: an answer beside the one from the shadow, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: How a row compares: within the tolerance; beyond it; with another class; no answer from the
#: shadow.
RESULTS = ("match", "differ", "disagree", "failed")
_MATCH, _DIFFER, _DISAGREE, _FAILED = range(len(RESULTS))

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Per row: how far apart (NaN where the shadow failed), and the position in RESULTS."""

    difference: npt.NDArray[np.float64]
    result: npt.NDArray[np.intp]


def compare(answer: Float32, shadow: Float32, tolerance: float, *, classes: bool) -> Comparison:
    """Probabilities (n, classes) by the largest difference, values (n, 1) relative to the answer.

    Values below 1 are compared as they are, larger ones by ``difference / |answer|``.
    """
    one, other = answer.astype(np.float64), shadow.astype(np.float64)
    apart = np.abs(one - other)
    if not classes:
        apart /= np.maximum(np.abs(one), 1.0)
    difference = np.where(np.isfinite(other).all(axis=1), apart.max(axis=1, initial=0.0), np.nan)
    result = np.where(difference <= tolerance, _MATCH, _DIFFER)
    if classes:
        result[answer.argmax(axis=1) != shadow.argmax(axis=1)] = _DISAGREE
    result[np.isnan(difference)] = _FAILED
    return Comparison(difference, result.astype(np.intp))
