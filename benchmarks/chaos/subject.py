"""Subject: a topology that storms are raised on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
_OWN = Path(__file__).with_name("topologies")


@dataclass(frozen=True, slots=True)
class Subject:
    """A topology file that reads ``dwcp.transfers``; each output has ``decision_id``."""

    name: str
    file: Path
    #: By step: configuration that differs, so that a body depends on the log alone.
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    #: Likewise, for undisturbed workers: one for each way in which a storm may have them decide. A
    #: body must be one that is made in one of these worlds.
    worlds: tuple[Mapping[str, Mapping[str, Any]], ...] = field(default=({},), hash=False)
    #: Whether each body names the ``version`` that the history says decided it.
    versioned: bool = False


#: Without state. No deadline: what the clock decides cannot be compared byte for byte.
SELECTOR = Subject(
    "selector",
    PROJECT / "topologies" / "compression_selector.yaml",
    {"select": {"inference_timeout_ms": 0}},
)

#: A model and its versions in the registry of a storm; they answer differently.
MODEL, VERSIONS = "compression-selector", ("1.0.0", "1.1.0")


def _by_version(version: str) -> Mapping[str, Mapping[str, Any]]:
    return {step: {"model": f"{MODEL}@{version}"} for step in ("features", "select")}


#: Without state, decided now by one version of its model, now by the other.
SWAPPED = Subject(
    "swapped", SELECTOR.file, SELECTOR.changes, tuple(map(_by_version, VERSIONS)), versioned=True
)


def _split(first: float) -> Mapping[str, Mapping[str, Any]]:
    weights = zip("ab", VERSIONS, (first, 100 - first), strict=True)
    variants = [
        {"name": name, "model_name": MODEL, "model_version": version, "weight": weight}
        for name, version, weight in weights
    ]
    return {"choose": {"variants": variants}}


#: What an experiment's split is, and what the storm makes it, in per cent of the first arm.
EXPERIMENT, SPLITS = "chaos", (80.0, 50.0)

#: Two arms, one of each version of the model.
SPLIT = Subject("split", _OWN / "split.yaml", _split(SPLITS[0]), tuple(map(_split, SPLITS)))

#: With state that shows in every body.
WINDOWS = Subject("windows", _OWN / "windows.yaml")

#: With a learner that goes on from event to event.
LEARNER = Subject("learner", _OWN / "learner.yaml")
