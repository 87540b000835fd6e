"""Quix Streams as its documentation begins: a dataframe, ``apply`` per event, ``to_topic``.

``python -m benchmarks.peers.quix_events``. At least once with its defaults: an idempotent producer,
acknowledged by all replicas, and a checkpoint every 5 s that flushes and then commits.
"""

from __future__ import annotations

from typing import Any

from quixstreams import Application, message_context

from benchmarks.decide_one import DecideOne
from benchmarks.peers.names import BROKER, DECISIONS, GROUP, TRANSFERS, decision_id


def main() -> None:
    """Work until SIGTERM."""
    decide = DecideOne()

    def select(event: dict[str, Any]) -> dict[str, Any]:
        place = message_context()
        return decide(event, decision_id(place.partition, place.offset))

    app = Application(
        BROKER, consumer_group=GROUP, auto_offset_reset="earliest", loglevel="WARNING"
    )
    transfers = app.topic(TRANSFERS, value_deserializer="json", key_deserializer="bytes")
    decisions = app.topic(DECISIONS, value_serializer="json", key_serializer="bytes")
    app.dataframe(transfers).apply(select).to_topic(decisions)
    app.run()


if __name__ == "__main__":
    main()
