"""Apache Kafka, one broker in KRaft mode."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from gress_ml.dev.kafka_node import KafkaNode
from gress_ml.dev.port import LOOPBACK, free_ports
from gress_ml.dev.process import Launch
from gress_ml.dev.server import NotAnswering
from gress_ml.dev.settings import KAFKA_SETTINGS, KAFKA_VERSION


class Kafka:
    """A real broker from Kafka's own jars."""

    name = "kafka"
    kind = "kafka"
    variable = "GRESS_KAFKA"
    version = KAFKA_VERSION
    port_count = 2  # clients, controller
    patience_s = 180.0
    stop_signal = signal.SIGTERM
    discard_signal = signal.SIGKILL  # a controlled shutdown moves leaders that have nowhere to go

    def place(self, home: Path) -> Path:
        return home / self.name

    def prepare(self, folder: Path) -> None:
        # any ports will do here: the settings are written again at each start
        node = KafkaNode(folder, _settings(folder, free_ports(self.port_count)))
        node.prepare("--standalone")

    def launch(self, folder: Path, ports: Sequence[int], log: Path) -> Launch:
        return KafkaNode(folder, _settings(folder, ports)).launch(log, "-Xmx1g")

    def address(self, folder: Path, ports: Sequence[int]) -> str:
        return f"{LOOPBACK}:{ports[0]}"

    def probe(self, address: str) -> str:
        probe_kafka(address)
        return ""

    def discard(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)


def probe_kafka(bootstrap: str) -> None:
    """Ask for the cluster's metadata.

    A KRaft broker takes requests only after it was unfenced, so one answer means that it is
    ready for all of them.
    """
    _knock(bootstrap)
    try:
        asyncio.run(_metadata(bootstrap))
    except (KafkaError, OSError, TimeoutError) as error:
        raise NotAnswering(f"no Kafka broker answers at {bootstrap}: {error}") from error


def _knock(bootstrap: str) -> None:
    """Fail quickly and without log lines while nobody listens."""
    problem = "no address given"
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
        except (OSError, ValueError) as error:
            problem = str(error)
        else:
            return
    raise NotAnswering(f"no Kafka broker listens at {bootstrap}: {problem}")


async def _metadata(bootstrap: str) -> None:
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=3000)
    try:
        await asyncio.wait_for(client.bootstrap(), timeout=10)
        if not client.cluster.brokers():
            raise NotAnswering(f"the Kafka broker at {bootstrap} names no brokers")
    finally:
        await client.close()


def _settings(folder: Path, ports: Sequence[int]) -> dict[str, str]:
    clients, controller = ports
    return {
        **KAFKA_SETTINGS,
        "listeners": f"PLAINTEXT://{LOOPBACK}:{clients},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{clients}",
        "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{controller}",
        "log.dirs": str(folder / "data"),
    }
