"""drift: tells how far a model's features are from those that it was trained on.

Reads the feature vector, passes all rows on as they are, and after every `window` rows of a
partition sets ``gress_ml_model_drift_score`` for each feature: the population stability index
against the histogram in the bundle's ``training_reference``. Missing values are left aside.

On replay: rows come out as they came in. What is counted so far is saved with the partition's
snapshot; counts of another version of the model are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import orjson
from pydantic import Field

from gress_ml.batch import Batch
from gress_ml.errors import SchemaError, SnapshotError
from gress_ml.learning.drift import Counts, Reference, population_stability, references_of
from gress_ml.metrics import MODEL_DRIFT, Measure
from gress_ml.operator import Context, Example, Operator, OperatorConfig, Output, Snapshot
from gress_ml.schema import Column, Columns, ColumnType, FeatureVector, columns_of

_LAYOUT = 1


class DriftConfig(OperatorConfig):
    model: str = Field(min_length=1)
    """The model whose training is compared with: ``name``, or ``name@reference``."""
    features: str = "features"
    """The vector column."""
    window: int = Field(default=1000, ge=1)
    """Rows of a partition that are compared at a time."""


class Drift(Operator[DriftConfig]):
    """Compares the features of a window of rows with those of the training."""

    name: ClassVar[str] = "drift"
    Config: ClassVar[type[OperatorConfig]] = DriftConfig

    _references: Mapping[int, Reference]
    _names: tuple[str, ...]

    def open(self, context: Context) -> None:
        """Read the reference. Raises ModelError, SchemaError."""
        bundle = context.find_model(self.config.model)
        self._said = bundle.manifest.training_reference
        if not self._said:
            raise SchemaError(
                f"model {bundle.name} {bundle.version} has no training_reference in its manifest: "
                "publish it with one, as `gress train` does"
            )
        self._labels = (bundle.name, bundle.version)
        column = context.columns.get(self.config.features)
        if column is not None:
            self._take(column)

    def reads(self) -> frozenset[str]:
        return frozenset({self.config.features})

    def signature(self, columns: Columns) -> Columns:
        name = self.config.features
        if name not in columns:
            raise SchemaError(f"no column {name!r}: there are {sorted(columns)}")
        self._take(columns[name])
        return columns

    def process(self, batch: Batch) -> Output:
        vectors, measures = batch[self.config.features], []
        start = 0
        while start < len(batch):
            end = min(start + self.config.window - self._rows, len(batch))
            for place, reference in self._references.items():
                self._counts[place] = self._counts[place] + reference.binned(
                    vectors[start:end, place]
                )
            self._rows += end - start
            if self._rows == self.config.window:
                measures = self._scores()
                self._forget()
            start = end
        return Output(batch, measures=measures)

    def snapshot(self) -> Snapshot:
        counts = {self._names[place]: own.tolist() for place, own in self._counts.items()}
        return Snapshot(_LAYOUT, orjson.dumps([self._labels, self._rows, counts]))

    def restore(self, snapshot: Snapshot) -> None:
        if snapshot.version != _LAYOUT:
            raise SnapshotError(f"drift cannot read snapshot layout {snapshot.version}")
        try:
            labels, rows, counts = orjson.loads(snapshot.data)
            if tuple(labels) == self._labels:
                self._restore(rows, counts)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise SnapshotError(f"drift snapshot is damaged: {error}") from error

    # --- parts ------------------------------------------------------------------------------------

    def _take(self, column: Column) -> None:
        if column.type is not ColumnType.VECTOR or column.features is None:
            raise SchemaError(f"column {column.name!r} is no vector of features with names")
        names = column.features.names
        self._references = references_of(names, self._said)
        if not self._references:
            raise SchemaError(
                f"the training_reference of model {self._labels[0]} has none of {[*names]}"
            )
        self._names = names
        self._forget()

    def _forget(self) -> None:
        self._rows = 0
        self._counts: dict[int, Counts] = {
            place: np.zeros_like(reference.counts) for place, reference in self._references.items()
        }

    def _scores(self) -> list[Measure]:
        return [
            Measure(
                MODEL_DRIFT,
                population_stability(reference.counts, self._counts[place]),
                (*self._labels, self._names[place]),
            )
            for place, reference in self._references.items()
        ]

    def _restore(self, rows: int, counts: Mapping[str, list[int]]) -> None:
        found = {p: np.array(counts[self._names[p]], np.int64) for p in self._references}
        shapes = all(own.shape == self._counts[place].shape for place, own in found.items())
        if type(rows) is not int or not 0 <= rows < self.config.window or not shapes:
            raise ValueError(f"{rows!r} rows, or other bins than those of the reference")
        if any((own < 0).any() or own.sum() > rows for own in found.values()):
            raise ValueError("bins with more rows than there were")
        self._rows, self._counts = rows, found


Drift.examples = (
    Example(
        title="Rows pass as they are; after every two of them the scores are set",
        config={"model": "tiny-trees", "window": 2},
        columns=columns_of(
            [
                Column("id", ColumnType.STRING),
                Column(
                    "features",
                    ColumnType.VECTOR,
                    nullable=True,
                    features=FeatureVector(("rtt_ms", "bandwidth_mbps"), "example"),
                ),
            ]
        ),
        rows=(
            {"id": "a", "features": [10.0, 100.0]},
            {"id": "b", "features": [90.0, None]},
            {"id": "c", "features": [50.0, 900.0]},
        ),
        expected=({"id": "a"}, {"id": "b"}, {"id": "c"}),
        models="../../tests/data/models",
    ),
)
