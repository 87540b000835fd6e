"""Shadow: asks the arms that did not answer, after the answer has left, and compares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gress_ml.batch import Array, Batch
from gress_ml.experiments.arm import Arm, Asked, Float32, Indices, ask
from gress_ml.experiments.comparison import RESULTS, Comparison, compare
from gress_ml.inference import Predictions
from gress_ml.metrics import INFERENCE_ERRORS, INFERENCE_LATENCY, SHADOW_COMPARISONS, Measure
from gress_ml.operator import Later, Output, Stages
from gress_ml.schema import Column, Columns, ColumnType, columns_of

SIDE = "shadow"
#: Columns of the rows that wait: the position of the arm that answered, and its answer.
_ARM, _ANSWER = "_shadow_arm", "_shadow_answer"


class Shadow:
    """A row for each answer and each other arm, with both answers and how they compare."""

    def __init__(
        self,
        experiment: str,
        arms: Sequence[Arm],
        predictions: Predictions,
        tolerance: float,
        further: Sequence[str],
    ) -> None:
        self._experiment = experiment
        self._arms = arms
        self._names = np.array([arm.name for arm in arms], dtype=object)
        self._classes = arms[0].model.predictor.classes
        self._predictions = predictions
        self._tolerance = tolerance
        self._further = tuple(further)
        self._kept = {name for arm in arms for name in arm.model.columns} | {*further}

    def columns(self, columns: Columns) -> Columns:
        """The columns of the side stream. Raises KeyError for a further one that is not there."""
        kind = ColumnType.STRING if self._classes else ColumnType.FLOAT
        unsure = not self._classes
        return columns_of(
            [
                *(columns[name] for name in self._further),
                Column("ab_experiment", ColumnType.STRING),
                Column("ab_variant", ColumnType.STRING),
                Column("prediction", kind),
                Column("confidence", ColumnType.FLOAT, nullable=unsure),
                Column("shadow_variant", ColumnType.STRING),
                Column("shadow_prediction", kind, nullable=True),
                Column("shadow_confidence", ColumnType.FLOAT, nullable=True),
                Column("shadow_difference", ColumnType.FLOAT, nullable=True),
                Column("shadow_result", ColumnType.STRING),
            ]
        )

    def later(self, batch: Batch, arms: Indices, answer: Float32) -> Later:
        """The work to do for rows that these arms gave these answers."""
        kept = {name: batch[name] for name in self._kept}
        waiting = batch.only({**kept, _ARM: arms, _ANSWER: answer})
        shed = (SHADOW_COMPARISONS, (self._experiment, "shed"))
        return Later(SIDE, waiting, self.stages, shed)

    def stages(self, batch: Batch) -> Stages:
        """Rows of the side stream, in order of their offset, then of the arms."""
        parts: list[tuple[Indices, Indices, Float32]] = []  # rows, position of the arm, answers
        errors: list[Measure] = []
        for position, arm in enumerate(self._arms):
            rows = np.flatnonzero(batch[_ARM] != position)
            asked = yield from ask(arm, batch, rows, ((INFERENCE_LATENCY, arm.model.labels),))
            if not isinstance(asked.answer, np.ndarray):
                errors.append(Measure(INFERENCE_ERRORS, 1, arm.model.labels))
            parts.append((rows, np.full(len(rows), position), self._whole(rows, asked)))
        rows, shadows, answers = map(np.concatenate, zip(*parts, strict=True))
        order = np.argsort(rows, kind="stable")
        batch, answers = batch.take(rows[order]), answers[order]
        found = compare(batch[_ANSWER], answers, self._tolerance, classes=bool(self._classes))
        made = self._compared(batch, shadows[order], answers, found)
        return Output(made, measures=[*errors, *self._counted(found)])

    def _whole(self, rows: Indices, asked: Asked) -> Float32:
        """An answer for each of the rows; NaN where there is none."""
        answer = np.full((len(rows), len(self._classes) or 1), np.nan, np.float32)
        if isinstance(asked.answer, np.ndarray):
            answer[np.searchsorted(rows, asked.rows)] = asked.answer
        return answer

    def _compared(
        self, batch: Batch, shadows: Indices, answers: Float32, found: Comparison
    ) -> Batch:
        known = np.isfinite(found.difference)
        prediction, confidence = self._told(batch[_ANSWER], np.ones(len(batch), np.bool_))
        shadow_prediction, shadow_confidence = self._told(answers, known)
        columns = {name: batch[name] for name in self._further} | {
            "ab_experiment": np.full(len(batch), self._experiment, object),
            "ab_variant": self._names[batch[_ARM]],
            "prediction": prediction,
            "confidence": confidence,
            "shadow_variant": self._names[shadows],
            "shadow_prediction": shadow_prediction,
            "shadow_confidence": shadow_confidence,
            "shadow_difference": found.difference,
            "shadow_result": _RESULTS[found.result],
        }
        return batch.only(columns)

    def _told(self, answer: Float32, known: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
        """Prediction and confidence; nothing where the answer is not known."""
        chosen = self._predictions.chosen(answer)
        if not self._classes:
            return np.where(known, chosen, np.nan), np.full(len(answer), np.nan)
        confidence = np.where(known, self._predictions.confidence(answer), np.nan)
        chosen[~known] = None
        return chosen, confidence

    def _counted(self, found: Comparison) -> list[Measure]:
        counts = np.bincount(found.result, minlength=len(RESULTS)).tolist()
        return [
            Measure(SHADOW_COMPARISONS, count, (self._experiment, name))
            for name, count in zip(RESULTS, counts, strict=True)
            if count
        ]


_RESULTS = np.array(RESULTS, dtype=object)
