"""Plan: what becomes of a batch of records, step by step, as a generator without I/O.

The generator asks for what it cannot do itself: a :class:`Fetch` of feature rows, a :class:`Call`
of an operator (the shell knows clocks, deadlines and threads). It returns a :class:`Result`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gress_ml.batch import Array, Batch, Origins, concat
from gress_ml.bundle import ModelUse, Publication
from gress_ml.errors import OperatorError
from gress_ml.metrics import Measure
from gress_ml.operator import (
    Checkpoint,
    Later,
    Lookup,
    Operator,
    Output,
    Rejected,
    Snapshot,
    Write,
)
from gress_ml.record import Record
from gress_ml.runtime.decode import Decoder
from gress_ml.runtime.encode import encode_rows, keys_of

_NO_ROWS = np.empty(0, np.intp)
#: What is kept of a reason: it may quote the event, and travels as a header.
_REASON_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Step:
    """An opened operator and the stream that it reads: the input, a step, or ``step.side``."""

    name: str
    operator: Operator[Any]
    source: str
    uses: tuple[ModelUse, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """A stream that leaves on a topic."""

    name: str
    topic: str
    source: str
    fields: Mapping[str, str]  # JSON name -> column
    when: Callable[[Mapping[str, Array]], Array] | None = None
    key: str | None = None  # column; None: the input record's key


@dataclass(frozen=True, slots=True)
class Call:
    """Wish: run ``step.operator.process(batch)`` and send the Output back."""

    step: Step
    batch: Batch


@dataclass(frozen=True, slots=True)
class Fetch:
    """Wish: look these up; send back one matrix per lookup, or None when the store is away."""

    step: Step
    lookups: Sequence[Lookup]


@dataclass(frozen=True, slots=True)
class Produced:
    """Messages for one topic, in order; ``records`` are positions of their input records."""

    topic: str
    keys: Sequence[bytes | None]
    values: Sequence[bytes]
    records: Sequence[int]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be decided: which one, where it failed, and why."""

    record: int  # position in the batch of records
    operator: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Late:
    """Work for after the answer, and the stream (``step.side``) that what it makes belongs to."""

    stream: str
    later: Later


@dataclass(slots=True)
class Result:
    """All effects of one batch, to be performed by the shell before its offsets are committed.

    All but ``late``: that is done when the others are on their way, or not at all.
    """

    produced: list[Produced] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    logs: list[Mapping[str, Any]] = field(default_factory=list)
    degraded: set[str] = field(default_factory=set)
    publications: list[Publication] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)


Wish = Call | Fetch
Flow = Generator[Wish, Any, Result]


class Plan:
    """The steps and routes that start at one input, with the state of their operators."""

    def __init__(
        self, input_name: str, decoder: Decoder, steps: Sequence[Step], routes: Sequence[Route]
    ) -> None:
        self.input_name = input_name
        self.decoder = decoder
        self.steps = tuple(steps)
        self.routes = tuple(routes)
        #: The models that the steps use.
        self.uses = _uses(steps)
        self.stateful = any(step.operator.snapshot() is not None for step in steps)
        #: Whether rows of several partitions may be decided in one joint batch.
        self.partition_free = not self.stateful and all(s.operator.partition_free for s in steps)
        wishes = (step.operator.checkpoint for step in steps)
        #: The learners among the steps, and how they want their checkpoints.
        self.checkpoints: tuple[Checkpoint, ...] = tuple(wish for wish in wishes if wish)

    def run(
        self,
        topic: str,
        partition: int,
        records: Sequence[Record],
        origins: Origins | None = None,
    ) -> Flow:
        """Decide these records. Drive it with ``send`` until it returns its Result."""
        batch, rejected = self.decoder.decode(topic, partition, records, origins)
        offsets = _with(batch.offsets, rejected)
        result = Result()
        if rejected:
            _bury(result, offsets, "decode", rejected)
        streams: dict[str, Batch] = {self.input_name: batch}
        for step in self.steps:
            source = streams.get(step.source)
            if source is None or not len(source):
                continue
            output = yield from _process(step, source)
            streams[step.name] = output.batch
            for name, side in output.side.items():
                streams[f"{step.name}.{name}"] = side
            if output.rejected:
                _bury(result, offsets, step.name, output.rejected)
            result.writes += output.writes
            result.measures += output.measures
            result.logs += output.logs
            result.publications += output.publications
            result.degraded |= output.batch.degraded
            result.late += [Late(f"{step.name}.{each.side}", each) for each in output.later]
        for route in self.routes:
            if (stream := streams.get(route.source)) is not None:
                _leave(result, offsets, route, stream)
        return result

    def leaving(self, stream: str, batch: Batch) -> Result:
        """The messages of a late stream's rows; what cannot be written is among ``dead``."""
        result = Result()
        for route in self.routes:
            if route.source == stream:
                _leave(result, batch.offsets, route, batch)
        return result

    def control(self, switch: str, value: str) -> bool:
        """Hand a run-time switch to the operators; True when one of them took it."""
        taken = [step.operator.control(switch, value) for step in self.steps]  # all of them hear it
        return any(taken)

    def snapshot(self) -> dict[str, tuple[int, bytes]]:
        """The state of each step that has one."""
        taken = {step.name: step.operator.snapshot() for step in self.steps}
        return {name: (s.version, s.data) for name, s in taken.items() if s is not None}

    def restore(self, saved: Mapping[str, tuple[int, bytes]]) -> None:
        """Become the saved state. Raises SnapshotError."""
        for step in self.steps:
            if step.name in saved:
                step.operator.restore(Snapshot(*saved[step.name]))

    def replace(self, steps: Mapping[str, Step]) -> None:
        """Put these in the place of the steps of their names, all at once, between two batches.

        Each goes on with the state of the one before it, which is closed. Raises SnapshotError;
        then nothing has changed.
        """
        old = [step for step in self.steps if step.name in steps]
        for step in old:
            state = step.operator.snapshot()
            if state is not None:
                steps[step.name].operator.restore(state)
        self.steps = tuple(steps.get(step.name, step) for step in self.steps)
        self.uses = _uses(self.steps)
        for step in old:
            step.operator.close()

    def close(self) -> None:
        """Close every operator."""
        for step in self.steps:
            step.operator.close()


def _uses(steps: Sequence[Step]) -> tuple[ModelUse, ...]:
    return tuple(dict.fromkeys(use for step in steps for use in step.uses))


def _process(step: Step, batch: Batch) -> Generator[Wish, Any, Output]:
    """One step on one batch; one that fails as a whole is halved until the bad rows stand alone.

    Cutting a batch never changes its result (split invariance), so halving is safe; an operator
    that raises must have left its state as it was.
    """
    try:
        lookups = step.operator.lookups(batch)
        if lookups:
            answers: Sequence[Array | None] = yield Fetch(step, lookups)
            batch = _with_answers(batch, lookups, answers)
        output: Output = yield Call(step, batch)
        return output
    except Exception as error:  # whatever an operator raises becomes data (law 6)
        if len(batch) == 1:
            why = f"{type(error).__name__}: {error}"
            dead = Rejected(int(batch.offsets[0]), "operator_failed", why)
            return Output(batch.take(_NO_ROWS), rejected=[dead])
    middle = len(batch) // 2
    first = yield from _process(step, batch.cut(0, middle))
    second = yield from _process(step, batch.cut(middle, len(batch)))
    return _join(first, second)


def _with_answers(
    batch: Batch, lookups: Sequence[Lookup], answers: Sequence[Array | None]
) -> Batch:
    columns = {
        lookup.name: np.full((len(batch), len(lookup.fields)), np.nan, np.float32)
        if answer is None
        else answer
        for lookup, answer in zip(lookups, answers, strict=True)
    }
    batch = batch.with_columns(columns)
    return batch.with_degraded("feature_store") if any(a is None for a in answers) else batch


def _join(first: Output, second: Output) -> Output:
    return Output(
        batch=_concat(first.batch, second.batch),
        rejected=[*first.rejected, *second.rejected],
        writes=[*first.writes, *second.writes],
        side={
            name: _concat(first.side[name], second.side[name])
            if name in first.side and name in second.side
            else {**first.side, **second.side}[name]
            for name in {**first.side, **second.side}
        },
        measures=[*first.measures, *second.measures],
        logs=[*first.logs, *second.logs],
        later=[*first.later, *second.later],
        publications=[*first.publications, *second.publications],
    )


def _concat(first: Batch, second: Batch) -> Batch:
    """Both, in order; an empty one may lack the columns that the operator adds."""
    if not len(first) or not len(second):
        kept = second if not len(first) else first
        return replace(kept, degraded=first.degraded | second.degraded)
    return concat(first, second)


def _with(offsets: Array, rejected: Sequence[Rejected]) -> Array:
    """These offsets and those of the rejected rows, in order."""
    if not rejected:
        return offsets
    others = np.array([row.offset for row in rejected], np.int64)
    return np.insert(offsets, np.searchsorted(offsets, others), others)


def _bury(result: Result, offsets: Array, operator: str, rejected: Sequence[Rejected]) -> None:
    positions = _positions(offsets, np.array([row.offset for row in rejected], np.int64), operator)
    for position, row in zip(positions, rejected, strict=True):
        reason = row.message[:_REASON_CHARACTERS]
        result.dead.append(DeadLetter(position, operator, row.code, reason))


def _leave(result: Result, offsets: Array, route: Route, batch: Batch) -> None:
    """One stream on its way out; rows that cannot be written are found as in ``_process``.

    A column may hold what JSON cannot: a lone surrogate, an object nested without end.
    """
    if not len(batch):
        return
    try:
        produced = _produced(offsets, route, batch)
    except Exception as error:
        if len(batch) == 1:
            why = f"{type(error).__name__}: {error}"
            dead = Rejected(int(batch.offsets[0]), "output_failed", why)
            _bury(result, offsets, route.name, [dead])
            return
    else:
        if produced.values:
            result.produced.append(produced)
        return
    middle = len(batch) // 2
    _leave(result, offsets, route, batch.cut(0, middle))
    _leave(result, offsets, route, batch.cut(middle, len(batch)))


def _produced(offsets: Array, route: Route, batch: Batch) -> Produced:
    if route.when is not None:
        batch = batch.take(np.asarray(route.when(batch.columns), np.bool_))
    return Produced(
        topic=route.topic,
        keys=keys_of(batch, route.key),
        values=encode_rows(batch, route.fields),
        records=_positions(offsets, batch.offsets, route.source),
    )


def _positions(offsets: Array, wanted: Array, source: str) -> Sequence[int]:
    """Where these offsets stand among those of the records. Raises OperatorError."""
    if wanted is offsets:  # no row was added, dropped or moved
        return range(len(offsets))
    first, end = (offsets[0], offsets[-1] + 1) if len(offsets) else (0, 0)
    if end - first == len(offsets):  # none lacks in between, as nearly always
        positions, unknown = wanted - first, wanted[(wanted < first) | (wanted >= end)]
    else:
        positions = np.searchsorted(offsets, wanted)
        inside = positions < len(offsets)
        unknown = wanted[~inside | (offsets[positions * inside] != wanted)]
    if len(unknown):
        raise OperatorError(f"{source!r} gave a row of offset {unknown[0]}: its batch has no such")
    found: list[int] = positions.tolist()
    return found
