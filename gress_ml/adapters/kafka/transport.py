"""A Faust transport that hands on whole partition batches; scheme ``gress://``.

Faust keeps the worker, the group, rebalancing, leader election and timers. This driver changes how
messages are drained (one call per partition batch instead of one per event), where the client runs
(on the worker's own loop: the hop to Faust's consumer thread costs more than the batch), and what
happens to a partition when it comes and goes. Topics that no :class:`BatchSink` claims take
Faust's own way, event by event, so agents work beside it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, cast

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    CommitFailedError,
    ConsumerStoppedError,
    IllegalGenerationError,
    IllegalStateError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service
from mode.utils.futures import maybe_async
from tenacity import AsyncRetrying, retry_if_exception, wait_exponential

from gress_ml.adapters.kafka.decompression import bound_decompression
from gress_ml.adapters.kafka.fetching import fetch_when
from gress_ml.adapters.kafka.plain_records import plain, whole_record
from gress_ml.adapters.kafka.sink import BatchSink, Partition
from gress_ml.errors import BrokerUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: How long one fetch waits for records when every partition may deliver.
_IDLE_S = 1.0
#: The same while a partition is paused: how soon it is asked again after it has room.
_PAUSED_S = 0.005
#: How long partitions may take to open before the worker gives up (a broker that restarts). It must
#: be less than Faust's request timeout: past that Faust's recovery ends without a word.
_SEEK_PATIENCE_S = 30.0
#: How long a topic of Faust's own may take to be made.
_CREATE_S = 15.0
#: How long a commit may take: less than a drain, so that it never outlives its generation.
_COMMIT_S = 4.0

_REFUSED = (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)


class CommitRefusedError(Exception):
    """The group has moved on: another owner may read the partition from the old offset."""


class ConsumerOnLoop(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread without a thread: the client lives on the worker's own loop."""

    wait_for_shutdown = False

    def __init__(
        self, consumer: Consumer, *, loop: asyncio.AbstractEventLoop, **kwargs: Any
    ) -> None:
        super().__init__(consumer, loop=loop, thread_loop=loop, **kwargs)

    async def start(self) -> None:
        self.loop.set_exception_handler(_told)
        self._thread_started.set()
        await self._default_start()

    async def stop(self) -> None:
        if self._started.is_set():
            await Service.stop(self)

    async def on_stop(self) -> None:
        await self.on_thread_stop()

    async def crash(self, reason: BaseException) -> None:
        await Service.crash(self, reason)

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        """Reads committed records only: an event that its producer took back is no event."""
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._key_deserializer = plain
        fetch_when(cast(Consumer, self.consumer).sink.ready, consumer._client)
        return consumer

    async def call_thread(self, fun: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        return cast(T, await maybe_async(fun(*args, **kwargs)))

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await self.consumer.on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        await self.consumer.on_partitions_assigned(assigned, generation_id)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Faust's commit, for the topics of agents: a group that moved on is no reason to crash."""
        own = self.assignment()
        wanted = {TopicPartition(*tp): OffsetAndMetadata(o, "") for tp, o in offsets.items()}
        try:
            await self._ensure_consumer().commit(
                {tp: offset for tp, offset in wanted.items() if tp in own}
            )
        except _REFUSED as error:
            self.log.info("Commit refused: %s", error)
            return False
        return True

    def close(self) -> None:
        """Nothing: a worker that stops while its group forms anew leaves the group, then closes.

        Faust closes the connection first here. The group would then miss the member only after its
        session timeout, and its partitions would stand still for as long.
        """

    def _stopped_set(self) -> None:
        self._stopped.set()

    def set_shutdown(self) -> None:
        self._shutdown.set()

    async def _stop_children(self) -> None:
        await self._default_stop_children()

    async def _stop_futures(self) -> None:
        await self._default_stop_futures()

    async def _stop_exit_stacks(self) -> None:
        await self._default_stop_exit_stacks()


class Consumer(driver.Consumer):
    """Drains batches; opens and closes partitions at the sink; commits what the sink says."""

    _thread: ConsumerOnLoop

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        bound_decompression()
        self._revocations = 0
        self._opening: set[asyncio.Task[None]] = set()  # a revocation ends them
        self._commits: set[asyncio.Future[Any]] = set()
        self._fetching: asyncio.Future[Any] | None = None
        self._resets: dict[TP, int] = {}  # where partitions without a committed offset began
        self._opened: Counter[TP] = Counter()  # how often each batch partition was opened

    @property
    def sink(self) -> BatchSink:
        return cast(BatchSink, cast(Any, self.app).batch_sink)

    def _new_consumer_thread(self) -> ConsumerOnLoop:
        return ConsumerOnLoop(self, loop=self.loop, beacon=self.beacon)

    # --- records ----------------------------------------------------------------------------------

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                if not self.flow_active:
                    await self.wait(cast(Any, self.can_resume_flow))  # mode waits for any Event
                    continue
                await self._drain_once()
                await asyncio.sleep(0)  # a full fetch buffer must not starve heartbeats and timers
        except ConsumerStoppedError:
            if not self.app.should_stop:
                raise

    async def _drain_once(self) -> None:
        active = self._get_active_partitions()
        wanted = {tp for tp in active if tp.topic not in self.sink.topics or self.sink.wants(tp)}
        if not wanted:  # an empty set would mean "all" to the fetcher
            await asyncio.sleep(_PAUSED_S)
            return
        generation = self.app.consumer_generation_id
        timeout = _IDLE_S if len(wanted) == len(active) else _PAUSED_S
        opened = self._opened.copy()
        self._fetching = asyncio.ensure_future(self._thread.getmany(wanted, timeout))
        try:
            fetched = await self._fetching
        except asyncio.CancelledError:
            if not self._fetching.cancelled() or _told_to_stop():
                raise
            return  # a rebalance began
        for tp, records in fetched.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return  # the partitions are no longer ours: their next owner reads these again
            if tp.topic in self.sink.topics:
                if self._opened[tp] == opened[tp]:  # else they are from before it was reopened
                    self.sink.deliver(tp, records)
            else:
                await self._deliver_events(faust_consumer.ensure_TP(tp), records)

    async def _deliver_events(self, tp: TP, records: Sequence[Any]) -> None:
        """Faust's own way, for the topics of agents."""
        for record in records:
            message = self._to_message(tp, whole_record(tp, record))
            read = self._read_offset[tp]
            if read is not None and message.offset < read:
                continue
            if read and message.offset - read > 1 and self.app.topics.acks_enabled_for(tp.topic):
                await self._add_gap(tp, read + 1, message.offset)
            await self.wait_first(self.callback(message), self.suspend_flow.wait())
            self._read_offset[tp] = message.offset

    # --- partitions come and go -------------------------------------------------------------------

    async def perform_seek(self) -> None:
        """Open each batch partition and read it from where its state begins.

        Called when the group is stable. A broker that is away for a while is waited for. Raises
        BrokerUnavailable, IllegalStateError when the next rebalance came in between.
        """
        await self._until_revoked(self._seek_and_open())

    async def _seek_and_open(self) -> None:
        try:
            async with asyncio.timeout(_SEEK_PATIENCE_S):
                async for attempt in _patience():
                    with attempt:
                        await super().perform_seek()
                        own = self.assignment()
                        await self._open(sorted(tp for tp in own if tp.topic in self.sink.topics))
        except TimeoutError:
            raise BrokerUnavailable(
                f"partitions could not be opened within {_SEEK_PATIENCE_S:.0f} s"
            ) from None

    async def _open(self, partitions: Sequence[TP]) -> None:
        client = self._thread._ensure_consumer()
        beginnings = await client.beginning_offsets([TopicPartition(*tp) for tp in partitions])
        await self.sink.claim(partitions)
        for tp in partitions:
            partition = TopicPartition(*tp)
            committed = await client.committed(partition)
            if committed is None:
                committed = self._resets.get(tp)
            if committed is None:  # a new group: where ``auto_offset_reset`` puts it
                committed = self._resets[tp] = await client.position(partition)
            start = await self.sink.assigned(tp, committed, beginnings[partition])
            client.seek(partition, start)
            self._opened[tp] += 1

    async def reopen(self, partition: Partition) -> None:
        """Open a partition anew from its committed offset, unless it is not ours any more.

        For one whose transaction was lost. Raises BrokerUnavailable.
        """
        revocations = self._revocations
        await self.sink.revoked([partition])
        if self._revocations != revocations:
            return
        try:
            await self._until_revoked(self._open_again(TP(*partition)))
        except IllegalStateError:
            log.debug("partition_went_away", partition=partition)

    async def _open_again(self, tp: TP) -> None:
        async for attempt in _patience():
            with attempt:
                await self._open([tp])

    async def _until_revoked(self, opening: Coroutine[Any, Any, None]) -> None:
        """Raises IllegalStateError when partitions are revoked meanwhile; it has ended then."""
        task = asyncio.create_task(opening)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled() or _told_to_stop():
                raise
            raise IllegalStateError("revoked while they were opened") from None

    async def let_go(self, partitions: Collection[TP]) -> None:
        """Stop opening and reading, drain, commit."""
        self._revocations += 1
        self.stop_flow()
        for opening in self._opening:
            opening.cancel()
        if self._opening:
            await asyncio.wait({*self._opening})
        await self.sink.revoked([tp for tp in partitions if tp.topic in self.sink.topics])

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let go of them, all before the group forms anew (KIP-62 gives the time)."""
        if self._fetching is not None:
            # one that goes on waiting would take the first records of the next assignment, and
            # they would be skipped: its position is past them then
            self._fetching.cancel()
        self._resets.clear()
        await self.let_go(revoked)
        for commit in self._commits:  # what is sent again later would carry the new generation
            commit.cancel()
        await super().on_partitions_revoked(revoked)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's check of its per-event path; batch topics do not take it."""
        if tp.topic not in self.sink.topics:
            super().verify_event_path(now, tp)

    # --- commit -----------------------------------------------------------------------------------

    async def commit_batches(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit these offsets of batch topics now.

        Raises CommitRefusedError when the group has moved on, BrokerUnavailable when it may pass.
        """
        client = self._thread._ensure_consumer()
        wanted = {TopicPartition(*tp): OffsetAndMetadata(o, "") for tp, o in offsets.items()}
        commit = asyncio.ensure_future(client.commit(wanted))
        self._commits.add(commit)
        try:
            await asyncio.wait_for(commit, _COMMIT_S)
        except _REFUSED as error:
            raise CommitRefusedError(str(error)) from None
        except (KafkaError, TimeoutError) as error:
            raise BrokerUnavailable(f"offsets could not be committed: {error!r}") from error
        except asyncio.CancelledError:
            if not commit.cancelled() or _told_to_stop():
                raise
            raise CommitRefusedError("the partitions were revoked") from None
        finally:
            self._commits.discard(commit)


def _told(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The loop's complaints, but for that of a commit that nobody waits for any more.

    aiokafka shields its request from our cancelling it; what comes of it then is no news.
    """
    work = getattr(context.get("future"), "get_coro", lambda: None)()
    late = getattr(work, "__name__", "") == "_do_commit_offsets"
    if not (late and isinstance(context.get("exception"), KafkaError)):
        loop.default_exception_handler(context)


def _told_to_stop() -> bool:
    """Whether it is this task that was cancelled, and not what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _patience() -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception(_may_pass), wait=wait_exponential(0.1, max=2.0), reraise=True
    )


def _may_pass(error: BaseException) -> bool:
    """A broker that is away may come back; partitions that are gone are gone."""
    passing = isinstance(error, KafkaError | BrokerUnavailable)
    return passing and not isinstance(error, IllegalStateError)


class Fetcher(faust_consumer.Fetcher):
    """Faust's fetcher, which ends quietly when it is cancelled while a rebalance is under way.

    The original then wakes a supervisor that it may not have and takes the worker down with it.
    """

    @Service.task
    async def _fetcher(self) -> None:
        try:
            await cast(Consumer, self.app.consumer)._drain_messages(self)
        except asyncio.CancelledError:
            self.log.debug("Fetcher cancelled")
        finally:
            self.set_shutdown()


class Transport(driver.Transport):
    """``gress://host:port``; the app must have a ``batch_sink``."""

    Consumer: ClassVar[type[Consumer]] = Consumer
    Fetcher: ClassVar[type[Fetcher]] = Fetcher

    async def _get_controller_node(
        self,
        owner: Any,
        client: AIOKafkaClient,
        timeout: int = 30_000,  # noqa: ASYNC109 - as Faust has it
    ) -> int | None:
        """Ask one broker after the other; Faust asks the first, and fails if that one is away.

        A worker that starts while one broker of many is away must start. Raises BrokerUnavailable.
        """
        for broker in client.cluster.brokers():
            try:
                answer = await client.send(broker.nodeId, MetadataRequest([]))
            except KafkaError as error:
                log.debug("broker_away", node=broker.nodeId, error=repr(error))
            else:
                return cast(int, answer.controller_id)
        raise BrokerUnavailable("no broker tells which one is the controller")

    async def _really_create_topic(
        self, owner: Any, client: AIOKafkaClient, *args: Any, **kwargs: Any
    ) -> None:
        """Faust's, tried again while the controller that the brokers name is away."""
        async with asyncio.timeout(_CREATE_S):
            async for attempt in _patience():
                with attempt:
                    await super()._really_create_topic(owner, client, *args, **kwargs)
