"""librdkafka's mock cluster: the lesser mode for machines without a Java runtime.

It speaks Kafka's protocol and is enough to produce, consume and commit. It is not Kafka: it
keeps its data in memory (about 5 MB per partition) and drops the oldest, loses all at a restart
and comes back on another port, makes topics by itself, and answers no admin requests.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from gress_ml.dev.kafka import probe_kafka
from gress_ml.dev.process import Launch
from gress_ml.dev.server import NotAnswering
from gress_ml.errors import ConfigError


class MockKafka:
    """A mock cluster in a small process of its own, in the place of Kafka."""

    name = "kafka"
    kind = "mock-kafka"
    variable = "GRESS_KAFKA"
    version = ""
    port_count = 0  # librdkafka chooses them itself
    patience_s = 90.0
    stop_signal = signal.SIGTERM
    discard_signal = signal.SIGKILL

    def place(self, home: Path) -> Path:
        return home / self.kind

    def prepare(self, folder: Path) -> None:
        try:
            import confluent_kafka  # noqa: F401 - only asked whether it is there
        except ImportError as error:
            raise ConfigError(
                "expected confluent-kafka, which carries the mock cluster; install "
                "`pip install 'gress-ml[servers]'`"
            ) from error
        folder.mkdir(parents=True, exist_ok=True)

    def launch(self, folder: Path, ports: Sequence[int], log: Path) -> Launch:
        (folder / "address").unlink(missing_ok=True)
        return Launch(
            argv=[sys.executable, "-m", __name__, str(folder / "address")], folder=folder, log=log
        )

    def address(self, folder: Path, ports: Sequence[int]) -> str:
        try:
            return (folder / "address").read_text()
        except FileNotFoundError:
            raise NotAnswering("the mock cluster has not told its address yet") from None

    def probe(self, address: str) -> str:
        import confluent_kafka

        probe_kafka(address)
        return f"librdkafka {confluent_kafka.libversion()[0]}"

    def discard(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)


def serve(address_file: Path) -> None:
    """Run the mock cluster until SIGTERM; tell its address once it is known."""
    from confluent_kafka import Producer

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    cluster = Producer({"test.mock.num.brokers": 1})  # the cluster lives inside this client
    brokers = cluster.list_topics(timeout=60).brokers.values()
    draft = address_file.with_suffix(".new")
    draft.write_text(",".join(f"{broker.host}:{broker.port}" for broker in brokers))
    os.replace(draft, address_file)
    stop.wait()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
