"""What befalls the network between the workers and the brokers."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.chaos.ground import Ground
from benchmarks.chaos.troubles.trouble import Kind


@dataclass(frozen=True, slots=True)
class SlowNetwork:
    """Each way takes longer, and all connections share what one slow line carries."""

    name: str = "slow network"
    kind: Kind = Kind.OTHER
    healing: Kind | None = None
    lasts_s: float = 6.0
    shared: bool = True
    latency_ms: float = 80.0
    bytes_per_s: float = 4_000_000.0  # some times what the lanes need

    def start(self, ground: Ground, worker: int) -> None:
        for line in ground.stage.network:
            line.slow(self.latency_ms, self.bytes_per_s)

    def heal(self, ground: Ground, worker: int) -> None:
        _heal(ground)


@dataclass(frozen=True, slots=True)
class CutNetwork:
    """All connections are reset, and new ones refused."""

    name: str = "cut network"
    kind: Kind = Kind.AWAY
    healing: Kind | None = None
    lasts_s: float = 3.0
    shared: bool = True

    def start(self, ground: Ground, worker: int) -> None:
        for line in ground.stage.network:
            line.cut()

    def heal(self, ground: Ground, worker: int) -> None:
        _heal(ground)


@dataclass(frozen=True, slots=True)
class SilentNetwork:
    """Every packet is lost, for longer than the session timeout: the group gives all up."""

    name: str = "silent network"
    kind: Kind = Kind.AWAY
    healing: Kind | None = None
    lasts_s: float = 9.0
    shared: bool = True

    def start(self, ground: Ground, worker: int) -> None:
        for line in ground.stage.network:
            line.stall()

    def heal(self, ground: Ground, worker: int) -> None:
        _heal(ground)


def _heal(ground: Ground) -> None:
    for line in ground.stage.network:
        line.heal()
