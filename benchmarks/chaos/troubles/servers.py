"""What befalls servers."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.chaos.ground import Ground
from benchmarks.chaos.troubles.trouble import Kind


@dataclass(frozen=True, slots=True)
class StopServer:
    """A server is stopped or, with ``kill``, killed, and started again on its port and data."""

    name: str
    server: str
    kill: bool
    lasts_s: float
    kind: Kind = Kind.AWAY
    healing: Kind | None = None
    shared: bool = True

    def start(self, ground: Ground, worker: int) -> None:
        ground.servers.stop(self.server, kill=self.kill)

    def heal(self, ground: Ground, worker: int) -> None:
        ground.servers.start(self.server)


RESTART_BROKER = StopServer("restart broker", "kafka", kill=False, lasts_s=0.0)
KILL_BROKER = StopServer("kill -9 broker", "kafka", kill=True, lasts_s=0.0)
#: Decisions go on without it: it is not a server that one waits for.
REDIS_AWAY = StopServer("Redis away", "redis", kill=True, lasts_s=4.0, kind=Kind.OTHER)
