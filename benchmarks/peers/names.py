"""Names: what a contender's process is told, and how it names its decisions."""

from __future__ import annotations

import os
from collections.abc import Sequence

BROKER = os.environ.get("BENCH_BROKER", "127.0.0.1:9092")
GROUP = os.environ.get("BENCH_GROUP", "bench-peer")
TRANSFERS = "dwcp.transfers"
DECISIONS = "dwcp.decisions"
#: librdkafka's name for how Java places a key; its own default places keys in another way.
PARTITIONER = "murmur2_random"


def decision_id(partition: int, offset: int) -> str:
    """The decision of a record has the place of the record for a name."""
    return f"{TRANSFERS}-{partition}-{offset}"


def decision_ids(partition: int, offsets: Sequence[int]) -> list[str]:
    """The same for records of one partition."""
    source = f"{TRANSFERS}-{partition}-"
    return [f"{source}{offset}" for offset in offsets]
