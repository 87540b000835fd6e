"""Storm: one scenario from the first event to the verdicts."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TypeVar

from rich.console import Console

from benchmarks.chaos.fleet import Fleet, WorkerOptions
from benchmarks.chaos.ground import Ground
from benchmarks.chaos.judge import Bodies, Judge, Verdict
from benchmarks.chaos.kafka_log import KafkaLog
from benchmarks.chaos.lane import NO_OUTCOMES, OUTCOMES, TRANSFERS, Guarantee, Lane
from benchmarks.chaos.load import Load, events, outcomes
from benchmarks.chaos.plan import SHORTEST_REST, Strike, make_plan
from benchmarks.chaos.scenario import Scenario
from benchmarks.chaos.stage import Stage
from benchmarks.chaos.stalls import Happening
from benchmarks.chaos.troubles.trouble import Kind
from gress_ml.adapters.kafka.control import CONTROL_TOPIC
from gress_ml.adapters.kafka.decided import DECIDED_TOPIC
from gress_ml.adapters.kafka.models import MODELS_TOPIC
from gress_ml.dev.topics import TopicSettings, create_topics
from gress_ml.experiments import EXPERIMENTS_TOPIC

T = TypeVar("T")

#: Lanes are struck one after another: a worker's start takes a second of a processor.
_STAGGER_S = 0.8
#: From the moment when all workers are ready to the next blow, at least: what waited is answered.
_CALM_S = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scenario came to on one lane."""

    scenario: Scenario
    lane: Lane
    events: int
    happenings: Sequence[Happening]
    verdict: Verdict
    crashes: Sequence[str]
    suspicions: Sequence[str]

    @property
    def flaws(self) -> int:
        """What must be 0."""
        return self.verdict.flaws(self.lane) + len(self.crashes)


class Storm:
    """Runs a scenario on servers of its own."""

    def __init__(
        self,
        scenario: Scenario,
        guarantees: Sequence[Guarantee],
        seed: int,
        folder: Path,
        console: Console,
    ) -> None:
        self._scenario = scenario
        self._seed = seed
        self._folder = folder / scenario.name
        self._console = console
        self._stage = Stage(folder / "stage", scenario.needs)
        self._lanes = [Lane(s, guarantee) for s in scenario.subjects for guarantee in guarantees]
        self._calm = {
            subject: [Lane(subject, "at_least_once", True, n) for n in range(len(subject.worlds))]
            for subject in scenario.subjects
        }
        self._began = time.monotonic()
        self._happenings: dict[Lane, list[Happening]] = {lane: [] for lane in self._lanes}

    def run(self) -> list[Outcome]:
        """Start the servers, raise the storm, judge; nothing is left running."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with self._stage:
            return self._run()

    def _run(self) -> list[Outcome]:
        scenario = self._scenario
        asyncio.run(self._make_topics())
        log = KafkaLog(self._stage.bootstrap, scenario.partitions)
        fleets = {lane: self._fleet(lane, scenario.workers) for lane in self._lanes}
        self._say("workers start")
        with _working(fleets, log):
            self._teach(log)
            self._rage(fleets)
        self._say("undisturbed workers read the same log")
        with _working({lane: self._fleet(lane, 1) for lane in self._calm_lanes}, log):
            pass
        self._say("the judge reads")
        judge = Judge(log, TRANSFERS)
        expected = {subject: judge.expected(*lanes) for subject, lanes in self._calm.items()}
        return [self._outcome(judge, expected[lane.subject], lane, fleets[lane]) for lane in fleets]

    def _teach(self, log: KafkaLog) -> None:
        """Fill the feature store, where events are to be looked up there."""
        if self._scenario.without_history:
            Load(self._stage.bootstrap, OUTCOMES).send(outcomes(self._seed))
            for lane in self._lanes:
                if OUTCOMES in lane.inputs:
                    log.wait_until_settled(lane.name, OUTCOMES, [])

    def _rage(self, fleets: Mapping[Lane, Fleet]) -> None:
        """Send all events while the blows of the plan fall."""
        scenario = self._scenario
        plan = make_plan(scenario, self._seed)
        over = Event()
        flow = _until(over, scenario.events, events(scenario, self._seed))
        with ThreadPoolExecutor(len(fleets) + 1) as pool:
            load = Load(self._stage.bootstrap, TRANSFERS)
            sending = pool.submit(load.send, flow, scenario.rate)
            started = quiet_until = time.monotonic()
            try:
                for strike in plan:
                    _sleep_until(max(started + strike.at, quiet_until))
                    self._blow(strike, fleets, pool)
                    quiet_until = time.monotonic() + SHORTEST_REST * scenario.rest_s
                    for fleet in fleets.values():
                        fleet.wait_until_ready()
                    quiet_until = max(quiet_until, time.monotonic() + _CALM_S)
                _sleep_until(quiet_until)
            finally:
                over.set()
            sending.result()

    def _blow(self, strike: Strike, fleets: Mapping[Lane, Fleet], pool: ThreadPoolExecutor) -> None:
        """Strike the lanes, and wait until they are healed."""
        self._say(strike.trouble.name)
        lanes = self._lanes[:1] if strike.trouble.shared else self._lanes
        blows = [
            pool.submit(self._strike, strike, lane, fleets[lane], number * _STAGGER_S)
            for number, lane in enumerate(lanes)
        ]
        for blow in blows:
            blow.result()

    def _strike(self, strike: Strike, lane: Lane, fleet: Fleet, delay_s: float) -> None:
        trouble, ground = strike.trouble, Ground(fleet, self._stage)
        struck = self._lanes if trouble.shared else [lane]
        time.sleep(delay_s)
        self._note(struck, trouble.name, trouble.kind)
        trouble.start(ground, strike.worker)
        time.sleep(trouble.lasts_s)
        if trouble.healing is not None:
            self._note(struck, f"{trouble.name}, healed", trouble.healing)
        trouble.heal(ground, strike.worker)

    def _note(self, lanes: Sequence[Lane], name: str, kind: Kind) -> None:
        happening = Happening(time.time_ns() // 1_000_000, name, kind)
        for lane in lanes:
            self._happenings[lane].append(happening)

    async def _make_topics(self) -> None:
        scenario = self._scenario
        lanes = (*self._lanes, *self._calm_lanes)
        names = (
            TRANSFERS,
            OUTCOMES,
            NO_OUTCOMES,
            *(topic for lane in lanes for topic in lane.topics),
        )
        copies = scenario.needs.brokers
        # the broker's clock on both sides, so that waiting times can be told
        config = {"message.timestamp.type": "LogAppendTime"}
        topics = dict.fromkeys(names, TopicSettings(scenario.partitions, config, copies))
        compacted = TopicSettings(1, {"cleanup.policy": "compact"}, copies)
        settings = dict.fromkeys((CONTROL_TOPIC, EXPERIMENTS_TOPIC, MODELS_TOPIC), compacted)
        await create_topics(self._stage.bootstrap, {**topics, **settings})

    @property
    def _calm_lanes(self) -> list[Lane]:
        return [lane for lanes in self._calm.values() for lane in lanes]

    def _fleet(self, lane: Lane, workers: int) -> Fleet:
        options = WorkerOptions(
            lane.write_file(self._folder, self._stage.disk.folder, self._stage.registry),
            self._stage.workers_bootstrap,
            self._scenario.session_timeout_s,
            self._scenario.static_membership,
            self._scenario.needs.clocks,
            self._stage.environment,
        )
        return Fleet(lane.name, workers, options, self._folder)

    def _outcome(
        self, judge: Judge, expected: Mapping[str, Bodies], lane: Lane, fleet: Fleet
    ) -> Outcome:
        happenings = self._happenings[lane]
        verdict = judge.judge(lane, expected, happenings)
        if lane.subject.versioned:
            told = KafkaLog(self._stage.bootstrap, 1).read(DECIDED_TOPIC, committed_only=lane.once)
            judge.judge_versions(lane, told, verdict)
        return Outcome(
            self._scenario,
            lane,
            judge.events,
            happenings,
            verdict,
            fleet.crashes(),
            fleet.suspicions(),
        )

    def _say(self, text: str) -> None:
        self._console.print(f"  {time.monotonic() - self._began:6.1f} s  {text}", style="dim")


def _until(over: Event, at_least: int, flow: Iterator[T]) -> Iterator[T]:
    """As much of a flow as was asked for, and more until all blows have fallen."""
    for number, each in enumerate(flow):
        if number >= at_least and over.is_set():
            return
        yield each


def _sleep_until(moment: float) -> None:
    time.sleep(max(moment - time.monotonic(), 0.0))


@contextmanager
def _working(fleets: Mapping[Lane, Fleet], log: KafkaLog) -> Iterator[None]:
    """Workers that are ready, and at the end have answered everything; then they are gone."""
    try:
        for fleet in fleets.values():
            fleet.start()
        for fleet in fleets.values():
            fleet.wait_until_ready()
        yield
        for lane in fleets:
            log.wait_until_settled(lane.name, TRANSFERS, lane.topics)
    finally:
        with ThreadPoolExecutor(len(fleets)) as pool:
            list(pool.map(Fleet.stop, fleets.values()))
