"""OfflineRun: records in, messages and dead letters out, with the engine's own plan and task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gress_ml.engine.driving import Answers, drive
from gress_ml.engine.planning import build_plan, task_settings
from gress_ml.operator import Lookup, Output, in_one_go
from gress_ml.ports import FeatureStore, ModelStore
from gress_ml.record import FileRecord
from gress_ml.runtime.plan import Call, Plan, Produced, Result
from gress_ml.runtime.task import PartitionTask, RunBatch, TaskSettings
from gress_ml.topology.topology import Input, Topology


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that would have left."""

    topic: str
    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True)
class Dead:
    """A record that would have gone to the dead letters."""

    topic: str
    row: int  # which record, from 0
    operator: str
    code: str
    message: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Made:
    """What one batch made."""

    sent: Sequence[Sent]
    dead: Sequence[Dead]


class OfflineRun:
    """Runs the inputs of a topology over records, one partition each, in offset order."""

    def __init__(self, topology: Topology, models: ModelStore, features: FeatureStore) -> None:
        self._topology = topology
        self._models = models
        self._features = features
        self._plans: dict[str, Plan] = {}

    async def run(self, source: Input, records: Iterable[FileRecord]) -> list[Made]:
        """Everything that these records make. State goes on from earlier calls for this input."""
        plan = self._plan(source)
        settings = task_settings(self._topology, plan)
        return [await self._made(plan, source, batch) for batch in _batches(settings, records)]

    def close(self) -> None:
        """Close the operators."""
        for plan in self._plans.values():
            plan.close()

    def _plan(self, source: Input) -> Plan:
        plan = self._plans.get(source.name)
        if plan is None:
            plan = self._plans[source.name] = build_plan(self._topology, source, self._models)
        return plan

    async def _made(self, plan: Plan, source: Input, batch: RunBatch) -> Made:
        flow = plan.run(source.topic, 0, batch.records)
        result = await drive(flow, _call, self._fetch)
        for write in result.writes:
            await self._features.put(write.table, write.fields, write.keys, write.rows)
        sent = [
            Sent(produced.topic, key, value)
            for produced in [*result.produced, *_afterwards(plan, result)]
            for key, value in zip(produced.keys, produced.values, strict=True)
        ]
        dead = []
        for letter in result.dead:
            record = batch.records[letter.record]
            place = (source.dead_letters, record.offset, letter.operator)
            dead.append(Dead(*place, letter.code, letter.message, record.value))
        return Made(sent, dead)

    async def _fetch(self, lookups: Sequence[Lookup]) -> Answers:
        return [await self._features.fetch(each.table, each.fields, each.keys) for each in lookups]


def _call(wish: Call) -> Output:
    """No deadline here: a file waits for no one, so nothing falls back."""
    return wish.step.operator.process(wish.batch)


def _afterwards(plan: Plan, result: Result) -> Iterator[Produced]:
    """What late work makes, all of it: here nothing else waits."""
    for late in result.late:
        output = in_one_go(late.later.stages(late.later.batch))
        yield from plan.leaving(late.stream, output.batch).produced


def _batches(settings: TaskSettings, records: Iterable[FileRecord]) -> Iterator[RunBatch]:
    """The batches that the partition task closes when all records are there at once."""
    waiting = list(records)
    if not waiting:
        return
    start = waiting[0].offset
    task = PartitionTask(start=start, committed=start, stateful=False, settings=settings, now=0.0)
    task.receive(waiting, 0.0)
    late = settings.batch.timeout_s  # as if the last batch had waited its time
    while task.queued:
        task_action = task.next(late)
        if isinstance(task_action, RunBatch):
            yield task_action
            task.replayed(task_action.end)
