"""Afterwards: what operators left for later, done in slices while no partition has work waiting."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import structlog

from gress_ml.adapters.kafka.producer import Message, OutputProducer, partition_of
from gress_ml.adapters.kafka.sink import Partition
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.batch import JOINT, Batch, concat, joint, place_of
from gress_ml.engine.driving import drive_stages
from gress_ml.engine.job import Job, Stopwatch, begin
from gress_ml.engine.pace import Pace
from gress_ml.engine.threads import Threads
from gress_ml.metrics import OUTPUTS
from gress_ml.operator import Work
from gress_ml.ports import Clock
from gress_ml.runtime.plan import Late, Plan, Produced

log = structlog.get_logger(__name__)

#: Rows that may wait, in a worker; more are let go.
LIMIT_ROWS = 16_384
#: Rows at a time: what an event that comes meanwhile waits for is some of these on the loop.
SLICE_ROWS = 64
#: So long fewer than a slice wait for others: a slice of few rows costs nearly what one of many
#: does, and the answers that come meanwhile pay for it.
GATHER_S = 0.1
#: Before it is asked again whether the partitions have nothing to do.
_PAUSE_S = 0.002
#: Messages' batches on their way; while Kafka does not take them, the queue fills and sheds.
_IN_FLIGHT = 4


@dataclass(slots=True)
class _Waiting:
    """Late work of one batch; the rows before ``done`` are done."""

    partition: Partition
    plan: Plan
    late: Late
    done: int = 0

    @property
    def rows(self) -> int:
        return len(self.late.later.batch) - self.done

    @property
    def kind(self) -> Hashable:
        """Who may share a slice: rows of one step with the same models; where rows of several
        partitions must not meet, of one partition."""
        later = self.late.later
        alone = (later.stages, later.batch.partition)
        who = self.plan.uses if self.plan.partition_free else alone
        return self.late.stream, who, later.batch.degraded

    def next(self, most: int) -> Batch:
        """The next rows, as many as there may be."""
        whole = self.late.later.batch
        start, self.done = self.done, min(self.done + most, len(whole))
        rows = whole.cut(start, self.done)
        return joint(rows) if self.plan.partition_free else rows


class Afterwards:
    """A bounded queue beside the path of the answers; what does not fit is let go and counted.

    It guarantees nothing: rows are let go when there are too many, when their partition is taken
    away and when something fails, and those of a batch that is decided again come twice. Commits
    know nothing of it, under either guarantee.
    """

    def __init__(self, producer: OutputProducer, metrics: PrometheusMetrics, clock: Clock) -> None:
        self._producer = producer
        self._metrics = metrics
        self._watch = Stopwatch(clock)
        self._paces: dict[str, Pace] = {}  # by stream
        self._busy: Callable[[], bool] = lambda: False
        self._queues: dict[Hashable, deque[_Waiting]] = {}  # by kind
        self._rows = 0
        self._filled, self._enough = asyncio.Event(), asyncio.Event()
        # a thread of its own; models let go of Python's lock while they compute
        self._threads = Threads(1)
        self._sent: set[asyncio.Task[None]] = set()

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._rows

    @property
    def _full(self) -> bool:
        """Whether as many rows wait as slices of each kind take."""
        return self._rows >= SLICE_ROWS * max(len(self._queues), 1)

    def yield_to(self, busy: Callable[[], bool]) -> None:
        """Work only while ``busy`` says no."""
        self._busy = busy

    def offer(self, partition: Partition, plan: Plan, late: Sequence[Late]) -> None:
        """Take the late work of a batch whose answers have left, as far as there is room."""
        for each in late:
            waiting = _Waiting(partition, plan, each)
            if self._rows + waiting.rows > LIMIT_ROWS:
                self._shed(waiting, waiting.rows)
            elif waiting.rows:
                self._queues.setdefault(waiting.kind, deque()).append(waiting)
                self._rows += waiting.rows
                self._filled.set()
        if self._full:
            self._enough.set()

    def drop(self, partitions: Collection[Partition]) -> None:
        """Let go of what waits for these partitions."""
        queues, self._queues = self._queues, {}
        for each in chain.from_iterable(queues.values()):
            if each.partition in partitions:
                self._rows -= each.rows
                self._shed(each, each.rows)
            else:
                self._queues.setdefault(each.kind, deque()).append(each)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                await self._filled.wait()
                if not self._full:
                    await self._gather()
                # whole slices: what is over costs nearly as much as one, and waits for others
                await self._do_rows(self._rows // SLICE_ROWS * SLICE_ROWS or self._rows)
                if not self._queues:
                    self._filled.clear()
        finally:
            queues = chain.from_iterable(self._queues.values())
            self.drop({waiting.partition for waiting in queues})
            for task in self._sent:
                task.cancel()

    async def _gather(self) -> None:
        """Wait for enough rows, or for as long as they may wait for each other."""
        self._enough.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER_S):
                await self._enough.wait()

    async def _do_rows(self, rows: int) -> None:
        """Slice by slice; those that come meanwhile are gathered first."""
        while self._queues and rows > 0:
            if self._busy():
                await asyncio.sleep(_PAUSE_S)
                continue
            waiting, part = self._next()
            rows -= len(part)
            await self._do(waiting, part)
            await asyncio.sleep(0)

    def _next(self) -> tuple[_Waiting, Batch]:
        """The next slice, of rows of one kind, and one whose they are; they wait no longer."""
        kind = next(iter(self._queues))
        queue, parts, room = self._queues.pop(kind), list[Batch](), SLICE_ROWS
        while queue and room:
            waiting = queue[0]
            parts.append(waiting.next(room))
            room -= len(parts[-1])
            if not waiting.rows:
                queue.popleft()
        if queue:  # behind the other kinds
            self._queues[kind] = queue
        self._rows -= SLICE_ROWS - room
        return waiting, _gathered(parts)

    async def _do(self, waiting: _Waiting, part: Batch) -> None:
        late = waiting.late
        try:
            pace = self._paces.setdefault(late.stream, Pace(None, warmed_up=True))
            work = partial(self._work, pace, len(part))
            output = await drive_stages(late.later.stages(part), work)
            result = waiting.plan.leaving(late.stream, output.batch)
            for produced in result.produced:
                await self._send(output.batch, produced)
        except asyncio.CancelledError:
            self._shed(waiting, len(part))
            raise
        except Exception as error:  # nothing depends on it, and the worker goes on
            log.warning("late_work_failed", stream=late.stream, rows=len(part), error=repr(error))
            self._shed(waiting, len(part))
        else:
            self._watch.record(self._metrics)
            self._metrics.record_all(output.measures)

    async def _work(self, pace: Pace, rows: int, work: Work) -> Any:
        """Do it on the spot if it is short: beside a loop that has the interpreter's lock it takes
        many times as long, and the loop waits for the lock each time that it lets go of it."""
        job = Job(lambda: self._watch.do(work))
        if pace.short(rows):
            job.run()
        else:
            await begin(job, self._threads)
        pace.saw(rows, job.cpu_s)
        return job.result()

    async def _send(self, batch: Batch, produced: Produced) -> None:
        """Hand the messages over; beyond a few on their way, wait. Raises BrokerUnavailable.

        One without a key goes to the partition that its row came from.
        """
        while len(self._sent) >= _IN_FLIGHT:
            await asyncio.wait(self._sent, return_when=asyncio.FIRST_COMPLETED)
        topic = produced.topic
        count = self._producer.known_partitions(topic) or await self._producer.partitions_of(topic)
        own = np.broadcast_to(place_of(batch)[0], len(batch)).tolist()
        parts: dict[int, list[Message]] = {}
        for key, value, row in zip(produced.keys, produced.values, produced.records, strict=True):
            target = own[row] % count if key is None else partition_of(key, count)
            parts.setdefault(target, []).append(Message(key, value))
        for target, messages in parts.items():
            sent = await self._producer.deliver(topic, target, messages)
            self._sent.add(sent)
            sent.add_done_callback(partial(self._settled, topic, len(messages)))

    def _settled(self, topic: str, rows: int, sent: asyncio.Task[None]) -> None:
        self._sent.discard(sent)
        if sent.cancelled():
            return
        if (error := sent.exception()) is None:
            self._metrics.record(OUTPUTS, rows, (topic,))
        else:
            log.warning("late_rows_lost", topic=topic, rows=rows, error=repr(error))

    def _shed(self, waiting: _Waiting, rows: int) -> None:
        if waiting.late.later.shed is not None:
            metric, labels = waiting.late.later.shed
            self._metrics.record(metric, rows, labels)


def _gathered(parts: Sequence[Batch]) -> Batch:
    """The rows of all as one batch; those of joint batches are numbered anew."""
    if len(parts) == 1:
        return parts[0]
    whole = concat(*parts)
    return replace(whole, offsets=np.arange(len(whole))) if whole.partition == JOINT else whole
