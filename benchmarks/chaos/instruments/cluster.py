"""Cluster: Kafka of several brokers on this machine, each of which can end by itself.

The laws: each record is on all brokers (up to three), and is acknowledged when two have it, so
with three of them any one may be away and nothing stops; what was acknowledged outlives every
order of kills in which two are never away together. A broker that comes back has its ports and
its data. ``down`` leaves nothing, also of a former run that was killed itself.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import msgspec
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from gress_ml.dev.kafka_node import KafkaNode
from gress_ml.dev.port import LOOPBACK, free_ports
from gress_ml.dev.process import ProcessId, alive, end, memory_bytes, spawn
from gress_ml.dev.record import Record, read_records, write_records
from gress_ml.dev.settings import KAFKA_SETTINGS
from gress_ml.errors import GressError

_PATIENCE_S = 90.0
_GRACE_S = 30.0
_POLL_S = 0.1
#: Small: a storm's brokers carry a few MB/s. The serial collector and the quick compiler take
#: neither the memory nor the two cores that the workers need.
_JVM = ("-Xms192m", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k")


@dataclass(frozen=True, slots=True)
class Door:
    """Where a ``Proxy(door.listen_port, door.target_port)`` stands before one broker."""

    listen_port: int
    target_port: int


class Cluster:
    """Brokers 1 to ``size``, each a controller as well, with their data in ``folder``.

    Each has two doors: ``bootstrap`` leads to the brokers themselves, as do the addresses that
    they tell there; ``proxied_bootstrap`` leads to the proxies of ``doors``, which the caller
    sets up. All methods block, and may be called beside or inside an event loop::

        with Cluster(folder) as cluster:
            cluster.kill(2)
            cluster.start(2)
    """

    def __init__(self, folder: Path, size: int = 3) -> None:
        self.folder = folder.absolute()
        self.numbers = range(1, size + 1)

    @property
    def bootstrap(self) -> str:
        """The brokers, for clients that see them as they are."""
        return ",".join(f"{LOOPBACK}:{self._record(number).ports[0]}" for number in self.numbers)

    @property
    def proxied_bootstrap(self) -> str:
        """The proxies, for clients that see the brokers through the network."""
        return ",".join(f"{LOOPBACK}:{door.listen_port}" for door in self.doors)

    @property
    def doors(self) -> tuple[Door, ...]:
        """One for each broker, in the order of their numbers."""
        ports = [self._record(number).ports for number in self.numbers]
        return tuple(Door(listen_port=advertised, target_port=port) for *_, port, advertised in ports)
