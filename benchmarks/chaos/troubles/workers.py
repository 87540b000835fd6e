"""What befalls workers."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.chaos.ground import Ground
from benchmarks.chaos.troubles.trouble import Kind


@dataclass(frozen=True, slots=True)
class KillWorker:
    """kill -9; a new one starts as soon as a supervisor would."""

    name: str = "kill -9 worker"
    kind: Kind = Kind.KILL
    healing: Kind | None = None
    lasts_s: float = 0.5
    shared: bool = False

    def start(self, ground: Ground, worker: int) -> None:
        ground.fleet.kill(worker)

    def heal(self, ground: Ground, worker: int) -> None:
        ground.fleet.spawn(worker)


@dataclass(frozen=True, slots=True)
class RestartWorker:
    """SIGTERM; a new one starts when it has left, as in a rolling update."""

    name: str = "restart worker"
    kind: Kind = Kind.REBALANCE
    healing: Kind | None = Kind.REBALANCE
    lasts_s: float = 0.5
    shared: bool = False

    def start(self, ground: Ground, worker: int) -> None:
        ground.fleet.end(worker)

    def heal(self, ground: Ground, worker: int) -> None:
        ground.fleet.spawn(worker)


@dataclass(frozen=True, slots=True)
class FreezeWorker:
    """SIGSTOP for longer than the session timeout; SIGCONT wakes a zombie."""

    name: str = "freeze worker"
    kind: Kind = Kind.KILL
    healing: Kind | None = Kind.REBALANCE
    lasts_s: float = 12.0
    shared: bool = False

    def start(self, ground: Ground, worker: int) -> None:
        ground.fleet.freeze(worker)

    def heal(self, ground: Ground, worker: int) -> None:
        ground.fleet.thaw(worker)


@dataclass(frozen=True, slots=True)
class Join:
    """One worker more, and later it leaves again."""

    name: str = "worker joins"
    kind: Kind = Kind.REBALANCE
    healing: Kind | None = Kind.REBALANCE
    lasts_s: float = 6.0
    shared: bool = False

    def start(self, ground: Ground, worker: int) -> None:
        ground.fleet.spawn(ground.fleet.size)

    def heal(self, ground: Ground, worker: int) -> None:
        ground.fleet.end(ground.fleet.size)


@dataclass(frozen=True, slots=True)
class Leave:
    """One worker less, and later it comes back."""

    name: str = "worker leaves"
    kind: Kind = Kind.REBALANCE
    healing: Kind | None = Kind.REBALANCE
    lasts_s: float = 6.0
    shared: bool = False

    def start(self, ground: Ground, worker: int) -> None:
        ground.fleet.end(worker)

    def heal(self, ground: Ground, worker: int) -> None:
        ground.fleet.spawn(worker)


@dataclass(frozen=True, slots=True)
class ClockJump:
    """The time of day of a worker jumps, and later it is set right."""

    name: str
    seconds: float
    kind: Kind = Kind.OTHER
    healing: Kind | None = Kind.OTHER
    lasts_s: float = 4.0
    shared: bool = False

    def start(self, ground: Ground, worker: int) -> None:
        ground.fleet.clocks[worker].jump(self.seconds)

    def heal(self, ground: Ground, worker: int) -> None:
        ground.fleet.clocks[worker].heal()


CLOCK_FORWARD = ClockJump("clock an hour ahead", 3600.0)
CLOCK_BACK = ClockJump("clock an hour back", -3600.0)
