"""Group: what it costs one member, the leader, to share partitions out, and what Kafka keeps of it.

The workers' assignors are asked as the broker would ask
them, twice: the second time each member tells what it had, as in every rebalance but the first.
Kafka writes the metadata of a whole group as one record to ``__consumer_offsets``, so subscriptions
and assignments of all members together must stay below ``message.max.bytes``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from yarl import URL

from benchmarks.scaling.topology import FLAGSHIP
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.engine.stores import Stores, open_models, open_stores
from gress_ml.engine.worker import Worker, WorkerSettings
from gress_ml.topology.load import load_topology
from gress_ml.topology.topology import Topology

#: Kafka's default for message.max.bytes.
LARGEST_RECORD = 1_048_588
#: Workers, and partitions of each input.
_SIZES = ((4, 64), (16, 256), (64, 1024), (128, 2048), (256, 4096))


@dataclass(frozen=True, slots=True)
class Sharing:
    """One rebalance, as its leader and the group's coordinator see it."""

    members: int
    partitions: int
    leader_s: float  # CPU of the leader's event loop, during which it decides nothing
    kept_bytes: int  # subscriptions and assignments of all members: one record


def sharings() -> list[Sharing]:
    """All sizes, the least first."""
    return [Group(members).share(partitions) for members, partitions in _SIZES]


class _Cluster:
    """What the assignor asks of aiokafka's metadata."""

    def __init__(self, partitions: int) -> None:
        self._partitions = set(range(partitions))

    def partitions_for_topic(self, _: str) -> set[int]:
        return self._partitions


class Group:
    """Workers of the flagship, asked as the broker would ask them; none is started."""

    def __init__(self, members: int) -> None:
        topology = load_topology(FLAGSHIP, open_models)
        stores = open_stores(topology)
        self._assignors = [_assignor(topology, stores, number) for number in range(members)]
        self._topics = {node.topic for node in topology.inputs.values()}

    def share(self, partitions: int) -> Sharing:
        """The second rebalance: each keeps what it had."""
        leader, cluster = self._assignors[0], _Cluster(partitions)
        assigned = leader.assign(cluster, self._subscriptions())
        for number, assignor in enumerate(self._assignors):
            assignor.on_assignment(assigned[_name(number)])
        subscriptions = self._subscriptions()
        started = time.process_time()
        assigned = leader.assign(cluster, subscriptions)
        leader_s = time.process_time() - started
        kept = sum(len(one.encode()) for one in (*subscriptions.values(), *assigned.values()))
        return Sharing(len(self._assignors), partitions, leader_s, kept)

    def _subscriptions(self) -> Mapping[str, Any]:
        return {_name(n): one.metadata(self._topics) for n, one in enumerate(self._assignors)}


def _assignor(topology: Topology, stores: Stores, number: int) -> Any:
    settings = WorkerSettings(KafkaSettings(), http_port=None)
    app = Worker(topology, stores, settings).app
    app.conf.canonical_url = URL(f"http://gress-worker-{number:04d}.gress.svc:6066")
    # as Faust's driver chooses: its own assignor is for apps with tables
    return app.assignor if app.conf.table_standby_replicas else RoundRobinPartitionAssignor


def _name(number: int) -> str:
    return f"faust-0.11.3-00000000-0000-0000-0000-{number:012d}"
