"""Durations as people write them: ``50ms``, ``5s``, ``5m``, ``1h``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

PATTERN = r"^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)$"
_FORM = re.compile(PATTERN)
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_S = 10 * 365 * 86400.0


def parse_duration(text: Any) -> timedelta:
    """A duration from its text. A bare number has no unit and is refused. Raises ValueError."""
    if isinstance(text, timedelta):
        return text
    match = _FORM.match(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("bad duration: write a number and a unit, as 50ms, 5s, 5m or 1h")
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if seconds > _LONGEST_S:
        raise ValueError("bad duration: longer than ten years")
    return timedelta(seconds=seconds)


def duration_text(duration: timedelta) -> str:
    """The text that reads back as this duration, in the largest unit that fits whole."""
    milliseconds = round(duration.total_seconds() * 1000)
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


#: The type of a duration in a configuration: ``timeout: Duration = timedelta(seconds=5)``.
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(duration_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["50ms", "5s", "5m", "1h"]}),
]
