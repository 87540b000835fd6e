from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from selector_tables import made

from gress_ml.dwcp.training import gates
from gress_ml.dwcp.training.evaluation import Evaluation, evaluate
from gress_ml.dwcp.training.gates import Facts, Gate, GateError
from gress_ml.dwcp.training.intervals import Interval

FACTS = Facts(gap=0.01, p99_us=90.0, megabytes=0.8)


@pytest.fixture(scope="module")
def perfect() -> Evaluation:
    """Every choice is the cheapest, and all are sure."""
    table = made()
    return evaluate(table, np.eye(3)[table.label])


def failed(found: list[Gate]) -> list[str]:
    return [gate.name for gate in found if not gate.passed]


def test_a_perfect_selector_passes_all_gates(perfect: Evaluation) -> None:
    assert perfect.regret == Interval(0.0, 0.0, 0.0)
    assert failed(gates.gates(perfect, FACTS)) == []


def test_regret_stands_in_for_accuracy_and_for_f1(perfect: Evaluation) -> None:
    poor = tuple(replace(one, f1=Interval(0.5, 0.4, 0.6)) for one in perfect.classes)
    off = replace(perfect, accuracy=Interval(0.9, 0.9, 0.9), classes=poor)
    near = replace(off, regret=Interval(0.009, 0.0, 0.02))
    assert failed(gates.gates(near, FACTS)) == []
    between = replace(off, regret=Interval(0.015, 0.0, 0.02))
    assert failed(gates.gates(between, FACTS)) == ["every class"]
    far = replace(off, regret=Interval(0.021, 0.0, 0.03))
    assert failed(gates.gates(far, FACTS)) == ["accuracy or regret", "every class"]


@pytest.mark.parametrize(
    ("gain", "passes"),
    [
        (Interval(0.10, 0.051, 0.2), True),
        (Interval(0.099, 0.06, 0.2), False),
        (Interval(0.30, 0.05, 0.6), False),
    ],
)
def test_the_gain_and_the_lower_end_both_count(
    perfect: Evaluation, gain: Interval, passes: bool
) -> None:
    found = gates.gates(replace(perfect, gain=gain), FACTS)
    assert (failed(found) == []) == passes


@pytest.mark.parametrize(
    ("facts", "gate"),
    [
        (replace(FACTS, gap=0.03), "train–validation gap"),
        (replace(FACTS, p99_us=1000.0), "model call at batch 1"),
        (replace(FACTS, megabytes=10.0), "size of the bundle"),
    ],
)
def test_each_fact_has_its_bound(perfect: Evaluation, facts: Facts, gate: str) -> None:
    assert failed(gates.gates(perfect, facts)) == [gate]


def test_calibration_has_its_bound(perfect: Evaluation) -> None:
    assert failed(gates.gates(replace(perfect, ece=0.021), FACTS)) == ["calibration error"]


def test_a_failed_gate_stops_the_publish_unless_there_is_a_reason(perfect: Evaluation) -> None:
    found = gates.gates(perfect, replace(FACTS, gap=0.5))
    with pytest.raises(GateError, match=r"train–validation gap: \+50.00%, needs < 3%"):
        gates.require(found, "")
    gates.require(found, "the first of its kind")
    assert gates.forced(found, "the first of its kind") == {
        "gates": "failed: train–validation gap",
        "forced": "the first of its kind",
    }


def test_passed_gates_need_no_reason_and_keep_none(perfect: Evaluation) -> None:
    found = gates.gates(perfect, FACTS)
    gates.require(found, "")
    assert gates.forced(found, "no need") == {"gates": "passed"}
