"""What the brokers of a cluster say about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

#: What Kafka says where a partition has no leader.
NO_BROKER = -1
_ASK_S = 5.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class View:
    """Who is there, and who leads what."""

    brokers: frozenset[int]
    leaders: Mapping[tuple[str, int], int]  # by topic and partition; NO_BROKER where there is none
    in_sync: bool  # every broker that ought to have a record has it


def look(bootstrap: str) -> View:
    """As whoever answers first sees it. Raises ``KafkaException`` where nobody does."""
    # librdkafka: it blocks, which aiokafka cannot do where an event loop runs
    client = AdminClient(
        {
            "bootstrap.servers": bootstrap,
            "reconnect.backoff.max.ms": 200,
            "log_level": 2,  # a broker that is away is meant to be away
        }
    )
    told = client.list_topics(timeout=_ASK_S)
    partitions = {
        (name, number): partition
        for name, topic in told.topics.items()
        for number, partition in topic.partitions.items()
    }
    return View(
        brokers=frozenset(told.brokers),
        leaders={place: partition.leader for place, partition in partitions.items()},
        in_sync=all(set(p.isrs) == set(p.replicas) for p in partitions.values()),
    )


def wait_until(bootstrap: str, good: Callable[[View], bool], patience_s: float) -> bool:
    """Look until it is good; False when it is not in time."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            if good(look(bootstrap)):
                return True
        except KafkaException:
            continue  # it has waited for an answer already
        time.sleep(_POLL_S)
    return False
