"""Instants as RFC 3339, as messages and manifests carry them."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def rfc3339(time_ms: int) -> str:
    """Milliseconds since the epoch as RFC 3339, UTC, with milliseconds."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_now() -> str:
    """The time of day of this machine, as ``rfc3339`` writes it."""
    return rfc3339(time.time_ns() // 1_000_000)
