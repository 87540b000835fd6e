"""Stock Faust as its documentation shows: an agent, ``async for``, one event at a time.

``faust -A benchmarks.peers.faust_events worker --without-web``. Outputs are acknowledged by all
replicas and offsets committed every 2.8 s, its defaults.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

import faust

from benchmarks.decide_one import DecideOne
from benchmarks.peers.names import BROKER, DECISIONS, GROUP, TRANSFERS, decision_id

app = faust.App(
    GROUP,
    broker=f"kafka://{BROKER}",
    value_serializer="json",
    store="memory://",
    topic_replication_factor=1,
    producer_acks=-1,
)
transfers = app.topic(TRANSFERS)
decisions = app.topic(DECISIONS)
decide = DecideOne()


@app.agent(transfers)
async def select(stream: faust.Stream[dict[str, Any]]) -> AsyncIterable[None]:
    """Decide event by event."""
    async for event in stream.events():
        message = event.message
        decided = decide(event.value, decision_id(message.partition, message.offset))
        await decisions.send(key=message.key, value=decided)
        yield
