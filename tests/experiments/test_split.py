"""Which arm has which bucket: exact shares, and the fewest moves from one split to the next."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.experiments import BUCKETS, Split

ARMS = ("a", "b", "c", "d")
#: Weights of two to four arms; some of them are nothing.
WEIGHTS = st.integers(2, 4).flatmap(
    lambda arms: st.lists(
        st.one_of(st.just(0.0), st.floats(0.01, 100.0), st.integers(1, 100).map(float)),
        min_size=arms,
        max_size=arms,
    ).filter(
        lambda weights: all(w == 0 or w / sum(weights) > 2e-4 for w in weights) and any(weights)
    )
)
#: Splits of the same arms, one after the other.
HISTORIES = st.integers(2, 4).flatmap(
    lambda arms: st.lists(
        st.lists(st.integers(0, 100), min_size=arms, max_size=arms).filter(any),
        min_size=2,
        max_size=6,
    )
)


def named(weights: list[float]) -> Mapping[str, float]:
    return dict(zip(ARMS, map(float, weights), strict=False))


@given(WEIGHTS)
def test_every_arm_has_its_share_to_a_bucket(weights: list[float]) -> None:
    split = Split.of(named(weights))
    exact = np.array(weights) / sum(weights) * BUCKETS
    assert split.sizes.sum() == BUCKETS
    assert np.all(np.abs(split.sizes - exact) < 1 + 1e-6)
    assert [size == 0 for size in split.sizes] == [weight == 0 for weight in weights]


@given(HISTORIES)
def test_an_arm_that_gets_no_fewer_buckets_keeps_all_it_had(history: list[list[int]]) -> None:
    split = Split.of(named(history[0]))
    for weights in history[1:]:
        after = split.changed(named(weights))
        for arm in range(len(split.arms)):
            had, has = split.owners == arm, after.owners == arm
            if has.sum() >= had.sum():
                assert np.all(has[had])
            else:
                assert np.all(had[has])  # one that gets fewer gets no other ones
        split = after


@given(HISTORIES)
def test_an_arm_whose_share_grows_by_a_bucket_keeps_all_it_had(history: list[list[int]]) -> None:
    split = Split.of(named(history[0]))
    for before, weights in pairwise(history):
        after = split.changed(named(weights))
        for arm, (old, new) in enumerate(zip(before, weights, strict=True)):
            if new / sum(weights) - old / sum(before) >= 1 / BUCKETS:
                assert np.all((after.owners == arm)[split.owners == arm])
        split = after


@given(HISTORIES)
def test_no_change_moves_more_buckets_than_it_must(history: list[list[int]]) -> None:
    split = Split.of(named(history[0]))
    for weights in history[1:]:
        after = split.changed(named(weights))
        gained = np.maximum(after.sizes - split.sizes, 0).sum()
        assert split.moved(after) == gained
        assert after.sizes.tolist() == Split.of(named(weights)).sizes.tolist()
        split = after


@given(HISTORIES)
def test_a_split_is_what_its_ranges_say(history: list[list[int]]) -> None:
    split = Split.of(named(history[0]))
    for weights in history[1:]:
        split = split.changed(named(weights))
    again = Split.from_ranges(split.arms, split.ranges)
    assert split.moved(again) == 0


def test_ten_percent_to_twenty_five_moves_fifteen() -> None:
    split = Split.of({"control": 90, "treatment": 10})
    after = split.changed({"control": 75, "treatment": 25})
    assert split.moved(after) == 1500
    assert np.all(after.owners[split.owners == 1] == 1)


def test_the_same_weights_move_nothing() -> None:
    split = Split.of({"a": 1, "b": 1, "c": 1})
    assert split.sizes.tolist() == [3334, 3333, 3333]
    assert split.moved(split.changed({"a": 2.0, "b": 2.0, "c": 2.0})) == 0


def test_rounding_of_floats_costs_no_bucket() -> None:
    assert Split.of({"a": 29.0, "b": 71.0}).sizes.tolist() == [2900, 7100]
    assert Split.of({"a": 0.1 + 0.2, "b": 0.7}).sizes.tolist() == [3000, 7000]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": -1.0, "b": 2.0}, "weight -1.0 of arm 'a'"),
        ({"a": float("nan"), "b": 2.0}, "weight nan of arm 'a'"),
        ({"a": 0.0, "b": 0.0}, "above 0"),
        ({}, "above 0"),
        ({"a": 1e308, "b": 1e308}, "finite sum"),
        ({"a": 1.0, "b": 100_000.0}, "below 1/10000"),
    ],
)
def test_weights_that_are_no_split_are_refused(weights: Mapping[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Split.of(weights)


@pytest.mark.parametrize("weights", [{"a": 1.0}, {"a": 1.0, "c": 1.0}, {"a": 1, "b": 1, "c": 1}])
def test_a_change_names_the_same_arms(weights: Mapping[str, float]) -> None:
    with pytest.raises(ValueError, match="one for each of"):
        Split.of({"a": 1.0, "b": 1.0}).changed(weights)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"a": [(0, 10_000)], "z": [(0, 1)]}, "unknown arm 'z'"),
        ({"a": [(0, 9_999)]}, "bucket 9999 has no arm"),
        ({"a": [(0, 10_000)], "b": [(5, 6)]}, "buckets 5 to 6 of arm 'b' have an arm already"),
        ({"a": [(0, 10_001)]}, "the end is after the start"),
        ({"a": [(-1, 10_000)]}, "the end is after the start"),
        ({"a": [(5, 5), (0, 10_000)]}, "the end is after the start"),
    ],
)
def test_ranges_that_do_not_give_each_bucket_to_one_arm_are_refused(
    ranges: Mapping[str, list[tuple[int, int]]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Split.from_ranges(("a", "b"), ranges)
