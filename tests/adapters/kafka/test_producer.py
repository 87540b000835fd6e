from __future__ import annotations

import asyncio
import gc
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecord, DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.kafka import producer as module
from gress_ml.adapters.kafka.committer import GroupCommitter
from gress_ml.adapters.kafka.producer import Message, OutputProducer, TooLargeError, record_batches
from gress_ml.errors import BrokerUnavailable

_BATCH_BYTES = 1000


def _records(batch: BatchBuilder) -> list[DefaultRecord]:
    return [*DefaultRecordBatch(bytes(batch._build()))]


class _Broker:
    """Takes batches; answers are given by the test, or at once when it is healthy."""

    def __init__(self) -> None:
        self.taken: dict[int, list[bytes]] = defaultdict(list)
        self.healthy = True
        self.clients: list[_Client] = []
        self.waiting: list[tuple[asyncio.Future[None], int, list[bytes]]] = []
        self.slow = 0

    def fail(self, position: int, error: Exception) -> None:
        self.waiting[position][0].set_exception(error)

    def acknowledge(self, position: int) -> None:
        answer, partition, values = self.waiting[position]
        self.taken[partition].extend(values)
        answer.set_result(None)


class _Metadata:
    """Which topics the client asks the broker about."""

    def __init__(self) -> None:
        self.topics: set[str] = set()

    async def coordinator_lookup(self, kind: int, name: str) -> int:
        raise NotImplementedError  # only transactions have a coordinator

    def add_topic(self, topic: str) -> None:
        self.topics.add(topic)


class _Client:
    def __init__(self, broker: _Broker, **_: Any) -> None:
        self.broker = broker
        self._message_accumulator = type("Accumulator", (), {})()
        self.client = _Metadata()
        broker.clients.append(self)

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(_BATCH_BYTES, 0)

    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[None]:
        if self.broker.slow:
            self.broker.slow -= 1
            raise KafkaTimeoutError
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        values = [record.value or b"" for record in _records(batch)]
        self.broker.waiting.append((answer, partition, values))
        if self.broker.healthy:
            self.broker.acknowledge(-1)
        return answer


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> _Broker:
    made = _Broker()
    monkeypatch.setattr(module, "AIOKafkaProducer", lambda **options: _Client(made, **options))
    return made


async def _deliver(
    producer: OutputProducer, value: bytes, partition: int = 0
) -> asyncio.Task[None]:
    return await producer.deliver("t", partition, [Message(b"k", value)])


@given(st.lists(st.integers(0, 3 * _BATCH_BYTES), min_size=1, max_size=30))
def test_messages_fill_as_few_batches_as_hold_them_in_order(sizes: list[int]) -> None:
    messages = [
        Message(b"%d" % number if number % 2 else None, bytes(size), [("h", b"v")] * (number % 3))
        for number, size in enumerate(sizes)
    ]
    client: Any = _Client(_Broker())
    batches = [*record_batches(client, messages, 1234)]
    counts, sizes_in_bytes = [b.record_count() for b in batches], [b.size() for b in batches]
    found = [_records(batch) for batch in batches]
    assert [(r.key, r.value, r.headers) for records in found for r in records] == [
        (m.key, m.value, [*m.headers]) for m in messages
    ]
    assert {r.timestamp for records in found for r in records} == {1234}
    assert [[r.offset for r in records] for records in found] == [[*range(n)] for n in counts]
    # a batch is larger than it may be only if it holds one message
    assert all(
        n == 1 or size <= _BATCH_BYTES for n, size in zip(counts, sizes_in_bytes, strict=True)
    )
    for before, after in pairwise(found):  # the next message had no room
        first = after[0]
        room = BatchBuilder(_BATCH_BYTES, 0)
        for record in [*before, first]:
            taken = room.append(
                key=record.key, value=record.value, timestamp=1234, headers=record.headers
            )
        assert taken is None


async def test_what_is_sent_again_keeps_its_place_before_what_came_after_it(
    broker: _Broker,
) -> None:
    producer = OutputProducer({}, SystemClock())
    await producer.start()
    broker.healthy = False
    sent = [await _deliver(producer, b"%d" % number) for number in range(3)]
    broker.healthy = True
    # the last fails first, as when a sender dies and its batches are told in any order
    for position in (2, 0, 1):
        broker.fail(position, KafkaError("out of order sequence"))
        await asyncio.sleep(0)
    late = await _deliver(producer, b"3")  # while the others are mended
    other = await _deliver(producer, b"x", partition=1)
    await asyncio.gather(*sent, late, other)
    assert broker.taken == {0: [b"0", b"1", b"2", b"3"], 1: [b"x"]}
    assert len(broker.clients) == 2  # one fresh producer for all that failed with the old one


async def test_an_outage_does_not_let_a_batch_expire_or_be_overtaken(broker: _Broker) -> None:
    producer = OutputProducer({}, SystemClock())
    await producer.start()
    assert broker.clients[0]._message_accumulator._batch_ttl == float("inf")
    broker.slow = 3  # three times no room within the request timeout
    await (await _deliver(producer, b"0"))
    assert broker.taken == {0: [b"0"]}
    assert len(broker.clients) == 1


async def test_a_message_that_is_too_large_is_told_and_not_repeated(broker: _Broker) -> None:
    producer = OutputProducer({}, SystemClock())
    await producer.start()
    broker.healthy = False
    sent = await _deliver(producer, b"0")
    broker.fail(0, MessageSizeTooLargeError("2 MB"))
    with pytest.raises(TooLargeError):
        await sent
    assert len(broker.waiting) == 1


async def test_a_stopped_producer_sends_nothing_again(broker: _Broker) -> None:
    producer = OutputProducer({}, SystemClock())
    await producer.start()
    broker.healthy = False
    sent = await _deliver(producer, b"0")
    await producer.stop()
    broker.fail(0, KafkaError("closed"))
    with pytest.raises(BrokerUnavailable):
        await sent


async def test_a_delivery_that_is_cut_short_does_not_hold_up_the_next(broker: _Broker) -> None:
    producer = OutputProducer({}, SystemClock())
    await producer.start()
    broker.healthy = False
    cut = await _deliver(producer, b"0")
    cut.cancel()
    behind = await _deliver(producer, b"1")
    broker.healthy = True
    broker.fail(1, KafkaError("gone"))
    await asyncio.wait_for(behind, 60)
    assert broker.taken[0] == [b"1"]


async def test_a_commit_that_fails_after_all_who_asked_are_gone_makes_no_noise() -> None:
    loop = asyncio.get_running_loop()
    heard: list[Any] = []
    loop.set_exception_handler(lambda _, context: heard.append(context))
    go_on = asyncio.Event()

    async def commit(_: object) -> None:
        await go_on.wait()
        raise BrokerUnavailable("away")

    committer = GroupCommitter(commit)
    asking = asyncio.create_task(committer.commit(("t", 0), 1))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    go_on.set()
    await asyncio.sleep(0.01)
    gc.collect()
    assert heard == []
