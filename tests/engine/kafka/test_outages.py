from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kit import PASS, Bench, assert_order_kept, events, firsts, ids, until

from gress_ml.dev.port import free_ports
from gress_ml.dev.servers import Servers

AWAY_S = 8.0

LOOKUP = """
name: {name}
commit_interval: 50ms
inputs:
  events:
    topic: {source}
    fields:
      id: {{type: int, required: true}}
      vm: {{type: string, required: true}}
      x: {{type: float}}
steps:
  - name: features
    operator: feature_extraction
    config:
      features: [{{name: x, type: numerical, range: [0, 10], default: 1}}]
      lookup: {{table: t, key: [vm], fields: [x]}}
outputs:
  decisions:
    topic: {target}
    from: features
    fields: [decision_id, id, vm, degraded]
ml:
  feature_store: {{backend: redis, redis_addr: "{redis}", ttl: 60s}}
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[Servers]:
    """Servers of these tests alone: they are stopped and killed."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GRESS_KAFKA", "GRESS_REDIS"):
            patch.delenv(name, raising=False)
        folder = Path(tempfile.mkdtemp(prefix="gress-outages-"))
        servers = Servers(folder / "home")
        try:
            servers.up(["kafka", "redis"])
            yield servers
        finally:
            servers.down()
            shutil.rmtree(folder)


@pytest.fixture
async def fragile(bench_of: Callable[..., Bench], broker: Servers) -> Bench:
    """A bench on the broker that is going to be away."""
    bench = bench_of(broker.addresses().kafka)
    await bench.make_topics()
    return bench


@pytest.mark.servers
@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "kill-9"])
async def test_when_kafka_comes_back_the_worker_goes_on_and_nothing_is_lost(
    fragile: Bench, broker: Servers, kill: bool
) -> None:
    worker = await fragile.process().opened(4)
    await fragile.send(events(0, 500))
    await fragile.decided(500)
    load = asyncio.create_task(fragile.send(events(500, 500), pause_s=0.002))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(broker.stop, "kafka", kill=kill)
    await asyncio.sleep(AWAY_S)
    assert worker.health() is not None
    await asyncio.to_thread(broker.start, "kafka")
    await load
    found = await fragile.decided(1000, within_s=40)
    await fragile.all_committed(1000)
    assert ids(firsts(found)) == list(range(1000))
    assert_order_kept(found)
    await worker.stop()
    for line in worker.log.splitlines():
        assert "worker_failed" not in line


@pytest.mark.servers
async def test_sigterm_while_kafka_is_away_ends_the_worker_in_bounded_time(
    fragile: Bench, broker: Servers
) -> None:
    worker = await fragile.process().opened(4)
    load = asyncio.create_task(fragile.send(events(0, 500), pause_s=0.001))
    await fragile.decided(100)
    await asyncio.to_thread(broker.stop, "kafka", kill=True)
    try:
        worker.signal()
        assert await worker.ended(25) == 0, worker.log[-3000:]
        worker.assert_clean()
    finally:
        await asyncio.to_thread(broker.start, "kafka")
    await load
    second = fragile.process()
    found = await fragile.decided(500)
    assert ids(firsts(found)) == list(range(500))
    assert_order_kept(found)
    await second.stop()


@pytest.mark.servers
async def test_a_worker_that_starts_before_kafka_waits_for_it(
    fragile: Bench, broker: Servers
) -> None:
    await fragile.send(events(0, 10))
    await asyncio.to_thread(broker.stop, "kafka")
    try:
        worker = fragile.process()
        await until(lambda: "waiting_for_kafka" in worker.log, 20)
        assert worker.popen.poll() is None
    finally:
        await asyncio.to_thread(broker.start, "kafka")
    assert ids(await fragile.decided(10)) == list(range(10))
    await worker.stop()


async def test_sigterm_ends_a_worker_that_waits_for_kafka(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    bench = Bench(f"127.0.0.1:{port}", "nowhere", tmp_path, text=PASS)
    worker = bench.process()
    try:
        await until(lambda: "waiting_for_kafka" in worker.log, 20)
        began = time.monotonic()
        await worker.stop()
        assert time.monotonic() - began < 3
    finally:
        worker.kill()


@pytest.mark.servers
async def test_without_redis_decisions_go_on_degraded_and_recover_by_themselves(
    bench_of: Callable[..., Bench], broker: Servers
) -> None:
    addresses = broker.addresses()
    bench = bench_of(addresses.kafka, text=LOOKUP, values={"redis": addresses.redis})
    await bench.make_topics()

    async def degraded(first: int) -> list[list[str]]:
        await bench.send(events(first, 20))
        found = await bench.decided(first + 20)
        return [one["degraded"] for one in firsts(found) if one["id"] >= first]

    worker = await bench.process().opened(4)
    assert await degraded(0) == [[]] * 20
    await asyncio.to_thread(broker.stop, "redis", kill=True)
    try:
        assert await degraded(20) == [["feature_store"]] * 20
    finally:
        await asyncio.to_thread(broker.start, "redis")
    first = 40

    async def recovered() -> bool:
        nonlocal first
        answers = await degraded(first)
        first += 20
        return answers == [[]] * 20

    await until(recovered, 20, "decisions with the feature store")
    await worker.stop()
