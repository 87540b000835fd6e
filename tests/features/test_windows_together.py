"""Rows that are taken together have the figures of rows taken one by one: those of the law."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.features.aggregation import Window
from gress_ml.features.spec import Aggregation

Row = tuple[bytes | None, int, float]

SPECS = st.fixed_dictionaries(
    {
        "function": st.sampled_from(["sum", "count", "avg", "min", "max", "ewma"]),
        "window": st.sampled_from(["1ms", "50ms", "2s"]),
        "allowed_lateness": st.sampled_from(["0s", "20ms", "2s"]),
        "include_current": st.booleans(),
        "max_events": st.sampled_from([1, 3, 10, 1024]),
        "max_keys": st.sampled_from([1, 5, 30, 100_000]),
    }
)
SHAPES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "rows": st.integers(0, 400),
        "keys": st.sampled_from([1, 4, 25, 200]),
        "back": st.sampled_from([0, 5, 60]),  # ms that a row may be behind
        "spread": st.sampled_from([0, 1, 30]),  # powers of 10 between values
        "lacking": st.sampled_from([0.0, 0.2]),  # share without a value, and without a key
    }
)


def spec_of(**more: Any) -> Aggregation:
    base = {"name": "f", "type": "aggregation", "function": "sum", "source": "x", "window": "10s"}
    return Aggregation.model_validate({**base, **more})


def rows_of(shape: dict[str, Any]) -> list[Row]:
    chance = np.random.default_rng(shape["seed"])
    count, spread = shape["rows"], shape["spread"]
    keys = [b"%d" % key for key in chance.integers(0, shape["keys"], count)]
    times = np.arange(count) - chance.integers(0, shape["back"] + 1, count)
    values = chance.normal(size=count) * 10.0 ** chance.integers(-spread, spread + 1, count)
    values[chance.random(count) < 0.1] = -0.0
    values[chance.random(count) < shape["lacking"]] = math.nan
    keyless = (chance.random(count) < shape["lacking"]).tolist()
    named = [None if lacks else key for key, lacks in zip(keys, keyless, strict=True)]
    return list(zip(named, times.tolist(), values.tolist(), strict=True))


def figure_of(values: Sequence[tuple[int, float]], spec: Aggregation) -> float:
    numbers = [value for _, value in values]
    match spec.function:
        case "count":
            return float(len(values))
        case "sum":
            return math.fsum(numbers)
        case "avg":
            return math.fsum(numbers) / len(numbers) if numbers else math.nan
        case "min":
            return min(numbers, default=math.nan) + 0.0  # the positive one of zeros
        case "max":
            return max(numbers, default=math.nan) + 0.0
        case "ewma":
            weights = [2.0 ** ((t - values[-1][0]) / (spec.window * 500)) for t, _ in values]
            weighted = math.fsum(w * v for w, v in zip(weights, numbers, strict=True))
            return weighted / math.fsum(weights) if numbers else math.nan


def by_the_law(rows: Sequence[Row], spec: Aggregation) -> Iterator[float]:
    """Nothing is let go of but what the law says, and each row looks through all of its key."""
    held: OrderedDict[bytes, list[tuple[int, float]]] = OrderedDict()
    length, newest = spec.window * 1000, -(2**63)
    lateness = 1000 * (spec.window if spec.allowed_lateness is None else spec.allowed_lateness)
    for key, time, value in rows:
        newest = max(newest, time)
        if key is None or time < newest - lateness:
            yield math.nan
            continue
        before = held.get(key, [])
        after = before
        if not math.isnan(value):
            after = sorted([*before, (time, value)], key=lambda pair: pair[0])[-spec.max_events :]
            held[key] = after
            held.move_to_end(key)
            if len(held) > spec.max_keys:
                held.popitem(last=False)
        seen = after if spec.include_current else before
        yield figure_of([pair for pair in seen if time - length < pair[0] <= time], spec)


def observed(window: Window, rows: Sequence[Row]) -> list[float]:
    keys, times, values = zip(*rows, strict=True) if rows else ((), (), ())
    figures: list[float] = window.observe(keys, times, values).tolist()
    return figures


def exactly(figures: Sequence[float]) -> list[str]:
    return [figure.hex() for figure in figures]


@given(SPECS, SHAPES, st.lists(st.integers(0, 400), max_size=5), st.booleans())
def test_figures_are_those_of_the_law_however_rows_are_cut(
    form: dict[str, Any], shape: dict[str, Any], cuts: list[int], restarts: bool
) -> None:
    spec, rows = spec_of(**form), rows_of(shape)
    window, found = Window(spec), list[float]()
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    for first, last in pairwise(edges):
        found += observed(window, rows[first:last])
        if restarts:
            saved, window = window.save(), Window(spec)
            window.load(saved)
            assert window.save() == saved
    assert exactly(found) == exactly([*by_the_law(rows, spec)])


@given(SPECS, SHAPES)
def test_what_is_saved_does_not_depend_on_the_cuts(
    form: dict[str, Any], shape: dict[str, Any]
) -> None:
    spec, rows = spec_of(**form), rows_of(shape)
    together, one_by_one = Window(spec), Window(spec)
    observed(together, rows)
    for row in rows:
        observed(one_by_one, [row])
    assert together.save() == one_by_one.save()


def test_one_key_alone_is_taken_together_too() -> None:
    rows: list[Row] = [(b"a", time, 0.1) for time in range(5000)]
    spec = spec_of(window="2s", max_events=100)
    assert exactly(observed(Window(spec), rows)) == exactly([*by_the_law(rows, spec)])


def test_keys_that_come_and_go_use_the_same_memory_again() -> None:
    window, sizes = Window(spec_of(max_keys=50)), set[int]()
    for turn in range(200):
        observed(window, [(b"%d" % (turn * 40 + row // 3), turn, 1.0) for row in range(120)])
        sizes.add(window.room)
    assert len(window) == 50
    assert max(sizes) <= 50 * 16


@pytest.mark.parametrize("times", [(-(2**63), 2**63 - 2), (2**63 - 2, -(2**63))])
def test_times_at_the_ends_of_the_clock_do_not_wrap(times: tuple[int, int]) -> None:
    rows: list[Row] = [(b"a", times[row // 50], 1.0) for row in range(100)]
    spec = spec_of()
    assert exactly(observed(Window(spec), rows)) == exactly([*by_the_law(rows, spec)])


def test_keys_that_make_way_together_are_those_of_the_law() -> None:
    shape = {"seed": 1, "rows": 4000, "keys": 900, "back": 2, "spread": 0, "lacking": 0.1}
    rows, spec = rows_of(shape), spec_of(max_keys=600)
    window = Window(spec)
    found = [f for at in range(0, 4000, 50) for f in observed(window, rows[at : at + 50])]
    assert exactly(found) == exactly([*by_the_law(rows, spec)])
