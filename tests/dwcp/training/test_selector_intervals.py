from __future__ import annotations

import numpy as np
import pytest

from gress_ml.dwcp.training.intervals import Clusters, Interval, excess, f_score, ratio


def groups(count: int, rows: int) -> np.ndarray:
    return np.array([f"g{at % count}" for at in range(rows)], object)


def test_an_interval_holds_its_figure_and_repeats() -> None:
    rng = np.random.default_rng(3)
    one, two = rng.uniform(1, 9, 400), rng.uniform(1, 9, 400)
    found = Clusters(groups(20, 400)).interval(excess, one, two)
    assert found.value == pytest.approx(one.sum() / two.sum() - 1.0)
    assert found.low < found.value < found.high
    assert Clusters(groups(20, 400)).interval(excess, one, two) == found


def test_rows_of_one_source_are_no_evidence_of_their_own() -> None:
    """The same rows in few sources leave more open than in many."""
    rng = np.random.default_rng(3)
    right = np.repeat(rng.random(20) < 0.5, 50)
    few = Clusters(np.repeat([f"g{at}" for at in range(20)], 50)).interval(
        ratio, right, np.ones(1000)
    )
    many = Clusters(groups(1000, 1000)).interval(ratio, right, np.ones(1000))
    assert few.value == many.value
    assert few.high - few.low > 3 * (many.high - many.low)


def test_one_source_leaves_nothing_to_draw() -> None:
    found = Clusters(groups(1, 10)).interval(ratio, np.ones(10), np.full(10, 4.0))
    assert found == Interval(0.25, 0.25, 0.25)


def test_a_class_that_a_draw_lacks_does_not_spoil_the_interval() -> None:
    true = np.array([1, 0, 0, 0])
    found = Clusters(groups(4, 4)).interval(f_score, true, true, true)
    assert found == Interval(1.0, 1.0, 1.0)
