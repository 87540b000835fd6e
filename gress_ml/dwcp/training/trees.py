"""Trees: gradient-boosted trees on raw features, and their ONNX form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.training.extra import library
from gress_ml.dwcp.training.table import Table

Float32 = npt.NDArray[np.float32]

ROUNDS = 60
SETTINGS = {
    "objective": "multi:softprob",
    "num_class": len(ALGORITHMS),
    "max_depth": 5,
    "eta": 0.15,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "tree_method": "hist",
    "nthread": 1,  # the same trees on every machine
}


def fit(train: Table, seed: int) -> Any:
    """A booster of 60 rounds, one tree per class and round."""
    xgboost = library("xgboost")
    data = xgboost.DMatrix(train.features, train.label)
    return xgboost.train({**SETTINGS, "seed": seed}, data, ROUNDS)


def predict(booster: Any, features: Float32) -> Float32:
    """Probabilities (n, classes)."""
    found: Float32 = booster.predict(library("xgboost").DMatrix(features))
    return found


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
