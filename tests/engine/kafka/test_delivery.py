from __future__ import annotations

import asyncio
import time

import structlog
from kit import PATIENCE_S, Bench, assert_order_kept, events, ids, run, until

from gress_ml.adapters.clock import ManualClock
from gress_ml.adapters.kafka.producer import Message, OutputProducer
from gress_ml.adapters.kafka.settings import KafkaSettings

TRACE = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


async def test_every_record_is_decided_once_in_the_order_of_its_key(bench: Bench) -> None:
    await bench.send(events(0, 2000))
    async with bench.running():
        found = await bench.decided(2000)
        await bench.send(events(2000, 500))
        found = await bench.decided(2500)
    assert ids(found) == list(range(2500))
    assert_order_kept(found)
    assert await bench.committed() == 2500


async def test_a_bad_event_becomes_a_dead_letter_and_its_neighbours_are_decided(
    bench: Bench,
) -> None:
    bad = [b"{", b"[1]", b'{"id": "x", "vm": "a"}', b'{"id": 1}', b"\xff", b"x" * (2 << 20)]
    good = events(0, 60)
    mixed = [*good[:30], *bad[:5], *good[30:]]
    async with bench.running():
        await bench.send(mixed, headers=[TRACE, ("other", b"1")])
        found = await bench.decided(60)
        dead = await until(lambda: _at_least(bench, 5), what="dead letters")
    assert ids(found) == list(range(60))
    assert sorted(letter.value for letter in dead) == sorted(bad[:5])
    sources = set()
    for letter in dead:
        headers = dict(letter.headers)
        assert letter.key == b"bad"
        assert headers["gress-operator"] == b"decode"
        assert headers["gress-error-message"]
        assert headers["traceparent"] == TRACE[1]
        assert b"T" in headers["gress-time"]
        assert "other" not in headers
        sources.add(headers["gress-source"].decode())
    codes = sorted(dict(letter.headers)["gress-error-code"].decode() for letter in dead)
    assert codes == ["invalid_json", "invalid_utf8", "missing_field", "not_an_object", "wrong_type"]
    assert len(sources) == 5
    assert all(source.startswith(f"{bench.source}-") for source in sources)
    for record in await bench.read(bench.target):
        assert list(record.headers) == [TRACE]
    assert await bench.committed() == 65


async def _at_least(bench: Bench, count: int) -> list[object] | None:
    dead = await bench.read(bench.dead)
    return list(dead) if len(dead) >= count else None


async def test_nothing_is_committed_before_the_outputs_are_acknowledged(bench: Bench) -> None:
    await bench.make_topics(bench.source, bench.dead)
    await bench.send(events(0, 100))
    worker = bench.worker()
    acknowledge = asyncio.Event()
    deliver = worker.producer.deliver

    async def held(*args: object) -> asyncio.Task[None]:
        sent = await deliver(*args)  # type: ignore[arg-type]

        async def late() -> None:
            await acknowledge.wait()
            await sent

        return asyncio.create_task(late())

    worker.producer.deliver = held  # type: ignore[method-assign,assignment]
    async with run(worker):
        await bench.decided(100)
        await asyncio.sleep(0.3)
        assert await bench.committed() == 0
        acknowledge.set()
        await bench.all_committed(100)


async def test_a_missing_output_topic_is_named_and_waited_for(bench_of: object) -> None:
    bench = bench_of()  # type: ignore[operator]
    await bench.make_topics(bench.source, bench.dead)
    await bench.send(events(0, 50))
    process = bench.process()
    waiting = f'"topic": "{bench.target}"'
    await until(
        lambda: any("waiting_for_topic" in x and waiting in x for x in process.log.splitlines()),
    )
    assert await bench.committed() == 0
    await bench.make_topics(bench.target)
    assert ids(await bench.decided(50)) == list(range(50))
    await bench.all_committed(50)
    await process.stop()


async def test_a_slow_operator_bounds_the_queue_and_stays_in_the_group(bench_of: object) -> None:
    bench = bench_of(partitions=1, values={"sleep_ms": 50})  # type: ignore[operator]
    await bench.make_topics()
    await bench.send(events(0, 12_000))
    async with bench.running(max_poll_records=500) as worker:
        (task,) = (runner.task for runner in worker.engine._runners.values())
        await until(lambda: task.queued > 4000, what="a queue that is full")
        most = 0
        for _ in range(20):
            await asyncio.sleep(0.05)
            most = max(most, task.queued)
        assert most <= 4096 + 500
        await until(bench.committed, what="some that are committed")
        assert worker.status()["partitions"] == [f"{bench.source}-0"]
        assert worker.app.rebalancing_count == 1


async def test_what_a_clock_ahead_of_the_broker_stamped_is_sent_when_the_clock_is_right(
    bench: Bench,
) -> None:
    two_hours_ahead = time.time() + 7200  # past message.timestamp.after.max.ms (KIP-937)
    clock = ManualClock(two_hours_ahead)
    producer = OutputProducer(KafkaSettings(bootstrap=bench.bootstrap).client, clock)
    await producer.start()
    try:
        with structlog.testing.capture_logs() as logged:
            sent = await producer.deliver(bench.target, 0, [Message(b"k", b"v")])
            await until(lambda: any("produce_failed" in line["event"] for line in logged))
        clock.advance(-7200)  # set right
        async with asyncio.timeout(PATIENCE_S):
            await sent
    finally:
        await producer.stop()
    assert [record.value for record in await bench.read(bench.target)] == [b"v"]
