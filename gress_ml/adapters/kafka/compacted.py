"""CompactedReader: the newest value of each key of a compacted topic, told to every worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from gress_ml.adapters.kafka.decompression import bound_decompression

log = structlog.get_logger(__name__)

_RETRY_S = 2.0


class CompactedReader:
    """Tells ``on_record(key, value)`` for each record, from the beginning of the topic on.

    No consumer group: every worker reads all of it. A value of None takes the key away. A key that
    is missing or no UTF-8 is told in the log and passed over.
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

    async def run(self) -> None:
        """Read until cancelled; a broker that is away, or a topic not yet made, is waited for."""
        bound_decompression()
        while True:
            try:
                if await self._exists():
                    await self._read()
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
            **self._client,
        )
        try:
            await consumer.start()
            async for record in consumer:
                self._take(record.key, record.value)
        finally:
            await consumer.stop()

    def _take(self, key: bytes | None, value: bytes | None) -> None:
        try:
            name = (key or b"").decode()
        except UnicodeDecodeError:
            name = ""
        if name:
            self._on_record(name, value)
        else:
            log.warning("record_ignored", topic=self._topic, reason="it has no key in UTF-8")
