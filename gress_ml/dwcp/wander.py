"""Wander: a seeded first-order autoregressive process, for loads and links that drift."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np


@dataclass(slots=True)
class Wander:
    """AR(1): ``x' = mean + memory (x - mean) + noise``, with standard deviation ``spread``."""

    rng: np.random.Generator
    mean: float
    spread: float
    memory: float = 0.9
    _away: float = 0.0

    def step(self) -> float:
        """The next value."""
        noise = float(self.rng.normal()) * self.spread * sqrt(1.0 - self.memory**2)
        self._away = self.memory * self._away + noise
        return self.mean + self._away
