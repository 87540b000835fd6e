"""Calls: runs operators, measures them, and holds those with a deadline to it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.batch import Batch
from gress_ml.metrics import ACTIVE_PREDICTIONS, STEP_TIME
from gress_ml.operator import Operator, Output
from gress_ml.ports import Clock
from gress_ml.runtime.plan import Call

AnyOperator = Operator[Any]

#: After so many calls in time, one after the other, calls are made on the spot.
TRUSTED_CALLS = 50


def _taken_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True)
class _Job:
    operator: AnyOperator
    batch: Batch
    #: Held until the job is done. A bare lock: an Event costs several times as much.
    under_way: threading.Lock = field(default_factory=_taken_lock)
    output: Output | None = None
    error: BaseException | None = None

    def run(self) -> None:
        try:
            self.output = self.operator.process(self.batch)
        except BaseException as error:  # handed to who waits; the thread lives on
            self.error = error


class _Threads:
    """Up to ``limit`` daemon threads: one that hangs must not keep the process from ending."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._threads = 0
        self._busy = 0  # jobs not yet finished; changed under the lock
        self._lock = threading.Lock()

    @property
    def busy(self) -> int:
        return self._busy

    def start(self, job: _Job) -> bool:
        """Begin the job; False when all threads are busy (some of them past their deadline)."""
        with self._lock:
            if self._busy >= self._limit:
                return False
            self._busy += 1
            if self._busy > self._threads:
                self._threads += 1
                threading.Thread(target=self._work, name="gress-call", daemon=True).start()
        self._jobs.put(job)
        return True

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            job.run()
            with self._lock:
                self._busy -= 1
            job.under_way.release()  # last: who waits for it may call again at once


class _Pace:
    """Whether the calls of a step have been within their deadline lately."""

    def __init__(self, deadline_s: float, *, warmed_up: bool) -> None:
        self._deadline_s = deadline_s
        self._in_time = TRUSTED_CALLS if warmed_up else 0

    @property
    def trusted(self) -> bool:
        return self._in_time >= TRUSTED_CALLS

    def saw(self, elapsed_s: float) -> None:
        """A late call takes all trust away."""
        self._in_time = self._in_time + 1 if elapsed_s <= self._deadline_s else 0


class Calls:
    """Runs ``process``: on the spot, or in a thread with a deadline and a fallback.

    A step with a deadline starts in a thread, while the caller's own thread waits for at most the
    deadline. After so many calls in time, or a warm-up that stands for them, calls are made on the
    spot: to hand one over costs more than it takes. One that is late there keeps its answer, since
    a fallback would not be sooner, and the step goes back to a thread.
    """

    def __init__(self, clock: Clock, metrics: PrometheusMetrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._threads: dict[str, _Threads] = {}
        self._paces: dict[str, _Pace] = {}

    def run(self, call: Call) -> Output:
        """The operator's output, or its fallback. Raises what ``process`` raises."""
        operator = call.step.operator
        started = self._clock.monotonic()
        deadline_s = operator.deadline_s
        if deadline_s is None:
            output = operator.process(call.batch)
        else:
            output = self._by(deadline_s, call, started)
        elapsed = self._clock.monotonic() - started
        self._metrics.record(STEP_TIME, elapsed, (call.step.name,))
        for metric, labels in operator.timers:
            self._metrics.record(metric, elapsed * metric.per_second, labels)
        return output

    @property
    def _busy(self) -> int:
        return sum(threads.busy for threads in self._threads.values())

    def _by(self, deadline_s: float, call: Call, started: float) -> Output:
        pace = self._paces.get(call.step.name)
        if pace is None:
            warmed_up = call.step.operator.warmed_up
            pace = self._paces[call.step.name] = _Pace(deadline_s, warmed_up=warmed_up)
        if pace.trusted:
            output = call.step.operator.process(call.batch)
        else:
            output = self._in_thread(call, deadline_s)
        pace.saw(self._clock.monotonic() - started)
        return output

    def _in_thread(self, call: Call, deadline_s: float) -> Output:
        operator = call.step.operator
        threads = self._threads.get(call.step.name)
        if threads is None:
            threads = self._threads[call.step.name] = _Threads(operator.max_concurrency)
        job = _Job(operator, call.batch)
        if not threads.start(job):
            return operator.fallback(call.batch, "overload")
        self._metrics.record(ACTIVE_PREDICTIONS, self._busy)
        in_time = job.under_way.acquire(timeout=deadline_s)
        self._metrics.record(ACTIVE_PREDICTIONS, self._busy)
        if not in_time:
            return operator.fallback(call.batch, "timeout")
        if job.error is not None:
            raise job.error
        assert job.output is not None
        return job.output
