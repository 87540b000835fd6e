"""What a saved learner may be made of, by name: river's own classes and a few plain ones.

Nothing else is ever looked up, so that no name in a file can lead to code of another package.
"""

from __future__ import annotations

import collections
import copy
import importlib
import operator
import statistics
import sys
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np

from gress_ml.errors import SnapshotError

#: Parts of river that no learner is made of, and that read files, fetch pages or run others' code.
_REFUSED = (
    "river.api",
    "river.bandit.envs",
    "river.checks",
    "river.compat",
    "river.datasets",
    "river.evaluate",
    "river.stream",
)
_PLAIN: Mapping[str, type] = {
    f"{one.__module__}:{one.__qualname__}": one
    for one in (
        *(bool, int, float, str, bytes, tuple, list, dict, set, frozenset),
        *(collections.deque, collections.defaultdict, collections.Counter),
        *(collections.OrderedDict, statistics.NormalDist),
    )
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "builtins:str.lower": str.lower,
    "copy:deepcopy": copy.deepcopy,
    "numpy:ones": np.ones,
    "operator:add": operator.add,
    "operator:mul": operator.mul,
}
_NAMES: Mapping[Callable[..., Any], str] = {function: name for name, function in _FUNCTIONS.items()}


def class_name(found: type) -> str:
    """The name of a class, for ``class_of``. Raises SnapshotError when it is not allowed."""
    return _name(found, _PLAIN, "class")


def class_of(name: str) -> type:
    """The class of a name. Raises SnapshotError."""
    found = _PLAIN.get(name) or _in_river(name)
    if not isinstance(found, type):
        raise SnapshotError(f"{name!r} is not a class")
    return found


def function_name(found: Callable[..., Any]) -> str:
    """The name of a function, for ``function_of``. Raises SnapshotError when it is not allowed."""
    known = _NAMES.get(found)
    return known or _name(found, _FUNCTIONS, "function")


def function_of(name: str) -> Callable[..., Any]:
    """The function of a name. Raises SnapshotError."""
    if name in _FUNCTIONS:
        return _FUNCTIONS[name]
    found = _in_river(name)
    if not isinstance(found, FunctionType | BuiltinFunctionType):
        raise SnapshotError(f"{name!r} is not a function")
    return found


def _name(found: Any, plain: Mapping[str, Any], what: str) -> str:
    name = f"{found.__module__}:{found.__qualname__}"
    if name not in plain and _lookup(name) is not found:
        raise SnapshotError(f"{what} {name.replace(':', '.')} is none of river's own")
    return name


def _in_river(name: str) -> Any:
    found = _lookup(name)
    if found is None:
        raise SnapshotError(f"{name!r} is nothing of river that a learner is made of")
    return found


def _lookup(name: str) -> Any:
    """What river defines under ``module:name``, at that very place; None when there is no such."""
    module_name, _, path = name.partition(":")
    if not module_name.startswith("river.") or _within(module_name, _REFUSED):
        return None
    try:
        found: Any = sys.modules.get(module_name) or importlib.import_module(module_name)
        for part in path.split("."):
            found = vars(found)[part]
            found = found.__func__ if isinstance(found, staticmethod) else found
    except (ImportError, KeyError, TypeError):
        return None
    same = (getattr(found, "__module__", ""), getattr(found, "__qualname__", ""))
    return found if same == (module_name, path) else None


def _within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
