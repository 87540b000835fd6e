"""Same decisions: whether a contender answered events as the code by hand does, word for word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.decide import Decide

Decisions = Mapping[str, dict[str, Any]]  # by decision_id, which names the event
Offsets = Mapping[TopicPartition, int]

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


async def read_decisions(bootstrap: str, since: Offsets, count: int) -> Decisions:
    """The first decisions of each partition from these offsets on."""
    records = await _read(bootstrap, since, count)
    return {one["decision_id"]: one for one in (orjson.loads(r.value) for r in records)}


async def decide_by_hand(bootstrap: str, since: Offsets, count: int) -> Decisions:
    """What ``Decide`` makes of the first events of each partition; those it cannot read are not."""
    records = [r for r in await _read(bootstrap, since, count) if r.value.endswith(b"}")]
    ids = [f"{record.topic}-{record.partition}-{record.offset}" for record in records]
    bodies = Decide()(ids, [record.value for record in records])
    return dict(zip(ids, map(orjson.loads, bodies), strict=True))


async def _read(bootstrap: str, since: Offsets, count: int) -> list[Any]:
    """Up to so many records of each partition."""
    found: list[Any] = []
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
    async with consumer:
        for tp, offset in since.items():
            consumer.assign([tp])
            consumer.seek(tp, offset)
            records: list[Any] = []
            while len(records) < count:
                got = await consumer.getmany(tp, timeout_ms=1000, max_records=count)
                if not got:
                    break
                records += got[tp]
            found += records[:count]
    return found
