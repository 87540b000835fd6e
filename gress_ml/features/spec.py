"""FeatureSpec: how each of the ten transforms is written down; declared once, in a bundle or YAML.

A feature takes one value per row (``source`` or ``expression``), fills or refuses it when it is
missing, clips or checks it, and transforms it. ``default``, ``clip``, ``range`` and ``unit`` are
all those of the value *before* the transform, so they read in the units of the event.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    model_validator,
)

from gress_ml.duration import Duration
from gress_ml.errors import SchemaError
from gress_ml.expression import compile_expression

Missing = Literal["default", "indicator", "reject", "keep"]
TemporalPart = Literal[
    "hour", "day_of_week", "hour_sin", "hour_cos", "day_of_week_sin", "day_of_week_cos"
]
TextPart = Literal["length", "word_count"]
Function = Literal["sum", "avg", "min", "max", "count", "ewma"]


def _ascending(bounds: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in pairwise(bounds)):
        raise ValueError(f"the numbers have to ascend; found {[*bounds]}")
    return bounds


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{twice} stand twice")
    return values


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"there is no time zone {name!r}; expected a name as 'Europe/Berlin'"
        ) from None
    return name


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _compiles(text: str) -> str:
    try:
        compile_expression(text)
    except SchemaError as error:
        raise ValueError(str(error)) from None
    return text


Bounds = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ascending)]
Vocabulary = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_distinct)]


class Feature(BaseModel):
    """What all features have."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str = Field(min_length=1)
    """Name of the feature; one that gives several values puts it in front of each."""
    source: str | None = None
    """Input column to read. The column named as the feature, unless this or `expression` is set."""
    expression: Annotated[str, AfterValidator(_compiles)] | None = None
    """Value computed from input columns and from features further up, which hide input columns
    of the same name: ``bandwidth_available_mbps / (rtt_ms + 1)``."""
    output: str | None = None
    """Name in the vector, if it is not `name`."""
    unit: str = ""
    """Unit of the value, for people."""
    description: str = ""
    """What the feature means, for people. It is no part of the fingerprint."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.source is not None and self.expression is not None:
            raise ValueError("give 'source' or 'expression', not both")
        return self

    @property
    def column(self) -> str | None:
        """The input column that it reads; None where an expression is read instead."""
        return None if self.expression is not None else self.source or self.name

    @property
    def origin(self) -> str:
        """Where the value comes from, for messages."""
        return f"expression {self.expression!r}" if self.expression else f"column {self.column!r}"

    @property
    def label(self) -> str:
        """The name under which the values stand in the vector."""
        return self.output or self.name

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What is added to the label for each value that the feature gives; ``""`` for one."""
        return ("",)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names in the vector, in order, without a missing-value indicator."""
        return tuple(f"{self.label}_{suffix}" if suffix else self.label for suffix in self.suffixes)


class Number(Feature):
    """What features of numbers have."""

    missing: Missing | None = None
    """For a row without a value: `default` takes the default, `indicator` takes it too and adds
    the feature ``<name>_missing`` (0 or 1), `reject` sends the row to the dead letters, `keep`
    leaves NaN in the vector for a model that knows it. Unless set: `default` where a default is
    given, else `reject`."""
    default: FiniteFloat | None = None
    """Value of a row that has none; 0 where the policy asks for one and none is given."""
    clip: Bounds | None = None
    """Smallest and largest value; one outside becomes the nearer of the two."""
    range: Bounds | None = None
    """Smallest and largest value allowed; a row outside is rejected as ``out_of_range``. With
    `clip` the clipped value is checked."""

    @model_validator(mode="after")
    def _sound_default(self) -> Self:
        for bounds in (self.clip, self.range):
            if self.default is not None and bounds and not bounds[0] <= self.default <= bounds[1]:
                raise ValueError(f"the default {self.default} is outside {[*bounds]}")
        return self

    @property
    def policy(self) -> Missing:
        """The policy that holds."""
        return self.missing or ("reject" if self.default is None else "default")


class Numerical(Number):
    """The number as it is."""

    type: Literal["numerical"]
    """A number."""


class Normalize(Number):
    """Min–max scaling: ``(x - min) / (max - min)``."""

    type: Literal["normalize"]
    """A number scaled to 0–1."""
    min: FiniteFloat
    """Value that becomes 0."""
    max: FiniteFloat
    """Value that becomes 1."""

    @model_validator(mode="after")
    def _extent(self) -> Self:
        if self.min >= self.max:
            raise ValueError(f"'min' has to be less than 'max'; found {self.min} and {self.max}")
        return self


class Standardize(Number):
    """Standard score: ``(x - mean) / stddev``."""

    type: Literal["standardize"]
    """A number in standard deviations from the mean."""
    mean: FiniteFloat
    """Mean of the training data."""
    stddev: FiniteFloat = Field(gt=0)
    """Standard deviation of the training data."""


class Log(Number):
    """``log1p(x)``, the natural logarithm of 1 + x; defined for x > -1, else out of range."""

    type: Literal["log"]
    """The logarithm of a number."""


class Bucket(Number):
    """Number of the bucket: how many boundaries are at or below x, 0 to len(boundaries)."""

    type: Literal["bucket"]
    """The bucket that a number falls into."""
    boundaries: Annotated[tuple[FiniteFloat, ...], Field(min_length=1), AfterValidator(_ascending)]
    """Ascending; a value equal to a boundary is in the bucket above it."""


class Category(Feature):
    """What features of categories have."""

    vocabulary: Vocabulary = Field(validation_alias=AliasChoices("vocabulary", "categories"))
    """The known categories; their order is their code."""
    missing: Missing = "default"
    """For a row without a category: `default` takes the default, `indicator` takes it too and adds
    the feature ``<name>_missing`` (0 or 1), `reject` sends the row to the dead letters, `keep`
    leaves NaN in the vector."""
    default: str | None = None
    """Category of a row that has none; `unknown` unless given."""
    unknown: Literal["slot", "reject"] = "slot"
    """For a category that is not in the vocabulary: its own slot, or rejected as
    ``unknown_category``."""

    @model_validator(mode="after")
    def _known_default(self) -> Self:
        if self.default is not None and self.default not in self.vocabulary:
            raise ValueError(f"the default {self.default!r} is not in the vocabulary")
        if self.unknown == "reject" and self.default is None and self.missing in _FILLS:
            raise ValueError("where unknown is rejected, a missing category needs a 'default'")
        return self

    @property
    def policy(self) -> Missing:
        """The policy that holds."""
        return self.missing


_FILLS = ("default", "indicator")


class Categorical(Category):
    """Code of the category: 0 is unknown, the vocabulary counts from 1."""

    type: Literal["categorical"]
    """A category as a code."""


class Onehot(Category):
    """One value per category, 1 for the row's own and 0 for the rest; the unknown slot is first."""

    type: Literal["onehot"]
    """A category as one value per member of the vocabulary."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """``unknown`` (unless unknown is rejected) and the vocabulary."""
        return (*(("unknown",) if self.unknown == "slot" else ()), *self.vocabulary)


class Temporal(Feature):
    """Parts of the local time: hour 0–23, day of week 0 (Monday) to 6, and their cyclic forms.

    ``hour_sin`` is sin(2π · seconds since local midnight / 86 400), ``day_of_week_sin`` is
    sin(2π · day of week / 7); the cosines likewise. Local time follows the zone's daylight saving
    time at that instant, from 1970 to 2100; outside, the nearest known offset counts.
    """

    type: Literal["temporal"]
    """Parts of a time. The event's own time unless `source` or `expression` is set (milliseconds
    since the epoch)."""
    parts: Annotated[tuple[TemporalPart, ...], Field(min_length=1), AfterValidator(_distinct)] = (
        "hour",
        "day_of_week",
    )
    """What to take of the time, in this order."""
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """Zone of the local time, as ``Europe/Berlin``."""
    missing: Literal["reject", "keep"] = "reject"
    """For a row without a time: `reject` sends it to the dead letters, `keep` leaves NaN."""

    @property
    def column(self) -> str | None:
        """The input column that it reads; None for the event's own time."""
        return self.source

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The parts."""
        return self.parts

    @property
    def policy(self) -> Missing:
        """The policy that holds."""
        return self.missing


class Text(Feature):
    """Measures of a text: its length in characters (code points, not bytes) and its words."""

    type: Literal["text"]
    """Measures of a text."""
    parts: Annotated[tuple[TextPart, ...], Field(min_length=1), AfterValidator(_distinct)] = (
        "length",
        "word_count",
    )
    """What to measure, in this order; words are what white space separates."""
    missing: Missing | None = None
    """For a row without a text: as for numbers."""
    default: str | None = None
    """Text of a row that has none; the empty text where the policy asks for one."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The parts."""
        return self.parts

    @property
    def policy(self) -> Missing:
        """The policy that holds."""
        return self.missing or ("reject" if self.default is None else "default")


class Aggregation(Number):
    """One figure of the recent values of the row's key: those in (t - window, t], t its event time.

    Rows count in the order of the log, so what a row sees is what came before it (and itself). A
    row is late when its event time is more than `allowed_lateness` before the newest event time
    seen in its partition: it is not counted, and its own figure is missing. A key is forgotten when
    its newest event is older than ``window + allowed_lateness`` before the newest event time, which
    no row that is in time can notice. A row without a key has no figure; a missing value is not
    counted; a row that was rejected before is not counted.
    """

    type: Literal["aggregation"]
    """A figure over an event-time window per key."""
    function: Function
    """`sum` and `count` of nothing are 0; the others are missing. `ewma` is the mean weighted by
    2 to the power of -age / half_life."""
    window: Annotated[Duration, Field(gt=0)]
    """Length of the window in event time."""
    key: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    """Input columns that make the key; the record's own key unless given."""
    half_life: Annotated[Duration, Field(gt=0)] | None = None
    """Age at which a value counts half, for `ewma`; half the window unless given."""
    include_current: bool = True
    """Whether the row's own value counts."""
    allowed_lateness: Duration | None = None
    """How far a row may be behind the newest event time; the window's length unless given."""
    max_events: int = Field(1024, ge=1)
    """Values kept per key; of more, the newest by event time count."""
    max_keys: int = Field(100_000, ge=1)
    """Keys kept; of more, the one that was updated longest ago is forgotten."""

    @property
    def column(self) -> str | None:
        """The input column that it reads; None for `count` of rows."""
        return self.source

    @property
    def origin(self) -> str:
        """Where the value comes from, for messages."""
        return f"the {self.function} over the window"

    @model_validator(mode="after")
    def _value_needed(self) -> Self:
        if self.function != "count" and self.source is None and self.expression is None:
            raise ValueError(f"{self.function!r} needs a 'source' or an 'expression'")
        if self.half_life is not None and self.function != "ewma":
            raise ValueError("'half_life' is for the function 'ewma' only")
        return self


def _flatten(spec: Any) -> Any:
    """``{…, parameters: {min: 0}}`` is ``{…, min: 0}``."""
    if not isinstance(spec, Mapping) or "parameters" not in spec:
        return spec
    parameters = spec["parameters"] or {}
    if not isinstance(parameters, Mapping):
        raise ValueError("'parameters' has to be a mapping")
    twice = sorted(set(parameters) & set(spec))
    if twice:
        raise ValueError(f"{twice} stand both in the feature and in its 'parameters'")
    return {**{key: spec[key] for key in spec if key != "parameters"}, **parameters}


AnyFeature = (
    Numerical
    | Categorical
    | Onehot
    | Normalize
    | Standardize
    | Log
    | Bucket
    | Temporal
    | Text
    | Aggregation
)

#: One feature; ``type`` says which. Parameters may stand in the feature or below ``parameters``.
FeatureSpec = Annotated[
    Annotated[AnyFeature, Field(discriminator="type")], BeforeValidator(_flatten)
]


def expanded_names(features: Iterable[AnyFeature]) -> tuple[str, ...]:
    """The names of all values in the vector, in order, with the missing-value indicators."""
    names: list[str] = []
    for feature in features:
        names += feature.outputs
        if feature.policy == "indicator":
            names.append(f"{feature.label}_missing")
    return tuple(names)


class FeatureSetSpec(BaseModel):
    """A feature vector as data: what a bundle's ``feature_schema.json`` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str = "features"
    """Name of the set, for people and metrics. It is no part of the fingerprint."""
    features: tuple[FeatureSpec, ...] = Field(min_length=1)
    """The features, in the order of the vector."""

    @model_validator(mode="after")
    def _distinct_names(self) -> Self:
        _distinct(tuple(feature.name for feature in self.features))
        _distinct(expanded_names(self.features))
        return self

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that makes the values: canonical JSON of the features, without what is
        for people only and without what stands at its default."""
        listed = [
            feature.model_dump(mode="json", exclude_defaults=True, exclude={"description"})
            for feature in self.features
        ]
        canonical = json.dumps(listed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return sha256(canonical.encode()).hexdigest()
