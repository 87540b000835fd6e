"""Robustness: what wrong measurements in the events do to the choices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gress_ml.dwcp.events import TRANSFER
from gress_ml.dwcp.training.ensemble import Ensemble
from gress_ml.dwcp.training.scores import accuracy, by_rules, cost_of, regret, served
from gress_ml.dwcp.training.table import Table
from gress_ml.features import FeatureSetSpec
from gress_ml.schema import ColumnType

LEVELS = (0.1, 0.2, 0.5)
#: Known for certain; all other numbers of an event are measured.
_EXACT = frozenset({"payload_size", "network_tier", "cpu_cores"})


@dataclass(frozen=True, slots=True)
class Perturbed:
    """Every measured number of every event multiplied by a factor of its own, within the level."""

    level: float
    accuracy: float
    regret: float
    gain: float  # over the rules, which see the same wrong numbers
    same: float  # share of rows whose choice stays


def robustness(
    table: Table, spec: FeatureSetSpec, ensemble: Ensemble, seed: int
) -> list[Perturbed]:
    """The test part at ±10, ±20 and ±50 %. True costs stay."""
    before = served(table, ensemble.predict(table.features))
    return [_at(table, spec, ensemble, level, before, seed) for level in (0.0, *LEVELS)]


def _at(
    table: Table,
    spec: FeatureSetSpec,
    ensemble: Ensemble,
    level: float,
    before: np.ndarray[tuple[int, ...], np.dtype[np.intp]],
    seed: int,
) -> Perturbed:
    shaken = perturbed(table, spec, level, seed)
    choice = served(shaken, ensemble.predict(shaken.features))
    return Perturbed(
        level,
        accuracy(shaken, choice),
        regret(shaken, choice),
        float(cost_of(shaken, by_rules(shaken)).sum() / cost_of(shaken, choice).sum() - 1.0),
        float(np.mean(choice == before)),
    )


def perturbed(table: Table, spec: FeatureSetSpec, level: float, seed: int) -> Table:
    """The table as it would be with wrong measurements: factors between 1 - level and 1 + level.

    Numbers stay within what the event schema allows; features are made anew by the serving code.
    """
    rng, columns = np.random.default_rng((seed, round(level * 1000))), {}
    for field in TRANSFER.fields:
        measured = field.type is ColumnType.FLOAT and field.name in table.events
        if measured and field.name not in _EXACT:
            factor = 1.0 + level * rng.uniform(-1.0, 1.0, len(table))
            columns[field.name] = np.clip(
                table.events[field.name] * factor, field.minimum, field.maximum
            )
    return table.with_events(table.events.with_columns(columns), spec)
