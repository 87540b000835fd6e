"""Ensemble: trees on raw features and a network on standardised ones, weighted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gress_ml.inference.graph import Array, Tensor
from gress_ml.inference.scaler import Scaler
from gress_ml.inference.single import OneGraph

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Weights:
    """The share of each part; only their ratio counts. A part of weight 0 is not run."""

    trees: float = 0.7
    network: float = 0.3

    def __post_init__(self) -> None:
        parts = (self.trees, self.network)
        if not all(math.isfinite(part) and part >= 0 for part in parts) or sum(parts) == 0:
            raise ValueError(f"expected two weights, not negative and not both 0; found {parts}")

    @property
    def normalised(self) -> tuple[np.float32, np.float32]:
        """The shares, which sum to 1."""
        total = self.trees + self.network
        return np.float32(self.trees / total), np.float32(self.network / total)


class Ensemble:
    """``trees * share + network(standardised) * share``: probabilities, float32 (n, classes)."""

    accepts_missing = False  # a network has no answer to NaN
    vector = None

    def __init__(
        self, trees: OneGraph, network: OneGraph, scaler: Scaler, weights: Weights
    ) -> None:
        self.trees, self.network, self._scaler = trees, network, scaler
        self._trees_share, self._network_share = weights.normalised
        self.classes: tuple[str, ...] = trees.classes
        self.inputs: tuple[Tensor, ...] = trees.inputs

    def predict(self, *arrays: Array) -> Float32:
        (matrix,) = arrays
        probabilities = self.trees.predict(matrix) * self._trees_share
        probabilities += self.network.predict(self._scaler(matrix)) * self._network_share
        return probabilities


class Standardised:
    """A network behind its scaler, when it stands alone."""

    accepts_missing = False
    vector = None

    def __init__(self, network: OneGraph, scaler: Scaler) -> None:
        self._network, self._scaler = network, scaler
        self.classes: tuple[str, ...] = network.classes
        self.inputs: tuple[Tensor, ...] = network.inputs

    def predict(self, *arrays: Any) -> Float32:
        (matrix,) = arrays
        return self._network.predict(self._scaler(matrix))
