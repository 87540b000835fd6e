"""``gress`` commands as processes of their own, and the flagship on topics of a test's own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from secure_kafka import settled

from gress_ml.adapters.kafka.control import CONTROL_TOPIC
from gress_ml.dev.port import free_ports
from gress_ml.dev.topics import TopicSettings, create_topics

ROOT = Path(__file__).parents[2]
GRESS = (sys.executable, "-c", "from gress_ml.cli.main import main; main()")
PATIENCE_S = 120.0


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The caller's, without what names its servers, and with these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GRESS_")}
    return {**kept, **variables}


def gress(*arguments: str, variables: Mapping[str, str], cwd: Path = ROOT) -> tuple[int, str]:
    """Run a command; its exit code and all that it printed."""
    done = subprocess.run(
        [*GRESS, *arguments],
        env=clean_environment(variables),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


class WorkerProcess:
    """A running ``gress worker``, its log and its pages."""

    def __init__(self, file: Path, variables: Mapping[str, str], *options: str) -> None:
        (self.port,) = free_ports(1)
        self._log = file.with_name(f"worker-{self.port}.log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*GRESS, "worker", str(file), "--http-port", str(self.port), *options],
                env=clean_environment(variables),
                cwd=file.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def page(self, path: str) -> str:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE_S) as answer:
                return str(answer.read().decode())
        except HTTPError as error:  # e.g. not ready
            with error:
                return error.read().decode()

    def says(self, text: str) -> WorkerProcess:
        """Wait until the log holds a text."""
        return self._wait(lambda: text in self.log, f"{text!r} in the log")

    def ready(self) -> WorkerProcess:
        """Wait until it is ready."""
        return self._wait(self._is_ready, "ready")

    def _is_ready(self) -> bool:
        try:
            return orjson.loads(self.page("/ready"))["ready"] is True
        except OSError:
            return False

    def _wait(self, true: Callable[[], bool], what: str) -> WorkerProcess:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline, f"expected {what}; the log: {self.log[-3000:]}"
            assert self.running or true(), f"expected {what}; it ended: {self.log[-3000:]}"
            time.sleep(0.05)
        return self


class Flagship:
    """The committed topology on topics of its own, reached by a client of the given settings."""

    def __init__(self, name: str, folder: Path, client: Mapping[str, Any]) -> None:
        self.transfers, self.decisions = f"{name}.transfers", f"{name}.decisions"
        self._client = dict(client)
        text = (ROOT / "topologies/compression_selector.yaml").read_text()
        for old, new in (
            ("name: compression-selector\n", f"name: {name}\n"),
            ("dwcp.transfers", self.transfers),
            ("dwcp.outcomes", f"{name}.outcomes"),
            ("topic: dwcp.decisions", f"topic: {self.decisions}"),
        ):
            assert old in text
            text = text.replace(old, new)
        (folder / "topologies").mkdir(parents=True)
        (folder / "models").symlink_to(ROOT / "models")
        self.file = folder / "topologies" / "flagship.yaml"
        self.file.write_text(text)
        self._outcomes = f"{name}.outcomes"

    async def make_topics(self) -> None:
        names = (self.transfers, self.decisions, self._outcomes)
        letters = tuple(f"{name}.dlq" for name in (self.transfers, self._outcomes))
        topics = dict.fromkeys((*names, *letters), TopicSettings(1))
        topics[CONTROL_TOPIC] = TopicSettings(1, {"cleanup.policy": "compact"})
        await create_topics(self._client["bootstrap_servers"], topics, self._client)
        await settled()

    async def send(self, events: Sequence[bytes]) -> None:
        async with AIOKafkaProducer(**self._client, acks="all") as producer:
            for event in events:
                await producer.send(self.transfers, event, b"vm-1")
        await settled()

    async def read(self, count: int) -> list[dict[str, Any]]:
        """The first decisions."""
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + PATIENCE_S
        async with AIOKafkaConsumer(
            self.decisions, **self._client, auto_offset_reset="earliest"
        ) as consumer:
            while len(found) < count:
                assert time.monotonic() < deadline, f"{len(found)} of {count} decisions"
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [orjson.loads(record.value or b"null") for record in records]
        await settled()
        return found


def transfer(number: int) -> bytes:
    """An event of the flagship."""
    return orjson.dumps(
        {
            "request_id": f"r-{number}",
            "vm_id": f"vm-{number % 7}",
            "timestamp": "2026-11-21T00:00:00.123Z",
            "link_type": "wan",
            "rtt_ms": 20.0,
            "bandwidth_available_mbps": 100.0,
            "payload_size": 4096,
            "payload_type": "vm_memory",
            "entropy_estimate": 3.5,
        }
    )
