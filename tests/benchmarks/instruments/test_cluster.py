"""Three real brokers, and one behind a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.chaos.instruments.cluster import Cluster
from benchmarks.chaos.instruments.proxy import Proxy
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.dev.port import is_free
from gress_ml.dev.process import alive
from gress_ml.dev.record import read_records
from gress_ml.dev.topics import TopicSettings, create_topics
from gress_ml.engine.stores import open_models, open_stores
from gress_ml.engine.worker import Worker, WorkerSettings
from gress_ml.topology.load import load_topology

pytestmark = pytest.mark.servers

_PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("chaos") / "cluster") as cluster:
        yield cluster


@pytest.fixture
def cluster(three: Cluster) -> Cluster:
    """Whole again, whatever the test before has done."""
    three.up()
    return three


async def _make(cluster: Cluster, *topics: str) -> None:
    """Make topics, and wait until every broker has heard of them."""
    settings = TopicSettings(1, replication=len(cluster.numbers))
    await create_topics(cluster.bootstrap, dict.fromkeys(topics, settings))
    await asyncio.to_thread(cluster.wait_until_known, topics)


@asynccontextmanager
async def _sending(bootstrap: str, topic: str) -> AsyncIterator[list[bytes]]:
    """Numbers go to the topic one after the other; in the list are those acknowledged."""
    acknowledged: list[bytes] = []
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, request_timeout_ms=3000
    )
    # what waits for a leader is not given up after one request's time, as by the product's own
    producer._message_accumulator._batch_ttl = float("inf")

    async def send() -> None:
        for number in count():
            value = str(number).encode()
            await producer.send_and_wait(topic, value, partition=0)
            acknowledged.append(value)

    await producer.start()
    sending = asyncio.create_task(send())
    try:
        yield acknowledged
    finally:
        sending.cancel()
        await asyncio.wait([sending])
        await asyncio.wait_for(producer.stop(), _PATIENCE_S)


async def _more(acknowledged: list[bytes], number: int = 50) -> None:
    """Wait until so many more are acknowledged."""
    wanted = len(acknowledged) + number
    async with asyncio.timeout(_PATIENCE_S):
        while len(acknowledged) < wanted:  # noqa: ASYNC110 - the list is filled by the client
            await asyncio.sleep(0.01)


async def _read(bootstrap: str, topic: str) -> list[bytes]:
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        found: list[bytes] = []
        async with asyncio.timeout(_PATIENCE_S):
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found.extend(record.value for record in records)
    return found


def _same_with_one_under_way(found: list[bytes], acknowledged: list[bytes]) -> None:
    """All that was acknowledged, once and in order; the last may be written and not yet told."""
    assert found[: len(acknowledged)] == acknowledged
    assert len(found) <= len(acknowledged) + 1


@pytest.mark.parametrize("kill", [True, False])
async def test_a_producer_goes_on_when_the_leader_of_its_partition_ends(
    cluster: Cluster, topic_name: str, kill: bool
) -> None:
    await _make(cluster, topic_name)
    leader = await asyncio.to_thread(cluster.leader, topic_name, 0)
    async with _sending(cluster.bootstrap, topic_name) as acknowledged:
        await _more(acknowledged)
        await asyncio.to_thread(cluster.kill if kill else cluster.stop, leader)
        await _more(acknowledged)
    assert await asyncio.to_thread(cluster.leader, topic_name, 0, other_than=leader) != leader
    _same_with_one_under_way(await _read(cluster.bootstrap, topic_name), acknowledged)


async def test_with_two_brokers_away_nothing_is_acknowledged_until_one_is_back(
    cluster: Cluster, topic_name: str
) -> None:
    await _make(cluster, topic_name)
    first, second, _ = cluster.numbers
    async with _sending(cluster.bootstrap, topic_name) as acknowledged:
        await _more(acknowledged)
        await asyncio.to_thread(cluster.kill, first)
        await asyncio.to_thread(cluster.kill, second)
        before = len(acknowledged)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_more(acknowledged, 2), 6)
        assert len(acknowledged) <= before + 1
        await asyncio.to_thread(cluster.start, second)
        await _more(acknowledged)
    _same_with_one_under_way(await _read(cluster.bootstrap, topic_name), acknowledged)


async def test_transactions_go_on_while_all_brokers_are_killed_in_turn(
    cluster: Cluster, topic_name: str
) -> None:
    """Whoever leads the partition and whoever coordinates the transaction are among them."""
    await _make(cluster, topic_name)
    async with AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap,
        transactional_id=topic_name,
        transaction_timeout_ms=60_000,
        request_timeout_ms=3000,
    ) as producer:
        for number in cluster.numbers:
            async with producer.transaction():
                await producer.send_and_wait(topic_name, b"before")
                await asyncio.to_thread(cluster.kill, number)
                await producer.send_and_wait(topic_name, b"after")
            await asyncio.to_thread(cluster.restart, number)
    assert await _read(cluster.bootstrap, topic_name) == [b"before", b"after"] * 3


def test_three_brokers_take_less_than_one_and_a_half_gigabytes(cluster: Cluster) -> None:
    assert 0 < cluster.memory_bytes() < 1.5e9


async def test_whoever_comes_by_the_proxies_sees_only_proxies(
    cluster: Cluster, topic_name: str
) -> None:
    await _make(cluster, topic_name)
    with ExitStack() as stack:
        for door in cluster.doors:
            stack.enter_context(Proxy(door.listen_port, door.target_port))
        async with AIOKafkaProducer(bootstrap_servers=cluster.proxied_bootstrap) as producer:
            await producer.partitions_for(topic_name)
            proxies = {door.listen_port for door in cluster.doors}
            async with asyncio.timeout(_PATIENCE_S):
                # a broker that was held up is missed for a while
                while len(seen := {one.port for one in producer.client.cluster.brokers()}) < 3:
                    await producer.client.force_metadata_update()
    assert seen == proxies


async def test_one_broker_behind_a_slow_cut_and_silent_network_loses_nothing(
    tmp_path: Path, topic_name: str
) -> None:
    with Cluster(tmp_path / "cluster", size=1) as cluster:
        await _make(cluster, topic_name)
        (door,) = cluster.doors
        with Proxy(door.listen_port, door.target_port) as network:
            async with _sending(cluster.proxied_bootstrap, topic_name) as acknowledged:
                await _more(acknowledged)
                network.slow(latency_ms=20, bytes_per_s=200_000)
                await _more(acknowledged)
                network.cut()
                before = len(acknowledged)
                await asyncio.sleep(0.5)
                assert len(acknowledged) <= before + 1  # told before the cut, heard after it
                network.heal()
                await _more(acknowledged)
                network.stall()
                before = len(acknowledged)
                await asyncio.sleep(4)  # longer than the client waits for an answer
                assert len(acknowledged) <= before + 1
                network.heal()
                await _more(acknowledged)
            found = await _read(cluster.proxied_bootstrap, topic_name)
    _same_with_one_under_way(found, acknowledged)


def test_down_leaves_nothing_of_a_run_that_was_killed(tmp_path: Path) -> None:
    former = Cluster(tmp_path / "cluster", size=1)
    former.up()
    records = read_records(former.folder).values()
    Cluster(tmp_path / "cluster", size=1).down()  # the former object is forgotten
    assert not any(alive(record.process) for record in records)
    assert all(is_free(port) for record in records for port in record.ports)
    assert not former.folder.exists()


_TOPOLOGY = """
name: {name}
inputs:
  numbers:
    topic: {name}-in
    fields: {{n: {{type: int, required: true}}}}
outputs:
  same:
    topic: {name}-out
    fields: [n]
"""


async def test_a_worker_starts_whichever_broker_is_away(
    cluster: Cluster, topic_name: str, tmp_path: Path
) -> None:
    await _make(cluster, f"{topic_name}-in", f"{topic_name}-out", f"{topic_name}-in.dlq")
    file = tmp_path / "numbers.yaml"
    file.write_text(_TOPOLOGY.format(name=topic_name))
    topology = load_topology(file, open_models)
    for number in cluster.numbers:
        await asyncio.to_thread(cluster.kill, number)
        settings = WorkerSettings(KafkaSettings(bootstrap=cluster.bootstrap), http_port=None)
        worker = Worker(topology, open_stores(topology), settings)
        running = asyncio.create_task(worker.run())
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while not worker.status()["ready"]:
                    assert not running.done(), running.result()
                    await asyncio.sleep(0.05)
        finally:
            worker.stop()
            await asyncio.wait_for(running, _PATIENCE_S)
        await asyncio.to_thread(cluster.start, number)
        await asyncio.to_thread(cluster.wait_in_sync)
