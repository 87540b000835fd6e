"""Predictions: the columns that say what a model answered, or what answered in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gress_ml.batch import Array
from gress_ml.bundle import Bundle
from gress_ml.errors import SchemaError
from gress_ml.schema import Column, ColumnType

Float32 = npt.NDArray[np.float32]
Metadata = Mapping[str, Any]

_OUT = ("prediction", "prediction_metadata", "probabilities", "confidence")
#: Code and message of a row whose answer is no number.
BAD_PREDICTION = ("bad_prediction", "the model answered NaN or infinity, expected finite numbers")


class Predictions:
    """``prediction``, ``prediction_metadata``, ``probabilities`` and ``confidence`` of rows.

    ``fallback`` is the prediction where no model answered; None is no fallback. Raises SchemaError
    for one that these classes, or values, do not have.
    """

    def __init__(
        self, classes: Sequence[str], *, prefix: str = "", fallback: str | float | None = None
    ) -> None:
        _require_fallback(classes, fallback)
        self._classes = len(classes)
        self._labels = np.array([*classes], dtype=object)
        self._names = [prefix + key for key in _OUT]
        self._fallback = fallback

    def columns(self) -> Sequence[Column]:
        """The columns that come out."""
        unsure = self._fallback is not None or not self._classes
        kind = ColumnType.STRING if self._classes else ColumnType.FLOAT
        types = (kind, ColumnType.JSON, ColumnType.VECTOR, ColumnType.FLOAT)
        nullable = (False, False, unsure, unsure)
        return [
            Column(name, type_, nullable=may)
            for name, type_, may in zip(self._names, types, nullable, strict=True)
        ]

    def answered(self, answer: Float32, metadata: Sequence[Metadata]) -> dict[str, Array]:
        """What the models answered; ``metadata`` has one mapping per row, which is not kept."""
        if not self._classes:
            values, nothing = self.chosen(answer), np.full(len(answer), np.nan)
            described = _described(metadata, [None] * len(values))
            return self._named(values, described, answer[:, :0], nothing)
        confidence = self.confidence(answer)
        described = _described(metadata, confidence.tolist())
        return self._named(self.chosen(answer), described, answer, confidence)

    def fallen_back(self, metadata: Sequence[Metadata], cause: str) -> dict[str, Array]:
        """The fallback in each row; without one only the form of the columns counts."""
        rows = len(metadata)
        kind = object if self._classes else np.float64
        why = {"status": "fallback", "reason": cause}
        described = _described([{**one, **why} for one in metadata], [None] * rows)
        unknown = np.full((rows, self._classes), np.nan, np.float32)
        return self._named(
            np.full(rows, self._fallback, kind), described, unknown, np.full(rows, np.nan)
        )

    def chosen(self, answer: Float32) -> Array:
        """The most probable class of each row, or its value."""
        if self._classes:
            labels: Array = self._labels[answer.argmax(axis=1)]
            return labels
        return answer[:, 0].astype(np.float64)

    def confidence(self, answer: Float32) -> npt.NDArray[np.float64]:
        """The highest probability of each row."""
        top: npt.NDArray[np.float64] = np.maximum.reduce(answer, axis=1).astype(np.float64)
        return top

    def _named(self, *columns: Array) -> dict[str, Array]:
        return dict(zip(self._names, columns, strict=True))


def success(bundle: Bundle) -> Metadata:
    """What ``prediction_metadata`` says of a model that answered."""
    return {"model": bundle.name, "version": bundle.version, "status": "success"}


def _described(metadata: Sequence[Metadata], confidence: Sequence[float | None]) -> Array:
    """One dictionary per row; none is shared, as who reads them may change his own."""
    made = np.empty(len(metadata), dtype=object)
    made[:] = [
        {**one, "confidence": value} for one, value in zip(metadata, confidence, strict=True)
    ]
    return made


def _require_fallback(classes: Sequence[str], fallback: str | float | None) -> None:
    if fallback is None:
        return
    if classes and fallback not in classes:
        raise SchemaError(f"fallback {fallback!r} is not a class: there are {(*classes,)}")
    if not classes and isinstance(fallback, str):
        raise SchemaError(f"fallback {fallback!r} is not a number, and the model gives values")
