"""Report: a table for people, a JSON file for whoever compares runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.chaos.plan import Blow
from benchmarks.chaos.storm import Outcome

_SHOWN_FAULTS = 20


def figures(outcome: Outcome) -> Mapping[str, Any]:
    """One scenario's figures, as they go into the JSON."""
    verdict, blows = outcome.verdict, outcome.blows
    return {
        "events": verdict.events,
        "decided": verdict.decided,
        "dead_letters": verdict.dead_letters,
        "kills": blows[Blow.KILL_WORKER],
        "terminations": blows[Blow.END_WORKER],
        "broker_kills": blows[Blow.KILL_BROKER],
        "broker_restarts": blows[Blow.KILL_BROKER] + blows[Blow.STOP_BROKER],
        "lost": verdict.lost,
        "twice": verdict.twice,
        "twice_percent": round(100 * verdict.twice / max(verdict.events, 1), 2),
        "dead_letters_twice": verdict.dead_twice,
        "bodies_differ": verdict.bodies_differ,
        "decided_by_clock": verdict.by_clock,
        "out_of_order": verdict.out_of_order,
        "longest_stall_s": round(verdict.longest_stall_s, 2),
        "longest_silence_s": round(verdict.longest_silence_s, 2),
        "seconds": round(outcome.seconds, 1),
        "log_faults": len(outcome.faults),
    }


def show(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print the table, examples of what went wrong, and suspicious log lines."""
    table = Table("", *(outcome.scenario.name for outcome in outcomes))
    columns = [figures(outcome) for outcome in outcomes]
    for name in columns[0]:
        table.add_row(name.replace("_", " "), *(f"{column[name]:,}" for column in columns))
    console.print(table)
    for outcome in outcomes:
        for line in [*outcome.verdict.examples[:_SHOWN_FAULTS], *outcome.faults[:_SHOWN_FAULTS]]:
            console.print(f"{outcome.scenario.name}: {line}", style="red", markup=False)
