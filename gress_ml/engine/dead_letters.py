"""Dead letters: the original with the reason in its headers; and a log line now and then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from gress_ml.adapters.kafka.producer import Message
from gress_ml.adapters.kafka.sink import Partition
from gress_ml.engine.tracing import traced
from gress_ml.ports import Clock
from gress_ml.record import Record
from gress_ml.runtime.plan import DeadLetter

log = structlog.get_logger(__name__)

#: A kind of fault is told at once, and then as often as this while it goes on.
PERIOD_S = 10.0


def letter_of(source: Partition, record: Record, dead: DeadLetter, now: bytes) -> Message:
    """The record as it came, with where it failed and why."""
    headers = [
        ("gress-error-code", dead.code.encode()),
        ("gress-error-message", dead.message.encode(errors="backslashreplace")),
        ("gress-source", f"{source[0]}-{source[1]}-{record.offset}".encode()),
        ("gress-operator", dead.operator.encode()),
        ("gress-time", now),
        *traced(record),
    ]
    return Message(record.key, record.value, headers)


def shortened(letter: Message, kept: int) -> Message:
    """At most ``kept`` bytes of the value, and of the key."""
    key, value, headers = letter.key, letter.value, letter.headers
    if value is not None and len(value) > kept:
        headers = [*headers, ("gress-truncated-from", str(len(value)).encode())]
        value = value[:kept]
    return Message(None if key is None else key[:kept], value, headers)


@dataclass(slots=True)
class _Kind:
    """Letters of one partition, operator and code."""

    told: float | None = None  # when the last line was written
    count: int = 0  # since then


class DeadLetterLog:
    """Lines about dead letters: a flood of bad events makes no flood of lines.

    A line counts what came from a partition since the last one of its kind, and quotes the first
    of the batch at hand. The letters themselves, and the metric, have them all.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kinds: dict[tuple[Partition, str, str], _Kind] = {}

    def note(
        self, source: Partition, records: Sequence[Record], dead: Sequence[DeadLetter]
    ) -> None:
        """Count these, and write a line for each kind whose time has come."""
        now = self._clock.monotonic()
        first: dict[tuple[str, str], DeadLetter] = {}
        for letter in dead:
            first.setdefault((letter.operator, letter.code), letter)
        counts = Counter((letter.operator, letter.code) for letter in dead)
        for (operator, code), letter in first.items():
            kind = self._kinds.setdefault((source, operator, code), _Kind())
            kind.count += counts[operator, code]
            if kind.told is None or now - kind.told >= PERIOD_S:
                _tell(source, records[letter.record].offset, letter, kind.count)
                kind.told, kind.count = now, 0


def _tell(source: Partition, offset: int, letter: DeadLetter, count: int) -> None:
    log.warning(
        "dead_letters",
        topic=source[0],
        partition=source[1],
        first_offset=offset,
        count=count,
        operator=letter.operator,
        code=letter.code,
        reason=letter.message,
    )
