from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.batch import Batch
from gress_ml.runtime.encode import encode_rows, keys_of, values_of
from gress_ml.schema import MISSING_TIME, ColumnType
from gress_ml.special import SPECIAL, SPECIAL_COLUMNS


def objects(*values: Any) -> np.ndarray[Any, Any]:
    column = np.empty(len(values), object)
    column[:] = values
    return column


def batch(**columns: Any) -> Batch:
    return Batch.of(
        {name: np.asarray(column) for name, column in columns.items()},
        topic="in",
        partition=3,
        first_offset=7,
    )


def test_a_row_is_one_json_object_with_its_fields_in_order() -> None:
    rows = batch(x=[1.5, 2.0], n=[1, 2], on=[True, False])
    assert encode_rows(rows, {"b": "x", "a": "n", "c": "on", "again": "x"}) == [
        b'{"b":1.5,"a":1,"c":true,"again":1.5}',
        b'{"b":2.0,"a":2,"c":false,"again":2.0}',
    ]


@given(
    st.lists(
        st.tuples(
            st.floats(width=64),
            st.integers(-(2**63) + 1, 2**63 - 1),
            st.booleans(),
            st.none() | st.text(),
            st.none() | st.lists(st.integers(0, 9)) | st.dictionaries(st.text(), st.text()),
            st.lists(st.floats(width=32), min_size=3, max_size=3),
        ),
        max_size=6,
    )
)
def test_json_reads_as_that_of_the_rows_as_dictionaries(rows: list[tuple[Any, ...]]) -> None:
    names = ("float", "int", "bool", "string", "json", "vector")
    columns = {
        "float": np.array([row[0] for row in rows], np.float64),
        "int": np.array([row[1] for row in rows], np.int64),
        "bool": np.array([row[2] for row in rows], np.bool_),
        "string": objects(*(row[3] for row in rows)),
        "json": objects(*(row[4] for row in rows)),
        "vector": np.array([row[5] for row in rows], np.float32).reshape(len(rows), 3),
    }
    found = encode_rows(Batch.of(columns), {name: name for name in names})
    plain = [orjson.dumps(dict(zip(names, row, strict=True))) for row in rows]
    assert [orjson.loads(row) for row in found] == [orjson.loads(row) for row in plain]
    assert [list(orjson.loads(row)) for row in found] == [[*names]] * len(rows)


@given(st.lists(st.text(), unique=True, min_size=1, max_size=5))
def test_members_may_have_any_name(names: list[str]) -> None:
    row = orjson.loads(encode_rows(batch(x=[1.0]), dict.fromkeys(names, "x"))[0])
    assert list(row.items()) == [(name, 1.0) for name in names]


def test_integers_of_any_size_are_written() -> None:
    assert encode_rows(batch(j=objects(10**30)), {"j": "j"}) == [b'{"j":1' + b"0" * 30 + b"}"]


def test_what_has_no_value_is_null() -> None:
    rows = batch(
        x=[math.nan],
        infinite=[math.inf],
        text=objects(None),
        v=np.array([[math.nan, 1]], np.float32),
        at=np.array([MISSING_TIME]),
    )
    fields = {name: name for name in rows.columns}
    assert orjson.loads(encode_rows(rows, fields)[0]) == {
        "x": None, "infinite": None, "text": None, "v": [None, 1.0], "at": None,
    }  # fmt: skip


def test_a_missing_time_does_not_touch_its_neighbours() -> None:
    at = np.array([5, MISSING_TIME, -1])
    assert values_of(batch(at=at), "at") == [5, None, -1]


def test_special_columns_come_from_the_record() -> None:
    rows = Batch.of(
        {"x": np.zeros(2)}, topic="in", partition=3, first_offset=41, event_time_ms=[5, 6]
    ).with_degraded("model", "feature_store")
    fields = {name: name for name in SPECIAL}
    found = [orjson.loads(row) for row in encode_rows(rows, fields)]
    assert found[1] == {
        "decision_id": "in-3-42", "event_time_ms": 6, "offset": 42, "partition": 3,
        "topic": "in", "degraded": ["feature_store", "model"],
    }  # fmt: skip
    assert found[0]["decision_id"] == "in-3-41"


PYTHON_TYPES = {ColumnType.STRING: str, ColumnType.INT: int, ColumnType.JSON: list}


@pytest.mark.parametrize("name", SPECIAL)
def test_a_special_column_has_the_type_that_is_declared(name: str) -> None:
    column = SPECIAL_COLUMNS[name]
    assert column.name == name
    assert not column.nullable
    for rows in (batch(x=[1.0, 2.0]), batch(x=[])):
        values = SPECIAL[name].values(rows)
        assert len(values) == len(rows)
        assert all(type(value) is PYTHON_TYPES[column.type] for value in values)


def test_a_declared_column_hides_a_special_one() -> None:
    rows = batch(topic=objects("mine"))
    assert encode_rows(rows, {"topic": "topic"}) == [b'{"topic":"mine"}']


def test_a_column_that_is_neither_is_a_fault_of_the_topology() -> None:
    with pytest.raises(KeyError):
        encode_rows(batch(x=[1.0]), {"y": "y"})


def test_text_stays_utf_8() -> None:
    rows = batch(text=objects('é😀"\\\n\u2028'))
    assert encode_rows(rows, {"é": "text"}) == ['{"é":"é😀\\"\\\\\\n\u2028"}'.encode()]


def test_keys_are_the_records_own_or_the_text_of_a_column() -> None:
    rows = Batch.of(
        {
            "id": objects("é", None, ""),
            "n": np.array([1, 2, 3]),
            "at": np.array([MISSING_TIME] * 3),
        },
        keys=[b"\xff", None, b""],
    )
    assert keys_of(rows, None) == [b"\xff", None, b""]
    assert keys_of(rows, "id") == ["é".encode(), None, b""]
    assert keys_of(rows, "n") == [b"1", b"2", b"3"]
    assert keys_of(rows, "at") == [None, None, None]
    assert keys_of(rows, "decision_id") == [b"input-0-0", b"input-0-1", b"input-0-2"]


def test_an_empty_batch_makes_no_rows() -> None:
    assert encode_rows(batch(x=[]), {"x": "x", "id": "decision_id"}) == []
    assert keys_of(batch(x=[]), None) == []
