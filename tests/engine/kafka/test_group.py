from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection

import psutil
import pytest
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from kit import PATIENCE_S, Bench, assert_order_kept, events, firsts, ids, run, until

from gress_ml.errors import BrokerUnavailable

#: Where a worker is killed or a rebalance is wanted, so that the others need not wait long.
SHORT_SESSION = ("--session-timeout", "2")
#: Where workers come and go: they hear of it with a heartbeat, six of which make a session.
LIVELY_SESSION = ("--session-timeout", "12")
#: Far more than a session of two seconds, and less than the one of a minute that Faust would make.
TAKEN_OVER_S = 45.0


async def test_after_kill_9_the_partitions_are_taken_over_within_the_session_timeout(
    bench: Bench,
) -> None:
    first = await bench.process(*SHORT_SESSION).opened(4)
    second = bench.process(*SHORT_SESSION)
    await asyncio.gather(first.opened(2), second.opened(2))
    async with bench.load() as load:
        await bench.decided(500)
        first.kill()
        await second.opened(4, within_s=TAKEN_OVER_S)
    found = await bench.decided(load.next_id)
    await bench.all_committed(load.next_id)
    assert ids(firsts(found)) == list(range(load.next_id))
    assert_order_kept(found)
    await second.stop()


async def test_kill_9_of_the_only_worker_loses_nothing(bench: Bench) -> None:
    worker = await bench.process(*SHORT_SESSION).opened(4)
    async with bench.load() as load:
        for _ in range(2):
            await bench.more_decided(300)
            worker.kill()
            worker = bench.process(*SHORT_SESSION)
        await bench.more_decided(300)
    found = await bench.decided(load.next_id)
    await bench.all_committed(load.next_id)
    assert ids(firsts(found)) == list(range(load.next_id))
    assert_order_kept(found)
    same = {one["decision_id"]: one for one in found}
    assert all(one == same[one["decision_id"]] for one in found)
    await worker.stop()


async def test_joining_and_leaving_under_load_loses_nothing_and_twice_nothing(
    bench: Bench,
) -> None:
    first = await bench.process(*LIVELY_SESSION).opened(4)
    async with bench.load() as load:
        await bench.decided(200)
        second = bench.process(*LIVELY_SESSION)
        await asyncio.gather(first.opened(2), second.opened(2))
        await bench.more_decided(200)
        await first.stop()
        await second.opened(4)
    found = await bench.decided(load.next_id)
    await bench.all_committed(load.next_id)
    # clean hand-overs: nothing twice, even under load
    assert ids(found) == list(range(load.next_id))
    assert_order_kept(found)
    await second.stop()


async def test_sigterm_when_idle_and_a_new_start_decide_nothing_twice(bench: Bench) -> None:
    await bench.send(events(0, 200))
    for _ in range(2):
        worker = await bench.process().opened(4)
        await bench.decided(200)
        await worker.stop()
    assert await bench.committed() == 200
    assert ids(await bench.decisions()) == list(range(200))


async def test_sigterm_during_a_rebalance_ends_the_worker_cleanly(bench: Bench) -> None:
    first = await bench.process(*SHORT_SESSION).opened(4)
    for moment in (0.0, 0.2):
        second = bench.process(*SHORT_SESSION)
        await until(second.health)
        await asyncio.sleep(moment)
        await second.stop()
    joining = bench.process(*SHORT_SESSION)
    await until(joining.health)
    await first.stop()  # the other side of a rebalance
    await joining.opened(4)
    await joining.stop()


async def test_a_commit_of_an_old_generation_is_refused_quietly(
    bench: Bench, caplog: object
) -> None:
    await bench.send(events(0, 100))
    # it may join again as another member: then its former self has to be missed first
    async with bench.running(session_timeout_s=3.0) as worker:
        await bench.all_committed(100)
        coordinator = worker.app.consumer._thread._consumer._coordinator
        coordinator.generation -= 1
        await bench.send(events(100, 100))
        found = await bench.decided(200)
        await bench.all_committed(200)
        assert not worker.app.crashed
    assert ids(firsts(found)) == list(range(200))


async def test_a_commit_without_a_coordinator_ends_in_bounded_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gress_ml.adapters.kafka.transport._COMMIT_S", 0.2)
    async with bench.running() as worker:
        consumer = worker.app.consumer
        coordinator = consumer._thread._consumer._coordinator

        found = asyncio.Event()

        async def never() -> None:
            await found.wait()

        known = coordinator.ensure_coordinator_known
        coordinator.ensure_coordinator_known = never
        try:
            with pytest.raises(BrokerUnavailable):
                async with asyncio.timeout(PATIENCE_S):
                    await consumer.commit_batches({(bench.source, 0): 0})
        finally:
            coordinator.ensure_coordinator_known = known
            found.set()


async def test_a_drain_that_does_not_end_is_cut_short(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group waits for a member that drains no longer than the rebalance timeout."""
    monkeypatch.setattr("gress_ml.engine.engine.DRAIN_S", 0.2)
    await bench.send(events(0, 100))
    worker = bench.worker()
    delivered = asyncio.Event()

    async def never(*_: object) -> asyncio.Task[bool]:
        delivered.set()
        return asyncio.create_task(asyncio.Event().wait())

    worker.producer.deliver = never  # type: ignore[method-assign,assignment]
    with structlog.testing.capture_logs() as logged:
        async with run(worker):
            await asyncio.wait_for(delivered.wait(), PATIENCE_S)
    assert [line["partitions"] for line in logged if line["event"] == "drain_cut_short"] != []
    assert await bench.committed() == 0


async def test_a_partition_that_is_revoked_while_it_opens_is_closed_again(bench: Bench) -> None:
    await bench.send(events(0, 200))
    worker = bench.worker(session_timeout_s=6.0)
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
        await asyncio.wait_for(opening.wait(), PATIENCE_S)
        # joins while the first still opens
        async with bench.running(session_timeout_s=6.0) as other:
            slow = False
            await until(lambda: worker.app.rebalancing_count >= 2)
            go_on.set()
            await until(lambda: len(worker.engine.partitions) == 2, what="2 partitions")
            await until(lambda: len(other.engine.partitions) == 2, what="2 partitions")
            assert not {*worker.engine.partitions} & {*other.engine.partitions}
            found = await bench.decided(200)
            await bench.all_committed(200)
    assert ids(firsts(found)) == list(range(200))


async def test_a_session_may_be_longer_than_requests_take(bench: Bench) -> None:
    await bench.send(events(0, 10))
    async with bench.running(session_timeout_s=60.0):
        assert ids(await bench.decided(10)) == list(range(10))


async def test_a_worker_that_is_stopped_while_its_group_forms_anew_leaves_the_group(
    bench: Bench,
) -> None:
    """Else its partitions would stand still for its session timeout."""
    first = bench.worker()
    revoked = first.engine.revoked

    async def stopped_meanwhile(partitions: Collection[tuple[str, int]]) -> None:
        first.stop()
        await until(lambda: first.app.should_stop)
        await revoked(partitions)

    async with contextlib.AsyncExitStack() as life:
        async with run(first):
            first.engine.revoked = stopped_meanwhile  # type: ignore[method-assign]
            await life.enter_async_context(run(bench.worker(), ready=False))  # it joins
            await until(lambda: first.app.should_stop)
        assert await bench.members() == 1


async def test_a_worker_that_is_stopped_while_partitions_open_closes_them(bench: Bench) -> None:
    worker = bench.worker()
    claim, revoked = worker.engine.claim, worker.engine.revoked
    claimed, let_go = asyncio.Event(), asyncio.Event()

    async def held(partitions: Collection[tuple[str, int]]) -> None:
        await claim(partitions)
        claimed.set()
        await let_go.wait()

    async def seen(partitions: Collection[tuple[str, int]]) -> None:
        await revoked(partitions)
        if claimed.is_set():
            let_go.set()

    async with contextlib.AsyncExitStack() as life, run(worker):
        worker.engine.claim = held  # type: ignore[method-assign]
        worker.engine.revoked = seen  # type: ignore[method-assign]
        await life.enter_async_context(run(bench.worker(), ready=False))  # it joins
        await asyncio.wait_for(claimed.wait(), PATIENCE_S)
    assert not worker.app.crashed
    assert worker.engine.partitions == []
    assert worker.engine._outlets == {}


async def test_a_worker_that_is_stopped_before_its_first_partition_is_open_does_not_wait_for_it(
    bench: Bench,
) -> None:
    """A broker or an object store that does not answer may hold it up for half a minute."""
    worker = bench.worker()
    claimed = asyncio.Event()

    async def held(partitions: Collection[tuple[str, int]]) -> None:
        claimed.set()
        await asyncio.Event().wait()

    worker.engine.claim = held  # type: ignore[method-assign]
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(claimed.wait(), PATIENCE_S)
    worker.stop()
    await asyncio.wait_for(running, PATIENCE_S)
    assert not worker.app.crashed
    assert await bench.members() == 0


async def test_a_partition_that_opens_anew_when_its_group_forms_anew_is_opened_once(
    bench: Bench,
) -> None:
    """The one that was under way would take the place of the next, or keep what others have."""
    worker = bench.worker()
    assigned, held = worker.engine.assigned, asyncio.Event()

    async def held_once(partition: tuple[str, int], committed: int, beginning: int) -> int:
        if not held.is_set():
            held.set()
            await asyncio.Event().wait()  # an object store that does not answer
        return await assigned(partition, committed, beginning)

    async with run(worker):
        worker.engine.assigned = held_once  # type: ignore[method-assign]
        reopening = asyncio.create_task(worker._reopen((bench.source, 0)))
        await asyncio.wait_for(held.wait(), PATIENCE_S)
        async with run(bench.worker()) as other:
            await asyncio.wait_for(reopening, PATIENCE_S)
            await until(lambda: len(worker.engine.partitions) == 2, what="2 partitions")
            await until(lambda: len(other.engine.partitions) == 2, what="2 partitions")
            assert not {*worker.engine.partitions} & {*other.engine.partitions}
            assert worker.engine._outlets == {}
            await bench.send(events(0, 200))
            assert ids(await bench.decided(200)) == list(range(200))


async def test_only_the_health_page_listens_and_only_on_loopback(bench: Bench) -> None:
    worker = await bench.process().opened(4)
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
            async with asyncio.timeout(PATIENCE_S):
                seen = [(await consumer.getone()).value for _ in range(10)]
        assert len(set(seen)) == 10
    finally:
        await consumer.stop()


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of this process look for new topics and partitions more often."""
    monkeypatch.setattr("gress_ml.engine.worker._METADATA_AGE_S", 0.5)


@pytest.mark.usefixtures("watchful")
async def test_partitions_added_while_running_are_read(bench: Bench) -> None:
    async with bench.running() as worker:
        admin = AIOKafkaAdminClient(bootstrap_servers=bench.bootstrap)
        await admin.start()
        await admin.create_partitions({bench.source: NewPartitions(6)})
        await admin.close()
        await until(lambda: len(worker.engine.partitions) == 6, what="six partitions")
        await bench.send(events(0, 50))
        assert ids(await bench.decided(50)) == list(range(50))


@pytest.mark.usefixtures("watchful")
async def test_a_missing_input_topic_is_waited_for(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of()
    await bench.make_topics(bench.target, bench.dead)
    async with bench.running() as worker:  # a member without partitions is ready
        assert worker.engine.partitions == []
        await bench.make_topics(bench.source)
        await bench.send(events(0, 20))
        assert ids(await bench.decided(20)) == list(range(20))
