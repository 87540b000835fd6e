from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gress_ml.batch import Batch
from gress_ml.errors import SnapshotError
from gress_ml.features import FeatureSet, FeatureSetSpec
from gress_ml.features.aggregation import Window
from gress_ml.features.spec import Aggregation

Event = tuple[str, int, float]


def spec(**more: Any) -> Aggregation:
    base = {"name": "f", "type": "aggregation", "function": "sum", "source": "x", "window": "10s"}
    return Aggregation.model_validate({**base, **more})


def observe(events: list[tuple[Any, ...]], **more: Any) -> list[float]:
    keys = [None if key is None else str(key).encode() for key, _, _ in events]
    times = [time for _, time, _ in events]
    values = [float(value) for _, _, value in events]
    figures: list[float] = Window(spec(**more)).observe(keys, times, values).tolist()
    return figures


STREAM: list[tuple[Any, ...]] = [("a", 0, 1), ("a", 4_000, 2), ("b", 5_000, 50), ("a", 10_000, 6)]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("sum", [1, 3, 50, 8]),  # the value at 0 has left the window (0 s, 10 s]
        ("count", [1, 2, 1, 2]),
        ("avg", [1, 1.5, 50, 4]),
        ("min", [1, 1, 50, 2]),
        ("max", [1, 2, 50, 6]),
    ],
)
def test_figures_of_the_window_per_key(function: str, expected: list[float]) -> None:
    assert observe(STREAM, function=function) == expected


def test_ewma_halves_a_value_per_half_life() -> None:
    found = observe([("a", 0, 8), ("a", 2_000, 2)], function="ewma", half_life="2s")
    assert found == [8, pytest.approx((8 * 0.5 + 2) / 1.5)]
    assert observe([("a", 0, 5)], function="ewma", half_life="1ms") == [5]


def test_ewma_of_old_values_does_not_vanish() -> None:
    stream = [("a", 0, 5), ("a", 9_999, math.nan)]
    assert observe(stream, function="ewma", half_life="1ms") == [5, 5]


def test_without_the_current_row_history_is_lagged() -> None:
    found = observe(STREAM, function="avg", include_current=False)
    np.testing.assert_array_equal(found, [math.nan, 1, math.nan, 2])
    assert observe(STREAM, function="count", include_current=False) == [0, 1, 0, 1]


def test_a_missing_value_is_not_counted_and_still_has_a_figure() -> None:
    stream = [("a", 0, 1), ("a", 1, math.nan), ("b", 2, math.nan)]
    assert observe(stream) == [1, 1, 0]
    np.testing.assert_array_equal(observe(stream, function="min"), [1, 1, math.nan])


def test_a_row_without_a_key_has_no_figure() -> None:
    np.testing.assert_array_equal(observe([(None, 0, 1), ("a", 0, 1)]), [math.nan, 1])


def test_events_out_of_order_see_only_their_own_past() -> None:
    stream = [("a", 5_000, 1), ("a", 2_000, 10), ("a", 6_000, 100), ("a", 2_000, 1000)]
    assert observe(stream) == [1, 10, 111, 1010]


def test_a_late_event_is_not_counted_and_has_no_figure() -> None:
    stream = [("a", 10_000, 1), ("a", 8_999, 10), ("a", 9_000, 100), ("a", 10_000, 0)]
    found = observe(stream, allowed_lateness="1s")
    np.testing.assert_array_equal(found, [1, math.nan, 100, 101])


def test_equal_times_count_in_the_order_of_the_log() -> None:
    assert observe([("a", 0, 1), ("a", 0, 2)]) == [1, 3]


def test_of_too_many_values_the_newest_count() -> None:
    stream = [("a", 0, 1), ("a", 1, 2), ("a", 2, 4)]
    assert observe(stream, max_events=2) == [1, 3, 6]


def test_of_too_many_keys_the_one_updated_longest_ago_is_forgotten() -> None:
    stream = [("a", 0, 1), ("b", 0, 1), ("a", 0, 1), ("c", 0, 1), ("a", 0, 1), ("b", 0, 1)]
    assert observe(stream, max_keys=2) == [1, 1, 2, 1, 3, 1]


def test_keys_are_forgotten_by_event_time() -> None:
    window = Window(spec(window="1s", allowed_lateness="1s"))
    for time in range(0, 100_000, 100):
        window.observe([f"key-{time}".encode()], [time], [1.0])
    assert len(window) == 20  # those of the last 2 seconds


def brute_force(events: list[Event], function: str, window: int, lateness: int) -> list[float]:
    figures, counted, newest = [], [], -(2**63)
    for event in events:
        key, time, _ = event
        if time < newest - lateness:
            figures.append(math.nan)
            continue
        newest = max(newest, time)
        counted.append(event)
        seen = [e for e in sorted(counted, key=lambda e: e[1]) if e[0] == key]
        values = [v for _, t, v in seen if time - window < t <= time]
        figures.append(
            {
                "sum": math.fsum(values),
                "avg": math.fsum(values) / len(values),
                "min": min(values),
                "max": max(values),
                "count": float(len(values)),
            }[function]
        )
    return figures


EVENTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 30_000), st.integers(-9, 9).map(float)),
    max_size=25,
)


@given(EVENTS, st.sampled_from(["sum", "avg", "min", "max", "count"]), st.integers(0, 12))
def test_figures_are_those_of_the_definition(
    events: list[Event], function: str, lateness: int
) -> None:
    found = observe([*events], function=function, allowed_lateness=lateness)
    np.testing.assert_array_equal(
        found, brute_force(events, function, window=10_000, lateness=lateness * 1000)
    )


@pytest.mark.parametrize("function", ["sum", "avg", "min", "max", "count"])
def test_figures_of_long_streams_in_order_are_those_of_the_definition(function: str) -> None:
    dice = random.Random(17)
    times = sorted(dice.randrange(60_000) for _ in range(400))
    events = [(dice.choice("ab"), time, float(dice.randrange(9))) for time in times]
    found = observe([*events], function=function)
    np.testing.assert_array_equal(found, brute_force(events, function, 10_000, 10_000))


def test_of_too_many_values_the_newest_count_also_in_long_streams() -> None:
    figures = observe([("a", time, 1) for time in range(50)], max_events=11)
    assert figures == [min(number, 11) for number in range(1, 51)]


def batch_of(events: list[Event]) -> Batch:
    return Batch.of(
        {"x": np.array([value for _, _, value in events], float)},
        event_time_ms=[time for _, time, _ in events],
        keys=[key.encode() for key, _, _ in events],
    )


def windows(*features: dict[str, Any]) -> FeatureSet:
    base = {"type": "aggregation", "source": "x", "window": "10s", "missing": "keep"}
    return FeatureSet(
        FeatureSetSpec.model_validate({"features": [{**base, **feature} for feature in features]})
    )


BOTH = ({"name": "s", "function": "sum"}, {"name": "e", "function": "ewma"})


@given(EVENTS.filter(len), st.data())
def test_a_restart_at_any_row_does_not_show(events: list[Event], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(events)))
    features, batch = windows(*BOTH), batch_of(events)
    whole, _ = features.transform(batch, features.new_state())
    before, after = features.new_state(), features.new_state()
    first, _ = features.transform(batch.take(np.arange(at)), before)
    after.restore(before.snapshot())
    second, _ = features.transform(batch.take(np.arange(at, len(events))), after)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)


def test_an_aggregation_defined_differently_starts_empty() -> None:
    old, new = windows(*BOTH), windows({"name": "s", "function": "sum", "window": "20s"}, BOTH[1])
    batch = batch_of([("a", 0, 5.0)])
    state, restored = old.new_state(), new.new_state()
    old.transform(batch, state)
    restored.restore(state.snapshot())
    assert new.transform(batch, restored)[0].tolist() == [[5, 5]]
    assert [len(window) for window in restored.windows.values()] == [1, 1]


@pytest.mark.parametrize("data", [b"", b"junk", b"\x81\xa1s\x01"])
def test_bytes_that_are_no_snapshot_are_refused(data: bytes) -> None:
    with pytest.raises(SnapshotError):
        windows(*BOTH).new_state().restore(data)


def test_a_row_that_another_feature_rejects_is_not_counted() -> None:
    features = FeatureSet(
        FeatureSetSpec.model_validate(
            {
                "features": [
                    {
                        "name": "n",
                        "type": "aggregation",
                        "function": "count",
                        "window": 60,
                        "key": "k",
                    },
                    {"name": "x", "type": "numerical", "range": [0, 1]},
                ]
            }
        )
    )
    batch = Batch.of({"k": np.array(["a"] * 3, object), "x": np.array([0.0, 5.0, 1.0])})
    vectors, rejected = features.transform(batch)
    assert [row.code for row in rejected] == ["out_of_range"]
    assert vectors[[0, 2]].tolist() == [[1, 0], [2, 1]]


def test_a_key_with_a_missing_part_has_no_figure() -> None:
    features = windows({"name": "s", "function": "sum", "key": ["k", "n"]})
    columns = {"k": np.array(["a", None, "a"], object), "n": np.array([1, 1, 1])}
    vectors, _ = features.transform(Batch.of({**columns, "x": np.array([1.0, 2.0, 4.0])}))
    np.testing.assert_array_equal(vectors, [[1], [math.nan], [5]])


def test_infinite_values_are_not_counted() -> None:
    events = [("a", 0, 1.0), ("a", 0, math.inf), ("a", 0, 1e308), ("a", 0, 2.0)]
    vectors, rejected = windows({"name": "s", "function": "sum"}).transform(batch_of(events))
    assert vectors[:, 0].tolist() == [1, 1, 1, 3]
    assert not rejected


@pytest.mark.parametrize(
    "fault",
    [
        {"function": "median"},
        {"window": 0},
        {"window": "-1s"},
        {"half_life": "1s"},
        {"source": None},
    ],
)
def test_a_definition_without_sense_is_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**fault)
