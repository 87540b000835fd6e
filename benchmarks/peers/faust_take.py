"""Stock Faust in batches by hand: ``take_events(256)``, one call of the model for each batch.

``faust -A benchmarks.peers.faust_take worker --without-web``. Values stay bytes, so that the batch
is decoded by the same typed code as the bare loop's; each decision is sent with ``topic.send``.
"""

from __future__ import annotations

from collections.abc import AsyncIterable

import faust

from benchmarks.decide import Decide
from benchmarks.peers.names import BROKER, DECISIONS, GROUP, TRANSFERS, decision_id

MOST = 256
WITHIN_S = 0.01  # how long a batch may wait for its next event

app = faust.App(
    GROUP,
    broker=f"kafka://{BROKER}",
    value_serializer="raw",
    store="memory://",
    topic_replication_factor=1,
    producer_acks=-1,
)
transfers = app.topic(TRANSFERS)
decisions = app.topic(DECISIONS)
decide = Decide()


@app.agent(transfers)
async def select(stream: faust.Stream[bytes]) -> AsyncIterable[None]:
    """Decide what came together."""
    async for events in stream.take_events(MOST, within=WITHIN_S):
        messages = [event.message for event in events]
        ids = [decision_id(message.partition, message.offset) for message in messages]
        bodies = decide(ids, [event.value for event in events])
        for message, body in zip(messages, bodies, strict=True):
            await decisions.send(key=message.key, value=body)
        yield
