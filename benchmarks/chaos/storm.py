"""Storm: one scenario from the first event to the verdict."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from rich.console import Console

from benchmarks.chaos.fleet import Fleet
from benchmarks.chaos.load import Load, events
from benchmarks.chaos.plan import Blow, Strike, make_plan
from benchmarks.chaos.scenario import Scenario
from benchmarks.chaos.verify import Verdict, verify
from gress_ml.dev.servers import Servers
from gress_ml.dev.topics import TopicSettings, create_topics
from gress_ml.engine.stores import open_models
from gress_ml.topology.load import load_topology

_SOURCE, _OUTPUT = "transfers", "decisions"
_TRANSFERS, _DECISIONS, _OUTCOMES = "dwcp.transfers", "dwcp.decisions", "dwcp.outcomes"
#: After the last event: no new decision for this long means that no more will come.
_QUIET_S = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scenario came to."""

    scenario: Scenario
    verdict: Verdict
    blows: Counter[Blow]
    seconds: float
    faults: list[str]


class Storm:
    """Runs a scenario on a broker of its own."""

    def __init__(self, scenario: Scenario, seed: int, folder: Path, console: Console) -> None:
        self._scenario = scenario
        self._seed = seed
        self._folder = folder
        self._console = console
        self._servers = Servers(folder / "servers")
        self._blows: Counter[Blow] = Counter()

    def run(self) -> Outcome:
        """Start the broker, raise the storm, judge; nothing is left running."""
        self._servers.down()
        try:
            bootstrap = self._servers.up(["kafka"]).kafka
            return asyncio.run(self._run(bootstrap))
        finally:
            self._servers.down()

    async def _run(self, bootstrap: str) -> Outcome:
        scenario = self._scenario
        await _make_topics(bootstrap, scenario.partitions)
        fleet = Fleet(scenario, bootstrap, self._folder)
        started = time.monotonic()
        fleet.start()
        try:
            await asyncio.to_thread(fleet.wait_until_ready)
            with Load(bootstrap, _TRANSFERS) as load:
                sending = asyncio.create_task(
                    load.send(events(scenario, self._seed), scenario.rate)
                )
                await self._strike(fleet, make_plan(scenario, self._seed))
                await sending
            self._console.print("  all events sent and acknowledged", style="dim")
            await _settled(bootstrap, scenario)
            seconds = time.monotonic() - started
        finally:
            await asyncio.to_thread(fleet.stop)
        self._console.print("  all quiet; the verifier reads", style="dim")
        verdict = await verify(bootstrap, scenario.topology, _SOURCE, _OUTPUT)
        return Outcome(scenario, verdict, self._blows, seconds, list(fleet.faults()))

    async def _strike(self, fleet: Fleet, plan: list[Strike]) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for strike in plan:
            await asyncio.sleep(max(strike.at - (loop.time() - started), 0))
            await asyncio.to_thread(self._perform, fleet, strike)
            self._blows[strike.blow] += 1
            name = f"{strike.blow.value} {strike.worker if 'worker' in strike.blow.value else ''}"
            self._console.print(f"  {loop.time() - started:6.1f} s  {name}", style="dim")

    def _perform(self, fleet: Fleet, strike: Strike) -> None:
        match strike.blow:
            case Blow.KILL_WORKER:
                fleet.kill(strike.worker)
            case Blow.END_WORKER:
                fleet.end(strike.worker)
            case Blow.KILL_BROKER | Blow.STOP_BROKER:
                self._servers.stop("kafka", kill=strike.blow is Blow.KILL_BROKER)
                self._servers.start("kafka")


async def _make_topics(bootstrap: str, partitions: int) -> None:
    # the broker's clock on both sides, so that waiting times can be told
    stamped = TopicSettings(partitions, {"message.timestamp.type": "LogAppendTime"})
    names = (_TRANSFERS, _DECISIONS, _OUTCOMES, f"{_TRANSFERS}.dlq", f"{_OUTCOMES}.dlq")
    control = TopicSettings(1, {"cleanup.policy": "compact"})
    await create_topics(bootstrap, {**dict.fromkeys(names, stamped), "gress.control": control})


async def _settled(bootstrap: str, scenario: Scenario) -> None:
    """Wait until the group has committed every event, or until no more answers come."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    group = load_topology(scenario.topology, open_models).name
    await consumer.start()
    try:
        await admin.start()
        known, since = -1, time.monotonic()
        while time.monotonic() - since < _QUIET_S:
            offsets = await admin.list_consumer_group_offsets(group)
            committed = sum(max(o.offset, 0) for tp, o in offsets.items() if tp.topic == _TRANSFERS)
            if committed >= await _ends(consumer, _TRANSFERS, scenario.partitions):
                return
            answers = await _ends(consumer, _DECISIONS, scenario.partitions)
            if answers + committed != known:
                known, since = answers + committed, time.monotonic()
            await asyncio.sleep(0.5)
    finally:
        await admin.close()
        await consumer.stop()


async def _ends(consumer: AIOKafkaConsumer, topic: str, partitions: int) -> int:
    ends = await consumer.end_offsets([TopicPartition(topic, p) for p in range(partitions)])
    return sum(ends.values())
