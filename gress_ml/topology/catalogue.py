"""Catalogue: the operators that a topology may use, by name.

They come in by two doors: packages in the entry-point group ``gress_ml.operators``, and the files
of an ``operators/`` folder in the project. Each module is imported and looked through; nothing
registers itself.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

from gress_ml.operator import Operator, OperatorConfig

GROUP = "gress_ml.operators"
_PRIVATE = "_gress_operators_"  # start of the names of packages made of operators/ folders

OperatorClass = type[Operator[Any]]


@dataclass(frozen=True, slots=True)
class Problem:
    """A module or class that cannot be used: where it is and why."""

    file: str
    line: int
    message: str
    own: bool = False  # of the project's own folder, not of an installed package


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Operators by name, and what could not be loaded."""

    operators: Mapping[str, OperatorClass] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def installed_operators() -> Catalogue:
    """The operators of all installed packages."""
    return _collect(module for entry in _entries() for module in _modules_of(entry))


def project_operators(project: Path) -> Catalogue:
    """The installed operators, and those in the project's ``operators/`` folder."""
    installed = (module for entry in _entries() for module in _modules_of(entry))
    return _collect(chain(installed, _modules_in(project / "operators")))


# --- modules --------------------------------------------------------------------------------------


def _entries() -> list[str]:
    return sorted({entry.module for entry in entry_points(group=GROUP)})


@cache
def _modules_of(package_name: str) -> tuple[ModuleType | Problem, ...]:
    """The modules of an installed package, the package itself among them."""
    package = _import(package_name, package_name)
    if isinstance(package, Problem):
        return (package,)
    inside = pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package_name}.")
    return (package, *(_import(info.name, info.name) for info in inside))


def _modules_in(folder: Path) -> Iterator[ModuleType | Problem]:
    """Each ``.py`` file of a folder, as a module of a private package."""
    files = sorted(folder.glob("*.py"))
    package = _private_package(folder)
    for file in files:
        if file.stem != "__init__":
            yield _import(f"{package}.{file.stem}", str(file), own=True)


def _private_package(folder: Path) -> str:
    """A package of a name that no other has, so that files of two projects do not meet."""
    place = str(folder.resolve())
    name = f"{_PRIVATE}{hashlib.sha256(place.encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [place]
        sys.modules[name] = package
    return name


def _import(name: str, file: str, *, own: bool = False) -> ModuleType | Problem:
    try:
        return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001, RUF100 - whatever a foreign module does
        return Problem(file, _line_of(error, file), f"{type(error).__name__}: {error}", own)


def _line_of(error: Exception, file: str) -> int:
    if isinstance(error, SyntaxError) and error.filename:
        return error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno or 0 for f in reversed(frames) if _same(f.filename, file)), 0)


def _same(left: str, right: str) -> bool:
    return Path(left).name == Path(right).name


# --- classes --------------------------------------------------------------------------------------


def _collect(modules: Iterable[ModuleType | Problem]) -> Catalogue:
    found: dict[str, OperatorClass] = {}
    problems: list[Problem] = []
    for module in modules:
        if isinstance(module, Problem):
            problems.append(module)
            continue
        for operator in _operators_in(module):
            fault = _fault(operator, found)
            if fault:
                own = module.__name__.startswith(_PRIVATE)
                problems.append(Problem(str(module.__file__), 0, fault, own))
            else:
                found[operator.name] = operator
    return Catalogue(dict(sorted(found.items())), tuple(problems))


def _operators_in(module: ModuleType) -> Iterator[OperatorClass]:
    for value in vars(module).values():
        if not (isinstance(value, type) and issubclass(value, Operator)):
            continue
        if value.__module__ == module.__name__ and not value.__name__.startswith("_"):
            yield value


def _fault(operator: OperatorClass, found: Mapping[str, OperatorClass]) -> str:
    name = getattr(operator, "name", None)
    if not isinstance(name, str) or not name:
        return f"operator class {operator.__name__} has no name"
    config = getattr(operator, "Config", None)
    if not (isinstance(config, type) and issubclass(config, OperatorConfig)):
        return f"operator {name!r} has no Config class derived from OperatorConfig"
    if name in found:
        return f"operator {name!r} is there twice: also in {found[name].__module__}"
    return ""
