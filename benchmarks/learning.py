"""``python -m benchmarks.learning``: what ``online_learning`` costs beside river alone.

In one process, round by round in turn: the same logistic regression learns the same rows of 17
features, each told before it is learned. River alone is the loop of its documentation over rows
that are arrays as the operator gets them: a mapping, ``predict_proba_one``, the metric, then
``learn_one``. The operator's answer holds all its columns. Times are of the processor, per event;
the ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
from river import linear_model, metrics

from benchmarks.machine import describe_machine
from gress_ml.batch import Batch
from gress_ml.operator import Context
from gress_ml.schema import Column, ColumnType, FeatureVector, columns_of
from gress_ml.testing.harness import NoModels
from gress_ml_operators.online_learning import OnlineLearning, OnlineLearningConfig

FEATURES = tuple(f"feature_{number}" for number in range(17))
COLUMNS = columns_of(
    [
        Column("features", ColumnType.VECTOR, features=FeatureVector(FEATURES, "benchmark")),
        Column("label", ColumnType.STRING, nullable=True),
    ]
)
CLASSES = ("slow", "fast")
BATCH = 256
_SEED = 17

Run = Callable[[Sequence[Batch]], None]
#: Makes a learner that has learned nothing, and is not timed: a worker does so once per partition.
Contender = Callable[[], Run]


def make_batches(count: int) -> list[Batch]:
    """So many batches of rows whose label is a noisy line through the features."""
    random = np.random.default_rng(_SEED)
    line = random.normal(size=len(FEATURES))
    batches = []
    for number in range(count):
        vectors = random.normal(size=(BATCH, len(FEATURES))).astype(np.float32)
        fast = vectors @ line + random.normal(size=BATCH) > 0
        labels = np.array(CLASSES, object)[fast.astype(int)]
        columns = {"features": vectors, "label": labels}
        first = number * BATCH
        times = range(first, first + BATCH)
        batches.append(Batch.of(columns, first_offset=first, event_time_ms=times))
    return batches


def river_alone(scores: Sequence[Any]) -> Contender:
    """The loop of river's documentation, with these metrics."""

    def make() -> Run:
        model = linear_model.LogisticRegression()
        kept = [(score, score.requires_labels) for score in (kind() for kind in scores)]

        def run(batches: Sequence[Batch]) -> None:
            for batch in batches:
                labels = batch["label"].tolist()
                for row, label in zip(batch["features"].tolist(), labels, strict=True):
                    features, fast = dict(zip(FEATURES, row, strict=True)), label == CLASSES[1]
                    told = model.predict_proba_one(features)
                    for score, of_label in kept:
                        score.update(fast, told[True] > 0.5 if of_label else told)
                    model.learn_one(features, fast)

        return run

    return make


def operator(**config: Any) -> Contender:
    """The operator, with these settings besides the learner and its columns."""

    def make() -> Run:
        learning = OnlineLearning(
            OnlineLearningConfig(
                model="benchmark",
                learner="linear_model.LogisticRegression",
                classes=CLASSES,
                enable_validation=False,
                **config,
            )
        )
        learning.open(Context(NoModels(), columns=COLUMNS))

        def run(batches: Sequence[Batch]) -> None:
            for batch in batches:
                learning.process(batch)

        return run

    return make


PAIRS: Mapping[str, tuple[Contender, Contender]] = {
    "told and learned": (river_alone(()), operator(metrics=(), rolling_window=0)),
    "and scored: Accuracy": (
        river_alone((metrics.Accuracy,)),
        operator(metrics=("Accuracy",), rolling_window=0),
    ),
    "and scored: Accuracy and LogLoss": (
        river_alone((metrics.Accuracy, metrics.LogLoss)),
        operator(metrics=("Accuracy", "LogLoss"), rolling_window=0),
    ),
}


def cpu_us(contender: Contender, batches: Sequence[Batch]) -> float:
    """Processor time per event, in µs."""
    run = contender()
    gc.collect()
    gc.freeze()  # as the worker does when it opens a partition
    started = time.process_time()
    run(batches)
    return (time.process_time() - started) / (len(batches) * BATCH) * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batches", type=int, default=80)
    given = parser.parse_args()
    for name, value in describe_machine():
        print(f"{name}: {value}")
    batches = make_batches(given.batches)
    for alone, ours in PAIRS.values():  # warm
        alone()(batches[:4])
        ours()(batches[:4])
    print(
        f"\n{given.rounds} rounds of {len(batches)} batches of {BATCH}, µs of processor per event"
    )
    print(f"{'':34}{'river alone':>12}{'operator':>10}{'ratio':>8}")
    for name, (alone, ours) in PAIRS.items():
        times = [(cpu_us(alone, batches), cpu_us(ours, batches)) for _ in range(given.rounds)]
        theirs, own = median(one for one, _ in times), median(one for _, one in times)
        ratio = median(one / other for other, one in times)
        print(f"{name:34}{theirs:12.2f}{own:10.2f}{ratio:8.3f}")


if __name__ == "__main__":
    main()
