"""Scores: how often a choice is the cheapest, and what the other choices cost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from gress_ml.dwcp import rules
from gress_ml.dwcp.profiles import ALGORITHMS, AMST, HDE
from gress_ml.dwcp.training.table import Table

Choice = npt.NDArray[np.intp]


def accuracy(table: Table, choice: Choice) -> float:
    """Share of rows where the choice is the cheapest profile."""
    return float(np.mean(choice == table.label))


def regret(table: Table, choice: Choice) -> float:
    """What the choices cost beyond the cheapest ones, as a share of those: 0 is perfect."""
    return float(_cost(table, choice) / table.cost.min(axis=1).sum() - 1.0)


def gain(table: Table, choice: Choice, baseline: Choice) -> float:
    """How much more of the same traffic moves per unit of cost than with ``baseline``."""
    return float(_cost(table, baseline) / _cost(table, choice) - 1.0)


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
    column = {name: table.features[:, at] for at, name in enumerate(table.names)}
    hde = rules.prefers_hde(
        column["rtt_ms"],
        column["bandwidth_mbps"],
        column["hde_compression_ratio"],
        column["hde_delta_hit_rate"],
    )
    return np.where(hde, ALGORITHMS.index(HDE), ALGORITHMS.index(AMST))


def all_scores(
    table: Table, probabilities: npt.NDArray[np.floating], threshold: float
) -> dict[str, float]:
    """The figures of a bundle's manifest, on rows that training has not seen.

    ``served_*`` are those of the selector as it serves: the rules decide where the top probability
    is not above the threshold.
    """
    ruled = by_rules(table)
    choice = probabilities.argmax(axis=1)
    served = np.where(probabilities.max(axis=1) > threshold, choice, ruled)
    return {
        "accuracy": accuracy(table, choice),
        "regret": regret(table, choice),
        **{f"f1_{name}": value for name, value in f1(table, choice).items()},
        "served_accuracy": accuracy(table, served),
        "served_regret": regret(table, served),
        "served_by_model": float(np.mean(probabilities.max(axis=1) > threshold)),
        "gain_over_rules": gain(table, served, ruled),
        "rules_accuracy": accuracy(table, ruled),
        "rules_regret": regret(table, ruled),
        **{
            f"always_{name}_regret": regret(table, np.full(len(table), index))
            for index, name in enumerate(ALGORITHMS)
        },
    }


def _cost(table: Table, choice: Choice) -> float:
    return float(table.cost[np.arange(len(table)), choice].sum())
