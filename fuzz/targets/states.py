"""States: damaged bytes handed to every operator that has a state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, ClassVar

import msgspec
import orjson

from fuzz import bytes_mutation, json_mutation
from fuzz.target import Target, require
from gress_ml.batch import Batch
from gress_ml.errors import SnapshotError
from gress_ml.operator import Snapshot
from gress_ml.testing.harness import run_batch
from gress_ml.testing.rows import rows_of
from gress_ml.testing.subject import Subject
from gress_ml.topology.catalogue import installed_operators

#: How states are written: what cannot be read as one of these is mutated as bytes.
_FORMS: tuple[tuple[Callable[[bytes], Any], Callable[[Any], bytes]], ...] = (
    (orjson.loads, json_mutation.dumped),
    (msgspec.msgpack.decode, msgspec.msgpack.encode),
)

_LATER_MS = 45_000  # where some of the example's windows still reach


class States(Target):
    """One input is an operator with the number of its example, a line feed and the state."""

    name: ClassVar[str] = "states"
    law: ClassVar[str] = "Restored bytes are a state that works on, or a SnapshotError."

    def __init__(self) -> None:
        self._subjects = dict(_stateful())

    def seeds(self) -> Sequence[bytes]:
        return [f"{name}\n".encode() + snapshot.data for name, (_, snapshot) in self._states()]

    def _states(self) -> Iterator[tuple[str, tuple[Subject, Snapshot]]]:
        yield from sorted(self._subjects.items())

    def mutate(self, random: Random, pool: Sequence[bytes]) -> bytes:
        name, line, state = random.choice(pool).partition(b"\n")
        if random.random() < 0.5:
            for read, write in _FORMS:
                with contextlib.suppress(ValueError, TypeError, OverflowError, RecursionError):
                    return name + line + write(json_mutation.mutated(read(state), random))
        return name + line + bytes_mutation.mutated(state, random)

    def check(self, data: bytes) -> str:
        name, _, state = data.partition(b"\n")
        known = self._subjects.get(name.decode("utf-8", "replace"))
        if known is None:
            return "no such operator"
        subject, snapshot = known
        operator = subject.fresh()
        try:
            operator.restore(Snapshot(snapshot.version, state))
        except SnapshotError as error:
            return f"{name.decode()}: {error}"
        finally:
            operator.close()
        return f"{name.decode()}: {_works_on(subject, Snapshot(snapshot.version, state))}"


def _works_on(subject: Subject, state: Snapshot) -> str:
    """The state takes rows, and comes back from its own snapshot."""
    batch = subject.batch()
    later = replace(batch, event_time_ms=batch.event_time_ms + _LATER_MS)
    for each in (batch, later):
        first, taken = _ran(subject, state, each)
        second, _ = _ran(subject, taken, each)
        require(first == second, "a state comes back from its own snapshot")
    return "works on"


def _ran(subject: Subject, state: Snapshot, batch: Batch) -> tuple[list[object], Snapshot]:
    """What comes out, in a form that can be compared; and the state as it was before."""
    operator = subject.fresh()
    operator.restore(state)
    taken = operator.snapshot()
    assert taken is not None
    output = run_batch(operator, batch)
    operator.close()
    writes = [(write.keys, write.rows.tobytes()) for write in output.writes]
    return [repr(rows_of(output.batch)), output.rejected, writes], taken


def _stateful() -> Iterator[tuple[str, tuple[Subject, Snapshot]]]:
    for operator_class in installed_operators().operators.values():
        for number, example in enumerate(operator_class.examples):
            subject = Subject(operator_class, example)
            operator = subject.fresh()
            run_batch(operator, subject.batch())
            snapshot = operator.snapshot()
            operator.close()
            if snapshot is not None:
                yield f"{operator_class.name} {number}", (subject, snapshot)
