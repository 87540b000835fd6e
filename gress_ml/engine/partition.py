"""PartitionRunner: performs the actions of one PartitionTask and reports what came of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from gress_ml.adapters.kafka.outlet import Outlet, OutletLostError, Outlets
from gress_ml.adapters.kafka.sink import Partition
from gress_ml.adapters.kafka.transport import CommitRefusedError
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.afterwards import Afterwards
from gress_ml.engine.backpressure import Backpressure
from gress_ml.engine.driving import Answers
from gress_ml.engine.effects import Effects
from gress_ml.engine.history import History
from gress_ml.engine.outages import Outages
from gress_ml.engine.prefetch import Prefetch
from gress_ml.engine.publishing import Publishing
from gress_ml.engine.together import Together
from gress_ml.errors import BrokerUnavailable, SnapshotError, StoreUnavailable
from gress_ml.metrics import (
    CHECKPOINT_DURATION,
    COMMITS,
    END_TO_END,
    EVENTS,
    MODEL_CHECKPOINT_DURATION,
    MODEL_RELOADS,
)
from gress_ml.operator import Lookup
from gress_ml.ports import Clock, FeatureStore, SavedState, SnapshotStore
from gress_ml.record import Record
from gress_ml.runtime.plan import Plan, Result, Step
from gress_ml.runtime.task import (
    Commit,
    Done,
    PartitionTask,
    RunBatch,
    SaveSnapshot,
    TakeSnapshot,
    Wait,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Shell:
    """What all partitions of a worker share."""

    topology: str
    clock: Clock
    outlets: Outlets
    features: FeatureStore
    snapshots: SnapshotStore
    metrics: PrometheusMetrics
    afterwards: Afterwards
    together: Together
    prefetch: Prefetch
    most_rows: Callable[[Iterable[Step]], int]  # of a batch for these steps
    outages: Outages
    publishing: Publishing
    history: History | None = None


class PartitionRunner:
    """Works one partition from its assignment to its revocation."""

    def __init__(
        self,
        partition: Partition,
        plan: Plan,
        task: PartitionTask,
        dead_topic: str,
        outlet: Outlet,
        shell: Shell,
    ) -> None:
        self.partition = partition
        self.plan = plan
        self.task = task
        self._dead_topic = dead_topic
        self._outlet = outlet
        self._effects = Effects(
            outlet, shell.features, shell.metrics, shell.clock, shell.outages, shell.publishing
        )
        self._backpressure = Backpressure(shell.metrics, partition)
        self._shell = shell
        self._now = shell.clock.monotonic
        self._wakeup: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf
        self._background: set[asyncio.Future[Any]] = set()
        self._failure: BaseException | None = None
        self._deciding = False
        self._taken: SavedState | None = None
        self._waiting: dict[str, Step] = {}  # to be swapped in before the next batch
        self._untold = plan.uses  # whose decisions the history does not know yet
        self._log = log.bind(topic=partition[0], partition=partition[1])
        shell.together.enter(self)

    @property
    def busy(self) -> bool:
        """Whether a batch is being decided, or waits to be."""
        return self._deciding or self.task.queued > 0

    @property
    def ready(self) -> bool:
        """Whether a batch waits and none is being decided."""
        return not self._deciding and self.task.queued > 0

    # --- told from outside ------------------------------------------------------------------------

    def deliver(self, records: Sequence[Record]) -> None:
        """Records came."""
        self._shell.metrics.record(EVENTS, len(records), (self.partition[0],))
        self._shell.prefetch.delivered(self.partition, len(records))
        now = self._now()
        self.task.receive(records, now)
        self._backpressure.told(self.task.full, now)
        self._wake()

    def measure(self) -> None:
        """Record what is sampled rather than counted."""
        self._backpressure.told(self.task.full, self._now())

    @property
    def steps(self) -> Sequence[Step]:
        """The steps that the next batch will run."""
        return [self._waiting.get(step.name, step) for step in self.plan.steps]

    def replace(self, steps: Sequence[Step]) -> None:
        """Swap these in, all of them between the same two batches."""
        for step in steps:
            if step.name in self._waiting:
                self._waiting[step.name].operator.close()
            self._waiting[step.name] = step
        self._wake()

    def drain(self) -> None:
        """Finish; ``run`` returns when nothing is under way."""
        self.task.drain()
        self.measure()
        self._wake()

    async def close(self) -> None:
        """Let go, also of what is still under way: the next owner reads it again."""
        for background in self._background:
            background.cancel()
        self._stop_alarm()
        self._shell.together.leave(self)
        self._shell.prefetch.rested(self.partition)
        for step in self._waiting.values():
            step.operator.close()
        self._shell.afterwards.drop({self.partition})
        self.plan.close()
        await self._outlet.close()

    # --- the loop ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Perform what the task says until it is done."""
        while self._failure is None:
            if self._waiting:
                self._swap()
            self.task.most_rows = self._shell.most_rows(self.plan.steps)
            match self.task.next(self._now()):
                case RunBatch() as batch:
                    self.measure()
                    await self._run_batch(batch)
                    if self.task.queued:  # other partitions, heartbeats and timers have their turn
                        await asyncio.sleep(0)
                case Commit(offset):
                    self._spawn(self._commit(offset))
                case TakeSnapshot(offset):
                    # the state as it is now: later batches must not show in it
                    self._taken = SavedState(offset, self.plan.snapshot(), _label_of(self.plan))
                case SaveSnapshot():
                    assert self._taken is not None
                    self._spawn(self._save(self._taken))
                case Wait(until):
                    await self._sleep(until)
                case Done():
                    return
        raise self._failure

    def _swap(self) -> None:
        steps, self._waiting = self._waiting, {}
        try:
            self.plan.replace(steps)
        except SnapshotError as error:
            for step in steps.values():
                step.operator.close()
            for use in dict.fromkeys(use for step in steps.values() for use in step.uses):
                self._shell.metrics.record(MODEL_RELOADS, 1, (use.model, "failed"))
            self._log.error("model_not_swapped", steps=[*steps], reason=str(error))
            return
        self._untold = self.plan.uses
        self._log.info("model_swapped", steps=[*steps], offset=self.task.position)

    async def _run_batch(self, batch: RunBatch) -> None:
        self._deciding = True
        try:
            await self._decide_and_send(batch)
        finally:
            self._deciding = False

    async def _decide_and_send(self, batch: RunBatch) -> None:
        result = await self._decide(batch)
        if batch.replay:
            self.task.replayed(batch.end)
            return
        self._tell(batch, result)
        settled = await self._effects.perform(
            self.partition, batch.records, result, self._dead_topic
        )
        self.task.launched(batch.end, _size_of(result))
        self._background.add(settled)
        settled.add_done_callback(partial(self._settled, batch))
        if result.late:
            self._shell.afterwards.offer(self.partition, self.plan, result.late)

    def _tell(self, batch: RunBatch, result: Result) -> None:
        """Add to the outputs who decides from here on, when that is new."""
        if self._untold and self._shell.history is not None:
            first = batch.records[0].offset
            told = self._shell.history.records(self.partition, first, self._untold)
            if told is not None:
                result.produced.append(told)
        self._untold = ()

    async def _decide(self, batch: RunBatch) -> Result:
        # what is looked up flows into outputs, never into state: a replay does without
        fetch = _no_answers if batch.replay else self._effects.fetch
        return await self._shell.together.decide(self, batch.records, fetch)

    def _settled(self, batch: RunBatch, settled: asyncio.Future[Any]) -> None:
        if not settled.cancelled() and settled.exception() is None:
            self.task.acknowledged(batch.end)
            oldest = batch.records[0].timestamp
            latency_s = (self._shell.clock.wall_ms() - oldest) / 1000
            self._shell.metrics.record(END_TO_END, max(latency_s, 0.0), (self.partition[0],))
        self._finished(settled)

    async def _commit(self, offset: int) -> None:
        try:
            await self._outlet.commit(offset)
        except CommitRefusedError as error:
            self._failed_commit("refused", offset, error)
        except BrokerUnavailable as error:
            self._failed_commit("unavailable", offset, error)
        else:
            self._shell.metrics.record(COMMITS, 1, ("committed",))
            self.task.committed(offset, self._now())

    def _failed_commit(self, result: str, offset: int, error: Exception) -> None:
        self._log.warning("commit_failed", result=result, offset=offset, error=str(error))
        self._shell.metrics.record(COMMITS, 1, (result,))
        self.task.commit_failed(self._now())

    async def _save(self, state: SavedState) -> None:
        started = self._now()
        try:
            await self._shell.snapshots.save(self._shell.topology, *self.partition, state)
        except StoreUnavailable as error:
            self._log.warning("snapshot_failed", offset=state.offset, error=str(error))
            self.task.save_failed(self._now())
        else:
            elapsed_s = self._now() - started
            self._shell.metrics.record(CHECKPOINT_DURATION, elapsed_s, (self._shell.topology,))
            for learner in self.plan.checkpoints:
                labels = (learner.model, learner.version)
                self._shell.metrics.record(MODEL_CHECKPOINT_DURATION, elapsed_s, labels)
            self.task.saved(state.offset, self._now())

    # --- waiting ----------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Work beside the loop; when it ends the task is asked anew."""
        background = asyncio.create_task(work)
        self._background.add(background)
        background.add_done_callback(self._finished)

    def _finished(self, background: asyncio.Future[Any]) -> None:
        self._background.discard(background)
        if not background.cancelled() and (error := background.exception()) is not None:
            if not isinstance(error, OutletLostError):  # that one the engine mends
                self._log.error("partition_failed", error=repr(error))
            self._failure = error
        self._wake()

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    async def _sleep(self, until: float | None) -> None:
        self._wakeup = asyncio.get_running_loop().create_future()
        if until is not None and until < self._alarm_at:
            self._set_alarm(until)
        self._shell.prefetch.rested(self.partition)
        try:
            await self._wakeup
        finally:
            self._wakeup = None

    def _set_alarm(self, until: float) -> None:
        """Wake at ``until`` or before: one that rings earlier is kept, as a new one costs more."""
        self._stop_alarm()
        delay_s = max(until - self._now(), 0.0)
        self._alarm = asyncio.get_running_loop().call_later(delay_s, self._ring)
        self._alarm_at = until

    def _ring(self) -> None:
        self._stop_alarm()
        self._wake()

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_at = None, math.inf


def _label_of(plan: Plan) -> str:
    """Name and version of the first learner; empty when there is none."""
    return next((f"{one.model}-{one.version}" for one in plan.checkpoints), "")


def _size_of(result: Result) -> int:
    return sum(sum(map(len, produced.values)) for produced in result.produced)


async def _no_answers(lookups: Sequence[Lookup]) -> Answers:
    return [None] * len(lookups)
