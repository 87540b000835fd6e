"""Search: settings that decide best on the validation part, within a budget of trials.

The budget is a number and not a time, so that the same data give the same model everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from gress_ml.dwcp.training import network, trees
from gress_ml.dwcp.training.extra import library
from gress_ml.dwcp.training.network import NetworkSettings, Scaler
from gress_ml.dwcp.training.scores import Probabilities, accuracy, regret, served
from gress_ml.dwcp.training.table import Table
from gress_ml.dwcp.training.trees import TreeSettings

#: Rows that a trial trains on, at most; the models that count see all.
ROWS = 30_000
#: Accuracy lost from training to validation beyond which a trial is marked down, one for one.
ALLOWED_GAP = 0.02

S = TypeVar("S", TreeSettings, NetworkSettings)


@dataclass(frozen=True, slots=True)
class Trial:
    """One try: what was set, and the regret on the validation part."""

    settings: Mapping[str, float]
    regret: float
    score: float  # regret, and what the gap between the parts adds


def search_trees(
    train: Table, validation: Table, trials: int, seed: int
) -> tuple[TreeSettings, list[Trial]]:
    """The best settings of so many trials; the defaults are the first of them."""
    rows = fewer(train)

    def settings_of(trial: Any) -> TreeSettings:
        return TreeSettings(
            rounds=trial.suggest_int("rounds", 40, 160, step=20),
            depth=trial.suggest_int("depth", 3, 7),
            learning_rate=trial.suggest_float("learning_rate", 0.05, 0.3, log=True),
            row_share=trial.suggest_float("row_share", 0.5, 1.0, step=0.1),
            feature_share=trial.suggest_float("feature_share", 0.5, 1.0, step=0.1),
            leaf_weight=trial.suggest_float("leaf_weight", 1.0, 30.0, log=True),
            stake_power=trial.suggest_float("stake_power", 0.0, 0.6, step=0.1),
        )

    def run(settings: TreeSettings) -> tuple[Probabilities, Probabilities]:
        booster = trees.fit(rows, validation, settings, seed)
        return trees.predict(booster, rows.features), trees.predict(booster, validation.features)

    return _search(settings_of, run, TreeSettings(), (rows, validation), trials, seed)


def search_network(
    train: Table, validation: Table, first: NetworkSettings, trials: int, seed: int
) -> tuple[NetworkSettings, list[Trial]]:
    """The best settings of so many trials; ``first`` is the first of them."""
    rows = fewer(train)
    scaler = Scaler.of(rows.features)

    def settings_of(trial: Any) -> NetworkSettings:
        return replace(
            first,
            learning_rate=trial.suggest_float("learning_rate", 5e-4, 8e-3, log=True),
            dropout=trial.suggest_float("dropout", 0.0, 0.3, step=0.1),
            batch=trial.suggest_categorical("batch", [64, 128, 256, 512]),
            stake_power=trial.suggest_float("stake_power", 0.0, 0.6, step=0.1),
        )

    def run(settings: NetworkSettings) -> tuple[Probabilities, Probabilities]:
        model = network.fit(rows, validation, scaler, settings, seed)
        return (
            network.predict(model, scaler, rows.features),
            network.predict(model, scaler, validation.features),
        )

    return _search(settings_of, run, first, (rows, validation), trials, seed)


def _search(
    settings_of: Callable[[Any], S],
    run: Callable[[S], tuple[Probabilities, Probabilities]],
    first: S,
    parts: tuple[Table, Table],
    trials: int,
    seed: int,
) -> tuple[S, list[Trial]]:
    done: list[tuple[Trial, S]] = []

    def objective(trial: Any) -> float:
        settings = settings_of(trial)
        made = _judged(settings, parts, run(settings))
        done.append((made, settings))
        return made.score

    if not trials:
        return first, []
    optuna = library("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    named = first.as_dict()
    study.enqueue_trial({name: value for name, value in named.items() if name != "epochs"})
    study.optimize(objective, n_trials=trials)
    best = min(done, key=lambda one: one[0].score)
    return best[1], [trial for trial, _ in done]


def _judged(
    settings: TreeSettings | NetworkSettings,
    parts: tuple[Table, Table],
    probabilities: tuple[Probabilities, Probabilities],
) -> Trial:
    right = [
        accuracy(part, found.argmax(axis=1))
        for part, found in zip(parts, probabilities, strict=True)
    ]
    found = regret(parts[1], served(parts[1], probabilities[1]))
    over = max(0.0, right[0] - right[1] - ALLOWED_GAP)
    return Trial(settings.as_dict(), found, found + over)


def fewer(table: Table) -> Table:
    """At most ``ROWS`` rows, evenly over the time."""
    if len(table) <= ROWS:
        return table
    return table.rows(np.linspace(0, len(table) - 1, ROWS).astype(np.intp))
