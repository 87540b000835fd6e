"""The inference operator: what it refuses at load, what it does per row, what it says of itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from gress_ml.batch import Batch
from gress_ml.errors import ModelError, ModelNotFound, SchemaError
from gress_ml.features import FeatureSet
from gress_ml.metrics import BATCH_SIZE, INFERENCE_ERRORS, INFERENCE_LATENCY, PREDICTIONS
from gress_ml.operator import BatchPolicy, Context, Output
from gress_ml.registry import Registry
from gress_ml.schema import Column, ColumnType, columns_of
from gress_ml_operators.inference import Inference, InferenceConfig

MODELS = Path(__file__).parent.parent / "data" / "models"
FEATURES = columns_of([Column("features", ColumnType.VECTOR)])


def opened(config: Mapping[str, Any], registry: Registry | None = None) -> Inference:
    operator = Inference(InferenceConfig.model_validate(config))
    operator.open(Context(registry or Registry(MODELS)))
    return operator


def batch(*rows: list[float]) -> Batch:
    return Batch.of({"features": np.array(rows, np.float32).reshape(-1, 4)}, first_offset=10)


def measured(output: Output) -> dict[tuple[str, tuple[str, ...]], float]:
    return {(m.metric.name, m.labels): m.value for m in output.measures}


HDE, AMST = [60.0, 80.0, 15.0, 90.0], [0.5, 900.0, 3.0, 10.0]
WHO = ("tiny-selector", "1.0.0")


def test_a_row_gets_its_class_and_how_sure_the_model_is() -> None:
    output = opened({"model": "tiny-selector"}).process(batch(HDE, AMST))
    made = output.batch
    assert made["prediction"].tolist() == ["hde", "amst"]
    assert made["probabilities"].shape == (2, 3)
    np.testing.assert_array_equal(made["confidence"], made["probabilities"].max(axis=1))
    assert made["prediction_metadata"][0] == {
        "model": "tiny-selector",
        "version": "1.0.0",
        "status": "success",
        "confidence": made["confidence"][0],
    }


def test_it_measures_rows_and_calls() -> None:
    operator = opened({"model": "tiny-selector"})
    assert measured(operator.process(batch(HDE, AMST))) == {
        (PREDICTIONS.name, (*WHO, "success")): 2,
        (BATCH_SIZE.name, WHO): 2,
    }
    assert operator.timer == (INFERENCE_LATENCY, WHO)
    assert operator.process(batch()).measures == ()


# --- bad rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "value", "code"),
    [
        ("tiny-selector", np.nan, "missing_features"),
        ("tiny-net", np.nan, "missing_features"),
        ("tiny-trees", np.nan, None),
        ("tiny-trees", np.inf, "out_of_range"),
        ("tiny-selector", -np.inf, "out_of_range"),
    ],
)
def test_only_trees_know_what_to_do_without_a_feature(
    model: str, value: float, code: str | None
) -> None:
    output = opened({"model": model}).process(batch(HDE, [60.0, value, 15.0, 90.0], AMST))
    assert [row.code for row in output.rejected] == ([code] if code else [])
    assert len(output.batch) + len(output.rejected) == 3
    if code:
        assert output.rejected[0].offset == 11
        assert output.batch.offsets.tolist() == [10, 12]


def test_an_answer_that_is_no_number_is_rejected() -> None:
    huge = [3e38, -3e38, 3e38, 3e38]
    output = opened({"model": "tiny-net"}).process(batch(AMST, huge, HDE))
    assert [(row.code, row.offset) for row in output.rejected] == [("bad_prediction", 11)]
    assert output.batch.offsets.tolist() == [10, 12]


def test_a_number_that_its_input_cannot_hold_is_rejected() -> None:
    operator = opened(
        {
            "model": "tiny-inputs",
            "inputs": {"amount": "a", "count": "c", "country": "k"},
            "output": "score",
        }
    )
    columns = {
        "a": np.array([1.0, 1e300, 2.0]),
        "c": np.array([1, 2, 3]),
        "k": np.array(["DE", "DE", None], object),
    }
    output = operator.process(Batch.of(columns))
    assert output.batch["prediction"].tolist() == [3.0]
    assert [row.code for row in output.rejected] == ["out_of_range", "missing_features"]
    assert "column 'a' is infinite" in output.rejected[0].message


# --- deadline and fallback ------------------------------------------------------------------------


@pytest.mark.parametrize("cause", ["timeout", "overload"])
def test_the_fallback_answers_in_time(cause: str) -> None:
    operator = opened({"model": "tiny-selector", "max_latency": "10ms", "fallback": "none"})
    assert operator.deadline_s == 0.01
    output = operator.fallback(batch(HDE, AMST), cause)
    assert output.batch["prediction"].tolist() == ["none", "none"]
    assert np.isnan(output.batch["confidence"]).all()
    assert output.batch["prediction_metadata"][1]["status"] == "fallback"
    assert output.batch["prediction_metadata"][1]["reason"] == cause
    errors = {(INFERENCE_ERRORS.name, WHO): 1} if cause == "timeout" else {}
    assert measured(output) == {(PREDICTIONS.name, (*WHO, "fallback")): 2, **errors}


def test_without_a_fallback_late_rows_are_rejected() -> None:
    output = opened({"model": "tiny-selector", "max_latency": "1ms"}).fallback(
        batch(HDE, AMST), "timeout"
    )
    assert [row.code for row in output.rejected] == ["timeout", "timeout"]
    assert len(output.batch) == 0
    assert "prediction" in output.batch


def test_a_model_that_fails_is_answered_by_the_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ModelError("out of memory")

    for fallback in ({"fallback": "none"}, {}):
        operator = opened({"model": "tiny-selector", **fallback})
        monkeypatch.setattr(operator._predictor, "predict", broken)
        if not fallback:
            with pytest.raises(ModelError, match="out of memory"):
                operator.process(batch(HDE))
            continue
        output = operator.process(batch(HDE, [np.nan] * 4))
        assert output.batch["prediction"].tolist() == ["none"]
        assert [row.code for row in output.rejected] == ["missing_features"]
        assert measured(output)[INFERENCE_ERRORS.name, WHO] == 1
        monkeypatch.undo()


def test_batching_is_told_to_the_runtime() -> None:
    operator = opened({"model": "tiny-selector", "batch_size": 64, "batch_timeout": "5ms"})
    assert operator.batch_policy == BatchPolicy(64, 0.005)
    assert opened({"model": "tiny-selector"}).batch_policy == BatchPolicy(100, 0.0)
    assert opened({"model": "tiny-selector"}).deadline_s is None


# --- config ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model": ""},
        {"model": "m", "batch_size": 0},
        {"model": "m", "batch_size": 1001},
        {"model": "m", "batch_timeout": "soon"},
        {"model": "m", "max_concurrency": 0},
        {"model": "m", "features": "f", "inputs": {"a": "b"}},
        {"model": "m", "weights": {"trees": 0, "network": 0}},
        {"model": "m", "weights": {"forest": 1}},
        {"model": "m", "enable_gpu": True, "gpu_device_ids": []},
        {"model": "m", "modell": "m"},
    ],
)
def test_a_wrong_config_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        InferenceConfig.model_validate(config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "tiny-selector", "fallback": "zstd"}, "is not a class"),
        ({"model": "tiny-inputs", "output": "score"}, "has 3 inputs"),
        ({"model": "tiny-inputs", "output": "score", "inputs": {"amount": "a"}}, "has inputs"),
    ],
)
def test_a_config_that_does_not_fit_the_model_is_refused(
    config: dict[str, object], message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        opened(config)


def test_an_unknown_model_is_not_found() -> None:
    with pytest.raises(ModelNotFound, match="tiny-selector"):
        opened({"model": "nobody"})
    with pytest.raises(ModelNotFound, match=r"'1\.0\.0'"):
        opened({"model": "tiny-selector@2.0.0"})


def test_weights_come_from_the_config() -> None:
    rows = batch(HDE, AMST)
    trees = opened({"model": "tiny-trees"}).process(rows)
    alone = opened({"model": "tiny-selector", "weights": {"network": 0}}).process(rows)
    np.testing.assert_array_equal(trees.batch["probabilities"], alone.batch["probabilities"])


# --- columns --------------------------------------------------------------------------------------


def test_the_signature_names_what_comes_out() -> None:
    made = opened({"model": "tiny-selector", "prefix": "x_"}).signature(FEATURES)
    assert {name: column.type for name, column in made.items() if name.startswith("x_")} == {
        "x_prediction": ColumnType.STRING,
        "x_prediction_metadata": ColumnType.JSON,
        "x_probabilities": ColumnType.VECTOR,
        "x_confidence": ColumnType.FLOAT,
    }


def test_a_column_that_cannot_serve_is_refused() -> None:
    operator = opened({"model": "tiny-selector"})
    with pytest.raises(SchemaError, match="no column 'features'"):
        operator.signature(columns_of([Column("x", ColumnType.FLOAT)]))
    with pytest.raises(SchemaError, match="cannot serve"):
        operator.signature(columns_of([Column("features", ColumnType.STRING)]))


def schema(*names: str, clip: list[float] | None = None) -> dict[str, Any]:
    features: list[dict[str, Any]] = [{"name": name, "type": "numerical"} for name in names]
    if clip:
        features[0]["clip"] = clip
    return {"features": features}


NAMES = ("rtt_ms", "bandwidth_mbps", "hde_compression_ratio", "hde_delta_hit_rate")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "was not made by the feature schema"),
        (schema(*NAMES[:2], "ratio", NAMES[3]), "feature 2 is 'ratio', expected 'hde_compression"),
        (schema(*NAMES[:3]), "has 3 features.*feature 3 is 'missing', expected 'hde_delta"),
        (schema(*NAMES, clip=[0, 1]), "the names are the same, and a transform"),
    ],
)
def test_features_made_otherwise_than_in_training_are_refused(
    tmp_path: Path, given: dict[str, Any] | None, message: str
) -> None:
    folder = tmp_path / "trained"
    shutil.copytree(MODELS / "tiny-selector" / "1.0.0", folder)
    (folder / "manifest.json").unlink()
    (folder / "feature_schema.json").write_text(json.dumps(schema(*NAMES)))
    registry = Registry(tmp_path / "models")
    registry.push(folder, "selector", "1.0.0")
    operator = opened({"model": "selector@latest"}, registry)

    def column(spec: dict[str, Any] | None) -> Any:
        vector = None if spec is None else FeatureSet.from_json(json.dumps(spec)).vector
        return columns_of([Column("features", ColumnType.VECTOR, features=vector)])

    assert "prediction" in operator.signature(column(schema(*NAMES)))
    with pytest.raises(SchemaError, match=message):
        operator.signature(column(given))
