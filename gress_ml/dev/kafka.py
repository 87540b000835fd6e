"""Apache Kafka, one broker in KRaft mode."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from gress_ml.dev.java import find_java
from gress_ml.dev.kafka_jars import kafka_jars
from gress_ml.dev.port import LOOPBACK, free_ports
from gress_ml.dev.process import Launch
from gress_ml.dev.server import NotAnswering
from gress_ml.dev.settings import KAFKA_CLUSTER_ID, KAFKA_SETTINGS, KAFKA_VERSION
from gress_ml.errors import GressError

LOG4J = """\
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
appender.out.name = out
appender.out.type = Console
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1} %m%n
"""


class Kafka:
    """A real broker from Kafka's own jars."""

    name = "kafka"
    kind = "kafka"
    variable = "GRESS_KAFKA"
    version = KAFKA_VERSION
    port_count = 2  # clients, controller
    patience_s = 90.0
    stop_signal = signal.SIGTERM
    discard_signal = signal.SIGKILL  # a controlled shutdown moves leaders that have nowhere to go

    def place(self, home: Path) -> Path:
        return home / self.name

    def prepare(self, folder: Path) -> None:
        java = find_java()
        jars = kafka_jars(java)
        if (folder / "formatted").exists():
            return
        shutil.rmtree(folder / "data", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log4j2.properties").write_text(LOG4J)
        # any ports will do here: the file is written again at each start
        _write_properties(folder, free_ports(self.port_count))
        _format(java, jars, folder)
        (folder / "formatted").touch()

    def launch(self, folder: Path, ports: Sequence[int], log: Path) -> Launch:
        _write_properties(folder, ports)
        java = find_java()
        return Launch(
            argv=[
                *_jvm(java, kafka_jars(java), folder),
                *("-Xmx1g", "kafka.Kafka", str(folder / "server.properties")),
            ],
            folder=folder,
            log=log,
        )

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


def _write_properties(folder: Path, ports: Sequence[int]) -> None:
    clients, controller = ports
    properties = {
        **KAFKA_SETTINGS,
        "listeners": f"PLAINTEXT://{LOOPBACK}:{clients},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{clients}",
        "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{controller}",
        "log.dirs": str(folder / "data"),
    }
    lines = [f"{name}={value}\n" for name, value in properties.items()]
    (folder / "server.properties").write_text("".join(lines))


def _format(java: Path, jars: Path, folder: Path) -> None:
    done = subprocess.run(  # noqa: S603 - the arguments are ours
        [
            *_jvm(java, jars, folder),
            *("-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format", "--standalone"),
            *("--cluster-id", KAFKA_CLUSTER_ID, "--config", str(folder / "server.properties")),
        ],
        capture_output=True,
        text=True,
        timeout=Kafka.patience_s,
        check=False,
    )
    if done.returncode != 0:
        raise GressError(
            f"expected Kafka to format its data folder {folder / 'data'}; it ended with "
            f"{done.returncode}:\n{(done.stdout + done.stderr).strip()}"
        )


def _jvm(java: Path, jars: Path, folder: Path) -> list[str]:
    return [
        str(java),
        "-Djava.net.preferIPv4Stack=true",  # all listeners are on 127.0.0.1
        f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}",
        *("-cp", f"{jars}/*"),
    ]
