"""Scores are river's own metrics, to the last digit, whether counted per batch or row by row."""

from __future__ import annotations

import random
from typing import Any

import pytest
from river import base, linear_model, metrics, utils
from river.metrics.base import ClassificationMetric, RegressionMetric

from gress_ml import SchemaError
from gress_ml.learning.names import known_classes
from gress_ml.learning.scores import Scores, default_metrics, known_metrics
from gress_ml.learning.task import Classification, Regression

TWO, THREE = Classification(("no", "yes")), Classification(("a", "b", "c"))
LOGISTIC = linear_model.LogisticRegression()

#: Metrics that are made of others, or are for other tasks.
OTHERS = {"ConfusionMatrix", "ClassificationReport", "PerClass", "Silhouette", "CrossEntropy"}


def of_two() -> list[str]:
    kinds = {name: known_classes()[f"metrics.{name}"] for name in known_metrics()}
    return [
        name
        for name, kind in kinds.items()
        if issubclass(kind, ClassificationMetric)
        and name not in OTHERS
        and name not in {"MultiFBeta"}  # needs weights per class
    ]


def seen(count: int, seed: int = 3) -> list[tuple[bool, bool, dict[bool, float]]]:
    dice = random.Random(seed)
    found = []
    for _ in range(count):
        probability = dice.random()
        label = dice.random() < probability
        found.append((label, probability > 0.5, {False: 1 - probability, True: probability}))
    return found


def definition(name: str) -> Any:
    return {name: {"beta": 2.0}} if name.endswith("FBeta") else name


@pytest.mark.filterwarnings("ignore")  # river's own, of undefined scores over few rows
@pytest.mark.parametrize("name", of_two())
def test_a_metric_for_two_classes_is_rivers(name: str) -> None:
    kind = known_classes()[f"metrics.{name}"]
    given = {"beta": 2.0} if name.endswith("FBeta") else {}
    total, rolling = kind(**given), utils.Rolling(kind, window_size=30, **given)
    scores = Scores([definition(name)], TWO, LOGISTIC, 30)
    everything = seen(100)
    for start in range(0, 100, 7):
        scores.tested(everything[start : start + 7])
    for label, guess, answer in everything:
        told = guess if total.requires_labels else answer
        total.update(label, told)
        rolling.update(label, told)
    found = scores.values()
    assert found.get(name) == pytest.approx(total.get(), nan_ok=True)
    assert found.get(f"rolling_{name}") == pytest.approx(rolling.get(), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", ["MAE", "RMSE", "R2", "SMAPE"])
def test_a_metric_for_values_is_rivers(name: str) -> None:
    metric = known_classes()[f"metrics.{name}"]()
    assert isinstance(metric, RegressionMetric)
    scores = Scores([name], Regression(), linear_model.LinearRegression(), 0)
    rows = [(1.0, 2.0, 2.0), (3.0, 2.5, 2.5), (-1.0, 0.0, 0.0)]
    scores.tested(rows)
    for label, guess, _ in rows:
        metric.update(label, guess)
    assert scores.values() == {name: metric.get()}


def test_several_metrics_of_labels_share_one_count() -> None:
    scores = Scores(["Accuracy", "F1", "Recall"], TWO, LOGISTIC, 10)
    scores.tested(seen(50))
    f1, recall = metrics.F1(), metrics.Recall()
    for label, guess, _ in seen(50):
        f1.update(label, guess)
        recall.update(label, guess)
    assert scores.values()["F1"] == f1.get()
    assert scores.values()["Recall"] == recall.get()


def test_rows_held_out_have_their_own() -> None:
    scores = Scores(["Accuracy"], TWO, LOGISTIC, 0)
    scores.tested([(True, True, {})])
    scores.held_out([(True, False, {})])
    assert scores.values() == {"Accuracy": 1.0, "holdout_Accuracy": 0.0}


@pytest.mark.parametrize(
    ("names", "task", "message"),
    [
        (["Acuracy"], TWO, "river has no class 'metrics.Acuracy'; did you mean 'metrics.Accuracy'"),
        (["MAE"], TWO, "MAE is not a metric for classes"),
        (["F1"], Regression(), "F1 is not a metric for values"),
        (["F1"], THREE, "F1 is for two classes, found 3"),
        (["ROCAUC"], THREE, "ROCAUC is for two classes, found 3"),
        (["Accuracy", "Accuracy"], TWO, "Accuracy is there twice"),
        ([{"FBeta": {"betta": 1}}], TWO, "unknown parameter 'betta'"),
        (["linear_model.LogisticRegression"], TWO, "LogisticRegression is not a metric"),
    ],
)
def test_a_metric_that_does_not_fit_is_told(names: list[Any], task: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=r"^metrics\[\d\]") as raised:
        Scores(names, task, LOGISTIC, 0)
    assert message in str(raised.value)


def test_a_metric_of_probabilities_needs_a_learner_that_tells_them() -> None:
    class OfGuess(base.Classifier):
        def learn_one(self, x: Any, y: Any) -> None: ...

        def predict_one(self, x: Any) -> Any: ...

    with pytest.raises(SchemaError, match="LogLoss needs probabilities"):
        Scores(["LogLoss"], TWO, OfGuess(), 0)
    assert default_metrics(TWO, OfGuess()) == ["Accuracy"]
