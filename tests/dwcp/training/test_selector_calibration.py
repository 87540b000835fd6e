from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.dwcp.training.calibration import (
    Calibration,
    expected_calibration_error,
    fit_both,
    reliability,
)
from gress_ml.dwcp.training.ensemble import mix

ROWS = 6000


def truth(seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and labels drawn by them."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(0.0, 1.5, (ROWS, 3))
    likely = np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)
    label = (likely.cumsum(axis=1) < rng.random((ROWS, 1))).sum(axis=1)
    return likely, label


def test_labels_drawn_by_the_probabilities_have_hardly_an_error() -> None:
    likely, label = truth()
    assert expected_calibration_error(likely, label) < 0.025


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_calibration_mends_what_is_too_sure_and_leans_to_one_side(share: float) -> None:
    likely, label = truth()
    sure = Calibration(2.5, np.array([1.0, -1.0, 0.0])).apply(likely)
    assert expected_calibration_error(sure, label) > 0.1
    trees, network = fit_both(sure, sure, label, share)
    mended = mix(trees.apply(sure), network.apply(sure), share)
    assert expected_calibration_error(mended, label) < 0.025


def test_calibration_of_right_probabilities_changes_little() -> None:
    likely, label = truth()
    trees, _ = fit_both(likely, likely, label, 1.0)
    assert trees.scale == pytest.approx(1.0, abs=0.1)
    assert np.abs(trees.bias).max() < 0.15


@given(scale=st.floats(0.1, 5.0), bias=st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_calibrated_probabilities_are_probabilities(scale: float, bias: list[float]) -> None:
    likely, _ = truth()
    found = Calibration(scale, np.array(bias)).apply(likely[:50])
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert (found >= 0).all()


def test_scaling_keeps_the_choice() -> None:
    likely, _ = truth()
    found = Calibration(0.3, np.zeros(3)).apply(likely)
    np.testing.assert_array_equal(found.argmax(axis=1), likely.argmax(axis=1))


def test_the_curve_counts_every_row() -> None:
    likely, label = truth()
    curve = reliability(likely, label)
    assert sum(part.rows for part in curve) == ROWS
    assert [part.confidence for part in curve] == sorted(part.confidence for part in curve)


def test_always_sure_and_never_right_is_the_whole_error() -> None:
    sure = np.tile([1.0, 0.0, 0.0], (10, 1))
    assert expected_calibration_error(sure, np.ones(10, int)) == 1.0
