"""Hosts: the CPU and memory of the machine that sends, and how its load stretches work."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gress_ml.dwcp.wander import Wander

#: However busy a host is, a transfer gets this share of a core.
LEAST_CPU_SHARE = 0.05

#: How many cores simulated hosts have.
CORES = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class HostState:
    """What a host looks like at one moment."""

    cpu_usage: float  # percent 0–100, over all cores
    memory_available_mb: float
    cores: int = 1


def elapsed_ms(
    cpu_ms: float, cpu_usage: float, cores: int = 1, slowest_ms: float | None = None
) -> float:
    """How long work of ``cpu_ms`` takes where others use ``cpu_usage`` percent of ``cores``.

    ``slowest_ms`` is the share of the longest of its parallel streams; without it the work is one
    stream. Fair sharing: the streams together get the cores that are left, never less than 5 % of
    one, and each of them at most one core. Times are those of the slower bound.
    """
    left = max(LEAST_CPU_SHARE, cores * (1.0 - cpu_usage / 100.0))
    longest = cpu_ms if slowest_ms is None else slowest_ms
    return max(cpu_ms / left, longest / min(1.0, left))


@dataclass(slots=True)
class Host:
    """A host whose load wanders around a mean; seeded, so two runs see the same load."""

    seed: int
    memory_mb: float = 16384.0
    cores: int = field(init=False)
    _load: Wander = field(init=False)
    _used: Wander = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng((self.seed, 1))
        self._load = Wander(rng, mean=float(rng.uniform(15, 70)), spread=15.0)
        self._used = Wander(rng, mean=float(rng.uniform(0.3, 0.9)), spread=0.1)
        self.cores = int(rng.choice(CORES))

    def step(self) -> HostState:
        """The next moment."""
        load = float(np.clip(self._load.step(), 1.0, 99.0))
        used = float(np.clip(self._used.step(), 0.05, 0.98))
        return HostState(load, self.memory_mb * (1.0 - used), self.cores)
