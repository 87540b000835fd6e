"""Ablations: the selector without one of its parts, or without some of what it knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gress_ml.dwcp.events import HISTORY_FIELDS
from gress_ml.dwcp.features import feature_spec
from gress_ml.dwcp.training import trees
from gress_ml.dwcp.training.calibration import fit_both
from gress_ml.dwcp.training.ensemble import DEFAULT_SHARE, Ensemble, mix
from gress_ml.dwcp.training.scores import Probabilities, accuracy, by_rules, gain, regret, served
from gress_ml.dwcp.training.split import Parts
from gress_ml.dwcp.training.table import Table
from gress_ml.dwcp.training.trees import TreeSettings
from gress_ml.features import FeatureSetSpec

#: What is measured on the payload itself before it is sent.
PAYLOAD_FIELDS = (
    "entropy_estimate",
    "compressibility_score",
    "repetition_score",
    "baseline_similarity",
)
#: What is measured on the host.
HOST_FIELDS = ("cpu_usage", "memory_available_mb", "cpu_cores")


@dataclass(frozen=True, slots=True)
class Ablation:
    """One selector that lacks something, on the test part."""

    name: str
    accuracy: float
    regret: float
    gain: float  # over the rules


def of_parts(test: Table, ensemble: Ensemble, validation: Table) -> list[Ablation]:
    """Trees alone, network alone, the default weights; each calibrated for itself."""
    named = (
        (f"trees and network, {ensemble.trees_share:.1f} : {1 - ensemble.trees_share:.1f}", None),
        ("trees and network, 0.7 : 0.3", DEFAULT_SHARE),
        ("trees alone", 1.0),
        ("network alone", 0.0),
    )
    seen, held = ensemble.parts(validation.features), ensemble.parts(test.features)
    found = []
    for name, share in named:
        likely = mix(*held, ensemble.trees_share)
        if share is not None:
            first, second = fit_both(*seen, validation.label, share)
            likely = mix(first.apply(held[0]), second.apply(held[1]), share)
        found.append(_scored(name, test, likely))
    return found


def of_information(
    parts: Parts, spec: FeatureSetSpec, settings: TreeSettings, seed: int
) -> list[Ablation]:
    """Trees trained anew without some of the events' fields, or on the 17 features alone."""
    whole = _retrained("trees, all features", parts, settings, seed)
    blind = [
        _retrained(name, _without(parts, spec, fields), settings, seed)
        for name, fields in (
            ("trees, no history", HISTORY_FIELDS),
            ("trees, no measures of the payload", PAYLOAD_FIELDS),
            ("trees, no baseline similarity", ("baseline_similarity",)),
            ("trees, no loss", ("packet_loss",)),
            ("trees, no measures of the host", HOST_FIELDS),
        )
    ]
    seventeen = Parts(
        *(
            part.with_events(part.events, feature_spec())
            for part in (parts.train, parts.validation, parts.test)
        )
    )
    return [whole, *blind, _retrained("trees, the 17 features alone", seventeen, settings, seed)]


def _without(parts: Parts, spec: FeatureSetSpec, fields: Sequence[str]) -> Parts:
    """Events that do not bring these fields: the features take their defaults."""
    made = []
    for part in (parts.train, parts.validation, parts.test):
        unknown = {name: np.full(len(part), np.nan) for name in fields}
        blind = part.with_events(part.events.with_columns(unknown), spec)
        made.append(replace(blind, events=part.events))
    return Parts(*made)


def _retrained(name: str, parts: Parts, settings: TreeSettings, seed: int) -> Ablation:
    booster = trees.fit(parts.train, parts.validation, settings, seed)
    raw = trees.predict(booster, parts.validation.features)
    calibration, _ = fit_both(raw, raw, parts.validation.label, 1.0)
    likely = calibration.apply(trees.predict(booster, parts.test.features))
    return _scored(name, parts.test, likely)


def _scored(name: str, test: Table, likely: Probabilities) -> Ablation:
    choice = served(test, likely)
    return Ablation(
        name, accuracy(test, choice), regret(test, choice), gain(test, choice, by_rules(test))
    )
