"""Duration: seconds, written as people write them (``50ms``, ``5m``, ``1h30m``)."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

#: Seconds per unit. The spelling is Go's, since that is what the configuration files use.
UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_EXPECTED = "expected a duration such as '50ms', '5s', '5m', '1h30m', or a number of seconds"
_PART = r"(\d+(?:\.\d+)?)(us|µs|ms|s|m|h|d)"
_PATTERN = r"^(\d+(\.\d+)?(us|µs|ms|s|m|h|d))+$"
_WHOLE = re.compile(_PATTERN, re.ASCII)
_PARTS = re.compile(_PART, re.ASCII)


def parse_duration(value: Any) -> float:
    """Seconds of ``'50ms'``, ``'1h30m'`` or a plain number (seconds). Raises ValueError.

    A string of digits alone is refused: its unit would be a guess.
    """
    if isinstance(value, str):
        return _parse_text(value.strip())
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{_EXPECTED}; found {value!r}")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{_EXPECTED}, not negative and finite; found {value!r}")
    return float(value)


def _parse_text(text: str) -> float:
    if text == "0":
        return 0.0
    if not _WHOLE.match(text):
        raise ValueError(f"{_EXPECTED}; found {text!r}")
    return math.fsum(float(amount) * UNITS[unit] for amount, unit in _PARTS.findall(text))


def format_duration(seconds: float) -> str:
    """The shortest spelling that parses back to the same seconds: ``0.05`` is ``50ms``."""
    for unit in ("h", "m", "s", "ms"):
        amount = seconds / UNITS[unit]
        if amount >= 1 and amount == round(amount):
            return f"{amount:.0f}{unit}"
    return f"{seconds:g}s" if seconds >= 1 or seconds == 0 else f"{seconds * 1000:g}ms"


#: Seconds as a float; configuration may spell it ``50ms``. Never negative.
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": _PATTERN}, {"type": "number", "minimum": 0}],
            "examples": ["50ms", "5s", "5m", "1h30m"],
        }
    ),
]
