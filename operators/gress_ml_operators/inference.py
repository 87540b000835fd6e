"""inference: asks a model about each row, one call per batch.

Reads a feature vector, or one column per input of the graph, and adds ``prediction`` (the class,
or the value of a regression), ``prediction_metadata``, ``probabilities`` and ``confidence``.

Rejected rows: ``missing_features`` (a value is missing; only trees know what to do without),
``out_of_range`` (a value is infinite), ``bad_prediction`` (the model answered NaN or infinity), and
without a ``fallback`` what the model did not answer: ``timeout`` or ``overload``.

On replay: stateless; an answer is a function of its row and the model version, bit for bit,
however the stream was cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from gress_ml.batch import Array, Batch
from gress_ml.errors import ModelError
from gress_ml.features import vector_of
from gress_ml.inference import (
    BAD_PREDICTION,
    Model,
    ModelSettings,
    Predictions,
    Source,
    rejected,
    success,
)
from gress_ml.metrics import (
    BATCH_SIZE,
    INFERENCE_ERRORS,
    INFERENCE_LATENCY,
    PREDICTIONS,
    Measure,
    Metric,
)
from gress_ml.operator import (
    BatchPolicy,
    Context,
    Example,
    Operator,
    OperatorConfig,
    Output,
    Rejected,
    Stages,
    in_one_go,
)
from gress_ml.schema import Column, Columns, ColumnType, columns_of


class InferenceConfig(ModelSettings):
    model: str = Field(min_length=1)
    """The model in the registry: ``name``, or ``name@reference`` with a version, an alias or
    ``latest``. The reference is ``champion`` unless given."""


Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_SELECTOR_COLUMNS = columns_of(
    [Column("request_id", ColumnType.STRING), Column("features", ColumnType.VECTOR)]
)
_EXAMPLE_MODELS = "../../tests/data/models"


class Inference(Operator[InferenceConfig]):
    """Asks a model about each row: one call per batch, with a deadline and a fallback."""

    name: ClassVar[str] = "inference"
    Config: ClassVar[type[OperatorConfig]] = InferenceConfig
    partition_free: ClassVar[bool] = True
    examples: ClassVar[Sequence[Example]] = (
        Example(
            title="A class per row, from an ensemble of trees and a network",
            config={"model": "tiny-selector"},
            columns=_SELECTOR_COLUMNS,
            rows=(
                {"request_id": "r-1", "features": [60.0, 80.0, 15.0, 90.0]},
                {"request_id": "r-2", "features": [0.5, 900.0, 3.0, 10.0]},
                {"request_id": "r-3", "features": [60.0, None, 15.0, 90.0]},
                {"request_id": "r-4", "features": [60.0, float("inf"), 15.0, 90.0]},
            ),
            expected=(
                {"request_id": "r-1", "prediction": "hde"},
                {"request_id": "r-2", "prediction": "amst"},
            ),
            rejected={2: "missing_features", 3: "out_of_range"},
            models=_EXAMPLE_MODELS,
        ),
        Example(
            title="A value per row, from a graph with a number, a count and a string as inputs",
            config={
                "model": "tiny-inputs@1.0.0",
                "inputs": {"amount": "amount", "count": "orders", "country": "country"},
                "output": "score",
                "prefix": "fraud_",
            },
            columns=columns_of(
                [
                    Column("amount", ColumnType.FLOAT, nullable=True),
                    Column("orders", ColumnType.INT),
                    Column("country", ColumnType.STRING, nullable=True),
                ]
            ),
            rows=(
                {"amount": 1.5, "orders": 2, "country": "DE"},
                {"amount": 1.5, "orders": 2, "country": "XX"},
                {"amount": None, "orders": 2, "country": "XX"},
                {"amount": 1.5, "orders": 2, "country": None},
            ),
            expected=({"fraud_prediction": 5.0}, {"fraud_prediction": 15.0}),
            rejected={2: "missing_features", 3: "missing_features"},
            models=_EXAMPLE_MODELS,
        ),
    )

    def open(self, context: Context) -> None:
        config = self.config
        bundle = context.find_model(config.model)
        vector = vector_of(bundle)
        options = config.options(len(vector.names) if vector else None)
        source = Source(config.model, config.features, config.inputs)
        self._model = Model(bundle, options, source, vector)
        self._predictor = self._model.predictor
        self._predictions = Predictions(
            self._predictor.classes, prefix=config.prefix, fallback=config.fallback
        )
        self._success = success(bundle)
        if config.warmup:
            self._model.warm_up(config.batch_size)

    def reads(self) -> frozenset[str]:
        return frozenset(self._model.columns)

    def signature(self, columns: Columns) -> Columns:
        self._model.require(columns)
        return columns_of([*columns.values(), *self._predictions.columns()])

    @property
    def batch_policy(self) -> BatchPolicy:
        return BatchPolicy(self.config.batch_size, self.config.batch_timeout)

    @property
    def deadline_s(self) -> float | None:
        return self.config.max_latency or None

    @property
    def warmed_up(self) -> bool:
        return self.config.warmup and self._model.bundle.warm_up

    @property
    def max_concurrency(self) -> int:
        return self.config.max_concurrency

    @property
    def timer(self) -> tuple[Metric, tuple[str, ...]] | None:
        return INFERENCE_LATENCY, self._model.labels

    def process(self, batch: Batch) -> Output:
        return in_one_go(self.stages(batch))

    def stages(self, batch: Batch) -> Stages:
        asked, labels = batch, self._model.labels
        arrays = self._model.arrays(batch)
        unfit = self._model.unusable(batch, arrays)
        if unfit:
            keep = ~np.isin(batch.offsets, [row.offset for row in unfit])
            asked, arrays = batch.take(keep), [array[keep] for array in arrays]
        try:
            answer: Float32 = yield partial(self._predictor.predict, *arrays)
        except ModelError as error:
            return self._failed(asked, unfit, error)
        sound: Mask = np.all(np.isfinite(answer), axis=1)
        if not sound.all():
            bad = np.flatnonzero(~sound).tolist()
            unfit += [rejected(asked, row, *BAD_PREDICTION) for row in bad]
            asked, answer = asked.take(sound), answer[sound]
        made = asked.with_columns(self._predictions.answered(answer, [self._success] * len(asked)))
        measures = [
            Measure(PREDICTIONS, len(asked), (*labels, "success")),
            Measure(BATCH_SIZE, len(asked), labels),
        ]
        return Output(made, unfit, measures=measures if len(asked) else ())

    def fallback(self, batch: Batch, cause: str) -> Output:
        labels = self._model.labels
        late = [Measure(INFERENCE_ERRORS, 1, labels)] if cause == "timeout" else []
        if self.config.fallback is None:
            message = f"model {self.config.model!r} did not answer ({cause}) and has no fallback"
            unanswered = [rejected(batch, row, cause, message) for row in range(len(batch))]
            none = batch.take(np.empty(0, np.intp))
            return Output(none.with_columns(self._fallen_back(0, cause)), unanswered, measures=late)
        made = batch.with_columns(self._fallen_back(len(batch), cause))
        count = Measure(PREDICTIONS, len(batch), (*labels, "fallback"))
        return Output(made, measures=[*late, count] if len(batch) else late)

    def _failed(self, asked: Batch, unfit: Sequence[Rejected], error: ModelError) -> Output:
        """The model itself failed: the fallback answers, or the whole batch has failed."""
        if self.config.fallback is None:
            raise error
        output = self.fallback(asked, "model_error")
        measures = (*output.measures, Measure(INFERENCE_ERRORS, 1, self._model.labels))
        log = {"event": "model_failed", "model": self.config.model, "error": str(error)}
        made = output.batch.with_degraded("model")
        return Output(made, unfit, measures=measures, logs=(log,))

    def _fallen_back(self, rows: int, cause: str) -> Mapping[str, Array]:
        return self._predictions.fallen_back([self._success] * rows, cause)
