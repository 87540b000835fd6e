from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from kit import PASS, Bench, assert_order_kept, events, firsts, ids, until

from gress_ml.adapters.kafka.control import CONTROL_TOPIC, switch_message
from gress_ml.dev.port import free_ports
from gress_ml.dev.servers import Servers
from gress_ml.dev.topics import TopicSettings, create_topics

SESSION = ("--session-timeout", "3")
AWAY_S = 4.0  # longer than a session

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
    worker = await fragile.process(*SESSION).opened(4)
    async with fragile.load() as load:
        await fragile.decided(500)
        await asyncio.to_thread(broker.stop, "kafka", kill=kill)
        await asyncio.sleep(AWAY_S)
        await until(worker.health, what="an answer of a worker without Kafka")
        await asyncio.to_thread(broker.start, "kafka")
        await fragile.more_decided(100)
    found = await fragile.decided(load.next_id)
    await fragile.all_committed(load.next_id)
    assert ids(firsts(found)) == list(range(load.next_id))
    assert_order_kept(found)
    await worker.stop()
    for line in worker.log.splitlines():
        assert "worker_failed" not in line


@pytest.mark.servers
async def test_sigterm_while_kafka_is_away_ends_the_worker_in_bounded_time(
    fragile: Bench, broker: Servers
) -> None:
    worker = await fragile.process(*SESSION).opened(4)
    async with fragile.load() as load:
        await fragile.decided(100)
        await asyncio.to_thread(broker.stop, "kafka", kill=True)
        try:
            worker.signal()
            assert await worker.ended() == 0, worker.log[-3000:]
            worker.assert_clean()
        finally:
            await asyncio.to_thread(broker.start, "kafka")
    second = fragile.process(*SESSION)
    found = await fragile.decided(load.next_id)
    assert ids(firsts(found)) == list(range(load.next_id))
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
        await until(lambda: "waiting_for_kafka" in worker.log)
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
        await until(lambda: "waiting_for_kafka" in worker.log)
        await worker.stop()
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

    first = 0

    async def whole() -> bool:
        """Whether the store answers: for a while it may be late, on a machine that is busy."""
        nonlocal first
        answers = await degraded(first)
        first += 20
        return answers == [[]] * 20

    worker = await bench.process().opened(4)
    await until(whole, what="decisions with the feature store")
    await asyncio.to_thread(broker.stop, "redis", kill=True)
    try:
        assert await degraded(first) == [["feature_store"]] * 20
        first += 20
    finally:
        await asyncio.to_thread(broker.start, "redis")
    await until(whole, what="decisions with the feature store again")
    await worker.stop()


@pytest.mark.servers
async def test_a_control_topic_that_is_made_later_is_read(fragile: Bench) -> None:
    """Here, as no other test makes one on this broker."""
    async with fragile.running() as worker:
        compacted = TopicSettings(1, {"cleanup.policy": "compact"})
        await create_topics(fragile.bootstrap, {CONTROL_TOPIC: compacted})
        async with AIOKafkaProducer(bootstrap_servers=fragile.bootstrap) as producer:
            key, value = switch_message(fragile.switch, "late")
            await producer.send_and_wait(CONTROL_TOPIC, value, key)
        await until(lambda: worker.engine._switches.get(fragile.switch) == "late")
