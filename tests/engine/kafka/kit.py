"""Topics, events and workers for the tests on real Kafka."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import orjson
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.dev.port import free_ports
from gress_ml.dev.topics import TopicSettings, create_topics
from gress_ml.engine.stores import open_models, open_stores
from gress_ml.engine.worker import Worker, WorkerSettings
from gress_ml.topology.load import load_topology

Record = ConsumerRecord[bytes, bytes]
_GRESS = (sys.executable, "-c", "from gress_ml.cli.main import main; main()")
#: Lines that no log of a worker may hold.
BAD_LINES = ("Traceback", "crashed", "never retrieved", "never awaited", "worker_failed")

ECHO = '''
"""Echo: passes rows on, as slowly as it is told to, with a mark that a switch sets."""
import time
from typing import ClassVar
import numpy as np
from gress_ml import Batch, Column, Columns, ColumnType, Operator, OperatorConfig, Output
from gress_ml import columns_of

class EchoConfig(OperatorConfig):
    sleep_ms: float = 0.0
    """How long each batch takes."""

class Echo(Operator[EchoConfig]):
    name = "echo"
    Config = EchoConfig
    mark = "none"

    def reads(self) -> frozenset[str]:
        return frozenset({"id"})

    def signature(self, columns: Columns) -> Columns:
        return columns_of((*columns.values(), Column("mark", ColumnType.STRING)))

    def process(self, batch: Batch) -> Output:
        time.sleep(self.config.sleep_ms / 1000)
        mark = np.full(len(batch), self.mark, object)
        return Output(batch.with_columns({"mark": mark}))

    def control(self, switch: str, value: str) -> bool:
        if switch == "echo.mark":
            self.mark = value
        return switch == "echo.mark"
'''

PASS = """
name: {name}
guarantee: {guarantee}
batch: {{size: 64, timeout: 0ms}}
commit_interval: 50ms
inputs:
  events:
    topic: {source}
    fields:
      id: {{type: int, required: true}}
      vm: {{type: string, required: true}}
steps:
  - name: echo
    operator: echo
    config: {{sleep_ms: {sleep_ms}}}
outputs:
  decisions:
    topic: {target}
    from: echo
    fields: [decision_id, id, vm, mark]
"""

WINDOWS = """
name: {name}
guarantee: {guarantee}
batch: {{size: 64, timeout: 0ms}}
commit_interval: 50ms
checkpoint_interval: {checkpoint}
inputs:
  events:
    topic: {source}
    event_time: at
    fields:
      id: {{type: int, required: true}}
      vm: {{type: string, required: true}}
      at: {{type: timestamp, required: true}}
      x: {{type: float, required: true}}
steps:
  - name: windows
    operator: feature_extraction
    config:
      features:
        - {{name: count_1h, type: aggregation, function: count, key: vm, window: 1h, default: -1.0}}
        - {{name: sum_1h, type: aggregation, function: sum, source: x, key: vm, window: 1h,
            default: -1.0}}
      also_columns: true
outputs:
  decisions:
    topic: {target}
    from: windows
    fields: [decision_id, id, vm, count_1h, sum_1h]
"""


async def until(true: Callable[[], Any], within_s: float = 20.0, what: str = "") -> Any:
    """Wait until the answer is true, and return it. The callable may answer an awaitable."""
    deadline = time.monotonic() + within_s
    while True:
        answer = true()
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within_s} s: {what or true}"
        await asyncio.sleep(0.05)


@dataclass
class Bench:
    """One topology with topics and a group of its own."""

    bootstrap: str
    name: str
    folder: Path
    partitions: int = 4
    text: str = PASS
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return f"{self.name}-in"

    @property
    def target(self) -> str:
        return f"{self.name}-out"

    @property
    def dead(self) -> str:
        return f"{self.source}.dlq"

    @property
    def file(self) -> Path:
        folder = self.folder / "topologies"
        path = folder / "bench.yaml"
        if not path.exists():
            folder.mkdir(parents=True)
            operators = self.folder / "operators"
            operators.mkdir()
            (operators / "echo.py").write_text(ECHO)
            values = {"guarantee": "at_least_once", "sleep_ms": 0, "checkpoint": "300ms"}
            names = {"name": self.name, "source": self.source, "target": self.target}
            path.write_text(self.text.format(**{**values, **self.values, **names}))
        return path

    # --- topics -----------------------------------------------------------------------------------

    async def make_topics(self, *names: str) -> None:
        wanted = names or (self.source, self.target, self.dead)
        await create_topics(self.bootstrap, dict.fromkeys(wanted, TopicSettings(self.partitions)))

    async def make_topic(self, name: str, **config: str) -> None:
        """One topic with settings of its own."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, self.partitions, 1, topic_configs=config)])
        finally:
            await admin.close()

    async def send(
        self,
        events: Iterable[Mapping[str, Any] | bytes],
        headers: Sequence[tuple[str, bytes]] = (),
        pause_s: float = 0.0,
    ) -> None:
        """Send events, keyed by ``vm``; raw bytes go as they are, with the key ``bad``."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, enable_idempotence=True, linger_ms=2
        )
        await producer.start()
        try:
            waiting = []
            for event in events:
                raw = isinstance(event, bytes)
                value, key = (event, b"bad") if raw else (orjson.dumps(event), event["vm"].encode())
                waiting.append(await producer.send(self.source, value, key, headers=headers))
                if pause_s:
                    await asyncio.sleep(pause_s)
            await asyncio.gather(*waiting)
        finally:
            await producer.stop()

    async def read(self, topic: str) -> list[Record]:
        """All committed records of a topic, partition after partition."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
            isolation_level="read_committed",
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, number) for number in range(self.partitions)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: dict[TopicPartition, list[Record]] = defaultdict(list)
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for tp, records in (await consumer.getmany(timeout_ms=100)).items():
                    found[tp].extend(records)
            return [record for tp in sorted(found) for record in found[tp]]
        finally:
            await consumer.stop()

    async def decisions(self) -> list[dict[str, Any]]:
        return [orjson.loads(record.value) for record in await self.read(self.target)]

    async def decided(self, count: int, within_s: float = 30.0) -> list[dict[str, Any]]:
        """Wait until this many different inputs were decided; all decisions."""

        async def enough() -> list[dict[str, Any]] | None:
            found = await self.decisions()
            return found if len({one["decision_id"] for one in found}) >= count else None

        found: list[dict[str, Any]] = await until(enough, within_s, f"{count} decisions")
        return found

    async def committed(self) -> int:
        """How many input records the group has committed."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(self.name)
        except KafkaError:
            return 0
        finally:
            await admin.close()
        return sum(max(o.offset, 0) for tp, o in offsets.items() if tp.topic == self.source)

    async def all_committed(self, count: int, within_s: float = 20.0) -> None:
        async def done() -> bool:
            return await self.committed() >= count

        await until(done, within_s, f"{count} committed")

    # --- workers ----------------------------------------------------------------------------------

    def worker(self, **settings: Any) -> Worker:
        """A worker in this process."""
        topology = load_topology(self.file, open_models)
        wanted = {"session_timeout_s": 3.0, **settings}
        return Worker(
            topology,
            open_stores(topology),
            WorkerSettings(KafkaSettings(bootstrap=self.bootstrap), **wanted),
        )

    @asynccontextmanager
    async def running(self, **settings: Any) -> AsyncIterator[Worker]:
        """A worker in this process, with its partitions open; ended cleanly afterwards."""
        async with run(self.worker(**settings)) as worker:
            yield worker

    def process(self, *options: str) -> WorkerProcess:
        """A worker in a process of its own, through the command line."""
        return WorkerProcess(self, options)


@asynccontextmanager
async def run(worker: Worker, ready: bool = True) -> AsyncIterator[Worker]:
    """Run a worker; at the end it must stop without an error."""
    running = asyncio.create_task(worker.run())
    try:
        if ready:
            await until(lambda: worker.status()["ready"] or running.done(), what="ready")
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(running, 20)


class WorkerProcess:
    """``gress worker`` as a process, with its log."""

    _number = 0

    def __init__(self, bench: Bench, options: Sequence[str]) -> None:
        WorkerProcess._number += 1
        (self.port,) = free_ports(1)
        self.log_file = bench.folder / f"worker-{WorkerProcess._number}.log"
        command = [
            *(*_GRESS, "worker", str(bench.file), "--kafka", bench.bootstrap),
            *("--http-port", str(self.port), "--log-format", "json", *options),
        ]
        with self.log_file.open("wb") as log:
            self.popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ}
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def memory_bytes(self) -> int:
        return int(psutil.Process(self.popen.pid).memory_info().rss)

    def health(self) -> dict[str, Any] | None:
        """The body of the health page; None while nobody answers."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2) as answer:
                return dict(orjson.loads(answer.read()))
        except (HTTPError, OSError):
            return None

    def partitions(self) -> list[str]:
        return list((self.health() or {}).get("partitions", []))

    async def opened(self, count: int, within_s: float = 30.0) -> WorkerProcess:
        """Wait until it has this many partitions."""

        async def has() -> bool:
            assert self.popen.poll() is None, self.log
            return len(await asyncio.to_thread(self.partitions)) == count

        await until(has, within_s, f"{count} partitions")
        return self

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def signal(self) -> None:
        self.popen.send_signal(signal.SIGTERM)

    async def ended(self, within_s: float = 15.0) -> int:
        """Wait for its end; the exit code."""
        await until(lambda: self.popen.poll() is not None, within_s, "the worker's end")
        return int(self.popen.returncode)

    async def stop(self) -> None:
        """SIGTERM; it must end with code 0 and a log without faults."""
        self.signal()
        assert await self.ended() == 0, self.log[-3000:]
        self.assert_clean()

    def assert_clean(self) -> None:
        faults = [line for line in self.log.splitlines() if any(bad in line for bad in BAD_LINES)]
        assert not faults, faults


def events(first: int, count: int, keys: int = 16) -> list[dict[str, Any]]:
    """Events with consecutive ids, spread over keys."""
    return [{"id": number, "vm": f"vm-{number % keys}"} for number in range(first, first + count)]


def firsts(decisions: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first appearance of each decision."""
    seen: dict[str, Mapping[str, Any]] = {}
    for decision in decisions:
        seen.setdefault(decision["decision_id"], decision)
    return list(seen.values())


def assert_order_kept(decisions: Iterable[Mapping[str, Any]]) -> None:
    """The first appearances of each key stand in the order of their ids."""
    by_key: dict[str, list[int]] = defaultdict(list)
    for decision in firsts(decisions):
        by_key[decision["vm"]].append(decision["id"])
    for key, ids in by_key.items():
        assert ids == sorted(ids), key


def ids(decisions: Iterable[Mapping[str, Any]]) -> list[int]:
    return sorted(decision["id"] for decision in decisions)
