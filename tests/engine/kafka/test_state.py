from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import WINDOWS, Bench, firsts, until
from orjson import loads

from gress_ml.engine.stores import open_features, open_models
from gress_ml.offline.run import OfflineRun
from gress_ml.record import FileRecord
from gress_ml.topology.load import load_topology

START_MS = 1_767_571_200_000


def timed(first: int, count: int) -> list[dict[str, Any]]:
    return [
        {"id": n, "vm": f"vm-{n % 8}", "at": START_MS + n * 1000, "x": float(n % 7)}
        for n in range(first, first + count)
    ]


async def uninterrupted(bench: Bench) -> dict[int, dict[str, Any]]:
    """What a run without any interruption decides, by id, from what is in the topic."""
    topology = load_topology(bench.file, open_models)
    settings = topology.settings
    node = topology.inputs["events"]
    expected: dict[int, dict[str, Any]] = {}
    records = await bench.read(bench.source)
    for partition in range(bench.partitions):
        run = OfflineRun(
            topology,
            open_models(settings.ml, settings.project),
            open_features(settings.ml.feature_store),
        )
        own = [
            FileRecord(r.offset, r.value, r.key, r.timestamp)
            for r in records
            if r.partition == partition
        ]
        for made in await run.run(node, own):
            for sent in made.sent:
                row = loads(sent.value)
                row["decision_id"] = row["decision_id"].replace("-0-", f"-{partition}-")
                expected[row["id"]] = row
        run.close()
    return expected


def snapshots(bench: Bench) -> list[list[Path]]:
    """The snapshots of each partition that has any, the newest last."""
    folders = {path.parent for path in bench.folder.rglob("*.snapshot")}
    return [sorted(folder.glob("*.snapshot")) for folder in folders]


@pytest.mark.parametrize("checkpoint", ["200ms", "10m"], ids=["snapshots", "no-snapshot-yet"])
async def test_after_kill_9_state_goes_on_as_if_nothing_had_happened(
    bench_of: Callable[..., Bench], checkpoint: str
) -> None:
    bench = bench_of(partitions=2, text=WINDOWS, values={"checkpoint": checkpoint})
    await bench.make_topics()
    worker = bench.process("--session-timeout", "2")
    await bench.send(timed(0, 600))
    await bench.decided(600)
    if checkpoint == "200ms":
        await until(lambda: snapshots(bench), what="a snapshot")
    await bench.all_committed(600)
    await bench.send(timed(600, 300), pause_s=0.001)
    worker.kill()
    await bench.send(timed(900, 100))
    second = bench.process("--session-timeout", "2")
    found = await bench.decided(1000)
    await bench.all_committed(1000)
    await second.stop()
    expected = await uninterrupted(bench)
    assert {row["id"]: row for row in firsts(found)} == expected
    assert all(row == expected[row["id"]] for row in found)  # also those that came twice
    assert max(row["count_1h"] for row in found) == 125
    if checkpoint == "200ms":
        assert "state_restored" in second.log


@pytest.mark.parametrize("damaged", ["newest", "all"])
async def test_damaged_snapshots_cost_time_and_no_result(
    bench_of: Callable[..., Bench], damaged: str
) -> None:
    bench = bench_of(partitions=2, text=WINDOWS, values={"checkpoint": "200ms"})
    await bench.make_topics()
    worker = bench.process("--session-timeout", "2")
    for first in (0, 300):
        await bench.send(timed(first, 300), pause_s=0.002)
        await bench.all_committed(first + 300)
    await until(
        lambda: [len(files) >= 2 for files in snapshots(bench)] == [True] * bench.partitions,
        what="two snapshots of each partition",
    )
    await worker.stop()
    for files in snapshots(bench):
        for file in files[-1:] if damaged == "newest" else files:
            file.write_bytes(file.read_bytes()[:-7])
    second = bench.process("--session-timeout", "2")
    await bench.send(timed(600, 400))
    found = await bench.decided(1000)
    await second.stop()
    assert {row["id"]: row for row in firsts(found)} == await uninterrupted(bench)
    assert "snapshot_refused" in second.log
    assert ("state_restored" in second.log) == (damaged == "newest")
