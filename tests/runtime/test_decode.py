from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gress_ml.batch import Batch
from gress_ml.errors import SchemaError
from gress_ml.operator import Rejected
from gress_ml.record import FileRecord
from gress_ml.runtime.decode import Decoder
from gress_ml.schema import MISSING_TIME, ColumnType, EventSchema, Field

DEEP = 100_000
SCHEMA = EventSchema(
    "event",
    (
        Field("id", ColumnType.STRING, required=True),
        Field("x", ColumnType.FLOAT),
        Field("share", ColumnType.FLOAT, default=0.25, minimum=0, maximum=1),
        Field("n", ColumnType.INT, default=7),
        Field("small", ColumnType.INT, default=1, minimum=0.5, maximum=9.5),
        Field("on", ColumnType.BOOL, default=True),
        Field("kind", ColumnType.STRING, default="a", choices=("a", "b")),
        Field("at", ColumnType.TIMESTAMP),
        Field("extra", ColumnType.JSON),
        Field("deep", ColumnType.FLOAT, path="a.b.c"),
        Field("name", ColumnType.STRING, path="a.name", default="nobody"),
    ),
    event_time="at",
)
DECODER = Decoder(SCHEMA)
GOOD = b'{"id": "good", "x": 1.5}'


def records(*values: bytes | None) -> list[FileRecord]:
    return [FileRecord(10 + i, value, b"k", 1000 + i) for i, value in enumerate(values)]


def decode(*values: bytes | None) -> tuple[Batch, list[Rejected]]:
    return DECODER.decode("events", 3, records(*values))


def row(value: bytes | str, decoder: Decoder = DECODER) -> dict[str, Any]:
    """The one good row of an event."""
    data = value.encode() if isinstance(value, str) else value
    batch, rejected = decoder.decode("events", 3, [FileRecord(0, data, None, 99)])
    assert rejected == []
    return {name: column.tolist()[0] for name, column in batch.columns.items()}


def code(value: bytes | str | None, decoder: Decoder = DECODER) -> str:
    """The code with which an event is rejected."""
    data = value.encode() if isinstance(value, str) else value
    batch, rejected = decoder.decode("events", 3, [FileRecord(5, data)])
    assert len(batch) == 0
    assert [one.offset for one in rejected] == [5]
    assert rejected[0].message
    return rejected[0].code


def only(*fields: Field, event_time: str | None = None) -> Decoder:
    return Decoder(EventSchema("only", fields, event_time))


# --- bad input ------------------------------------------------------------------------------------

BAD: dict[str, tuple[bytes | None, str]] = {
    "no value": (None, "empty"),
    "no bytes": (b"", "invalid_json"),
    "blank": (b"  ", "invalid_json"),
    "not JSON": (b"hello", "invalid_json"),
    "truncated": (b'{"id": "a"', "invalid_json"),
    "two objects": (b'{"id":"a"}{"id":"b"}', "invalid_json"),
    "trailing comma": (b'{"id":"a",}', "invalid_json"),
    "single quotes": (b"{'id':'a'}", "invalid_json"),
    "byte order mark": (b'\xef\xbb\xbf{"id":"a"}', "invalid_json"),
    "array": (b'[{"id":"a"}]', "not_an_object"),
    "number": (b"1", "not_an_object"),
    "null": (b"null", "not_an_object"),
    "text": (b'"a"', "not_an_object"),
    "missing field": (b'{"x": 1}', "missing_field"),
    "required is null": (b'{"id": null}', "wrong_type"),
    "number for text": (b'{"id": 1}', "wrong_type"),
    "text for number": (b'{"id":"a","x":"1"}', "wrong_type"),
    "boolean for number": (b'{"id":"a","x":true}', "wrong_type"),
    "number for boolean": (b'{"id":"a","on":1}', "wrong_type"),
    "fraction for int": (b'{"id":"a","n":1.5}', "wrong_type"),
    "number for choice": (b'{"id":"a","kind":1}', "wrong_type"),
    "number for parent": (b'{"id":"a","a":1}', "wrong_type"),
    "unknown choice": (b'{"id":"a","kind":"c"}', "unknown_value"),
    "NaN": (b'{"id":"a","x":NaN}', "invalid_json"),
    "infinity": (b'{"id":"a","x":Infinity}', "invalid_json"),
    "minus infinity": (b'{"id":"a","x":-Infinity}', "invalid_json"),
    "NaN in an unknown field": (b'{"id":"a","?":NaN}', "invalid_json"),
    "1e999": (b'{"id":"a","x":1e999}', "out_of_range"),
    "-1e999": (b'{"id":"a","x":-1e999}', "out_of_range"),
    "1e999 in json": (b'{"id":"a","extra":[{"y":1e999}]}', "out_of_range"),
    "huge int in json": (b'{"id":"a","extra":' + b"9" * 5000 + b"}", "out_of_range"),
    "above maximum": (b'{"id":"a","share":1.01}', "out_of_range"),
    "below minimum": (b'{"id":"a","share":-0.01}', "out_of_range"),
    "int below a fractional minimum": (b'{"id":"a","small":0}', "out_of_range"),
    "int above a fractional maximum": (b'{"id":"a","small":10}', "out_of_range"),
    "int over 64 bits": (b'{"id":"a","n":9223372036854775808}', "out_of_range"),
    "int far over 64 bits": (b'{"id":"a","n":123456789012345678901}', "out_of_range"),
    "int under 64 bits": (b'{"id":"a","n":-9223372036854775809}', "out_of_range"),
    "10 MB": (b'{"id":"' + b"a" * 10_000_000 + b'"}', "too_large"),
    "invalid UTF-8": (b'{"id":"\xff"}', "invalid_utf8"),
    "invalid UTF-8 in an unknown field": (b'{"id":"a","?":"\xff"}', "invalid_utf8"),
    "invalid UTF-8 in an unknown name": (b'{"id":"a","\xff":1}', "invalid_utf8"),
    "Latin-1": ('{"id":"é"}'.encode("latin-1"), "invalid_utf8"),
    "UTF-16": ('{"id":"a"}'.encode("utf-16"), "invalid_utf8"),
    "surrogate bytes": (b'{"id":"\xed\xa0\x80"}', "invalid_utf8"),
    "lone high surrogate": (rb'{"id":"\ud800"}', "invalid_json"),
    "lone low surrogate": (rb'{"id":"\udc00"}', "invalid_json"),
    "lone surrogate in json": (rb'{"id":"a","extra":"\ud800"}', "invalid_json"),
    "lone surrogate in an unknown field": (rb'{"id":"a","?":"\ud800"}', "invalid_json"),
    "control character": (b'{"id":"a\x01"}', "invalid_json"),
    "bad escape": (rb'{"id":"\x41"}', "invalid_json"),
    "leading zero": (b'{"id":"a","x":01}', "invalid_json"),
    "deep in an unknown field": (
        b'{"id":"a","?":' + b"[" * DEEP + b"]" * DEEP + b"}",
        "too_deep",
    ),
    "deep in json": (b'{"id":"a","extra":' + b"[" * DEEP + b"]" * DEEP + b"}", "too_deep"),
    "deep objects in json": (
        b'{"id":"a","extra":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
        "too_deep",
    ),
    "deep and never closed": (b'{"id":"a","extra":' + b"[" * DEEP, "too_deep"),
    "deep at the top": (b"[" * DEEP, "not_an_object"),
    "deep in a typed field": (b'{"id":' + b"[" * DEEP, "wrong_type"),
    "time without zone": (b'{"id":"a","at":"2026-01-01T00:00:00"}', "wrong_type"),
    "date only": (b'{"id":"a","at":"2026-01-01"}', "wrong_type"),
    "time as text": (b'{"id":"a","at":"now"}', "wrong_type"),
    "time as fraction": (b'{"id":"a","at":1.5}', "wrong_type"),
    "year 0": (b'{"id":"a","at":"0000-01-01T00:00:00Z"}', "wrong_type"),
    "month 13": (b'{"id":"a","at":"2026-13-01T00:00:00Z"}', "wrong_type"),
    "time beyond a double": (b'{"id":"a","at":9007199254740993}', "out_of_range"),
}


@pytest.mark.parametrize(("value", "expected"), BAD.values(), ids=BAD.keys())
def test_a_bad_event_is_rejected_with_its_code_and_costs_only_itself(
    value: bytes | None, expected: str
) -> None:
    batch, rejected = decode(GOOD, value, GOOD)
    assert [(one.offset, one.code) for one in rejected] == [(11, expected)]
    assert batch.offsets.tolist() == [10, 12]
    assert batch["x"].tolist() == [1.5, 1.5]
    assert batch.event_time_ms.tolist() == [1000, 1002]


EVENTS = st.fixed_dictionaries(
    {"id": st.text()},
    optional={
        "x": st.none()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.integers(-(2**53), 2**53),
        "share": st.none() | st.floats(0, 1),
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "small": st.none() | st.integers(1, 9),
        "on": st.none() | st.booleans(),
        "kind": st.none() | st.sampled_from(["a", "b"]),
        "at": st.none() | st.integers(-(2**53), 2**53),
        "extra": st.recursive(
            st.none() | st.booleans() | st.text() | st.integers(-(2**63), 2**63 - 1),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
        "a": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "b": st.none() | st.fixed_dictionaries({}, optional={"c": st.floats(0, 9)}),
                "name": st.none() | st.text(),
            },
        ),
        "unknown": st.lists(st.text() | st.none()),
    },
)


def expected_row(event: dict[str, Any]) -> dict[str, Any]:
    """The row as plain Python makes it."""

    def get(path: str, missing: Any) -> Any:
        value: Any = event
        for part in path.split("."):
            value = None if value is None else value.get(part)
        return missing if value is None else value

    return {
        "id": event["id"],
        "x": float(get("x", math.nan)),
        "share": get("share", 0.25),
        "n": get("n", 7),
        "small": get("small", 1),
        "on": get("on", True),
        "kind": get("kind", "a"),
        "at": get("at", MISSING_TIME),
        "extra": get("extra", None),
        "deep": get("a.b.c", math.nan),
        "name": get("a.name", "nobody"),
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other) and type(one) is type(other)


@given(st.lists(EVENTS, max_size=5))
@settings(max_examples=150)
def test_rows_are_those_of_a_plain_json_parser(events: list[dict[str, Any]]) -> None:
    data = [orjson.dumps(event) for event in events]
    batch, rejected = decode(*data)
    assert rejected == []
    for i, value in enumerate(data):
        want = expected_row(orjson.loads(value))
        assert {*batch.columns} == {*want}
        for name, one in want.items():
            assert same(one, batch[name].tolist()[i]), name


SMALL_BAD = [value for value, _ in BAD.values() if value is None or len(value) < 1000]


@given(
    st.lists(st.tuples(EVENTS.map(orjson.dumps), st.just(True)), max_size=5).flatmap(
        lambda good: st.permutations(good + [(value, False) for value in SMALL_BAD[::7]])
    )
)
@settings(max_examples=60, deadline=None)
def test_good_events_are_decoded_as_if_the_bad_ones_had_not_been_there(
    mixed: list[tuple[bytes | None, bool]],
) -> None:
    rows = [
        (FileRecord(i, value, str(i).encode(), i), good) for i, (value, good) in enumerate(mixed)
    ]
    batch, rejected = DECODER.decode("events", 3, [record for record, _ in rows])
    alone, none = DECODER.decode("events", 3, [record for record, good in rows if good])
    assert none == []
    assert {r.offset for r in rejected} == {record.offset for record, good in rows if not good}
    assert batch.offsets.tolist() == alone.offsets.tolist()
    assert batch.event_time_ms.tolist() == alone.event_time_ms.tolist()
    assert batch.keys == alone.keys
    for name, column in batch.columns.items():
        assert column.dtype == alone[name].dtype
        assert all(map(same, column.tolist(), alone[name].tolist()))


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@settings(max_examples=200)
def test_no_bytes_raise(value: bytes) -> None:
    batch, rejected = decode(GOOD, value)
    assert len(batch) + len(rejected) == 2


def test_deep_nesting_does_not_end_the_process() -> None:
    """In a process of its own, since a stack that overflows would take the tests with it."""
    program = f"""
from gress_ml.record import FileRecord
from gress_ml.runtime.decode import Decoder
from gress_ml.schema import ColumnType, EventSchema, Field

decoder = Decoder(EventSchema("e", (Field("j", ColumnType.JSON), Field("x", ColumnType.FLOAT))))
for opening, closing in (("[", "]"), ('{{"a":', "}}")):
    for name in ("j", "unknown"):
        for end in (closing * {DEEP}, ""):
            text = '{{"' + name + '":' + opening * {DEEP} + "1" + end + "}}"
            batch, rejected = decoder.decode("t", 0, [FileRecord(0, text.encode())])
            assert rejected[0].code == "too_deep", rejected
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_codes_do_not_depend_on_the_text_of_the_event() -> None:
    assert code('{"id":"a","kind":"missing required field"}') == "unknown_value"
    assert code('{"id":"a","kind":"Number out of range"}') == "unknown_value"
    odd = only(Field("UTF-8 out of range", ColumnType.FLOAT))
    assert code('{"UTF-8 out of range": "text"}', odd) == "wrong_type"


def test_the_size_limit_is_inclusive() -> None:
    decoder = Decoder(EventSchema("e", (Field("s", ColumnType.STRING),)), max_bytes=20)
    for text in ('{"s": "aaaaaaaaaaaa"}', '{"s": "aaaaaaaaaéa"}'):  # 21 bytes, the second 22
        assert code(text, decoder) == "too_large"
    for text in ('{"s": "aaaaaaaaaaa"}', '{"s": "aaaaaaaaaé"}'):
        assert len(text.encode()) == 20
        assert row(text, decoder)["s"].startswith("aaa")


# --- what is accepted -----------------------------------------------------------------------------


def test_unknown_fields_are_ignored_whatever_they_hold() -> None:
    event = '{"?": [1e999, {"id": 5}, "é", 99999999999999999999999], "id": "a", "": null}'
    assert row(event)["id"] == "a"


def test_of_a_key_given_twice_the_last_counts() -> None:
    found = row('{"id":"a","x":1,"id":"b","x":2,"a":{"b":{"c":1}},"a":{"name":"n"}}')
    assert (found["id"], found["x"], found["name"]) == ("b", 2.0, "n")
    assert math.isnan(found["deep"])
    assert math.isnan(row('{"id":"a","x":1,"x":null}')["x"])


def test_numbers_at_the_edges() -> None:
    found = row('{"id":"a","x":-0.0,"n":-0}')
    assert math.copysign(1, found["x"]) == -1
    assert found["n"] == 0
    assert row('{"id":"a","x":123456789012345678901234567890}')["x"] == 1.2345678901234568e29
    assert row('{"id":"a","x":5e-324}')["x"] == 5e-324
    assert row('{"id":"a","n":9223372036854775807}')["n"] == 2**63 - 1
    assert row('{"id":"a","share":1}')["share"] == 1.0
    assert row('{"id":"a","small":1}')["small"] == 1


def test_text_at_the_edges() -> None:
    assert row(rb'{"id":"\ud83d\ude00\u0000\n"}')["id"] == "😀\x00\n"
    assert row('{"id":"é😀\u2028"}')["id"] == "é😀\u2028"
    assert row(b' \n\t{"id":"a"}\r\n ')["id"] == "a"


def test_missing_and_null_are_the_default_or_the_types_missing_value() -> None:
    for event in (
        '{"id":"a"}',
        '{"id":"a","x":null,"share":null,"n":null,"small":null,"on":null,"kind":null,"at":null,'
        '"extra":null,"a":null}',
        '{"id":"a","a":{"b":null,"name":null}}',
        '{"id":"a","a":{"b":{"c":null}}}',
        '{"id":"a","a":{"b":{}}}',
    ):
        found = row(event)
        assert math.isnan(found.pop("x"))
        assert math.isnan(found.pop("deep"))
        assert found == {
            "id": "a", "share": 0.25, "n": 7, "small": 1, "on": True, "kind": "a",
            "at": MISSING_TIME, "extra": None, "name": "nobody",
        }  # fmt: skip


def test_a_required_field_below_a_parent_makes_the_parent_required() -> None:
    decoder = only(Field("c", ColumnType.INT, required=True, path="a.b.c"))
    assert row('{"a":{"b":{"c":3}}}', decoder) == {"c": 3}
    assert code("{}", decoder) == "missing_field"
    assert code('{"a":{}}', decoder) == "missing_field"
    assert code('{"a":{"b":{}}}', decoder) == "missing_field"
    assert code('{"a":null}', decoder) == "wrong_type"


def test_a_required_json_field_takes_any_value_but_null() -> None:
    decoder = only(Field("j", ColumnType.JSON, required=True))
    for text in ("1", "1.5", '"a"', "true", "[null]", '{"a":null}'):
        assert row(f'{{"j":{text}}}', decoder)["j"] == orjson.loads(text)
    assert code('{"j":null}', decoder) == "wrong_type"
    assert code("{}", decoder) == "missing_field"


def test_names_may_be_any_text() -> None:
    names = ("class", "a b", "é", "f0", "c0", "__post_init__", "0")
    decoder = only(*(Field(name, ColumnType.FLOAT) for name in names))
    event = orjson.dumps({name: i for i, name in enumerate(names)})
    assert row(event, decoder) == {name: float(i) for i, name in enumerate(names)}


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"2026-11-21T00:00:00.123Z"', 1795219200123),
        ('"2026-11-21T02:00:00.123+02:00"', 1795219200123),
        ('"2026-11-20T23:30:00.123-00:30"', 1795219200123),
        ('"1969-12-31T23:59:59.999Z"', -1),
        ("1795219200123", 1795219200123),
        ("0", 0),
        ("-5", -5),
        (str(2**53), 2**53),
        ('"0001-01-01T00:00:00Z"', -62135596800000),
        ('"9999-12-31T23:59:59.999Z"', 253402300799999),
        ('"0001-01-01T00:00:00+14:00"', -62135596800000 - 14 * 3600 * 1000),
        ('"9999-12-31T23:59:59-14:00"', 253402300799000 + 14 * 3600 * 1000),
    ],
)
def test_times_are_milliseconds_since_the_epoch(text: str, expected: int) -> None:
    batch, rejected = decode(f'{{"id":"a","at":{text}}}'.encode())
    assert rejected == []
    assert batch["at"].tolist() == batch.event_time_ms.tolist() == [expected]


@given(
    st.datetimes(
        datetime(1, 1, 2),  # noqa: DTZ001 - the bounds are naive by contract
        datetime(9999, 12, 30),  # noqa: DTZ001 - likewise
        timezones=st.sampled_from(
            [UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=5, minutes=30))]
        ),
    )
)
def test_any_time_with_a_zone_is_read(moment: datetime) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    found = row(f'{{"id":"a","at":"{moment.isoformat()}"}}')["at"]
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=found) == moment


@given(st.lists(st.datetimes(timezones=st.just(UTC)), min_size=20, max_size=20))
def test_a_time_is_the_same_alone_and_in_company(moments: list[datetime]) -> None:
    events = [f'{{"id":"a","at":"{moment.isoformat()}"}}'.encode() for moment in moments]
    together, _ = decode(*events)
    assert together["at"].tolist() == [decode(event)[0]["at"].tolist()[0] for event in events]


def test_where_the_event_has_no_time_the_record_s_own_counts() -> None:
    batch, _ = decode(b'{"id":"a","at":5}', b'{"id":"b"}', b'{"id":"c","at":null}')
    assert batch.event_time_ms.tolist() == [5, 1001, 1002]
    assert batch["at"].tolist() == [5, MISSING_TIME, MISSING_TIME]
    untimed, _ = only(Field("x", ColumnType.FLOAT)).decode("t", 0, records(b"{}", b"{}"))
    assert untimed.event_time_ms.tolist() == [1000, 1001]


def test_a_time_may_have_a_default() -> None:
    assert row("{}", only(Field("t", ColumnType.TIMESTAMP, default=77)))["t"] == 77
    assert row('{"t":5}', only(Field("t", ColumnType.TIMESTAMP, default=77)))["t"] == 5


# --- columns --------------------------------------------------------------------------------------


def test_no_records_make_an_empty_batch_with_all_columns() -> None:
    for values in ((), (b"nonsense", None)):
        batch, rejected = decode(*values)
        assert len(batch) == 0
        assert len(rejected) == len(values)
        assert {*batch.columns} == {field.name for field in SCHEMA.fields}
        assert batch["x"].dtype == np.float64
        assert batch["n"].dtype == batch["at"].dtype == np.int64
        assert batch["on"].dtype == np.bool_
        assert batch["id"].dtype == batch["extra"].dtype == object


def test_lists_in_a_json_column_stay_values() -> None:
    batch, _ = decode(b'{"id":"a","extra":[1,2]}', b'{"id":"b","extra":[3,4]}')
    assert batch["extra"].shape == (2,)
    assert batch["extra"].tolist() == [[1, 2], [3, 4]]


def test_columns_are_read_only_and_keys_and_offsets_are_the_records() -> None:
    batch, _ = decode(GOOD, GOOD)
    assert not any(column.flags.writeable for column in batch.columns.values())
    assert (batch.topic, batch.partition, batch.keys) == ("events", 3, [b"k", b"k"])
    assert batch.offsets.tolist() == [10, 11]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (Field("v", ColumnType.VECTOR), "cannot be read"),
        (Field("v", ColumnType.INT), "needs a default"),
        (Field("v", ColumnType.BOOL), "needs a default"),
        (Field("v", ColumnType.STRING, minimum=1), "for numbers"),
    ],
)
def test_a_field_that_cannot_be_a_column_is_refused(field: Field, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        only(field)


@pytest.mark.parametrize("paths", [("a", "a"), ("a", "a.b"), ("a.b", "a"), ("a.b", "a.b.c")])
def test_a_path_is_read_once(paths: tuple[str, str]) -> None:
    fields = [Field(f"f{i}", ColumnType.FLOAT, path=path) for i, path in enumerate(paths)]
    with pytest.raises(SchemaError, match="twice"):
        only(*fields)
