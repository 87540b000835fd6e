"""The examples in docs/examples run: topologies with their tests, and the operator."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from documents import EXAMPLES, ROOT, blocks

from gress_ml.engine.stores import open_models
from gress_ml.offline.cases import read_cases, run_case
from gress_ml.operator import Operator
from gress_ml.testing import Check, checks_for
from gress_ml.topology.load import load_topology

CASE_FILES = sorted(EXAMPLES.glob("*_test.yaml"))


def example_operator() -> type[Operator[Any]]:
    file = EXAMPLES / "operators/convert_currency.py"
    spec = importlib.util.spec_from_file_location("docs_convert_currency", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found: type[Operator[Any]] = module.ConvertCurrency
    return found


ConvertCurrency = example_operator()
CHECKS = [pytest.param(check, id=name) for name, check in checks_for(ConvertCurrency)]


@pytest.mark.parametrize("check", CHECKS)
def test_example_operator_keeps_the_contract(check: Check) -> None:
    check()


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in CASE_FILES])
async def test_tests_of_the_example_topologies_pass(file: Path) -> None:
    path, cases = read_cases(file)
    topology = load_topology(path, open_models)
    models = open_models(topology.settings.ml, topology.settings.project)
    outcomes = [await run_case(topology, models, case) for case in cases]
    assert [
        (outcome.name, outcome.differences) for outcome in outcomes if outcome.differences
    ] == []


def test_every_example_topology_has_tests() -> None:
    tested = {read_cases(file)[0].name for file in CASE_FILES}
    there = {file.name for file in EXAMPLES.glob("*.yaml")} - {file.name for file in CASE_FILES}
    assert there == tested


def test_harness_in_contributing_runs() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (block,) = [b.text for b in blocks(text) if b.info == "python" and "Harness(" in b.text]
    names: dict[str, Any] = {"ConvertCurrency": ConvertCurrency}
    body, _, last = block.strip().rpartition("\n")
    exec(body, names)  # our own document
    assert eval(last, names) == [{"amount": 10.0, "currency": "USD", "converted": 5.0}]
