"""Bytewax as its documentation begins: its Kafka operators and ``map``, one event at a time.

``python -m bytewax.run benchmarks.peers.bytewax_events -r FOLDER -s 30 -b 0``. With a recovery
store, which is how it resumes where it was, and the intervals of its documentation; it commits
nothing to Kafka. Outputs are acknowledged by all replicas.
"""

from __future__ import annotations

from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow

from benchmarks.decide_one import DecideOne
from benchmarks.peers.names import BROKER, DECISIONS, PARTITIONER, TRANSFERS, decision_id

decide = DecideOne()


def select(message: KafkaSourceMessage[bytes, bytes]) -> KafkaSinkMessage[Any, Any]:
    """Decide one event."""
    place = decision_id(message.partition, message.offset)
    return KafkaSinkMessage(message.key, orjson.dumps(decide(orjson.loads(message.value), place)))


flow = Dataflow("select_events")
transfers = kop.input("transfers", flow, brokers=[BROKER], topics=[TRANSFERS])
op.inspect("errors", transfers.errs).then(op.raises, "crash-on-error")
decided = op.map("select", transfers.oks, select)
kop.output(
    "decisions",
    decided,
    brokers=[BROKER],
    topic=DECISIONS,
    add_config={"partitioner": PARTITIONER},
)
