from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import psutil
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from kit import Bench, assert_order_kept, events, firsts, ids, run, until

from gress_ml.errors import BrokerUnavailable

SESSION_S = 2.0
SESSION = ("--session-timeout", str(SESSION_S))


async def test_after_kill_9_the_partitions_are_taken_over_within_the_session_timeout(
    bench: Bench,
) -> None:
    first = await bench.process(*SESSION).opened(4)
    second = bench.process(*SESSION)
    await asyncio.gather(first.opened(2), second.opened(2))
    load = asyncio.create_task(bench.send(events(0, 3000), pause_s=0.001))
    await bench.decided(500)
    first.kill()
    killed = time.monotonic()
    await second.opened(4)
    assert time.monotonic() - killed < SESSION_S + 3
    await load
    found = await bench.decided(3000)
    await bench.all_committed(3000)
    assert ids(firsts(found)) == list(range(3000))
    assert_order_kept(found)
    await second.stop()


async def test_kill_9_of_the_only_worker_loses_nothing(bench: Bench) -> None:
    worker = await bench.process(*SESSION).opened(4)
    load = asyncio.create_task(bench.send(events(0, 3000), pause_s=0.0005))
    for decided in (300, 900):
        await bench.decided(decided)
        worker.kill()
        worker = bench.process(*SESSION)
    await load
    found = await bench.decided(3000)
    await bench.all_committed(3000)
    assert ids(firsts(found)) == list(range(3000))
    assert_order_kept(found)
    same = {one["decision_id"]: one for one in found}
    assert all(one == same[one["decision_id"]] for one in found)
    await worker.stop()


async def test_joining_and_leaving_under_load_loses_nothing_and_twice_nothing(
    bench: Bench,
) -> None:
    first = await bench.process(*SESSION).opened(4)
    load = asyncio.create_task(bench.send(events(0, 4000), pause_s=0.0005))
    await bench.decided(200)
    second = bench.process(*SESSION)
    await asyncio.gather(first.opened(2), second.opened(2))
    before = len(await bench.decisions())
    await bench.decided(before + 200)
    began = time.monotonic()
    await first.stop()
    assert time.monotonic() - began < 8
    await second.opened(4)
    await load
    found = await bench.decided(4000)
    await bench.all_committed(4000)
    assert ids(found) == list(range(4000))  # clean hand-overs: nothing twice, even under load
    assert_order_kept(found)
    await second.stop()


async def test_sigterm_when_idle_and_a_new_start_decide_nothing_twice(bench: Bench) -> None:
    await bench.send(events(0, 200))
    for _ in range(2):
        worker = await bench.process(*SESSION).opened(4)
        await bench.decided(200)
        await worker.stop()
    assert await bench.committed() == 200
    assert ids(await bench.decisions()) == list(range(200))


async def test_sigterm_during_a_rebalance_ends_the_worker_cleanly(bench: Bench) -> None:
    first = await bench.process(*SESSION).opened(4)
    for moment in (0.0, 0.2):
        second = bench.process(*SESSION)
        await until(second.health, 20)
        await asyncio.sleep(moment)
        await second.stop()
    joining = bench.process(*SESSION)
    await until(joining.health, 20)
    await first.stop()  # the other side of a rebalance
    await joining.opened(4)
    await joining.stop()


async def test_a_commit_of_an_old_generation_is_refused_quietly(
    bench: Bench, caplog: object
) -> None:
    await bench.send(events(0, 100))
    async with bench.running() as worker:
        await bench.all_committed(100)
        coordinator = worker.app.consumer._thread._consumer._coordinator
        coordinator.generation -= 1
        await bench.send(events(100, 100))
        found = await bench.decided(200)
        await bench.all_committed(200)
        assert not worker.app.crashed
    assert ids(firsts(found)) == list(range(200))


async def test_a_commit_without_a_coordinator_ends_in_bounded_time(bench: Bench) -> None:
    async with bench.running() as worker:
        consumer = worker.app.consumer
        coordinator = consumer._thread._consumer._coordinator

        async def never() -> None:
            await asyncio.Event().wait()

        known = coordinator.ensure_coordinator_known
        coordinator.ensure_coordinator_known = never
        began = time.monotonic()
        try:
            await consumer.commit_batches({(bench.source, 0): 0})
        except BrokerUnavailable:
            assert time.monotonic() - began < 5
        else:
            raise AssertionError("the commit went through")
        finally:
            coordinator.ensure_coordinator_known = known


async def test_a_partition_that_is_revoked_while_it_opens_is_closed_again(bench: Bench) -> None:
    await bench.send(events(0, 200))
    worker = bench.worker()
    assigned = worker.engine.assigned
    opening = asyncio.Event()
    go_on = asyncio.Event()
    slow = True

    async def held(partition: tuple[str, int], committed: int, beginning: int) -> int:
        nonlocal slow
        if slow and not opening.is_set():
            opening.set()
            await go_on.wait()
        return await assigned(partition, committed, beginning)

    worker.engine.assigned = held  # type: ignore[method-assign]
    async with run(worker, ready=False):
        await asyncio.wait_for(opening.wait(), 20)
        async with bench.running() as other:  # joins while the first still opens
            slow = False
            await until(lambda: worker.app.rebalancing_count >= 2)
            go_on.set()
            await until(lambda: len(worker.engine.partitions) == 2, what="2 partitions")
            await until(lambda: len(other.engine.partitions) == 2, what="2 partitions")
            assert not {*worker.engine.partitions} & {*other.engine.partitions}
            found = await bench.decided(200)
            await bench.all_committed(200)
    assert ids(firsts(found)) == list(range(200))


async def test_only_the_health_page_listens_and_only_on_loopback(bench: Bench) -> None:
    worker = await bench.process(*SESSION).opened(4)
    listening = [
        (connection.laddr.ip, connection.laddr.port)
        for connection in psutil.Process(worker.popen.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == [("127.0.0.1", worker.port)]
    await worker.stop()


async def test_another_consumer_group_reads_the_decisions_in_order(bench: Bench) -> None:
    consumer = AIOKafkaConsumer(
        bench.target,
        bootstrap_servers=bench.bootstrap,
        group_id=f"{bench.name}-reader",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        async with bench.running():
            await bench.send(events(0, 10))
            async with asyncio.timeout(10):
                seen = [(await consumer.getone()).value for _ in range(10)]
        assert len(set(seen)) == 10
    finally:
        await consumer.stop()


async def test_partitions_added_while_running_are_read(bench: Bench) -> None:
    worker = await bench.process(*SESSION).opened(4)
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.bootstrap)
    await admin.start()
    await admin.create_partitions({bench.source: NewPartitions(6)})
    await admin.close()
    await worker.opened(6)
    await bench.send(events(0, 50))
    assert ids(await bench.decided(50)) == list(range(50))
    await worker.stop()


async def test_a_missing_input_topic_is_waited_for(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of()
    await bench.make_topics(bench.target, bench.dead)
    worker = bench.process(*SESSION)
    await until(lambda: (worker.health() or {}).get("ready"), 20, "a member without partitions")
    await bench.make_topics(bench.source)
    await bench.send(events(0, 20))
    assert ids(await bench.decided(20)) == list(range(20))
    await worker.stop()
