"""Checks of what an operator declares about itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from gress_ml.operator import Operator, OperatorConfig


def declared(operator_class: type[Operator[Any]]) -> None:
    """It has a name, a config of its own, examples with distinct titles, and a docstring."""
    name = getattr(operator_class, "name", "")
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name), f"the name {name!r} is not lower_snake_case"
    assert operator_class.__doc__, "the class has no docstring"
    assert operator_class.__mro__[1] is Operator or Operator in operator_class.__bases__, (
        "an operator derives from Operator and nothing else"
    )
    titles = [example.title for example in operator_class.examples]
    assert titles, "there is no example"
    assert len(set(titles)) == len(titles), f"two examples have the same title: {titles}"


def config_is_documented(operator_class: type[Operator[Any]]) -> None:
    """The config is frozen and strict, and every field of it, nested ones too, has a docstring."""
    config = operator_class.Config
    assert issubclass(config, OperatorConfig), f"{config.__name__} is no OperatorConfig"
    silent: list[str] = []
    for model in models_in(config):
        settings = model.model_config
        assert settings.get("frozen"), f"{model.__name__} is not frozen"
        assert settings.get("extra") == "forbid", f"{model.__name__} lets unknown names pass"
        fields = model.model_fields.items()
        silent += [f"{model.__name__}.{name}" for name, field in fields if not field.description]
    assert not silent, f"no docstring under {silent}"


def models_in(annotation: Any, seen: set[Any] | None = None) -> Iterator[type[BaseModel]]:
    """The pydantic models that a type is made of, each once."""
    seen = set() if seen is None else seen
    if annotation in seen:
        return
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        seen.add(annotation)
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation, seen)
    for part in get_args(annotation):
        yield from models_in(part, seen)
