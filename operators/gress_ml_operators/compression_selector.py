"""compression_selector: decides per transfer whether it is sent as hde, amst or none.

Reads the feature vector and asks the model; where the model is not sure enough, was late, failed
or is switched off, the rules decide, and ``reason`` says so. Out come all columns of the decision
message that the runtime does not add by itself.

``reason`` is ``model``, or why the rules decided: ``low_confidence`` (top probability not above the
threshold), ``missing_features`` (a feature is not a number), ``model_unavailable`` (the model
failed), ``timeout`` or ``overload`` (the deadline passed), ``disabled`` (``enabled: false``, or the
switch ``compression_ml.enabled``). With ``fallback_enabled: false`` rows that the model could not
decide are rejected under that code instead; low confidence and the switch still mean the rules.

On replay: stateless; a decision is a function of its row and the model version, to six digits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from gress_ml.batch import Array, Batch, concat
from gress_ml.bundle import Bundle
from gress_ml.dwcp import rules
from gress_ml.dwcp.features import feature_spec_v2
from gress_ml.dwcp.profiles import ALGORITHMS, AMST, DEFAULT_STREAMS, HDE, profiles
from gress_ml.errors import SchemaError
from gress_ml.features import FeatureSet, features_of
from gress_ml.inference import Options, Predictor, Weights, load_predictor, warm_up
from gress_ml.metrics import (
    BATCH_SIZE,
    INFERENCE_ERRORS,
    INFERENCE_LATENCY,
    PREDICTIONS,
    Kind,
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


class CompressionSelectorConfig(OperatorConfig):
    model: str = "compression-selector"
    """The model in the registry, ``name`` or ``name@reference``; the reference is ``champion``."""
    enabled: bool = True
    """Whether the model is asked; false returns to the rules."""
    models_path: Path | None = None
    """A folder with the model bundle, used instead of the registry."""
    xgboost_weight: float | None = Field(default=None, ge=0.0)
    """Weight of the trees in the ensemble; 0.7 where only the other weight is given. With neither,
    the weights are those of the bundle, which its training chose."""
    neural_net_weight: float | None = Field(default=None, ge=0.0)
    """Weight of the network in the ensemble; 0.3 where only the other weight is given."""
    fallback_enabled: bool = True
    """Whether the rules decide what the model cannot; false rejects such rows."""
    cache_size: int = Field(default=1000, ge=0)
    """Feature rows whose probabilities are remembered; 0 remembers none. Never changes a result."""
    inference_timeout_ms: float = Field(default=10.0, ge=0.0)
    """How long a batch may take before the rules decide; 0 is no limit."""
    batch_size: int = Field(default=10, ge=1, le=10_000)
    """Rows per batch, at most."""
    metrics_enabled: bool = True
    """Whether the ``dwcp_ml_*`` metrics are recorded."""
    log_predictions: bool = False
    """Whether each decision is logged, for debugging."""
    confidence_threshold: float = Field(default=0.6, ge=0.0, le=1.0)
    """The model decides when its top probability is above this; else the rules."""
    streams: int = Field(default=DEFAULT_STREAMS, ge=1, le=256)
    """Parallel streams of the ``amst`` profile."""

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if self.xgboost_weight == self.neural_net_weight == 0:
            raise ValueError("xgboost_weight and neural_net_weight cannot both be 0")
        return self

    @property
    def weights(self) -> Weights | None:
        """The weights that are set; None leaves them to the bundle."""
        trees, network = self.xgboost_weight, self.neural_net_weight
        if trees is None and network is None:
            return None
        default = Weights()
        return Weights(
            default.trees if trees is None else trees,
            default.network if network is None else network,
        )


SWITCH = "compression_ml.enabled"

PREDICTION_LATENCY = Metric(
    "dwcp_ml_prediction_latency_ms",
    Kind.HISTOGRAM,
    "Time to decide one batch of transfers, in milliseconds.",
    (),
    (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 25.0, 50.0),
)
DWCP_PREDICTIONS = Metric(
    "dwcp_ml_predictions_total",
    Kind.COUNTER,
    "Decisions, by algorithm and by how sure they are.",
    ("choice", "confidence_bucket"),
)

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
#: Yields the question to the model, is sent the answer, returns the probabilities.
_Asking = Generator[Callable[[], Float32], Float32, Float32]

_HDE, _AMST = ALGORITHMS.index(HDE), ALGORITHMS.index(AMST)
_NAMES = np.array(ALGORITHMS, dtype=object)
_DIGITS = 6  # of probabilities: what is beyond depends on how the batch was cut
_BUCKETS = ("0.0-0.5", "0.5-0.6", "0.6-0.7", "0.7-0.8", "0.8-0.9", "0.9-1.0")
_CELLS = [(algorithm, bucket) for algorithm in ALGORITHMS for bucket in _BUCKETS]
_BUCKET_EDGES = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
_RULE_FEATURES = ("rtt_ms", "bandwidth_mbps", "hde_compression_ratio", "hde_delta_hit_rate")
_OUT = columns_of(
    [
        Column("algorithm", ColumnType.STRING),
        Column("codec", ColumnType.STRING),
        Column("streams", ColumnType.INT),
        Column("confidence", ColumnType.FLOAT),
        Column("probabilities", ColumnType.JSON, nullable=True),
        Column("reason", ColumnType.STRING),
        Column("model", ColumnType.STRING),
        Column("version", ColumnType.STRING),
        Column("feature_schema", ColumnType.STRING),
    ]
)


class Same:
    """A text that is the same in every row: made once, read-only, and cut to the batch."""

    def __init__(self, text: str, rows: int) -> None:
        self._text = text
        self._column = self._made(rows)

    def column(self, rows: int) -> Array:
        """So many rows of it."""
        known = self._column
        if rows > len(known):  # the topology's batches are larger than asked for
            known = self._column = self._made(rows)
        return known[:rows]

    def _made(self, rows: int) -> Array:
        column = np.full(rows, self._text, dtype=object)
        column.setflags(write=False)
        return column


class _Choice(NamedTuple):
    """What was decided per row: position in ALGORITHMS, and why."""

    algorithm: Indices
    confidence: Float64
    reason: Array
    probabilities: Array


class CompressionSelector(Operator[CompressionSelectorConfig]):
    """Chooses hde, amst or none per transfer: trees and network, with the rules behind them."""

    name: ClassVar[str] = "compression_selector"
    Config: ClassVar[type[OperatorConfig]] = CompressionSelectorConfig
    partition_free: ClassVar[bool] = True

    def __init__(self, config: CompressionSelectorConfig) -> None:
        super().__init__(config)
        self._enabled = config.enabled
        self._profiles = profiles(config.streams)
        self._memo: OrderedDict[bytes, Float32] = OrderedDict()

    def open(self, context: Context) -> None:
        self._bundle = _find(context, self.config)
        self._classes = _classes(self._bundle)
        self._to_algorithm = np.array([ALGORITHMS.index(name) for name in self._classes], np.intp)
        features = features_of(self._bundle)
        self._vector = features.vector
        self._rule_columns = [_position(self._vector, name) for name in _RULE_FEATURES]
        width = len(self._vector.names)
        self.predictor: Predictor = load_predictor(
            self._bundle, Options(weights=self.config.weights, features=width)
        )
        warm_up(self.predictor, sorted({1, self.config.batch_size}))
        self._labels = (self._bundle.name, self._bundle.version)
        self._same = {
            "model": Same(self._bundle.name, self.config.batch_size),
            "version": Same(self._bundle.version, self.config.batch_size),
            "feature_schema": Same(features.name, self.config.batch_size),
        }
        self._says_model = Same("model", self.config.batch_size)
        known = [self._profiles[name] for name in ALGORITHMS]
        self._codecs = np.array([profile.codec for profile in known], dtype=object)
        self._streams = np.array([profile.streams for profile in known], np.int64)

    def reads(self) -> frozenset[str]:
        return frozenset({"features", "request_id", "vm_id"})

    def signature(self, columns: Columns) -> Columns:
        _require_features(columns, self._bundle, self._vector)
        for name in ("request_id", "vm_id"):
            if name not in columns:
                raise SchemaError(f"compression_selector needs the column {name!r} for decisions")
        return columns_of([*columns.values(), *_OUT.values()])

    @property
    def batch_policy(self) -> BatchPolicy:
        return BatchPolicy(size=self.config.batch_size)

    @property
    def deadline_s(self) -> float | None:
        return self.config.inference_timeout_ms / 1e3 or None

    @property
    def warmed_up(self) -> bool:
        return True

    @property
    def timers(self) -> Sequence[tuple[Metric, tuple[str, ...]]]:
        both = ((INFERENCE_LATENCY, self._labels), (PREDICTION_LATENCY, ()))
        return both if self.config.metrics_enabled else both[:1]

    def control(self, switch: str, value: str) -> bool:
        if switch != SWITCH:
            return False
        if value not in ("true", "false"):
            raise ValueError(f"switch {SWITCH} is 'true' or 'false', not {value!r}")
        self._enabled = value == "true"
        return True

    def process(self, batch: Batch) -> Output:
        return in_one_go(self.stages(batch))

    def stages(self, batch: Batch) -> Stages:
        if not self._enabled:
            return self._output(batch, self._by_rules(batch, "disabled"), "fallback")
        matrix: Float32 = batch["features"]
        if not self.predictor.accepts_missing:
            finite = np.isfinite(matrix)
            if np.count_nonzero(finite) < finite.size:
                missing = self._with_missing(batch, np.asarray(finite.all(axis=1)))
                return (yield from missing)
        try:
            probabilities = yield from self._predict(matrix)
        except Exception as error:  # noqa: BLE001, RUF100 - whatever a run-time library raises
            return self._failed(batch, error)
        return self._output(batch, self._by_model(matrix, probabilities), "success")

    def fallback(self, batch: Batch, cause: str) -> Output:
        return self._without_model(batch, cause, f"the model was not asked in time: {cause}")

    def close(self) -> None:
        self._memo.clear()

    # --- deciding ---------------------------------------------------------------------------------

    def _by_model(self, matrix: Float32, probabilities: Float32) -> _Choice:
        rounded: Float64 = probabilities.astype(np.float64).round(_DIGITS)
        index = self._to_algorithm.take(rounded.argmax(axis=1))
        confidence: Float64 = np.maximum.reduce(rounded, axis=1)
        reason = self._says_model.column(len(index))
        unsure = confidence <= self.config.confidence_threshold
        if np.count_nonzero(unsure):
            # the rules for all rows: quicker than to pick the few out, at any size of batch
            np.copyto(index, self._rules(matrix), where=unsure)
            np.copyto(confidence, rules.CONFIDENCE, where=unsure)
            reason = reason.copy()
            reason[unsure] = "low_confidence"
        return _Choice(index, confidence, reason, _dicts(self._classes, rounded))

    def _by_rules(self, batch: Batch, reason: str) -> _Choice:
        rows = len(batch)
        return _Choice(
            self._rules(batch["features"]),
            np.full(rows, rules.CONFIDENCE),
            np.full(rows, reason, dtype=object),
            np.full(rows, None, dtype=object),
        )

    def _rules(self, matrix: Float32) -> Indices:
        rtt_ms, bandwidth_mbps, hde_ratio, hde_hit_rate = self._rule_columns
        hde = rules.prefers_hde(
            matrix[:, rtt_ms],
            matrix[:, bandwidth_mbps],
            matrix[:, hde_ratio],
            matrix[:, hde_hit_rate],
        )
        return np.where(hde, _HDE, _AMST)

    # --- what the model cannot decide -------------------------------------------------------------

    def _with_missing(self, batch: Batch, whole: npt.NDArray[np.bool_]) -> Stages:
        """Rows with all features go to the model, the others past it; order is kept."""
        good = yield from self.stages(batch.take(whole))
        bad = self._without_model(
            batch.take(~whole), "missing_features", "a feature is not a finite number"
        )
        return _merged(good, bad)

    def _failed(self, batch: Batch, error: Exception) -> Output:
        output = self._without_model(batch, "model_unavailable", f"the model failed: {error}")
        measures = (*output.measures, Measure(INFERENCE_ERRORS, 1.0, self._labels))
        log = {
            "event": "model_failed",
            "model": self._bundle.name,
            "version": self._bundle.version,
            "error": f"{type(error).__name__}: {error}",
        }
        made = output.batch.with_degraded("model")
        return Output(made, output.rejected, measures=measures, logs=(*output.logs, log))

    def _without_model(self, batch: Batch, reason: str, message: str) -> Output:
        if self.config.fallback_enabled:
            return self._output(batch, self._by_rules(batch, reason), "fallback")
        rejected = [Rejected(offset, reason, message) for offset in batch.offsets.tolist()]
        nothing = batch.take(np.empty(0, np.intp))
        empty = self._output(nothing, self._by_rules(nothing, reason), "fallback")
        return Output(empty.batch, rejected)

    # --- the model --------------------------------------------------------------------------------

    def _predict(self, matrix: Float32) -> _Asking:
        if not len(matrix):
            return np.empty((0, len(self._classes)), np.float32)
        if not self.config.cache_size:
            return (yield partial(self.predictor.predict, matrix))
        return (yield from self._remembered(matrix))

    def _remembered(self, matrix: Float32) -> _Asking:
        """Predictions, from memory where the same features were seen; bounded, oldest out."""
        memo = self._memo
        packed = np.ascontiguousarray(matrix)
        keys = packed.view(f"V{packed.itemsize * packed.shape[1]}").ravel().tolist()
        fresh = [row for row, key in enumerate(keys) if key not in memo]
        if fresh:
            made = yield partial(self.predictor.predict, packed[fresh])
            known = {keys[row]: made[at].copy() for at, row in enumerate(fresh)}
        else:
            known = {}
        found = np.array([memo[key] if key in memo else known[key] for key in keys], np.float32)
        for key, row in zip(keys, found, strict=True):
            memo[key] = known.get(key, row)
            memo.move_to_end(key)
        while len(memo) > self.config.cache_size:
            memo.popitem(last=False)
        return found

    # --- what comes out ---------------------------------------------------------------------------

    def _output(self, batch: Batch, choice: _Choice, status: str) -> Output:
        rows = len(batch)
        made = batch.with_columns(
            {
                "algorithm": _NAMES.take(choice.algorithm),
                "codec": self._codecs.take(choice.algorithm),
                "streams": self._streams.take(choice.algorithm),
                "confidence": choice.confidence,
                "probabilities": choice.probabilities,
                "reason": choice.reason,
                **{name: same.column(rows) for name, same in self._same.items()},
            }
        )
        return Output(
            made,
            measures=self._measures(choice, status) if rows else (),
            logs=_logs(made) if self.config.log_predictions else (),
        )

    def _measures(self, choice: _Choice, status: str) -> list[Measure]:
        rows = len(choice.algorithm)
        made = [Measure(PREDICTIONS, rows, (*self._labels, status))]
        if status == "success":
            made.append(Measure(BATCH_SIZE, rows, self._labels))
        if self.config.metrics_enabled:
            bucket = _BUCKET_EDGES.searchsorted(choice.confidence)
            counts = np.bincount(choice.algorithm * len(_BUCKETS) + bucket).tolist()
            made += [
                Measure(DWCP_PREDICTIONS, count, labels)
                for labels, count in zip(_CELLS, counts, strict=False)  # without those at the end
                if count
            ]
        return made


# --- opening --------------------------------------------------------------------------------------


def _find(context: Context, config: CompressionSelectorConfig) -> Bundle:
    if config.models_path is not None:
        return context.models.open_folder(config.models_path)
    return context.find_model(config.model)


def _classes(bundle: Bundle) -> tuple[str, ...]:
    classes = bundle.manifest.classes
    unknown = sorted(set(classes) - set(ALGORITHMS))
    if not classes or unknown:
        raise SchemaError(
            f"model {bundle.name} {bundle.version} has classes {list(classes)}: "
            f"the selector knows {', '.join(ALGORITHMS)}"
        )
    return classes


def _position(vector: FeatureVector, name: str) -> int:
    if name not in vector.names:
        raise SchemaError(f"the rules need the feature {name!r}: the model has {[*vector.names]}")
    return vector.names.index(name)


def _require_features(columns: Columns, bundle: Bundle, vector: FeatureVector) -> None:
    found = columns["features"].features if "features" in columns else None
    if found is None:
        raise SchemaError(
            "compression_selector needs the vector column 'features': "
            "put a feature_extraction step in front of it"
        )
    if found.fingerprint != vector.fingerprint:
        raise SchemaError(
            f"the column 'features' was made by another feature schema than model {bundle.name} "
            f"{bundle.version} was trained on ({found.fingerprint[:12]}… and "
            f"{vector.fingerprint[:12]}…): name the same model in both steps"
        )


# --- rows -----------------------------------------------------------------------------------------


def _dicts(classes: Sequence[str], probabilities: Float64) -> Array:
    """Probabilities by the name of their class, per row."""
    rows = probabilities.tolist()
    if len(classes) == 3:  # takes a quarter of the time of the general way
        one, two, three = classes
        made = [{one: a, two: b, three: c} for a, b, c in rows]
    else:
        made = [dict(zip(classes, row, strict=True)) for row in rows]
    return np.fromiter(made, dtype=object, count=len(made))


def _logs(batch: Batch) -> list[Mapping[str, Any]]:
    names = ("request_id", "vm_id", "algorithm", "confidence", "reason", "version")
    columns = [batch[name].tolist() for name in names]
    return [
        {"event": "prediction", **dict(zip(names, row, strict=True))}
        for row in zip(*columns, strict=True)
    ]


def _merged(first: Output, second: Output) -> Output:
    """Two outputs of disjoint rows as one, in the order of the input."""
    both = concat(first.batch, second.batch)
    return Output(
        both.take(np.argsort(both.offsets, kind="stable")),
        sorted((*first.rejected, *second.rejected), key=lambda row: row.offset),
        measures=(*first.measures, *second.measures),
        logs=(*first.logs, *second.logs),
    )


# --- examples -------------------------------------------------------------------------------------

_EXAMPLE = {"model": "compression-selector@1.0.0", "batch_size": 4, "cache_size": 0}
_EXAMPLE_VECTOR = FeatureSet(feature_spec_v2()).vector
_EXAMPLE_COLUMNS = columns_of(
    [
        Column("request_id", ColumnType.STRING),
        Column("vm_id", ColumnType.STRING),
        Column("features", ColumnType.VECTOR, nullable=True, features=_EXAMPLE_VECTOR),
    ]
)
# In the order of the features of dwcp-v2.
_EDGE = [
    60, 4, 8, 0.131, 0.5, 5, 0.6, 25, 0.2, 40, 95, 7, 3, 38, 0.778, 4, 1, 99, 40, 0.002, 4, 3,
    1, 0.5, 0.167, 5.29, 5.29, 8, 936, 333, 60.1, 3620, 545, -1.03, -0.733, -7.53,
]  # fmt: skip
_WAN = [
    50, 2, 150, 2.94, 0.5, 5, 0.6, 35, 0.2, 4, 5, 30, 3, 0.2, 0.199, 3, 1, 0, 10, 0.0002, 4,
    5, 1, 0.5, 0.192, 20.1, 20.1, 80.4, 397, 167, 278, 1200, -222, -0.86, 0.811, -6.68,
]  # fmt: skip
_DC = [
    0.15, 0.01, 7000, 6090, 1, 7.9, 0, 60, 0.2, 1, 5, 4000, 1, 0.05, 0.571, 1, 1, 0, 0, 1e-06,
    4, 8, 1, 1, 0.625, 94700, 7000, 7000, 1.77, 1.53, 1.77, 0.389, -0.243, 0.821, 3.91,
    -0.572,
]  # fmt: skip
_NO_HISTORY = [None if at == 9 else value for at, value in enumerate(_EDGE)]
_EXAMPLE_ROWS = (
    {"request_id": "r-1", "vm_id": "vm-1", "features": _EDGE},
    {"request_id": "r-2", "vm_id": "vm-1", "features": _WAN},
    {"request_id": "r-3", "vm_id": "vm-2", "features": _DC},
    {"request_id": "r-4", "vm_id": "vm-2", "features": _NO_HISTORY},
)

CompressionSelector.examples = (
    Example(
        title="An edge, a wide area and a data centre; and a row that the rules have to decide",
        config=_EXAMPLE,
        columns=_EXAMPLE_COLUMNS,
        rows=_EXAMPLE_ROWS,
        expected=(
            {"request_id": "r-1", "algorithm": "hde", "codec": "zstd-max", "reason": "model"},
            {"request_id": "r-2", "algorithm": "amst", "codec": "lz4", "reason": "model"},
            {"request_id": "r-3", "algorithm": "none", "codec": "raw", "reason": "model"},
            {"request_id": "r-4", "algorithm": "hde", "reason": "missing_features"},
        ),
        models="../../models",
    ),
    Example(
        title="Without the rules behind it a row that the model cannot decide is rejected",
        config={**_EXAMPLE, "fallback_enabled": False, "cache_size": 2, "log_predictions": True},
        columns=_EXAMPLE_COLUMNS,
        rows=_EXAMPLE_ROWS,
        expected=({"request_id": "r-1"}, {"request_id": "r-2"}, {"request_id": "r-3"}),
        rejected={3: "missing_features"},
        models="../../models",
    ),
    Example(
        title="Switched off: the rules decide, amst on eight streams",
        config={**_EXAMPLE, "enabled": False, "streams": 8},
        columns=_EXAMPLE_COLUMNS,
        rows=_EXAMPLE_ROWS[:2],
        expected=(
            {"algorithm": "hde", "streams": 1, "confidence": 0.5, "reason": "disabled"},
            {"algorithm": "amst", "streams": 8, "probabilities": None, "reason": "disabled"},
        ),
        models="../../models",
    ),
)
