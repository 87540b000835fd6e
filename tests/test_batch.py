from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.batch import Batch, concat, joint, place_of


def batch(rows: int = 4, first: int = 10, **columns: Any) -> Batch:
    vectors = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    return Batch.of(
        {"x": np.arange(rows, dtype=np.float64), "v": vectors, **columns},
        partition=2,
        first_offset=first,
        event_time_ms=range(100, 100 + rows),
        keys=[str(i).encode() for i in range(rows)],
    )


def rows_of(some: Batch) -> list[tuple[Any, ...]]:
    return list(
        zip(
            some.offsets.tolist(),
            some.event_time_ms.tolist(),
            some.keys,
            some["x"].tolist(),
            some["v"].tolist(),
            strict=True,
        )
    )


def test_columns_cannot_be_written() -> None:
    some = batch()
    with pytest.raises(ValueError, match="read-only"):
        some["x"][0] = 9
    with pytest.raises(TypeError):
        some.columns["y"] = some["x"]  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        some.topic = "other"  # type: ignore[misc]


def test_the_caller_keeps_its_own_array() -> None:
    mine = np.zeros(2)
    Batch.of({"x": mine})
    mine[0] = 1
    assert mine.flags.writeable


@pytest.mark.parametrize("rows", [0, 3, 5])
def test_every_column_has_as_many_rows_as_the_batch(rows: int) -> None:
    with pytest.raises(ValueError, match=f"'y' has {rows} rows, the batch has 4"):
        batch(y=np.zeros(rows))


def test_with_columns_adds_and_replaces_and_leaves_the_original() -> None:
    some = batch()
    other = some.with_columns({"x": np.zeros(4), "y": np.ones(4)})
    assert "y" in other
    assert "y" not in some
    assert other["x"].tolist() == [0] * 4
    assert some["x"].tolist() == [0, 1, 2, 3]
    assert not other["y"].flags.writeable
    assert other.offsets is some.offsets


def test_degraded_systems_gather() -> None:
    some = batch().with_degraded("a").with_degraded("b", "a")
    assert some.degraded == {"a", "b"}
    assert some.take(np.array([0])).degraded == {"a", "b"}
    assert concat(batch(), some).degraded == {"a", "b"}


@given(st.lists(st.booleans(), max_size=8))
def test_a_mask_takes_whole_rows_in_order(mask: list[bool]) -> None:
    some = batch(len(mask))
    taken = some.take(np.array(mask, np.bool_))
    assert rows_of(taken) == [row for row, keep in zip(rows_of(some), mask, strict=True) if keep]


@given(st.lists(st.integers(0, 4), max_size=8))
def test_an_index_takes_whole_rows_in_its_order(index: list[int]) -> None:
    some = batch(5)
    taken = some.take(np.array(index, np.intp))
    assert rows_of(taken) == [rows_of(some)[i] for i in index]


@given(st.integers(0, 6), st.integers(0, 6))
def test_what_is_cut_and_joined_is_the_same(rows: int, cut: int) -> None:
    some = batch(rows)
    at = min(cut, rows)
    first, second = some.cut(0, at), some.take(np.arange(at, rows))
    joined = concat(first, second)
    assert rows_of(joined) == rows_of(some)
    assert {name: c.dtype for name, c in joined.columns.items()} == {
        name: c.dtype for name, c in some.columns.items()
    }
    assert (joined.topic, joined.partition) == (some.topic, some.partition)


@given(st.integers(0, 6), st.integers(0, 6), st.booleans())
def test_a_cut_has_the_rows_that_an_index_takes(start: int, stop: int, several: bool) -> None:
    some = joint(batch(6)) if several else batch(6)
    cut, taken = some.cut(start, stop), some.take(np.arange(start, stop))
    assert rows_of(cut) == rows_of(taken)
    assert [part.tolist() for part in place_of(joint(cut))] == [
        part.tolist() for part in place_of(joint(taken))
    ]


@pytest.mark.parametrize(
    "made",
    [
        lambda some: some.take(np.array([1])),
        lambda some: some.cut(0, 1),
        lambda some: concat(some, some),
        joint,
        lambda some: some.only({"x": np.zeros(4)}),
    ],
    ids=["take", "cut", "concat", "joint", "only"],
)
def test_what_is_made_of_a_batch_cannot_be_written_either(made: Callable[[Batch], Batch]) -> None:
    some = made(batch())
    with pytest.raises(ValueError, match="read-only"):
        some["x"][0] = 9
    with pytest.raises(TypeError):
        some.columns["y"] = some["x"]  # type: ignore[index]


def test_only_keeps_the_rows_and_no_other_column() -> None:
    mine = np.zeros(4)
    some = batch().with_degraded("a")
    only = some.only({"y": mine})
    assert [*only.columns] == ["y"]
    assert (only.offsets.tolist(), only.keys) == (some.offsets.tolist(), some.keys)
    assert only.degraded == {"a"}
    assert mine.flags.writeable
    with pytest.raises(ValueError, match="'y' has 3 rows, the batch has 4"):
        some.only({"y": np.zeros(3)})


def test_a_batch_of_nothing() -> None:
    empty = Batch.of({})
    assert len(empty) == 0
    assert len(empty.take(np.empty(0, np.intp))) == 0


def test_columns_known_to_be_sound_make_the_same_batch() -> None:
    checked = Batch.of({"x": np.array([1.0, 2.0])}, topic="t", partition=3, first_offset=5)
    made = Batch.proven(
        checked.topic,
        checked.partition,
        checked.offsets,
        checked.event_time_ms,
        checked.keys,
        checked.copied_columns(),
    )
    assert {**made.columns} == {**checked.columns}
    assert made.degraded == checked.degraded
    assert made.take(np.array([1])).offsets.tolist() == [6]


def test_a_column_that_is_dropped_stays_in_the_batch_it_was_dropped_from() -> None:
    batch = Batch.of({"x": np.array([1.0]), "y": np.array([2.0])}).with_degraded("a")
    without = batch.without_column("y")
    assert [*without.columns] == ["x"]
    assert [*batch.columns] == ["x", "y"]
    assert without.degraded == {"a"}


def test_copied_columns_are_the_caller_s_own() -> None:
    batch = Batch.of({"x": np.array([1.0])})
    batch.copied_columns()["y"] = np.array([2.0])
    assert "y" not in batch
