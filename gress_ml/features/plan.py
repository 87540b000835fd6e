"""Plan: the specification of a feature set as stages over one matrix."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gress_ml.errors import SchemaError
from gress_ml.expression import Part, Program, compile_expression, numbers
from gress_ml.features import encodings
from gress_ml.features.spec import (
    Aggregation,
    AnyFeature,
    Bucket,
    Categorical,
    FeatureSetSpec,
    Log,
    Normalize,
    Numerical,
    Onehot,
    Standardize,
    Temporal,
    Text,
)
from gress_ml.features.stage import Input, Stage
from gress_ml.features.timezone import offset_changes
from gress_ml.features.values import (
    LARGEST,
    MEASURES,
    Codes,
    ColumnNumbers,
    Load,
    category_codes,
    column_values,
    computed_numbers,
    computed_values,
    event_time,
    feature_key,
    text_measure,
    window_figures,
)
from gress_ml.schema import ColumnType

#: Years 1 to 9999, in milliseconds since the epoch.
_TIME_RANGE = (-62_135_596_800_000.0, 253_402_300_799_999.0)


_FILLS = ("default", "indicator")  # policies that put a value where there is none
_OF_TEXT = (Categorical, Onehot, Text)
AnyNumber = Numerical | Normalize | Standardize | Log | Bucket | Aggregation


@dataclass(frozen=True, slots=True)
class Step:
    """A feature ready to be placed: what it reads, and the inputs that it is made of."""

    feature: AnyFeature
    place: int | None  # of its expression's values in the program of the set
    after: frozenset[str]  # features further up whose stages come before its own
    columns: Mapping[str, ColumnType | None]  # input columns that it reads; None: any type

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the vector, with the missing-value indicator."""
        indicator = (f"{self.feature.label}_missing",) if self.feature.policy == "indicator" else ()
        return self.feature.outputs + indicator


def steps_of(spec: FeatureSetSpec, program: Program) -> list[Step]:
    """The features, their expressions compiled to one program. Raises SchemaError, naming the
    feature."""
    above = Above(program)
    for feature in spec.features:
        try:
            above.add(_step(feature, above))
        except SchemaError as error:
            raise SchemaError(f"feature {feature.name!r}: {error}") from None
    return above.steps


class Above:
    """The features further up, as those below read them.

    A feature is read as its stage leaves it, in a later stage, or, where the stage changes no row
    but those that it rejects, as the value that it is made of, in the same stage.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.steps: list[Step] = []
        self.places: dict[str, int] = {}
        self._after: dict[str, frozenset[str]] = {}  # what has to be done before a name is read

    def add(self, step: Step) -> None:
        """Let the features below read this one."""
        self.steps.append(step)
        unchanged = _unchanged(step, self.program)
        for name in step.names:
            key = self.program.column(feature_key(name))
            self.places[name] = key if unchanged is None else unchanged
            self._after[name] = step.after if unchanged is not None else frozenset({name})

    def before(self, names: Iterable[str]) -> frozenset[str]:
        """The features whose stages come before that of a feature which reads these names."""
        return frozenset().union(*(self._after.get(name, ()) for name in names))


def _unchanged(step: Step, program: Program) -> int | None:
    """The place of a number that its stage leaves as it is, or rejects with its row; else None."""
    feature = step.feature
    if not isinstance(feature, Numerical) or feature.clip or feature.policy in _FILLS:
        return None
    if step.place is None and feature.column is not None:
        return program.apply(numbers, program.column(feature.column))
    return step.place


def _step(feature: AnyFeature, above: Above) -> Step:
    keys: Mapping[str, ColumnType | None] = {}
    if isinstance(feature, Aggregation):
        keys = dict.fromkeys(feature.key)
    if feature.expression is not None:
        expression = compile_expression(feature.expression, above.program, above.places)
        place = expression.place
        if not (isinstance(feature, _OF_TEXT) or expression.result is ColumnType.FLOAT):
            place = above.program.apply(numbers, place)
        used = {name: kind for name, kind in expression.needs.items() if name not in above.places}
        return Step(feature, place, above.before(expression.reads), {**keys, **used})
    source = feature.column
    needs = {} if source is None else {source: _wanted(feature)}
    return Step(feature, None, frozenset(), {**keys, **needs})


def _wanted(feature: AnyFeature) -> ColumnType:
    """The column type that a feature's source has."""
    match feature:
        case Categorical() | Onehot() | Text():
            return ColumnType.STRING
        case Temporal():
            return ColumnType.TIMESTAMP
        case _:
            return ColumnType.FLOAT


# --- inputs ---------------------------------------------------------------------------------------


def inputs_of(step: Step) -> list[Input]:
    """The values that a feature is made of: one, or one per part for texts."""
    feature = step.feature
    match feature:
        case Categorical() | Onehot():
            return [_category_input(feature, category_codes(feature, _values(step)))]
        case Text():
            return list(_text_inputs(feature, _values(step)))
        case Temporal():
            if feature.timezone != "UTC":
                offset_changes(feature.timezone)  # now, so that no batch reads the zone's file
            encode = encodings.temporal(feature.parts, feature.timezone)
            times = _numbers(step) or event_time
            low, high = _TIME_RANGE
            width = len(feature.parts)
            return [Input(feature, times, low=low, high=high, encode=encode, width=width)]
        case Aggregation():
            return [_number_input(feature, window_figures(feature, _numbers(step)))]
        case _:
            load = _numbers(step)
            assert load is not None
            return [_number_input(feature, load)]


def _numbers(step: Step) -> Load | None:
    if step.place is not None:
        return computed_numbers(step.place)
    column = step.feature.column
    return None if column is None else ColumnNumbers(column)


def _values(step: Step) -> Load:
    if step.place is not None:
        return computed_values(step.place)
    assert step.feature.column is not None
    return column_values(step.feature.column)


def _number_input(feature: AnyNumber, load: Load) -> Input:
    shift, scale = 0.0, 1.0
    encode: encodings.Encode | None = None
    low, high = -LARGEST, LARGEST
    match feature:
        case Normalize():
            shift, scale = feature.min, feature.max - feature.min
        case Standardize():
            shift, scale = feature.mean, feature.stddev
        case Log():
            encode, low = encodings.log1p, math.nextafter(-1.0, 0.0)
        case Bucket():
            encode = encodings.bucket(feature.boundaries)
    # What the scaled value cannot be in a float32, the value cannot be either.
    low, high = max(low, shift - LARGEST * scale), min(high, shift + LARGEST * scale)
    if feature.range is not None:
        low, high = max(low, feature.range[0]), min(high, feature.range[1])
    fills = feature.policy in _FILLS
    fill = (feature.default or 0.0) if fills else math.nan
    clip = feature.clip or (-math.inf, math.inf)
    return Input(feature, load, fill, low, high, clip, shift, scale, encode)


def _category_input(feature: Categorical | Onehot, load: Load) -> Input:
    fills = feature.policy in _FILLS
    codes = Codes(feature)
    fill = math.nan
    if fills:
        fill = codes.unknown if feature.default is None else codes[feature.default]
    if isinstance(feature, Categorical):
        return Input(feature, load, fill)
    width = len(feature.suffixes)
    first_code = 0 if feature.unknown == "slot" else 1
    return Input(feature, load, fill, encode=encodings.onehot(first_code, width), width=width)


def _text_inputs(feature: Text, values: Load) -> Iterator[Input]:
    fills = feature.policy in _FILLS
    for part in feature.parts:
        fill = float(MEASURES[part](feature.default or "")) if fills else math.nan
        yield Input(feature, text_measure(part, values), fill)


# --- stages ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages, and where each value of the vector stands in their matrix."""

    program: Program
    stages: tuple[Stage, ...]
    rows: int
    order: np.ndarray[tuple[int], np.dtype[np.intp]]  # matrix row per value of the vector


def plan_of(steps: Sequence[Step], program: Program) -> Plan:
    """The stages: what reads columns only comes first, aggregations as late as they can."""
    used = {feature_key(name) for step in steps for name in step.after}
    place: dict[str, int] = {}
    stages: list[Stage] = []
    computed: set[int] = set()
    free = 0
    for group in _groups(steps):
        part = program.part((s.place for s in group if s.place is not None), computed)
        stage, free = _stage(group, part, free, place, used)
        stages.append(stage)
    order = np.array([place[name] for step in steps for name in step.names], np.intp)
    return Plan(program, tuple(stages), free, order)


def _groups(steps: Sequence[Step]) -> Iterator[list[Step]]:
    waiting = [*steps]
    done: set[str] = set()
    while waiting:
        ready = [step for step in waiting if step.after <= done]
        plain = [step for step in ready if not isinstance(step.feature, Aggregation)]
        group = plain or ready
        yield group
        waiting = [step for step in waiting if step not in group]
        done.update(name for step in group for name in step.names)


def _stage(
    group: Sequence[Step], part: Part, first: int, place: dict[str, int], used: set[str]
) -> tuple[Stage, int]:
    """A stage of these features, its rows placed from ``first`` on; and the next free row."""
    parts = [(step, inputs_of(step)) for step in group]
    row, free = first, first + sum(len(inputs) for _, inputs in parts)
    spread: list[int] = []
    indicators: list[int | None] = []
    for step, inputs in parts:
        names = iter(step.feature.outputs)
        for one in inputs:
            start, free = (row, free) if one.width == 1 else (free, free + one.width)
            place.update((next(names), start + value) for value in range(one.width))
            spread.append(start)
            indicators.append(None)
            row += 1
        if step.feature.policy == "indicator":
            indicators[row - first - len(inputs)] = place[step.names[-1]] = free
            free += 1
    published = [
        (feature_key(name), place[name])
        for step in group
        for name in step.names
        if feature_key(name) in used
    ]
    every = [one for _, inputs in parts for one in inputs]
    return Stage(every, part, first, spread, indicators, published), free
