"""What befalls brokers."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.chaos.ground import Ground
from benchmarks.chaos.troubles.trouble import Kind


@dataclass(frozen=True, slots=True)
class BrokerAway:
    """A broker is stopped or, with ``kill``, killed; it comes back on its ports and data."""

    name: str
    kill: bool
    kind: Kind = Kind.AWAY
    healing: Kind | None = None
    lasts_s: float = 0.5
    shared: bool = True

    def start(self, ground: Ground, worker: int) -> None:
        cluster = ground.stage.cluster
        end = cluster.kill if self.kill else cluster.stop
        end(_struck(ground, worker))

    def heal(self, ground: Ground, worker: int) -> None:
        ground.stage.cluster.start(_struck(ground, worker))
        ground.stage.cluster.wait_in_sync()


def _struck(ground: Ground, worker: int) -> int:
    """A broker as good as any, by the number that the plan drew."""
    numbers = ground.stage.cluster.numbers
    return numbers[worker % len(numbers)]


RESTART_BROKER = BrokerAway("restart broker", kill=False)
KILL_BROKER = BrokerAway("kill -9 broker", kill=True)
