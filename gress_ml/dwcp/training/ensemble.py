"""Ensemble: trees and network fitted, their shares chosen, and both calibrated for these shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gress_ml.dwcp.training import network, trees
from gress_ml.dwcp.training.calibration import Calibration, fit_both
from gress_ml.dwcp.training.network import NetworkSettings, Scaler
from gress_ml.dwcp.training.scores import Probabilities, regret, served
from gress_ml.dwcp.training.table import Float32, Float64, Table
from gress_ml.dwcp.training.trees import TreeSettings

#: The trees' shares that are tried on the validation part, and the one that S0 has.
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
DEFAULT_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Choice:
    """What the validation part says of one share."""

    share: float
    regret: float
    trees: Calibration
    network: Calibration


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Two calibrated models and the trees' share of the mean."""

    booster: Any
    model: Any
    scaler: Scaler
    trees_share: float
    tried: tuple[Choice, ...]

    def parts(self, features: Float32) -> tuple[Float32, Float32]:
        """The probabilities of trees and of network."""
        return (
            trees.predict(self.booster, features),
            network.predict(self.model, self.scaler, features),
        )

    def predict(self, features: Float32) -> Float64:
        """The probabilities of both together."""
        return mix(*self.parts(features), self.trees_share)


def mix(by_trees: Probabilities, by_network: Probabilities, trees_share: float) -> Float64:
    """The weighted mean, as it is served."""
    mixed: Float64 = by_trees * trees_share + by_network * (1.0 - trees_share)
    return mixed


def fit(
    train: Table,
    validation: Table,
    settings: tuple[TreeSettings, NetworkSettings],
    seed: int,
    logs: Path | None = None,
) -> Ensemble:
    """Fit both on ``train``; stop, calibrate and choose the shares on ``validation``."""
    scaler = Scaler.of(train.features)
    booster = trees.fit(train, validation, settings[0], seed)
    model = network.fit(train, validation, scaler, settings[1], seed, logs)
    tried = choices(
        validation,
        trees.predict(booster, validation.features),
        network.predict(model, scaler, validation.features),
    )
    best = min(tried, key=lambda one: (one.regret, abs(one.share - DEFAULT_SHARE)))
    return Ensemble(
        trees.calibrated(booster, best.trees),
        network.calibrated(model, best.network),
        scaler,
        best.share,
        tuple(tried),
    )


def choices(validation: Table, by_trees: Probabilities, by_network: Probabilities) -> list[Choice]:
    """Each share with the calibration that suits it and the regret that it is served with."""
    made = []
    for share in SHARES:
        for_trees, for_network = fit_both(by_trees, by_network, validation.label, share)
        mixed = mix(for_trees.apply(by_trees), for_network.apply(by_network), share)
        found = regret(validation, served(validation, mixed))
        made.append(Choice(share, found, for_trees, for_network))
    return made


def gap(ensemble: Ensemble, train: Table, validation: Table) -> float:
    """How much more often the model is right on what it was trained on than on what it was not."""
    right = [
        float(np.mean(ensemble.predict(part.features).argmax(axis=1) == part.label))
        for part in (train, validation)
    ]
    return right[0] - right[1]
