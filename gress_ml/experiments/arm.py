"""Arm: one variant of an experiment with its model, and what it makes of its rows of a batch."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gress_ml.batch import Batch
from gress_ml.errors import ModelError, SchemaError
from gress_ml.inference import Model, success
from gress_ml.metrics import Metric
from gress_ml.operator import Rejected, Timed, Work

Float32 = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Timers = Sequence[tuple[Metric, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Arm:
    """A variant. ``order`` brings its answers into the order of the first arm's classes."""

    name: str
    model: Model
    order: Indices | None  # None: they are in that order
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of an arm's rows: its answers for ``rows``, or why it failed; who is unfit."""

    rows: Indices
    answer: Float32 | ModelError
    unfit: Sequence[Rejected]


def arms_of(models: Mapping[str, Model]) -> tuple[Arm, ...]:
    """The arms with these models. Raises SchemaError unless all answer with the same classes."""
    first, *_ = models
    classes = models[first].predictor.classes
    arms = []
    for name, model in models.items():
        own = model.predictor.classes
        if set(own) != set(classes):
            raise SchemaError(
                f"variant {name!r} answers with {_kind(own)}, variant {first!r} with "
                f"{_kind(classes)}: expected the same, in any order. Compare models that decide "
                "the same question"
            )
        order = None if own == classes else np.array([own.index(label) for label in classes])
        arms.append(Arm(name, model, order, success(model.bundle)))
    return tuple(arms)


def _kind(classes: Sequence[str]) -> str:
    return f"the classes {[*classes]}" if classes else "a value"


def ask(arm: Arm, batch: Batch, rows: Indices, timers: Timers) -> Generator[Work, Float32, Asked]:
    """Ask the arm's model about these rows of the batch, in one call."""
    arrays = arm.model.arrays(batch)
    unfit: Sequence[Rejected] = arm.model.unusable(batch, arrays)
    if unfit:
        mine = {*batch.offsets[rows].tolist()}
        unfit = [row for row in unfit if row.offset in mine]
        rows = rows[~np.isin(batch.offsets[rows], [row.offset for row in unfit])]
    if not len(rows):
        return Asked(rows, np.empty((0, len(arm.model.predictor.classes) or 1), np.float32), unfit)
    if len(rows) < len(batch):
        arrays = [array[rows] for array in arrays]
    try:
        answer = yield Timed(partial(arm.model.predictor.predict, *arrays), timers)
    except ModelError as error:
        return Asked(rows, error, unfit)
    return Asked(rows, answer if arm.order is None else answer[:, arm.order], unfit)
