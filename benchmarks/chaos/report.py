"""Report: a table for people, a JSON file for whoever compares runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.chaos.stalls import Stall
from benchmarks.chaos.storm import Outcome
from benchmarks.chaos.troubles.trouble import Kind
from benchmarks.machine import describe_machine

#: What a stand-still may last, by its kind; a server that is away is waited for.
GOALS_S: Mapping[Kind, float] = {Kind.KILL: 10.0, Kind.REBALANCE: 3.0}
_SHOWN = 3


@dataclass(slots=True)
class Run:
    """What the storms of one run came to."""

    seed: int
    outcomes: list[Outcome] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # what this machine cannot do
    unjudged: dict[str, str] = field(default_factory=dict)  # storms that did not come to an end

    @property
    def good(self) -> bool:
        """Whether nothing is wrong. How long things took is another matter: see the goals."""
        return not self.unjudged and not any(outcome.flaws for outcome in self.outcomes)

    def write(self, path: Path) -> None:
        """All figures as JSON."""
        found = {
            "machine": dict(describe_machine()),
            "seed": self.seed,
            "skipped": self.skipped,
            "unjudged": self.unjudged,
            "summary": summary(self.outcomes),
            "lanes": [figures(outcome) for outcome in self.outcomes],
        }
        path.write_text(json.dumps(found, indent=2) + "\n")


def figures(outcome: Outcome) -> dict[str, Any]:
    """The figures of one lane."""
    verdict = outcome.verdict
    return {
        "scenario": outcome.scenario.name,
        "topology": outcome.lane.subject.name,
        "guarantee": outcome.lane.guarantee,
        "events": outcome.events,
        "blows": outcome.scenario.blows,
        "answers": verdict.answers,
        "dead_letters": verdict.dead_letters,
        "lost": verdict.lost,
        "twice": verdict.twice,
        "different": verdict.different,
        "out_of_order": verdict.out_of_order,
        "degraded": verdict.degraded,
        "crashes": len(outcome.crashes),
        "suspicions": len(outcome.suspicions),
        "stall_s": {str(kind): longest_s(_caused_by(verdict.stalls, kind)) for kind in Kind},
        "recovery_s": _recoveries(outcome),
    }


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything together, by guarantee."""
    return {
        guarantee: _sum([o for o in outcomes if o.lane.guarantee == guarantee])
        for guarantee in dict.fromkeys(o.lane.guarantee for o in outcomes)
    }


def longest_s(stalls: Iterable[Stall]) -> float:
    return round(max((stall.seconds for stall in stalls), default=0.0), 2)


def show(console: Console, run: Run) -> None:
    """Print the table, what went wrong, and the summary."""
    outcomes = run.outcomes
    console.print(_table(outcomes))
    for outcome in outcomes:
        found = (outcome.verdict.examples, outcome.crashes, outcome.suspicions)
        for line in (line for lines in found for line in lines[:_SHOWN]):
            name = f"{outcome.scenario.name}, {outcome.lane.name}"
            console.print(f"{name}: {line}", style="red", markup=False)
    for name, why in (run.skipped | run.unjudged).items():
        console.print(f"{name}: not judged: {why}", style="red", markup=False)
    console.print(_in_all(outcomes))


_SUMMED = ("lost", "twice", "different", "out_of_order", "degraded", "crashes")
_COUNTS = ("blows", "events", *_SUMMED)


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.add_column("lane", no_wrap=True)
    for name in (*(count.replace("_", " ") for count in _COUNTS), *(f"s: {kind}" for kind in Kind)):
        table.add_column(name, justify="right", min_width=len(name.split()[-1]))
    for row in map(figures, outcomes):
        lane = f"{row['scenario']}, {row['topology']}, {row['guarantee']}".replace("_", " ")
        counts = (f"{row[name]:,}" for name in _COUNTS)
        table.add_row(lane, *counts, *(_shown_s(row["stall_s"][kind]) for kind in Kind))
    return table


def _in_all(outcomes: Sequence[Outcome]) -> Table:
    found = summary(outcomes)
    table = Table("in all", box=SIMPLE_HEAD, pad_edge=False)
    for guarantee in found:
        table.add_column(guarantee.replace("_", " "), justify="right")
    for name in ("blows", "events", *_SUMMED):
        table.add_row(name.replace("_", " "), *(f"{each[name]:,}" for each in found.values()))
    for kind in Kind:
        goal = f" (goal: {GOALS_S[kind]:.0f})" if kind in GOALS_S else ""
        longest = (_shown_s(each["longest_stall_s"][kind]) for each in found.values())
        table.add_row(f"longest stand-still, s: {kind}{goal}", *longest)
    return table


def _shown_s(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds else "·"


def _caused_by(stalls: Iterable[Stall], kind: Kind) -> list[Stall]:
    return [stall for stall in stalls if stall.cause is not None and stall.cause.kind == kind]


def _recoveries(outcome: Outcome) -> dict[str, dict[str, float]]:
    """By blow: seconds until no partition stood still any more."""
    found: dict[str, list[float]] = {}
    for happening in outcome.happenings:
        stalls = [stall for stall in outcome.verdict.stalls if stall.cause is happening]
        took = max((stall.recovery_s for stall in stalls), default=0.0)
        found.setdefault(happening.name, []).append(took)
    return {
        name: {"median": round(median(times), 2), "longest": round(max(times), 2)}
        for name, times in found.items()
    }


def _sum(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    rows = [figures(outcome) for outcome in outcomes]
    scenarios = {o.scenario.name: o for o in outcomes}.values()
    return {
        "blows": sum(outcome.scenario.blows for outcome in scenarios),
        "events": sum(outcome.events for outcome in scenarios),
        **{name: sum(row[name] for row in rows) for name in _SUMMED},
        "longest_stall_s": {
            str(kind): max((row["stall_s"][kind] for row in rows), default=0.0) for kind in Kind
        },
        "stall_goals_s": {str(kind): seconds for kind, seconds in GOALS_S.items()},
    }
