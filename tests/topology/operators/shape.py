"""Operators that the tests of the topology room build: a sum of columns, and a model of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from gress_ml import (
    Batch,
    Column,
    Columns,
    ColumnType,
    Context,
    FeatureVector,
    Operator,
    OperatorConfig,
    Output,
    SchemaError,
    columns_of,
)


class SumConfig(OperatorConfig):
    columns: tuple[str, ...] = Field(min_length=1)
    """Columns to add up."""
    into: str = "features"
    """The vector column that comes out."""


class Sum(Operator[SumConfig]):
    """Adds numbers into a vector; what is large leaves on the side stream `large` too."""

    name = "sum"
    Config = SumConfig

    def reads(self) -> frozenset[str]:
        return frozenset(self.config.columns)

    def signature(self, columns: Columns) -> Columns:
        for i, name in enumerate(self.config.columns):
            if columns[name].type not in (ColumnType.FLOAT, ColumnType.INT):
                raise SchemaError(f"columns[{i}]: {name!r} is no number but {columns[name].type}")
        vector = FeatureVector(self.config.columns, "-".join(self.config.columns))
        out = Column(self.config.into, ColumnType.VECTOR, features=vector)
        return columns_of((*columns.values(), out))

    def sides(self, columns: Columns) -> Mapping[str, Columns]:
        return {"large": columns}

    def process(self, batch: Batch) -> Output:
        stacked = np.stack([batch[name] for name in self.config.columns], 1).astype(np.float32)
        return Output(batch.with_columns({self.config.into: stacked}))


class PredictConfig(OperatorConfig):
    model: str
    """Name of the model."""
    version: str = "champion"
    """Version or alias of the model."""
    features: str = "features"
    """The vector column that the model reads."""
    batch_size: int = Field(
        default=64, ge=1, json_schema_extra={"ml_default": "inference.default_batch_size"}
    )
    """Most rows per model call."""
    gpus: tuple[int, ...] = Field(
        default=(), json_schema_extra={"ml_default": "inference.gpu_device_ids"}
    )
    """Which GPUs to use."""


class Predict(Operator[PredictConfig]):
    """Asks a model; refuses features that the model was not trained on."""

    name = "predict"
    Config = PredictConfig
    closed: ClassVar[list[str]] = []

    def open(self, context: Context) -> None:
        bundle = context.models.find(self.config.model, self.config.version)
        self._fingerprint = bundle.manifest.feature_fingerprint
        self._step = context.step

    def reads(self) -> frozenset[str]:
        return frozenset({self.config.features})

    def signature(self, columns: Columns) -> Columns:
        features = columns[self.config.features].features
        if features is None or features.fingerprint != self._fingerprint:
            raise SchemaError(
                f"feature schema mismatch: {self.config.features!r} is not what model "
                f"{self.config.model!r} was trained on"
            )
        out = Column("confidence", ColumnType.FLOAT), Column("label", ColumnType.STRING)
        return columns_of((*columns.values(), *out))

    def process(self, batch: Batch) -> Output:
        scores = np.ones(len(batch))
        labels = np.array(["yes"] * len(batch), object)
        return Output(batch.with_columns({"confidence": scores, "label": labels}))

    def close(self) -> None:
        self.closed.append(self.config.model)
