"""Train: from samples to the files of a bundle, with its scores and its reference for drift."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gress_ml.dwcp.dataset import Sample
from gress_ml.dwcp.features import feature_spec
from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.training import network, trees
from gress_ml.dwcp.training.scores import all_scores
from gress_ml.dwcp.training.table import Table, table_of
from gress_ml.errors import GressError
from gress_ml.features import FeatureSet

#: Largest difference between a model and its export.
PARITY = 1e-5
#: Weights of trees and network, and the confidence above which the model decides.
WEIGHTS = (0.7, 0.3)
THRESHOLD = 0.6

_BINS = 20


class ParityError(GressError):
    """An exported model does not compute what the trained one does."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What training gave: scores on the newest transfers, and the training data in summary."""

    scores: Mapping[str, float]
    reference: Mapping[str, Any]
    rows: Mapping[str, int]


def train(samples: Sequence[Sample], folder: Path, seed: int = 17) -> Trained:
    """Fit, export, compare the exports, score, and write the files of a bundle into ``folder``.

    The oldest 70 % of the transfers train, the next 15 % stop the network early, the newest 15 %
    are scored. Raises ParityError, ExtraMissingError, and ValueError for unfit samples.
    """
    table = table_of(samples, seed)
    parts = {"train": table.part(0, 0.7), "validation": table.part(0.7, 0.85)}
    test = table.part(0.85, 1)
    _require_classes(parts["train"])
    scaler = network.Scaler.of(parts["train"].features)
    booster = trees.fit(parts["train"], seed)
    net = network.fit(parts["train"], parts["validation"], scaler, seed)
    trees.export(booster, len(table.names), folder)
    network.export(net, folder)

    by_trees = trees.predict_exported(folder, test.features)
    by_network = network.predict_exported(folder, scaler, test.features)
    gaps = {
        "trees": require_parity("trees", trees.predict(booster, test.features), by_trees),
        "network": require_parity(
            "network", network.predict(net, scaler, test.features), by_network
        ),
    }
    mixed = WEIGHTS[0] * by_trees + WEIGHTS[1] * by_network
    scores = all_scores(test, mixed, THRESHOLD)
    train_accuracy = float(
        np.mean(trees.predict(booster, parts["train"].features).argmax(1) == parts["train"].label)
    )
    rows = {**{name: len(part) for name, part in parts.items()}, "test": len(test)}
    _write(
        folder,
        scaler,
        {
            "scores": scores,
            "rows": rows,
            "parity": gaps,
            "seed": seed,
            "trees_train_accuracy": train_accuracy,
            "weights": WEIGHTS,
            "threshold": THRESHOLD,
            "labels": _counts(table),
            "trees": {**trees.SETTINGS, "rounds": trees.ROUNDS},
            "network": {"layers": network.LAYERS, "activation": "relu"},
        },
    )
    return Trained(scores, reference_of(parts["train"]), rows)


def require_parity(
    what: str, trained: npt.NDArray[np.float32], exported: npt.NDArray[np.float32]
) -> float:
    """The largest difference. Raises ParityError when it is above 1e-5."""
    if trained.shape != exported.shape:
        raise ParityError(f"the export of the {what} gives {exported.shape}, not {trained.shape}")
    gap = float(np.abs(trained - exported).max())
    if not gap <= PARITY:
        raise ParityError(f"the export of the {what} differs by {gap:.2g}, more than {PARITY:g}")
    return gap


def reference_of(table: Table) -> Mapping[str, Any]:
    """Per feature mean, standard deviation and a histogram of 20 equally full bins, for drift."""
    found = {}
    for at, name in enumerate(table.names):
        column = table.features[:, at].astype(np.float64)
        edges = np.unique(np.quantile(column, np.linspace(0, 1, _BINS + 1)))
        if len(edges) < 2:
            edges = np.array([edges[0] - 0.5, edges[0] + 0.5])
        counts, _ = np.histogram(column, edges)
        found[name] = {
            "mean": _short(column.mean()),
            "std": _short(column.std()),
            "edges": [_short(edge) for edge in edges],
            "counts": counts.tolist(),
        }
    return found


def _short(value: float) -> float:
    return float(f"{value:.9g}")


def _counts(table: Table) -> Mapping[str, int]:
    return dict(zip(ALGORITHMS, np.bincount(table.label, minlength=3).tolist(), strict=True))


def _require_classes(table: Table) -> None:
    absent = [name for name, count in _counts(table).items() if not count]
    if absent:
        raise ValueError(
            f"no transfer of the training part is cheapest as {', '.join(absent)}: measure more"
        )


def _write(folder: Path, scaler: network.Scaler, metadata: Mapping[str, Any]) -> None:
    documents: Mapping[str, Any] = {
        "feature_scaler.json": {"mean": scaler.mean.tolist(), "scale": scaler.scale.tolist()},
        "label_encoder.json": {"classes": list(ALGORITHMS)},
        "metadata.json": metadata,
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=2) + "\n")
    (folder / "feature_schema.json").write_text(FeatureSet(feature_spec()).to_json() + "\n")
