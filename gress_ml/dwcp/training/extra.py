"""The optional libraries of training, with a clear word when they are not there."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from gress_ml.errors import GressError


class ExtraMissingError(GressError):
    """A library of the extra ``train`` is not installed."""


def library(name: str) -> ModuleType:
    """The module. Raises ExtraMissingError that says what to install."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"training needs {error.name}, which is not installed: pip install 'gress-ml[train]'"
        ) from error
