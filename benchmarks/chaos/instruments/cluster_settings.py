"""Settings of one broker of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gress_ml.dev.port import LOOPBACK
from gress_ml.dev.settings import KAFKA_SETTINGS

#: Small: a storm's brokers carry a few MB/s. The serial collector and the quick compiler take
#: neither the memory nor the cores that the workers need.
JVM = ("-Xmx256m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_COPIES = 3


class Ports(NamedTuple):
    """Where one broker listens; ``proxy`` is where it says that its second listener is."""

    clients: int
    controller: int
    behind_proxy: int
    proxy: int


def broker_settings(data: Path, brokers: Mapping[int, Ports], number: int) -> dict[str, str]:
    """Of broker ``number`` out of all ``brokers``, each of which is a controller as well."""
    mine = brokers[number]
    copies = min(_COPIES, len(brokers))
    return {
        **KAFKA_SETTINGS,
        **_replication(copies, in_sync=2 if copies == _COPIES else 1),
        "node.id": str(number),
        "controller.quorum.voters": ",".join(
            f"{voter}@{LOOPBACK}:{ports.controller}" for voter, ports in brokers.items()
        ),
        "listener.security.protocol.map": (
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT"
        ),
        "listeners": ",".join(
            f"{name}://{LOOPBACK}:{port}"
            for name, port in (
                ("PLAINTEXT", mine.clients),
                ("PROXIED", mine.behind_proxy),
                ("CONTROLLER", mine.controller),
            )
        ),
        "advertised.listeners": (
            f"PLAINTEXT://{LOOPBACK}:{mine.clients},PROXIED://{LOOPBACK}:{mine.proxy}"
        ),
        "log.dirs": str(data),
        # at its start the cleaner takes 128 MiB at once, nearly all that this JVM has
        "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),
        # two cores serve all brokers: fewer threads, each with a stack and buffers
        "num.network.threads": "2",
        "num.io.threads": "2",
        "background.threads": "2",
    }


def _replication(copies: int, in_sync: int) -> dict[str, str]:
    return {
        "default.replication.factor": str(copies),
        "min.insync.replicas": str(in_sync),
        "offsets.topic.replication.factor": str(copies),
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": str(in_sync),
    }
