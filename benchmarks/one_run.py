"""One run: all contenders on one broker, in alternating order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from benchmarks import latency, one_decision, throughput
from benchmarks.contenders import BARE, FAST, GRESS, Contender
from benchmarks.figures import NO_WORKER, Measured
from benchmarks.same_decisions import Decisions, Offsets, compare, decide_by_hand, read_decisions
from benchmarks.topics import BAD_DLQ, BAD_EVERY, BAD_TRANSFERS, Ends, Topics
from benchmarks.transfers import make_templates
from benchmarks.variants import write_variants

_TEMPLATES = 8192
_COMPARED = 2000  # decisions per partition
#: For so long small requests go to the broker before any is timed: its JVM compiles while it works,
#: which takes hundreds of milliseconds from who is first.
_WARM_UP_S = 10.0

T = TypeVar("T")

console = Console()


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    repetitions: int
    slow_repetitions: int  # of contenders that take long, and of latencies beside the main ones
    events: int
    latency_s: float
    calls: int
    rounds: int  # of each operator


class Run:
    """One benchmark run on a broker of its own."""

    def __init__(
        self,
        size: Size,
        contenders: Sequence[Contender],
        topics: Topics,
        home: Path,
        measured: Measured,
    ) -> None:
        self._size = size
        self._contenders = contenders
        self._topics = topics
        self._home = home
        self._expected: Decisions = {}
        self._measured = measured

    def measure(self) -> None:
        """Everything, contender after contender; what was measured is added to ``measured``."""
        if GRESS in self._contenders:
            self._measured.call = one_decision.measure(self._size.calls)
            console.log("one decision: done")
        write_variants(self._home)
        self._fill()
        self._expected = asyncio.run(self._decide_by_hand())
        self._throughput()
        self._latency()

    def _fill(self) -> None:
        self._topics.create()
        for topic in self._read_topics:
            self._topics.fill(topic, make_templates(_TEMPLATES), self._size.events)

    async def _decide_by_hand(self) -> Decisions:
        async with Ends(self._topics.bootstrap, self._read_topics) as ends:
            start = dict.fromkeys(await ends.now(), 0)
        return await decide_by_hand(self._topics.bootstrap, start, _COMPARED)

    @property
    def _read_topics(self) -> list[str]:
        return sorted({contender.reads for contender in self._contenders})

    # --- throughput -------------------------------------------------------------------------------

    def _throughput(self) -> None:
        size = self._size
        repeated = [
            (one, size.slow_repetitions if one.fewer > 1 else size.repetitions)
            for one in self._contenders
        ]
        for contender in in_turn(repeated):
            if contender.key in self._measured.failures:
                continue
            try:
                pace = asyncio.run(self._pace(contender))
            except RuntimeError as error:
                self._fail(contender, error)
                continue
            console.log(
                f"throughput: {contender.name}: {pace.events_per_s:,.0f} events/s, "
                f"{pace.cpu_us:.1f} µs"
            )
            self._measured.paces.setdefault(contender.key, []).append(pace)

    async def _pace(self, contender: Contender) -> throughput.Pace:
        count, bootstrap = self._size.events // contender.fewer, self._topics.bootstrap
        async with Ends(bootstrap, contender.writes) as ends:
            since = await ends.now()
            pace = await throughput.measure(contender, self._topics, self._home, count)
            if contender.reads == BAD_TRANSFERS:
                _check_dead_letters(since, await ends.now(), count)
        if contender.key not in self._measured.agreements:
            decided = {tp: offset for tp, offset in since.items() if tp.topic != BAD_DLQ}
            found = await read_decisions(bootstrap, decided, _COMPARED)
            self._measured.agreements[contender.key] = compare(found, self._expected)
        return pace

    # --- latency ----------------------------------------------------------------------------------

    def _latency(self) -> None:
        """The main three in all repetitions; the others beside them in fewer."""
        main = [one for one in (GRESS, BARE) if one in self._contenders]
        side = [
            (one, rate)
            for one in self._contenders
            for rate in one.rates
            if (one, rate) not in [(each, FAST) for each in main]
        ]
        plan: list[tuple[tuple[Contender | None, int], int]] = [
            *(((one, FAST), self._size.repetitions) for one in (None, *main)),
            *((one, self._size.slow_repetitions) for one in side),
        ]
        latency.measure(None, FAST, self._topics, self._home, _WARM_UP_S)
        for contender, rate in in_turn(plan):
            self._delay(contender, rate)

    def _delay(self, contender: Contender | None, rate: int) -> None:
        key = NO_WORKER if contender is None else contender.key
        if key in self._measured.failures:
            return
        try:
            delay = latency.measure(contender, rate, self._topics, self._home, self._size.latency_s)
        except RuntimeError as error:
            self._fail(contender, error)
            return
        console.log(
            f"latency at {rate:,}/s: {key}: p50 {delay.p50_ms:.2f} ms, p99 {delay.p99_ms:.2f} ms"
        )
        self._measured.delays.setdefault((key, rate), []).append(delay)

    def _fail(self, contender: Contender | None, error: RuntimeError) -> None:
        """One that fails costs only its own figures; it is told at the end, with exit status 1."""
        key = NO_WORKER if contender is None else contender.key
        console.log(f"[red]{key} failed[/]: {error}")
        self._measured.failures[key] = str(error)


def in_turn(repeated: Sequence[tuple[T, int]]) -> list[T]:
    """Each so many times; every other round backwards, so that noise and heat hit all alike."""
    found: list[T] = []
    for number in range(max((times for _, times in repeated), default=0)):
        around = [one for one, times in repeated if number < times]
        found += around[:: -1 if number % 2 else 1]
    return found


def _check_dead_letters(since: Offsets, until: Offsets, count: int) -> None:
    dead = sum(end - since[tp] for tp, end in until.items() if tp.topic == BAD_DLQ)
    if dead != round(count / BAD_EVERY):
        raise RuntimeError(f"{dead} dead letters of {count} events, expected one in {BAD_EVERY}")
