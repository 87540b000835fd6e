"""ab_test: splits the rows between the arms of an experiment, and asks each model once per batch.

Adds `ab_variant`, `ab_experiment` and `propensity`, the probability of this choice, and the columns
of `inference`: `prediction`, `prediction_metadata`, `probabilities` and `confidence`. What the
fallback answered has the variant `fallback`; its metadata names the arm that would have answered.

With `enable_shadow_mode` the other arms are asked, too, after the answer has left. The side stream
`shadow` has a row for each answer and other arm: `ab_experiment`, `ab_variant`, `prediction`,
`confidence`, the same of the other as `shadow_variant`, `shadow_prediction`, `shadow_confidence`,
and how they compare, `shadow_difference` and `shadow_result`: `match`, `differ` (by more than the
tolerance), `disagree` (another class) or `failed`. It is a sample: rows are let go when the worker
has no time for them, and a crash may lose or repeat some.

The shares change while workers run: `gress experiment set NAME arm=weight …`. Nobody who has an arm
loses it as long as its share does not fall.

Rejected rows: ``missing_split_key`` (with `missing_split_key: reject`), and those of `inference`:
``missing_features``, ``out_of_range``, ``bad_prediction``; without a ``fallback`` also ``timeout``
and ``overload``.

On replay: stateless; an arm is a function of the event's id or place in the log and of the split at
that time, an answer one of its row and the arm's model version, bit for bit, however the stream was
cut into batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from gress_ml.batch import Array, Batch, concat
from gress_ml.errors import ModelError, SchemaError
from gress_ml.experiments import (
    KEYED,
    SIDE,
    Arm,
    Asked,
    Assigner,
    Assignment,
    MissingKey,
    Shadow,
    Split,
    Strategy,
    Timers,
    arms_of,
    ask,
    decode_split,
    experiment_switch,
    ids_of,
)
from gress_ml.features import vector_of
from gress_ml.inference import (
    BAD_PREDICTION,
    Model,
    ModelSettings,
    Predictions,
    Source,
    rejected,
)
from gress_ml.metrics import (
    BATCH_SIZE,
    INFERENCE_ERRORS,
    INFERENCE_LATENCY,
    MISSING_SPLIT_KEYS,
    PREDICTIONS,
    VARIANT_LATENCY,
    VARIANT_SELECTIONS,
    Measure,
)
from gress_ml.operator import (
    BatchPolicy,
    Context,
    Example,
    Later,
    Operator,
    OperatorConfig,
    Output,
    Rejected,
    Stages,
    in_one_go,
)
from gress_ml.schema import Column, Columns, ColumnType, columns_of

#: The variant of rows that no arm answered.
FALLBACK = "fallback"
_DEFAULT_KEY = "user_id"  # of the strategy of this name
_PERCENT_SLACK = 1e-6


class VariantConfig(OperatorConfig):
    name: str = Field(min_length=1)
    """Name of the arm."""
    model_name: str = Field(min_length=1)
    """Model that answers in this arm."""
    model_version: str = "champion"
    """Its version, an alias, or ``latest``."""
    weight: float = Field(ge=0)
    """Share of the rows, relative to the other arms."""
    enabled: bool = True
    """Whether the arm takes part at all; one that does not is not loaded."""
    features: str | None = None
    """The vector column of this arm, where its model takes other features than the others."""


class AbTestConfig(ModelSettings):
    experiment: str = Field(min_length=1, json_schema_extra={"ml_entry": "ab_testing.experiments"})
    """Name of the experiment."""
    variants: tuple[VariantConfig, ...] = Field(min_length=1)
    """The arms."""
    strategy: Strategy = "hash"
    """How a row gets its arm: by its id (`hash`; `user_id`, the same on the column `user_id`), by
    chance (`random`), evenly in turn (`percentage`, whose weights add up to 100), or by FNV-1a
    modulo 100 of its id, unsalted (`legacy_fnv`)."""
    split_key: str | None = None
    """Column of the id; the record's key unless given."""
    salt: str | None = None
    """Text that makes the split independent of other experiments; the experiment's name unless
    given."""
    missing_split_key: MissingKey = "by_event"
    """What is done with a row without an id: it gets an arm by chance (`by_event`), or the
    `default_arm`, or is rejected (`reject`)."""
    default_arm: str | None = None
    """The arm of rows without an id, with `missing_split_key: default_arm`."""
    enable_shadow_mode: bool = False
    """Whether the other arms are asked, too, after the answer has left."""
    shadow_tolerance: float = Field(default=0.01, ge=0.0)
    """How far two answers may be apart and still match: probabilities absolute, values relative."""
    shadow_columns: tuple[str, ...] = ()
    """Columns of the input that go along in the shadow stream."""

    @model_validator(mode="after")
    def _arms_are_sound(self) -> Self:
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names) or FALLBACK in names:
            raise ValueError(
                f"variants {names}: expected distinct names, none of them {FALLBACK!r}"
            )
        if self.inputs is not None and any(variant.features for variant in self.variants):
            raise ValueError("give 'inputs', or 'features' of a variant, not both")
        Split.of(self.shares)
        if self.strategy == "percentage" and abs(sum(self.shares.values()) - 100) > _PERCENT_SLACK:
            raise ValueError(f"percentages {self.shares}: expected a sum of 100")
        if self.enable_shadow_mode and len(self.shares) < 2:
            raise ValueError("enable_shadow_mode needs two enabled variants or more")
        return self

    @model_validator(mode="after")
    def _keys_are_of_use(self) -> Self:
        """A key that would not be honoured is refused."""
        given = self.model_fields_set & {"split_key", "missing_split_key", "default_arm"}
        if given and self.strategy not in KEYED:
            raise ValueError(
                f"strategy {self.strategy!r} looks at no id: take {sorted(given)} away"
            )
        if (self.default_arm is None) is (self.missing_split_key == "default_arm"):
            raise ValueError(
                "give 'default_arm' with 'missing_split_key: default_arm', and only so"
            )
        if self.default_arm not in (None, *self.shares):
            raise ValueError(f"default_arm {self.default_arm!r}: expected one of {[*self.shares]}")
        return self

    @property
    def arms(self) -> list[VariantConfig]:
        """The variants that take part."""
        return [variant for variant in self.variants if variant.enabled]

    @property
    def shares(self) -> dict[str, float]:
        """Their weights."""
        return {variant.name: variant.weight for variant in self.arms}


Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
#: Of rows that have no arm, as they are rejected.
_NO_ARM = -1


@dataclass(frozen=True, slots=True)
class _Call:
    """The arms that one call of the model answers: those of one model, on the same columns."""

    arms: Sequence[Arm]
    timers: Timers

    @property
    def model(self) -> Model:
        return self.arms[0].model


_USERS = columns_of(
    [Column("user", ColumnType.STRING, nullable=True), Column("features", ColumnType.VECTOR)]
)
_ORDERS = columns_of(
    [
        Column("amount", ColumnType.FLOAT, nullable=True),
        Column("orders", ColumnType.INT),
        Column("country", ColumnType.STRING, nullable=True),
    ]
)
_ROWS = (
    {"user": "u-1", "features": [60.0, 80.0, 15.0, 90.0]},
    {"user": "u-2", "features": [0.5, 900.0, 3.0, 10.0]},
    {"user": None, "features": [60.0, 80.0, 15.0, 90.0]},
    {"user": "u-4", "features": [60.0, float("inf"), 15.0, 90.0]},
)
_TWO_ARMS = (
    {"name": "control", "model_name": "tiny-trees", "model_version": "1.0.0", "weight": 70},
    {"name": "treatment", "model_name": "tiny-selector", "weight": 30},
)
_EXAMPLE_MODELS = "../../tests/data/models"


class AbTest(Operator[AbTestConfig]):
    """Splits rows between models, each asked once per batch, with the propensity of each choice."""

    name: ClassVar[str] = "ab_test"
    Config: ClassVar[type[OperatorConfig]] = AbTestConfig
    partition_free: ClassVar[bool] = True
    examples: ClassVar[Sequence[Example]] = (
        Example(
            title="Seven of ten users with one model, three with another, and both in the shadow",
            config={
                "experiment": "selector-v2",
                "split_key": "user",
                "variants": list(_TWO_ARMS),
                "enable_shadow_mode": True,
                "shadow_columns": ["user"],
            },
            columns=_USERS,
            rows=_ROWS,
            expected=(
                {"user": "u-1", "ab_variant": "treatment", "propensity": 0.3, "prediction": "hde"},
                {"user": "u-2", "ab_variant": "treatment", "propensity": 0.3, "prediction": "amst"},
                {"user": None, "ab_experiment": "selector-v2", "prediction": "hde"},
            ),
            rejected={3: "out_of_range"},
            models=_EXAMPLE_MODELS,
        ),
        Example(
            title="The split of an older system, and no answer for who has no id",
            config={
                "experiment": "selector-v2",
                "strategy": "legacy_fnv",
                "split_key": "user",
                "missing_split_key": "reject",
                "variants": list(_TWO_ARMS),
                "fallback": "none",
                "max_latency": "50ms",
            },
            columns=_USERS,
            rows=_ROWS,
            expected=(
                {"user": "u-1", "ab_variant": "control", "propensity": 0.7},
                {"user": "u-2", "ab_variant": "treatment", "propensity": 0.3},
            ),
            rejected={2: "missing_split_key", 3: "out_of_range"},
            models=_EXAMPLE_MODELS,
        ),
        Example(
            title="Evenly in turn between three arms that give values; one is switched off",
            config={
                "experiment": "risk",
                "strategy": "percentage",
                "inputs": {"amount": "amount", "count": "orders", "country": "country"},
                "output": "score",
                "variants": [
                    {"name": "a", "model_name": "tiny-inputs", "weight": 50},
                    {"name": "b", "model_name": "tiny-inputs", "weight": 25},
                    {"name": "c", "model_name": "tiny-inputs", "weight": 25},
                    {"name": "d", "model_name": "nobody", "weight": 9, "enabled": False},
                ],
                "enable_shadow_mode": True,
            },
            columns=_ORDERS,
            rows=(
                {"amount": 1.5, "orders": 2, "country": "DE"},
                {"amount": 1.5, "orders": 2, "country": "XX"},
                {"amount": None, "orders": 2, "country": "XX"},
                {"amount": 2.0, "orders": 1, "country": "FR"},
            ),
            expected=({"prediction": 5.0}, {"prediction": 15.0}, {"prediction": 5.0}),
            rejected={2: "missing_features"},
            models=_EXAMPLE_MODELS,
        ),
    )

    def open(self, context: Context) -> None:
        config = self.config
        models = {variant.name: _opened(context, config, variant) for variant in config.arms}
        self._arms = arms_of(models)
        self._names = np.array([arm.name for arm in self._arms], dtype=object)
        self._metadata = np.array([arm.metadata for arm in self._arms], dtype=object)
        self._calls = _calls_of(self._arms, config.experiment)
        calls = {arm.name: at for at, call in enumerate(self._calls) for arm in call.arms}
        # the last one is of rows that have no arm, and so no call
        self._call_of = np.array([*(calls[arm.name] for arm in self._arms), _NO_ARM])
        self._classes = self._arms[0].model.predictor.classes
        self._predictions = Predictions(
            self._classes, prefix=config.prefix, fallback=config.fallback
        )
        self._own_split = self._split = Split.of(config.shares)
        default_arm = [*models].index(config.default_arm) if config.default_arm else 0
        self._assigner = Assigner(
            config.strategy, config.salt or config.experiment, config.missing_split_key, default_arm
        )
        self._key = config.split_key or (_DEFAULT_KEY if config.strategy == "user_id" else None)
        self._shadow: Shadow | None = None
        if config.enable_shadow_mode:
            told = (self._predictions, config.shadow_tolerance, config.shadow_columns)
            self._shadow = Shadow(config.experiment, self._arms, *told)

    def reads(self) -> frozenset[str]:
        models = {name for arm in self._arms for name in arm.model.columns}
        keys = {self._key} if self._key is not None and self.config.strategy in KEYED else set()
        return frozenset({*models, *keys, *(self.config.shadow_columns if self._shadow else ())})

    def signature(self, columns: Columns) -> Columns:
        for arm in self._arms:
            arm.model.require(columns)
        if self._key is not None and self.config.strategy in KEYED:
            _require_key(columns, self._key)
        made = [
            Column(self._named("ab_variant"), ColumnType.STRING),
            Column(self._named("ab_experiment"), ColumnType.STRING),
            Column(self._named("propensity"), ColumnType.FLOAT),
        ]
        return columns_of([*columns.values(), *self._predictions.columns(), *made])

    def sides(self, columns: Columns) -> Mapping[str, Columns]:
        return {} if self._shadow is None else {SIDE: self._shadow.columns(columns)}

    @property
    def late_sides(self) -> frozenset[str]:
        return frozenset({SIDE})

    @property
    def batch_policy(self) -> BatchPolicy:
        return BatchPolicy(self.config.batch_size, self.config.batch_timeout)

    @property
    def deadline_s(self) -> float | None:
        return self.config.max_latency or None

    @property
    def warmed_up(self) -> bool:
        return self.config.warmup and all(arm.model.bundle.warm_up for arm in self._arms)

    @property
    def max_concurrency(self) -> int:
        return self.config.max_concurrency

    def control(self, switch: str, value: str) -> bool:
        """The experiment's split, as a message of the topic has it; none is the topology's own."""
        if switch != experiment_switch(self.config.experiment):
            return False
        own = self._own_split
        self._split = own if not value else decode_split(value, own)
        return True

    def process(self, batch: Batch) -> Output:
        return in_one_go(self.stages(batch))

    def stages(self, batch: Batch) -> Stages:
        assignment, unfit = self._assigned(batch)
        measures: list[Measure] = []
        answer = np.empty((len(batch), len(self._classes) or 1), np.float32)
        answered, failed = np.zeros((2, len(batch)), np.bool_)
        logs = []
        calls = self._call_of[assignment.arms]
        for number, call in enumerate(self._calls):
            rows = np.flatnonzero(calls == number)
            if not len(rows):
                continue
            asked: Asked = yield from ask(call.arms[0], batch, rows, call.timers)
            unfit += asked.unfit
            if isinstance(asked.answer, ModelError):
                failed[asked.rows] = True
                measures.append(Measure(INFERENCE_ERRORS, 1, call.model.labels))
                logs.append(self._told(call, asked.answer))
            elif len(asked.rows):
                if len(asked.rows) == len(batch):  # one call answers all: nothing to copy
                    answer = asked.answer
                else:
                    answer[asked.rows] = asked.answer
                answered[asked.rows] = True
                measures.append(Measure(BATCH_SIZE, len(asked.rows), call.model.labels))
        unfit += self._without_number(batch, answer, answered)
        if answered.all():
            output = self._answered(batch, assignment, answer)
        else:
            parts = (batch.take(answered), assignment.take(answered), answer[answered])
            output = self._answered(*parts)
        made = output.batch
        if failed.any():
            rest = (batch.take(failed), assignment.take(failed))
            late, counts = self._fallen_back(*rest, "model_error")
            made = _in_order(made, late).with_degraded("model")
            measures = [*measures, *counts]
        measures += output.measures
        return Output(made, unfit, measures=measures, logs=logs, later=output.later)

    def fallback(self, batch: Batch, cause: str) -> Output:
        assignment, unfit = self._assigned(batch)
        measures: list[Measure] = []
        if unfit:
            kept = assignment.arms != _NO_ARM
            batch, assignment = batch.take(kept), assignment.take(kept)
        if cause == "timeout":
            late = [self._arms[position] for position in np.unique(assignment.arms).tolist()]
            measures += [Measure(INFERENCE_ERRORS, 1, arm.model.labels) for arm in late]
        if self.config.fallback is None:
            message = f"{self.config.experiment!r} did not answer ({cause}) and has no fallback"
            unfit += [rejected(batch, row, cause, message) for row in range(len(batch))]
            nothing = np.empty(0, np.intp)
            batch, assignment = batch.take(nothing), assignment.take(nothing)
        made, counts = self._fallen_back(batch, assignment, cause)
        return Output(made, unfit, measures=[*measures, *counts])

    # --- arms -------------------------------------------------------------------------------------

    def _assigned(self, batch: Batch) -> tuple[Assignment, list[Rejected]]:
        """An arm for each row; those that are rejected for want of an id have none."""
        assignment = self._assigner.assign(self._split, batch, self._ids(batch))
        missing = assignment.missing
        if missing is None or self.config.missing_split_key != "reject":
            return assignment, []
        where = "the record has no key" if self._key is None else f"column {self._key!r} is missing"
        message = f"{where}, and experiment {self.config.experiment!r} splits by it"
        rows = np.flatnonzero(missing)
        unfit = [rejected(batch, row, "missing_split_key", message) for row in rows.tolist()]
        assignment.arms[rows] = _NO_ARM
        return assignment, unfit

    def _ids(self, batch: Batch) -> Sequence[bytes | None] | None:
        if self.config.strategy not in KEYED:
            return None
        return batch.keys if self._key is None else ids_of(batch[self._key])

    def _labels(self, arm: Arm) -> tuple[str, str]:
        return self.config.experiment, arm.name

    def _told(self, call: _Call, error: ModelError) -> Mapping[str, object]:
        """What the log says of a call that failed; without a fallback its batch has failed."""
        if self.config.fallback is None:
            raise error
        names = [arm.name for arm in call.arms]
        return {"event": "model_failed", "variants": names, "error": str(error)}

    # --- rows -------------------------------------------------------------------------------------

    def _without_number(self, batch: Batch, answer: Float32, answered: Mask) -> list[Rejected]:
        """Rejects the rows whose answer is no number; they are no longer answered."""
        if np.isfinite(answer).all():  # rows that nobody answered may hold anything
            return []
        bad = answered & ~np.isfinite(answer).all(axis=1)
        answered &= ~bad
        return [rejected(batch, row, *BAD_PREDICTION) for row in np.flatnonzero(bad).tolist()]

    def _answered(self, batch: Batch, assignment: Assignment, answer: Float32) -> Output:
        """Rows that an arm answered, and what is to be asked in the shadow."""
        arms = assignment.arms
        columns = self._predictions.answered(answer, self._metadata[arms].tolist())
        columns |= self._chosen(self._names[arms], assignment.propensity)
        later: tuple[Later, ...] = ()
        if self._shadow is not None and len(batch):
            later = (self._shadow.later(batch, arms, answer),)
        measures = [
            measure
            for arm, rows in zip(self._arms, np.bincount(arms).tolist(), strict=False)
            if rows
            for measure in self._counted(arm, rows)
        ]
        measures += self._without_id(assignment)
        return Output(batch.with_columns(columns), measures=measures, later=later)

    def _counted(self, arm: Arm, rows: int) -> Sequence[Measure]:
        return (
            Measure(VARIANT_SELECTIONS, rows, self._labels(arm)),
            Measure(PREDICTIONS, rows, (*arm.model.labels, "success")),
        )

    def _without_id(self, assignment: Assignment) -> Sequence[Measure]:
        count = 0 if assignment.missing is None else int(np.count_nonzero(assignment.missing))
        labels = (self.config.experiment, self.config.missing_split_key)
        return (Measure(MISSING_SPLIT_KEYS, count, labels),) if count else ()

    def _fallen_back(
        self, batch: Batch, assignment: Assignment, cause: str
    ) -> tuple[Batch, list[Measure]]:
        """Rows that no arm answered; the metadata says which should have."""
        arms = [self._arms[position] for position in assignment.arms.tolist()]
        metadata = [{**arm.metadata, "variant": arm.name} for arm in arms]
        columns = self._predictions.fallen_back(metadata, cause)
        columns |= self._chosen(np.full(len(batch), FALLBACK, object), assignment.propensity)
        counts = Counter(arm.model.labels for arm in arms)
        measures = [Measure(PREDICTIONS, rows, (*who, "fallback")) for who, rows in counts.items()]
        if arms:
            labels = (self.config.experiment, FALLBACK)
            measures.append(Measure(VARIANT_SELECTIONS, len(arms), labels))
        measures += self._without_id(assignment)
        return batch.with_columns(columns), measures

    def _chosen(self, variants: Array, propensity: Array) -> dict[str, Array]:
        experiment = np.array([self.config.experiment], object).repeat(len(variants))
        return {
            self._named("ab_variant"): variants,
            self._named("ab_experiment"): experiment,
            self._named("propensity"): propensity,
        }

    def _named(self, column: str) -> str:
        return self.config.prefix + column


# --- opening --------------------------------------------------------------------------------------


def _opened(context: Context, config: AbTestConfig, variant: VariantConfig) -> Model:
    reference = f"{variant.model_name}@{variant.model_version}"
    bundle = context.find_model(reference)
    vector = vector_of(bundle)
    source = Source(reference, variant.features or config.features, config.inputs)
    model = Model(bundle, config.options(len(vector.names) if vector else None), source, vector)
    if config.warmup:
        model.warm_up(config.batch_size)
    return model


def _calls_of(arms: Sequence[Arm], experiment: str) -> list[_Call]:
    """The arms by what answers them: a model is asked once, however many arms it has."""
    grouped: dict[tuple[int, tuple[str, ...]], list[Arm]] = {}
    for arm in arms:
        grouped.setdefault((id(arm.model.predictor), arm.model.columns), []).append(arm)
    return [
        _Call(
            together,
            (
                *((VARIANT_LATENCY, (experiment, arm.name)) for arm in together),
                (INFERENCE_LATENCY, together[0].model.labels),
            ),
        )
        for together in grouped.values()
    ]


def _require_key(columns: Columns, name: str) -> None:
    """An id is a text or a whole number. Raises SchemaError."""
    column = columns.get(name)
    if column is None:
        raise SchemaError(f"no column {name!r} to split by: there are {sorted(columns)}")
    if column.type not in (ColumnType.STRING, ColumnType.INT):
        raise SchemaError(
            f"column {name!r} is of type {column.type.value}: an id to split by is a string or int"
        )


def _in_order(first: Batch, second: Batch) -> Batch:
    """The rows of both, by offset."""
    if not len(first):
        return second
    both = concat(first, second)
    return both.take(np.argsort(both.offsets, kind="stable"))
