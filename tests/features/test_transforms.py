from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.batch import Batch
from gress_ml.features import FeatureSet, FeatureSetSpec

NAN = math.nan


def feature_set(*features: dict[str, Any]) -> FeatureSet:
    return FeatureSet(FeatureSetSpec.model_validate({"features": features}))


def transform(
    feature: dict[str, Any], values: list[Any], dtype: Any = float
) -> tuple[list[list[float]], dict[int, str]]:
    batch = Batch.of({"x": np.array(values, dtype)})
    matrix, rejected = feature_set({"name": "f", "source": "x", **feature}).transform(batch)
    return matrix.tolist(), {row.offset: row.code for row in rejected}


def column(feature: dict[str, Any], values: list[Any], dtype: Any = float) -> list[float]:
    matrix, rejected = transform(feature, values, dtype)
    assert not rejected
    return [row[0] for row in matrix]


def test_numerical_takes_the_number() -> None:
    assert column({"type": "numerical"}, [1.5, -2]) == [1.5, -2.0]
    assert column({"type": "numerical"}, [3, -(2**62)], np.int64) == [3.0, -(2.0**62)]
    assert column({"type": "numerical"}, [True, False], np.bool_) == [1.0, 0.0]


def test_normalize_and_standardize_scale() -> None:
    assert column({"type": "normalize", "min": 10, "max": 30}, [10, 30, 20, 40]) == [0, 1, 0.5, 1.5]
    assert column({"type": "standardize", "mean": 5, "stddev": 2}, [5, 9]) == [0.0, 2.0]


def test_log_is_log1p_and_ends_above_minus_one() -> None:
    assert column({"type": "log"}, [0, math.e - 1]) == [0.0, 1.0]
    matrix, rejected = transform({"type": "log"}, [-1, -0.5, -7])
    assert rejected == {0: "out_of_range", 2: "out_of_range"}
    assert matrix[1] == [pytest.approx(math.log(0.5))]


def test_a_boundary_belongs_to_the_bucket_above() -> None:
    found = column({"type": "bucket", "boundaries": [0, 10]}, [-1, 0, 9.9, 10, 1e9])
    assert found == [0, 1, 1, 2, 2]


def test_categories_count_from_one_and_unknown_is_zero() -> None:
    vocabulary = {"vocabulary": ["wan", "Zürich"]}
    values = ["wan", "Zürich", "x", None, ""]
    assert column({"type": "categorical", **vocabulary}, values, object) == [1, 2, 0, 0, 0]
    found, _ = transform({"type": "onehot", **vocabulary}, values[:3], object)
    assert found == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_categories_of_numbers_and_booleans_are_their_text() -> None:
    feature = {"type": "categorical", "vocabulary": ["1", "true"]}
    assert column(feature, [1, 2], np.int64) == [1, 0]
    assert column(feature, [True, False], np.bool_) == [2, 0]


def test_unknown_category_can_be_rejected() -> None:
    feature = {"vocabulary": ["a", "b"], "unknown": "reject", "default": "b"}
    matrix, rejected = transform({"type": "categorical", **feature}, ["a", "x", None], object)
    assert rejected == {1: "unknown_category"}
    assert [matrix[0], matrix[2]] == [[1], [2]]
    matrix, rejected = transform({"type": "onehot", **feature}, ["a", "x", None], object)
    assert rejected == {1: "unknown_category"}
    assert [matrix[0], matrix[2]] == [[1, 0], [0, 1]]


def test_text_counts_characters_and_words() -> None:
    values = ["", "größe 💥", "  a\tb\n c ", "日本"]
    found, _ = transform({"type": "text"}, values, object)
    assert found == [[0, 0], [7, 2], [9, 3], [2, 1]]
    assert column({"type": "text", "parts": ["word_count"]}, values, object) == [0, 2, 3, 1]


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ({"missing": "reject"}, None),
        ({}, None),
        ({"default": 7}, [7]),
        ({"missing": "default"}, [0]),
        ({"missing": "indicator", "default": 7}, [7, 1]),
        ({"missing": "indicator"}, [0, 1]),
        ({"missing": "keep"}, [NAN]),
    ],
)
def test_missing_policies(feature: dict[str, Any], expected: list[float] | None) -> None:
    matrix, rejected = transform({"type": "numerical", **feature}, [NAN, 3])
    if expected is None:
        assert rejected == {0: "missing_feature"}
        assert math.isnan(matrix[0][0])
    else:
        assert not rejected
        np.testing.assert_array_equal(matrix[0], expected)
    assert matrix[1] == [3, 0][: len(matrix[1])]


def test_missing_policies_of_categories_and_texts() -> None:
    base = {"type": "categorical", "vocabulary": ["a", "b"]}
    assert column({**base, "default": "b"}, [None], object) == [2]
    assert transform({**base, "missing": "indicator"}, [None, "a"], object)[0] == [[0, 1], [1, 0]]
    assert transform({**base, "missing": "reject"}, [None], object)[1] == {0: "missing_feature"}
    kept, _ = transform({**base, "type": "onehot", "missing": "keep"}, [None, "a"], object)
    np.testing.assert_array_equal(kept, [[NAN] * 3, [0, 1, 0]])
    text = {"type": "text", "missing": "indicator", "default": "no text"}
    assert transform(text, [None, "a"], object)[0] == [[7, 2, 1], [1, 1, 0]]
    assert transform({"type": "text"}, [None], object)[1] == {0: "missing_feature"}


@pytest.mark.parametrize("type_", ["bucket", "log", "normalize"])
def test_keep_keeps_nan_through_the_transform(type_: str) -> None:
    parameters = {"bucket": {"boundaries": [1]}, "log": {}, "normalize": {"min": 0, "max": 1}}
    matrix, _ = transform({"type": type_, "missing": "keep", **parameters[type_]}, [NAN, 0])
    np.testing.assert_array_equal(matrix, [[NAN], [0]])


def test_range_rejects_and_clip_clips_before_it() -> None:
    _, rejected = transform({"type": "numerical", "range": [0, 1]}, [0, 1, 1.1, -0.1, math.inf])
    assert rejected == {2: "out_of_range", 3: "out_of_range", 4: "out_of_range"}
    both = {"type": "numerical", "clip": [0, 1], "range": [0, 1]}
    assert column(both, [0, 1.1, -5, math.inf, -math.inf]) == [0, 1, 0, 1, 0]
    assert column({"type": "normalize", "min": 0, "max": 10, "clip": [0, 10]}, [-1, 99]) == [0, 1]


def test_what_no_float32_holds_is_out_of_range() -> None:
    _, rejected = transform({"type": "numerical"}, [math.inf, -math.inf, 1e39, 3e38])
    assert rejected == {0: "out_of_range", 1: "out_of_range", 2: "out_of_range"}
    _, rejected = transform({"type": "standardize", "mean": 0, "stddev": 1e-30}, [1e10, 1.0])
    assert rejected == {0: "out_of_range"}


def test_the_message_names_feature_value_and_unit() -> None:
    spec = {"name": "rtt", "source": "x", "type": "numerical", "range": [0, 10], "unit": "ms"}
    _, rejected = feature_set(spec).transform(Batch.of({"x": np.array([11.0])}, first_offset=5))
    assert rejected[0].offset == 5
    assert rejected[0].message == "feature 'rtt': column 'x' is 11, not 0 to 10 ms"


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20),
    st.floats(-100, 100),
    st.floats(0.01, 100),
)
def test_scaling_follows_its_formula(values: list[float], low: float, extent: float) -> None:
    x = np.array(values)
    found = column({"type": "normalize", "min": low, "max": low + extent}, values)
    np.testing.assert_allclose(found, (x - low) / (low + extent - low), rtol=1e-5, atol=1e-5)
    found = column({"type": "standardize", "mean": low, "stddev": extent}, values)
    np.testing.assert_allclose(found, (x - low) / extent, rtol=1e-5, atol=1e-5)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=9),
    st.lists(st.integers(-100, 100), min_size=1, max_size=5, unique=True).map(sorted),
)
def test_a_bucket_is_the_number_of_boundaries_at_or_below(
    values: list[float], boundaries: list[int]
) -> None:
    found = column({"type": "bucket", "boundaries": boundaries}, values)
    assert found == [sum(bound <= value for bound in boundaries) for value in values]


@given(st.lists(st.one_of(st.none(), st.text(max_size=8)), max_size=12))
def test_onehot_has_a_single_one_where_categorical_has_its_code(texts: list[str | None]) -> None:
    vocabulary = sorted({text for text in texts[::2] if text is not None} | {"a"})
    codes = column({"type": "categorical", "vocabulary": vocabulary}, texts, object)
    hot, _ = transform({"type": "onehot", "vocabulary": vocabulary}, texts, object)
    assert [row.index(1.0) for row in hot] == codes
    assert all(sum(row) == 1 for row in hot)
