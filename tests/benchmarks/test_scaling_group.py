"""What the scaling page says of large groups, done to a real broker."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaError

from benchmarks.scaling.group import LARGEST_RECORD
from gress_ml.dev.topics import TopicSettings, create_topics

MEMBERS = 2
_PATIENCE_S = 120.0


def telling(size: int) -> Any:
    """An assignor of which each member tells so many bytes of its own, as Faust's does."""

    class Telling(RoundRobinPartitionAssignor):
        name = "telling"

        @classmethod
        def metadata(cls, topics: Any) -> ConsumerProtocolMemberMetadata:
            return ConsumerProtocolMemberMetadata(cls.version, list(topics), b"x" * size)

    return Telling


async def form_group(kafka: str, size: int) -> set[int]:
    """The partitions of a group whose members tell so much. Raises what the broker says."""
    topic = f"group-{uuid4().hex}"
    await create_topics(kafka, {topic: TopicSettings(MEMBERS)})
    members = [
        AIOKafkaConsumer(
            topic,
            bootstrap_servers=kafka,
            group_id=topic,
            partition_assignment_strategy=[telling(size)],
        )
        for _ in range(MEMBERS)
    ]
    async with AsyncExitStack() as life:
        for member in members:
            life.push_async_callback(member.stop)
        async with asyncio.timeout(_PATIENCE_S):
            await asyncio.gather(*(member.start() for member in members))
            # the first had it all, and one may hear of the new shares before the other
            while any(len(member.assignment()) != 1 for member in members):
                await asyncio.gather(*(member.getmany(timeout_ms=100) for member in members))
        return {tp.partition for member in members for tp in member.assignment()}


async def test_a_group_forms_whose_metadata_fits_into_one_record(kafka: str) -> None:
    assert await form_group(kafka, LARGEST_RECORD // MEMBERS - 10_000) == {*range(MEMBERS)}


async def test_a_group_never_forms_whose_metadata_does_not_fit_into_one_record(kafka: str) -> None:
    with pytest.raises(KafkaError, match="UnknownError"):
        await form_group(kafka, LARGEST_RECORD // MEMBERS + 10_000)
