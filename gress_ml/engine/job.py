"""Job: a piece of work done in some thread, and how long it took."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.threads import Threads
from gress_ml.operator import Timed, Work
from gress_ml.ports import Clock


@dataclass(slots=True)
class Job:
    """Work and what came of it."""

    work: Work
    answer: Any = None
    error: BaseException | None = None
    cpu_s: float = 0.0

    def run(self) -> None:
        """Do the work, in any thread."""
        # to wait for the interpreter's lock or for a core is not the work's time
        started = time.thread_time()
        try:
            self.answer = self.work()
        except BaseException as error:  # handed to who waits; the thread lives on
            self.error = error
        self.cpu_s = time.thread_time() - started

    def result(self) -> Any:
        """What the work returned. Raises what it raised."""
        if self.error is not None:
            raise self.error
        return self.answer


def begin(job: Job, threads: Threads) -> asyncio.Future[None]:
    """Start the job in one of the threads; the future is done when the job is."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_set, done)

    threads.start(job.run, tell)
    return done


def _set(done: asyncio.Future[None]) -> None:
    if not done.done():  # else nobody waits any more
        done.set_result(None)


@dataclass(slots=True)
class Stopwatch:
    """Does work in any thread and takes the time of what is ``Timed``; it is recorded later on.

    Metrics belong to the event loop's thread.
    """

    clock: Clock
    taken: list[tuple[Timed, float]] = field(default_factory=list)

    def do(self, work: Work) -> Any:
        """Do the work, on the spot."""
        if not isinstance(work, Timed):
            return work()
        started = self.clock.monotonic()
        answer = work()
        self.taken.append((work, self.clock.monotonic() - started))
        return answer

    def record(self, metrics: PrometheusMetrics) -> None:
        """Observe what was taken so far."""
        _record(metrics, self.taken)
        self.taken.clear()


def _record(metrics: PrometheusMetrics, taken: Iterable[tuple[Timed, float]]) -> None:
    for work, elapsed_s in taken:
        for metric, labels in work.timers:
            metrics.record(metric, elapsed_s * metric.per_second, labels)
