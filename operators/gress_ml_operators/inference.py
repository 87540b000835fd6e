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

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from gress_ml.batch import Array, Batch
from gress_ml.bundle import Bundle
from gress_ml.duration import Duration
from gress_ml.errors import ModelError, SchemaError
from gress_ml.features import features_of
from gress_ml.inference import (
    Gpu,
    Options,
    Predictor,
    Tensor,
    Weights,
    load_predictor,
    warm_up,
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
from gress_ml.schema import Column, Columns, ColumnType, FeatureVector, columns_of


class EnsembleWeights(OperatorConfig):
    trees: float = Field(default=0.7, ge=0.0)
    """Weight of the trees; only the ratio of the two counts."""
    network: float = Field(default=0.3, ge=0.0)
    """Weight of the network."""

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if self.trees + self.network == 0:
            raise ValueError("trees and network cannot both be 0")
        return self


class InferenceConfig(OperatorConfig):
    model: str = Field(min_length=1)
    """The model in the registry: ``name``, or ``name@reference`` with a version, an alias or
    ``latest``. The reference is ``champion`` unless given."""
    features: str = "features"
    """The vector column to read, for a model with one input."""
    inputs: Mapping[str, str] | None = None
    """The column for each input of the graph, ``{input: column}``; read instead of `features`."""
    output: str | None = None
    """The graph's output to read, where several could hold the answer."""
    classes: tuple[str, ...] = ()
    """Names of the probability columns, for a model file that names none."""
    prefix: str = ""
    """Put in front of the names of the columns that come out."""
    batch_size: int = Field(
        default=100, ge=1, le=1000, json_schema_extra={"ml_default": "inference.default_batch_size"}
    )
    """Rows per call of the model, at most."""
    batch_timeout: Duration = Field(
        default=0.0, json_schema_extra={"ml_default": "inference.default_batch_timeout"}
    )
    """How long the first waiting row waits for company; 0 takes what is there, so that a lone row
    never waits."""
    max_concurrency: int = Field(
        default=1, ge=1, le=256, json_schema_extra={"ml_default": "inference.max_concurrency"}
    )
    """Calls that may run at once in a worker; more counts as overload. Needs `max_latency`."""
    max_latency: Duration | None = Field(
        default=None, json_schema_extra={"ml_default": "inference.max_latency"}
    )
    """How long a call may take before the fallback answers; no limit unless given."""
    fallback: str | float | None = None
    """The prediction where the model did not answer: a class, or a number for a regression.
    Without it such rows are rejected."""
    enable_gpu: bool = Field(
        default=False, json_schema_extra={"ml_default": "inference.enable_gpu"}
    )
    """Whether ONNX graphs run on CUDA devices; on the CPU where there are none."""
    gpu_device_ids: tuple[int, ...] = Field(
        default=(0,), json_schema_extra={"ml_default": "inference.gpu_device_ids"}
    )
    """The CUDA devices; calls go to them in turn."""
    weights: EnsembleWeights = EnsembleWeights()
    """Shares of an ensemble's parts. One of weight 0 is not run."""
    warmup: bool = True
    """Whether the batch sizes in use are tried once before the first row."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.inputs is not None and "features" in self.model_fields_set:
            raise ValueError("give 'features' or 'inputs', not both")
        if self.enable_gpu and not self.gpu_device_ids:
            raise ValueError("enable_gpu needs one device id or more in gpu_device_ids")
        return self


Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
#: Kinds of graph input (NumPy's letters) that a column can serve.
_SERVES: Mapping[ColumnType, str] = {
    ColumnType.FLOAT: "f",
    ColumnType.INT: "fiu",
    ColumnType.BOOL: "fiub",
    ColumnType.TIMESTAMP: "iu",
    ColumnType.STRING: "O",
    ColumnType.VECTOR: "f",
}

_SELECTOR_COLUMNS = columns_of(
    [Column("request_id", ColumnType.STRING), Column("features", ColumnType.VECTOR)]
)
_EXAMPLE_MODELS = "../../tests/data/models"


class Inference(Operator[InferenceConfig]):
    """Asks a model about each row: one call per batch, with a deadline and a fallback."""

    name: ClassVar[str] = "inference"
    Config: ClassVar[type[OperatorConfig]] = InferenceConfig
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
        self._bundle = context.find_model(config.model)
        self._vector = _vector_of(self._bundle)
        self._predictor: Predictor = load_predictor(
            self._bundle,
            Options(
                weights=Weights(config.weights.trees, config.weights.network),
                gpu=Gpu(config.gpu_device_ids) if config.enable_gpu else None,
                output=config.output,
                classes=config.classes,
                features=len(self._vector.names) if self._vector else None,
            ),
        )
        self._columns = _input_columns(self._predictor, config)
        self._labels = np.array(self._predictor.classes, dtype=object)
        self._names = {key: config.prefix + key for key in _OUT}
        self._measured = (self._bundle.name, self._bundle.version)
        _require_fallback(self._predictor, config.fallback)
        if config.warmup and self._bundle.warm_up:
            warm_up(self._predictor, sorted({1, 2, 16, config.batch_size}))

    def reads(self) -> frozenset[str]:
        return frozenset(self._columns)

    def signature(self, columns: Columns) -> Columns:
        for name, tensor in zip(self._columns, self._predictor.inputs, strict=True):
            _require_column(columns, name, tensor, self.config.model)
        if self.config.inputs is None:
            column = columns[self._columns[0]]
            _require_features(column, self._vector, self._predictor.inputs[0], self._bundle)
        return columns_of([*columns.values(), *self._made()])

    @property
    def batch_policy(self) -> BatchPolicy:
        return BatchPolicy(self.config.batch_size, self.config.batch_timeout)

    @property
    def deadline_s(self) -> float | None:
        return self.config.max_latency or None

    @property
    def warmed_up(self) -> bool:
        return self.config.warmup and self._bundle.warm_up

    @property
    def max_concurrency(self) -> int:
        return self.config.max_concurrency

    @property
    def timer(self) -> tuple[Metric, tuple[str, ...]] | None:
        return INFERENCE_LATENCY, self._measured

    def process(self, batch: Batch) -> Output:
        return in_one_go(self.stages(batch))

    def stages(self, batch: Batch) -> Stages:
        asked = batch
        arrays = [*map(_as_input, self._predictor.inputs, map(batch.__getitem__, self._columns))]
        rejected = self._unusable(batch, arrays)
        if rejected:
            keep = ~np.isin(batch.offsets, [row.offset for row in rejected])
            asked, arrays = batch.take(keep), [array[keep] for array in arrays]
        try:
            answer: Float32 = yield partial(self._predictor.predict, *arrays)
        except ModelError as error:
            return self._failed(asked, rejected, error)
        sound: Mask = np.all(np.isfinite(answer), axis=1)
        if not sound.all():
            bad = np.flatnonzero(~sound).tolist()
            rejected += [_reject(asked, row, *_BAD_PREDICTION) for row in bad]
            asked, answer = asked.take(sound), answer[sound]
        made = asked.with_columns(self._answered(answer))
        measures = [
            Measure(PREDICTIONS, len(asked), (*self._measured, "success")),
            Measure(BATCH_SIZE, len(asked), self._measured),
        ]
        return Output(made, rejected, measures=measures if len(asked) else ())

    def fallback(self, batch: Batch, cause: str) -> Output:
        late = [Measure(INFERENCE_ERRORS, 1, self._measured)] if cause == "timeout" else []
        if self.config.fallback is None:
            message = f"model {self.config.model!r} did not answer ({cause}) and has no fallback"
            rejected = [_reject(batch, row, cause, message) for row in range(len(batch))]
            none = batch.take(np.empty(0, np.intp))
            empty = none.with_columns(self._fallen_back(0, cause))
            return Output(empty, rejected, measures=late)
        made = batch.with_columns(self._fallen_back(len(batch), cause))
        count = Measure(PREDICTIONS, len(batch), (*self._measured, "fallback"))
        return Output(made, measures=[*late, count] if len(batch) else late)

    # --- rows -------------------------------------------------------------------------------------

    def _unusable(self, batch: Batch, arrays: Sequence[Array]) -> list[Rejected]:
        """Rows that the model cannot be asked about."""
        found: dict[int, Rejected] = {}
        for name, array in zip(self._columns, arrays, strict=True):
            for row, code, message in self._faults(name, batch[name], array):
                found.setdefault(row, _reject(batch, row, code, message))
        return [found[row] for row in sorted(found)]

    def _faults(self, name: str, column: Array, array: Array) -> Sequence[tuple[int, str, str]]:
        """Row, code and message for each value that the model cannot take."""
        if array.dtype == object:
            text = f"column {name!r} is missing"
            missing = (row for row, value in enumerate(column.tolist()) if value is None)
            return [(row, "missing_features", text) for row in missing]
        if array.dtype.kind != "f":
            text = f"column {name!r} does not fit into {array.dtype}"
            wide = np.flatnonzero(array != column).tolist()
            return [(row, "out_of_range", text) for row in wide]
        if np.isfinite(array).all():
            return ()
        return [*self._not_finite(name, array.reshape(len(array), -1))]

    def _not_finite(self, name: str, grid: Array) -> Iterator[tuple[int, str, str]]:
        for row in np.flatnonzero(~np.isfinite(grid).all(axis=1)).tolist():
            infinite, missing = np.isinf(grid[row]), np.isnan(grid[row])
            if infinite.any():
                yield row, "out_of_range", f"{self._called(name, infinite)} is infinite"
            elif not self._predictor.accepts_missing:
                text = f"{self._called(name, missing)} is missing and the model needs it"
                yield row, "missing_features", text

    def _called(self, name: str, which: Mask) -> str:
        """The first of these values, as people call it."""
        at = int(which.argmax())
        if len(which) == 1:
            return f"column {name!r}"
        if self._vector is not None:
            return f"feature {self._vector.names[at]!r}"
        return f"value {at} of column {name!r}"

    def _failed(self, asked: Batch, rejected: Sequence[Rejected], error: ModelError) -> Output:
        """The model itself failed: the fallback answers, or the whole batch has failed."""
        if self.config.fallback is None:
            raise error
        output = self.fallback(asked, "model_error")
        measures = (*output.measures, Measure(INFERENCE_ERRORS, 1, self._measured))
        log = {"event": "model_failed", "model": self.config.model, "error": str(error)}
        return Output(output.batch, rejected, measures=measures, logs=(log,))

    # --- columns ----------------------------------------------------------------------------------

    def _made(self) -> Sequence[Column]:
        """The columns that come out, in the order of ``_OUT``."""
        unsure = self.config.fallback is not None or not self._predictor.classes
        kind = ColumnType.STRING if self._predictor.classes else ColumnType.FLOAT
        types = (kind, ColumnType.JSON, ColumnType.VECTOR, ColumnType.FLOAT)
        nullable = (False, False, unsure, unsure)
        return [
            Column(self._names[key], type_, nullable=may)
            for key, type_, may in zip(_OUT, types, nullable, strict=True)
        ]

    def _answered(self, answer: Float32) -> Mapping[str, Array]:
        if not self._predictor.classes:
            values = answer[:, 0].astype(np.float64)
            nothing = np.full(len(values), np.nan)
            return self._named(values, self._metadata([None] * len(values)), answer[:, :0], nothing)
        top = answer.argmax(axis=1)
        confidence = answer[np.arange(len(top)), top].astype(np.float64)
        metadata = self._metadata(confidence.tolist())
        return self._named(self._labels[top], metadata, answer, confidence)

    def _fallen_back(self, rows: int, cause: str) -> Mapping[str, Array]:
        classes = len(self._predictor.classes)
        value = self.config.fallback
        prediction = np.full(rows, value, object) if classes else np.full(rows, value, np.float64)
        metadata = self._metadata([None] * rows, status="fallback", reason=cause)
        unknown = np.full((rows, classes), np.nan, np.float32)
        return self._named(prediction, metadata, unknown, np.full(rows, np.nan))

    def _metadata(self, confidence: Sequence[float | None], **more: str) -> Array:
        """One dictionary per row; none is shared, as who reads them may change his own."""
        common = {"model": self._bundle.name, "version": self._bundle.version, "status": "success"}
        common |= more
        made = np.empty(len(confidence), dtype=object)
        made[:] = [{**common, "confidence": value} for value in confidence]
        return made

    def _named(self, *columns: Array) -> Mapping[str, Array]:
        return dict(zip(self._names.values(), columns, strict=True))


_OUT = ("prediction", "prediction_metadata", "probabilities", "confidence")
_BAD_PREDICTION = ("bad_prediction", "the model answered NaN or infinity, expected finite numbers")


# --- opening --------------------------------------------------------------------------------------


def _vector_of(bundle: Bundle) -> FeatureVector | None:
    """The features that the model was trained on; None when the bundle does not say."""
    return None if bundle.file("feature_schema") is None else features_of(bundle).vector


def _input_columns(predictor: Predictor, config: InferenceConfig) -> tuple[str, ...]:
    """The column for each input of the predictor, in its order."""
    listed = [str(tensor) for tensor in predictor.inputs]
    if config.inputs is None:
        if len(predictor.inputs) != 1:
            raise SchemaError(
                f"model {config.model!r} has {len(listed)} inputs: name a column for each in "
                f"'inputs': {listed}"
            )
        return (config.features,)
    names = {tensor.name for tensor in predictor.inputs}
    if names != set(config.inputs):
        raise SchemaError(
            f"'inputs' names {sorted(config.inputs)}, model {config.model!r} has inputs {listed}"
        )
    return tuple(config.inputs[tensor.name] for tensor in predictor.inputs)


def _require_fallback(predictor: Predictor, fallback: str | float | None) -> None:
    if fallback is None:
        return
    if predictor.classes and fallback not in predictor.classes:
        raise SchemaError(f"fallback {fallback!r} is not a class: there are {predictor.classes}")
    if not predictor.classes and isinstance(fallback, str):
        raise SchemaError(f"fallback {fallback!r} is not a number, and the model gives values")


def _require_column(columns: Columns, name: str, tensor: Tensor, model: str) -> None:
    column = columns.get(name)
    if column is None:
        raise SchemaError(
            f"no column {name!r} for input {tensor} of model {model!r}: there are {sorted(columns)}"
        )
    if tensor.dtype.kind not in _SERVES.get(column.type, ""):
        raise SchemaError(
            f"column {name!r} is of type {column.type.value}, which cannot serve input {tensor} "
            f"of model {model!r}"
        )


def _require_features(
    column: Column, vector: FeatureVector | None, tensor: Tensor, bundle: Bundle
) -> None:
    """The vector must be the one that the model was trained on. Raises SchemaError."""
    found = column.features
    width = len(found.names) if found else None
    if width is not None and tensor.width not in (None, width):
        raise SchemaError(
            f"column {column.name!r} has {width} features, input {tensor} of model {bundle.name} "
            f"{bundle.version} takes {tensor.width}{_difference(found, vector)}"
        )
    wanted = bundle.manifest.feature_fingerprint
    if wanted and (found is None or found.fingerprint != wanted):
        raise SchemaError(
            f"column {column.name!r} was not made by the feature schema of model {bundle.name} "
            f"{bundle.version}{_difference(found, vector)}. Name the same model in the step that "
            "makes the features"
        )


def _difference(found: FeatureVector | None, wanted: FeatureVector | None) -> str:
    if found is None or wanted is None:
        return ""
    for at in range(max(len(found.names), len(wanted.names))):
        here, there = found.names[at : at + 1], wanted.names[at : at + 1]
        if here != there:
            return (
                f": feature {at} is {here[0] if here else 'missing'!r}, "
                f"expected {there[0] if there else 'none'!r}"
            )
    return ": the names are the same, and a transform, parameter or vocabulary differs"


# --- rows -----------------------------------------------------------------------------------------


def _reject(batch: Batch, row: int, code: str, message: str) -> Rejected:
    return Rejected(int(batch.offsets[row]), code, message)


def _as_input(tensor: Tensor, column: Array) -> Array:
    """The column in the input's type; what is too large for a float becomes infinite."""
    if column.dtype == tensor.dtype:
        return column
    with np.errstate(over="ignore"):
        return column.astype(tensor.dtype)
