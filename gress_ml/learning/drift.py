"""Drift: how far the values of now are from those that a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gress_ml.errors import SchemaError

Counts = npt.NDArray[np.int64]
#: The least share of a bin: one that is empty would be infinitely far away.
_LEAST = 1e-4


class Reference:
    """What the values of one feature were like in training: how many fell between which edges.

    ``said`` is an entry of a manifest's ``training_reference``. Values beyond the edges count in
    the first and the last bin. Raises SchemaError.
    """

    def __init__(self, feature: str, said: Mapping[str, Any]) -> None:
        try:
            edges = np.array(said["edges"], np.float64)
            self.counts: Counts = np.array(said["counts"], np.int64)
        except (KeyError, TypeError, ValueError) as error:
            raise SchemaError(f"training_reference of {feature!r}: {error!r}") from error
        ascending = edges.ndim == 1 and bool(np.all(np.diff(edges) > 0))
        if not ascending or self.counts.shape != (len(edges) - 1,) or self.counts.sum() <= 0:
            raise SchemaError(
                f"training_reference of {feature!r}: expected ascending edges and a count between "
                f"each two, found {len(edges)} edges and {len(self.counts)} counts"
            )
        self._inner = edges[1:-1]

    def binned(self, values: npt.NDArray[np.float32]) -> Counts:
        """How many of the values fall into each bin; those that are missing into none."""
        there = values[~np.isnan(values)]
        bins = np.searchsorted(self._inner, there, side="right")
        return np.bincount(bins, minlength=len(self.counts)).astype(np.int64)


def population_stability(expected: Counts, found: Counts) -> float:
    """PSI: the sum over bins of (f - e) ln(f / e), e and f the shares; 0 where nothing was found.

    Below 0.1 counts as stable, above 0.25 as another population (Siddiqi, Credit Risk Scorecards,
    2006). It is the sum of both Kullback-Leibler divergences.
    """
    if not found.sum():
        return 0.0
    e, f = (np.maximum(counts / counts.sum(), _LEAST) for counts in (expected, found))
    return float(np.sum((f - e) * np.log(f / e)))


def references_of(features: Sequence[str], said: Mapping[str, Any]) -> Mapping[int, Reference]:
    """The references of those features that have one, by their place. Raises SchemaError."""
    return {
        place: Reference(name, said[name]) for place, name in enumerate(features) if name in said
    }
