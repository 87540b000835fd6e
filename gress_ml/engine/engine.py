"""Engine: the partitions that this worker owns, behind the transport's BatchSink."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

import structlog

from gress_ml.adapters.kafka.outlet import Outlet, OutletLostError
from gress_ml.adapters.kafka.sink import Partition
from gress_ml.engine.models import CurrentModels
from gress_ml.engine.partition import PartitionRunner, Shell
from gress_ml.engine.planning import build_plan, task_settings
from gress_ml.engine.restoring import restored
from gress_ml.metrics import QUEUE_DEPTH, REOPENINGS
from gress_ml.ports import ModelStore
from gress_ml.record import Record
from gress_ml.runtime.plan import Plan, Step
from gress_ml.runtime.task import PartitionTask, Phase
from gress_ml.topology.topology import Input, Topology

log = structlog.get_logger(__name__)

#: How long a partition may take to finish when it is taken away. Its group waits no longer than
#: the rebalance timeout (KIP-62); what is not done by then is read again by the next owner.
DRAIN_S = 5.0
#: Before a partition whose transaction was lost is opened again.
_FIRST_PAUSE_S = 0.05
_LAST_PAUSE_S = 3.0
_QUIET_S = 30.0


class Engine:
    """Opens, feeds and drains partitions.

    ``on_failure`` is told when one cannot go on, ``reopen`` is asked to open one anew.
    """

    def __init__(
        self,
        topology: Topology,
        models: ModelStore,
        shell: Shell,
        on_failure: Callable[[BaseException], None],
        reopen: Callable[[Partition], Awaitable[None]],
    ) -> None:
        self.topology = topology
        self.models = CurrentModels(models)
        self._shell = shell
        self._on_failure = on_failure
        self._reopen = reopen
        self._inputs = {node.topic: node for node in topology.inputs.values()}
        self._runners: dict[Partition, PartitionRunner] = {}
        self._tasks: dict[Partition, asyncio.Task[None]] = {}
        self._outlets: dict[Partition, Outlet] = {}  # claimed, not yet opened
        self._background: set[asyncio.Task[None]] = set()
        self._pauses: dict[Partition, _Pause] = {}
        self._switches: dict[str, str] = {}
        self._prepared: dict[str, Plan] = {}  # of an input, until its first partition is opened
        #: Told when a partition was opened.
        self.on_opened: Callable[[], None] = _nothing
        shell.afterwards.yield_to(self._busy)

    async def prepare(self) -> None:
        """Load the models and warm them up while no partition waits for it: before the group forms.

        Raises what opening a partition raises.
        """
        for topic, node in self._inputs.items():
            plan = await asyncio.to_thread(build_plan, self.topology, node, self.models)
            self._prepared[topic] = plan
            await self._found_history(plan)

    # --- BatchSink --------------------------------------------------------------------------------

    @property
    def topics(self) -> Collection[str]:
        return self._inputs.keys()

    async def claim(self, partitions: Collection[Partition]) -> None:
        """Become the only one that writes for these. Raises BrokerUnavailable, KafkaError."""
        wanted = [p for p in partitions if p not in self._runners]
        await self._let_go(wanted)
        claimed = await asyncio.gather(*map(self._claim, wanted), return_exceptions=True)
        for error in claimed:
            if error is not None:
                raise error

    async def _claim(self, partition: Partition) -> None:
        self._outlets[partition] = await self._shell.outlets.open(partition)

    async def assigned(self, partition: Partition, committed: int, beginning: int) -> int:
        """Open the partition with the newest state at or before ``committed``.

        State is a function of the log: without a snapshot it is made from the log's beginning.
        """
        running = self._runners.get(partition)
        if running is not None:  # told twice in one rebalance: go on where it stands
            return running.task.expected
        outlet = self._outlets.pop(partition)  # at once: a revocation lets go of those that wait
        try:
            plan, restored_at = await self._current(partition, committed)
        except BaseException:
            await outlet.close()
            raise
        for step in plan.steps:
            self._set_switches(step)
        start = committed
        if plan.stateful:
            start = min(max(restored_at or 0, beginning), committed)
        settings = task_settings(self.topology, plan)
        now = self._shell.clock.monotonic()
        task = PartitionTask(
            start=start,
            committed=committed,
            stateful=plan.stateful,
            settings=settings,
            now=now,
            restored=restored_at is not None,
        )
        dead_topic = self._inputs[partition[0]].dead_letters
        runner = PartitionRunner(partition, plan, task, dead_topic, outlet, self._shell)
        self._runners[partition] = runner
        self._tasks[partition] = asyncio.create_task(self._run(runner))
        log.info("partition_opened", topic=partition[0], partition=partition[1], offset=committed)
        gc.freeze()  # what lives as long as the partition is not looked at by every collection
        self.on_opened()
        return start

    async def revoked(self, partitions: Collection[Partition]) -> None:
        """Drain these partitions together, within DRAIN_S."""
        going = {p: self._runners.pop(p) for p in partitions if p in self._runners}
        tasks = [self._tasks.pop(p) for p in going]
        for runner in going.values():
            runner.drain()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_S)
            for task in late:
                task.cancel()
            if late:
                log.warning("drain_cut_short", partitions=len(late), after_s=DRAIN_S)
        closing = [runner.close() for runner in going.values()]
        await asyncio.gather(*closing, self._let_go(partitions))

    def wants(self, partition: Partition) -> bool:
        runner = self._runners.get((partition[0], partition[1]))
        return runner is not None and runner.task.wants_records

    def deliver(self, partition: Partition, records: Sequence[Record]) -> None:
        runner = self._runners.get((partition[0], partition[1]))
        if runner is not None:
            runner.deliver(records)

    async def ready(self) -> None:
        await self._shell.prefetch.ready()

    # --- for the worker ---------------------------------------------------------------------------

    @property
    def partitions(self) -> Sequence[Partition]:
        """The partitions that are open."""
        return sorted(self._runners)

    @property
    def caught_up(self) -> bool:
        """Whether no partition is replaying for its state."""
        return all(r.task.phase is not Phase.REPLAY for r in self._runners.values())

    def position(self, partition: Partition) -> int | None:
        """The next offset to be decided; None when the partition is not open."""
        runner = self._runners.get((partition[0], partition[1]))
        return None if runner is None else runner.task.position

    def switch(self, name: str, value: str) -> None:
        """Set a run-time switch in every open partition and in those that will be opened."""
        self._switches[name] = value
        for runner in self._runners.values():
            for step in {*runner.plan.steps, *runner.steps}:
                _control(step, name, value)

    @property
    def runners(self) -> Sequence[PartitionRunner]:
        """Of the partitions that are open."""
        return [*self._runners.values()]

    def input_of(self, runner: PartitionRunner) -> Input:
        """The input that a runner's partition belongs to."""
        return self._inputs[runner.partition[0]]

    def replace(self, runner: PartitionRunner, steps: Sequence[Step]) -> None:
        """Swap steps of a partition, between two batches."""
        for step in steps:
            self._set_switches(step)
        runner.replace(steps)

    def measure(self) -> None:
        """Record what is sampled rather than counted."""
        queued = sum(runner.task.queued for runner in self._runners.values())
        self._shell.metrics.record(QUEUE_DEPTH, queued)
        self._shell.outages.sample(self._shell.clock.monotonic())
        for runner in self._runners.values():
            runner.measure()

    def close(self) -> None:
        """Close what was prepared and never opened."""
        for plan in self._prepared.values():
            plan.close()
        self._prepared.clear()

    # --- inside -----------------------------------------------------------------------------------

    def _busy(self) -> bool:
        return any(runner.busy for runner in self._runners.values())

    async def _current(self, partition: Partition, committed: int) -> tuple[Plan, int | None]:
        """The partition's plan, of the models that the worker uses when it is done."""
        while True:
            adoptions = self.models.adoptions
            plan, restored_at = await self._restored(partition, committed)
            await self._found_history(plan)
            if adoptions == self.models.adoptions:
                return plan, restored_at
            plan.close()  # another version was adopted meanwhile

    async def _found_history(self, plan: Plan) -> None:
        if plan.uses and self._shell.history is not None:
            await self._shell.history.ready()

    def _set_switches(self, step: Step) -> None:
        for switch, value in self._switches.items():
            _control(step, switch, value)

    async def _restored(self, partition: Partition, committed: int) -> tuple[Plan, int | None]:
        def build() -> Plan:
            prepared = self._prepared.pop(partition[0], None)
            if prepared is not None:
                if not self.models.adoptions:
                    return prepared
                prepared.close()  # its models were replaced meanwhile
            return build_plan(self.topology, self._inputs[partition[0]], self.models)

        shell = self._shell
        return await restored(
            build, shell.snapshots, shell.metrics, shell.topology, partition, committed
        )

    async def _let_go(self, partitions: Collection[Partition]) -> None:
        """Close what was claimed and never opened."""
        going = [self._outlets.pop(p) for p in partitions if p in self._outlets]
        await asyncio.gather(*(outlet.close() for outlet in going))

    async def _run(self, runner: PartitionRunner) -> None:
        try:
            await runner.run()
        except OutletLostError as error:
            log.warning("partition_lost", partition=runner.partition, reason=str(error))
            self._shell.metrics.record(REOPENINGS, 1, (runner.partition[0],))
            if self._runners.get(runner.partition) is runner:
                mending = asyncio.create_task(self._mend(runner))
                self._background.add(mending)
                mending.add_done_callback(self._background.discard)
        except Exception as error:  # the worker decides what a failure means
            self._on_failure(error)

    async def _mend(self, runner: PartitionRunner) -> None:
        """Open a partition anew, the later the more often it was needed lately."""
        pause = self._pauses.setdefault(runner.partition, _Pause())
        await asyncio.sleep(pause.next(self._shell.clock.monotonic()))
        if self._runners.get(runner.partition) is not runner:
            return  # it was taken away meanwhile
        try:
            await self._reopen(runner.partition)
        except Exception as error:
            self._on_failure(error)


@dataclass(slots=True)
class _Pause:
    """Waits between the re-openings of a partition: doubled, and short again after a quiet time."""

    _length_s: float = _FIRST_PAUSE_S
    _last: float = -math.inf

    def next(self, now: float) -> float:
        quiet = now - self._last > _QUIET_S
        self._length_s = _FIRST_PAUSE_S if quiet else min(2 * self._length_s, _LAST_PAUSE_S)
        self._last = now
        return self._length_s


def _nothing() -> None:
    pass


def _control(step: Step, switch: str, value: str) -> None:
    """A value that an operator refuses changes nothing, and is told."""
    try:
        step.operator.control(switch, value)
    except ValueError as error:
        log.warning("switch_refused", switch=switch, reason=str(error))
