"""Rows as river takes them, and who is held out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml import Column, ColumnType, FeatureVector, SchemaError, columns_of
from gress_ml.learning.holdout import held_out_offsets, held_out_values
from gress_ml.learning.rows import Features, feature_columns, labels_of
from gress_ml.learning.task import Classification, Regression
from gress_ml.testing import batch_of

COLUMNS = columns_of(
    [
        Column("v", ColumnType.VECTOR, features=FeatureVector(("a", "b"), "f")),
        Column("bare", ColumnType.VECTOR),
        Column("x", ColumnType.FLOAT, nullable=True),
        Column("n", ColumnType.INT),
        Column("t", ColumnType.STRING, nullable=True),
        Column("on", ColumnType.BOOL),
        Column("j", ColumnType.JSON, nullable=True),
        Column("at", ColumnType.TIMESTAMP),
    ]
)


def features(*names: str, missing: Any = "reject") -> Features:
    return Features(feature_columns(COLUMNS, names), missing)


def batch(*rows: dict[str, Any]) -> Any:
    whole = {"v": [0.0, 0.0], "bare": [0.0], "n": 0, "on": False, "at": 0}
    return batch_of([{**whole, **row} for row in rows], COLUMNS)


def test_a_vector_is_a_mapping_by_the_names_of_its_features() -> None:
    found, faults = features("v").read(batch({"v": [1.0, 2.0]}))
    assert ([*found], faults) == ([{"a": 1.0, "b": 2.0}], {})


def test_columns_are_a_mapping_by_their_names_and_keep_their_types() -> None:
    rows, _ = features("x", "n", "t", "on").read(batch({"x": 1.5, "n": 2, "t": "u", "on": True}))
    found = [*rows]
    assert found == [{"x": 1.5, "n": 2, "t": "u", "on": True}]
    assert [type(value) for value in found[0].values()] == [float, int, str, bool]


def test_a_missing_value_is_a_fault_or_is_left_out() -> None:
    rows = batch({"x": None, "t": "u"}, {"x": 1.0, "t": None}, {"x": 1.0, "t": "u"})
    found, faults = features("x", "t").read(rows)
    assert {row: code for row, (code, _) in faults.items()} == {
        0: "missing_features",
        1: "missing_features",
    }
    found, faults = features("x", "t", missing="omit").read(rows)
    assert ([*found], faults) == ([{"t": "u"}, {"x": 1.0}, {"x": 1.0, "t": "u"}], {})


def test_infinity_is_a_fault_always() -> None:
    for missing in ("reject", "omit"):
        _, faults = features("x", missing=missing).read(batch({"x": np.inf}, {"x": 1.0}))
        assert faults == {0: ("out_of_range", "feature 'x' is infinite")}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("v", "x"), "stands alone"),
        (("bare",), "does not say which features"),
        (("j",), "is json, which is no feature"),
        (("at",), "is timestamp, which is no feature"),
    ],
)
def test_columns_that_are_no_features_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        feature_columns(COLUMNS, names)


def labels(column: str, task: Any, *values: Any) -> tuple[list[Any], list[int]]:
    found, faults = labels_of(COLUMNS[column], task).read(
        batch(*({column: value} for value in values))
    )
    return found, sorted(faults)


def test_labels_of_two_classes_are_false_and_true_to_river() -> None:
    two = Classification(("slow", "fast"))
    assert labels("t", two, "slow", "fast", None)[0] == [False, True, None]
    assert labels("t", two, "slow", "other", "")[1] == [1, 2]


def test_labels_may_be_numbers_booleans_or_any_json() -> None:
    digits = Classification(("0", "1"))
    assert labels("x", digits, 0.0, 1.0, None)[0] == [False, True, None]
    assert labels("n", digits, 0, 1)[0] == [False, True]
    assert labels("on", Classification(("false", "true")), False, True)[0] == [False, True]
    mixed = Classification(("true", "1", "x"))
    assert labels("j", mixed, True, 1, 1.0, "x", None)[0] == ["true", "1", "1", "x", None]
    assert labels("j", mixed, [1], {"a": 1}, 0.5, False)[1] == [0, 1, 2, 3]


def test_labels_of_values_are_finite_numbers() -> None:
    values = Regression()
    assert labels("x", values, 1.5, None)[0] == [1.5, None]
    assert labels("x", values, np.inf, 1.0)[1] == [0]
    assert labels("n", values, 3)[0] == [3.0]
    assert labels("j", values, 1, True, None)[0] == [1.0, 1.0, None]
    assert labels("j", values, "1", [1], 10**400)[1] == [0, 1, 2]


def test_a_vector_or_a_time_is_no_label() -> None:
    for name in ("v", "at"):
        with pytest.raises(SchemaError, match="no label"):
            labels_of(COLUMNS[name], Regression())


# --- held out -------------------------------------------------------------------------------------


def test_a_record_is_held_out_by_where_it_stands_and_about_as_many_as_asked_for() -> None:
    offsets = np.arange(100_000)
    held = held_out_offsets("topic", 3, offsets, 0.2)
    assert 0.19 < held.mean() < 0.21
    assert (held_out_offsets("topic", 3, offsets[50:60], 0.2) == held[50:60]).all()
    other = held_out_offsets("topic", 4, offsets, 0.2)
    assert 0.03 < (held & other).mean() < 0.05  # as chance has it


def test_a_share_that_grows_keeps_who_was_held_out() -> None:
    offsets = np.arange(10_000)
    few, many = (held_out_offsets("t", 0, offsets, share) for share in (0.1, 0.3))
    assert (many | ~few).all()


@given(st.lists(st.text(), min_size=1), st.floats(0.01, 0.99))
def test_who_is_held_out_by_an_id_is_so_wherever_it_comes(ids: list[str], share: float) -> None:
    held = held_out_values(ids, share)
    assert held_out_values(ids[::-1], share).tolist() == held[::-1].tolist()
