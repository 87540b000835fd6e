"""``python -m benchmarks.prefetch [ROUNDS]``: what it brings to decide few records before asking.

The flagship on a Kafka of its own at 10,000 events/s: as it is, asking for the next records as soon
as it can, and the bare loop on aiokafka, in turn. Prints the time from an event to its decision,
medians of the rounds after the first, in which the broker warms up.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from benchmarks import latency
from benchmarks.contenders import BARE, FAST, GRESS
from benchmarks.figures import latency_over
from benchmarks.latency import Delay
from benchmarks.machine import describe_machine
from benchmarks.own_broker import own_broker
from benchmarks.report import show_machine, shown
from benchmarks.variants import write_variants

AT_ONCE = replace(
    GRESS,
    key="at_once",
    name="gress-ml, asking at once",
    argv=[sys.executable, "-m", "benchmarks.at_once", *GRESS.argv[1:]],
)
WAYS = (BARE, GRESS, AT_ONCE)
_SECONDS = 8.0
_WARM_UP_S = 10.0


def measure(rounds: int) -> dict[str, list[Delay]]:
    """The delays by contender, round by round; the first round is not among them."""
    found: dict[str, list[Delay]] = {way.name: [] for way in WAYS}
    with own_broker() as (home, _, topics):
        topics.create()
        write_variants(home)
        latency.measure(None, FAST, topics, home, _WARM_UP_S)
        for number in range(rounds + 1):
            for way in WAYS:
                delay = latency.measure(way, FAST, topics, home, _SECONDS)
                if number:
                    found[way.name].append(delay)
    return found


def show(console: Console, found: dict[str, list[Delay]]) -> None:
    """A row per contender: medians, and beside them how many times the bare loop's."""
    table = Table("contender", "p50 ms", "/ bare", "p99 ms", "/ bare", "not decided")
    latencies = {name: latency_over(delays) for name, delays in found.items()}
    bare = latencies[BARE.name]
    for name, own in latencies.items():
        table.add_row(
            name,
            *(shown(own.p50), f"{own.p50.median / bare.p50.median:.2f} x"),
            *(shown(own.p99), f"{own.p99.median / bare.p99.median:.2f} x"),
            str(own.lost),
        )
    console.print(table)


def main() -> None:
    """Measure and print."""
    console = Console()
    show_machine(console, describe_machine())
    show(console, measure(int(sys.argv[1]) if len(sys.argv) > 1 else 7))


if __name__ == "__main__":
    main()
