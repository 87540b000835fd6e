"""Every operator of the catalogue keeps the contract; nobody has to write a test for it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import gress_ml_operators
from gress_ml.operator import Operator
from gress_ml.testing import Check, checks_for


def operators() -> Iterator[type[Operator[Any]]]:
    for module_info in pkgutil.iter_modules(gress_ml_operators.__path__):
        module = importlib.import_module(f"gress_ml_operators.{module_info.name}")
        for _, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, Operator) and found.__module__ == module.__name__:
                yield found


CASES = [
    pytest.param(check, id=f"{operator.name}-{name}")
    for operator in operators()
    for name, check in checks_for(operator)
]


@pytest.mark.parametrize("check", CASES)
def test_operator_keeps_its_contract(check: Check) -> None:
    check()


def test_every_module_of_the_catalogue_holds_one_operator() -> None:
    modules = [info.name for info in pkgutil.iter_modules(gress_ml_operators.__path__)]
    assert sorted(operator.name for operator in operators()) == sorted(modules)
