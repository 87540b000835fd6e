"""Trees: gradient-boosted trees on raw features, and their ONNX form."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.training.calibration import Calibration
from gress_ml.dwcp.training.extra import library
from gress_ml.dwcp.training.table import Float32, Float64, Table

#: Rounds without a better validation loss after which no more are added.
PATIENCE = 15
_GROUP = len(ALGORITHMS)


@dataclass(frozen=True, slots=True)
class TreeSettings:
    """What the search may choose."""

    rounds: int = 80  # one tree per class in each
    depth: int = 5
    learning_rate: float = 0.15
    row_share: float = 0.8  # of the rows, per tree
    feature_share: float = 0.8  # of the features, per tree
    leaf_weight: float = 1.0  # least weight of rows in a leaf
    stake_power: float = 0.0  # weight of a row: its cost at stake to this power

    @property
    def parameters(self) -> dict[str, Any]:
        """As XGBoost names them."""
        return {
            "objective": "multi:softprob",
            "num_class": _GROUP,
            "max_depth": self.depth,
            "eta": self.learning_rate,
            "subsample": self.row_share,
            "colsample_bytree": self.feature_share,
            "min_child_weight": self.leaf_weight,
            "tree_method": "hist",
            "nthread": 1,  # the same trees on every machine
        }

    def as_dict(self) -> dict[str, float]:
        """For the metadata of a bundle."""
        return asdict(self)


def fit(train: Table, validation: Table, settings: TreeSettings, seed: int) -> Any:
    """A booster; it ends where the validation loss no longer falls, at ``rounds`` at the latest."""
    xgboost = library("xgboost")
    data = xgboost.DMatrix(
        train.features, train.label, weight=row_weights(train, settings.stake_power)
    )
    held = xgboost.DMatrix(validation.features, validation.label)
    booster = xgboost.train(
        {**settings.parameters, "seed": seed},
        data,
        settings.rounds,
        evals=[(held, "validation")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    return booster[: booster.best_iteration + 1]


def row_weights(table: Table, power: float) -> Float64:
    """What is at stake in each row, to a power, with a mean of 1.

    The stake is what a blind choice costs beyond the best one: the mean over the arms of
    ``cost - least cost``.
    """
    stake = table.cost.mean(axis=1) - table.cost.min(axis=1)
    raised = np.maximum(stake, 1e-9) ** power
    weights: Float64 = raised / raised.mean()
    return weights


def predict(booster: Any, features: Float32) -> Float32:
    """Probabilities (n, classes)."""
    found: Float32 = booster.predict(library("xgboost").DMatrix(features))
    return found


def calibrated(booster: Any, calibration: Calibration) -> Any:
    """A booster whose margins are ``scale * margin + bias``.

    Every leaf is scaled, and so is what the margins begin with. A row meets one leaf of each tree,
    so the bias of a class is added to all leaves of the first tree of that class.
    """
    document = json.loads(booster.save_raw("json"))
    start = document["learner"]["learner_model_param"]
    start["base_score"] = _scaled(start["base_score"], calibration.scale)
    model = document["learner"]["gradient_booster"]["model"]
    for number, (tree, group) in enumerate(zip(model["trees"], model["tree_info"], strict=True)):
        bias = float(calibration.bias[group]) if number < _GROUP else 0.0
        _rewrite_leaves(tree, calibration.scale, bias)
    made = library("xgboost").Booster()
    made.load_model(bytearray(json.dumps(document).encode()))
    return made


def _scaled(score: str, scale: float) -> str:
    """The base score, one number or one per class, as XGBoost writes it."""
    found = json.loads(score)
    made = [value * scale for value in (found if isinstance(found, list) else [found])]
    return "[" + ",".join(f"{value:.9E}" for value in made) + "]"


def _rewrite_leaves(tree: dict[str, Any], scale: float, bias: float) -> None:
    for node, left in enumerate(tree["left_children"]):
        if left == -1:
            value = tree["split_conditions"][node] * scale + bias
            tree["split_conditions"][node] = tree["base_weights"][node] = value


def contributions(booster: Any, features: Float32) -> npt.NDArray[np.float64]:
    """TreeSHAP values (n, classes, width): what each feature adds to each margin.

    Lundberg, Erion, Lee: Consistent Individualized Feature Attribution for Tree Ensembles, 2018.
    """
    xgboost = library("xgboost")
    found = booster.predict(xgboost.DMatrix(features), pred_contribs=True)
    values: npt.NDArray[np.float64] = found[:, :, :-1].astype(np.float64)
    return values


def export(booster: Any, width: int, folder: Path) -> None:
    """Write ``xgboost_model.json`` and ``trees.onnx`` (probabilities as one tensor, no map)."""
    booster.save_model(folder / "xgboost_model.json")
    types = library("onnxmltools.convert.common.data_types")
    graph = library("onnxmltools").convert_xgboost(
        booster,
        initial_types=[("features", types.FloatTensorType([None, width]))],
        target_opset=15,
    )
    (folder / "trees.onnx").write_bytes(graph.SerializeToString())


def predict_exported(folder: Path, features: Float32) -> Float32:
    """Probabilities of the exported graph."""
    runtime = library("onnxruntime")
    session = runtime.InferenceSession(folder / "trees.onnx", providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    found: Float32 = session.run(["probabilities"], {session.get_inputs()[0].name: features})[0]
    if found.ndim != 2:
        raise ValueError(f"trees.onnx gives no table of probabilities: its outputs are {outputs}")
    return found
