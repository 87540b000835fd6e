"""online_learning: a river model that tells each row, then learns it from its label.

Reads features (a vector, or columns) and a label, both columns of the same event. Adds
``prediction``, ``prediction_metadata``, ``probabilities`` and ``confidence`` as ``inference`` does,
and ``learning_use``: ``trained``, ``holdout`` (a share that is never learned, by a hash of who the
row is), or ``predicted`` (no label; or the learner is frozen at its size limit). A row is told by
the learner as it was before the row's mini-batch; before anything is learned a class is missing.

Rejected rows: ``missing_features``, ``out_of_range`` (infinite), ``unknown_label``,
``learner_failed`` (river raised an error on it), ``bad_prediction`` (NaN or infinity).

On replay: the learner is a function of the log: mini-batches are cut by count and event time,
chance has a seed. With ``publish`` it asks for versions of its model in the registry, each named by
the offset up to which it learned, so that a restart or a replay publishes none twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import orjson
from pydantic import Field, JsonValue, model_validator

from gress_ml.batch import Array, Batch
from gress_ml.bundle import Publication
from gress_ml.duration import Duration
from gress_ml.errors import SchemaError, SnapshotError
from gress_ml.metrics import (
    LEARN_FAILURES,
    LEARNER_FROZEN,
    LEARNER_SIZE,
    MODEL_SCORE,
    ONLINE_ROWS,
    ONLINE_UPDATES,
    PREDICTIONS,
    Measure,
)
from gress_ml.operator import (
    Checkpoint,
    Context,
    Example,
    Operator,
    OperatorConfig,
    Output,
    Rejected,
    Snapshot,
)
from gress_ml.schema import Column, Columns, ColumnType, FeatureVector, columns_of

if TYPE_CHECKING:  # river takes more than a second to import: only a topology that learns waits
    from gress_ml.learning.build import Parts
    from gress_ml.learning.learner import Candidate, Learner, Told

VERSION = 1


class PublishConfig(OperatorConfig):
    """The gate in front of the registry."""

    every: int = Field(default=1000, ge=1)
    """Rows learned between two looks at the gate."""
    min_samples: int = Field(default=1000, ge=1)
    """Rows that must have been learned."""
    min_holdout: int = Field(default=100, ge=1)
    """Rows that must have been held out: the score counts over these."""
    metric: str
    """The metric that counts, one of `metrics`."""
    threshold: float
    """What the metric must reach over the rows held out; where less is better, must not pass."""
    rival: str | None = "champion"
    """Version or alias of the same model that the new one must not be worse than, by the score in
    its manifest; none to compare with nothing."""
    tolerance: float = Field(default=0.0, ge=0.0)
    """By how much the score may be worse than the rival's."""
    alias: str | None = None
    """Alias that then points to the new version. All workers are told on `gress.models`: a step
    `inference` that names the alias moves to the new version between two batches."""


class OnlineLearningConfig(OperatorConfig):
    model: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$")
    """Name of the model in metrics, checkpoints and the registry."""
    version: int = Field(default=1, ge=0)
    """First number of its versions: those published are `version.partition.offset`. Raise it when
    the topic is made anew, or to keep models of another definition apart."""
    learner: JsonValue
    """The river classifier, regressor or pipeline: a class as `linear_model.LogisticRegression`, a
    class with its parameters below it, or a list of these, which is a pipeline. A parameter may be
    a class again. A `seed` that is not given is 0."""
    learning_rate: JsonValue = Field(
        default=None, json_schema_extra={"ml_default": "online_learning.default_learning_rate"}
    )
    """Learning rate of every estimator of the learner whose `optimizer` is not given: a number, or
    a schedule as `optim.schedulers.InverseScaling: {learning_rate: 0.1, power: 0.5}`."""
    features: str | tuple[str, ...] = "features"
    """The vector column with the features, or a list of columns: numbers, booleans and texts."""
    target_field: str = "label"
    """The column with the label; a row where it is missing is told only."""
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of `probabilities`; none for a regressor. Of two, the
    second is the positive one. A label `true` or `1` is named so."""
    missing: Literal["reject", "omit"] = "reject"
    """What becomes of a row with a missing feature: it is rejected, or told and learned without
    that feature."""
    update_batch_size: int = Field(
        default=32,
        ge=1,
        le=100_000,
        json_schema_extra={"ml_default": "online_learning.default_update_batch_size"},
    )
    """Labelled rows per mini-batch; 1 learns each row before the next one is told."""
    update_interval: Duration = Field(
        default=5.0, json_schema_extra={"ml_default": "online_learning.default_update_interval"}
    )
    """Event time after which a mini-batch is learned though it is not full; `0s` waits for it to
    be full. An event must come that is so much later: no clock counts."""
    enable_validation: bool = Field(
        default=True, json_schema_extra={"ml_default": "online_learning.enable_validation"}
    )
    """Whether a share of the labelled rows is held out."""
    validation_split: float = Field(
        default=0.2,
        gt=0.0,
        lt=1.0,
        json_schema_extra={"ml_default": "online_learning.validation_split"},
    )
    """The share that is held out."""
    holdout_key: str | None = None
    """Column that says who a row is, such as an id that may come twice; the record's topic,
    partition and offset unless given."""
    metrics: tuple[JsonValue, ...] | None = None
    """River's metrics, as `[Accuracy, ROCAUC]`, with parameters as `FBeta: {beta: 2}`. Accuracy and
    a loss for classes, MAE and RMSE for values, unless given."""
    rolling_window: int = Field(default=1000, ge=0, le=100_000)
    """Rows that the rolling metrics look back on; 0 for none."""
    size_limit: int = Field(default=16_777_216, ge=1024)
    """Most bytes of the learner, as it is saved. It is measured after 1,000 rows learned, or up to
    10,000 while it is far from the limit at its pace of growth, or more where it is large."""
    at_size_limit: Literal["freeze", "restart"] = "freeze"
    """What happens past the limit: it learns no more and goes on telling, or it begins anew."""
    checkpoint_interval: Duration | None = Field(
        default=None,
        json_schema_extra={"ml_default": "online_learning.default_checkpoint_interval"},
    )
    """Time between two checkpoints of the partition; that of the topology unless given."""
    prefix: str = ""
    """Put in front of the names of the columns that come out."""
    publish: PublishConfig | None = None
    """When the model is published to the registry; never unless given."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.features:
            raise ValueError("features: expected a column, or a list of columns")
        if self.publish is not None and not self.enable_validation:
            raise ValueError("publish needs enable_validation: the gate looks at rows held out")
        if self.checkpoint_interval is not None and self.checkpoint_interval <= 0:
            raise ValueError("checkpoint_interval must be longer than nothing")
        return self

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns with features."""
        return (self.features,) if isinstance(self.features, str) else self.features

    @classmethod
    def takes_default(cls, name: str, given: Mapping[str, Any]) -> bool:
        """A learner without an optimizer of ours has no learning rate."""
        if name != "learning_rate":
            return True
        from gress_ml.learning.definition import takes_learning_rate

        return takes_learning_rate(given.get("learner"))


_OUT = ("prediction", "prediction_metadata", "probabilities", "confidence", "learning_use")


class OnlineLearning(Operator[OnlineLearningConfig]):
    """Tells rows by a river model and learns them; see the module for what it guarantees."""

    name: ClassVar[str] = "online_learning"
    Config: ClassVar[type[OperatorConfig]] = OnlineLearningConfig

    _parts: Parts

    def open(self, context: Context) -> None:
        """Build the learner and try it out. Raises SchemaError."""
        from gress_ml.learning.build import Settings, build_parts
        from gress_ml.learning.gate import Gate
        from gress_ml.learning.learner import AtLimit, Pace

        config, publish = self.config, self.config.publish
        gate = None
        if publish is not None:
            least = (publish.min_samples, publish.min_holdout)
            gate = Gate(publish.every, *least, publish.metric, publish.threshold)
        pace = Pace(
            config.update_batch_size,
            config.update_interval * 1000 or float("inf"),
            config.size_limit,
            AtLimit(config.at_size_limit),
        )
        settings = Settings(
            config.learner,
            config.learning_rate,
            config.feature_names,
            config.target_field,
            config.classes,
            config.missing,
            config.metrics,
            config.rolling_window,
            pace,
            gate,
        )
        self._parts = build_parts(settings, context.columns)
        self._labels = (config.model, str(config.version))
        self._names = {key: config.prefix + key for key in _OUT}
        self._classes = np.array([*self._parts.task.classes, None], dtype=object)

    def reads(self) -> frozenset[str]:
        config = self.config
        key = () if config.holdout_key is None else (config.holdout_key,)
        return frozenset((*config.feature_names, config.target_field, *key))

    def signature(self, columns: Columns) -> Columns:
        if self._parts.features is not None:
            self._parts.features.require(columns)
        return columns_of([*columns.values(), *self._made()])

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(*self._labels, self.config.checkpoint_interval)

    def process(self, batch: Batch) -> Output:
        from gress_ml.learning.learner import Rows

        features, labels = self._readers()
        rows, faults = features.read(batch)
        targets, more = labels.read(batch)
        rejected = _rejected(batch, {**more, **faults})
        if rejected:
            keep = ~np.isin(batch.offsets, [row.offset for row in rejected])
            chosen = np.flatnonzero(keep).tolist()
            batch = batch.take(keep)
            made = [*rows]
            rows, targets = [made[i] for i in chosen], [targets[i] for i in chosen]
        told = self._learner.run(
            Rows(
                rows,
                targets,
                self._held_out(batch),
                batch.event_time_ms.tolist(),
                batch.offsets.tolist(),
            )
        )
        if told.faults:
            failed = {row: (code, message) for row, code, message in told.faults}
            rejected += _rejected(batch, failed)
            batch = batch.take(~np.isin(np.arange(len(batch)), [*failed]))
        return self._output(batch, rejected, told)

    def snapshot(self) -> Snapshot:
        learner = self._parts.learner
        return Snapshot(VERSION, b"" if learner is None else learner.snapshot())

    def restore(self, snapshot: Snapshot) -> None:
        if snapshot.version != VERSION:
            raise SnapshotError(f"online_learning reads version {VERSION}, not {snapshot.version}")
        self._learner.restore(snapshot.data)

    # --- parts ------------------------------------------------------------------------------------

    @property
    def _learner(self) -> Learner:
        learner = self._parts.learner
        if learner is None:
            raise SchemaError("online_learning was opened without the columns of its input")
        return learner

    def _readers(self) -> tuple[Any, Any]:
        parts = self._parts
        if parts.features is None or parts.labels is None:
            raise SchemaError("online_learning was opened without the columns of its input")
        return parts.features, parts.labels

    def _held_out(self, batch: Batch) -> Sequence[bool]:
        from gress_ml.learning.holdout import held_out_offsets, held_out_values

        config = self.config
        if not config.enable_validation:
            return [False] * len(batch)
        if config.holdout_key is None:
            place = (batch.topic, batch.partition, batch.offsets)
            held = held_out_offsets(*place, config.validation_split)
        else:
            held = held_out_values(batch[config.holdout_key].tolist(), config.validation_split)
        found: list[bool] = held.tolist()
        return found

    # --- columns ----------------------------------------------------------------------------------

    def _made(self) -> Sequence[Column]:
        """The columns that come out, in the order of ``_OUT``."""
        classes = bool(self._parts.task.classes)
        kind = ColumnType.STRING if classes else ColumnType.FLOAT
        types = (kind, ColumnType.JSON, ColumnType.VECTOR, ColumnType.FLOAT, ColumnType.STRING)
        nullable = (classes, False, True, True, False)
        return [
            Column(self._names[key], type_, nullable=may)
            for key, type_, may in zip(_OUT, types, nullable, strict=True)
        ]

    def _output(self, batch: Batch, rejected: list[Rejected], told: Told) -> Output:
        made = self._answered(told)
        return Output(
            batch.with_columns(dict(zip(self._names.values(), made, strict=True))),
            rejected,
            measures=self._measures(told) if len(batch) or rejected else (),
            logs=[
                {"event": "learning_failed", "model": self.config.model, "error": error}
                for error in told.failures[:1]
            ],
            publications=[self._publication(batch, one) for one in told.candidates],
        )

    def _answered(self, told: Told) -> Sequence[Array]:
        answers = self._parts.task.matrix(told.answers)
        uses = np.fromiter(told.uses, object, len(answers))
        if not self._parts.task.classes:
            values = np.array(told.answers, np.float64).reshape(len(answers))
            nothing = np.full(len(answers), np.nan)
            metadata = self._metadata([None] * len(answers))
            return values, metadata, answers[:, :0], nothing, uses
        known = ~np.isnan(answers).any(axis=1)
        top = np.where(known, answers.argmax(axis=1), -1)  # the last of the names is none
        confidence = answers[np.arange(len(top)), top].astype(np.float64)
        shares: list[float | None] = confidence.tolist()
        for row in np.flatnonzero(~known).tolist():
            shares[row] = None
        metadata = self._metadata(shares)
        return self._classes[top], metadata, answers, confidence, uses

    def _metadata(self, confidence: Sequence[float | None]) -> Array:
        """One dictionary per row; none is shared, as who reads them may change his own."""
        model, version = self._labels
        rows = [
            {"model": model, "version": version, "status": "success", "confidence": value}
            for value in confidence
        ]
        return np.fromiter(rows, object, len(rows))

    # --- effects ----------------------------------------------------------------------------------

    def _measures(self, told: Told) -> list[Measure]:
        labels, learner = self._labels, self._learner
        uses = Counter(told.uses)
        measures = [
            Measure(ONLINE_UPDATES, told.updates, labels),
            Measure(LEARN_FAILURES, len(told.failures), labels),
            Measure(PREDICTIONS, len(told.uses), (*labels, "success")),
            Measure(LEARNER_SIZE, learner.size, labels),
            Measure(LEARNER_FROZEN, learner.frozen, labels),
        ]
        measures += [Measure(ONLINE_ROWS, count, (*labels, use)) for use, count in uses.items()]
        scores = learner.scores.values().items()
        measures += [Measure(MODEL_SCORE, value, (*labels, name)) for name, value in scores]
        return measures

    def _publication(self, batch: Batch, candidate: Candidate) -> Publication:
        from gress_ml.learning.learner import RIVER
        from gress_ml.learning.river_file import NAME, RiverFile, write_river_file

        features, _ = self._readers()
        publish, classes = self.config.publish, self._parts.task.classes
        assert publish is not None
        file = RiverFile(
            river=RIVER,
            names=features.names,
            types=tuple(type_.value for type_ in features.types),
            fingerprint=features.fingerprint,
            missing=self.config.missing,
            classes=classes,
            estimator=candidate.estimator,
        )
        files = {NAME: write_river_file(file)}
        if classes:
            files["label_encoder.json"] = orjson.dumps({"classes": classes})
        return Publication(
            name=self.config.model,
            version=f"{self.config.version}.{batch.partition}.{candidate.offset}",
            files=files,
            scores=candidate.scores,
            metric=f"holdout_{publish.metric}",
            bigger_is_better=self._learner.scores.bigger_is_better(publish.metric),
            rival=publish.rival,
            tolerance=publish.tolerance,
            alias=publish.alias,
            tags={
                "learned_rows": str(candidate.learned),
                "learned_until": f"{batch.topic}-{batch.partition}-{candidate.offset}",
            },
        )


def _rejected(batch: Batch, faults: Mapping[int, tuple[str, str]]) -> list[Rejected]:
    return [
        Rejected(int(batch.offsets[row]), code, message)
        for row, (code, message) in sorted(faults.items())
    ]


# --- examples -------------------------------------------------------------------------------------

_TRANSFERS = columns_of(
    [
        Column("id", ColumnType.STRING),
        Column("features", ColumnType.VECTOR, features=FeatureVector(("rtt", "rate"), "example")),
        Column("label", ColumnType.STRING, nullable=True),
    ]
)

OnlineLearning.examples = (
    Example(
        title="A logistic regression, two rows at a time; a row without a label is told only",
        config={
            "model": "link-quality",
            "learner": [
                "preprocessing.StandardScaler",
                {"linear_model.LogisticRegression": {"l2": 0.001}},
            ],
            "learning_rate": {"optim.schedulers.InverseScaling": {"learning_rate": 0.5}},
            "classes": ["slow", "fast"],
            "update_batch_size": 2,
            "enable_validation": False,
            "rolling_window": 8,
        },
        columns=_TRANSFERS,
        rows=(
            {"id": "a", "features": [90.0, 1.0], "label": "slow"},
            {"id": "b", "features": [1.0, 90.0], "label": "fast"},
            {"id": "c", "features": [2.0, 80.0], "label": None},
            {"id": "d", "features": [80.0, 2.0], "label": "slow"},
            {"id": "e", "features": [None, 2.0], "label": "slow"},
            {"id": "f", "features": [80.0, 2.0], "label": "average"},
        ),
        expected=(
            {"id": "a", "prediction": "slow", "learning_use": "trained"},
            {"id": "b", "prediction": "slow", "learning_use": "trained"},
            {"id": "c", "prediction": "fast", "learning_use": "predicted"},
            {"id": "d", "prediction": "slow", "learning_use": "trained"},
        ),
        rejected={4: "missing_features", 5: "unknown_label"},
    ),
    Example(
        title="A tree that learns values of columns, a share of the rows held out by their id",
        config={
            "model": "transfer-time",
            "learner": {
                "tree.HoeffdingTreeRegressor": {"grace_period": 2, "leaf_prediction": "mean"}
            },
            "features": ["size", "link"],
            "target_field": "seconds",
            "holdout_key": "id",
            "validation_split": 0.5,
            "missing": "omit",
            "update_batch_size": 1,
            "metrics": ["MAE"],
            "rolling_window": 8,
            "size_limit": 20_000,
            "at_size_limit": "restart",
        },
        columns=columns_of(
            [
                Column("id", ColumnType.STRING),
                Column("size", ColumnType.FLOAT, nullable=True),
                Column("link", ColumnType.STRING, nullable=True),
                Column("seconds", ColumnType.FLOAT, nullable=True),
            ]
        ),
        rows=(
            {"id": "r-1", "size": 1.0, "link": "wan", "seconds": 4.0},
            {"id": "r-2", "size": 1.0, "link": "wan", "seconds": 4.0},
            {"id": "r-3", "size": 1.0, "link": None, "seconds": 4.0},
            {"id": "r-4", "size": None, "link": "wan", "seconds": None},
        ),
        expected=(
            {"id": "r-1", "prediction": 0.0},
            {"id": "r-2"},
            {"id": "r-3"},
            {"id": "r-4", "learning_use": "predicted"},
        ),
    ),
)
