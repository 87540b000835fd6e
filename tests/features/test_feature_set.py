from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gress_ml.batch import Batch
from gress_ml.dwcp.events import TRANSFER
from gress_ml.errors import SchemaError
from gress_ml.features import FeatureSet, FeatureSetSpec
from gress_ml.schema import MISSING_TIME, Column, ColumnType, columns_of


def feature_set(*features: dict[str, Any], name: str = "features") -> FeatureSet:
    return FeatureSet(FeatureSetSpec.model_validate({"name": name, "features": features}))


def number(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "numerical", **more}


#: The features of the compression selector, with the conversions of the wire's units.
DWCP = (
    number("rtt_ms", range=[0, 60_000], unit="ms"),
    number("jitter_ms", default=0),
    number("bandwidth_mbps", source="bandwidth_available_mbps"),
    number("network_quality", expression="bandwidth_available_mbps / (rtt_ms + 1)"),
    number("data_size_mb", expression="payload_size / 1048576"),
    number("entropy", source="entropy_estimate", range=[0, 8], default=4),
    number("compressibility_score", range=[0, 1], default=0.5),
    number("cpu_usage", range=[0, 100], default=0),
    number("memory_pressure", expression="1 - memory_available_mb / 10000", clip=[0, 1], default=0),
    number("hde_compression_ratio", default=2),
    number("hde_delta_hit_rate", default=50),
    number("amst_transfer_rate_mbps", default=0),
    number("baseline_compression_ratio", default=1),
    number("hde_efficiency", expression="hde_compression_ratio * hde_delta_hit_rate / 100"),
    number("amst_efficiency", expression="amst_transfer_rate_mbps / (bandwidth_mbps + 1)"),
    {"name": "link_type", "type": "categorical", "vocabulary": ["dc", "metro", "wan"]},
    {"name": "region", "type": "categorical", "vocabulary": ["us-east-1", "eu-west-1"]},
)


def transfers(**columns: list[Any]) -> Batch:
    rows = len(next(iter(columns.values())))
    absent = {
        name: np.full(rows, None if column.type is ColumnType.STRING else np.nan)
        for name, column in TRANSFER.columns.items()
        if column.type in (ColumnType.FLOAT, ColumnType.STRING)
    }
    given = {
        name: np.array(values, object if isinstance(values[0], str) else None)
        for name, values in columns.items()
    }
    return Batch.of({**absent, **given})


def test_the_17_features_of_the_selector() -> None:
    features = feature_set(*DWCP)
    features.check(TRANSFER.columns)
    vectors, rejected = features.transform(
        transfers(
            rtt_ms=[61.0, 0.0],
            bandwidth_available_mbps=[124.0, 1000.0],
            payload_size=[1_048_576, 10],
            memory_available_mb=[2500.0, 20_000.0],
            hde_compression_ratio=[np.nan, 10.0],
            link_type=["wan", "edge"],
        )
    )
    assert not rejected
    assert vectors.dtype == np.float32
    assert vectors.flags["C_CONTIGUOUS"]
    first = dict(zip(features.vector.names, vectors[0].tolist(), strict=True))
    assert first["network_quality"] == 2.0
    assert first["data_size_mb"] == 1.0
    assert first["memory_pressure"] == 0.75
    assert first["hde_efficiency"] == 1.0  # the defaulted ratio, 2 · 50 / 100
    assert first["link_type"] == 3.0
    second = dict(zip(features.vector.names, vectors[1].tolist(), strict=True))
    assert second["memory_pressure"] == 0.0  # clipped
    assert (second["link_type"], second["region"]) == (0.0, 0.0)
    assert second["hde_efficiency"] == 5.0


def test_expressions_see_features_above_and_columns_otherwise() -> None:
    features = feature_set(
        number("y", expression="x * 10"),  # the column: the feature x comes later
        number("x", source="x", default=2),
        number("z", expression="x * 10"),  # the feature, with its default
    )
    vectors, _ = features.transform(Batch.of({"x": np.array([1.0])}))
    assert vectors.tolist() == [[10, 1, 10]]
    assert features.reads == {"x"}
    vectors, rejected = features.transform(Batch.of({"x": np.array([np.nan])}))
    assert [row.code for row in rejected] == ["missing_feature"]


def test_a_later_stage_does_not_see_features_listed_below() -> None:
    count = {"name": "n", "type": "aggregation", "function": "count", "window": 60}
    features = feature_set(
        count,
        number("sum", expression="n + x"),
        {"name": "x", "type": "normalize", "min": 0, "max": 10},
    )
    batch = Batch.of({"x": np.array([5.0])}, keys=[b"k"])
    assert features.transform(batch)[0].tolist() == [[1, 6, 0.5]]


def test_the_first_feature_that_lacks_or_leaves_its_range_is_the_reason() -> None:
    features = feature_set(
        number("x", range=[0, 10]),
        number("double", expression="2 * x"),
        number("limited", expression="double + y", range=[0, 5]),
        number("y"),
    )
    columns = {"x": np.array([np.nan, 11.0, 1.0, 4.0]), "y": np.array([1.0, 1.0, np.nan, 1.0])}
    _, rejected = features.transform(Batch.of(columns))
    assert [row.code for row in rejected] == [
        "missing_feature",
        "out_of_range",
        "missing_feature",
        "out_of_range",
    ]
    assert ["'x'" in row.message for row in rejected] == [True, True, False, False]
    assert ["'limited'" in row.message for row in rejected] == [False, False, True, True]


def test_features_that_their_stage_leaves_as_they_are_make_one_stage_with_their_readers() -> None:
    features = feature_set(
        number("x"),
        number("double", expression="2 * x"),
        number("both", expression="double / x"),
        number("filled", default=1),
        number("last", expression="both * filled"),
    )
    assert len(features._plan.stages) == 2


#: Features of which each may read those above it, and policies that may change a value.
POLICIES = st.sampled_from(
    [{}, {"range": [-50, 50]}, {"missing": "keep"}, {"default": 1.5}, {"clip": [-3, 3]}]
)
NUMBER_OR_GAP = st.sampled_from([np.nan, -4.0, 0.0, 1.0, 7.5, 1e30, np.inf])


@given(st.lists(POLICIES, min_size=3, max_size=3), st.lists(NUMBER_OR_GAP, min_size=1, max_size=5))
def test_a_feature_reads_those_above_as_they_stand_in_the_vector(
    policies: list[dict[str, Any]], column: list[float]
) -> None:
    sources = [
        {"name": "x"},
        {"name": "a1", "expression": "x * x - 2"},
        {"name": "a2", "expression": "where(isnan(a1), 9, a1) / x"},
    ]
    features = feature_set(
        *(number(**source, **policy) for source, policy in zip(sources, policies, strict=True))
    )
    vectors, rejected = features.transform(Batch.of({"x": np.array(column)}))
    gone = {row.offset for row in rejected}
    with np.errstate(all="ignore"):
        for row, (x, a1, a2) in enumerate(vectors.astype(np.float64).tolist()):
            if row in gone:
                continue
            first, second = np.float64(x) * x - 2, np.where(np.isnan(a1), 9, a1) / np.float64(x)
            assert a1 == np.float32(treated(first, policies[1])) or np.isnan(first)
            assert a2 == pytest.approx(treated(second, policies[2])) or np.isnan(second)


def treated(value: Any, policy: dict[str, Any]) -> Any:
    return np.clip(value, *policy["clip"]) if "clip" in policy else value


def test_expressions_see_expanded_and_indicator_features() -> None:
    features = feature_set(
        {"name": "link", "type": "onehot", "vocabulary": ["wan"]},
        number("x", missing="indicator"),
        number("both", expression="link_wan + 10 * x_missing"),
    )
    columns = {"link": np.array(["wan", None], object), "x": np.array([1.0, np.nan])}
    assert features.transform(Batch.of(columns))[0][:, -1].tolist() == [1, 10]


def test_a_category_can_be_computed() -> None:
    features = feature_set(
        {
            "name": "speed",
            "type": "categorical",
            "expression": "where(rtt < 1, 'near', coalesce(zone, 'far'))",
            "vocabulary": ["near", "far", "moon"],
        }
    )
    assert features.needs == {"rtt": ColumnType.FLOAT, "zone": ColumnType.STRING}
    columns = {"rtt": np.array([0.0, 5.0, 5.0]), "zone": np.array([None, None, "moon"], object)}
    assert features.transform(Batch.of(columns))[0][:, 0].tolist() == [1, 2, 3]


def test_names_stand_in_the_order_of_the_specification() -> None:
    features = feature_set(
        {"name": "when", "type": "temporal"},
        {"name": "n", "type": "aggregation", "function": "count", "window": 1},
        number("x", missing="indicator", output="amount"),
        {"name": "link", "type": "onehot", "vocabulary": ["b", "a"]},
        {"name": "note", "type": "text"},
    )
    assert features.vector.names == (
        *("when_hour", "when_day_of_week", "n", "amount", "amount_missing"),
        *("link_unknown", "link_b", "link_a", "note_length", "note_word_count"),
    )
    assert [column.type for column in features.columns[:4]] == [
        *("temporal", "temporal", "aggregation", "numerical")
    ]
    assert features.types["onehot"] == 3


def test_no_rows_give_no_vectors() -> None:
    empty = transfers(rtt_ms=[1.0], payload_size=[1]).take(np.array([], np.intp))
    vectors, rejected = feature_set(*DWCP).transform(empty)
    assert vectors.shape == (0, 17)
    assert rejected == []


def test_the_fingerprint_tells_what_makes_the_values() -> None:
    base = feature_set(number("a"), number("b", default=1)).vector.fingerprint
    same = feature_set(
        number("a", description="for people"), number("b", default=1.0), name="other"
    )
    assert same.vector.fingerprint == base
    for other in (
        feature_set(number("b", default=1), number("a")),
        feature_set(number("a"), number("b", default=2)),
        feature_set(number("a", clip=[0, 1]), number("b", default=1)),
    ):
        assert other.vector.fingerprint != base


def test_the_fingerprint_stays_the_same_from_release_to_release() -> None:
    assert feature_set(number("a")).vector.fingerprint == (
        "dc8a9eb6a437107d71ee3870c50c38b88a35f601c5a9068c6419f999f23cf31a"
    )


def test_json_brings_back_the_same_set() -> None:
    features = feature_set(*DWCP, {"name": "t", "type": "temporal", "timezone": "Asia/Kolkata"})
    again = FeatureSet.from_json(features.to_json())
    assert again.vector == features.vector
    assert again.spec == features.spec
    assert json.loads(features.to_json())["features"][0]["name"] == "rtt_ms"


@pytest.mark.parametrize(
    "data", ["", "[]", "{}", '{"features": []}', '{"features": [{}]}', b"\xff"]
)
def test_what_is_no_feature_schema_is_refused(data: str | bytes) -> None:
    with pytest.raises(SchemaError):
        FeatureSet.from_json(data)


@pytest.mark.parametrize(
    "parameters", [{"min": 0.0, "max": 10.0}, {"min": 0, "max": 10, "clip": [0, 10]}]
)
def test_parameters_may_stand_below_their_own_key(parameters: dict[str, Any]) -> None:
    nested = {
        "name": "amount_normalized",
        "type": "normalize",
        "source": "amount",
        "output": "amount_scaled",
        "parameters": parameters,
    }
    flat = {**{k: v for k, v in nested.items() if k != "parameters"}, **parameters}
    assert feature_set(nested).vector == feature_set(flat).vector
    assert feature_set(nested).vector.names == ("amount_scaled",)


@pytest.mark.parametrize(
    "fault",
    [
        {"name": "a", "type": "numeric"},
        {"name": "a", "type": "numerical", "sauce": "x"},
        {"name": "a", "type": "normalize", "min": 1, "max": 1},
        {"name": "a", "type": "standardize", "mean": 0, "stddev": 0},
        {"name": "a", "type": "bucket", "boundaries": [2, 1]},
        {"name": "a", "type": "onehot", "vocabulary": ["x", "x"]},
        {"name": "a", "type": "onehot", "vocabulary": ["unknown"]},
        {"name": "a", "type": "categorical", "vocabulary": ["x"], "default": "y"},
        {"name": "a", "type": "categorical", "vocabulary": ["x"], "unknown": "reject"},
        {"name": "a", "type": "numerical", "source": "x", "expression": "x"},
        {"name": "a", "type": "numerical", "expression": "x +"},
        {"name": "a", "type": "numerical", "range": [0, 1], "default": 2},
        {"name": "a", "type": "numerical", "default": float("nan")},
        {"name": "a", "type": "temporal", "timezone": "Europe/Atlantis"},
        {"name": "a", "type": "temporal", "timezone": "../etc/passwd"},
        {"name": "a", "type": "normalize", "min": 0, "max": 1, "parameters": {"min": 0}},
        {"name": "a", "type": "normalize", "parameters": [1]},
    ],
)
def test_a_specification_without_sense_is_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        feature_set(fault)


def test_two_values_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="twice"):
        feature_set(number("x", missing="indicator"), number("x_missing"))


def test_a_column_cannot_be_both_text_and_number() -> None:
    with pytest.raises(SchemaError, match="'x' is used as"):
        feature_set(number("a", source="x"), {"name": "b", "type": "text", "source": "x"})


def test_check_tells_all_faults_with_a_suggestion() -> None:
    columns = columns_of([Column("rtt_msec", ColumnType.FLOAT), Column("link", ColumnType.FLOAT)])
    features = feature_set(
        number("rtt_ms"), {"name": "link", "type": "onehot", "vocabulary": ["wan"]}
    )
    with pytest.raises(SchemaError) as caught:
        features.check(columns)
    assert "did you mean 'rtt_msec'" in str(caught.value)
    assert "'link' is float, not string" in str(caught.value)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (np.array([1, MISSING_TIME]), [1.0, -1.0]),
        (np.array([True, False]), [1.0, 0.0]),
        (np.array([0.5, np.nan], np.float32), [0.5, -1.0]),
        (np.array([3, 4], np.uint8), [3.0, 4.0]),
    ],
)
def test_numbers_of_any_type_stand_beside_floats(column: np.ndarray, expected: list[float]) -> None:
    listed = [
        {"name": "x", "type": "numerical"},
        {"name": "y", "type": "numerical", "default": -1.0},
        {"name": "two", "type": "numerical", "expression": "1 + 1"},
    ]
    features = FeatureSet(FeatureSetSpec.model_validate({"features": listed}))
    vectors, rejected = features.transform(Batch.of({"x": np.array([7.0, 8.0]), "y": column}))
    assert rejected == []
    assert vectors.tolist() == [[7.0, expected[0], 2.0], [8.0, expected[1], 2.0]]


@pytest.mark.parametrize("column", [np.zeros((2, 1)), np.zeros((2, 3)), np.array(["a", "b"], "O")])
def test_what_is_not_one_number_per_row_is_refused(column: np.ndarray) -> None:
    listed = [{"name": "x", "type": "numerical"}, {"name": "y", "type": "numerical"}]
    features = FeatureSet(FeatureSetSpec.model_validate({"features": listed}))
    with pytest.raises(SchemaError, match="a number is needed"):
        features.transform(Batch.of({"x": np.zeros(2), "y": column}))


def test_an_absent_column_is_named() -> None:
    with pytest.raises(SchemaError, match="'x'"):
        feature_set(number("x")).transform(Batch.of({"y": np.zeros(1)}))


VALUES = st.one_of(st.just(np.nan), st.floats(-10, 1e5), st.sampled_from([np.inf, 0.0, 1e308]))


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=8))
def test_rows_do_not_see_each_other(rows: list[tuple[float, float, float]]) -> None:
    features = feature_set(*DWCP)
    names = ("rtt_ms", "bandwidth_available_mbps", "memory_available_mb")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    batch = transfers(**columns, payload_size=[5] * len(rows))
    whole, rejected = features.transform(batch)
    bad = {row.offset: row for row in rejected}
    for row in range(len(rows)):
        single, refused = features.transform(batch.take(np.array([row])))
        np.testing.assert_array_equal(single[0], whole[row])
        assert refused == [bad[row]] if row in bad else not refused


@given(st.lists(VALUES, min_size=1, max_size=8))
def test_a_vector_is_finite_unless_its_row_is_rejected(values: list[float]) -> None:
    features = feature_set(
        number("x"), number("inverse", expression="1 / x"), number("power", expression="x ** 3")
    )
    vectors, rejected = features.transform(Batch.of({"x": np.array(values)}))
    sound = np.isfinite(vectors).all(axis=1)
    assert sorted(row.offset for row in rejected) == np.flatnonzero(~sound).tolist()
