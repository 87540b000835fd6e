"""Tracing: headers that travel from an input to every output (W3C Trace Context)."""

from __future__ import annotations

from collections.abc import Sequence

from gress_ml.record import Record

_HEADERS = frozenset({"traceparent", "tracestate"})
#: Longer ones are not of that kind; they stay behind.
_BYTES = 1024


def traced(record: Record) -> Sequence[tuple[str, bytes]]:
    """The trace headers of a record, the last of each."""
    if not record.headers:
        return ()
    kept = {
        name: value
        for name, value in record.headers
        if name in _HEADERS and value is not None and len(value) <= _BYTES
    }
    return list(kept.items())
