"""Calibration: probabilities that come true as often as they say, folded into the exported models.

Each part's margins ``z`` become ``scale * z + bias``, one scale for all classes and one bias per
class: temperature scaling with the shifts of vector scaling (Guo, Pleiss, Sun, Weinberger: On
Calibration of Modern Neural Networks, ICML 2017). What counts are the probabilities of the weighted
mean of both parts, so both are fitted together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gress_ml.dwcp.training.extra import library

Float64 = npt.NDArray[np.float64]

_LEAST = 1e-12
#: Keeps the biases near 0 where the data say little.
_PULL = 1e-3


@dataclass(frozen=True, slots=True)
class Calibration:
    """``margin -> scale * margin + bias``."""

    scale: float
    bias: npt.NDArray[np.float64]  # (classes,), its mean is 0

    def apply(self, probabilities: npt.NDArray[np.floating]) -> Float64:
        """The calibrated probabilities; a logarithm of probabilities is as good as the margin."""
        margins = np.log(np.maximum(probabilities.astype(np.float64), _LEAST))
        return _softmax(self.scale * margins + self.bias)


def fit_both(
    by_trees: npt.NDArray[np.floating],
    by_network: npt.NDArray[np.floating],
    label: npt.NDArray[np.intp],
    trees_share: float,
) -> tuple[Calibration, Calibration]:
    """The calibrations of trees and network that make the mixture most likely on these rows."""
    shares = (trees_share, 1.0 - trees_share)
    margins = [
        np.log(np.maximum(part.astype(np.float64), _LEAST)) for part in (by_trees, by_network)
    ]
    start = np.zeros(2 * (1 + by_trees.shape[1]))
    found = library("scipy.optimize").minimize(
        _loss, start, (margins, shares, label), method="L-BFGS-B", jac=True
    )
    trees, network = _read(found.x)
    return trees, network


def _loss(
    parameters: Float64,
    margins: Sequence[Float64],
    shares: Sequence[float],
    label: npt.NDArray[np.intp],
) -> tuple[float, Float64]:
    """Mean negative logarithm of the mixture's probability of the label, and its gradient."""
    rows, parts = np.arange(len(label)), _read(parameters)
    likely = [
        _softmax(part.scale * margin + part.bias)
        for part, margin in zip(parts, margins, strict=True)
    ]
    weighted = [share * one[rows, label] for share, one in zip(shares, likely, strict=True)]
    mixed = np.maximum(sum(weighted), _LEAST)
    slopes = []
    for part, margin, one, weight in zip(parts, margins, likely, weighted, strict=True):
        blame = (weight / mixed)[:, None] / len(label)
        slope = blame * one
        slope[rows, label] -= blame[:, 0]
        bias = slope.sum(axis=0)
        slopes.append([part.scale * float((slope * margin).sum()), *(bias - bias.mean())])
    pull = _PULL * np.square(parameters).mean()
    gradient = np.concatenate(slopes) + 2.0 * _PULL * parameters / len(parameters)
    return float(-np.log(mixed).mean() + pull), gradient


def _read(parameters: Float64) -> tuple[Calibration, Calibration]:
    """From numbers without bounds: the logarithm of the scale, then the biases, for each part."""
    made = []
    for part in parameters.reshape(2, -1):
        bias = part[1:] - part[1:].mean()
        made.append(Calibration(float(np.exp(part[0])), bias))
    return made[0], made[1]


def _softmax(margins: Float64) -> Float64:
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    shares: Float64 = powers / powers.sum(axis=1, keepdims=True)
    return shares


def expected_calibration_error(
    probabilities: npt.NDArray[np.floating], label: npt.NDArray[np.intp], bins: int = 15
) -> float:
    """ECE: mean over bins of equal width of ``|share right - mean confidence|``, by rows.

    Naeini, Cooper, Hauskrecht: Obtaining Well Calibrated Probabilities Using Bayesian Binning,
    AAAI 2015.
    """
    return float(
        sum(
            part.rows * abs(part.right - part.confidence)
            for part in reliability(probabilities, label, bins)
        )
        / max(len(label), 1)
    )


@dataclass(frozen=True, slots=True)
class Bin:
    """The rows of one stretch of confidence."""

    rows: int
    confidence: float  # mean
    right: float  # share


def reliability(
    probabilities: npt.NDArray[np.floating], label: npt.NDArray[np.intp], bins: int = 15
) -> list[Bin]:
    """The calibration curve: the bins that have rows, from low to high confidence."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == label
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        Bin(int(held.sum()), float(confidence[held].mean()), float(right[held].mean()))
        for number in range(bins)
        if (held := place == number).any()
    ]
