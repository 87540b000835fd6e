from __future__ import annotations

import dataclasses

import pytest

from gress_ml.schema import Column, ColumnType, EventSchema, Field, columns_of

SCHEMA = EventSchema(
    "e",
    (
        Field("id", ColumnType.STRING, required=True),
        Field("x", ColumnType.FLOAT),
        Field("n", ColumnType.INT, default=0),
        Field("at", ColumnType.TIMESTAMP),
        Field("other", ColumnType.JSON),
    ),
    event_time="at",
)


def test_a_field_may_be_missing_unless_required_or_with_a_default() -> None:
    assert {field.name: field.nullable for field in SCHEMA.fields} == {
        "id": False, "x": True, "n": False, "at": True, "other": True,
    }  # fmt: skip


@pytest.mark.parametrize("default", [0, 0.0, False, ""])
def test_a_default_that_is_false_is_a_default(default: object) -> None:
    assert not Field("f", ColumnType.JSON, default=default).nullable


def test_columns_are_those_of_the_fields() -> None:
    assert list(SCHEMA.columns) == ["id", "x", "n", "at", "other"]
    assert SCHEMA.columns["x"] == Column("x", ColumnType.FLOAT, nullable=True)
    assert SCHEMA.columns["id"] == Column("id", ColumnType.STRING)


def test_only_keeps_required_fields_and_the_event_time_in_order() -> None:
    kept = SCHEMA.only(["x", "unknown"])
    assert [field.name for field in kept.fields] == ["id", "x", "at"]
    assert (kept.name, kept.event_time) == ("e", "at")
    assert [field.name for field in SCHEMA.only([]).fields] == ["id", "at"]


def test_a_name_is_declared_once() -> None:
    field = Field("x", ColumnType.FLOAT)
    with pytest.raises(ValueError, match=r"'e' declares \['x'\] twice"):
        EventSchema("e", (field, Field("y", ColumnType.FLOAT), field))


def test_declarations_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SCHEMA.fields[0].required = False  # type: ignore[misc]
    columns = columns_of([Column("x", ColumnType.FLOAT)])
    with pytest.raises(TypeError):
        columns["y"] = columns["x"]  # type: ignore[index]
