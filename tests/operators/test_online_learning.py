"""online_learning: columns, uses, effects and errors. The contract checks run elsewhere."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from river.__version__ import __version__

from gress_ml import (
    Batch,
    Column,
    ColumnType,
    Context,
    FeatureVector,
    Output,
    SchemaError,
    Snapshot,
    SnapshotError,
    columns_of,
)
from gress_ml.inference import load_predictor
from gress_ml.metrics import LEARNER_SIZE, MODEL_SCORE, ONLINE_ROWS, ONLINE_UPDATES
from gress_ml.registry import Registry
from gress_ml.registry.publishing import RegistryPublisher
from gress_ml.testing import Harness
from gress_ml.testing.harness import NoModels
from gress_ml_operators.inference import Inference, InferenceConfig
from gress_ml_operators.online_learning import OnlineLearning, OnlineLearningConfig

VECTOR = FeatureVector(("a", "b"), "fingerprint-of-a-and-b")
COLUMNS = columns_of(
    [
        Column("features", ColumnType.VECTOR, features=VECTOR),
        Column("label", ColumnType.STRING, nullable=True),
    ]
)
CONFIG: dict[str, Any] = {
    "model": "late",
    "learner": ["preprocessing.StandardScaler", "linear_model.LogisticRegression"],
    "learning_rate": 0.1,
    "classes": ["no", "yes"],
    "update_batch_size": 10,
}
PUBLISH = {
    "every": 50,
    "min_samples": 100,
    "min_holdout": 10,
    "metric": "Accuracy",
    "threshold": 0.7,
}


def harness(columns: Any = COLUMNS, **config: Any) -> Harness:
    return Harness(OnlineLearning, {**CONFIG, **config}, columns)


def rows(count: int, seed: int = 5) -> list[dict[str, Any]]:
    dice = random.Random(seed)
    made = []
    for _ in range(count):
        a, b = dice.gauss(0, 1), dice.gauss(0, 1)
        made.append({"features": [a, b], "label": "yes" if a + b > 0 else "no"})
    return made


def measured(output: Output, metric: Any) -> dict[tuple[str, ...], float]:
    return {one.labels: one.value for one in output.measures if one.metric is metric}


def test_predictions_have_the_columns_of_inference_and_what_the_row_was_used_for() -> None:
    found = harness().run(rows(100))
    row = found.rows[-1]
    assert row["prediction"] in ("yes", "no")
    assert row["prediction_metadata"] == {
        "model": "late",
        "version": "1",
        "status": "success",
        "confidence": row["confidence"],
    }
    assert row["confidence"] == pytest.approx(max(row["probabilities"]))
    assert sum(row["probabilities"]) == pytest.approx(1.0)
    uses = [row["learning_use"] for row in found.rows]
    assert 10 <= uses.count("holdout") <= 30
    assert uses.count("trained") == 100 - uses.count("holdout")


def test_it_learns() -> None:
    learning = harness()
    learning.run(rows(500))
    told = learning.run([{**row, "label": None} for row in rows(200, seed=6)])
    right = [
        row["prediction"] == wanted["label"]
        for row, wanted in zip(told.rows, rows(200, seed=6), strict=True)
    ]
    assert sum(right) / 200 > 0.9
    assert {row["learning_use"] for row in told.rows} == {"predicted"}


def test_before_the_first_label_of_a_tree_nothing_is_known() -> None:
    learning = harness(learner="tree.HoeffdingTreeClassifier", learning_rate=None)
    (row,) = learning.run(rows(1)).rows
    assert (row["prediction"], row["confidence"]) == (None, None)
    assert learning.signature["prediction"].nullable


def test_values_are_told_as_numbers() -> None:
    columns = columns_of(
        [Column("x", ColumnType.FLOAT), Column("y", ColumnType.FLOAT, nullable=True)]
    )
    learning = harness(
        columns,
        learner="linear_model.LinearRegression",
        classes=(),
        features=["x"],
        target_field="y",
        update_batch_size=1,
    )
    learning.run([{"x": 1.0, "y": 2.0}] * 200)
    found = learning.run([{"x": 1.0, "y": None}])
    assert found.rows[0]["prediction"] == pytest.approx(2.0, abs=0.1)
    assert found.rows[0]["probabilities"] == []
    assert set(measured(learning.run([{"x": 1.0, "y": 2.0}]).output, MODEL_SCORE)) >= {
        ("late", "1", "MAE"),
        ("late", "1", "rolling_RMSE"),
    }


def test_a_share_of_the_log_is_held_out_the_same_on_every_replay() -> None:
    first, second = harness().run(rows(300)), harness().run(rows(300))
    assert [row["learning_use"] for row in first.rows] == [
        row["learning_use"] for row in second.rows
    ]
    without = harness(enable_validation=False).run(rows(50)).rows
    assert {row["learning_use"] for row in without} == {"trained"}


def test_an_id_that_comes_again_is_held_out_again() -> None:
    columns = columns_of([*COLUMNS.values(), Column("id", ColumnType.STRING)])
    learning = harness(columns, holdout_key="id", validation_split=0.5)
    events = [{**row, "id": f"id-{n % 20}"} for n, row in enumerate(rows(200))]
    uses: dict[str, set[str]] = {}
    for event, row in zip(events, learning.run(events).rows, strict=True):
        uses.setdefault(event["id"], set()).add(row["learning_use"])
    assert all(len(one) == 1 for one in uses.values())
    assert {use for one in uses.values() for use in one} == {"trained", "holdout"}


def test_measures_say_what_was_learned_and_how_well() -> None:
    learning = harness(update_batch_size=10, enable_validation=False)
    output = learning.run(rows(35)).output
    assert measured(output, ONLINE_UPDATES) == {("late", "1"): 3}
    assert measured(output, ONLINE_ROWS) == {("late", "1", "trained"): 35}
    assert set(measured(output, MODEL_SCORE)) == {
        ("late", "1", name)
        for name in ("Accuracy", "LogLoss", "rolling_Accuracy", "rolling_LogLoss")
    }
    learning.run(rows(2000))
    assert measured(learning.run(rows(1)).output, LEARNER_SIZE)[("late", "1")] > 100


def test_bad_rows_are_rejected_and_teach_nothing() -> None:
    good = rows(50)
    bad = [
        {"features": [None, 1.0], "label": "yes"},
        {"features": [np.inf, 1.0], "label": "yes"},
        {"features": [1.0, 1.0], "label": "maybe"},
    ]
    first, second = harness(enable_validation=False), harness(enable_validation=False)
    found = first.run([*good[:25], *bad, *good[25:]])
    assert found.rejected == {25: "missing_features", 26: "out_of_range", 27: "unknown_label"}
    assert found.rows == second.run(good).rows


# --- publishing -----------------------------------------------------------------------------------


def test_a_model_is_offered_under_a_version_that_is_its_offset() -> None:
    learning = harness(publish=PUBLISH, version=7)
    offered = learning.run(rows(400)).output.publications
    assert offered
    for one in offered:
        major, partition, offset = one.version.split(".")
        assert (major, partition) == ("7", "0")
        assert one.tags["learned_until"].endswith(f"-{offset}")
        assert one.metric == "holdout_Accuracy"
        assert one.scores["holdout_Accuracy"] >= 0.7
    again = harness(publish=PUBLISH, version=7)
    parts = [again.run(rows(400)[at : at + 30]).output.publications for at in range(0, 400, 30)]
    assert [one for part in parts for one in part] == offered


def test_a_published_learner_is_served_by_inference_with_the_same_answers(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    learning = harness(publish={**PUBLISH, "alias": "champion"}, enable_validation=True)
    (*_, last) = learning.run(rows(400)).output.publications
    RegistryPublisher(registry).publish(last, "2026-11-26T00:00:00Z")
    inference = Inference(InferenceConfig(model="late"))
    inference.open(Context(registry))
    inference.signature(COLUMNS)
    again = harness(publish=PUBLISH)
    end = int(last.version.rpartition(".")[2])
    again.run(rows(400)[:end])
    fresh = [{**row, "label": None} for row in rows(50, seed=8)]
    expected = again.run(fresh)
    vectors = np.array([row["features"] for row in fresh], np.float32)
    output = inference.process(Batch.of({"features": vectors}))
    assert output.batch["prediction"].tolist() == [row["prediction"] for row in expected.rows]
    assert output.batch["confidence"].tolist() == [row["confidence"] for row in expected.rows]


def test_a_published_learner_refuses_features_of_another_schema(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    (first, *_) = harness(publish=PUBLISH).run(rows(400)).output.publications
    RegistryPublisher(registry).publish(first, "")
    inference = Inference(InferenceConfig(model=f"late@{first.version}"))
    inference.open(Context(registry))
    other = FeatureVector(("a", "b"), "another fingerprint")
    with pytest.raises(SchemaError, match="not made by the feature schema of model late"):
        inference.signature(columns_of([Column("features", ColumnType.VECTOR, features=other)]))


def test_a_learner_refuses_features_that_are_made_in_another_way() -> None:
    learning = harness()
    learning.operator.signature(COLUMNS)
    vector = COLUMNS["features"].features
    assert vector is not None
    other = replace(COLUMNS["features"], features=replace(vector, fingerprint="another"))
    with pytest.raises(SchemaError, match="the learner was made for the features"):
        learning.operator.signature({**COLUMNS, "features": other})


def test_a_learner_of_columns_is_served_with_a_column_for_each(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    columns = columns_of(
        [
            Column("x", ColumnType.FLOAT),
            Column("on", ColumnType.BOOL),
            Column("text", ColumnType.STRING),
            Column("label", ColumnType.STRING),
        ]
    )
    learning = harness(
        columns,
        features=["x", "on", "text"],
        learner={"tree.HoeffdingTreeClassifier": {"grace_period": 20, "tau": 0.5}},
        learning_rate=None,
        publish={**PUBLISH, "threshold": 0.0},
    )
    dice = random.Random(1)
    events = [
        {"x": n % 2 + dice.random(), "on": True, "text": "a", "label": ("no", "yes")[n % 2]}
        for n in range(300)
    ]
    (*_, last) = learning.run(events).output.publications
    RegistryPublisher(registry).publish(last, "")
    names = {"x": "x", "on": "on", "text": "text"}
    inference = Inference(InferenceConfig(model=f"late@{last.version}", inputs=names))
    inference.open(Context(registry))
    inference.signature(columns)
    asked = Batch.of(
        {
            "x": np.array([0.1, 1.9]),
            "on": np.array([True, True]),
            "text": np.array(["a", "a"], object),
        }
    )
    assert inference.process(asked).batch["prediction"].tolist() == ["no", "yes"]
    assert load_predictor(registry.find("late", last.version)).classes == ("no", "yes")


# --- configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"learner": "linear_model.LogReg"}, "learner: river has no class 'linear_model.LogReg'"),
        ({"classes": []}, "classes: LogisticRegression needs the names of two classes or more"),
        ({"classes": ["a"]}, "classes: LogisticRegression needs the names of two"),
        ({"classes": ["a", "a"]}, "classes: LogisticRegression needs the names of two"),
        ({"classes": ["a", "b", "c"]}, "tells two classes apart, found 3; put it into multiclass"),
        ({"learner": "linear_model.LinearRegression"}, "classes: LinearRegression learns values"),
        ({"metrics": ["MAE"]}, "metrics[0]: MAE is not a metric for classes"),
        ({"publish": {**PUBLISH, "metric": "Acuracy"}}, "did you mean 'Accuracy'?"),
        ({"learning_rate": "fast"}, "learning_rate: expected a number above 0 or a schedule"),
        (
            {"learner": {"linear_model.LogisticRegression": {"optimizer": {"optim.SGD": ["x"]}}}},
            "learner: it fails to learn made-up rows",
        ),
        (
            {"learner": "multiclass.OutputCodeClassifier"},
            "missing parameter",
        ),
    ],
)
def test_what_cannot_learn_is_refused_when_opened(config: dict[str, Any], message: str) -> None:
    config = {**CONFIG, **config}
    if "optimizer" in str(config["learner"]) or "Output" in str(config["learner"]):
        config["learning_rate"] = None
    operator = OnlineLearning(OnlineLearningConfig.model_validate(config))
    with pytest.raises(SchemaError) as raised:
        operator.open(Context(NoModels(), columns=COLUMNS))
    assert message in str(raised.value)


def test_publish_needs_rows_that_are_held_out() -> None:
    config = {**CONFIG, "publish": PUBLISH, "enable_validation": False}
    with pytest.raises(ValidationError, match="publish needs enable_validation"):
        OnlineLearningConfig.model_validate(config)


def test_without_columns_all_else_is_checked() -> None:
    operator = OnlineLearning(OnlineLearningConfig.model_validate(CONFIG))
    operator.open(Context(NoModels()))
    assert operator.reads() == {"features", "label"}


def test_a_snapshot_of_another_definition_is_refused() -> None:
    first = harness()
    first.run(rows(20))
    state = first.operator.snapshot()
    assert state is not None
    other = harness(learner="linear_model.Perceptron", learning_rate=None)
    with pytest.raises(SnapshotError, match="defined in another way"):
        other.operator.restore(state)
    with pytest.raises(SnapshotError, match="reads version"):
        first.operator.restore(Snapshot(9, state.data))


def test_the_version_of_river_is_kept_with_a_learner() -> None:
    state = harness().operator.snapshot()
    assert state is not None
    assert ".".join(__version__.split(".")[:2]).encode() in state.data
