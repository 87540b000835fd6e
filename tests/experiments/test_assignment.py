"""The strategies: which arm, how likely, and what becomes of a row without an id."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gress_ml.batch import Batch
from gress_ml.experiments import Assigner, Assignment, MissingKey, Split, Strategy, ids_of

SPLIT = Split.of({"control": 80, "treatment": 20})
ROWS = 50_000
STRATEGIES: tuple[Strategy, ...] = ("random", "hash", "percentage", "user_id", "legacy_fnv")


def batch(rows: int = ROWS, partition: int = 0) -> Batch:
    made = Batch.of({"id": np.array([f"user-{row}" for row in range(rows)], object)})
    return replace(made, topic="payments", partition=partition)


def assigned(strategy: Strategy, rows: Batch, split: Split = SPLIT) -> Assignment:
    return Assigner(strategy, "fraud-test").assign(split, rows, ids_of(rows["id"]))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_replay_chooses_the_same(strategy: Strategy) -> None:
    first, second = (assigned(strategy, batch(1000)) for _ in range(2))
    assert first.arms.tolist() == second.arms.tolist()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_propensity_is_how_often_the_arm_is_chosen(strategy: Strategy) -> None:
    found = assigned(strategy, batch())
    for arm, share in enumerate((0.8, 0.2)):
        chosen = found.arms == arm
        assert np.all(found.propensity[chosen] == share)
        assert abs(chosen.mean() - share) < 0.01


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_whoever_has_an_arm_keeps_it_when_its_share_grows(strategy: Strategy) -> None:
    grown = SPLIT.changed({"control": 50, "treatment": 50})
    before, after = assigned(strategy, batch()), assigned(strategy, batch(), grown)
    assert np.all(after.arms[before.arms == 1] == 1)
    assert np.any(after.arms != before.arms)


@pytest.mark.parametrize("strategy", ["hash", "user_id", "legacy_fnv"])
def test_an_id_has_its_arm_wherever_its_event_stands(strategy: Strategy) -> None:
    rows = batch(1000)
    there = assigned(strategy, replace(rows, partition=5, offsets=rows.offsets + 77))
    assert there.arms.tolist() == assigned(strategy, rows).arms.tolist()


@pytest.mark.parametrize("strategy", ["random", "percentage"])
def test_an_event_has_its_arm_whatever_its_id(strategy: Strategy) -> None:
    rows = batch(1000)
    other = rows.with_columns({"id": np.full(1000, "same", object)})
    assert assigned(strategy, rows).arms.tolist() == assigned(strategy, other).arms.tolist()


def test_a_number_is_split_as_its_digits() -> None:
    numbers, texts = np.array([1, 42, -7]), np.array(["1", "42", "-7"], object)
    assert ids_of(numbers) == ids_of(texts) == [b"1", b"42", b"-7"]


def test_a_lone_surrogate_is_an_id_like_others() -> None:
    ids = ids_of(np.array(["a", "\ud800", None], object))
    assert ids[0] == b"a"
    assert ids[1] is not None
    assert ids[2] is None


@pytest.mark.parametrize(
    ("policy", "arms", "propensity"),
    [("default_arm", {1}, {1.0}), ("by_event", {0, 1}, {0.8, 0.2}), ("reject", None, None)],
)
def test_rows_without_an_id_follow_their_policy(
    policy: MissingKey, arms: set[int] | None, propensity: set[float] | None
) -> None:
    rows = batch(400)
    keys = [None if row % 2 else key for row, key in enumerate(ids_of(rows["id"]))]
    found = Assigner("hash", "fraud-test", policy, default_arm=1).assign(SPLIT, rows, keys)
    assert found.missing is not None
    assert np.flatnonzero(found.missing).tolist() == [*range(1, 400, 2)]
    if arms is not None:
        assert {*found.arms[found.missing].tolist()} == arms
        assert {*found.propensity[found.missing].tolist()} == propensity
    with_ids = Assigner("hash", "fraud-test").assign(SPLIT, rows, ids_of(rows["id"]))
    known = ~found.missing
    assert found.arms[known].tolist() == with_ids.arms[known].tolist()


def test_without_rows_there_is_nothing_to_assign() -> None:
    for strategy in STRATEGIES:
        assert len(assigned(strategy, batch(0)).arms) == 0


def test_the_legacy_propensity_is_that_of_a_hundred_buckets() -> None:
    split = Split.of({"a": 99.5, "b": 0.5})
    found = assigned("legacy_fnv", batch(1000), split)
    assert {*found.arms.tolist()} == {0}  # half a percent is less than FNV modulo 100 can tell
    assert {*found.propensity.tolist()} == {1.0}
