"""feature_extraction: the columns of an event become the feature vector of a model.

The features are written in the step (``features``) or come with a model (``model``), so that
training and serving run the same code on the same specification. Values that the event lacks can be
filled from the feature store (``lookup``) before the features are computed; when the store is away
they stay missing and each feature's own policy decides.

On replay: the vector of a row is a function of the row and of the answers of the feature store; for
aggregations also of the rows before it in the partition. Windows are saved with the partition's
snapshot and go on after a restart as if nothing had happened. What the store answers never enters
an aggregation's window unless the aggregation reads a field that is looked up.

A row that a feature refuses is rejected as ``missing_feature``, ``out_of_range`` or
``unknown_category``; it is not counted by aggregations, and the rows around it do not notice.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gress_ml.batch import Array, Batch
from gress_ml.errors import SchemaError, SnapshotError
from gress_ml.expression import missing_rows
from gress_ml.features import (
    FeatureSet,
    FeatureSetSpec,
    FeatureSpec,
    FeatureState,
    features_of,
    row_keys,
)
from gress_ml.features.state import VERSION
from gress_ml.metrics import FEATURE_TIME, FEATURES_EXTRACTED, Measure, Metric
from gress_ml.operator import (
    Context,
    Example,
    Lookup,
    Operator,
    OperatorConfig,
    Output,
    Rejected,
    Snapshot,
)
from gress_ml.schema import Column, Columns, ColumnType, columns_of

# --- config ---------------------------------------------------------------------------------------


class StoreLookup(BaseModel):
    """Which row of the feature store fills the gaps of an event."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    table: str = Field(min_length=1)
    """Table of the feature store."""
    key: tuple[str, ...] = Field(min_length=1)
    """Columns that make the key of the row, in the order in which it was written."""
    fields: tuple[str, ...] = Field(min_length=1)
    """Fields to take from the row. A column of that name is filled where it is missing, and made
    where the event has none."""


class FeatureExtractionConfig(OperatorConfig):
    """Where the features are defined, and where their values go."""

    features: tuple[FeatureSpec, ...] | None = None
    """The features, in the order of the vector. Give this or `model`."""
    model: str | None = Field(None, pattern=r"^[^@]+(@[^@]+)?$")
    """Model whose bundle holds the features: ``name``, ``name@1.2.0`` or ``name@alias``; the
    alias ``champion`` unless given."""
    feature_set: str | None = None
    """Name of the feature set in metrics; the model's set, or the step, unless given."""
    output: str = "features"
    """Column that gets the vector."""
    also_columns: bool = False
    """Whether each value of the vector becomes a column of its own as well, for conditions and
    outputs. A column of the same name is replaced."""
    lookup: StoreLookup | None = None
    """Row of the feature store that fills missing values."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.features is None) == (self.model is None):
            raise ValueError("give exactly one of 'features' and 'model'")
        if self.features is not None:
            try:
                inline_features(self, "")
            except SchemaError as error:
                raise ValueError(str(error)) from None
        return self


# --- pure functions -------------------------------------------------------------------------------


def inline_features(config: FeatureExtractionConfig, step: str) -> FeatureSet:
    """The feature set written in the step. Raises SchemaError."""
    try:
        name = config.feature_set or step or "features"
        return FeatureSet(FeatureSetSpec(name=name, features=config.features or ()))
    except ValidationError as error:
        raise SchemaError("; ".join(fault["msg"] for fault in error.errors())) from None


def filled(batch: Batch, fields: tuple[str, ...], answer: Array | None) -> dict[str, Array]:
    """The columns of the fields that change: gaps filled from the answer, NaN where it has none."""
    absent = [name for name in fields if name not in batch]
    columns: dict[str, Array] = {name: np.full(len(batch), np.nan) for name in absent}
    if answer is None:
        return columns
    known = [columns[name] if name in columns else batch[name] for name in fields]
    floats = [i for i, column in enumerate(known) if column.dtype.kind == "f"]
    if not floats:
        return columns
    matrix = np.concatenate([known[i] for i in floats], dtype=np.float64)
    matrix = matrix.reshape(len(floats), len(batch))
    np.copyto(matrix, answer[:, floats].T, where=np.isnan(matrix))
    return columns | {fields[i]: column for i, column in zip(floats, matrix, strict=True)}


def lacking(batch: Batch, fields: tuple[str, ...]) -> Array | None:
    """The rows that lack a value of any of the fields; None when all have all, as nearly always."""
    try:
        gaps = np.isnan(
            np.concatenate([batch.columns[name] for name in fields], dtype=np.float64, casting="no")
        )
    except (KeyError, TypeError):  # a column is absent, or of another type
        return _lacking_each(batch, fields)
    if not np.count_nonzero(gaps):
        return None
    lacks: Array = np.logical_or.reduce(gaps.reshape(len(fields), len(batch)))
    return lacks


def _lacking_each(batch: Batch, fields: tuple[str, ...]) -> Array | None:
    if any(name not in batch for name in fields):
        return np.ones(len(batch), np.bool_)
    lacks: Array = np.logical_or.reduce([missing_rows(batch[name]) for name in fields])
    return lacks if lacks.any() else None


# --- operator -------------------------------------------------------------------------------------


class FeatureExtraction(Operator[FeatureExtractionConfig]):
    """Turns columns into a feature vector; see the module for what it guarantees."""

    name: ClassVar[str] = "feature_extraction"
    Config: ClassVar[type[OperatorConfig]] = FeatureExtractionConfig
    partition_free: ClassVar[bool] = True

    _features: FeatureSet
    _state: FeatureState

    def open(self, context: Context) -> None:
        """Read the feature set. Raises ModelError, SchemaError."""
        inline = self.config.features is not None
        self._features = (
            inline_features(self.config, context.step)
            if inline
            else features_of(context.find_model(self.config.model or ""))
        )
        if self.config.lookup and self._features.stateful:
            raise SchemaError(
                "lookup: what is looked up may change between two runs, so no state may come of "
                "it; put the aggregations into a step of their own, before the one with the lookup"
            )
        self._state = self._features.new_state()
        self._label = self.config.feature_set or self._features.name
        self._lookup_name = f"{self.config.output}.lookup"
        self._looked_up = set(self.config.lookup.fields if self.config.lookup else ())
        self._counts = [
            (count, (self._label, type_)) for type_, count in self._features.types.items()
        ]

    @property
    def features(self) -> FeatureSet:
        """The feature set (after ``open``)."""
        return self._features

    def reads(self) -> frozenset[str]:
        """What the features read, and what the lookup needs."""
        lookup = self.config.lookup
        return self._features.reads | frozenset((*lookup.key, *lookup.fields) if lookup else ())

    def signature(self, columns: Columns) -> Columns:
        """The columns that came in, those that were filled, and the vector."""
        added: list[Column] = []
        if lookup := self.config.lookup:
            absent = sorted(set(lookup.key) - set(columns))
            if absent:
                raise SchemaError(f"lookup in {lookup.table!r}: there is no column {absent}")
            added += [
                Column(name, ColumnType.FLOAT, nullable=True)
                for name in lookup.fields
                if name not in columns
            ]
        known = columns_of([*columns.values(), *added])
        self._features.check(known)
        vector = self._features.vector
        scalars = vector.names if self.config.also_columns else ()
        made = [Column(name, ColumnType.FLOAT, nullable=True) for name in scalars]
        keeps = any(column.feature.policy == "keep" for column in self._features.columns)
        made.append(Column(self.config.output, ColumnType.VECTOR, keeps, vector))
        return columns_of([*known.values(), *made])

    def lookups(self, batch: Batch) -> list[Lookup]:
        """The rows of the feature store that fill gaps; nothing when there are no gaps.

        A row without gaps asks for the empty key, so that the answer stays in line with the batch.
        """
        lookup = self.config.lookup
        if lookup is None or (lacks := lacking(batch, lookup.fields)) is None:
            return []
        asked = row_keys(batch, lookup.key)
        if not lacks.all():
            pairs = zip(asked, lacks.tolist(), strict=True)
            asked = [key if wanted else b"" for key, wanted in pairs]
        return [Lookup(self._lookup_name, lookup.table, lookup.fields, asked)]

    def process(self, batch: Batch) -> Output:
        """Fill, transform, and set aside what a feature refuses."""
        if lookup := self.config.lookup:
            answer = batch.columns.get(self._lookup_name)
            if answer is not None or not self._looked_up <= batch.columns.keys():
                batch = self._filled(batch, lookup.fields, answer)
        vectors, rejected = self._features.transform(batch, self._state)
        made = {self.config.output: vectors}
        if self.config.also_columns:
            names = self._features.vector.names
            made |= {name: vectors[:, i].astype(np.float64) for i, name in enumerate(names)}
        return self._output(batch.with_columns(made), rejected)

    def _filled(self, batch: Batch, fields: tuple[str, ...], answer: Array | None) -> Batch:
        if found := filled(batch, fields, answer):
            batch = batch.with_columns(found)
        return batch if answer is None else batch.without_column(self._lookup_name)

    def _output(self, batch: Batch, rejected: list[Rejected]) -> Output:
        if rejected:
            refused = np.array([row.offset for row in rejected])
            batch = batch.take(~np.isin(batch.offsets, refused))
        measures = [
            Measure(FEATURES_EXTRACTED, count * len(batch), labels)
            for count, labels in self._counts
        ]
        return Output(batch, rejected, measures=measures)

    @property
    def timer(self) -> tuple[Metric, tuple[str, ...]]:
        """Time per batch, by feature set."""
        return FEATURE_TIME, (self._label,)

    def snapshot(self) -> Snapshot | None:
        """The windows of the aggregations; None when there are none."""
        if not self._features.stateful:
            return None
        return Snapshot(VERSION, self._state.snapshot())

    def restore(self, snapshot: Snapshot) -> None:
        """Go on with the windows that were saved. Raises SnapshotError."""
        if snapshot.version != VERSION:
            raise SnapshotError(
                f"feature_extraction reads version {VERSION}, found {snapshot.version}"
            )
        self._state.restore(snapshot.data)


# --- examples -------------------------------------------------------------------------------------

_TRANSFER = columns_of(
    [
        Column("vm_id", ColumnType.STRING),
        Column("timestamp", ColumnType.TIMESTAMP, nullable=True),
        Column("link_type", ColumnType.STRING, nullable=True),
        Column("rtt_ms", ColumnType.FLOAT, nullable=True),
        Column("bandwidth_mbps", ColumnType.FLOAT, nullable=True),
        Column("payload_size", ColumnType.INT),
        Column("comment", ColumnType.STRING, nullable=True),
    ]
)

_NETWORK = Example(
    title="computed features, defaults, an unknown category and a row out of range",
    config={
        "features": [
            {"name": "rtt_ms", "type": "numerical", "range": [0, 10_000], "unit": "ms"},
            {"name": "bandwidth_mbps", "type": "numerical", "default": 0.0},
            {
                "name": "network_quality",
                "type": "numerical",
                "expression": "bandwidth_mbps / (rtt_ms + 1)",
            },
            {"name": "size_mb", "type": "log", "expression": "payload_size / 1048576"},
            {"name": "link_type", "type": "categorical", "vocabulary": ["dc", "wan"]},
        ]
    },
    columns=_TRANSFER,
    rows=[
        {"vm_id": "a", "link_type": "wan", "rtt_ms": 19, "bandwidth_mbps": 80, "payload_size": 0},
        {"vm_id": "b", "link_type": "moon", "rtt_ms": 1, "payload_size": 1_048_576},
        {"vm_id": "c", "link_type": "dc", "rtt_ms": -1, "bandwidth_mbps": 5, "payload_size": 7},
        {"vm_id": "d", "link_type": None, "rtt_ms": None, "bandwidth_mbps": 1, "payload_size": 7},
    ],
    expected=[
        {"vm_id": "a", "features": [19.0, 80.0, 4.0, 0.0, 2.0]},
        {"vm_id": "b", "features": [1.0, 0.0, 0.0, 0.6931472, 0.0]},
    ],
    rejected={2: "out_of_range", 3: "missing_feature"},
)

_SPELLINGS = Example(
    title="each of the simple transforms, with parameters beside the feature or below it",
    config={
        "also_columns": True,
        "features": [
            {
                "name": "rtt_scaled",
                "type": "normalize",
                "source": "rtt_ms",
                "parameters": {"min": 0.0, "max": 200.0},
            },
            {
                "name": "bandwidth_score",
                "type": "standardize",
                "source": "bandwidth_mbps",
                "missing": "indicator",
                "mean": 100.0,
                "stddev": 50.0,
            },
            {
                "name": "size_class",
                "type": "bucket",
                "source": "payload_size",
                "boundaries": [1024, 1_048_576],
            },
            {"name": "link", "type": "onehot", "source": "link_type", "vocabulary": ["dc", "wan"]},
            {
                "name": "when",
                "type": "temporal",
                "source": "timestamp",
                "timezone": "Europe/Berlin",
            },
            {"name": "comment", "type": "text", "default": ""},
        ],
    },
    columns=_TRANSFER,
    rows=[
        {
            "vm_id": "a",
            "timestamp": "2026-03-29T00:59:59Z",
            "link_type": "wan",
            "rtt_ms": 50,
            "bandwidth_mbps": 200,
            "payload_size": 1024,
            "comment": "Zürich  über Köln",
        },
        {
            "vm_id": "b",
            "timestamp": "2026-03-29T01:00:00Z",
            "link_type": "x",
            "rtt_ms": 200,
            "payload_size": 1,
        },
    ],
    expected=[
        {"features": [0.25, 2.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 6.0, 17.0, 3.0], "when_hour": 1.0},
        {"features": [1.0, -2.0, 1.0, 0.0, 1.0, 0.0, 0.0, 3.0, 6.0, 0.0, 0.0], "when_hour": 3.0},
    ],
)

_WINDOWS = Example(
    title="figures over the last minute of each VM; the late row is not counted",
    config={
        "features": [
            {
                "name": "transfers_1m",
                "type": "aggregation",
                "function": "count",
                "key": "vm_id",
                "window": "1m",
                "default": -1.0,
            },
            {
                "name": "mean_rtt_1m",
                "type": "aggregation",
                "function": "avg",
                "source": "rtt_ms",
                "key": "vm_id",
                "window": "1m",
                "default": -1.0,
            },
        ]
    },
    columns=_TRANSFER,
    rows=[
        {"vm_id": "a", "timestamp": 600_000, "rtt_ms": 10, "payload_size": 1},
        {"vm_id": "b", "timestamp": 601_000, "rtt_ms": 50, "payload_size": 1},
        {"vm_id": "a", "timestamp": 630_000, "rtt_ms": 30, "payload_size": 1},
        {"vm_id": "a", "timestamp": 660_000, "rtt_ms": None, "payload_size": 1},
        {"vm_id": "a", "timestamp": 599_999, "rtt_ms": 99, "payload_size": 1},
    ],
    expected=[
        {"features": [1.0, 10.0]},
        {"features": [1.0, 50.0]},
        {"features": [2.0, 20.0]},
        {"features": [2.0, 30.0]},
        {"features": [-1.0, -1.0]},
    ],
)

_HISTORY = Example(
    title="history from the feature store; without a row, or without the store, the defaults",
    config={
        "features": [{"name": "hde_compression_ratio", "type": "numerical", "default": 1.0}],
        "lookup": {
            "table": "transfer_history",
            "key": ["vm_id", "link_type"],
            "fields": ["hde_compression_ratio"],
        },
    },
    columns=_TRANSFER,
    rows=[{"vm_id": "a", "link_type": "wan", "payload_size": 1}],
    expected=[{"features": [1.0], "hde_compression_ratio": None}],
)

EXAMPLES = (_NETWORK, _SPELLINGS, _WINDOWS, _HISTORY)
FeatureExtraction.examples = EXAMPLES
