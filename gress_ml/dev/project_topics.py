"""The topics of this project, as `gress dev up` and the container set-up make them.

The names that other programs see are described in ``docs/contracts``; a test compares the two.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from types import MappingProxyType

from gress_ml.dev.topics import TopicSettings, create_topics
from gress_ml.errors import GressError

PARTITIONS = 4  # so that up to four workers share the work

_EVENTS = TopicSettings(PARTITIONS)
_LATEST = TopicSettings(1, {"cleanup.policy": "compact"})  # the newest value of each key is kept

PROJECT_TOPICS: Mapping[str, TopicSettings] = MappingProxyType(
    {
        "dwcp.transfers": _EVENTS,
        "dwcp.decisions": _EVENTS,
        "dwcp.outcomes": _EVENTS,
        "dwcp.telemetry": _EVENTS,
        "dwcp.transfers.dlq": _EVENTS,
        "dwcp.outcomes.dlq": _EVENTS,
        "gress.models": _LATEST,
        "gress.experiments": _LATEST,
        "gress.control": _LATEST,
    }
)


def create_project_topics(bootstrap: str) -> None:
    """Make those that are missing. Not to be called inside an event loop."""
    asyncio.run(create_topics(bootstrap, PROJECT_TOPICS))


if __name__ == "__main__":
    try:
        create_project_topics(os.environ.get("GRESS_KAFKA") or "127.0.0.1:9092")
    except GressError as error:
        sys.exit(str(error))
