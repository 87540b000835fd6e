"""``python -m benchmarks.run [--quick] [--only KEY,KEY]``: all measures in one run, side by side.

What was measured is printed, and written to ``build/bench.json`` (numbers under fixed names) and
``build/peers.json`` (all of it). With ``--only`` the files are ``build/bench-part.json`` and
``build/peers-part.json``, so that figures of different runs never stand in one file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks import operators
from benchmarks.contenders import BY_KEY, CONTENDERS, GRESS, ROOT, Contender
from benchmarks.figures import NO_WORKER, Figures, Measured, latency_of, results_of, rows_of
from benchmarks.machine import describe_machine
from benchmarks.one_run import Run, Size, console
from benchmarks.own_broker import own_broker
from benchmarks.peers.environment import FOLDER, PeersError, install, installed
from benchmarks.report import (
    show_figures,
    show_machine,
    show_targets,
    write_figures,
    write_results,
)

BUILD = ROOT / "build"

FULL = Size(
    repetitions=5, slow_repetitions=2, events=400_000, latency_s=12.0, calls=50_000, rounds=15
)
QUICK = Size(
    repetitions=2, slow_repetitions=1, events=100_000, latency_s=3.0, calls=10_000, rounds=5
)


def chosen(only: str | None) -> list[Contender]:
    """The contenders with these keys, all without. Raises SystemExit for one that is not there."""
    if only is None:
        return list(CONTENDERS)
    keys = only.split(",")
    if unknown := [key for key in keys if key not in BY_KEY]:
        raise SystemExit(f"no contender {', '.join(unknown)}; there are: {', '.join(BY_KEY)}")
    return [BY_KEY[key] for key in BY_KEY if key in keys]


def with_peers(contenders: Sequence[Contender], measured: Measured) -> list[Contender]:
    """Make the peers' environment; without it, the contenders that need none."""
    needing = [contender for contender in contenders if contender.in_peers]
    try:
        if needing and not installed():
            console.log(f"making the peers' environment in {FOLDER}; this takes minutes")
            install()
    except PeersError as error:
        measured.failures |= {contender.key: str(error) for contender in needing}
        return [contender for contender in contenders if not contender.in_peers]
    return list(contenders)


def measure(size: Size, contenders: Sequence[Contender]) -> Measured:
    """On a broker of its own, which ends with the run."""
    measured = Measured()
    contenders = with_peers(contenders, measured)
    with own_broker() as ground:
        Run(size, contenders, ground.topics, ground.home, measured).measure()
        if GRESS in contenders:
            console.print(operators.measured(ground.servers.up(["redis"]).redis, size.rounds))
    return measured


def main() -> None:
    """Measure, print, write; exit status 1 where a contender failed."""
    parser = argparse.ArgumentParser(description="Measure gress-ml side by side on real Kafka.")
    parser.add_argument("--quick", action="store_true", help="in minutes, with fewer repetitions")
    parser.add_argument("--only", metavar="KEY,KEY", help=f"some of: {', '.join(BY_KEY)}")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    contenders, machine = chosen(arguments.only), describe_machine()
    show_machine(console, machine)
    measured = measure(size, contenders)
    figures = Figures(
        machine=machine,
        full=size is FULL and arguments.only is None,
        repetitions=size.repetitions,
        rows=rows_of(measured),
        kafka_alone=latency_of(measured, NO_WORKER),
        failures=measured.failures,
    )
    results = results_of(figures, measured.call)
    show_figures(console, figures, measured.call)
    show_targets(console, results)
    part = "-part" if arguments.only else ""
    write_results(results, BUILD / f"bench{part}.json")
    write_figures(figures, BUILD / f"peers{part}.json")
    console.print(f"written: {BUILD}/bench{part}.json and peers{part}.json")
    sys.exit(1 if measured.failures else 0)


if __name__ == "__main__":
    main()
