"""CompactedReader: the newest value of each key of a compacted topic, read by every worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from gress_ml.adapters.kafka.decompression import bound_decompression
from gress_ml.errors import BrokerUnavailable

log = structlog.get_logger(__name__)

_RETRY_S = 2.0
_REPLICATION = 3  # of topics made here, or as many as there are brokers
#: How long the broker holds a request while there is nothing new; what comes is told at once.
_HOLD_MS = 5_000


class CompactedReader:
    """Tells ``on_record(key, value)`` for each record, from the beginning of the topic on.

    A value of None takes the key away. A key may be told again, with the value that it has: when
    the broker was away. No consumer group: every worker reads all of it.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topic: str,
        on_record: Callable[[str, bytes | None], None],
    ) -> None:
        self._client = client
        self._topic = topic
        self._on_record = on_record
        #: Set once all that was there at the start has been told, or there is no such topic.
        self.caught_up = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled; a broker that is away, or a topic not yet made, is waited for."""
        bound_decompression()
        while True:
            try:
                if await self._exists():
                    await self._read()
                self.caught_up.set()
            except KafkaError as error:
                log.warning("compacted_topic_unreadable", topic=self._topic, error=repr(error))
            await asyncio.sleep(_RETRY_S)

    async def _exists(self) -> bool:
        """Whether the topic was made: a consumer of a missing one asks, and logs, all the time."""
        admin = AIOKafkaAdminClient(**self._client)
        try:
            await admin.start()
            (found,) = await admin.describe_topics([self._topic])
        finally:
            await admin.close()
        return bool(found["error_code"] == 0)

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            self._topic,
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
                self.take(record.key, record.value)
        finally:
            await consumer.stop()

    async def _catch_up(self, consumer: AIOKafkaConsumer) -> None:
        """Tell all that is there now."""
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    self.take(record.key, record.value)

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Tell one record; one whose key is no text says nothing to anybody."""
        try:
            name = (key or b"").decode()
        except UnicodeDecodeError:
            name = ""
        if name:
            self._on_record(name, value)
        else:
            log.warning("record_ignored", topic=self._topic, reason="the key is not a name")


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
