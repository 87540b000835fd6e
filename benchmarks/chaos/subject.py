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


#: Without state. No deadline: what the clock decides cannot be compared byte for byte.
SELECTOR = Subject(
    "selector",
    PROJECT / "topologies" / "compression_selector.yaml",
    {"select": {"inference_timeout_ms": 0}},
)

#: With state that shows in every body.
WINDOWS = Subject("windows", _OWN / "windows.yaml")

#: With a learner that goes on from event to event.
LEARNER = Subject("learner", _OWN / "learner.yaml")
