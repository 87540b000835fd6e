"""Scores: how often a choice is the cheapest, and what the other choices cost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from gress_ml.dwcp import rules
from gress_ml.dwcp.profiles import ALGORITHMS, AMST, HDE
from gress_ml.dwcp.training.table import Table

Choice = npt.NDArray[np.intp]
Probabilities = npt.NDArray[np.floating]
Float64 = npt.NDArray[np.float64]

#: The model decides where its top probability is above this, else the rules.
THRESHOLD = 0.6


def cost_of(table: Table, choice: Choice) -> Float64:
    """What each row costs when it is sent as chosen, in ms."""
    found: Float64 = table.cost[np.arange(len(table)), choice]
    return found


def accuracy(table: Table, choice: Choice) -> float:
    """Share of rows where the choice is the cheapest profile."""
    return float(np.mean(choice == table.label))


def regret(table: Table, choice: Choice) -> float:
    """What the choices cost beyond the cheapest ones, as a share of those: 0 is perfect."""
    return float(cost_of(table, choice).sum() / table.cost.min(axis=1).sum() - 1.0)


def gain(table: Table, choice: Choice, baseline: Choice) -> float:
    """How much more of the same traffic moves per unit of cost than with ``baseline``."""
    return float(cost_of(table, baseline).sum() / cost_of(table, choice).sum() - 1.0)


def f1(table: Table, choice: Choice) -> Mapping[str, float]:
    """The F1 score of each class: ``2 hits / (chosen + true)``; 0 for a class that never occurs."""
    found = {}
    for index, name in enumerate(ALGORITHMS):
        hits = int(np.sum((choice == index) & (table.label == index)))
        both = int(np.sum(choice == index) + np.sum(table.label == index))
        found[name] = 2.0 * hits / both if both else 0.0
    return found


def by_rules(table: Table) -> Choice:
    """What the rules choose."""
    hde = rules.prefers_hde(
        table.column("rtt_ms"),
        table.column("bandwidth_mbps"),
        table.column("hde_compression_ratio"),
        table.column("hde_delta_hit_rate"),
    )
    return np.where(hde, ALGORITHMS.index(HDE), ALGORITHMS.index(AMST))


def served(table: Table, probabilities: Probabilities, threshold: float = THRESHOLD) -> Choice:
    """What the selector does: the rules decide where the top probability is not above."""
    sure = probabilities.max(axis=1) > threshold
    return np.where(sure, probabilities.argmax(axis=1), by_rules(table))


def always(table: Table, algorithm: str) -> Choice:
    """One profile for every row."""
    return np.full(len(table), ALGORITHMS.index(algorithm))


def at_random(table: Table, seed: int = 17) -> Choice:
    """A profile by the dice for every row."""
    return np.random.default_rng(seed).integers(len(ALGORITHMS), size=len(table))


def all_scores(
    table: Table, probabilities: Probabilities, threshold: float = THRESHOLD
) -> dict[str, float]:
    """The figures of a bundle's manifest, on rows that training has not seen.

    ``served_*`` are those of the selector as it serves, with the rules behind the model.
    """
    ruled, choice = by_rules(table), probabilities.argmax(axis=1)
    done = served(table, probabilities, threshold)
    return {
        "accuracy": accuracy(table, choice),
        "regret": regret(table, choice),
        **{f"f1_{name}": value for name, value in f1(table, choice).items()},
        "served_accuracy": accuracy(table, done),
        "served_regret": regret(table, done),
        "served_by_model": float(np.mean(probabilities.max(axis=1) > threshold)),
        "gain_over_rules": gain(table, done, ruled),
        "rules_accuracy": accuracy(table, ruled),
        "rules_regret": regret(table, ruled),
        **{f"always_{name}_regret": regret(table, always(table, name)) for name in ALGORITHMS},
    }
