"""Train: from a table to the files of a bundle, with all that a report says of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.training import ensemble, network, pareto, trees
from gress_ml.dwcp.training.ablations import Ablation, of_information, of_parts
from gress_ml.dwcp.training.ensemble import Ensemble
from gress_ml.dwcp.training.evaluation import Evaluation, evaluate
from gress_ml.dwcp.training.network import NetworkSettings
from gress_ml.dwcp.training.pareto import Point
from gress_ml.dwcp.training.robustness import Perturbed, robustness
from gress_ml.dwcp.training.scores import (
    THRESHOLD,
    accuracy,
    all_scores,
    by_rules,
    gain,
    regret,
    served,
)
from gress_ml.dwcp.training.search import Trial, fewer, search_network, search_trees
from gress_ml.dwcp.training.split import FOLDS, Parts, folds, split
from gress_ml.dwcp.training.table import Float32, Table
from gress_ml.dwcp.training.trees import TreeSettings
from gress_ml.errors import GressError
from gress_ml.features import FeatureSet, FeatureSetSpec

#: Largest difference between a model and its export.
PARITY = 1e-5

_BINS = 20
_EXPLAINED = 3000  # rows that importance is taken from


class ParityError(GressError):
    """An exported model does not compute what the trained one does."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much work the training may do. All of it is counted, none is timed."""

    tree_trials: int = 12
    network_trials: int = 4
    epochs: int = 40
    folds: int = FOLDS
    depths: tuple[int, ...] = pareto.DEPTHS
    rounds: tuple[int, ...] = pareto.ROUNDS
    ablations: bool = True


#: Enough to see that everything works.
QUICK = Effort(
    tree_trials=2,
    network_trials=0,
    epochs=5,
    folds=0,
    depths=(4,),
    rounds=(20,),
    ablations=False,
)


@dataclass(frozen=True, slots=True)
class Fold:
    """One turn of the cross-validation."""

    rows: int
    accuracy: float
    regret: float
    gain: float  # over the rules


@dataclass(frozen=True, slots=True)
class Trained:
    """What training gave, beside the files."""

    parts: Parts
    model: Ensemble
    trees: TreeSettings
    network: NetworkSettings
    trials: Mapping[str, Sequence[Trial]]
    grid: Sequence[Point]
    folds: Sequence[Fold]
    evaluation: Evaluation
    robustness: Sequence[Perturbed]
    ablations: Sequence[Ablation]
    importance: Mapping[str, float]  # mean |TreeSHAP|, a share of all
    gap: float
    parity: Mapping[str, float]
    scores: Mapping[str, float]
    reference: Mapping[str, Any]


def train(
    table: Table,
    spec: FeatureSetSpec,
    folder: Path,
    *,
    effort: Effort | None = None,
    seed: int = 17,
    say: Callable[[str], None] = lambda text: None,
    logs: Path | None = None,
) -> Trained:
    """Search, fit, calibrate, export, compare the exports, evaluate; write files into ``folder``.

    The test part is looked at once, at the end. Raises ParityError, ExtraMissingError, and
    ValueError for unfit data.
    """
    effort, parts = effort or Effort(), split(table)
    say(f"trees: {effort.tree_trials} trials on {len(parts.train):,} rows")
    found, tree_trials = search_trees(parts.train, parts.validation, effort.tree_trials, seed)
    say("trees: how many, and how deep")
    grid = pareto.grid(
        fewer(parts.train), parts.validation, found, seed, effort.depths, effort.rounds
    )
    size = pareto.chosen(grid)
    settings = replace(found, rounds=size.rounds, depth=size.depth)
    say(f"network: {effort.network_trials} trials")
    net, network_trials = search_network(
        parts.train,
        parts.validation,
        NetworkSettings(epochs=effort.epochs),
        effort.network_trials,
        seed,
    )
    say("both: fitting, calibrating, choosing the weights")
    model = ensemble.fit(parts.train, parts.validation, (settings, net), seed, logs)
    parity = _export(model, len(table.names), folder, parts.test.features)
    say(f"cross-validation in {effort.folds} folds")
    turns = _cross_validated(fewer(parts.train), (settings, net), effort.folds, seed)
    say("evaluating on the test part")
    likely = model.predict(parts.test.features)
    ablations = of_parts(parts.test, model, parts.validation)
    if effort.ablations:
        say("ablations")
        ablations += of_information(parts, spec, settings, seed)
    trained = Trained(
        parts=parts,
        model=model,
        trees=settings,
        network=net,
        trials={"trees": tree_trials, "network": network_trials},
        grid=grid,
        folds=turns,
        evaluation=evaluate(parts.test, likely),
        robustness=robustness(parts.test, spec, model, seed),
        ablations=ablations,
        importance=_importance(model, parts.test),
        gap=ensemble.gap(model, parts.train, parts.validation),
        parity=parity,
        scores=all_scores(parts.test, likely),
        reference=reference_of(parts.train),
    )
    _write(folder, trained, spec, seed)
    return trained


def _export(model: Ensemble, width: int, folder: Path, features: Float32) -> dict[str, float]:
    trees.export(model.booster, width, folder)
    network.export(model.model, folder)
    by_trees, by_network = model.parts(features)
    return {
        "trees": require_parity("trees", by_trees, trees.predict_exported(folder, features)),
        "network": require_parity(
            "network", by_network, network.predict_exported(folder, model.scaler, features)
        ),
    }


def require_parity(what: str, trained: Float32, exported: Float32) -> float:
    """The largest difference. Raises ParityError when it is above 1e-5."""
    if trained.shape != exported.shape:
        raise ParityError(f"the export of the {what} gives {exported.shape}, not {trained.shape}")
    gap = float(np.abs(trained - exported).max())
    if not gap <= PARITY:
        raise ParityError(f"the export of the {what} differs by {gap:.2g}, more than {PARITY:g}")
    return gap


def _cross_validated(
    table: Table, settings: tuple[TreeSettings, NetworkSettings], count: int, seed: int
) -> list[Fold]:
    found: list[Fold] = []
    for parts in folds(table, count) if count else ():
        model = ensemble.fit(parts.train, parts.validation, settings, seed)
        choice = served(parts.test, model.predict(parts.test.features))
        found.append(
            Fold(
                len(parts.test),
                accuracy(parts.test, choice),
                regret(parts.test, choice),
                gain(parts.test, choice, by_rules(parts.test)),
            )
        )
    return found


def _importance(model: Ensemble, table: Table) -> dict[str, float]:
    rows = np.linspace(0, len(table) - 1, min(_EXPLAINED, len(table))).astype(np.intp)
    values = np.abs(trees.contributions(model.booster, table.features[rows])).mean(axis=(0, 1))
    shares = values / values.sum()
    ranked = sorted(zip(table.names, shares.tolist(), strict=True), key=lambda pair: -pair[1])
    return dict(ranked)


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


def _write(folder: Path, trained: Trained, spec: FeatureSetSpec, seed: int) -> None:
    model, labels = trained.model, np.bincount(trained.parts.train.label, minlength=3).tolist()
    documents: Mapping[str, Any] = {
        "feature_scaler.json": {
            "mean": model.scaler.mean.tolist(),
            "scale": model.scaler.scale.tolist(),
        },
        "label_encoder.json": {"classes": list(ALGORITHMS)},
        "metadata.json": {
            "scores": dict(trained.scores),
            "rows": trained.parts.rows,
            "labels": dict(zip(ALGORITHMS, labels, strict=True)),
            "seed": seed,
            "weights": [model.trees_share, round(1.0 - model.trees_share, 6)],
            "threshold": THRESHOLD,
            "trees": {**trained.trees.as_dict(), "kept": model.booster.num_boosted_rounds()},
            "network": {**trained.network.as_dict(), "layers": network.LAYERS},
        },
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=2) + "\n")
    (folder / "feature_schema.json").write_text(FeatureSet(spec).to_json() + "\n")
