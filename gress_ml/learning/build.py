"""Build: a learner with all its parts, from plain settings and the columns that it is given."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gress_ml.errors import SchemaError
from gress_ml.learning.definition import build_estimator
from gress_ml.learning.gate import Gate
from gress_ml.learning.learner import Learner, Pace
from gress_ml.learning.names import nearest
from gress_ml.learning.rows import Features, Labels, Missing, feature_columns, labels_of
from gress_ml.learning.scores import Scores, default_metrics
from gress_ml.learning.task import Task, task_of
from gress_ml.learning.trial import feature_maker, try_out
from gress_ml.schema import Columns


@dataclass(frozen=True, slots=True)
class Settings:
    """What a learner is made of."""

    definition: Any
    learning_rate: Any = None
    features: tuple[str, ...] = ("features",)
    label: str = "label"
    classes: tuple[str, ...] = ()
    missing: Missing = "reject"
    metrics: tuple[Any, ...] | None = None
    window: int = 1000
    pace: Pace = field(default_factory=Pace)
    gate: Gate | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """A learner, and how rows get to it; without columns there are no rows and no learner."""

    task: Task
    metrics: tuple[str, ...]
    features: Features | None = None
    labels: Labels | None = None
    learner: Learner | None = None


def build_parts(settings: Settings, columns: Columns) -> Parts:
    """The learner, tried out with made-up rows. Raises SchemaError.

    Where ``columns`` lack some that are named, all else is checked.
    """
    build = partial(build_estimator, settings.definition, settings.learning_rate)
    estimator = build()
    task = task_of(estimator, settings.classes)
    definitions = settings.metrics
    if definitions is None:
        definitions = tuple(default_metrics(task, estimator))
    scores = Scores(definitions, task, estimator, settings.window)
    if settings.gate is not None:
        _require_metric(settings.gate.metric, scores.names)
    if not {*settings.features, settings.label} <= columns.keys():
        return Parts(task, scores.names)
    features = Features(feature_columns(columns, settings.features), settings.missing)
    labels = labels_of(columns[settings.label], task)
    try_out(build, task, _maker(features))
    identity = _identity(settings, features)
    learner = Learner(build, identity, task, scores, settings.pace, settings.gate)
    return Parts(task, scores.names, features, labels, learner)


def _maker(features: Features) -> Callable[[random.Random], dict[str, Any]]:
    return feature_maker(dict(zip(features.names, features.texts, strict=True)))


def _require_metric(metric: str, known: Sequence[str]) -> None:
    if metric not in known:
        hint = nearest(metric, [*known])
        raise SchemaError(
            f"publish.metric: {metric!r} is none of the learner's metrics {[*known]}{hint}"
        )


def _identity(settings: Settings, features: Features) -> str:
    """What a learner is made of, as text: state of another one is not taken over."""
    parts = {
        "definition": settings.definition,
        "learning_rate": settings.learning_rate,
        "features": features.names,
        "fingerprint": features.fingerprint,
        "label": settings.label,
        "classes": settings.classes,
        "missing": settings.missing,
    }
    return json.dumps(parts, sort_keys=True, default=str)
