"""Episodes: a seeded two-state process for troubles that come in bursts."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf

import numpy as np


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens now and then on a link: how often, how long, and how bad."""

    share: float  # of the time
    mean_s: float  # of one episode
    strength: float  # what it adds or multiplies; the owner says which

    def __post_init__(self) -> None:
        if not 0.0 <= self.share < 1.0 or self.mean_s <= 0.0:
            raise ValueError(f"expected a share within 0–1 and a length above zero, not {self}")


@dataclass(slots=True)
class Episodes:
    """On or off over time, as in Gilbert, Capacity of a Burst-Noise Channel, BSTJ 39(5), 1960.

    In continuous time, so it may be asked at any distance: both states end by chance at constant
    rates. Time must not go back; where it does, the state stays.
    """

    rng: np.random.Generator
    trouble: Trouble
    _on: bool = False
    _time_s: float = -inf

    def at(self, time_s: float) -> bool:
        """Whether an episode is under way at that time, in seconds."""
        share = self.trouble.share
        passed_s = max(0.0, time_s - self._time_s)  # infinite before the first question
        memory = exp(-passed_s / (self.trouble.mean_s * (1.0 - share)))
        self._time_s = max(time_s, self._time_s)
        self._on = float(self.rng.random()) < share + (self._on - share) * memory
        return self._on
