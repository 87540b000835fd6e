"""Calls: runs operators, measures them, and holds those with a deadline to it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.driving import drive_stages
from gress_ml.engine.job import Job, Stopwatch, begin
from gress_ml.engine.pace import NO_BOUND, Pace
from gress_ml.engine.threads import Threads
from gress_ml.metrics import ACTIVE_PREDICTIONS, STEP_TIME
from gress_ml.operator import Operator, Output, Stages, Work, in_one_go
from gress_ml.ports import Clock
from gress_ml.runtime.plan import Call, Step

#: How long work beside the loop may take to come back, where there is a deadline. Far longer than
#: one: that it waits for other partitions or for a core is no fault of the model.
PATIENCE_S = 10.0


class _Lane:
    """The calls of one step."""

    def __init__(self, operator: Operator[Any]) -> None:
        self.pace = Pace(operator.deadline_s, warmed_up=operator.warmed_up)
        self.threads = Threads(operator.max_concurrency)
        # threads of its own: work beside the loop is no reason to refuse a call with a deadline
        self.beside = Threads(operator.max_concurrency)
        self.stuck = False  # whether work beside the loop did not come back

    @property
    def busy(self) -> int:
        return self.threads.busy + self.beside.busy

    def overlaps(self, rows: int) -> bool:
        """Whether a call with so many rows is worth a thread while the loop goes on."""
        return self.pace.trusted and self.pace.long(rows) and not self.stuck


class Calls:
    """Runs ``process``: on the spot, in a thread with a deadline, or in part beside the loop.

    A step with a deadline starts in a thread, while the caller's own thread waits for at most the
    deadline. After so many calls in time, or a warm-up that stands for them, calls are made on the
    spot: to hand one over costs more than it takes. One that is late there keeps its answer, since
    a fallback would not be sooner, and the step goes back to a thread.

    A call that is expected to take long is awaited, if its operator has ``stages`` and there is a
    second core: its work is done in a thread while the loop goes on with other partitions.
    """

    def __init__(self, clock: Clock, metrics: PrometheusMetrics, cores: int | None = None) -> None:
        self._clock = clock
        self._metrics = metrics
        self._overlaps = (_cores() if cores is None else cores) > 1
        self._lanes: dict[str, _Lane] = {}
        self._count()  # on the page before the first call, which may be made on the spot

    def run(self, call: Call) -> Output | Coroutine[Any, Any, Output]:
        """The operator's output, or its fallback; or one to await. Raises what ``process`` raises.

        An output that is awaited may not overtake, nor be overtaken by, another of its operator.
        """
        operator, rows = call.step.operator, len(call.batch)
        lane = self._lane(call.step)
        if self._overlaps and lane.overlaps(rows):
            stages = operator.stages(call.batch)
            if stages is not None:
                return self._beside(call, lane, stages)
        started = self._clock.monotonic()
        if lane.pace.trusted:
            watch = Stopwatch(self._clock)
            output = _process(call, watch)
            watch.record(self._metrics)
        elif lane.threads.full:
            return _fallback(call, "overload")  # says nothing of the pace
        else:
            output = self._in_thread(call, lane)
        elapsed = self._clock.monotonic() - started
        lane.pace.saw(rows, elapsed)
        self._measure(call, elapsed)
        return output

    def most_rows(self, steps: Iterable[Step]) -> int:
        """How many rows a batch may have for each of these steps to be well in time."""
        return min((self._lane(step).pace.most_rows for step in steps), default=NO_BOUND)

    def _lane(self, step: Step) -> _Lane:
        lane = self._lanes.get(step.name)
        if lane is None:
            lane = self._lanes[step.name] = _Lane(step.operator)
        return lane

    def _in_thread(self, call: Call, lane: _Lane) -> Output:
        """Hold the loop for at most the deadline."""
        operator = call.step.operator
        assert operator.deadline_s is not None
        watch = Stopwatch(self._clock)
        job = Job(partial(_process, call, watch))
        under_way = threading.Lock()  # a bare lock: an Event costs several times as much
        under_way.acquire()
        lane.threads.start(job.run, under_way.release)
        self._count()
        in_time = under_way.acquire(timeout=operator.deadline_s)
        self._count()
        if not in_time:
            lane.pace.gave_up(len(call.batch))
            return _fallback(call, "timeout")
        watch.record(self._metrics)
        output: Output = job.result()
        return output

    async def _beside(self, call: Call, lane: _Lane, stages: Stages) -> Output:
        """The stages on the loop, their work in a thread; late is what computes for too long."""
        operator = call.step.operator
        jobs: list[Job] = []
        watch = Stopwatch(self._clock)

        async def do(work: Work) -> Any:
            jobs.append(job := Job(partial(watch.do, work)))
            return await self._finished(job, lane)

        started = self._clock.monotonic()
        patience = asyncio.timeout(None if operator.deadline_s is None else PATIENCE_S)
        try:
            async with patience:
                output = await drive_stages(stages, do)
        except TimeoutError:
            if not patience.expired():
                raise
            lane.stuck = True
            lane.pace.gave_up(len(call.batch))
            output = _fallback(call, "timeout")
        else:
            watch.record(self._metrics)
            lane.pace.saw(len(call.batch), sum(job.cpu_s for job in jobs))
        self._measure(call, self._clock.monotonic() - started)
        return output

    async def _finished(self, job: Job, lane: _Lane) -> Any:
        """The result of the job, done in a thread of the lane without holding the loop."""
        done = begin(job, lane.beside)
        self._count()
        try:
            await done
        finally:
            self._count()
        return job.result()

    def _count(self) -> None:
        busy = sum(lane.busy for lane in self._lanes.values())
        self._metrics.record(ACTIVE_PREDICTIONS, busy)

    def _measure(self, call: Call, elapsed_s: float) -> None:
        self._metrics.record(STEP_TIME, elapsed_s, (call.step.name,))
        for metric, labels in call.step.operator.timers:
            self._metrics.record(metric, elapsed_s * metric.per_second, labels)


def _process(call: Call, watch: Stopwatch) -> Output:
    """The operator's output, its stages done one after the other on the spot."""
    operator = call.step.operator
    stages = operator.stages(call.batch)
    return operator.process(call.batch) if stages is None else in_one_go(stages, watch.do)


def _fallback(call: Call, cause: str) -> Output:
    """What answers without the model; the batch says so."""
    output = call.step.operator.fallback(call.batch, cause)
    return replace(output, batch=output.batch.with_degraded("model"))


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
