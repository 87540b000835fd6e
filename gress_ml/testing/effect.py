"""Effect: all that a run of batches brought about, in a form that can be compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gress_ml.batch import Array, Batch
from gress_ml.metrics import Kind
from gress_ml.operator import Output, in_one_go

#: How far numbers may differ where a model may add in another order for another batch size.
RELATIVE, ABSOLUTE = 1e-5, 1e-6


@dataclass(frozen=True, slots=True)
class Effect:
    """Rows, rejects, writes, publications and counters of one or more outputs, however they were
    batched."""

    offsets: list[int]
    keys: list[bytes | None]
    times: list[int]
    columns: Mapping[str, list[Any]]
    rejected: list[tuple[int, str, str]]
    writes: Mapping[tuple[str, tuple[str, ...]], Mapping[bytes, list[float]]]
    sides: Mapping[str, Effect]
    counters: Mapping[tuple[str, tuple[str, ...]], float]
    published: list[tuple[str, str, Mapping[str, bytes]]]


def effect_of(outputs: Sequence[Output]) -> Effect:
    """What the outputs did together, their work for later done."""
    effect = _rows_effect([output.batch for output in outputs])
    late = [
        (later.side, in_one_go(later.stages(later.batch))) for o in outputs for later in o.later
    ]
    parts = [*(part for output in outputs for part in output.side.items())]
    parts += [(name, output.batch) for name, output in late]
    names = sorted({name for name, _ in parts})
    sides = {name: _rows_effect([side for of, side in parts if of == name]) for name in names}
    rejected = [(r.offset, r.code, r.message) for output in outputs for r in output.rejected]
    return Effect(
        effect.offsets,
        effect.keys,
        effect.times,
        effect.columns,
        sorted(rejected),
        _writes(outputs),
        {name: side for name, side in sides.items() if side.offsets},
        _counters([*outputs, *(output for _, output in late)]),
        [(p.name, p.version, dict(p.files)) for output in outputs for p in output.publications],
    )


def _rows_effect(batches: Sequence[Batch]) -> Effect:
    columns: dict[str, list[Any]] = {}
    for batch in batches:
        if len(batch):  # an empty batch may lack the columns that the operator adds
            for name, column in batch.columns.items():
                columns.setdefault(name, []).extend(_values(column))
    return Effect(
        [offset for batch in batches for offset in batch.offsets.tolist()],
        [key for batch in batches for key in batch.keys],
        [time for batch in batches for time in batch.event_time_ms.tolist()],
        columns,
        [],
        {},
        {},
        {},
        [],
    )


def _values(column: Array) -> list[Any]:
    return list(column.tolist())


def _writes(
    outputs: Sequence[Output],
) -> dict[tuple[str, tuple[str, ...]], dict[bytes, list[float]]]:
    writes: dict[tuple[str, tuple[str, ...]], dict[bytes, list[float]]] = {}
    for output in outputs:
        for write in output.writes:
            table = writes.setdefault((write.table, write.fields), {})
            table.update(zip(write.keys, write.rows.tolist(), strict=True))
    return {table: rows for table, rows in writes.items() if rows}


def _counters(outputs: Sequence[Output]) -> dict[tuple[str, tuple[str, ...]], float]:
    counters: dict[tuple[str, tuple[str, ...]], float] = {}
    for output in outputs:
        for measure in output.measures:
            if measure.metric.kind is Kind.COUNTER:
                name = (measure.metric.name, measure.labels)
                counters[name] = counters.get(name, 0.0) + measure.value
    return {name: value for name, value in counters.items() if value}


def assert_same(found: Effect, expected: Effect, what: str, *, exact: bool = False) -> None:
    """Raises AssertionError, naming what differs; numbers may differ slightly unless ``exact``."""
    for name in Effect.__slots__:
        _assert_alike(getattr(found, name), getattr(expected, name), f"{what}: {name}", exact)


def _assert_alike(found: Any, expected: Any, where: str, exact: bool) -> None:
    if isinstance(expected, Effect) and isinstance(found, Effect):
        assert_same(found, expected, where, exact=exact)
    elif isinstance(expected, Mapping) and isinstance(found, Mapping):
        assert set(found) == set(expected), f"{where}: {sorted(found)} is not {sorted(expected)}"
        for name in expected:
            _assert_alike(found[name], expected[name], f"{where}[{name!r}]", exact)
    elif isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        assert len(found) == len(expected), f"{where}: {found} is not {expected}"
        for position, value in enumerate(expected):
            _assert_alike(found[position], value, f"{where}[{position}]", exact)
    else:
        assert alike(found, expected, exact=exact), f"{where}: {found!r} is not {expected!r}"


def alike(found: Any, expected: Any, *, exact: bool = False) -> bool:
    """Whether two plain values are equal; NaN equals NaN."""
    if isinstance(found, bool) or isinstance(expected, bool) or not _are_numbers(found, expected):
        return bool(found == expected)
    if math.isnan(found) or math.isnan(expected):
        return math.isnan(found) and math.isnan(expected)
    if exact or found == expected:
        return bool(found == expected)
    return math.isclose(found, expected, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float | np.number) for value in values)
