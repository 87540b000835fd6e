"""Hosts: the CPU and memory of the machine that sends, and how its load stretches work."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gress_ml.dwcp.wander import Wander

#: However busy a host is, a transfer gets this share of a core.
LEAST_CPU_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class HostState:
    """What a host looks like at one moment."""

    cpu_usage: float  # percent 0–100
    memory_available_mb: float


def elapsed_ms(cpu_ms: float, cpu_usage: float) -> float:
    """How long work of ``cpu_ms`` takes where others use ``cpu_usage`` percent of the CPU.

    Fair sharing: the work gets the share that is left, and never less than 5 %.
    """
    return cpu_ms / max(LEAST_CPU_SHARE, 1.0 - cpu_usage / 100.0)


@dataclass(slots=True)
class Host:
    """A host whose load wanders around a mean; seeded, so two runs see the same load."""

    seed: int
    memory_mb: float = 16384.0
    _load: Wander = field(init=False)
    _used: Wander = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng((self.seed, 1))
        self._load = Wander(rng, mean=float(rng.uniform(15, 70)), spread=15.0)
        self._used = Wander(rng, mean=float(rng.uniform(0.3, 0.9)), spread=0.1)

    def step(self) -> HostState:
        """The next moment."""
        load = float(np.clip(self._load.step(), 1.0, 99.0))
        used = float(np.clip(self._used.step(), 0.05, 0.98))
        return HostState(load, self.memory_mb * (1.0 - used))
