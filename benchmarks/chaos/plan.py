"""Plan: which blow falls when. The same seed gives the same plan."""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.chaos.scenario import HEAD_S, Scenario
from benchmarks.chaos.troubles.trouble import Trouble

#: How much of the rest between two blows chance may move them.
_PLAY = 0.25
#: What is left of it in any case, also where a healing took longer than planned.
SHORTEST_REST = 1 - _PLAY


@dataclass(frozen=True, slots=True)
class Strike:
    """A trouble and its moment, in seconds from the first event."""

    at: float
    trouble: Trouble
    worker: int


def make_plan(scenario: Scenario, seed: int) -> list[Strike]:
    """All blows in random order at uneven distances; each heals before the next one falls."""
    rng = random.Random(f"{scenario.name} {seed}")
    troubles = [trouble for trouble, times in scenario.troubles for _ in range(times)]
    rng.shuffle(troubles)
    strikes = []
    start = HEAD_S
    for trouble in troubles:
        at = start + rng.random() * _PLAY * scenario.rest_s
        strikes.append(Strike(at, trouble, rng.randrange(scenario.workers)))
        start += trouble.lasts_s + scenario.rest_s
    return strikes
