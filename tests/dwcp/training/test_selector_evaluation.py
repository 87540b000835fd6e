from __future__ import annotations

import numpy as np
import pytest
from selector_tables import made

from gress_ml.dwcp.training.evaluation import evaluate
from gress_ml.dwcp.training.pareto import Point, chosen, front


def test_the_oracle_has_no_regret_and_the_rules_no_gain() -> None:
    table = made()
    found = evaluate(table, np.full((len(table), 3), 1 / 3))
    ways = {one.name: one for one in found.policies}
    assert ways["oracle"].regret.value == 0.0
    assert ways["oracle"].accuracy == 1.0
    assert ways["rules"].gain.value == 0.0
    assert all(one.regret.value >= 0 for one in found.policies)
    assert all(one.mbps <= ways["oracle"].mbps for one in found.policies)


def test_where_the_model_is_never_sure_the_rules_are_evaluated() -> None:
    table = made()
    found = evaluate(table, np.full((len(table), 3), 1 / 3))
    assert found.by_model == 0.0
    assert found.gain.value == 0.0


def test_confusions_cost_what_the_regret_is() -> None:
    table = made(blur=0.3)
    likely = np.eye(3)[np.roll(table.label, 1)]
    found = evaluate(table, likely)
    assert found.confusion.sum() == len(table)
    assert found.confusion_cost.sum() == pytest.approx(found.regret.value)
    assert np.diagonal(found.confusion_cost).sum() == 0.0
    assert np.trace(found.confusion) / len(table) == pytest.approx(found.accuracy.value)


def test_slices_are_all_of_the_rows() -> None:
    table = made()
    found = evaluate(table, np.eye(3)[table.label])
    for parts in (found.by_link, found.by_payload, found.by_size):
        assert sum(one.rows for one in parts) == len(table)
    assert {one.name for one in found.by_link} == {"wan", "dc"}
    assert set(found.heat) == {(a, b) for a in ("text", "binary", "archive") for b in ("wan", "dc")}


def point(rounds: int, depth: int, regret: float) -> Point:
    return Point(rounds, depth, regret, 0.9, 1.0, 10.0)


def test_the_front_has_no_point_that_another_beats() -> None:
    points = [point(20, 3, 0.05), point(40, 3, 0.03), point(20, 6, 0.04), point(80, 3, 0.03)]
    assert [(p.rounds, p.depth) for p in front(points)] == [(20, 3), (40, 3)]


def test_the_cheapest_of_about_the_best_is_chosen() -> None:
    points = [point(20, 3, 0.05), point(40, 3, 0.0102), point(60, 4, 0.01), point(160, 9, 0.001)]
    assert chosen(points) == points[1]


def test_where_all_are_too_large_the_best_counts() -> None:
    points = [point(160, 7, 0.05), point(160, 6, 0.02)]
    assert chosen(points) == points[1]
