"""Pareto: what more and deeper trees bring, beside what they cost in time per row."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gress_ml.dwcp.training import trees
from gress_ml.dwcp.training.scores import accuracy, regret, served
from gress_ml.dwcp.training.table import Float32, Table
from gress_ml.dwcp.training.trees import TreeSettings
from gress_ml.inference.onnx import OnnxGraph

DEPTHS = (3, 4, 5, 6)
ROUNDS = (20, 40, 80, 120)
#: Nodes that a row may pass in all trees together. Nodes and not time choose, so that the same data
#: give the same model; time is measured beside.
MOST_NODES = 720
#: Regret above the least of the grid that fewer nodes are worth, as a share of it.
SLACK = 0.03

_ROWS, _REPEATS = 256, 30


@dataclass(frozen=True, slots=True)
class Point:
    """One size of the trees, on the validation part."""

    rounds: int
    depth: int
    regret: float
    accuracy: float
    us_at_256: float  # per row, in a batch of 256
    us_at_1: float  # a lone row

    @property
    def nodes(self) -> int:
        """Nodes that a row passes, at most."""
        return self.rounds * self.depth * 3


def grid(
    train: Table,
    validation: Table,
    settings: TreeSettings,
    seed: int,
    depths: Sequence[int] = DEPTHS,
    rounds: Sequence[int] = ROUNDS,
) -> list[Point]:
    """Each depth is trained once to the end; fewer rounds are its beginnings."""
    points = []
    for depth in depths:
        most = replace(settings, depth=depth, rounds=max(rounds))
        booster = trees.fit(train, validation, most, seed)
        points += [
            _point(booster[:count], count, depth, validation)
            for count in rounds
            if count <= booster.num_boosted_rounds()
        ]
    return points


def _point(booster: Any, rounds: int, depth: int, validation: Table) -> Point:
    found = trees.predict(booster, validation.features)
    with tempfile.TemporaryDirectory() as name:
        trees.export(booster, validation.features.shape[1], Path(name))
        graph = OnnxGraph(Path(name) / "trees.onnx").only("probabilities")
        many = validation.features[np.arange(_ROWS) % len(validation)]
        at_256, at_1 = _us(graph, many) / _ROWS, _us(graph, many[:1])
    return Point(
        rounds,
        depth,
        regret(validation, served(validation, found)),
        accuracy(validation, found.argmax(axis=1)),
        at_256,
        at_1,
    )


def _us(graph: OnnxGraph, rows: Float32) -> float:
    """Microseconds of CPU of a call, the least of many: what it takes when nothing disturbs."""
    least = float("inf")
    for _ in range(_REPEATS):
        start = time.thread_time_ns()
        graph.run(rows)
        least = min(least, (time.thread_time_ns() - start) / 1e3)
    return least


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both regret and nodes, cheapest first."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda one: (one.nodes, one.regret)):
        if not kept or point.regret < kept[-1].regret:
            kept.append(point)
    return kept


def chosen(points: Sequence[Point]) -> Point:
    """The fewest nodes whose regret is within 3 % of the least that the bound on nodes allows."""
    cheap = [point for point in points if point.nodes <= MOST_NODES] or list(points)
    least = min(point.regret for point in cheap)
    good = [point for point in cheap if point.regret <= least * (1.0 + SLACK)]
    return min(good, key=lambda point: (point.nodes, point.regret))
