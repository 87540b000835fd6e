"""A model's alias moves while events flow: no gap, no half, and history knows who decided what."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kit import Bench, events, ids, run, until
from models_bench import (
    MODEL,
    TEXT,
    Models,
    assert_by_one_version_each,
    assert_history_tells,
    place,
    runs,
)
from object_stores import ObjectStore, environment_through, make_bucket

from benchmarks.chaos.instruments.proxy import Proxy
from gress_ml.dev.port import free_ports
from gress_ml.engine.worker import Worker
from gress_ml.metrics import MODEL_RELOADS
from gress_ml.registry import open_storage

ModelsOf = Callable[..., Awaitable[Models]]


@pytest.fixture
def models_of(
    bench_of: Callable[..., Bench],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> ModelsOf:
    """Makes a bench whose topology uses models, in a folder or in a bucket."""
    monkeypatch.setenv("GRESS_CACHE", str(tmp_path / "cache"))

    def bucket(environment: Mapping[str, str]) -> tuple[str, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        folder = uuid.uuid4().hex
        address = f"s3://models-bucket/{folder}"
        make_bucket(open_storage(address)._fs, "models-bucket")
        return address, f"{{type: s3, s3_bucket: models-bucket, base_path: ./{folder}}}"

    async def make(
        guarantee: str, environment: Mapping[str, str] | None = None, **values: Any
    ) -> Models:
        address, spec = str(tmp_path / "models"), "{base_path: ./models}"
        if environment is not None:
            address, spec = bucket(environment)
        wanted = {"guarantee": guarantee, "registry": spec, "checkpoint": "200ms", **values}
        bench = bench_of(partitions=2, text=TEXT, values=wanted)
        await bench.make_topics()
        return await Models.of(bench, address)

    return make


def reloads(worker: Worker, result: str) -> float:
    """What the worker's metrics say about reloads."""
    return worker.metrics.value(MODEL_RELOADS, (MODEL, result))


@pytest.mark.parametrize(
    ("guarantee", "kind"), [("at_least_once", "s3"), ("exactly_once", "folder")]
)
async def test_an_alias_moves_there_and_back_under_load(
    models_of: ModelsOf, object_stores: dict[str, ObjectStore], guarantee: str, kind: str
) -> None:
    environment = None
    if kind == "s3":
        if kind not in object_stores:
            object_stores[kind] = ObjectStore(kind).start()
        environment = object_stores[kind].environment
    models = await models_of(guarantee, environment)
    bench, done, sent = models.bench, asyncio.Event(), 0

    async def load() -> None:
        nonlocal sent
        while not done.is_set():
            await bench.send(events(sent, 200), pause_s=0.001)
            sent += 200

    async def decides(version: str) -> None:
        """Wait until both partitions are decided by this version from now on."""
        now = sent
        await until(lambda: models.decided_with(version, 2, now), 60, f"{version} decides")

    async with bench.running() as one, bench.running() as other:
        workers = (one, other)
        await until(lambda: all(len(w.engine.partitions) == 1 for w in workers), what="one each")
        loading = asyncio.create_task(load())
        await decides("1.0.0")
        await models.gress("alias", MODEL, "champion", "2.0.0")
        await decides("2.0.0")

        # a version that is damaged, and one that does not fit, change nothing
        await models.push("3.0.0", 1000)
        storage = open_storage(models.address)
        storage._fs.pipe_file(storage._at(f"{MODEL}/3.0.0/trees.onnx"), b"damaged")
        shutil.rmtree(bench.folder / "cache", ignore_errors=True)  # other machines have no copy
        await models.gress("alias", MODEL, "champion", "3.0.0")
        await until(lambda: all(reloads(w, "failed") >= 1 for w in workers), what="refused")
        failed = [reloads(w, "failed") for w in workers]
        await models.push("4.0.0", 1000, text=True)
        await models.gress("alias", MODEL, "champion", "4.0.0")
        await until(
            lambda: all(reloads(w, "failed") > n for w, n in zip(workers, failed, strict=True)),
            what="refused again",
        )
        await decides("2.0.0")

        await models.gress("rollback", MODEL, "champion", "--to", "1.0.0")
        await decides("1.0.0")
        done.set()
        await loading
        found = await bench.decided(sent)
        await bench.all_committed(sent)
        assert [reloads(w, "loaded") for w in workers] == [2.0, 2.0]

    assert ids(found) == list(range(sent))  # all, and nothing twice
    assert_by_one_version_each(found)
    for changes in runs(found).values():
        assert [version for _, version in changes] == ["1.0.0", "2.0.0", "1.0.0"]
    for partition in range(2):  # state went on over the swaps
        counts = [d["count"] for d in sorted(found, key=place) if place(d)[0] == partition]
        assert counts == list(range(len(counts)))
    told = await models.told()
    assert_history_tells(told, bench.source, found)
    told_offsets = {(one.partition, one.offset, one.version) for one in told}
    seen = {(p, offset, v) for p, changes in runs(found).items() for offset, v in changes}
    assert seen <= told_offsets
    await assert_command_answers(models, found[-1])


async def assert_command_answers(models: Models, decision: dict[str, Any]) -> None:
    partition, offset = place(decision)
    where = ("--topic", models.bench.source, "--partition", str(partition))
    output = await models.gress("history", MODEL, *where, "--offset", str(offset))
    header, *answers = output.splitlines()
    (row,) = [line.split() for line in answers if line.split()[-2] == models.bench.name]
    assert header.split()[4] == "version"
    assert row[4] == decision["version"]


async def test_after_a_kill_history_names_who_decided_last(models_of: ModelsOf) -> None:
    models = await models_of("at_least_once")
    bench = models.bench
    worker = await bench.process("--session-timeout", "2").opened(2)
    load = asyncio.create_task(bench.send(events(0, 3000), pause_s=0.001))
    await bench.decided(500)
    await models.gress("alias", MODEL, "champion", "2.0.0")
    await until(lambda: models.decided_with("2.0.0", 2), 30)
    worker.kill()
    await models.gress("alias", MODEL, "champion", "1.0.0", announce=False)
    again = await bench.process("--session-timeout", "2").opened(2)
    await load
    found = await bench.decided(3000)
    await bench.all_committed(3000)
    await again.stop()
    assert_by_one_version_each(found)
    last = {one["decision_id"]: one for one in found}
    assert_history_tells(await models.told(), bench.source, [*last.values()])


async def test_a_rebalance_makes_a_worker_look_without_being_told(models_of: ModelsOf) -> None:
    models = await models_of("at_least_once")
    bench = models.bench
    async with bench.running() as one:
        await bench.send(events(0, 100))
        await bench.decided(100)
        await models.gress("alias", MODEL, "champion", "2.0.0", announce=False)
        async with bench.running():
            await until(lambda: reloads(one, "loaded") == 1, what="the new version")
            await bench.send(events(100, 200))
            found = await bench.decided(300)
    assert {d["version"] for d in found if d["id"] >= 100} == {"2.0.0"}
    assert_by_one_version_each(found)
    assert_history_tells(await models.told(), bench.source, found)


@pytest.fixture
def away() -> Iterator[tuple[Mapping[str, str], Proxy]]:
    """An S3 of the test's own behind a network that can be cut: its clients' environment, it."""
    store = ObjectStore("s3").start()
    (port,) = free_ports(1)
    try:
        with Proxy(listen_port=port, target_port=store.port) as network:
            yield environment_through(port, store), network
    finally:
        store.stop()


async def test_while_the_store_is_away_the_running_version_decides_and_then_it_moves(
    models_of: ModelsOf, away: tuple[Mapping[str, str], Proxy]
) -> None:
    environment, network = away
    models = await models_of("at_least_once", environment)
    bench = models.bench
    async with bench.running() as worker:
        await bench.send(events(0, 100))
        await bench.decided(100)
        await models.gress("alias", MODEL, "champion", "2.0.0", announce=False)
        network.cut()
        worker.engine.on_opened()  # as after a rebalance
        await until(lambda: reloads(worker, "unavailable") >= 1, 60, "unavailable")
        await bench.send(events(100, 100))
        found = await bench.decided(200)
        assert {d["version"] for d in found} == {"1.0.0"}
        network.heal()
        await until(lambda: reloads(worker, "loaded") == 1, 60, "the new version")


async def test_a_worker_waits_for_a_store_that_is_away_at_its_start(
    models_of: ModelsOf, away: tuple[Mapping[str, str], Proxy]
) -> None:
    environment, network = away
    bench = (await models_of("at_least_once", environment)).bench
    network.cut()
    worker = bench.process("--session-timeout", "2")
    await until(lambda: "waiting_for_models" in worker.log, 60, "waiting")
    network.heal()
    await worker.opened(2, 60)
    await worker.stop()


async def test_a_new_version_in_one_process_swaps_in_all_its_partitions(
    models_of: ModelsOf,
) -> None:
    models = await models_of("at_least_once", checkpoint="10m")
    bench = models.bench
    worker = bench.worker()
    async with run(worker):
        await bench.send(events(0, 200))
        await bench.decided(200)
        await models.gress("alias", MODEL, "champion", "2.0.0")
        await until(lambda: reloads(worker, "loaded") == 1, what="the new version")
        await bench.send(events(200, 200))
        found = await bench.decided(400)
    assert {d["version"] for d in found if d["id"] >= 200} == {"2.0.0"}
    assert_by_one_version_each(found)
