"""Effects: what a batch's Result becomes outside. Performed by the shell, in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential

from gress_ml.adapters.kafka.outlet import Outlet
from gress_ml.adapters.kafka.producer import Message, TooLargeError, partition_of
from gress_ml.adapters.kafka.sink import Partition
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.dead_letters import DeadLetterLog, letter_of, shortened
from gress_ml.engine.outages import Outages
from gress_ml.engine.publishing import Publishing
from gress_ml.engine.tracing import traced
from gress_ml.errors import BrokerUnavailable, StoreUnavailable
from gress_ml.metrics import DEAD_LETTERS, OUTPUTS, STORE_ERRORS
from gress_ml.operator import Lookup, Write
from gress_ml.ports import Clock, FeatureStore, Float32
from gress_ml.record import Record
from gress_ml.runtime.plan import DeadLetter, Produced, Result

log = structlog.get_logger(__name__)

#: What is kept of a dead letter that the broker will not take whole: the first of these that it
#: takes. The headers always travel.
_KEPT_BYTES = (256 * 1024, 4 * 1024, 0)


_headers = attrgetter("headers")
_Work = Coroutine[Any, Any, None]


@dataclass(frozen=True, slots=True)
class _Sending:
    """Messages for one partition, in order, with the positions of their input records."""

    topic: str
    partition: int
    messages: Sequence[Message]
    records: Sequence[int]

    def halves(self) -> tuple[_Sending, _Sending]:
        middle = len(self.messages) // 2
        first = replace(self, messages=self.messages[:middle], records=self.records[:middle])
        return first, replace(self, messages=self.messages[middle:], records=self.records[middle:])


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a batch came from, and where its dead letters go."""

    partition: Partition
    records: Sequence[Record]
    dead_topic: str


class Effects:
    """Performs lookups, outputs, dead letters, feature-store writes and publications of models for
    one partition."""

    def __init__(
        self,
        outlet: Outlet,
        store: FeatureStore,
        metrics: PrometheusMetrics,
        clock: Clock,
        outages: Outages,
        publishing: Publishing,
    ) -> None:
        self._outages = outages
        self._outlet = outlet
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._publishing = publishing
        self._dead_letter_log = DeadLetterLog(clock)
        self._writing = asyncio.Lock()

    async def fetch(self, lookups: Sequence[Lookup]) -> list[Float32 | None]:
        """One matrix per lookup; None where the store is away."""
        answers: list[Float32 | None] = []
        for lookup in lookups:
            try:
                rows = await self._store.fetch(lookup.table, lookup.fields, lookup.keys)
            except StoreUnavailable as error:
                log.debug("lookup_degraded", table=lookup.table, error=str(error))
                answers.append(None)
            else:
                answers.append(rows)
        return answers

    async def perform(
        self, partition: Partition, records: Sequence[Record], result: Result, dead_topic: str
    ) -> asyncio.Future[Any]:
        """Send all that a batch made, in order; the future is done when everything is safe."""
        self._note(result)
        source = _Source(partition, records, dead_topic)
        pending: list[asyncio.Task[None]] = []
        try:
            for produced in result.produced:
                for sending in await self._addressed(source, produced):
                    begun = await self._begin(source, sending)
                    pending += map(asyncio.create_task, begun)
            if result.dead:
                # those that could not be decoded come first, whatever stands before them in the log
                in_order = sorted(result.dead, key=lambda letter: letter.record)
                # handed over at once, letters travel in the request of the outputs
                pending.append(asyncio.create_task(await self._bury(source, in_order)))
        except BaseException:  # cut short: what was begun is not asked for any more
            for task in pending:
                task.cancel()
            raise
        beside: list[Awaitable[None]] = []
        if result.writes:
            beside.append(self._write(source, result.writes))
        if result.publications:
            beside.append(self._publishing.publish(result.publications))
        if len(pending) == 1 and not beside:
            return pending[0]
        return asyncio.gather(*pending, *beside)

    def _note(self, result: Result) -> None:
        self._metrics.record_all(result.measures)
        for line in result.logs:
            fields = {name: value for name, value in line.items() if name != "event"}
            log.info(str(line.get("event", "operator_log")), **fields)
        if result.degraded:
            self._outages.decided_without(result.degraded)

    async def _addressed(self, source: _Source, produced: Produced) -> list[_Sending]:
        """Each message to its partition: the input's own where keys and counts allow it.

        Same key and same number of partitions give the same partition, so nothing is hashed.
        """
        topic, own = source.partition
        messages = _messages(produced, source.records)
        count = await self._count(produced.topic)
        same = own < count == await self._count(topic)  # a partition may be newer than what we know
        if same and _same_keys(produced, source.records):
            return [_Sending(produced.topic, own, messages, produced.records)]
        targets = {
            key: own % count if key is None else partition_of(key, count)
            for key in set(produced.keys)
        }
        if len({*targets.values()}) == 1:
            return [_Sending(produced.topic, targets[produced.keys[0]], messages, produced.records)]
        split: dict[int, tuple[list[Message], list[int]]] = {}
        for message, position in zip(messages, produced.records, strict=True):
            part = split.setdefault(targets[message.key], ([], []))
            part[0].append(message)
            part[1].append(position)
        return [_Sending(produced.topic, target, *part) for target, part in split.items()]

    async def _count(self, topic: str) -> int:
        count = self._outlet.known_partitions(topic)
        if not count:
            async for attempt in _patiently(topic):
                with attempt:
                    count = await self._outlet.partitions_of(topic)
        return count

    async def _begin(self, source: _Source, sending: _Sending) -> list[_Work]:
        """Hand over the first try now, so that order is that of the batches."""
        try:
            delivery = await self._outlet.deliver(
                sending.topic, sending.partition, sending.messages
            )
        except TooLargeError as error:  # known before it was sent
            if len(sending.messages) == 1:
                return [self._bury_input(source, sending, error)]
            first, second = sending.halves()
            return [*await self._begin(source, first), *await self._begin(source, second)]
        return [self._finish(source, sending, delivery)]

    async def _finish(self, source: _Source, sending: _Sending, delivery: Awaitable[None]) -> None:
        try:
            await delivery
        except TooLargeError as error:
            if len(sending.messages) == 1:
                await self._bury_input(source, sending, error)
                return
            for half in sending.halves():  # one after the other: the first may be refused again
                for work in await self._begin(source, half):
                    await work
        else:
            self._metrics.record(OUTPUTS, len(sending.messages), (sending.topic,))

    async def _bury_input(self, source: _Source, sending: _Sending, error: TooLargeError) -> None:
        """The message that the broker refuses makes its input a dead letter."""
        dead = DeadLetter(sending.records[0], sending.topic, "output_too_large", str(error))
        await (await self._bury(source, [dead]))

    async def _bury(self, source: _Source, dead: Sequence[DeadLetter]) -> _Work:
        """Hand over the letters of these; the work is done when they are safe."""
        topic, own = source.partition
        moment = datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC)
        now = moment.isoformat(timespec="milliseconds").encode()
        letters = [
            letter_of(source.partition, source.records[letter.record], letter, now)
            for letter in dead
        ]
        for code, count in Counter(letter.code for letter in dead).items():
            self._metrics.record(DEAD_LETTERS, count, (topic, code))
        self._dead_letter_log.note(source.partition, source.records, dead)
        target = own % await self._count(source.dead_topic)
        try:
            delivery = await self._outlet.deliver(source.dead_topic, target, letters)
        except TooLargeError:  # known before it was sent
            return self._bury_shortened(source.dead_topic, target, letters)
        return self._buried(source.dead_topic, target, letters, delivery)

    async def _buried(
        self, topic: str, partition: int, letters: Sequence[Message], delivery: Awaitable[None]
    ) -> None:
        try:
            await delivery
        except TooLargeError:
            await self._bury_shortened(topic, partition, letters)

    async def _bury_shortened(self, topic: str, partition: int, letters: Sequence[Message]) -> None:
        """One by one, so that each is kept as whole as the broker takes it."""
        for letter in letters:
            await self._bury_one(topic, partition, letter)

    async def _bury_one(self, topic: str, partition: int, letter: Message) -> None:
        for kept in _KEPT_BYTES:
            message = shortened(letter, kept)
            try:
                sent = await self._outlet.deliver(topic, partition, [message])
                await sent
            except TooLargeError:
                if kept == _KEPT_BYTES[-1]:
                    raise
            else:
                return

    async def _write(self, source: _Source, writes: Iterable[Write]) -> None:
        """Feature rows are a cache that later events renew: what is not taken is counted.

        One batch after the other: an older row must not replace a newer one.
        """
        async with self._writing:
            for write in writes:
                try:
                    await self._store.put(write.table, write.fields, write.keys, write.rows)
                except StoreUnavailable as error:
                    self._metrics.record(STORE_ERRORS, 1, ("features",))
                    log.debug("feature_write_lost", table=write.table, error=str(error))


def _patiently(topic: str) -> AsyncRetrying:
    """A broker that is away, or a topic that is not made yet, is waited for, and said so."""
    return AsyncRetrying(
        retry=retry_if_exception_type(BrokerUnavailable),
        wait=wait_exponential(0.2, max=5.0),
        before_sleep=lambda _: log.warning("waiting_for_topic", topic=topic),
    )


def _messages(produced: Produced, records: Sequence[Record]) -> list[Message]:
    """A message per row, with the trace headers of its input."""
    if not any(map(_headers, records)):
        return [*map(Message, produced.keys, produced.values)]
    headers = [traced(records[position]) for position in produced.records]
    return [*map(Message, produced.keys, produced.values, headers)]


def _same_keys(produced: Produced, records: Sequence[Record]) -> bool:
    return [*produced.keys] == [records[position].key for position in produced.records]
