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
