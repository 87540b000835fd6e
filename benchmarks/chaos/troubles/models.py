"""What befalls the choice of who answers: the split of an experiment, a model, its registry."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from benchmarks.chaos.ground import Ground
from benchmarks.chaos.subject import EXPERIMENT, MODEL, SPLITS, VERSIONS
from benchmarks.chaos.troubles.trouble import Kind
from gress_ml.adapters.kafka.models import MODELS_TOPIC, announcement
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.cli.compacted import publish
from gress_ml.experiments import EXPERIMENTS_TOPIC


@dataclass(frozen=True, slots=True)
class SplitInRebalance:
    """The weights of an experiment change while its group forms anew; likewise back again."""

    name: str = "split changes in a rebalance"
    kind: Kind = Kind.REBALANCE
    healing: Kind | None = Kind.REBALANCE
    lasts_s: float = 6.0
    shared: bool = False

    def start(self, ground: Ground, worker: int) -> None:
        ground.fleet.spawn(ground.fleet.size)
        first = SPLITS[1]
        weights = f'{{"weights": {{"a": {first}, "b": {100 - first}}}}}'
        _tell(ground, EXPERIMENTS_TOPIC, EXPERIMENT.encode(), weights.encode())

    def heal(self, ground: Ground, worker: int) -> None:
        _tell(ground, EXPERIMENTS_TOPIC, EXPERIMENT.encode(), None)
        ground.fleet.end(ground.fleet.size)


@dataclass(frozen=True, slots=True)
class SwapModel:
    """The champion becomes another version, and later the old one again."""

    name: str = "model swapped"
    kind: Kind = Kind.OTHER
    healing: Kind | None = Kind.OTHER
    lasts_s: float = 4.0
    shared: bool = True

    def start(self, ground: Ground, worker: int) -> None:
        _point(ground, VERSIONS[1])

    def heal(self, ground: Ground, worker: int) -> None:
        _point(ground, VERSIONS[0])


@dataclass(frozen=True, slots=True)
class KillInSwap:
    """kill -9 of a worker while it moves to another version."""

    name: str = "kill -9 in a swap"
    kind: Kind = Kind.KILL
    healing: Kind | None = None
    lasts_s: float = 0.5
    shared: bool = False

    def start(self, ground: Ground, worker: int) -> None:
        _point(ground, VERSIONS[1])
        ground.fleet.kill(worker)

    def heal(self, ground: Ground, worker: int) -> None:
        ground.fleet.spawn(worker)
        _point(ground, VERSIONS[0])


@dataclass(frozen=True, slots=True)
class RegistryAway:
    """The registry cannot be reached, while a worker leaves and a new one starts."""

    name: str = "registry away, worker restarts"
    kind: Kind = Kind.REBALANCE
    healing: Kind | None = Kind.REBALANCE
    lasts_s: float = 9.0
    shared: bool = False

    def start(self, ground: Ground, worker: int) -> None:
        ground.stage.models.cut()
        ground.fleet.end(worker)
        ground.fleet.spawn(worker)  # it waits for its models, and the others go on

    def heal(self, ground: Ground, worker: int) -> None:
        ground.stage.models.heal()


def _point(ground: Ground, version: str) -> None:
    ground.stage.models.point(version)
    _tell(ground, MODELS_TOPIC, *announcement(MODEL, "champion", version, ""))


def _tell(ground: Ground, topic: str, key: bytes, value: bytes | None) -> None:
    asyncio.run(publish(KafkaSettings(bootstrap=ground.stage.bootstrap), topic, key, value))
