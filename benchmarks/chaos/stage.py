"""Stage: the servers of a scenario, and the network between them and the workers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from benchmarks.chaos.instruments.cluster import Cluster
from benchmarks.chaos.instruments.model_store import ModelStore
from benchmarks.chaos.instruments.proxy import Proxy
from benchmarks.chaos.instruments.small_disk import SmallDisk
from benchmarks.chaos.lane import SHIPPED
from gress_ml.dev.servers import Servers

#: Where no Redis answers: a scenario without one has no look-ups either.
_NOWHERE = "127.0.0.1:1"
#: For the checkpoints of all lanes many times over, when it is not filled.
_DISK_KIB = 128 * 1024


@dataclass(frozen=True, slots=True)
class Needs:
    """What a scenario needs beside workers."""

    brokers: int = 1
    network: bool = False  # whether workers reach the brokers through proxies
    redis: bool = False
    clocks: bool = False  # whether the clocks of workers may jump
    small_disk: bool = False  # whether checkpoints lie on a disk that can be full
    #: Models: those of the project, or a registry with two versions of the selector.
    models: Literal["shipped", "folder", "s3"] = "shipped"


class Stage:
    """Everything is up inside ``with``, and nothing is left behind it.

    Raises ``Unavailable`` where this machine cannot do what is needed.
    """

    def __init__(self, folder: Path, needs: Needs) -> None:
        self._needs = needs
        self._life = ExitStack()
        self.cluster = Cluster(folder / "cluster", needs.brokers)
        self.redis = Servers(folder / "servers")
        #: Where checkpoints lie.
        self.disk = SmallDisk(folder / "checkpoints", _DISK_KIB)
        #: The registry, where the scenario has one of its own.
        self.models = ModelStore(folder / "registry", distant=needs.models == "s3")
        #: One for each broker, where the scenario has a network.
        self.network: tuple[Proxy, ...] = ()

    def __enter__(self) -> Self:
        with ExitStack() as life:  # what was begun is ended where the rest does not come up
            shutil.rmtree(self.disk.folder, ignore_errors=True)
            life.enter_context(self.cluster)
            life.callback(self.redis.down)
            if self._needs.redis:
                self.redis.up(["redis"])
            if self._needs.models != "shipped":
                life.enter_context(self.models)
            if self._needs.small_disk:
                life.enter_context(self.disk)
            if self._needs.network:
                self.network = tuple(
                    life.enter_context(Proxy(door.listen_port, door.target_port))
                    for door in self.cluster.doors
                )
            self._life = life.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._life.close()

    @property
    def bootstrap(self) -> str:
        """The brokers as the load and the judge reach them."""
        return self.cluster.bootstrap

    @property
    def workers_bootstrap(self) -> str:
        """The brokers as the workers reach them."""
        return self.cluster.proxied_bootstrap if self._needs.network else self.cluster.bootstrap

    @property
    def environment(self) -> Mapping[str, str]:
        """What the workers' topologies ask for."""
        redis = self.redis.addresses().redis or _NOWHERE
        return {"GRESS_REDIS": redis, **self.models.environment}

    @property
    def registry(self) -> Mapping[str, Any]:
        """``ml.model_registry`` of the workers' topologies."""
        return SHIPPED if self._needs.models == "shipped" else self.models.block
