"""The records of the topic ``gress.decided``: from which offset on which model version decides.

A worker writes one when it opens a partition and when it swaps a model, among the outputs of the
first batch that the version decides: so no offset is committed before it is said who decided it,
and under exactly-once the record is in the same transaction. Decision record 0010.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from gress_ml.adapters.kafka.compacted import ensure_compacted
from gress_ml.adapters.kafka.decompression import bound_decompression
from gress_ml.errors import BrokerUnavailable

log = structlog.get_logger(__name__)

#: Compacted, with one partition: its order is that in which partitions changed hands.
DECIDED_TOPIC = "gress.decided"


class Decided(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """From ``offset`` on, ``model`` ``version`` decided this partition, until the next record."""

    topology: str
    topic: str
    partition: int
    offset: int
    model: str
    reference: str
    version: str
    time: str  # RFC 3339

    @property
    def key(self) -> bytes:
        """A later record of the same offset stands for this one, so this one may go."""
        parts = (self.topology, self.topic, self.partition, self.model, self.reference, self.offset)
        return "/".join(map(str, parts)).encode()

    @property
    def value(self) -> bytes:
        return msgspec.json.encode(self)


def decided_by(found: Iterable[Decided], topic: str, partition: int, offset: int) -> list[Decided]:
    """Who decided an offset: for each topology and reference, the last that began at or before it.

    What was decided by another before, and then again after a crash or a reset, counts as decided
    by the last.
    """
    last: dict[tuple[str, str, str], Decided] = {}
    for one in found:
        if (one.topic, one.partition) == (topic, partition) and one.offset <= offset:
            last[one.topology, one.model, one.reference] = one
    return sorted(last.values(), key=lambda one: (one.topology, one.model, one.reference))


async def ensure_topic(client: Mapping[str, Any]) -> bool:
    """Whether the topic is there, made if need be; why not is told in the log."""
    try:
        await ensure_compacted(client, DECIDED_TOPIC)
    except BrokerUnavailable as error:
        log.warning("history_off", reason=str(error))
        return False
    return True


async def read_decided(client: Mapping[str, Any]) -> Sequence[Decided]:
    """All records, in order; none when there is no such topic. Raises BrokerUnavailable."""
    bound_decompression()
    consumer = AIOKafkaConsumer(isolation_level="read_committed", **client)
    try:
        await consumer.start()
        if DECIDED_TOPIC not in await consumer.topics():
            return []
        return await _read(consumer)
    except KafkaError as error:
        raise BrokerUnavailable(f"Kafka does not answer: {error}") from None
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer) -> Sequence[Decided]:
    place = TopicPartition(DECIDED_TOPIC, 0)
    consumer.assign([place])
    await consumer.seek_to_beginning(place)
    end = (await consumer.end_offsets([place]))[place]
    found: list[Decided] = []
    while await consumer.position(place) < end:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            found += [one for record in records if (one := _parsed(record.value)) is not None]
    return found


def _parsed(value: bytes | None) -> Decided | None:
    try:
        return msgspec.json.decode(value or b"", type=Decided)
    except msgspec.MsgspecError:
        log.warning("record_ignored", topic=DECIDED_TOPIC, reason="it is no record of a decision")
        return None
