"""The optional libraries of training, with a clear word when they are not there."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from gress_ml.errors import GressError


class ExtraMissingError(GressError):
    """A library of the extra ``train`` is not installed."""


LIBRARIES = (
    "xgboost",
    "onnxmltools",
    "onnx",
    "tensorflow",
    "keras",
    "optuna",
    "scipy",
    "matplotlib",
    "tensorboard",
    "pyarrow",
)
_TALKATIVE = ("tensorflow", "keras")


def require_libraries() -> None:
    """Find out before the work begins. Raises ExtraMissingError that names all that is missing."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise _missing(", ".join(missing))


def library(name: str) -> ModuleType:
    """The module. Raises ExtraMissingError that says what to install."""
    if name in _TALKATIVE:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors that end it are raised anyway
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise _missing(str(error.name)) from error


def _missing(names: str) -> ExtraMissingError:
    return ExtraMissingError(
        f"training needs {names}, not installed here: pip install 'gress-ml[train]'"
    )
