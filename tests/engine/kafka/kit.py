"""Topics, events and workers for the tests on real Kafka."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
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
#: What is waited for comes in seconds. On a machine with other things to do it comes late, and to
#: be patient costs nothing where all is well.
PATIENCE_S = 120.0
#: Without a heartbeat for so long a worker is taken for dead. Where none is killed, no hold-up of
#: the machine may look like a death: what is decided once here would be decided twice then.
SESSION_S = 30.0
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
        if switch == "SWITCH":
            self.mark = value
        return switch == "SWITCH"
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


async def until(true: Callable[[], Any], within_s: float = PATIENCE_S, what: str = "") -> Any:
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


class Load:
    """Events without end, until it is told to stop: ``next_id`` counts those that were taken."""

    def __init__(self, make: Callable[[int], Mapping[str, Any]]) -> None:
        self.next_id = 0
        self._make = make
        self._over = False

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        while not self._over:
            yield self._make(self.next_id)
            self.next_id += 1

    def stop(self) -> None:
        self._over = True


class Reading:
    """The committed records of a topic, read on whenever it is asked."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        consumer.assign(partitions)
        self._consumer = consumer
        self._found: dict[TopicPartition, list[Record]] = {tp: [] for tp in partitions}

    async def to_the_end(self) -> list[Record]:
        """All that is there now, partition after partition."""
        ends = await self._consumer.end_offsets(list(self._found))
        while any([await self._consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, records in (await self._consumer.getmany(timeout_ms=100)).items():
                self._found[tp].extend(records)
        return [record for records in self._found.values() for record in records]


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
    def switch(self) -> str:
        """The switch of its operator. All tests share the control topic, so it has its own."""
        return f"{self.name.lower()}.mark"

    @property
    def file(self) -> Path:
        folder = self.folder / "topologies"
        path = folder / "bench.yaml"
        if not path.exists():
            folder.mkdir(parents=True)
            operators = self.folder / "operators"
            operators.mkdir()
            (operators / "echo.py").write_text(ECHO.replace("SWITCH", self.switch))
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
            bootstrap_servers=self.bootstrap,
            enable_idempotence=True,
            linger_ms=2,
            request_timeout_ms=round(PATIENCE_S * 1000),  # also of what waits for a broker
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

    @asynccontextmanager
    async def load(
        self, make: Callable[[int], Mapping[str, Any]] | None = None
    ) -> AsyncIterator[Load]:
        """Events flow for as long as the block lasts, however long that is on this machine."""
        flow = Load(make or event)
        sending = asyncio.create_task(self.send(flow, pause_s=0.002))
        try:
            yield flow
        except BaseException:
            sending.cancel()
            await asyncio.wait([sending], timeout=5)  # where the broker is away it has no end
            raise
        flow.stop()
        await sending

    @asynccontextmanager
    async def reading(self, topic: str) -> AsyncIterator[Reading]:
        """A reader of all partitions of a topic, from the beginning."""
        async with AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
            isolation_level="read_committed",
        ) as consumer:
            numbers = range(self.partitions)
            yield Reading(consumer, [TopicPartition(topic, number) for number in numbers])

    async def read(self, topic: str) -> list[Record]:
        """All committed records of a topic, partition after partition."""
        async with self.reading(topic) as reading:
            return await reading.to_the_end()

    async def decisions(self) -> list[dict[str, Any]]:
        return [orjson.loads(record.value) for record in await self.read(self.target)]

    async def decided(self, count: int) -> list[dict[str, Any]]:
        """Wait until this many different inputs were decided; all decisions."""
        async with self.reading(self.target) as reading:

            async def enough() -> list[dict[str, Any]] | None:
                found = [orjson.loads(record.value) for record in await reading.to_the_end()]
                return found if len(firsts(found)) >= count else None

            found: list[dict[str, Any]] = await until(enough, what=f"{count} decisions")
            return found

    async def more_decided(self, count: int) -> None:
        """Wait until this many more inputs were decided than now."""
        await self.decided(len(firsts(await self.decisions())) + count)

    async def members(self) -> int:
        """How many members the group has."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([self.name])
            return len(answer.groups[0][5])
        finally:
            await admin.close()

    async def committed(self) -> int:
        """How many input records the group has committed."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()

        async def told() -> list[int] | None:
            try:
                offsets = await admin.list_consumer_group_offsets(self.name)
            except KafkaError:  # the coordinator is on its way
                return None
            return [0, *(max(o.offset, 0) for tp, o in offsets.items() if tp.topic == self.source)]

        try:
            return sum(await until(told, what="an answer of the group's coordinator"))
        finally:
            await admin.close()

    async def all_committed(self, count: int) -> None:
        async def done() -> bool:
            return await self.committed() >= count

        await until(done, what=f"{count} committed")

    # --- workers ----------------------------------------------------------------------------------

    def worker(self, **settings: Any) -> Worker:
        """A worker in this process."""
        topology = load_topology(self.file, open_models)
        wanted = {"session_timeout_s": SESSION_S, **settings}
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
        await asyncio.wait_for(running, PATIENCE_S)


class WorkerProcess:
    """``gress worker`` as a process, with its log."""

    _number = 0

    def __init__(self, bench: Bench, options: Sequence[str]) -> None:
        WorkerProcess._number += 1
        (self.port,) = free_ports(1)
        self.log_file = bench.folder / f"worker-{WorkerProcess._number}.log"
        command = [
            *(*_GRESS, "worker", str(bench.file), "--kafka", bench.bootstrap),
            *("--http-port", str(self.port), "--log-format", "json"),
            *("--session-timeout", str(SESSION_S), *options),
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
            with urlopen(f"http://127.0.0.1:{self.port}/health", timeout=10) as answer:
                return dict(orjson.loads(answer.read()))
        except (HTTPError, OSError):
            return None

    def partitions(self) -> list[str]:
        return list((self.health() or {}).get("partitions", []))

    async def opened(self, count: int, within_s: float = PATIENCE_S) -> WorkerProcess:
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

    async def ended(self) -> int:
        """Wait for its end; the exit code."""
        await until(lambda: self.popen.poll() is not None, what="the worker's end")
        return int(self.popen.returncode)

    async def stop(self) -> None:
        """SIGTERM; it must end with code 0 and a log without faults."""
        # before its pages are there it may not listen to signals yet, and the system ends it
        await until(lambda: self.health() or self.popen.poll() is not None, what="its pages")
        self.signal()
        assert await self.ended() == 0, self.log[-3000:]
        self.assert_clean()

    def assert_clean(self) -> None:
        faults = [line for line in self.log.splitlines() if any(bad in line for bad in BAD_LINES)]
        assert not faults, faults


def event(number: int, keys: int = 16) -> dict[str, Any]:
    return {"id": number, "vm": f"vm-{number % keys}"}


def events(first: int, count: int) -> list[dict[str, Any]]:
    """Events with consecutive ids, spread over keys."""
    return [event(number) for number in range(first, first + count)]


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
