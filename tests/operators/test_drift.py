"""drift: how far features are from those of the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gress_ml import Column, ColumnType, columns_of
from gress_ml.errors import SchemaError, SnapshotError
from gress_ml.learning.drift import Reference, population_stability
from gress_ml.metrics import MODEL_DRIFT
from gress_ml.operator import Snapshot
from gress_ml.schema import FeatureVector
from gress_ml.testing import Harness
from gress_ml_operators.drift import Drift

MODELS = Path(__file__).parents[1] / "data" / "models"
VECTOR = Column(
    "features", ColumnType.VECTOR, nullable=True, features=FeatureVector(("rtt_ms", "x"), "f")
)


def harness(window: int = 100, model: str = "tiny-trees", column: Column = VECTOR) -> Harness:
    columns = columns_of([column])
    return Harness(Drift, {"model": model, "window": window}, columns, MODELS)


def rows(*values: float | None) -> list[dict[str, Any]]:
    return [{"features": [value, 1.0]} for value in values]


def scores(harness: Harness, found: list[dict[str, Any]]) -> dict[str, float]:
    measures = harness.run(found).output.measures
    assert {(m.metric, *m.labels[:2]) for m in measures} <= {(MODEL_DRIFT, "tiny-trees", "1.0.0")}
    return {measure.labels[2]: measure.value for measure in measures}


AS_IN_TRAINING = [15.0] * 40 + [45.0] * 30 + [80.0] * 30


def test_values_as_in_training_have_not_drifted_and_others_have() -> None:
    assert scores(harness(), rows(*AS_IN_TRAINING)) == {"rtt_ms": pytest.approx(0.0)}
    assert scores(harness(), rows(*[99.0] * 100))["rtt_ms"] > 1.0


def test_nothing_is_said_before_the_window_is_full_and_each_window_stands_for_itself() -> None:
    drift = harness()
    assert scores(drift, rows(*[99.0] * 99)) == {}
    assert scores(drift, rows(99.0))["rtt_ms"] > 1.0
    assert scores(drift, rows(*AS_IN_TRAINING)) == {"rtt_ms": pytest.approx(0.0)}


def test_missing_values_are_left_aside_and_those_beyond_the_edges_are_not() -> None:
    reference = Reference("f", {"edges": [0, 1, 2], "counts": [1, 1]})
    values = np.array([np.nan, -5.0, 0.5, 1.0, 7.0, np.inf], np.float32)
    assert reference.binned(values).tolist() == [2, 3]
    assert scores(harness(2), rows(None, None)) == {"rtt_ms": 0.0}


def test_the_index_is_that_of_its_formula() -> None:
    expected, found = np.array([50, 50]), np.array([3, 1])
    wanted = 0.25 * np.log(0.75 / 0.5) - 0.25 * np.log(0.25 / 0.5)
    assert population_stability(expected, found) == pytest.approx(wanted)


def test_what_cannot_be_compared_is_told() -> None:
    with pytest.raises(SchemaError, match="has no training_reference"):
        harness(model="tiny-selector")
    with pytest.raises(SchemaError, match="is no vector of features with names"):
        harness(column=Column("features", ColumnType.FLOAT))
    other = Column("features", ColumnType.VECTOR, features=FeatureVector(("x",), "f"))
    with pytest.raises(SchemaError, match=r"has none of \['x'\]"):
        harness(column=other)
    with pytest.raises(SchemaError, match="expected ascending edges"):
        Reference("f", {"edges": [0, 1, 1], "counts": [1, 1]})


@pytest.mark.parametrize(
    "data",
    [
        b"junk",
        b"[]",
        b'[["tiny-trees", "1.0.0"], 5, {}]',
        b'[["tiny-trees", "1.0.0"], 100, {"rtt_ms": [0, 0, 0]}]',
        b'[["tiny-trees", "1.0.0"], 1, {"rtt_ms": [1, 1, 0]}]',
        b'[["tiny-trees", "1.0.0"], 1, {"rtt_ms": [1, 0]}]',
        b'[["tiny-trees", "1.0.0"], 1, {"rtt_ms": [-1, 0, 0]}]',
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(data: bytes) -> None:
    drift = harness()
    scores(drift, rows(*[99.0] * 99))
    before = drift.operator.snapshot()
    with pytest.raises(SnapshotError):
        drift.operator.restore(Snapshot(1, data))
    assert drift.operator.snapshot() == before


def test_counts_of_another_version_are_dropped() -> None:
    drift = harness()
    drift.operator.restore(Snapshot(1, b'[["tiny-trees", "0.9.0"], 50, {"rtt_ms": [50, 0, 0]}]'))
    assert scores(drift, rows(*AS_IN_TRAINING)) == {"rtt_ms": pytest.approx(0.0)}
