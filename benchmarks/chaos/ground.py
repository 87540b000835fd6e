"""Ground: all that a trouble may touch."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.chaos.fleet import Fleet
from benchmarks.chaos.stage import Stage


@dataclass(frozen=True, slots=True)
class Ground:
    """The fleet of one lane, and the servers that all lanes share."""

    fleet: Fleet
    stage: Stage
