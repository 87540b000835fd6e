"""What befalls the stores of workers. Decisions go on without them."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.chaos.ground import Ground
from benchmarks.chaos.troubles.trouble import Kind


@dataclass(frozen=True, slots=True)
class RedisAway:
    """kill -9 of Redis; it comes back with its rows."""

    name: str = "Redis away"
    kind: Kind = Kind.OTHER
    healing: Kind | None = None
    lasts_s: float = 4.0
    shared: bool = True

    def start(self, ground: Ground, worker: int) -> None:
        ground.stage.redis.stop("redis", kill=True)

    def heal(self, ground: Ground, worker: int) -> None:
        ground.stage.redis.start("redis")


@dataclass(frozen=True, slots=True)
class FullDisk:
    """No checkpoint can be saved; those that were can be read."""

    name: str = "full disk"
    kind: Kind = Kind.OTHER
    healing: Kind | None = None
    lasts_s: float = 9.0  # two checkpoints fall into it
    shared: bool = True

    def start(self, ground: Ground, worker: int) -> None:
        ground.stage.disk.fill()

    def heal(self, ground: Ground, worker: int) -> None:
        ground.stage.disk.free()


@dataclass(frozen=True, slots=True)
class KillOnFullDisk:
    """kill -9 while no checkpoint can be saved: others go on from the last one that was."""

    name: str = "kill -9 on a full disk"
    kind: Kind = Kind.KILL
    healing: Kind | None = None
    lasts_s: float = 9.0
    shared: bool = False

    def start(self, ground: Ground, worker: int) -> None:
        ground.stage.disk.fill()
        ground.fleet.kill(worker)
        ground.fleet.spawn(worker)

    def heal(self, ground: Ground, worker: int) -> None:
        ground.stage.disk.free()
