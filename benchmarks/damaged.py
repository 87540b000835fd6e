"""``python -m benchmarks.damaged [ROUNDS]``: what damaged events cost, and what chance alone does.

The flagship works off the same log three times a round: intact, intact once more, and with one
event in 100 cut short. Each round's figures are compared with those of its first way, so that the
second row says how far two runs of the same thing are apart on this machine; the first round, in
which the broker warms up, is not among them.
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import throughput
from benchmarks.contenders import BY_KEY, GRESS, Contender
from benchmarks.machine import describe_machine
from benchmarks.one_run import in_turn
from benchmarks.own_broker import own_broker
from benchmarks.report import show_machine
from benchmarks.throughput import Pace
from benchmarks.topics import BAD_TRANSFERS, TRANSFERS
from benchmarks.transfers import make_templates
from benchmarks.variants import write_variants

WAYS: tuple[tuple[str, Contender], ...] = (
    ("intact", GRESS),
    ("intact, again", GRESS),
    ("1 % damaged", BY_KEY["bad_1pct"]),
)
_EVENTS = 300_000
_TEMPLATES = 8192

Paces = dict[str, list[Pace]]


def measure(rounds: int) -> Paces:
    """The paces by way, round by round."""
    found: Paces = {name: [] for name, _ in WAYS}
    with own_broker() as (home, _, topics):
        topics.create()
        write_variants(home)
        for topic in (TRANSFERS, BAD_TRANSFERS):
            topics.fill(topic, make_templates(_TEMPLATES), _EVENTS)
        for name, way in in_turn([(way, rounds + 1) for way in WAYS]):
            found[name].append(asyncio.run(throughput.measure(way, topics, home, _EVENTS)))
    return {name: paces[1:] for name, paces in found.items()}


def show(console: Console, found: Paces) -> None:
    """A row per way: medians and quartiles, and how many times those of the first way."""
    table = Table("log", "events/s", "/ intact", "CPU µs per event", "/ intact")
    (first, _), *_ = WAYS
    for name, paces in found.items():
        cells: list[str] = []
        for figure, digits in (("events_per_s", 0), ("cpu_us", 1)):
            own, intact = (
                np.array([getattr(pace, figure) for pace in each]) for each in (paces, found[first])
            )
            cells += [_quartiles(own, digits), _quartiles(own / intact, 3)]
        table.add_row(name, *cells)
    console.print(table)


def _quartiles(figures: np.ndarray, digits: int) -> str:
    low, middle, high = (f"{q:,.{digits}f}" for q in np.percentile(figures, (25, 50, 75)))
    return f"{middle} ({low} – {high})"


def main() -> None:
    """Measure and print."""
    console = Console(width=140)
    show_machine(console, describe_machine())
    show(console, measure(int(sys.argv[1]) if len(sys.argv) > 1 else 15))


if __name__ == "__main__":
    main()
