"""The public names for operator authors: this list is the promise (law 9)."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

import gress_ml

PUBLIC = [
    "MISSING_TIME",
    "Batch",
    "BatchPolicy",
    "Column",
    "ColumnType",
    "Columns",
    "ConfigError",
    "Context",
    "EventSchema",
    "Example",
    "FeatureVector",
    "Field",
    "Finding",
    "GressError",
    "Kind",
    "Later",
    "Lookup",
    "Measure",
    "Metric",
    "ModelCorrupt",
    "ModelError",
    "ModelNotFound",
    "Operator",
    "OperatorConfig",
    "OperatorError",
    "Output",
    "Rejected",
    "SchemaError",
    "Snapshot",
    "SnapshotError",
    "Stages",
    "StoreUnavailable",
    "Timed",
    "Write",
    "columns_of",
    "concat",
    "in_one_go",
]


def test_the_public_list_is_exactly_this() -> None:
    assert gress_ml.__all__ == PUBLIC


def test_nothing_else_looks_public() -> None:
    """What is not in the list is a module of the package."""
    others = {
        name
        for name, value in vars(gress_ml).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert others <= set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(gress_ml, name)
    if not inspect.isclass(value) and not inspect.isfunction(value):
        return  # a constant or an alias: its comment stands beside it
    text = inspect.getdoc(value)
    assert text, name
    generated = dataclasses.is_dataclass(value) and text.startswith(f"{name}(")
    assert not generated, f"{name} has only the docstring that dataclass makes"
    assert value.__module__.startswith("gress_ml.")


@pytest.mark.parametrize(
    "name", [name for name in PUBLIC if inspect.isclass(getattr(gress_ml, name))]
)
def test_public_methods_are_documented(name: str) -> None:
    cls = getattr(gress_ml, name)
    for attribute, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if attribute.startswith("_") or not inspect.isfunction(function):
            continue
        assert function.__doc__, f"{name}.{attribute}"


def test_every_error_is_a_gress_error() -> None:
    errors = [
        value
        for name in PUBLIC
        if inspect.isclass(value := getattr(gress_ml, name)) and issubclass(value, Exception)
    ]
    assert len(errors) == 9
    assert all(issubclass(error, gress_ml.GressError) for error in errors)
