"""Switches: odd messages of the control topic."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar

from fuzz import bytes_mutation
from fuzz.target import Target, require
from fuzz.targets.events import Transfers
from gress_ml.adapters.kafka.compacted import CompactedTopics
from gress_ml.adapters.kafka.control import CONTROL_TOPIC, switches
from gress_ml.engine.engine import _control as control

_SWITCH = b"compression_ml.enabled"


class Switches(Target):
    """One input is a key and a value, with a line feed between; without one there is no value."""

    name: ClassVar[str] = "switches"
    law: ClassVar[str] = "Any message of the control topic is taken or ignored; decisions go on."

    def __init__(self) -> None:
        self._events = Transfers()
        self._good = self._events.seeds()[0]

    def __exit__(self, *error: object) -> None:
        self._events.__exit__()

    def seeds(self) -> Sequence[bytes]:
        return [_SWITCH + b"\ntrue", _SWITCH + b"\nfalse", b"other\n1", _SWITCH]

    def mutate(self, random: Random, pool: Sequence[bytes]) -> bytes:
        if random.random() < 0.5:
            return _SWITCH + b"\n" + bytes_mutation.mutated(b"false", random, pool)
        return bytes_mutation.mutated(random.choice(pool), random, pool)

    def check(self, data: bytes) -> str:
        key, line, value = data.partition(b"\n")
        told: list[tuple[str, str]] = []
        take = switches(lambda name, text: told.append((name, text)))
        CompactedTopics({}, {CONTROL_TOPIC: take}).take(
            CONTROL_TOPIC, key or None, value if line else None
        )
        for name, text in told:
            self._control(name, text)
        try:
            answer = self._events.check(self._good)
        finally:
            self._control(_SWITCH.decode(), "true")
        require(answer == "decided", f"decisions go on: {answer}")
        return "told" if told else "ignored"

    def _control(self, name: str, text: str) -> None:
        for step in self._events.plan.steps:
            control(step, name, text)
