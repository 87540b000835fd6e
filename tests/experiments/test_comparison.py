"""An answer beside the one from the shadow."""

from __future__ import annotations

import numpy as np

from gress_ml.experiments import RESULTS, compare


def results(answer: list[list[float]], shadow: list[list[float]], *, classes: bool) -> list[str]:
    one, other = np.array(answer, np.float32), np.array(shadow, np.float32)
    return [RESULTS[at] for at in compare(one, other, 0.01, classes=classes).result.tolist()]


def test_probabilities_match_within_the_tolerance() -> None:
    answer = [[0.6, 0.4], [0.6, 0.4], [0.505, 0.495], [0.6, 0.4]]
    shadow = [[0.605, 0.395], [0.7, 0.3], [0.495, 0.505], [np.nan, np.nan]]
    assert results(answer, shadow, classes=True) == ["match", "differ", "disagree", "failed"]


def test_values_match_relative_to_their_size() -> None:
    answer, shadow = [[1000.0], [0.001], [1000.0], [-5.0]], [[1009.0], [0.01], [1011.0], [np.inf]]
    assert results(answer, shadow, classes=False) == ["match", "match", "differ", "failed"]


def test_without_rows_there_is_nothing_to_compare() -> None:
    empty = np.empty((0, 3), np.float32)
    assert compare(empty, empty, 0.0, classes=True).result.tolist() == []


def test_how_far_apart_is_told() -> None:
    found = compare(
        np.array([[0.6, 0.4]], np.float32), np.array([[0.5, 0.5]], np.float32), 0, classes=True
    )
    np.testing.assert_allclose(found.difference, [0.1], atol=1e-6)
