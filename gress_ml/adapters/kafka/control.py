"""Run-time switches: the newest value of each key of a compacted topic, read by every worker."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from gress_ml.adapters.kafka.decompression import bound_decompression

log = structlog.get_logger(__name__)

CONTROL_TOPIC = "gress.control"
_RETRY_S = 2.0
_SWITCH = re.compile(r"[a-z0-9_.-]{1,200}")


def switch_message(switch: str, value: str) -> tuple[bytes, bytes]:
    """Key and value of the message that sets a switch. Raises ValueError for a bad name."""
    if not _SWITCH.fullmatch(switch):
        raise ValueError(f"switch {switch!r}: expected lower case letters, digits, '_', '.', '-'")
    return switch.encode(), value.encode()


class ControlReader:
    """Tells ``on_switch(name, value)`` for each switch, from the beginning of the topic on.

    No consumer group: every worker reads all of it.
    """

    def __init__(self, client: Mapping[str, Any], on_switch: Callable[[str, str], None]) -> None:
        self._client = client
        self._on_switch = on_switch

    async def run(self) -> None:
        """Read until cancelled; a broker that is away is waited for."""
        bound_decompression()
        while True:
            try:
                if await self._exists():
                    await self._read()
            except KafkaError as error:
                log.warning("control_topic_unreadable", error=repr(error))
            await asyncio.sleep(_RETRY_S)

    async def _exists(self) -> bool:
        """Whether the topic was made: a consumer of a missing one asks, and logs, all the time."""
        admin = AIOKafkaAdminClient(**self._client)
        try:
            await admin.start()
            (found,) = await admin.describe_topics([CONTROL_TOPIC])
        finally:
            await admin.close()
        return bool(found["error_code"] == 0)

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            CONTROL_TOPIC,
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
            text = "" if value is None else value.decode()
        except UnicodeDecodeError:
            name = ""
            text = ""
        if _SWITCH.fullmatch(name):
            log.info("switch", name=name, value=text)
            self._on_switch(name, text)
        else:
            log.warning("switch_ignored", reason="the key is not a switch name")
