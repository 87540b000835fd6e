from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaProducer
from kit import Bench, events, ids, run, until

from gress_ml.adapters.kafka.control import CONTROL_TOPIC, switch_message
from gress_ml.dev.topics import TopicSettings, create_topics


async def _send(bootstrap: str, topic: str, key: bytes, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait(topic, value, key)


async def test_an_agent_and_a_timer_of_faust_run_beside_the_batches(bench: Bench) -> None:
    notes = f"{bench.name}-notes"
    await bench.make_topics(notes)
    worker = bench.worker()
    heard: list[Any] = []
    ticks: list[None] = []
    topic = worker.app.topic(notes, value_type=bytes, value_serializer="raw")

    @worker.app.agent(topic)  # type: ignore[untyped-decorator]
    async def listen(stream: Any) -> None:
        async for note in stream:
            heard.append(note)  # noqa: PERF401 - an agent's loop has no end

    @worker.app.timer(0.05)  # type: ignore[untyped-decorator]
    async def tick() -> None:
        ticks.append(None)

    async with run(worker):
        await bench.send(events(0, 300))
        for number in range(3):
            await _send(bench.bootstrap, notes, b"k", b"note %d" % number)
        assert ids(await bench.decided(300)) == list(range(300))
        await until(lambda: len(heard) == 3, what="three notes")
        await until(lambda: len(ticks) > 5, what="ticks")
    assert sorted(heard) == [b"note 0", b"note 1", b"note 2"]


async def test_exactly_one_of_two_workers_leads_and_the_other_takes_over(bench: Bench) -> None:
    one = bench.worker(session_timeout_s=6.0)
    async with bench.running(session_timeout_s=6.0) as other:
        async with run(one):
            await until(lambda: len(one.engine.partitions) == 2, what="two partitions each")
            await until(lambda: one.app.is_leader() != other.app.is_leader(), what="one leader")
        await until(other.app.is_leader, what="the other leads")


async def test_a_switch_reaches_open_partitions_and_those_that_are_opened_later(
    bench: Bench,
) -> None:
    await create_topics(
        bench.bootstrap, {CONTROL_TOPIC: TopicSettings(1, {"cleanup.policy": "compact"})}
    )

    async def marks(first: int) -> set[str]:
        await bench.send(events(first, 40))
        found = await bench.decided(first + 40)
        return {one["mark"] for one in found if one["id"] >= first}

    await _send(bench.bootstrap, CONTROL_TOPIC, *switch_message(bench.switch, "before"))
    first = 0

    async def marked(mark: str) -> bool:
        nonlocal first
        seen = await marks(first)
        first += 40
        return seen == {mark}

    async with bench.running(session_timeout_s=6.0) as worker:
        await until(lambda: marked("before"), what="before")
        await _send(bench.bootstrap, CONTROL_TOPIC, *switch_message(bench.switch, "after"))
        await until(lambda: marked("after"), what="after")
        # partitions of the first move, and come back later
        async with bench.running(session_timeout_s=6.0):
            await until(lambda: len(worker.engine.partitions) == 2)
        await until(lambda: len(worker.engine.partitions) == 4)
        assert await marks(first) == {"after"}
