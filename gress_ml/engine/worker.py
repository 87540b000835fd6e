"""Worker: a topology as a Faust app, with its producer, health pages and clean shutdown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import structlog
from aiokafka.errors import KafkaError
from faust.types import TP
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential

from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.kafka.committer import GroupCommitter
from gress_ml.adapters.kafka.compacted import CompactedTopics, ensure_compacted
from gress_ml.adapters.kafka.control import CONTROL_TOPIC, switches
from gress_ml.adapters.kafka.decided import ensure_topic
from gress_ml.adapters.kafka.models import MODELS_TOPIC
from gress_ml.adapters.kafka.outlet import Outlets
from gress_ml.adapters.kafka.producer import OutputProducer
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.adapters.kafka.shared_outlet import SharedOutlets
from gress_ml.adapters.kafka.sink import Partition
from gress_ml.adapters.kafka.transactional_outlet import TransactionalOutlets
from gress_ml.adapters.kafka.transport import Consumer
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.afterwards import Afterwards
from gress_ml.engine.announcing import Announcer
from gress_ml.engine.app import BatchApp, Tables
from gress_ml.engine.calls import Calls
from gress_ml.engine.engine import DRAIN_S, Engine
from gress_ml.engine.history import History
from gress_ml.engine.http import HttpServer
from gress_ml.engine.outages import Outages
from gress_ml.engine.partition import Shell
from gress_ml.engine.prefetch import Prefetch
from gress_ml.engine.publishing import Publishing
from gress_ml.engine.reloading import Reloader
from gress_ml.engine.stores import Stores
from gress_ml.engine.together import Together
from gress_ml.errors import BrokerUnavailable
from gress_ml.experiments.published import EXPERIMENTS_TOPIC, experiment_switch
from gress_ml.metrics import CONSUMER_LAG
from gress_ml.topology.topology import Topology

log = structlog.get_logger(__name__)

_SAMPLE_S = 1.0
#: How soon a topic made after the worker's start, or a partition added to one, is noticed.
_METADATA_AGE_S = 5.0
#: How soon a member hears that its group forms anew: the answer to its next heartbeat tells
#: (KIP-62). Until the last one has heard, all partitions stand still.
_HEARTBEAT_S = 0.3
#: How long the first event waits for what is set in compacted topics.
_SETTINGS_S = 5.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What the place decides, not the topology."""

    kafka: KafkaSettings
    http_host: str = "127.0.0.1"
    http_port: int | None = 0  # 0: a free one; None: someone else serves the pages
    #: After a kill -9 the partitions stand still this long, until the group notices.
    session_timeout_s: float = 6.0
    #: A name that survives a restart (KIP-345): the partitions then wait for this worker instead.
    instance_id: str | None = None
    auto_offset_reset: str = "earliest"
    max_poll_records: int = 2048


class Worker:
    """One worker of a topology's group. ``run`` lasts until ``stop`` or a failure.

    ``app`` is the Faust app: register agents and timers on it before ``run``. Raises what made it
    fail, so that a supervisor can start a new one.
    """

    def __init__(
        self,
        topology: Topology,
        stores: Stores,
        settings: WorkerSettings,
        metrics: PrometheusMetrics | None = None,
    ) -> None:
        self.topology = topology
        self.metrics = metrics or PrometheusMetrics()
        self._stores = stores
        self._settings = settings
        self._clock = SystemClock()
        self._failure: BaseException | None = None
        self._stopping = asyncio.Event()
        self.producer = OutputProducer(settings.kafka.client, self._clock)
        self._afterwards = Afterwards(self.producer, self.metrics, self._clock)
        self.app = self._new_app()
        self.engine = Engine(topology, stores.models, self._shell(), self._fail, self._reopen)
        self._reloader = Reloader(self.engine, self.metrics)
        self.engine.on_opened = self._reloader.look
        self.app.batch_sink = self.engine
        port = settings.http_port
        self.http = HttpServer(settings.http_host, port or 0, self.metrics, self.status)

    # --- life -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until told to stop. Raises what made the worker fail."""
        async with contextlib.AsyncExitStack() as life:
            if self._settings.http_port is not None:
                await self.http.start()
                life.push_async_callback(self.http.stop)
            if not await self._connect():
                return
            life.push_async_callback(self.producer.stop)
            life.push_async_callback(self._stores.features.close)
            told = self._told()
            for background in (
                self._sample(),
                self._afterwards.run(),
                self._reloader.run(),
                told.run(),
            ):
                await life.enter_async_context(_beside(background))
            life.callback(self.engine.close)
            await self.engine.prepare()
            await self._hear(told)
            await self._until_stopped()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Begin to end: drain, commit, leave the group."""
        self._stopping.set()

    def status(self) -> Mapping[str, Any]:
        """The body of the health pages."""
        open_partitions = self.engine.partitions
        return {
            "ready": self._has_its_partitions() and self.engine.caught_up,
            "topology": self.topology.name,
            "partitions": [f"{topic}-{partition}" for topic, partition in open_partitions],
            "caught_up": self.engine.caught_up,
        }

    def _has_its_partitions(self) -> bool:
        """Whether the group gave us our share (it may be none) and all of it is open."""
        assigned = self.app.assigned
        if assigned is None:
            return False
        batch = {tuple(tp) for tp in assigned if tp.topic in self.engine.topics}
        return batch == set(self.engine.partitions)

    async def _until_stopped(self) -> None:
        ended = asyncio.ensure_future(self._app_ended())
        told = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([ended, told], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        await self.app.stop()
        await asyncio.wait([ended], timeout=DRAIN_S)
        if ended.done():
            ended.result()
        else:
            ended.cancel()  # its start waits for a broker that is away
        if self._failure is None and self.app.crashed:
            self._failure = self.app.crash_reason or RuntimeError("the Faust app crashed")

    async def _app_ended(self) -> None:
        """Faust's start lasts until the first partitions are open; the stop ends it as well."""
        await self.app.start()
        await self.app.wait_until_stopped()

    async def _connect(self) -> bool:
        """Wait for Kafka, saying so; False when told to stop before it answered."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((BrokerUnavailable, KafkaError)),
            wait=wait_exponential(0.2, max=5.0),
            sleep=self._sleep,
            before_sleep=lambda state: log.warning(
                "waiting_for_kafka",
                bootstrap=self._settings.kafka.bootstrap,
                attempt=state.attempt_number,
            ),
        ):
            if self._stopping.is_set():
                return False
            with attempt:
                await self.producer.start()
        return True

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self.stop()

    # --- parts ------------------------------------------------------------------------------------

    def _new_app(self) -> BatchApp:
        settings = self._settings
        app = BatchApp(
            self.topology.name,
            broker=[f"gress://{address}" for address in settings.kafka.bootstrap.split(",")],
            broker_credentials=settings.kafka.credentials,
            broker_session_timeout=settings.session_timeout_s,
            broker_heartbeat_interval=min(_HEARTBEAT_S, settings.session_timeout_s / 6),
            # how long the group waits for one that died while it joined; a drain must fit in
            broker_rebalance_timeout=max(settings.session_timeout_s, 2 * DRAIN_S),
            # longer than the group may take to form, as joining it is one request
            broker_request_timeout=max(40.0, settings.session_timeout_s + 10.0),
            broker_max_poll_records=settings.max_poll_records,
            consumer_auto_offset_reset=settings.auto_offset_reset,
            consumer_metadata_max_age_ms=round(_METADATA_AGE_S * 1000),
            consumer_group_instance_id=settings.instance_id,
            # our own pages, on loopback: Faust's web server listens on all interfaces
            web_enabled=False,
            autodiscover=False,
            TableManager=Tables,
            store="memory://",
            # with stand-ins Faust tells each member what all others have: Kafka keeps that as one
            # record, too large for a group of some sixty workers to form
            table_standby_replicas=0,
            topic_replication_factor=1,
        )
        for node in self.topology.inputs.values():
            app.topics.add(app.topic(node.topic, internal=False, acks=False))
        return app

    def _shell(self) -> Shell:
        client, calls = self._settings.kafka.client, Calls(self._clock, self.metrics)
        return Shell(
            topology=self.topology.name,
            clock=self._clock,
            together=Together(calls.run),
            prefetch=Prefetch(),
            most_rows=calls.most_rows,
            outlets=self._outlets(),
            features=self._stores.features,
            snapshots=self._stores.snapshots,
            metrics=self.metrics,
            afterwards=self._afterwards,
            outages=Outages(self.metrics, self._clock.monotonic()),
            history=History(
                self.topology.name,
                self._clock,
                lambda: ensure_topic(client),
            ),
            publishing=Publishing(
                self._stores.publisher,
                Announcer(self.producer, lambda: ensure_compacted(client, MODELS_TOPIC)).tell,
                self.metrics,
                self._clock,
            ),
        )

    def _outlets(self) -> Outlets:
        if self.topology.settings.guarantee == "exactly_once":
            client = self._settings.kafka.client
            return TransactionalOutlets(client, self.topology.name, self.producer, self._clock)
        return SharedOutlets(self.producer, GroupCommitter(self._commit))

    async def _reopen(self, partition: Partition) -> None:
        await cast(Consumer, self.app.consumer).reopen(partition)

    async def _commit(self, offsets: Mapping[Partition, int]) -> None:
        await cast(Consumer, self.app.consumer).commit_batches(offsets)

    def _told(self) -> CompactedTopics:
        """What all workers are told: switches, splits of experiments, models that changed."""
        return CompactedTopics(
            self._settings.kafka.client,
            {
                CONTROL_TOPIC: switches(self.engine.switch),
                EXPERIMENTS_TOPIC: self._take_split,
                MODELS_TOPIC: self._reloader.announced,
            },
        )

    def _take_split(self, experiment: str, value: bytes | None) -> None:
        log.info("experiment", name=experiment, set=value is not None)
        text = "" if value is None else value.decode(errors="replace")
        self.engine.switch(experiment_switch(experiment), text)

    async def _hear(self, told: CompactedTopics) -> None:
        """What is set counts from the first event on: read it before any."""
        try:
            async with asyncio.timeout(_SETTINGS_S):
                await told.caught_up.wait()
        except TimeoutError:
            log.warning("settings_not_read", after_s=_SETTINGS_S)

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(_SAMPLE_S)
            self.engine.measure()
            for topic, partition in self.engine.partitions:
                position = self.engine.position((topic, partition))
                end = self.app.consumer.highwater(TP(topic, partition))
                if end is not None and position is not None:
                    lag = max(end - position, 0)
                    self.metrics.record(CONSUMER_LAG, lag, (topic, str(partition)))


@contextlib.asynccontextmanager
async def _beside(work: Any) -> AsyncIterator[None]:
    """Run a coroutine beside; it is cancelled at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
