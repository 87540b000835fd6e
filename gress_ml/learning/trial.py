"""Trial: what a definition can do is tried before the first row, with rows that are made up.

What is found here is found by ``gress check``: parameters that only fail while learning, parts that
cannot be saved, dice without a seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from gress_ml.errors import SchemaError, SnapshotError
from gress_ml.learning.structure import load, save
from gress_ml.learning.task import Classification, Task

ROWS = 48
_SEED = 20261126


def try_out(
    build: Callable[[], Any], task: Task, make_features: Callable[[random.Random], dict[str, Any]]
) -> None:
    """Learn some rows twice, with a save and a load in between. Raises SchemaError."""
    rows = _rows(task, make_features)
    half = ROWS // 2
    first, second = build(), build()
    told = _learned(first, task, rows[:half])
    again = _learned(second, task, rows[:half])
    try:
        saved = save(first)
        if saved != save(second) or told != again:
            raise SchemaError(
                "learner: two of the same definition learn the same rows differently: there is a "
                "part whose chance has no seed"
            )
        second = load(saved)
    except SnapshotError as error:
        raise SchemaError(f"learner: its state cannot be saved: {error}") from error
    if _learned(first, task, rows[half:]) != _learned(second, task, rows[half:]):
        raise SchemaError("learner: saved and loaded it goes on differently, so it cannot be used")
    if save(first) != save(second):
        raise SchemaError("learner: saved and loaded it learns differently, so it cannot be used")


def _rows(
    task: Task, make_features: Callable[[random.Random], dict[str, Any]]
) -> Sequence[tuple[dict[str, Any], Any]]:
    dice = random.Random(_SEED)  # noqa: S311 - made-up rows
    labels = task.labels if isinstance(task, Classification) else (0.5, -1.0, 2.0)
    return [(make_features(dice), labels[row % len(labels)]) for row in range(ROWS)]


def _learned(
    estimator: Any, task: Task, rows: Sequence[tuple[dict[str, Any], Any]]
) -> Sequence[Any]:
    told = []
    ask = task.asker(estimator)
    try:
        for features, label in rows:
            told.append(repr(ask(features)))
            estimator.learn_one(features, label)
    except Exception as error:
        raise SchemaError(
            f"learner: it fails to learn made-up rows: {type(error).__name__}: {error}"
        ) from error
    return told


def feature_maker(texts: dict[str, bool]) -> Callable[[random.Random], dict[str, Any]]:
    """Made-up features: numbers from 0 to 1, or one of a few texts."""

    def make(dice: random.Random) -> dict[str, Any]:
        return {
            name: dice.choice(("a", "b", "c")) if text else dice.random()
            for name, text in texts.items()
        }

    return make
