"""Hot swap: an alias moves there and back under load. Is there an error, a gap, a wrong history?

``python -m benchmarks.hot_swap [RATE [SECONDS]]`` runs the flagship on a Kafka of its own, first
undisturbed and then with the champion moved every few seconds between two versions. It prints the
latency of both runs, the offsets at which the version changed, and how many decisions differ in
their version from what the history says.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import ROOT, TOPOLOGY
from benchmarks.latency import Delay, _open_loop
from benchmarks.peers.names import DECISIONS, TRANSFERS
from benchmarks.process import Process
from benchmarks.topics import PARTITIONS, Topics
from gress_ml.adapters.kafka.decided import Decided, decided_by, read_decided
from gress_ml.adapters.kafka.models import MODELS_TOPIC, announcement
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.cli.compacted import publish
from gress_ml.dev.servers import Servers
from gress_ml.registry import Registry

MODEL = "compression-selector"
VERSIONS = ("1.0.0", "1.1.0")  # the same graphs, so that only the swap makes a difference
_EVERY_S = 3.0

#: Partition -> (offset, version) in order of offsets.
Made = Mapping[int, list[tuple[int, str]]]


def write_project(home: Path) -> Registry:
    """The shipped topology, without Redis, and its model in two versions."""
    (home / "topologies").mkdir()
    text = TOPOLOGY.read_text().replace("backend: redis", "backend: memory")
    (home / "topologies" / "swap.yaml").write_text(text)
    registry = Registry(home / "models")
    for version in VERSIONS:
        files = home / f"files-{version}"
        shutil.copytree(ROOT / "models" / MODEL / "1.0.0", files)
        registry.push(files, MODEL, version)
    registry.alias(MODEL, "champion", VERSIONS[0])
    return registry


@contextmanager
def swapping(registry: Registry, settings: KafkaSettings) -> Iterator[list[str]]:
    """Moves the champion every few seconds; what it was moved to."""
    moved: list[str] = []
    over = threading.Event()

    def move() -> None:
        while not over.wait(_EVERY_S):
            version = VERSIONS[(len(moved) + 1) % len(VERSIONS)]
            registry.alias(MODEL, "champion", version)
            message = announcement(MODEL, "champion", version, "")
            asyncio.run(publish(settings, MODELS_TOPIC, *message))
            moved.append(version)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        yield moved
    finally:
        over.set()
        mover.join()


async def read_made(bootstrap: str) -> Made:
    """Which version each decision names, by the partition and offset of its event."""
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(DECISIONS, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    made = orjson.loads(record.value)
                    _, partition, offset = made["decision_id"].rsplit("-", 2)
                    found[int(partition)].append((int(offset), made["version"]))
    finally:
        await consumer.stop()
    return {partition: sorted(rows) for partition, rows in sorted(found.items())}


def changes(rows: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The first offset of each run of one version."""
    before = [None, *(version for _, version in rows)]
    return [row for row, last in zip(rows, before, strict=False) if row[1] != last]


def differing(made: Made, told: list[Decided]) -> int:
    """Decisions that name another version than the history does."""
    wrong = 0
    for partition, rows in made.items():
        own = [one for one in told if (one.topic, one.partition) == (TRANSFERS, partition)]
        wrong += sum(
            [one.version for one in decided_by(own, TRANSFERS, partition, offset)] != [version]
            for offset, version in rows
        )
    return wrong


def show(still: Delay, moving: Delay, made: Made, moved: int, wrong: int) -> None:
    """All of it as tables."""
    table = Table("run", "p50 ms", "p99 ms", "events without a decision", box=None)
    for name, delay in (("undisturbed", still), (f"{moved} swaps", moving)):
        table.add_row(name, f"{delay.p50_ms:.2f}", f"{delay.p99_ms:.2f}", str(delay.lost))
    offsets = Table("partition", "version from offset", box=None)
    for partition, rows in made.items():
        steps = ", ".join(f"{version} from {offset}" for offset, version in changes(rows))
        offsets.add_row(str(partition), steps)
    console = Console(width=160)
    console.print(table, offsets)
    decided = sum(map(len, made.values()))
    twice = decided - sum(len(dict(rows)) for rows in made.values())
    console.print(f"{decided} decisions, {twice} made twice, {wrong} unlike the history")


def main(rate: str = "10000", seconds: str = "15") -> None:
    home = Path(tempfile.mkdtemp(prefix="gress-swap-"))
    servers = Servers(home / "servers")
    try:
        bootstrap = servers.up(["kafka"]).kafka
        topics = Topics(bootstrap)
        topics.create()
        registry = write_project(home)
        settings = KafkaSettings(bootstrap=bootstrap)
        command = [sys.executable, "-c", "from gress_ml.cli.main import main; main()", "worker"]
        command += [str(home / "topologies" / "swap.yaml"), "--kafka", bootstrap]
        command += ["--http-port", "0"]
        with Process("worker", command, dict(os.environ), home / "worker.log"):
            still = _open_loop(bootstrap, DECISIONS, int(rate), float(seconds))
            with swapping(registry, settings) as moved:
                moving = _open_loop(bootstrap, DECISIONS, int(rate), float(seconds))
        made = asyncio.run(read_made(bootstrap))
        told = asyncio.run(read_decided(settings.client))
        show(still, moving, made, len(moved), differing(made, list(told)))
    finally:
        servers.down()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
