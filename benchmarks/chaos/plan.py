"""Plan: which blow falls when. The same seed gives the same plan."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from benchmarks.chaos.scenario import Scenario

#: Blows fall between these shares of the storm: the first seconds are for joining the group.
_FIRST, _LAST = 0.05, 0.95


class Blow(Enum):
    """What is done."""

    KILL_WORKER = "kill -9 worker"
    END_WORKER = "SIGTERM worker"
    KILL_BROKER = "kill -9 broker"
    STOP_BROKER = "restart broker"


@dataclass(frozen=True, slots=True)
class Strike:
    """A blow and its moment, in seconds from the first event."""

    at: float
    blow: Blow
    worker: int = 0


def make_plan(scenario: Scenario, seed: int) -> list[Strike]:
    """Blows in random order at uneven distances, spread over the whole storm."""
    rng = random.Random(seed)
    broker = [
        Blow.KILL_BROKER if number % 2 == 0 else Blow.STOP_BROKER
        for number in range(scenario.broker_restarts)
    ]
    blows = [Blow.KILL_WORKER] * scenario.kills + [Blow.END_WORKER] * scenario.terminations + broker
    rng.shuffle(blows)
    width = (_LAST - _FIRST) * scenario.seconds / max(len(blows), 1)
    start = _FIRST * scenario.seconds
    return [
        Strike(start + (number + rng.random()) * width, blow, rng.randrange(scenario.workers))
        for number, blow in enumerate(blows)
    ]
