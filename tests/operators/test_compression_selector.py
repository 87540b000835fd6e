from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from gress_ml import (
    Batch,
    Column,
    ColumnType,
    Context,
    FeatureVector,
    Output,
    SchemaError,
    columns_of,
    concat,
)
from gress_ml.dwcp.features import NAME_V2, feature_spec_v2
from gress_ml.errors import ModelNotFound
from gress_ml.features import FeatureSet
from gress_ml.registry import Registry
from gress_ml_operators.compression_selector import (
    CompressionSelector,
    CompressionSelectorConfig,
)

MODELS = Path(__file__).parents[2] / "models"
VECTOR = FeatureSet(feature_spec_v2()).vector
DECIDED = ("algorithm", "codec", "streams", "confidence", "probabilities", "reason")


class FixedAnswers:
    """A predictor that gives the next of the given answers for each row."""

    accepts_missing = False

    def __init__(self, rows: Sequence[Sequence[float]]) -> None:
        self._rows = np.array(rows, np.float32)

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        return self._rows[: len(matrix)]


class Failing:
    accepts_missing = False

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        raise RuntimeError("out of memory")


def selector(**config: Any) -> CompressionSelector:
    operator = CompressionSelector(CompressionSelectorConfig(**config))
    operator.open(Context(Registry(MODELS)))
    return operator


def answering(*rows: Sequence[float], **config: Any) -> CompressionSelector:
    operator = selector(**config)
    operator.predictor = FixedAnswers(rows)
    return operator


def transfers(count: int, seed: int = 0, **features: float) -> Batch:
    """Made-up feature rows of a plausible size; ``features`` sets whole columns."""
    rng = np.random.default_rng(seed)
    matrix = rng.uniform(0, 50, (count, len(VECTOR.names))).astype(np.float32)
    for name, value in features.items():
        matrix[:, VECTOR.names.index(name)] = value
    names = np.array([f"r-{i}" for i in range(count)], dtype=object)
    return Batch.of({"features": matrix, "request_id": names, "vm_id": names})


def decided(output: Output) -> list[tuple[Any, ...]]:
    return list(zip(*(output.batch[name].tolist() for name in DECIDED), strict=True))


SLOW = {"rtt_ms": 60.0, "bandwidth_mbps": 50.0}  # the rules say hde
FAST = {"rtt_ms": 0.2, "bandwidth_mbps": 5000.0}  # the rules say amst


def test_the_model_decides_when_it_is_sure() -> None:
    output = answering((0.05, 0.03, 0.92)).process(transfers(1, **SLOW))
    assert decided(output) == [
        ("none", "raw", 1, 0.92, {"hde": 0.05, "amst": 0.03, "none": 0.92}, "model")
    ]
    assert output.batch["model"][0] == "compression-selector"
    assert output.batch["version"][0] == "1.0.0"
    assert output.batch["feature_schema"][0] == NAME_V2


def test_rows_beyond_the_batch_size_say_the_same() -> None:
    answers = [(0.05, 0.03, 0.92), (0.5, 0.4, 0.1), (0.1, 0.8, 0.1)]
    whole = answering(*answers, batch_size=2).process(transfers(3, **SLOW))
    assert whole.batch["reason"].tolist() == ["model", "low_confidence", "model"]
    assert whole.batch["model"].tolist() == ["compression-selector"] * 3
    assert decided(whole) == decided(answering(*answers).process(transfers(3, **SLOW)))


def test_probabilities_go_by_name_and_not_by_position() -> None:
    operator = answering((0.05, 0.9, 0.05))
    operator._classes = ("none", "hde", "amst")
    operator._to_algorithm = np.array([2, 0, 1])
    ((algorithm, codec, _, _, probabilities, _),) = decided(operator.process(transfers(1)))
    assert (algorithm, codec) == ("hde", "zstd-max")
    assert probabilities == {"none": 0.05, "hde": 0.9, "amst": 0.05}


@pytest.mark.parametrize(
    ("top", "reason"), [(0.6, "low_confidence"), (0.600001, "model"), (0.599999, "low_confidence")]
)
def test_the_threshold_itself_is_not_enough(top: float, reason: str) -> None:
    output = answering((top, 1 - top, 0.0)).process(transfers(1, **FAST))
    ((algorithm, _, streams, confidence, probabilities, found),) = decided(output)
    assert found == reason
    assert probabilities["hde"] == top
    if reason == "low_confidence":
        assert (algorithm, streams, confidence) == ("amst", 4, 0.5)


def test_disabled_means_the_rules() -> None:
    output = selector(enabled=False).process(transfers(2, **SLOW))
    assert decided(output) == [("hde", "zstd-max", 1, 0.5, None, "disabled")] * 2


def test_the_switch_turns_the_model_off_and_on_between_batches() -> None:
    operator, batch = selector(), transfers(3)
    before = decided(operator.process(batch))
    assert operator.control("compression_ml.enabled", "false")
    assert {row[-1] for row in decided(operator.process(batch))} == {"disabled"}
    assert operator.control("compression_ml.enabled", "true")
    assert decided(operator.process(batch)) == before


def test_a_switch_of_others_is_left_alone_and_a_wrong_value_is_an_error() -> None:
    operator = selector()
    assert not operator.control("other.enabled", "false")
    with pytest.raises(ValueError, match="'true' or 'false'"):
        operator.control("compression_ml.enabled", "off")


def test_a_row_with_a_missing_feature_goes_by_the_rules_and_keeps_its_place() -> None:
    operator = selector(confidence_threshold=0.0)
    batch = transfers(5, **SLOW)
    matrix = batch["features"].copy()
    matrix[2, 5] = np.nan
    found = decided(operator.process(batch.with_columns({"features": matrix})))
    whole = decided(operator.process(batch))
    assert found[2] == ("hde", "zstd-max", 1, 0.5, None, "missing_features")
    assert found[:2] + found[3:] == whole[:2] + whole[3:]


def test_without_fallback_a_row_with_a_missing_feature_is_rejected() -> None:
    batch = transfers(3)
    matrix = batch["features"].copy()
    matrix[1, 0] = np.inf
    output = selector(fallback_enabled=False).process(batch.with_columns({"features": matrix}))
    assert output.batch.offsets.tolist() == [0, 2]
    assert [(row.offset, row.code) for row in output.rejected] == [(1, "missing_features")]


def test_a_failing_model_means_the_rules() -> None:
    operator = selector()
    operator.predictor = Failing()
    output = operator.process(transfers(2, **FAST))
    assert decided(output) == [("amst", "lz4", 4, 0.5, None, "model_unavailable")] * 2
    assert any(m.metric.name == "gress_ml_inference_errors_total" for m in output.measures)
    assert "out of memory" in str(output.logs)


def test_without_fallback_a_failing_model_rejects_its_rows() -> None:
    operator = selector(fallback_enabled=False)
    operator.predictor = Failing()
    output = operator.process(transfers(2))
    assert len(output.batch) == 0
    assert [row.code for row in output.rejected] == ["model_unavailable"] * 2
    assert set(DECIDED) <= set(output.batch.columns)


@pytest.mark.parametrize("cause", ["timeout", "overload"])
def test_a_late_batch_goes_by_the_rules(cause: str) -> None:
    output = selector().fallback(transfers(2, **SLOW), cause)
    assert decided(output) == [("hde", "zstd-max", 1, 0.5, None, cause)] * 2


def test_remembered_rows_give_the_same_decisions() -> None:
    plain, remembering = selector(cache_size=0), selector(cache_size=7)
    for seed in (1, 2, 1, 3, 1, 2):
        batch = transfers(5, seed)
        assert decided(remembering.process(batch)) == decided(plain.process(batch))
        assert len(remembering._memo) <= 7


def test_the_same_rows_in_one_batch_are_remembered_once() -> None:
    row = transfers(1)
    batch = row.take(np.zeros(6, np.intp))
    operator = selector(cache_size=3)
    assert len(set(map(str, decided(operator.process(batch))))) == 1
    assert len(operator._memo) == 1


@pytest.mark.parametrize("cut", [0, 1, 7, 39, 40])
def test_the_cut_into_batches_never_shows(cut: int) -> None:
    whole = transfers(40)
    head, tail = whole.take(np.arange(cut)), whole.take(np.arange(cut, 40))
    operator = selector()
    parts = concat(operator.process(head).batch, operator.process(tail).batch)
    assert decided(Output(parts)) == decided(operator.process(whole))


def test_metrics_count_decisions_by_choice_and_confidence() -> None:
    output = answering((0.95, 0.05, 0.0), (0.0, 0.3, 0.7), (0.96, 0.04, 0.0)).process(transfers(3))
    counted = {
        m.labels: m.value for m in output.measures if m.metric.name == "dwcp_ml_predictions_total"
    }
    assert counted == {("hde", "0.9-1.0"): 2, ("none", "0.6-0.7"): 1}


def test_metrics_can_be_switched_off() -> None:
    operator = selector(metrics_enabled=False)
    names = {m.metric.name for m in operator.process(transfers(3)).measures}
    names |= {metric.name for metric, _ in operator.timers}
    assert not {name for name in names if name.startswith("dwcp_ml")}
    assert "gress_ml_predictions_total" in names


def test_predictions_are_logged_on_request() -> None:
    logs = selector(log_predictions=True).process(transfers(2)).logs
    assert [log["request_id"] for log in logs] == ["r-0", "r-1"]
    assert not selector().process(transfers(2)).logs


def test_the_config_sets_batches_deadline_streams_and_folder() -> None:
    folder = MODELS / "compression-selector" / "1.0.0"
    operator = selector(
        batch_size=32, inference_timeout_ms=25, streams=9, enabled=False, models_path=folder
    )
    assert operator.batch_policy.size == 32
    assert operator.deadline_s == 0.025
    assert selector(inference_timeout_ms=0).deadline_s is None
    assert operator.process(transfers(1, **FAST)).batch["streams"].tolist() == [9]


def test_weights_change_the_probabilities() -> None:
    batch = transfers(20)
    trees, network, both = (
        np.array([[*row[4].values()] for row in decided(selector(**config).process(batch))])
        for config in ({"neural_net_weight": 0}, {"xgboost_weight": 0}, {"xgboost_weight": 0.7})
    )
    np.testing.assert_allclose(both, 0.7 * trees + 0.3 * network, atol=2e-6)
    said = Registry(MODELS).find("compression-selector").manifest.weights
    chosen = np.array([[*row[4].values()] for row in decided(selector().process(batch))])
    np.testing.assert_allclose(chosen, said["trees"] * trees + said["network"] * network, atol=2e-6)
    with pytest.raises(ValidationError, match="cannot both be 0"):
        CompressionSelectorConfig(xgboost_weight=0, neural_net_weight=0)


def test_an_unknown_model_is_found_out_when_it_opens() -> None:
    with pytest.raises(ModelNotFound):
        selector(model="compression-selector@9.9.9")


def test_features_of_another_schema_are_refused() -> None:
    operator = selector()
    text = [Column(name, ColumnType.STRING) for name in ("request_id", "vm_id")]
    right = Column("features", ColumnType.VECTOR, features=VECTOR)
    other = Column("features", ColumnType.VECTOR, features=FeatureVector(VECTOR.names, "0" * 64))
    made = operator.signature(columns_of([right, *text]))
    assert set(operator.process(transfers(1)).batch.columns) == set(made)
    with pytest.raises(SchemaError, match="another feature schema"):
        operator.signature(columns_of([other, *text]))
    with pytest.raises(SchemaError, match="vector column"):
        operator.signature(columns_of(text))


def test_no_rows_give_no_decisions() -> None:
    output = selector(cache_size=5).process(transfers(0))
    assert decided(output) == []
    assert not output.measures
