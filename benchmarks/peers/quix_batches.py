"""Quix Streams in batches by hand: a ``BatchingSink``, which is written at each checkpoint.

``python -m benchmarks.peers.quix_batches``. The sink is where its documentation hands many records
of one partition on at once. Values stay bytes until there; a checkpoint is made after 2,048 records
or 0.1 s, and offsets are committed when the sink's own producer has all acknowledgements.
"""

from __future__ import annotations

from confluent_kafka import Producer
from quixstreams import Application
from quixstreams.sinks.base import BatchingSink, SinkBatch

from benchmarks.decide import Decide
from benchmarks.peers.names import (
    BROKER,
    DECISIONS,
    GROUP,
    PARTITIONER,
    TRANSFERS,
    decision_ids,
)

COMMIT_EVERY = 2048
COMMIT_S = 0.1


class DecisionSink(BatchingSink):
    """Decides the records of a partition since the last checkpoint, and sends the decisions."""

    def setup(self) -> None:
        self._decide = Decide()
        self._producer = Producer(
            {
                "bootstrap.servers": BROKER,
                "partitioner": PARTITIONER,
                "enable.idempotence": True,
                "queue.buffering.max.messages": 1_000_000,
            }
        )

    def write(self, batch: SinkBatch) -> None:
        records = list(batch)
        ids = decision_ids(batch.partition, [record.offset for record in records])
        bodies = self._decide(ids, [record.value for record in records])
        for record, body in zip(records, bodies, strict=True):
            self._producer.produce(DECISIONS, body, record.key)
        self._producer.poll(0)

    def flush(self) -> None:
        super().flush()
        if self._producer.flush(30.0):
            raise TimeoutError("decisions were not acknowledged within 30 s")


def main() -> None:
    """Work until SIGTERM."""
    app = Application(
        BROKER,
        consumer_group=GROUP,
        auto_offset_reset="earliest",
        loglevel="WARNING",
        commit_every=COMMIT_EVERY,
        commit_interval=COMMIT_S,
        consumer_poll_timeout=COMMIT_S,
    )
    transfers = app.topic(TRANSFERS, value_deserializer="bytes", key_deserializer="bytes")
    app.dataframe(transfers).sink(DecisionSink())
    app.run()


if __name__ == "__main__":
    main()
