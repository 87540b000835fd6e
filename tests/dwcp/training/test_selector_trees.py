"""The trees: what folding and weighting do to them. Needs the extra ``train``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from selector_tables import made

from gress_ml.dwcp.training import trees
from gress_ml.dwcp.training.calibration import Calibration
from gress_ml.dwcp.training.pareto import grid
from gress_ml.dwcp.training.trees import TreeSettings

SETTINGS = TreeSettings(rounds=8, depth=3)
BENT = Calibration(0.6, np.array([0.4, -0.1, -0.3]))


@pytest.fixture(scope="module")
def booster() -> object:
    return trees.fit(made(blur=0.2), made(200, seed=4, blur=0.2), SETTINGS, 17)


def test_a_folded_calibration_is_the_calibration(booster: object) -> None:
    features = made(200, seed=5).features
    folded = trees.predict(trees.calibrated(booster, BENT), features)
    np.testing.assert_allclose(folded, BENT.apply(trees.predict(booster, features)), atol=2e-6)


def test_the_calibrated_trees_are_exported_as_they_are(booster: object, tmp_path: Path) -> None:
    features, bent = made(200, seed=5).features, trees.calibrated(booster, BENT)
    trees.export(bent, features.shape[1], tmp_path)
    np.testing.assert_allclose(
        trees.predict_exported(tmp_path, features), trees.predict(bent, features), atol=1e-5
    )


def test_the_same_data_give_the_same_trees(booster: object) -> None:
    again = trees.fit(made(blur=0.2), made(200, seed=4, blur=0.2), SETTINGS, 17)
    assert again.save_raw("json") == booster.save_raw("json")  # type: ignore[attr-defined]


def test_rows_with_more_at_stake_weigh_more() -> None:
    table = made()
    assert trees.row_weights(table, 0.0).tolist() == [1.0] * len(table)
    weights = trees.row_weights(table, 1.0)
    stake = table.cost.mean(axis=1) - table.cost.min(axis=1)
    assert weights.mean() == pytest.approx(1.0)
    assert (np.argsort(weights, kind="stable") == np.argsort(stake, kind="stable")).all()


def test_what_decides_is_what_contributes(booster: object) -> None:
    values = trees.contributions(booster, made(100).features)
    assert values.shape == (100, 3, 5)
    assert np.abs(values).mean(axis=(0, 1)).argmax() == 4  # "chance"


def test_fewer_rounds_of_the_grid_are_beginnings_of_the_same_trees() -> None:
    train, validation = made(blur=0.2), made(200, seed=4, blur=0.2)
    points = grid(train, validation, SETTINGS, 17, depths=(2,), rounds=(3, 6))
    assert [(point.rounds, point.depth) for point in points] == [(3, 2), (6, 2)]
    assert all(point.us_at_256 > 0 for point in points)
    alone = trees.fit(train, validation, TreeSettings(rounds=3, depth=2), 17)
    likely = trees.predict(alone, validation.features)
    assert points[0].accuracy == np.mean(likely.argmax(axis=1) == validation.label)
