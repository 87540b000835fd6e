"""``python docs/examples/fraud_train.py``: trains the model of ``fraud.yaml`` and publishes it.

Needs the ``train`` extra. The features are computed by the operator that serves them, payment after
payment, as the windows look back. Trained on the first three quarters of a month, scored on the
rest; the score of the bundle is the area under precision and recall.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import xgboost
from fraud_events import CATEGORIES, events
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from onnxruntime import InferenceSession
from sklearn.metrics import average_precision_score

from gress_ml import Column, ColumnType, columns_of
from gress_ml.features import FeatureSet, FeatureSetSpec
from gress_ml.registry import Registry
from gress_ml.testing import Harness
from gress_ml_operators.feature_extraction import FeatureExtraction

NAME = "fraud-detector"
MODELS = Path(__file__).parent / "models"
TRAINED_ON = 0.75
ROUNDS = 60
SETTINGS = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.15, "seed": 17, "nthread": 1}
PARITY = 1e-5

PER_CARD: dict[str, Any] = {"type": "aggregation", "key": "card"}
FEATURES: list[dict[str, Any]] = [
    {"name": "amount_log", "type": "log", "source": "amount"},
    {"name": "category", "type": "onehot", "vocabulary": CATEGORIES},
    {"name": "abroad", "type": "numerical", "expression": "country != home"},
    {"name": "time", "type": "temporal", "source": "at", "parts": ["hour", "day_of_week"]},
    {"name": "payments_10m", "function": "count", "window": "10m", **PER_CARD},
    {"name": "spent_10m", "function": "sum", "source": "amount", "window": "10m", **PER_CARD},
    {"name": "payments_1h", "function": "count", "window": "1h", **PER_CARD},
    {"name": "spent_1h", "function": "sum", "source": "amount", "window": "1h", **PER_CARD},
    {"name": "average_1h", "function": "avg", "source": "amount", "window": "1h", **PER_CARD},
    {"name": "average_14d", "function": "avg", "source": "amount", "window": "336h", **PER_CARD},
]
STRING = ("card", "category", "country", "home")
COLUMNS = columns_of(
    [
        *(Column(name, ColumnType.STRING) for name in STRING),
        Column("at", ColumnType.TIMESTAMP),
        Column("amount", ColumnType.FLOAT),
    ]
)


def main() -> None:
    spec = FeatureSetSpec(name="card-payments", features=FEATURES)  # type: ignore[arg-type]
    payments = [*events()]
    harness = Harness(FeatureExtraction, {"features": FEATURES}, COLUMNS)
    rows = harness.run(payments).rows
    features = np.array([row["features"] for row in rows], np.float32)
    fraud = np.array([payment["fraud"] for payment in payments])
    cut = round(TRAINED_ON * len(payments))
    data = xgboost.DMatrix(features[:cut], fraud[:cut])
    booster = xgboost.train(SETTINGS, data, ROUNDS)
    told = booster.predict(xgboost.DMatrix(features[cut:]))
    score = round(float(average_precision_score(fraud[cut:], told)), 4)
    types = [("features", FloatTensorType([None, features.shape[1]]))]
    graph = convert_xgboost(booster, initial_types=types, target_opset=15).SerializeToString()
    session = InferenceSession(graph, providers=["CPUExecutionProvider"])
    served = session.run(["probabilities"], {"features": features[cut:]})[0][:, 1]
    if np.abs(served - told).max() > PARITY:
        raise SystemExit("the exported graph answers other than the trees that it was made of")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "trees.onnx").write_bytes(graph)
        (folder / "label_encoder.json").write_bytes(orjson.dumps({"classes": ["good", "fraud"]}))
        (folder / "feature_schema.json").write_text(FeatureSet(spec).to_json())
        registry = Registry(MODELS)
        version = sys.argv[1] if len(sys.argv) > 1 else "1.0.0"
        registry.push(folder, NAME, version, scores={"average_precision": score})
        registry.alias(NAME, "champion", version)
    print(f"{len(payments)} payments, {fraud.sum()} of them fraud; average precision {score}")


if __name__ == "__main__":
    main()
