"""Same decisions: whether two contenders answered the same events with the same words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.topics import DECISIONS

Decisions = Mapping[str, dict[str, Any]]  # by decision_id, which names the event

#: Reasons that depend on how long the model took, not on the event alone.
_BY_CLOCK = frozenset({"timeout", "overload"})


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two sets of decisions compare."""

    compared: int
    different: int
    late: int  # decided by the rules in either set, since the model was not asked in time


def compare(one: Decisions, other: Decisions) -> Agreement:
    """Compare the decisions of the same events."""
    both = [(one[name], other[name]) for name in one.keys() & other.keys()]
    in_time = [
        (first, second)
        for first, second in both
        if not _BY_CLOCK & {first["reason"], second["reason"]}
    ]
    different = sum(first != second for first, second in in_time)
    return Agreement(len(in_time), different, len(both) - len(in_time))


async def read_decisions(bootstrap: str, since: Mapping[int, int], count: int) -> Decisions:
    """The first decisions of each partition of the topic from these offsets on."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    found: dict[str, dict[str, Any]] = {}
    async with consumer:
        for partition, offset in since.items():
            tp = TopicPartition(DECISIONS, partition)
            consumer.assign([tp])
            consumer.seek(tp, offset)
            records: list[Any] = []
            while len(records) < count:
                got = await consumer.getmany(tp, timeout_ms=2000, max_records=count)
                if not got:
                    break
                records += got[tp]
            decisions = [orjson.loads(record.value) for record in records[:count]]
            found |= {decision["decision_id"]: decision for decision in decisions}
    return found
