"""CompactedTopics: the newest value of each key of compacted topics, read by every worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from gress_ml.adapters.kafka.decompression import bound_decompression
from gress_ml.errors import BrokerUnavailable

log = structlog.get_logger(__name__)

#: How soon a topic that is missing is asked for again, and a broker that was away.
_RETRY_S = 2.0
_REPLICATION = 3  # of topics made here, or as many as there are brokers
#: How long the broker holds a request while there is nothing new; what comes is told at once.
_HOLD_MS = 5_000

OnRecord = Callable[[str, bytes | None], None]


class CompactedTopics:
    """Tells ``on_record(key, value)`` of a topic for each of its records, from the beginning on.

    A value of None takes the key away. A key may be told again, with the value that it has: when
    the broker was away, or another of the topics was made. No consumer group: every worker reads
    all of them, over one connection.
    """

    def __init__(self, client: Mapping[str, Any], on_record: Mapping[str, OnRecord]) -> None:
        self._client = client
        self._on_record = on_record
        #: Set once all that was there at the start has been told; no topic is nothing to tell.
        self.caught_up = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled; a broker that is away, or a topic not yet made, is waited for."""
        bound_decompression()
        while True:
            try:
                await self._read(await self._made())
            except KafkaError as error:
                log.warning("compacted_unreadable", topics=[*self._on_record], error=repr(error))
                await asyncio.sleep(_RETRY_S)

    async def _read(self, made: frozenset[str]) -> None:
        """Tell the records of the topics that were made, until there is one more."""
        work: list[asyncio.Task[None]] = []
        if made:
            work.append(asyncio.create_task(self._follow(made)))
        else:
            self.caught_up.set()
        if len(made) < len(self._on_record):
            work.append(asyncio.create_task(self._await_another(made)))
        try:
            ended, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()  # raises what ended it
        finally:
            for task in work:
                task.cancel()
            await asyncio.wait(work)

    async def _await_another(self, made: frozenset[str]) -> None:
        while await self._made() == made:  # noqa: ASYNC110 - nobody tells of a new topic
            await asyncio.sleep(_RETRY_S)

    async def _made(self) -> frozenset[str]:
        """The topics that are there: a consumer of a missing one asks, and logs, all the time."""
        admin = AIOKafkaAdminClient(**self._client)
        try:
            await admin.start()
            found = await admin.describe_topics([*self._on_record])
        finally:
            await admin.close()
        return frozenset(topic["topic"] for topic in found if topic["error_code"] == 0)

    async def _follow(self, topics: Iterable[str]) -> None:
        consumer = AIOKafkaConsumer(
            *topics,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=_HOLD_MS,
            **self._client,
        )
        try:
            await consumer.start()
            await self._catch_up(consumer)
            self.caught_up.set()
            async for record in consumer:
                self.take(record.topic, record.key, record.value)
        finally:
            await consumer.stop()

    async def _catch_up(self, consumer: AIOKafkaConsumer) -> None:
        """Tell all that is there now."""
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    self.take(record.topic, record.key, record.value)

    def take(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Tell one record; one whose key is no text says nothing to anybody."""
        try:
            name = (key or b"").decode()
        except UnicodeDecodeError:
            name = ""
        if name:
            self._on_record[topic](name, value)
        else:
            log.warning("record_ignored", topic=topic, reason="the key is not a name")


async def ensure_compacted(client: Mapping[str, Any], topic: str) -> None:
    """Make a compacted topic of one partition, unless it is there. Raises BrokerUnavailable."""
    admin = AIOKafkaAdminClient(**client)
    try:
        await admin.start()
        (found,) = await admin.describe_topics([topic])
        if found["error_code"] == 0:
            return
        brokers = len((await admin.describe_cluster())["brokers"])
        settings = {"cleanup.policy": "compact"}
        wanted = NewTopic(topic, 1, min(_REPLICATION, brokers), topic_configs=settings)
        response = await admin.create_topics([wanted])
    # aiokafka makes an AttributeError of a cluster without a controller
    except (KafkaError, AttributeError) as error:
        raise BrokerUnavailable(f"topic {topic!r} cannot be made: {error!r}") from error
    finally:
        await admin.close()
    # not asked for again: a broker hears of a new topic a moment after it was made
    (_, code, *_), *_ = response.topic_errors
    if code not in (0, TopicAlreadyExistsError.errno):
        raise BrokerUnavailable(f"topic {topic!r} cannot be made: {response.topic_errors!r}")
