from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.coordination import FindCoordinatorRequest
from kit import (
    PASS,
    PATIENCE_S,
    WINDOWS,
    Bench,
    assert_order_kept,
    event,
    events,
    ids,
    run,
    until,
)

from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.kafka.outlet import OutletLostError
from gress_ml.adapters.kafka.producer import Message, OutputProducer
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.adapters.kafka.transactional_outlet import TransactionalOutlets
from gress_ml.metrics import REOPENINGS

#: Workers are killed here, and whatever is taken for dead: nothing is decided twice.
SESSION = ("--session-timeout", "3")


@pytest.fixture
async def exact(bench_of: Callable[..., Bench]) -> Bench:
    """A pass-through topology under exactly once, with its topics made."""
    made = bench_of(text=PASS, values={"guarantee": "exactly_once"})
    await made.make_topics()
    return made


@pytest.fixture
async def outlets(exact: Bench) -> AsyncIterator[TransactionalOutlets]:
    """Outlets of its group, without a worker."""
    client = KafkaSettings(bootstrap=exact.bootstrap).client
    topics = OutputProducer(client, SystemClock())
    await topics.start()
    yield TransactionalOutlets(client, exact.name, topics, SystemClock())
    await topics.stop()


async def shown(bench: Bench, topic: str) -> list[Any]:
    """The committed records, when there are some: a commit is acknowledged before all see it."""
    found: list[Any] = await until(lambda: bench.read(topic), what=f"records of {topic}")
    return found


async def test_every_record_is_decided_once_and_its_offset_committed(exact: Bench) -> None:
    async with exact.running():
        await exact.send(events(0, 1000))
        found = await exact.decided(1000)
        await exact.all_committed(1000)
    assert ids(found) == list(range(1000))
    assert_order_kept(found)


async def test_dead_letters_are_of_the_same_transaction(exact: Bench) -> None:
    async with exact.running():
        await exact.send([*events(0, 100), b"{", *events(100, 100)])
        await exact.decided(200)
        await exact.all_committed(201)
    assert [record.value for record in await shown(exact, exact.dead)] == [b"{"]


async def test_after_kill_9_under_load_nothing_is_lost_and_nothing_twice(exact: Bench) -> None:
    workers = [exact.process(*SESSION) for _ in range(2)]
    for worker in workers:
        await worker.opened(2)
    async with exact.load() as load:
        for number in (0, 1, 0):
            await exact.more_decided(200)
            workers[number].kill()
            workers[number] = exact.process(*SESSION)
    found = await exact.decided(load.next_id)
    for worker in workers:
        await worker.stop()
    assert ids(await exact.decisions()) == list(range(load.next_id))
    assert_order_kept(found)


async def test_a_worker_that_slept_past_its_session_writes_nothing_that_counts(
    exact: Bench,
) -> None:
    sleeper = await exact.process(*SESSION).opened(4)
    async with exact.load() as load:
        await exact.decided(500)
        os.kill(sleeper.popen.pid, signal.SIGSTOP)
        heir = await exact.process(*SESSION).opened(4)
        await exact.more_decided(500)
        os.kill(sleeper.popen.pid, signal.SIGCONT)
        await until(lambda: sleeper.partitions() and heir.partitions(), what="both at work")
    found = await exact.decided(load.next_id)
    for worker in (sleeper, heir):
        await worker.stop()
    assert ids(await exact.decisions()) == list(range(load.next_id))
    assert_order_kept(found)


async def test_joining_and_leaving_under_load_decides_nothing_twice(exact: Bench) -> None:
    async with exact.load() as load:
        first = exact.process(*SESSION)
        await exact.decided(300)
        second = await exact.process(*SESSION).opened(2)
        await first.stop()
    await exact.decided(load.next_id)
    await second.stop()
    assert ids(await exact.decisions()) == list(range(load.next_id))


async def test_state_is_as_if_nothing_had_happened_after_kill_9(
    bench_of: Callable[..., Bench],
) -> None:
    values = {"guarantee": "exactly_once", "checkpoint": "200ms"}
    bench = bench_of(text=WINDOWS, values=values)
    await bench.make_topics()

    def timed(number: int) -> dict[str, Any]:
        return {**event(number, keys=8), "at": 1_700_000_000_000 + number, "x": 1.0}

    worker = bench.process(*SESSION)
    async with bench.load(timed) as load:
        for _ in range(3):
            await bench.more_decided(300)
            worker.kill()
            worker = bench.process(*SESSION)
    found = await bench.decided(load.next_id)
    await worker.stop()
    assert ids(found) == list(range(load.next_id))
    assert [one["count_1h"] for one in sorted(found, key=lambda one: one["id"])] == [
        number // 8 + 1 for number in range(load.next_id)
    ]


async def test_a_partition_that_was_fenced_off_is_opened_again(exact: Bench) -> None:
    async with exact.running() as worker:
        await exact.send(events(0, 100))
        await exact.decided(100)
        thief = AIOKafkaProducer(
            bootstrap_servers=exact.bootstrap,
            transactional_id=f"{exact.name}/{exact.source}/0",
        )
        await thief.start()
        await thief.stop()
        await exact.send(events(100, 400))
        found = await exact.decided(500)
        await exact.all_committed(500)
        reopened = worker.metrics.value(REOPENINGS, (exact.source,))
        assert worker.status()["ready"]
    assert reopened == 1
    assert ids(found) == list(range(500))
    assert_order_kept(found)


async def test_the_new_owner_reads_the_offset_after_its_predecessor_is_out(
    exact: Bench, outlets: TransactionalOutlets
) -> None:
    partition = (exact.source, 0)
    old = await outlets.open(partition)
    new = await outlets.open(partition)
    with pytest.raises(OutletLostError, match="fenced off"):
        await old.commit(10)
    await new.commit(20)
    assert await exact.committed() == 20
    for outlet in (old, new):
        await outlet.close()


async def test_a_topic_made_meanwhile_does_not_hold_up_what_goes_to_others(
    exact: Bench, outlets: TransactionalOutlets
) -> None:
    outlet = await outlets.open((exact.source, 0))
    late = f"{exact.name}-late"
    await exact.make_topics(late)
    sent = [await outlet.deliver(name, 0, [Message(b"", b"")]) for name in (exact.target, late)]
    done, _ = await asyncio.wait(sent, timeout=PATIENCE_S)
    assert len(done) == 2
    await outlet.commit(1)
    await outlet.close()
    for name in (exact.target, late):
        assert len(await shown(exact, name)) == 1


async def test_a_connection_that_ends_while_the_coordinator_is_asked_loses_no_transaction(
    exact: Bench, outlets: TransactionalOutlets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka's sender would end with "Unexpected error in sender routine"."""
    outlet = await outlets.open((exact.source, 0))
    send, cut = AIOKafkaClient.send, []

    async def cut_once(self: AIOKafkaClient, node: int, request: Any, **more: Any) -> Any:
        if isinstance(request, FindCoordinatorRequest) and not cut:
            cut.append(request)
            raise KafkaConnectionError("Connection closed")
        return await send(self, node, request, **more)

    monkeypatch.setattr(AIOKafkaClient, "send", cut_once)
    await (await outlet.deliver(exact.target, 0, [Message(b"", b"kept")]))
    await outlet.commit(1)  # asks for the group's coordinator, for the first time
    assert cut
    assert await exact.committed() == 1
    assert [record.value for record in await shown(exact, exact.target)] == [b"kept"]
    await outlet.close()


async def test_a_message_that_the_broker_refuses_becomes_a_dead_letter(
    bench_of: Callable[..., Bench],
) -> None:
    # small batches: the one at fault is found in few steps, each with a longer pause
    small = PASS.replace("size: 64", "size: 8")
    bench = bench_of(text=small, values={"guarantee": "exactly_once"})
    await bench.make_topics(bench.source, bench.dead)
    await bench.make_topic(bench.target, **{"max.message.bytes": "2000"})
    big = {"id": 500, "vm": "vm-" + "x" * 3000}
    async with bench.running():
        await bench.send([*events(0, 500), big, *events(501, 500)])
        await bench.decided(1000)
        await bench.all_committed(1001)
    assert ids(await bench.decisions()) == [n for n in range(1001) if n != 500]
    (letter,) = await shown(bench, bench.dead)
    assert dict(letter.headers)["gress-error-code"] == b"output_too_large"


async def test_events_that_their_producer_took_back_are_not_decided(exact: Bench) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=exact.bootstrap, transactional_id=f"{exact.name}-source"
    )
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(exact.source, b'{"id": 1000, "vm": "a"}', b"a")
    await producer.abort_transaction()
    await producer.stop()
    async with run(exact.worker()):
        await exact.send(events(0, 50))
        await exact.decided(50)
        await exact.all_committed(50)
    assert ids(await exact.decisions()) == list(range(50))
