"""Bytewax in batches by hand: ``flat_map_batch`` behind a source of up to 2,048 events.

``python -m bytewax.run benchmarks.peers.bytewax_batches -r FOLDER -s 30 -b 0``. Its documentation
has ``flat_map_batch`` and the source's ``batch_size`` for this; the source and the sink are used
directly, so no step in between touches single events. Recovery as in ``bytewax_events``.
"""

from __future__ import annotations

from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow

from benchmarks.decide import Decide
from benchmarks.peers.names import BROKER, DECISIONS, PARTITIONER, TRANSFERS, decision_id

MOST = 2048
decide = Decide()


def select(messages: list[KafkaSourceMessage[bytes, bytes]]) -> list[KafkaSinkMessage[Any, Any]]:
    """Decide what came together."""
    ids = [decision_id(message.partition, message.offset) for message in messages]
    bodies = decide(ids, [message.value for message in messages])
    return [
        KafkaSinkMessage(message.key, body) for message, body in zip(messages, bodies, strict=True)
    ]


flow = Dataflow("select_batches")
transfers = op.input("transfers", flow, KafkaSource([BROKER], [TRANSFERS], batch_size=MOST))
decided = op.flat_map_batch("select", transfers, select)
op.output(
    "decisions", decided, KafkaSink([BROKER], DECISIONS, add_config={"partitioner": PARTITIONER})
)
