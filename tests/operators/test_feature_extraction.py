from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gress_ml.batch import Batch
from gress_ml.bundle import Bundle, Manifest
from gress_ml.errors import ModelCorrupt, ModelNotFound, SchemaError, SnapshotError
from gress_ml.features import FeatureSet, FeatureSetSpec
from gress_ml.operator import Context, Snapshot
from gress_ml.schema import Column, Columns, ColumnType, columns_of
from gress_ml.testing import Harness, Rows
from gress_ml_operators.feature_extraction import (
    FeatureExtraction,
    FeatureExtractionConfig,
    filled,
    lacking,
)

COLUMNS = columns_of(
    [
        Column("vm_id", ColumnType.STRING),
        Column("link_type", ColumnType.STRING, nullable=True),
        Column("x", ColumnType.FLOAT, nullable=True),
        Column("ratio", ColumnType.FLOAT, nullable=True),
    ]
)
X = {"name": "x", "type": "numerical", "range": [0, 10]}
RATIO = {"name": "ratio", "type": "numerical", "default": 1}
LOOKUP = {"table": "history", "key": ["vm_id", "link_type"], "fields": ["ratio"]}


def harness(columns: Columns = COLUMNS, **config: Any) -> Harness:
    return Harness(FeatureExtraction, {"features": [X], **config}, columns)


def store(**ratios: float) -> Rows:
    return Rows({"history": {f"{vm}\x1fwan".encode(): {"ratio": r} for vm, r in ratios.items()}})


def test_the_vector_and_the_rest_of_the_row_come_out() -> None:
    found = harness().run([{"vm_id": "a", "x": 1}, {"vm_id": "b", "x": 11}, {"vm_id": "c"}])
    assert found.rows == [
        {"vm_id": "a", "link_type": None, "x": 1.0, "ratio": None, "features": [1.0]}
    ]
    assert found.rejected == {1: "out_of_range", 2: "missing_feature"}


def test_the_signature_carries_the_identity_of_the_vector() -> None:
    tested = harness(output="vector")
    column = tested.signature["vector"]
    assert column.type is ColumnType.VECTOR
    assert column.features is not None
    assert column.features.names == ("x",)


def test_each_value_can_become_a_column() -> None:
    tested = harness(features=[{**X, "missing": "indicator"}], also_columns=True)
    assert tested.signature["x_missing"].type is ColumnType.FLOAT
    assert tested.run([{"vm_id": "a"}]).rows[0] | {"vm_id": "a"} == {
        "vm_id": "a",
        "link_type": None,
        "ratio": None,
        "x": 0.0,
        "x_missing": 1.0,
        "features": [0.0, 1.0],
    }


def test_gaps_are_filled_from_the_feature_store() -> None:
    tested = harness(features=[X, RATIO], lookup=LOOKUP)
    tested.store = store(a=3.0, b=4.0)
    rows = [
        {"vm_id": "a", "link_type": "wan", "x": 0},
        {"vm_id": "b", "link_type": "wan", "x": 0, "ratio": 9},  # the event knows better
        {"vm_id": "c", "link_type": "wan", "x": 0},  # the store has no row
    ]
    found = tested.run(rows)
    assert [row["features"] for row in found.rows] == [[0, 3], [0, 9], [0, 1]]
    assert [row["ratio"] for row in found.rows] == [3, 9, None]
    assert set(found.output.batch.columns) == set(tested.signature)


def test_a_field_that_the_event_does_not_have_is_made() -> None:
    columns = columns_of(column for column in COLUMNS.values() if column.name != "ratio")
    tested = harness(columns, features=[RATIO], lookup=LOOKUP)
    tested.store = store(a=3.0)
    assert tested.run([{"vm_id": "a", "link_type": "wan"}]).rows[0]["features"] == [3.0]


def test_only_rows_with_gaps_are_looked_up_and_keys_stay_in_line() -> None:
    tested = harness(lookup=LOOKUP)
    batch = tested.run([{"vm_id": "a", "ratio": 1, "x": 1}, {"vm_id": "b", "x": 1}]).output.batch
    (lookup,) = tested.operator.lookups(batch)
    assert lookup.keys == [b"", b"b\x1f"]
    full = batch.with_columns({"ratio": np.ones(2)})
    assert tested.operator.lookups(full) == []


_GAPS = st.lists(st.sampled_from([1.5, np.nan]), min_size=3, max_size=3)
_KNOWN = st.none() | _GAPS | st.just([1, 2, 3]) | st.just(["a", None, "b"])


@given(st.lists(_KNOWN, min_size=1, max_size=4), st.lists(_GAPS, min_size=4, max_size=4))
def test_gaps_are_those_of_each_value_alone(
    known: list[list[Any] | None], answers: list[list[float]]
) -> None:
    """A field may have no column, a column of floats, or one of another type."""
    fields = tuple(f"f{i}" for i in range(len(known)))
    answer = np.array(answers, np.float32).T[:, : len(fields)]
    columns = {
        name: np.array(column, object if "a" in column else None)
        for name, column in zip(fields, known, strict=True)
        if column is not None
    }
    batch = Batch.of({"id": np.arange(3), **columns})
    gaps = np.array([[value in (None, np.nan) for value in c or [None] * 3] for c in known])
    lacks = lacking(batch, fields)
    assert (lacks is None) == (not gaps.any())
    assert lacks is None or lacks.tolist() == gaps.any(axis=0).tolist()
    made = filled(batch, fields, answer)
    for i, name in enumerate(fields):
        column = columns.get(name, np.full(3, np.nan))
        if column.dtype.kind == "f":
            expected = np.where(gaps[i], answer[:, i], column)
            np.testing.assert_array_equal(made[name], expected, strict=True)
        else:
            assert name not in made


def test_without_the_store_the_policies_decide() -> None:
    tested = harness(features=[X, RATIO], lookup=LOOKUP)
    assert tested.run([{"vm_id": "a", "x": 0}]).rows[0]["features"] == [0, 1]


def test_counts_are_measured_by_type() -> None:
    tested = harness(feature_set="s", features=[X, {**RATIO, "missing": "indicator"}])
    measures = tested.run([{"vm_id": "a", "x": 0}, {"vm_id": "b", "x": 99}]).output.measures
    assert [(m.metric.name, m.labels, m.value) for m in measures] == [
        ("gress_ml_features_extracted_total", ("s", "numerical"), 3)
    ]
    assert tested.operator.timer is not None
    assert tested.operator.timer[1] == ("s",)


def test_windows_survive_a_restart() -> None:
    count = {"name": "n", "type": "aggregation", "function": "count", "window": 60, "key": "vm_id"}
    first, second = harness(features=[count]), harness(features=[count])
    first.run([{"vm_id": "a"}, {"vm_id": "a"}])
    snapshot = first.operator.snapshot()
    assert snapshot is not None
    second.operator.restore(snapshot)
    assert second.run([{"vm_id": "a"}]).rows[0]["features"] == [3.0]
    with pytest.raises(SnapshotError, match="version"):
        second.operator.restore(Snapshot(99, snapshot.data))
    assert harness().operator.snapshot() is None


# --- features that come with a model --------------------------------------------------------------


class OneBundle:
    """A model store that has one bundle."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        spec = FeatureSetSpec.model_validate({"name": "set-of-m", "features": [X]})
        text = FeatureSet(spec).to_json()
        (folder / "feature_schema.json").write_text(text)
        entry = {"path": "feature_schema.json", "sha256": "0" * 64, "size": len(text)}
        manifest = {
            "name": "m",
            "version": "1.2.0",
            "files": {"feature_schema": entry},
            "feature_fingerprint": fingerprint or spec.fingerprint,
        }
        self.bundle = Bundle(folder, Manifest.model_validate(manifest))

    def find(self, name: str, reference: str = "champion") -> Bundle:
        if (name, reference) not in (("m", "champion"), ("m", "1.2.0")):
            raise ModelNotFound(f"{name} {reference}")
        return self.bundle

    def open_folder(self, folder: Path) -> Bundle:
        return self.bundle


def opened(model: str, folder: Path, fingerprint: str = "") -> FeatureExtraction:
    operator = FeatureExtraction(FeatureExtractionConfig(model=model))
    operator.open(Context(OneBundle(folder, fingerprint)))
    return operator


@pytest.mark.parametrize("model", ["m", "m@champion", "m@1.2.0"])
def test_features_come_with_the_model(model: str, tmp_path: Path) -> None:
    operator = opened(model, tmp_path)
    assert operator.features.vector.names == ("x",)
    assert operator.timer[1] == ("set-of-m",)


def test_a_fingerprint_that_differs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelCorrupt, match="abc"):
        opened("m", tmp_path, "abc")


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        opened("m@2.0.0", tmp_path)


def test_a_broken_schema_is_refused(tmp_path: Path) -> None:
    bundle = OneBundle(tmp_path, "")
    (tmp_path / "feature_schema.json").write_text(json.dumps({"features": "none"}))
    operator = FeatureExtraction(FeatureExtractionConfig(model="m"))
    with pytest.raises(SchemaError):
        operator.open(Context(bundle))


# --- config ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"features": [X], "model": "m"},
        {"features": []},
        {"model": "m@"},
        {"features": [X, X]},
        {"features": [X], "lookups": {}},
        {"features": [X], "lookup": {"table": "t", "key": [], "fields": ["a"]}},
        {"features": [{**X, "expression": "1 +"}]},
        {"features": [X, {"name": "y", "type": "text", "source": "x"}]},
    ],
)
def test_a_config_without_sense_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FeatureExtractionConfig.model_validate(config)


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SchemaError, match="did you mean"):
        harness(features=[{**X, "source": "ratios"}])
    with pytest.raises(SchemaError, match="no column"):
        harness(lookup={**LOOKUP, "key": ["nobody"]})
