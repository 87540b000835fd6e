"""Evaluation: all figures of the served selector on the test part, with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.training.calibration import Bin, expected_calibration_error, reliability
from gress_ml.dwcp.training.intervals import Clusters, Interval, excess, f_score, ratio
from gress_ml.dwcp.training.scores import (
    THRESHOLD,
    Choice,
    Probabilities,
    always,
    at_random,
    by_rules,
    cost_of,
    served,
)
from gress_ml.dwcp.training.table import Table


@dataclass(frozen=True, slots=True)
class Policy:
    """One way to choose, and how much faster than by the rules the same traffic is with it."""

    name: str
    accuracy: float
    regret: Interval
    gain: Interval  # over the rules
    mbps: float  # payload bits per second of cost


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How well one profile is recognised."""

    name: str
    rows: int  # where it is the cheapest
    precision: Interval
    recall: Interval
    f1: Interval


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the rows."""

    name: str
    rows: int
    accuracy: float
    regret: float
    gain: Interval  # over the rules
    by_model: float  # share of rows that the model decides


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The test part, decided as it is served: the rules where the model is not sure."""

    rows: int
    sources: int
    conditions: int
    accuracy: Interval
    regret: Interval
    gain: Interval
    confused: Interval  # regret within the rows that are not sent the cheapest way
    model_accuracy: float  # of the model alone, without the rules behind it
    model_regret: float
    by_model: float  # share of rows that the model decides
    confusion: npt.NDArray[np.int64]  # (true, chosen)
    confusion_cost: npt.NDArray[np.float64]  # what each cell adds to the cost of all, as a share
    classes: tuple[ClassScores, ...]
    policies: tuple[Policy, ...]
    by_link: tuple[Slice, ...]
    by_payload: tuple[Slice, ...]
    by_size: tuple[Slice, ...]
    heat: Mapping[tuple[str, str], float]  # regret per payload class and link type
    ece: float
    curve: tuple[Bin, ...]


def evaluate(table: Table, probabilities: Probabilities) -> Evaluation:
    """Everything about the choices that these probabilities lead to."""
    clusters = Clusters(table.source)
    choice, ruled, best = served(table, probabilities), by_rules(table), table.cost.min(axis=1)
    cost, ruled_cost = cost_of(table, choice), cost_of(table, ruled)
    right, wrong = choice == table.label, choice != table.label
    alone = probabilities.argmax(axis=1)
    confusion, confusion_cost = _confusion(table, choice)
    return Evaluation(
        rows=len(table),
        sources=len(clusters),
        conditions=len(set(table.condition)),
        accuracy=clusters.interval(ratio, right, np.ones(len(table))),
        regret=clusters.interval(excess, cost, best),
        gain=clusters.interval(excess, ruled_cost, cost),
        confused=clusters.interval(excess, cost * wrong, best * wrong),
        model_accuracy=float(np.mean(alone == table.label)),
        model_regret=float(cost_of(table, alone).sum() / best.sum() - 1.0),
        by_model=_sure(probabilities),
        confusion=confusion,
        confusion_cost=confusion_cost,
        classes=tuple(
            _class_scores(clusters, table.label == at, choice == at, name)
            for at, name in enumerate(ALGORITHMS)
        ),
        policies=_policies(table, clusters, choice),
        by_link=slices(table, probabilities, table.events["link_type"]),
        by_payload=slices(table, probabilities, table.events["payload_type"]),
        by_size=slices(table, probabilities, _sizes(table)),
        heat=_heat(table, choice),
        ece=expected_calibration_error(probabilities, table.label),
        curve=tuple(reliability(probabilities, table.label)),
    )


def slices(
    table: Table, probabilities: Probabilities, names: npt.NDArray[np.object_]
) -> tuple[Slice, ...]:
    """The figures of the rows of each name."""
    found = []
    for name in sorted(set(names.tolist())):
        held = np.flatnonzero(names == name)
        rows, likely = table.rows(held), probabilities[held]
        cost = cost_of(rows, served(rows, likely))
        found.append(
            Slice(
                str(name),
                len(rows),
                float(np.mean(served(rows, likely) == rows.label)),
                float(cost.sum() / rows.cost.min(axis=1).sum() - 1.0),
                Clusters(rows.source).interval(excess, cost_of(rows, by_rules(rows)), cost),
                _sure(likely),
            )
        )
    return tuple(found)


def _sure(probabilities: Probabilities) -> float:
    return float(np.mean(probabilities.max(axis=1) > THRESHOLD))


def _class_scores(
    clusters: Clusters,
    true: npt.NDArray[np.bool_],
    chosen: npt.NDArray[np.bool_],
    name: str,
) -> ClassScores:
    hits = true & chosen
    return ClassScores(
        name,
        int(true.sum()),
        clusters.interval(ratio, hits, chosen),
        clusters.interval(ratio, hits, true),
        clusters.interval(f_score, hits, chosen, true),
    )


def _policies(table: Table, clusters: Clusters, choice: Choice) -> tuple[Policy, ...]:
    ruled = cost_of(table, by_rules(table))
    bits = float(table.events["payload_size"].sum()) * 8.0
    ways = {
        "oracle": table.label,
        "selector": choice,
        "rules": by_rules(table),
        **{f"always {name}": always(table, name) for name in ALGORITHMS},
        "random": at_random(table),
    }
    best = table.cost.min(axis=1)
    return tuple(
        Policy(
            name,
            float(np.mean(way == table.label)),
            clusters.interval(excess, cost_of(table, way), best),
            clusters.interval(excess, ruled, cost_of(table, way)),
            bits / 1e3 / float(cost_of(table, way).sum()),
        )
        for name, way in ways.items()
    )


def _confusion(
    table: Table, choice: Choice
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    count = len(ALGORITHMS)
    place = table.label * count + choice
    lost = cost_of(table, choice) - table.cost.min(axis=1)
    rows = np.bincount(place, minlength=count**2).reshape(count, count)
    cost = np.bincount(place, lost, minlength=count**2).reshape(count, count)
    return rows.astype(np.int64), cost / table.cost.min(axis=1).sum()


def _heat(table: Table, choice: Choice) -> dict[tuple[str, str], float]:
    kinds, links = table.events["payload_type"], table.events["link_type"]
    cost, best = cost_of(table, choice), table.cost.min(axis=1)
    found = {}
    for kind in sorted(set(kinds.tolist())):
        for link in sorted(set(links.tolist())):
            held = (kinds == kind) & (links == link)
            if held.any():
                found[kind, link] = float(cost[held].sum() / best[held].sum() - 1.0)
    return found


_EDGES = (64 << 10, 1 << 20, 4 << 20)
_SIZES = np.array(["1: < 64 KiB", "2: 64 KiB – 1 MiB", "3: 1 – 4 MiB", "4: ≥ 4 MiB"], object)


def _sizes(table: Table) -> npt.NDArray[np.object_]:
    sizes: npt.NDArray[np.object_] = _SIZES[np.searchsorted(_EDGES, table.events["payload_size"])]
    return sizes
